package dnsbl

import (
	"context"
	"sync"
	"time"
)

// ListStatus is how a zone does, for one class of what it is asked about.
type ListStatus struct {
	// Name is the name of the first list with the zone, or else the zone.
	Name string
	// Class is what this is about: a zone can have no IPv6 addresses and still be good for IPv4.
	Class Class
	// State says whether it counts.
	State State
	// Reason is why it does not, in words for people; empty when it does.
	Reason string
	// Since is when State became what it is; zero: it always was.
	Since time.Time
	// Tested is when the last self-test ended; zero: there was none.
	Tested time.Time
	// Queries is how many questions sessions have asked, Listings how many were answered by an entry, and Unanswered how
	// many were not answered.
	Queries, Listings, Unanswered uint64
}

// Status is how all lists do, in their order.
func (c *Checker) Status() []ListStatus {
	var all []ListStatus
	c.each(func(p *probe) { all = append(all, p.status()) })
	return all
}

// each calls f for all probes.
func (c *Checker) each(f func(*probe)) {
	for _, s := range c.sites {
		for _, p := range s.probes {
			if p != nil {
				f(p)
			}
		}
	}
}

func (p *probe) status() ListStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	return ListStatus{
		Name: p.site.label, Class: p.class, State: p.state, Reason: p.reason, Since: p.since, Tested: p.tested,
		Queries: p.counts.queries, Listings: p.counts.listings, Unanswered: p.counts.unanswered,
	}
}

// Test makes the self-test of every list now, and gives how they do then. It is not needed for the check, which makes tests
// when they are due: it is for administrators, and to have the first tests behind one before the first client comes. It
// returns when all are done, which Options.MaxTime bounds, or ctx ends.
func (c *Checker) Test(ctx context.Context) []ListStatus {
	var wg sync.WaitGroup
	c.each(func(p *probe) { wg.Go(func() { p.testNow(ctx) }) })
	wg.Wait()
	return c.Status()
}

// testNow makes a test, or waits for the one under way.
func (p *probe) testNow(ctx context.Context) {
	p.mu.Lock()
	before := p.tests
	p.mu.Unlock()
	for ctx.Err() == nil {
		p.mu.Lock()
		done := p.tests != before
		mine := !done && p.claimLocked(p.due)
		running := p.running
		p.mu.Unlock()
		switch {
		case done:
			return
		case mine:
			p.test(ctx)
		default:
			select {
			case <-running:
			case <-ctx.Done():
			}
		}
	}
}
