package main

import (
	"cmp"
	"errors"
	"net/netip"
	"reflect"
	"slices"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/resolver"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/ban"
	"github.com/mailbricks/mailbricks/smtpd/dnsbl"
	"github.com/mailbricks/mailbricks/smtpd/earlytalker"
	"github.com/mailbricks/mailbricks/smtpd/greylist"
	"github.com/mailbricks/mailbricks/smtpd/hello"
	"github.com/mailbricks/mailbricks/smtpd/iprev"
	"github.com/mailbricks/mailbricks/smtpd/ratelimit"
	"github.com/mailbricks/mailbricks/smtpd/senderdomain"
)

// guards are the checks that remember something, of the configuration in force.
type guards struct {
	of        defence        // what they were made of
	never     []netip.Prefix // who is never banned
	balancers []netip.Prefix
	passed    *earlytalker.Clients

	bans              filed[*ban.Bans]
	greylist          filed[*greylist.Greylist]
	inbound, outbound *ratelimit.Limiter // nil: off
	lists             *dnsbl.Checker     // nil: there are none
}

// setGuards makes the guards that a configuration asks for. Those of which it says the same as before go on. After an error
// some may be as before, or new, or missing, which the configuration before puts right again.
func (a *app) setGuards(c *config) error {
	old := a.guards.Load()
	next := &guards{of: c.defence, balancers: c.balancers()}
	next.never = slices.Concat(
		c.defence.exempt, c.policy.trustedNetworks, next.balancers, c.defence.session.xclientFrom, c.defence.ban.never)
	err := errors.Join(next.limit(old, a), next.ask(old, a), next.remember(old, a, c))
	if next.passed = old.passed; next.passed == nil {
		next.passed = new(earlytalker.Clients)
	}
	a.guards.Store(next)
	return err
}

// counting gives g with what others have counted, which were made of the same configuration.
func (g *guards) counting(others *guards) *guards {
	all := *g
	all.inbound, all.outbound, all.lists = others.inbound, others.outbound, others.lists
	return &all
}

// limit makes the limiters.
func (g *guards) limit(old *guards, a *app) error {
	if g.of.rates == old.of.rates {
		g.inbound, g.outbound = old.inbound, old.outbound
		return nil
	}
	var errs [2]error
	g.inbound, errs[0] = limiter(g.of.rates.inbound(), a.isExempt)
	g.outbound, errs[1] = limiter(g.of.rates.outbound(), nil)
	return errors.Join(errs[:]...)
}

// limiter is nil without rules.
func limiter(rules []ratelimit.Rule, skip func(*smtpd.Session) bool) (*ratelimit.Limiter, error) {
	if len(rules) == 0 {
		return nil, nil
	}
	return ratelimit.New(ratelimit.Options{Rules: rules, Skip: skip})
}

// networkFactor is how much more than one client its network may have.
const networkFactor = 4

// inbound are the rules for those who hand mail in. Of IPv6 a client is a /64 and a network a /48, of IPv4 a /24.
func (r rates) inbound() []ratelimit.Rule {
	client, network := ratelimit.Network(32, 64), ratelimit.Network(24, 48)
	return slices.Concat(
		r.clientConnections.rule("client_connections", ratelimit.Connections, client, 1),
		r.clientConnections.rule("network_connections", ratelimit.Connections, network, networkFactor),
		r.clientMessages.rule("client_messages", ratelimit.Messages, client, 1),
		r.clientMessages.rule("network_messages", ratelimit.Messages, network, networkFactor),
		r.clientRecipients.rule("client_recipients", ratelimit.Recipients, client, 1),
	)
}

// outbound are the rules for users. What is refused is not charged to them.
func (r rates) outbound() []ratelimit.Rule {
	rules := slices.Concat(
		r.userMessages.rule("user_messages", ratelimit.Messages, ratelimit.Login(), 1),
		r.userRecipients.rule("user_recipients", ratelimit.Recipients, ratelimit.Login(), 1),
	)
	for i := range rules {
		rules[i].Refund = true
	}
	return rules
}

// rule is none for the zero rate.
func (r rate) rule(name string, what ratelimit.What, key ratelimit.Key, factor int) []ratelimit.Rule {
	if r.count == 0 {
		return nil
	}
	return []ratelimit.Rule{{Name: name, What: what, Key: key, Count: factor * r.count, Per: r.per, Burst: factor * r.burst}}
}

// ask makes the Checker of DNS lists.
func (g *guards) ask(old *guards, a *app) error {
	d := g.of.dnsbl
	if reflect.DeepEqual(d, old.of.dnsbl) && reflect.DeepEqual(g.of.exempt, old.of.exempt) {
		g.lists = old.lists
		return nil
	}
	if len(d.lists) == 0 {
		return nil
	}
	o := dnsbl.Options{
		Resolver: lookups{&a.dns}, RefuseAt: cmp.Or(d.rejectAt, -1), TemporaryAt: d.deferAt, QuarantineAt: d.junkAt, GoodAt: d.goodAt,
		MaxTime: d.timeout, Skip: a.isExempt, Logger: a.log,
	}
	for _, text := range d.lists {
		list, err := dnsbl.ParseList(text)
		if err != nil {
			return err
		}
		o.Lists = append(o.Lists, list)
	}
	var err error
	g.lists, err = dnsbl.New(o)
	return err
}

// hasGoodName says whether allow lists speak for the client.
func hasGoodName(tx *smtpd.Transaction) bool {
	result, ok := dnsbl.From(tx.Session)
	return ok && result.Good
}

// isExempt says whether a session is of a client that the checks of strangers leave alone.
func (a *app) isExempt(s *smtpd.Session) bool {
	c := a.config()
	return isTrusted(c, s.Peer) || contains(c.defence.exempt, s.Peer) || contains(c.defence.session.xclientFrom, s.Peer) ||
		contains(a.guards.Load().balancers, s.Peer) || isItself(s.Peer)
}

// isItself says whether a peer connects from the address that it connects to, as this machine does to one of its own.
func isItself(peer mailbricks.Peer) bool {
	return peer.Addr.IsValid() && peer.Addr.Addr().Unmap() == peer.Local.Addr().Unmap()
}

// balancers are the networks of all load balancers, which connect for themselves, too, to see whether a service answers. That
// anybody may speak for clients (0.0.0.0/0, behind a packet filter) does not make a balancer of anybody.
func (c *config) balancers() []netip.Prefix {
	var all []netip.Prefix
	for _, endpoints := range c.listen {
		for _, at := range endpoints {
			all = append(all, at.proxyFrom...)
		}
	}
	all = slices.DeleteFunc(all, func(network netip.Prefix) bool { return network.Bits() == 0 })
	slices.SortFunc(all, netip.Prefix.Compare)
	return slices.Compact(all)
}

// gate are the checks that only count, which come first: who is over a limit costs nothing more.
func (g *guards) gate(limiter *ratelimit.Limiter) []smtpd.Check {
	var checks []smtpd.Check
	if bans := g.bans.guard; bans != nil {
		checks = append(checks, bans.Check())
	}
	if limiter != nil {
		checks = append(checks, limiter.Check())
	}
	return checks
}

// strangers are the checks of those who hand in mail for recipients who are there, in their order: what asks the DNS works
// while the greeting waits, and who has to come again waits for what refuses for good.
func (a *app) strangers(c *config, dns *resolver.Resolver) []smtpd.Check {
	g := a.guards.Load()
	var checks []smtpd.Check
	if g.needNames() {
		checks = append(checks, iprev.Check(iprev.Options{Resolver: dns, Skip: a.isExempt}))
	}
	if g.lists != nil {
		checks = append(checks, g.lists.Check())
	}
	early, names, sender := c.defence.early, c.defence.hello, c.defence.sender
	early.Delay, early.Passed, early.Skip = c.defence.greetDelay, g.passed, a.isExempt
	if early.Delay == 0 {
		early.Early = earlytalker.Ignore
	}
	names.Resolver, names.Skip = dns, a.isExempt
	sender.Resolver, sender.Skip = dns, a.isExempt
	checks = append(checks, earlytalker.Check(early), hello.Check(names), senderdomain.Check(sender))
	if known := g.greylist.guard; known != nil {
		checks = append(checks, known.Check())
	}
	return checks
}

// needNames says whether a guard goes by the confirmed names of clients.
func (g *guards) needNames() bool {
	return g.greylist.guard != nil && len(g.of.greylist.clientNames) > 0 || slices.ContainsFunc(g.of.dnsbl.lists, func(text string) bool {
		list, err := dnsbl.ParseList(text)
		return err == nil && list.For&dnsbl.ReverseName != 0
	})
}

// session sets the limits of a session.
func (s *sessionConfig) set(srv *smtpd.Server) {
	srv.MaxConnectionsPerNetwork, srv.MaxErrors, srv.MaxBadRecipients, srv.MaxAuthFailures = s.perNetwork, s.errors, s.badRecipients, s.authFailures
	srv.MaxDeferredRecipients = s.deferredRecipients
	srv.MinDataRate, srv.StressThreshold = cmp.Or(s.minDataRate, -1), cmp.Or(float64(s.stress)/100, -1)
	srv.CommandTimeout, srv.DataTimeout, srv.SessionTimeout = s.command, s.data, s.whole
	srv.HideSubmitter = s.hideSubmitter
	if s.repairLineEnds {
		srv.BareLineEnds = smtpd.RepairBareLineEnds
	}
	if from := s.xclientFrom; len(from) > 0 {
		srv.TrustXCLIENT = func(peer mailbricks.Peer) bool { return contains(from, peer) }
	}
}

// contains says whether the peer's address is in one of the networks.
func contains(networks []netip.Prefix, peer mailbricks.Peer) bool {
	return smtpd.PeerIn(networks...)(peer)
}

// failedLogIn tells the bans of a log-in over IMAP or POP3 that failed for good.
func (a *app) failedLogIn(service string, peer mailbricks.Peer, err error) {
	if bans := a.guards.Load().bans.guard; bans != nil && errors.Is(err, mailbricks.ErrAuth) {
		bans.Report(peer.Addr.Addr(), ban.DefaultAuthFailure, service+" log-in failed")
	}
}

// banned says whether a peer is kept out.
func (a *app) banned(addr netip.Addr) bool {
	bans := a.guards.Load().bans.guard
	return bans != nil && bans.Banned(addr)
}
