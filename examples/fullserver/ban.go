package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/mailbricks/mailbricks/smtpd/ban"
	"github.com/mailbricks/mailbricks/smtpd/dnsbl"
	"github.com/mailbricks/mailbricks/smtpd/ratelimit"
)

// errNoBans says that there is nothing to list or change.
var errNoBans = errors.New("bans are off: set ban.enabled = true")

// bans are those of the configuration in force.
func (a *app) bans() (*ban.Bans, error) {
	if bans := a.guards.Load().bans; bans != nil {
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
		if list == nil {
			list = []ban.Ban{}
		}
		return printJSON(out, list)
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
		if bans.Unban(network) == 0 {
			note(out, "%s was not banned", c.Networks[i])
		}
	}
	return nil
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
		return printJSON(out, all)
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

type limitReset struct {
	Keys []string `arg:"" name:"key" help:"Addresses, networks or users."`
}

func (c *limitReset) runOn(_ context.Context, a *app, out io.Writer) error {
	for _, key := range c.Keys {
		found := false
		for _, l := range a.limiters() {
			found = l.Reset("", key) || found
		}
		if !found {
			note(out, "nothing was counted for %s", key)
		}
	}
	return nil
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
		return printJSON(out, all)
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
