package iprev

import (
	"context"
	"fmt"
	"net"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/ipaddr"
	"github.com/mailbricks/mailbricks/smtpd"
)

// Action is what is done about a client.
type Action int

// The actions.
const (
	Ignore     Action = iota // nothing
	Quarantine               // its mail is put aside when it is stored
	Defer                    // MAIL is refused for now, with 450 4.7.25
	Refuse                   // MAIL is refused for good, with 550 5.7.25 (RFC 7372 §3.3)
)

// Options say what to do. The zero value only looks names up.
type Options struct {
	// Resolver asks the DNS; nil: net.DefaultResolver. One with a cache is better.
	Resolver Resolver

	// NoName is for clients whose address has no name (PermError).
	NoName Action
	// Unconfirmed is for clients whose address has names, of which none leads back to it (Fail).
	Unconfirmed Action
	// Fault is for clients whose name cannot be found out for now (TempError). Defer and Refuse are both 451 4.4.3.
	Fault Action

	// AtConnect looks the name up before the greeting, which then waits for the DNS, so that it is there for checks that are
	// asked sooner than at MAIL. What is done about it is done at MAIL all the same.
	AtConnect bool
	// Skip names sessions that are left alone, such as those of one's own networks; nil: none.
	Skip func(s *smtpd.Session) bool
}

// Check is the check; see the package comment. Put it in front of the checks that use its outcome.
func Check(o Options) smtpd.Check {
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	c := &checker{o}
	check := smtpd.Check{Name: "iprev", Mail: c.mail}
	if o.AtConnect {
		check.Connect = c.connect
	}
	return check
}

type checker struct{ Options }

func (c *checker) known(s *smtpd.Session) bool {
	return s.Peer.Identity != nil || c.Skip != nil && c.Skip(s)
}

func (c *checker) connect(ctx context.Context, s *smtpd.Session) error {
	if !c.known(s) {
		OfSession(ctx, c.Resolver, s)
	}
	return nil
}

func (c *checker) mail(ctx context.Context, tx *smtpd.Transaction) error {
	s := tx.Session
	if c.known(s) {
		return nil
	}
	switch r := OfSession(ctx, c.Resolver, s); r.Value {
	case PermError:
		return act(c.NoName, fmt.Sprintf("no name found for your address [%s]", r.Addr))
	case Fail:
		return act(c.Unconfirmed, fmt.Sprintf("the name of your address [%s] does not lead back to it", r.Addr))
	case TempError:
		text := fmt.Sprintf("the name of your address [%s] cannot be looked up now", r.Addr)
		if c.Fault == Defer || c.Fault == Refuse {
			return &mailbricks.Reply{Code: 451, Enhanced: "4.4.3", Text: rejected + text}
		}
		return act(c.Fault, text)
	}
	return nil
}

// rejected begins all texts.
const rejected = "Client host rejected: "

// act is what a hook returns for an action.
func act(a Action, text string) error {
	switch a {
	case Quarantine:
		return smtpd.Quarantine("iprev: " + text)
	case Defer:
		return &mailbricks.Reply{Code: 450, Enhanced: "4.7.25", Text: rejected + text}
	case Refuse:
		return &mailbricks.Reply{Code: 550, Enhanced: "5.7.25", Text: rejected + text}
	}
	return nil
}

type resultKey struct{}

// OfSession is the outcome for the client of a session. It is looked up once, but tried again after a TempError. A name that
// is confirmed becomes s.ReverseName if that is empty. It is for the functions of checks.
func OfSession(ctx context.Context, resolver Resolver, s *smtpd.Session) Result {
	r, known := Of(s)
	if !known || r.Value == TempError {
		r = LookUp(ctx, resolver, s.Peer.Addr.Addr())
		s.Set(resultKey{}, r)
	}
	if r.Name != "" && s.ReverseName == "" {
		s.ReverseName = r.Name
	}
	return r
}

// Of gives what has been found out about the client of a session. False: nobody has looked it up yet.
func Of(s *smtpd.Session) (Result, bool) {
	r, known := s.Value(resultKey{}).(Result)
	if known && r.Addr != ipaddr.Plain(s.Peer.Addr.Addr()) { // a trusted proxy has told of another client since
		return Result{}, false
	}
	return r, known
}
