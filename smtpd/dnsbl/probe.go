package dnsbl

import (
	"context"
	"sync"
	"time"
)

// State is whether a list counts.
type State int

// The states. A list that is Untested or Down does not count.
const (
	Untested State = iota
	Up
	Down
)

// String is the name of the state.
func (s State) String() string {
	names := [...]string{"untested", "up", "down"}
	if s < 0 || int(s) >= len(names) {
		return "unknown"
	}
	return names[s]
}

// MarshalText gives String, for JSON and the like.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// probe knows whether a list can be trusted for one class of subjects. Answers that an entry is there count only while its
// last self-test is younger than the interval; one is made by whichever session first needs it, and others wait for that.
type probe struct {
	checker *Checker
	site    *site
	class   Class

	mu      sync.Mutex
	state   State
	reason  string        // why it is Down
	since   time.Time     // of the state
	passed  time.Time     // when the last test was that it passed
	tested  time.Time     // when the last test was that came to an end
	due     time.Time     // when the next one is due
	doubt   bool          // it does not count until it passes another
	running chan struct{} // closed at the end of the test under way; nil: there is none
	tests   uint64        // how many came to an end
	fails   int           // tests in a row that it did not pass

	unanswered, inRow int // queries in a row that were not answered, and that were listings
	counts            counts
}

// counts are those of ListStatus.
type counts struct{ queries, listings, unanswered uint64 }

// fresh says whether the list counts. It is called with mu held.
func (p *probe) fresh(now time.Time) bool {
	return p.state == Up && !p.doubt && now.Before(p.passed.Add(p.checker.o.TestInterval))
}

// off says whether the list is not to be asked.
func (p *probe) off() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state == Down
}

// claim makes the caller, who must then call test, the one who tests, if a test is due and nobody does.
func (p *probe) claim() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.claimLocked(time.Now())
}

func (p *probe) claimLocked(now time.Time) bool {
	if p.running != nil || now.Before(p.due) {
		return false
	}
	p.running = make(chan struct{})
	return true
}

// trusted says whether an entry counts. If that needs a test, it is made or waited for.
func (p *probe) trusted(ctx context.Context) bool {
	for ctx.Err() == nil {
		p.mu.Lock()
		now := time.Now()
		if p.state == Down || p.fresh(now) {
			defer p.mu.Unlock()
			return p.state == Up
		}
		mine, running := p.claimLocked(now), p.running
		p.mu.Unlock()
		switch {
		case mine:
			p.test(ctx)
		case running == nil:
			return false // a moment ago it could not be found out
		default:
			select {
			case <-running:
			case <-ctx.Done():
			}
		}
	}
	return false
}

// note takes what came of a query.
func (p *probe) note(o outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if o != aborted {
		p.counts.queries++
	}
	switch o {
	case notListed:
		p.unanswered, p.inRow = 0, 0
	case listed:
		p.unanswered = 0
		p.counts.listings++
		if p.inRow++; p.inRow >= MaxInRow {
			p.suspect(now)
		}
	case odd:
		p.unanswered = 0
		p.suspect(now)
	case unanswered:
		p.counts.unanswered++
		// Whoever asks may have chosen what cannot be answered: only a test can tell that nothing is.
		if p.unanswered++; p.unanswered >= p.checker.o.MaxUnanswered && p.state == Up && !p.doubt {
			p.doubt, p.due = true, now
		}
	}
}

// suspect asks for a test soon. It is called with mu held.
func (p *probe) suspect(now time.Time) {
	if p.state == Up && now.Sub(p.tested) >= RetryTime {
		p.doubt, p.due, p.inRow = true, now, 0
	}
}

// set goes to a state. It is called with mu held; when the state has changed the caller is to log it.
func (p *probe) set(state State, reason string, now time.Time) (changed bool) {
	changed = p.state != state && !(p.state == Untested && state == Up)
	if p.state != state {
		p.since = now
	}
	p.state, p.reason = state, reason
	return changed
}

// backoff is how long to wait until the next test. It is called with mu held.
func (p *probe) backoff() time.Duration {
	wait := min(RetryTime, p.checker.o.TestInterval)
	for range p.fails {
		wait = min(2*wait, p.checker.o.TestInterval)
	}
	return wait
}

// log tells of a change.
func (p *probe) log() {
	p.mu.Lock()
	state, reason := p.state, p.reason
	p.mu.Unlock()
	logger := p.checker.o.Logger.With("list", p.site.label, "class", p.class.String())
	switch {
	case state == Up:
		logger.Info("dnsbl: the list is back")
	case p.class == IPv6: // many have no IPv6 addresses at all
		logger.Info("dnsbl: the list is switched off", "reason", reason)
	default:
		logger.Warn("dnsbl: the list is switched off", "reason", reason)
	}
}
