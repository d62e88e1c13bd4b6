package dnsbl

import (
	"context"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks/smtpd"
)

// session is what a Checker keeps of a session. It belongs to the session's goroutine, but for running.
type session struct {
	client  *round // about the client's address
	names   *round // about the names of the transaction
	running sync.WaitGroup
}

// round is a set of questions that are asked at the same time.
type round struct {
	about  string // the client's address, in a round about it
	began  time.Time
	cancel context.CancelFunc
	over   <-chan struct{} // closed when the time is
	done   chan struct{}   // closed when no question is open

	lookups []lookup // but for their answers they do not change

	mu   sync.Mutex // of open and the answers
	open int
}

// lookup is one question of a round.
type lookup struct {
	site    *site
	subject subject
	query   string
	answer  answer
}

func (l *lookup) probe() *probe { return l.site.probes[l.subject.class] }

// begin asks all lists about the subjects, in goroutines that end with the session or when Options.MaxTime is over.
func (c *Checker) begin(ctx context.Context, s *session, subjects ...subject) *round {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.o.MaxTime) // the step is over sooner
	r := &round{began: time.Now(), cancel: cancel, over: ctx.Done(), done: make(chan struct{})}
	for _, sub := range subjects {
		for _, site := range c.sites {
			if query := sub.query(site.zone); site.kinds&sub.kind != 0 && query != "" {
				r.lookups = append(r.lookups, lookup{site: site, subject: sub, query: query})
			}
		}
	}
	r.open = len(r.lookups) + 1
	for i := range r.lookups {
		c.start(ctx, s, r, i)
	}
	r.settle(nil, answer{}) // whose place kept the round open until now
	return r
}

// start asks the i-th question, unless the list is off or too many questions are under way.
func (c *Checker) start(ctx context.Context, s *session, r *round, i int) {
	l := &r.lookups[i]
	p := l.probe()
	if p.claim() {
		s.running.Go(func() { p.test(ctx) })
	}
	if p.off() {
		r.settle(l, answer{outcome: switchedOff})
		return
	}
	select {
	case c.slots <- struct{}{}:
		s.running.Go(func() { c.run(ctx, r, l) })
	default:
		r.settle(l, answer{outcome: skipped})
	}
}

// run asks one question, for which there is a slot.
func (c *Checker) run(ctx context.Context, r *round, l *lookup) {
	a := c.ask(ctx, l.site, l.query)
	<-c.slots
	p := l.probe()
	if a.outcome == unanswered && c.hasty(ctx, r.began) {
		a.outcome = aborted
	}
	p.note(a.outcome)
	if a.outcome == listed && l.matters(a) && !p.trusted(ctx) {
		a.outcome = distrusted
	}
	r.settle(l, a)
	if a.outcome == odd && p.claim() { // nobody needs to wait for that
		p.test(ctx)
	}
}

// matters says whether an entry's codes are those of one of the lists.
func (l *lookup) matters(a answer) bool {
	for i := range l.site.lists {
		if l.codesFor(&l.site.lists[i], a) != nil {
			return true
		}
	}
	return false
}

// settle notes the answer to a question; l is nil for what is none.
func (r *round) settle(l *lookup, a answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l != nil {
		l.answer = a
	}
	if r.open--; r.open == 0 {
		close(r.done)
	}
}

// stop ends the questions that are open. r may be nil.
func (r *round) stop() {
	if r != nil {
		r.cancel()
	}
}

// wait waits for the answers while there is time, in stress for a part of it, or until ctx ends.
func (c *Checker) wait(ctx context.Context, s *smtpd.Session, r *round) {
	select {
	case <-r.done: // as it mostly is, and then nobody needs to look out for the end of ctx
		return
	default:
	}
	var enough <-chan time.Time
	if s.Stressed() {
		timer := time.NewTimer(time.Until(r.began.Add(c.o.StressTime)))
		defer timer.Stop()
		enough = timer.C
	}
	select {
	case <-r.done:
	case <-r.over:
	case <-enough:
	case <-ctx.Done():
	}
}
