package auth

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks"
)

// Defaults of a Limiter.
const (
	DefaultFreeFailures = 3
	DefaultFirstDelay   = time.Second
	DefaultMaxDelay     = 16 * time.Second
	DefaultMaxWait      = 30 * time.Second
	DefaultForgetAfter  = 10 * time.Minute
	// maxAddresses is how many addresses a Limiter remembers, about 100 octets each.
	maxAddresses = 100_000
)

// ErrTooMany says that from this address more log-ins wait than the Limiter lets wait. It is temporary.
var ErrTooMany = fmt.Errorf("auth: too many failed log-ins from this address: %w", mailbricks.ErrTemporary)

// Limiter slows down log-ins from addresses where they failed: after FreeFailures each further attempt has to wait,
// FirstDelay at first, twice as long with each failure, MaxDelay in the end. Attempts that come at once wait one behind
// the other, and those that would wait longer than MaxWait are refused. An IPv6 address counts as its /64. The zero value
// works with the defaults.
type Limiter struct {
	// FreeFailures are not followed by a wait; 0: DefaultFreeFailures.
	FreeFailures int
	// FirstDelay and MaxDelay are between two attempts; 0: DefaultFirstDelay, DefaultMaxDelay.
	FirstDelay, MaxDelay time.Duration
	// MaxWait is the longest an attempt waits for its turn; 0: DefaultMaxWait.
	MaxWait time.Duration
	// ForgetAfter is how long after its last failure an address is as new; 0: DefaultForgetAfter.
	ForgetAfter time.Duration

	mu    sync.Mutex
	addrs map[netip.Addr]*guesser
}

// guesser is an address from which log-ins failed.
type guesser struct {
	failures int
	last     time.Time // when the last one failed
	next     time.Time // when the next attempt may be
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// wait returns when an attempt from addr has its turn. A nil Limiter lets all through.
func (l *Limiter) wait(ctx context.Context, addr netip.Addr) error {
	if l == nil {
		return nil
	}
	delay, ok := l.reserve(bucket(addr), time.Now())
	if !ok {
		return ErrTooMany
	}
	if delay <= 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return temporary("wait", ctx.Err())
	}
}

// reserve takes the next turn of an address and says how far off it is, unless that is too far.
func (l *Limiter) reserve(addr netip.Addr, now time.Time) (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.addrs[addr]
	if g == nil {
		return 0, true
	}
	if now.Sub(g.last) > orDefault(l.ForgetAfter, DefaultForgetAfter) {
		delete(l.addrs, addr)
		return 0, true
	}
	turn := now
	if g.next.After(now) {
		turn = g.next
	}
	if turn.Sub(now) > orDefault(l.MaxWait, DefaultMaxWait) {
		return 0, false
	}
	g.next = turn.Add(l.delay(g.failures))
	return turn.Sub(now), true
}

// delay is the time between two attempts after so many failures.
func (l *Limiter) delay(failures int) time.Duration {
	over := failures - orDefault(l.FreeFailures, DefaultFreeFailures)
	if over < 0 {
		return 0
	}
	first, longest := orDefault(l.FirstDelay, DefaultFirstDelay), orDefault(l.MaxDelay, DefaultMaxDelay)
	for range over {
		if first *= 2; first >= longest {
			return longest
		}
	}
	return first
}

// failed counts a failure.
func (l *Limiter) failed(addr netip.Addr) {
	if l == nil {
		return
	}
	addr = bucket(addr)
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.addrs == nil {
		l.addrs = map[netip.Addr]*guesser{}
	}
	g := l.addrs[addr]
	if g == nil {
		if len(l.addrs) >= maxAddresses {
			l.makeRoom(now)
		}
		g = &guesser{}
		l.addrs[addr] = g
	}
	g.failures++
	g.last = now
	if next := now.Add(l.delay(g.failures)); g.failures >= orDefault(l.FreeFailures, DefaultFreeFailures) && next.After(g.next) {
		g.next = next
	}
}

// makeRoom forgets the addresses that may be forgotten and, if there are none, any: an attacker with that many addresses
// is not slowed down by this.
func (l *Limiter) makeRoom(now time.Time) {
	forget := orDefault(l.ForgetAfter, DefaultForgetAfter)
	for addr, g := range l.addrs {
		if now.Sub(g.last) > forget {
			delete(l.addrs, addr)
		}
	}
	for addr := range l.addrs {
		if len(l.addrs) < maxAddresses {
			return
		}
		delete(l.addrs, addr)
	}
}

// bucket is what counts as one address.
func bucket(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if prefix, err := addr.Prefix(64); err == nil {
			return prefix.Addr()
		}
	}
	return addr
}
