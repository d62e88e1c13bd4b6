package dnsbl

import (
	"context"
	"errors"
	"sync"
	"time"
)

// testEntries are the entries that a list must have and must not have (RFC 5782 §5).
func testEntries(c Class) (must, mustNot string) {
	switch c {
	case IPv4:
		return "2.0.0.127", "1.0.0.127"
	case IPv6: // ::FFFF:7F00:2 and ::FFFF:7F00:1
		const prefix = ".0.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0"
		return "2" + prefix[2:], "1" + prefix[2:]
	}
	return "test", "invalid"
}

// test makes the self-test that the caller has claimed. It takes no longer than ctx and Options.MaxTime allow.
func (p *probe) test(ctx context.Context) {
	timed, cancel := context.WithTimeout(ctx, p.checker.o.MaxTime)
	defer cancel()
	began := time.Now()
	must, mustNot := testEntries(p.class)
	var present, absent answer
	var wg sync.WaitGroup
	wg.Go(func() { absent = p.checker.ask(timed, p.site, mustNot+"."+p.site.zone+".") })
	present = p.checker.ask(timed, p.site, must+"."+p.site.zone+".")
	wg.Wait()
	end, fault := passed, p.site.fault(present, absent)
	switch {
	case fault != "":
		end = failed
	case present.outcome.known() && absent.outcome.known():
	case p.checker.hasty(ctx, began):
		end = givenUp
	default:
		end = silent
	}
	if p.finish(end, fault) {
		p.log()
	}
}

// fault says what is wrong with a list by the answers for its test entries; empty: nothing that is known.
func (s *site) fault(present, absent answer) string {
	noTest := false
	for _, l := range s.lists {
		noTest = noTest || l.NoTestEntry
	}
	for _, a := range [...]answer{absent, present} {
		switch {
		case a.outcome != odd:
		case a.codes[0].Is4() && refused(a.codes[0]):
			return "refuses our queries (" + a.codes[0].String() + ")"
		default:
			return "gives the code " + a.codes[0].String() + ", which is that of no entry"
		}
	}
	switch {
	case absent.outcome == listed:
		return "lists what no list may list"
	case present.outcome == notListed && !noTest:
		return "lacks the test entry"
	}
	return ""
}

// hasty says whether a question was cut off because a session ended before one could expect an answer.
func (c *Checker) hasty(ctx context.Context, began time.Time) bool {
	return errors.Is(ctx.Err(), context.Canceled) && time.Since(began) < c.o.StressTime
}

// ending is what a test has come to.
type ending int

const (
	passed  ending = iota
	failed         // for a reason
	silent         // there was no answer
	givenUp        // somebody else has to make the test
)

// finish ends the test. It says whether the list is switched off by that, or is back.
func (p *probe) finish(end ending, reason string) (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.running)
	p.running = nil
	if end == givenUp {
		return false
	}
	now := time.Now()
	p.tests++
	p.tested = now
	if end == passed {
		p.passed, p.due = now, now.Add(p.checker.o.TestInterval/4*3)
		p.doubt, p.fails, p.unanswered, p.inRow = false, 0, 0, 0
		return p.set(Up, "", now)
	}
	p.due = now.Add(p.backoff())
	p.fails++
	if end == silent {
		// One test without an answer is only as good as one query, if others before it were answered.
		p.unanswered++
		if max(p.unanswered, p.fails) < p.checker.o.MaxUnanswered {
			return false
		}
		reason = "does not answer"
	}
	return p.set(Down, reason, now)
}
