package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"time"

	"github.com/mailbricks/mailbricks/auth/directory"
	"github.com/mailbricks/mailbricks/smtpd/ban"
	"github.com/mailbricks/mailbricks/smtpd/dnsbl"
	"github.com/mailbricks/mailbricks/smtpd/ratelimit"
)

// errNoBans says that there is nothing to list or change.
var errNoBans = errors.New("bans are off: set ban.enabled = true")

// bans are those of the configuration in force.
func (a *app) bans() (*ban.Bans, error) {
	if bans := a.guards.Load().bans.guard; bans != nil {
		return bans, nil
	}
	return nil, errNoBans
}

type banList struct {
	JSON bool `name:"json" help:"As JSON."`
}

func (c *banList) runOn(_ context.Context, a *app, out io.Writer) error {
	bans, err := a.bans()
	if err != nil {
		return err
	}
	list := bans.List()
	if c.JSON {
		lines := []banLine{}
		for _, b := range list {
			lines = append(lines, banLine{shortPrefix(b.Prefix), b.Since, ifAny(b.Until), b.Reason, b.Count, b.Manual})
		}
		return printJSON(out, lines)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "Nobody is banned.")
		return err
	}
	for _, b := range list {
		until := "until it is lifted"
		if b.Ends() {
			until = "until " + b.Until.Local().Format(time.DateTime)
		}
		fmt.Fprintf(out, "%s  %s  %s\n", shortPrefix(b.Prefix), until, b.Reason)
	}
	return nil
}

// banLine is a ban as `ban list -json` shows it.
type banLine struct {
	Network string     `json:"network"`
	Since   time.Time  `json:"since"`
	Until   *time.Time `json:"until"` // null: until it is lifted
	Reason  string     `json:"reason"`
	Count   int        `json:"count"`
	Manual  bool       `json:"manual"`
}

// ifAny is nil for the zero time.
func ifAny(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// shortPrefix is a network, or the address if it has one only.
func shortPrefix(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

type banAdd struct {
	Network string `arg:"" name:"addr" help:"An address or a network."`
	For     string `help:"For how long, such as 90m or 7d (default: until it is lifted)."`
	Reason  string `default:"banned by the administrator" help:"For the list and the log."`
}

func (c *banAdd) runOn(_ context.Context, a *app, _ io.Writer) error {
	bans, err := a.bans()
	if err != nil {
		return err
	}
	network, err := parseNetwork(c.Network)
	if err != nil {
		return err
	}
	if network.Bits() == 0 {
		return fmt.Errorf("%s is everybody: ban smaller networks", c.Network)
	}
	var d time.Duration
	if c.For != "" {
		if err := duration(&d)(c.For); err != nil {
			return fmt.Errorf("-for: %w", err)
		}
	}
	return bans.Ban(network, d, c.Reason)
}

type banDel struct {
	Networks []string `arg:"" name:"addr" help:"Addresses or networks; 0.0.0.0/0 and ::/0 stand for all."`
}

func (c *banDel) runOn(_ context.Context, a *app, out io.Writer) error {
	bans, err := a.bans()
	if err != nil {
		return err
	}
	var networks []netip.Prefix
	for _, s := range c.Networks {
		network, err := parseNetwork(s)
		if err != nil {
			return err
		}
		networks = append(networks, network)
	}
	for i, network := range networks {
		lifted := bans.Unban(network)
		switch larger := around(bans, network); {
		case larger.IsValid():
			note(out, "%s is still kept out, as %s is banned", c.Networks[i], shortPrefix(larger))
		case lifted == 0:
			note(out, "%s was not banned", c.Networks[i])
		}
	}
	return nil
}

// around is a network that is banned and has the given one in it.
func around(bans *ban.Bans, network netip.Prefix) netip.Prefix {
	for _, b := range bans.List() {
		if b.Prefix.Bits() < network.Bits() && b.Prefix.Contains(network.Addr()) {
			return b.Prefix
		}
	}
	return netip.Prefix{}
}

type limitList struct {
	JSON bool `name:"json" help:"As JSON."`
}

// limiters are those of the configuration in force.
func (a *app) limiters() []*ratelimit.Limiter {
	var all []*ratelimit.Limiter
	g := a.guards.Load()
	for _, l := range []*ratelimit.Limiter{g.inbound, g.outbound} {
		if l != nil {
			all = append(all, l)
		}
	}
	return all
}

func (c *limitList) runOn(_ context.Context, a *app, out io.Writer) error {
	all := []ratelimit.Bucket{}
	for _, l := range a.limiters() {
		all = append(all, l.Status()...)
	}
	if c.JSON {
		lines := []limitLine{}
		for _, b := range all {
			lines = append(lines, limitLine{b.Rule, b.Key, math.Round(b.Wait.Seconds()*1000) / 1000})
		}
		return printJSON(out, lines)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "Nobody is over a limit.")
		return err
	}
	for _, b := range all {
		fmt.Fprintf(out, "%s  %s  for %s\n", b.Key, b.Rule, b.Wait.Round(time.Second))
	}
	return nil
}

// limitLine is a limit that is reached as `limit list -json` shows it.
type limitLine struct {
	Rule string  `json:"rule"`
	Key  string  `json:"key"`
	Wait float64 `json:"wait"` // in seconds
}

type limitReset struct {
	Keys []string `arg:"" name:"key" help:"Addresses, networks or users."`
}

func (c *limitReset) runOn(_ context.Context, a *app, out io.Writer) error {
	for _, key := range c.Keys {
		found := false
		for _, l := range a.limiters() {
			found = l.Reset("", key) || found
			if login, err := directory.Canonical(key); err == nil && login != key {
				found = l.Reset("", login) || found
			}
		}
		if !found {
			note(out, "nothing was counted for %s", key)
		}
	}
	return nil
}

// listLine is a DNS list as `dnsbl -json` shows it.
type listLine struct {
	Name       string     `json:"name"`
	Class      string     `json:"class"` // what it is asked about: IPv4, IPv6 or domain
	State      string     `json:"state"` // untested, up or down
	Reason     string     `json:"reason"`
	Since      *time.Time `json:"since"`  // null: it is untested
	Tested     *time.Time `json:"tested"` // null: never
	Queries    uint64     `json:"queries"`
	Listings   uint64     `json:"listings"`
	Unanswered uint64     `json:"unanswered"`
}

type dnsblCommand struct {
	Test bool `help:"Test all lists now."`
	JSON bool `name:"json" help:"As JSON."`
}

func (c *dnsblCommand) runOn(ctx context.Context, a *app, out io.Writer) error {
	lists := a.guards.Load().lists
	if lists == nil {
		return errors.New("no list is asked: name some in dnsbl.lists")
	}
	var all []dnsbl.ListStatus
	if c.Test {
		all = lists.Test(ctx)
	} else {
		all = lists.Status()
	}
	if c.JSON {
		lines := []listLine{}
		for _, s := range all {
			lines = append(lines, listLine{s.Name, s.Class.String(), s.State.String(), s.Reason, ifAny(s.Since), ifAny(s.Tested), s.Queries, s.Listings, s.Unanswered})
		}
		return printJSON(out, lines)
	}
	for _, s := range all {
		fmt.Fprintf(out, "%s (%s)  %s  asked %d, listed %d, unanswered %d", s.Name, s.Class, s.State, s.Queries, s.Listings, s.Unanswered)
		if s.Reason != "" {
			fmt.Fprintf(out, "  %s", s.Reason)
		}
		fmt.Fprintln(out)
	}
	return nil
}
