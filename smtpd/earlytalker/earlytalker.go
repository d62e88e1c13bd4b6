package earlytalker

import (
	"context"
	"errors"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// The defaults of Options.
const (
	DefaultDelay         = 6 * time.Second
	DefaultStressedDelay = 2 * time.Second
)

// Action is what is done about a client that talks too early.
type Action int

// The actions.
const (
	// Refuse turns the client away: by 554 5.5.1 as the greeting, after which nothing but QUIT is served (RFC 5321 §3.1).
	// Behind the greeting, and while the server is under stress, it is Close.
	Refuse Action = iota
	// Close ends the session: before the greeting by 521 5.5.1 (RFC 7504 §3), later by 554 5.5.0.
	Close
	// RefuseRecipients lets the client talk on, but refuses each of its recipients by 550 5.5.1, so that the log tells of
	// sender and recipients. Behind DATA it is Close.
	RefuseRecipients
	// Quarantine puts the mail aside when it is stored.
	Quarantine
	// Mark does nothing but what Of tells.
	Mark
	// Ignore does not look. Without a look before the greeting there is no delay either.
	Ignore
)

// Options say what to do. The zero value turns early talkers away.
type Options struct {
	// Delay is how long a client must be silent before it is greeted; default DefaultDelay. The server's CheckTimeout ends
	// the delay, too. Clients wait for five minutes (RFC 5321 §4.5.3.2.1), but honest ones are not served faster by more.
	Delay time.Duration
	// StressedDelay is Delay for sessions that begin while the server is under stress; default DefaultStressedDelay.
	StressedDelay time.Duration

	// Early is for clients that talk before the greeting.
	Early Action
	// Pipelining is for clients that send commands ahead where they must not.
	Pipelining Action

	// Passed remembers clients that have waited, who are not delayed again. Nil: one for this check alone. Several checks, or
	// the one before a change of configuration and the one after it, can share one.
	Passed *Clients
	// Skip names sessions that are left alone, such as those of one's own networks; nil: none.
	Skip func(s *smtpd.Session) bool
}

// Check is the check; see the package comment. Put it behind checks that know at Connect who is refused or trusted anyway,
// and in front of those that ask others.
func Check(o Options) smtpd.Check {
	if o.Delay <= 0 {
		o.Delay = DefaultDelay
	}
	if o.StressedDelay <= 0 {
		o.StressedDelay = DefaultStressedDelay
	}
	if o.Passed == nil {
		o.Passed = new(Clients)
	}
	c := &checker{o}
	check := smtpd.Check{Name: "earlytalker"}
	if o.Early != Ignore {
		check.Connect = c.connect
	}
	if o.Pipelining != Ignore {
		check.Hello, check.Mail, check.Data = c.hello, c.mail, c.data
	}
	if o.Early == RefuseRecipients || o.Pipelining != Ignore {
		check.Rcpt = c.rcpt
	}
	return check
}

type checker struct{ Options }

func (c *checker) skips(s *smtpd.Session) bool {
	return s.Peer.Identity != nil || s.Proxy != nil || !s.Peer.Addr.IsValid() || c.Skip != nil && c.Skip(s)
}

// connect delays the greeting.
func (c *checker) connect(ctx context.Context, s *smtpd.Session) error {
	client := s.Peer.Addr.Addr()
	if c.skips(s) || c.Passed.Has(client) {
		return nil
	}
	delay := c.Delay
	if s.Stressed() {
		delay = min(delay, c.StressedDelay)
	}
	wait, cancel := context.WithTimeout(ctx, delay)
	defer cancel()
	switch err := s.AwaitInput(wait); {
	case err == nil:
		return c.early(s)
	case !errors.Is(err, context.DeadlineExceeded):
		return err // it has left
	}
	c.Passed.Add(client)
	return nil
}

// early is for a client that has talked before the greeting.
func (c *checker) early(s *smtpd.Session) error {
	const text = "Protocol error: you talk before the greeting"
	note(s, BeforeGreeting, c.Early)
	switch {
	case c.Early == Refuse && !s.Stressed():
		return &mailbricks.Reply{Code: 554, Enhanced: "5.5.1", Text: text}
	case c.Early == Refuse, c.Early == Close:
		return &mailbricks.Reply{Code: 521, Enhanced: "5.5.1", Text: text}
	case c.Early == Quarantine:
		return smtpd.Quarantine("earlytalker: " + string(BeforeGreeting))
	}
	return nil
}
