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

// test makes the self-test that the caller has claimed. It takes no longer than ctx and Options.MaxTime allow; when it is
// cancelled it has not been made.
func (p *probe) test(ctx context.Context) {
	timed, cancel := context.WithTimeout(ctx, p.checker.o.MaxTime)
	defer cancel()
	must, mustNot := testEntries(p.class)
	var present, absent answer
	var wg sync.WaitGroup
	wg.Go(func() { absent = p.checker.ask(timed, p.site, mustNot+"."+p.site.zone+".") })
	present = p.checker.ask(timed, p.site, must+"."+p.site.zone+".")
	wg.Wait()
	if p.finish(p.site.fault(present, absent), present.outcome.known() && absent.outcome.known(), errors.Is(ctx.Err(), context.Canceled)) {
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

// finish ends the test. It was conclusive if there were answers to both questions; given up, if the session ended before.
func (p *probe) finish(fault string, conclusive, givenUp bool) (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	close(p.running)
	p.running = nil
	switch {
	case fault != "":
		p.tested, p.due = now, now.Add(p.backoff())
		p.fails++
		return p.set(Down, fault, now)
	case conclusive:
		p.tested, p.passed, p.due = now, now, now.Add(p.checker.o.TestInterval/4*3)
		p.doubt, p.fails, p.unanswered, p.inRow = false, 0, 0, 0
		return p.set(Up, "", now)
	case givenUp:
		return false
	}
	p.tested, p.due = now, now.Add(p.backoff())
	p.fails++
	return p.missed(now)
}
