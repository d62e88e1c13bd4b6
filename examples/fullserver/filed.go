package main

import (
	"cmp"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/mailbricks/mailbricks/smtpd/ban"
	"github.com/mailbricks/mailbricks/smtpd/greylist"
)

// filed is a guard that keeps what it remembers in a file.
type filed[T keeper] struct {
	guard T    // none: it is off
	open  bool // false: what it remembers is in memory only
}

// keeper is what such guards have in common.
type keeper interface {
	comparable
	Close() error
}

// remember makes the guards that keep files.
func (g *guards) remember(old *guards, a *app, c *config) error {
	b, l := g.of.ban, g.of.greylist
	var errs [2]error
	g.bans, errs[0] = change[*ban.Bans]{
		same: reflect.DeepEqual(b, old.of.ban) && slices.Equal(g.never, old.never), on: b.on, carry: carryBans,
		make: func() (*ban.Bans, error) {
			return ban.Open(c.path("state", "bans"), ban.Options{
				Never: g.never, Threshold: float64(b.threshold), HalfLife: b.halfLife, FirstBan: b.first, MaxBan: b.longest, Logger: a.log,
			})
		},
	}.from(&old.bans, a)
	g.greylist, errs[1] = change[*greylist.Greylist]{
		same: reflect.DeepEqual(l, old.of.greylist), on: l.on,
		make: func() (*greylist.Greylist, error) {
			return greylist.Open(c.path("state", "greylist"), greylist.Options{
				Delay: l.delay, Window: l.window, MaxAge: l.maxAge, AutoWhitelist: cmp.Or(l.autoWhitelist, -1),
				Clients: l.clients, ClientNames: l.clientNames, Recipients: append([]string{}, l.recipientNames...),
				Exempt: hasGoodName, Skip: a.isExempt, Logger: a.log,
			})
		},
	}.from(&old.greylist, a)
	return errors.Join(errs[:]...)
}

// change is from a guard to that of the next configuration.
type change[T keeper] struct {
	same  bool              // it says the same as the one before
	on    bool              // it wants one
	make  func() (T, error) // opens it
	carry func(from, to T)  // takes over what the file may not have; nil: nothing
}

// from makes the change: it gives the old guard if that will do, another, or none. Two cannot have one file, so that the old one
// is closed first. If the next one cannot be opened, the old one goes on in memory.
func (c change[T]) from(old *filed[T], a *app) (filed[T], error) {
	var none T
	if c.same && c.on == old.open {
		return *old, nil
	}
	if err := old.close(); err != nil {
		a.log.Error("what a check remembers is not on disk", "error", err)
	}
	if !c.on {
		return filed[T]{}, nil
	}
	next, err := c.make()
	if err != nil {
		return *old, err
	}
	if c.carry != nil && old.guard != none {
		c.carry(old.guard, next)
	}
	return filed[T]{next, true}, nil
}

// close writes what the guard remembers. It goes on in memory.
func (f *filed[T]) close() error {
	if !f.open {
		return nil
	}
	f.open = false
	return f.guard.Close()
}

// carryBans has the bans that hold hold on where the disk did not take them.
func carryBans(from, to *ban.Bans) {
	there := map[netip.Prefix]bool{}
	for _, b := range to.List() {
		there[b.Prefix] = true
	}
	now := time.Now()
	for _, b := range from.List() {
		if there[b.Prefix] {
			continue
		}
		var left time.Duration
		if b.Ends() {
			left = max(b.Until.Sub(now), time.Second)
		}
		_ = to.Ban(b.Prefix, left, b.Reason) // what is never banned now is not
	}
}

// close writes what the guards remember.
func (g *guards) close() error {
	if g == nil {
		return nil
	}
	return errors.Join(g.bans.close(), g.greylist.close())
}
