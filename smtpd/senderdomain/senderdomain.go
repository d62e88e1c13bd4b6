package senderdomain

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// The limits of what is asked about one domain.
const (
	// MaxTime is how long the look-ups may take. What is not known then is a Fault.
	MaxTime = 10 * time.Second
	// MaxHosts is how many hosts of a domain are looked up for Unroutable, the most preferred first. A domain with more of
	// them is Fine if all of these are not: nobody knows of the others.
	MaxHosts = 5
)

// Resolver asks the DNS; *net.Resolver is one. That there is nothing is an error that is a *net.DNSError with IsNotFound. Any
// other error is one that may pass. Beside an error LookupMX may give the valid ones of an answer in a slice that is not nil.
// Names are asked for with a final dot.
type Resolver interface {
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// ExactResolver is what a Resolver may have besides, to tell Nonexistent from Unknown. The one of package resolver has it.
type ExactResolver interface {
	// Lookup says in NXDomain that the name does not exist. That there are no records is no error.
	Lookup(ctx context.Context, name, rrtype string) (struct {
		Name      string
		Records   []string
		TTL       time.Duration
		Authentic bool
		NXDomain  bool
	}, error)
}

// Options say what to do. The zero value is what the package comment says.
type Options struct {
	// Resolver asks the DNS; nil: net.DefaultResolver. One with a cache is better.
	Resolver Resolver

	// NullMX is for domains that say that they take no mail; by default Refuse.
	NullMX Action
	// Unknown is for domains without MX and addresses; by default Defer.
	Unknown Action
	// Nonexistent is for domains that do not exist, where Resolver is an ExactResolver; by default what Unknown is.
	Nonexistent Action
	// Unroutable is for domains whose hosts have no addresses but private ones, loopback ones and the like, or none at all;
	// by default Off, as it asks for the address of each host.
	Unroutable Action
	// Literal is for addresses like <ann@[192.0.2.1]>, which RFC 5321 §4.1.3 allows and few servers use; by default Off.
	Literal Action
	// Fault is for domains about which the DNS does not answer; by default Defer.
	Fault Action

	// Skip names sessions that are left alone, such as those of one's own networks; nil: none.
	Skip func(s *smtpd.Session) bool
}

// Check is the check; see the package comment.
func Check(o Options) smtpd.Check {
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	c := &checker{o}
	return smtpd.Check{Name: "senderdomain", Mail: c.mail}
}

type checker struct{ Options }

func (c *checker) skips(s *smtpd.Session) bool {
	return s.Peer.Identity != nil || !s.Peer.Addr.IsValid() || c.Skip != nil && c.Skip(s)
}

type findingKey struct{}

// Of gives what was found about the sender's domain of a message, Fine before MAIL and for who was left alone.
func Of(tx *smtpd.Transaction) Finding {
	f, _ := tx.Value(findingKey{}).(Finding)
	return f
}

func (c *checker) mail(ctx context.Context, tx *smtpd.Transaction) error {
	from := tx.Envelope.From
	at := strings.LastIndexByte(from, '@')
	if at < 0 || c.skips(tx.Session) { // a bounce
		return nil
	}
	domain := from[at+1:]
	f := c.judge(ctx, domain)
	tx.Set(findingKey{}, f)
	text := fmt.Sprintf("Sender address rejected: domain %s %s", domain, f)
	switch c.action(f) {
	case Quarantine:
		return smtpd.Quarantine("senderdomain: " + text)
	case Defer:
		if f == Fault {
			return &mailbricks.Reply{Code: 451, Enhanced: "4.4.3", Text: text}
		}
		return &mailbricks.Reply{Code: 450, Enhanced: "4.1.8", Text: text}
	case Refuse:
		if f == NullMX {
			return &mailbricks.Reply{Code: 550, Enhanced: "5.7.27", Text: text}
		}
		return &mailbricks.Reply{Code: 550, Enhanced: "5.1.8", Text: text}
	}
	return nil
}

// action is what is to be done about a finding.
func (c *checker) action(f Finding) Action {
	switch f {
	case NullMX:
		return either(c.NullMX, Refuse)
	case Unknown:
		return either(c.Unknown, Defer)
	case Nonexistent:
		return either(c.Nonexistent, either(c.Unknown, Defer))
	case Unroutable:
		return either(c.Unroutable, Off)
	case Literal:
		return either(c.Literal, Off)
	case Fault:
		return min(either(c.Fault, Defer), Defer) // never for good
	}
	return Off
}

func either(given, otherwise Action) Action {
	if given == Default {
		return otherwise
	}
	return given
}
