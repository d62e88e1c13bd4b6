package hello

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/domainname"
	"github.com/mailbricks/mailbricks/internal/ipaddr"
	"github.com/mailbricks/mailbricks/smtpd"
)

// MaxTime is how long the look-ups of one name may take. What is not known then is a Fault.
const MaxTime = 10 * time.Second

// Resolver asks the DNS; *net.Resolver is one. That there is nothing is an error that is a *net.DNSError with IsNotFound. Any
// other error is one that may pass. Names are asked for with a final dot.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
}

// Options say what to do. The zero value refuses clients that give themselves this server's name or address.
type Options struct {
	// Names are names that only this server may give itself, such as the domains that it takes mail for, beside
	// Session.Hostname.
	Names []string
	// Addrs are this server's addresses as others see them, beside the one that the client has connected to: those in front
	// of a NAT.
	Addrs []netip.Addr

	// OwnName is the action for the [Rule] of that name, as those that follow are for theirs: Refuse by default. It does not
	// hold for clients on this host.
	OwnName Action
	// OwnAddress is Refuse by default, and does not hold for clients on this host.
	OwnAddress Action
	// ForeignAddress is Mark by default.
	ForeignAddress Action
	// PrivateAddress is Mark by default.
	PrivateAddress Action
	// BareAddress is Mark by default.
	BareAddress Action
	// Localhost is Mark by default, and does not hold for clients on this host.
	Localhost Action
	// Malformed is Mark by default.
	Malformed Action
	// NotQualified is Mark by default.
	NotQualified Action
	// Unknown is Off by default: it costs a question to the DNS.
	Unknown Action

	// Resolver asks the DNS, for Unknown; nil: net.DefaultResolver. One with a cache is better. When it does not answer, Defer
	// and Refuse are both 451 4.4.3, and other actions Mark.
	Resolver Resolver

	// AtHello refuses at EHLO and HELO instead of RCPT. It is not for ports where users log in.
	AtHello bool
	// Skip names sessions that are left alone, such as those of one's own networks; nil: none.
	Skip func(s *smtpd.Session) bool
}

// Check is the check; see the package comment.
func Check(o Options) smtpd.Check {
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	c := &checker{Options: o, names: make(map[string]bool, len(o.Names)), addrs: make(map[netip.Addr]bool, len(o.Addrs))}
	for _, name := range o.Names {
		if name, ok := domainname.Identity(name); ok {
			c.names[name] = true
		}
	}
	for _, a := range o.Addrs {
		c.addrs[ipaddr.Plain(a)] = true
	}
	if o.AtHello {
		return smtpd.Check{Name: "hello", Hello: c.hello}
	}
	return smtpd.Check{Name: "hello", Mail: c.mail, Rcpt: c.rcpt}
}

type checker struct {
	Options
	names map[string]bool
	addrs map[netip.Addr]bool
}

func (c *checker) skips(s *smtpd.Session) bool {
	return s.Peer.Identity != nil || !s.Peer.Addr.IsValid() || c.Skip != nil && c.Skip(s)
}

func (c *checker) hello(ctx context.Context, s *smtpd.Session, name string) error {
	if c.skips(s) {
		return nil
	}
	rule := c.look(ctx, s)
	if c.action(rule) == Quarantine {
		return quarantine(rule, name)
	}
	return c.refusal(rule, name)
}

func (c *checker) mail(ctx context.Context, tx *smtpd.Transaction) error {
	if s := tx.Session; !c.skips(s) {
		if rule := c.look(ctx, s); c.action(rule) == Quarantine {
			return quarantine(rule, s.Peer.Hello)
		}
	}
	return nil
}

func (c *checker) rcpt(_ context.Context, tx *smtpd.Transaction, _ *mailbricks.Recipient) error {
	if s := tx.Session; !c.skips(s) {
		return c.refusal(Of(s), s.Peer.Hello)
	}
	return nil
}

// action is what is to be done where a rule is broken.
func (c *checker) action(r Rule) Action {
	switch r {
	case OwnName:
		return either(c.OwnName, Refuse)
	case OwnAddress:
		return either(c.OwnAddress, Refuse)
	case ForeignAddress:
		return either(c.ForeignAddress, Mark)
	case PrivateAddress:
		return either(c.PrivateAddress, Mark)
	case BareAddress:
		return either(c.BareAddress, Mark)
	case Localhost:
		return either(c.Localhost, Mark)
	case Malformed:
		return either(c.Malformed, Mark)
	case NotQualified:
		return either(c.NotQualified, Mark)
	case Unknown:
		return either(c.Unknown, Off)
	case Fault:
		if c.Unknown == Defer || c.Unknown == Refuse {
			return Defer
		}
		return Mark
	}
	return Off
}

func either(given, otherwise Action) Action {
	if given == Default {
		return otherwise
	}
	return given
}

// refusal is the reply to a client whose name breaks a rule, if the rule is one to refuse for.
func (c *checker) refusal(r Rule, name string) error {
	reply := &mailbricks.Reply{Code: 450, Enhanced: "4.7.1", Text: text(r, name)}
	switch c.action(r) {
	case Refuse:
		reply.Code, reply.Enhanced = r.codes()
	case Defer:
		if r == Fault {
			reply.Code, reply.Enhanced = 451, "4.4.3"
		}
	default:
		return nil
	}
	return reply
}

func quarantine(r Rule, name string) error { return smtpd.Quarantine("hello: " + text(r, name)) }

func text(r Rule, name string) string { return fmt.Sprintf("Hello from <%s> rejected: %s", name, r) }
