package hello

import (
	"context"
	"net/netip"
	"strings"

	"github.com/mailbricks/mailbricks/internal/dnserror"
	"github.com/mailbricks/mailbricks/internal/domainname"
	"github.com/mailbricks/mailbricks/internal/ipaddr"
	"github.com/mailbricks/mailbricks/smtpd"
)

type findingKey struct{}

// finding is what is kept of a session. It holds for one name and one client: there may be another EHLO, and a trusted proxy
// may tell of another client.
type finding struct {
	name   string
	client netip.Addr
	rule   Rule
}

// Of gives the rule that the name of a session breaks, None if it breaks none or was not looked at yet: before MAIL or, with
// Options.AtHello, before EHLO.
func Of(s *smtpd.Session) Rule {
	f, _ := s.Value(findingKey{}).(finding)
	if f.name != s.Peer.Hello || f.client != s.Peer.Addr.Addr() {
		return None
	}
	return f.rule
}

// look finds out which rule the name of a session breaks. A name is looked at once, but tried again after a Fault.
func (c *checker) look(ctx context.Context, s *smtpd.Session) Rule {
	f, known := s.Value(findingKey{}).(finding)
	now := finding{name: s.Peer.Hello, client: s.Peer.Addr.Addr()}
	if known && f.name == now.name && f.client == now.client && f.rule != Fault {
		return f.rule
	}
	now.rule = c.judge(ctx, s)
	s.Set(findingKey{}, now)
	return now.rule
}

func (c *checker) judge(ctx context.Context, s *smtpd.Session) Rule {
	name := s.Peer.Hello
	if literal, ok := strings.CutPrefix(name, "["); ok {
		return c.literal(s, strings.TrimSuffix(literal, "]"))
	}
	if a, err := netip.ParseAddr(name); err == nil {
		return c.first(when(OwnAddress, c.own(s, a) && !c.here(s)), BareAddress)
	}
	host, isHost := domainname.Host(name)
	if !isHost {
		own, _ := domainname.Identity(name) // this server's own name may be no better
		return c.first(when(OwnName, c.ownName(s, own)), Malformed)
	}
	rule := c.first(
		when(OwnName, c.ownName(s, host)),
		when(Localhost, isLocal(host) && !c.here(s)),
		when(NotQualified, !strings.Contains(host, ".")),
	)
	if rule == None && c.action(Unknown) != Off {
		rule = c.lookUp(ctx, host)
	}
	return rule
}

// literal is for an address in brackets (RFC 5321 §4.1.3). The tag of IPv6 addresses may be missing, as it often is.
func (c *checker) literal(s *smtpd.Session, text string) Rule {
	if len(text) > 5 && strings.EqualFold(text[:5], "IPv6:") {
		text = text[5:]
	}
	a, err := netip.ParseAddr(text)
	client := ipaddr.Plain(s.Peer.Addr.Addr())
	switch a = ipaddr.Plain(a); {
	case err != nil:
		return c.first(Malformed)
	case a == client:
		return None
	case c.own(s, a) && !c.here(s):
		return c.first(OwnAddress, address(a))
	}
	return c.first(address(a))
}

// address is the rule for an address that is not the client's.
func address(a netip.Addr) Rule {
	if ipaddr.Reachable(a) {
		return ForeignAddress
	}
	return PrivateAddress
}

// when is a rule if it is broken.
func when(r Rule, broken bool) Rule {
	if broken {
		return r
	}
	return None
}

// first is the first rule that is broken and not Off.
func (c *checker) first(rules ...Rule) Rule {
	for _, r := range rules {
		if r != None && c.action(r) != Off {
			return r
		}
	}
	return None
}

// here says whether the client is on this host, whose names are its names.
func (c *checker) here(s *smtpd.Session) bool {
	client := ipaddr.Plain(s.Peer.Addr.Addr())
	return client.IsLoopback() || c.own(s, client)
}

// own says whether an address is this server's.
func (c *checker) own(s *smtpd.Session, a netip.Addr) bool {
	a = ipaddr.Plain(a)
	return a == ipaddr.Plain(s.Peer.Local.Addr()) || c.addrs[a]
}

// ownName says whether a name is this server's, given by a client that is elsewhere. An empty one is not.
func (c *checker) ownName(s *smtpd.Session, name string) bool {
	if name == "" || c.here(s) {
		return false
	}
	host, _ := domainname.Identity(s.Hostname)
	return name == host || c.names[name]
}

// isLocal says whether a name is one that each host has for itself (RFC 6761 §6.3).
func isLocal(name string) bool {
	top := domainname.TopLabel(name)
	return top == "localhost" || top == "localdomain"
}

// lookUp asks the DNS for a name.
func (c *checker) lookUp(ctx context.Context, name string) Rule {
	ctx, cancel := context.WithTimeout(ctx, MaxTime)
	defer cancel()
	addrs, err := c.Resolver.LookupNetIP(ctx, "ip", name+".")
	if len(addrs) > 0 {
		return None
	}
	mxs, errMX := c.Resolver.LookupMX(ctx, name+".")
	switch {
	case len(mxs) > 0:
		return None
	case isFault(err), isFault(errMX):
		return Fault
	}
	return Unknown
}

// isFault says whether err is one that may pass.
func isFault(err error) bool {
	return err != nil && !dnserror.NotFound(err)
}
