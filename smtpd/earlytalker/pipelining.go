package earlytalker

import (
	"context"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// Offence is what a client did before it was its turn; empty: nothing.
type Offence string

// The offences.
const (
	BeforeGreeting    Offence = "talked before the greeting"       // RFC 5321 §3.1
	BehindHello       Offence = "sent commands behind EHLO"        // RFC 2920 §3.1
	WithoutPipelining Offence = "sent commands ahead without EHLO" // which offers PIPELINING
	BehindData        Offence = "sent the message before 354"      // RFC 2920 §3.1
)

type stateKey struct{}

// state is kept of a session that has an offence.
type state struct {
	first  Offence
	refuse bool // all recipients
}

// Of gives the first offence of a session.
func Of(s *smtpd.Session) Offence {
	known, _ := s.Value(stateKey{}).(state)
	return known.first
}

// note keeps an offence.
func note(s *smtpd.Session, o Offence, a Action) {
	known, _ := s.Value(stateKey{}).(state)
	if known.first == "" {
		known.first = o
	}
	known.refuse = known.refuse || a == RefuseRecipients
	s.Set(stateKey{}, known)
}

func (c *checker) hello(_ context.Context, s *smtpd.Session, _ string) error {
	return c.ahead(s, BehindHello)
}

func (c *checker) mail(_ context.Context, tx *smtpd.Transaction) error {
	return c.withoutPipelining(tx.Session)
}

func (c *checker) rcpt(_ context.Context, tx *smtpd.Transaction, _ *mailbricks.Recipient) error {
	s := tx.Session
	if c.Pipelining != Ignore {
		if err := c.withoutPipelining(s); err != nil {
			return err
		}
	}
	if known, _ := s.Value(stateKey{}).(state); known.refuse && !c.skips(s) {
		return &mailbricks.Reply{Code: 550, Enhanced: "5.5.1", Text: "Protocol error: you talk before it is your turn"}
	}
	return nil
}

func (c *checker) data(_ context.Context, tx *smtpd.Transaction) error {
	return c.ahead(tx.Session, BehindData)
}

// withoutPipelining is for the commands that may be pipelined where that was offered.
func (c *checker) withoutPipelining(s *smtpd.Session) error {
	if s.Peer.Protocol != "SMTP" { // it began with EHLO
		return nil
	}
	return c.ahead(s, WithoutPipelining)
}

// ahead is for commands behind which nothing may have been sent.
func (c *checker) ahead(s *smtpd.Session, o Offence) error {
	if c.skips(s) || s.Pending() == 0 {
		return nil
	}
	c.Passed.Remove(s.Peer.Addr.Addr())
	note(s, o, c.Pipelining)
	switch {
	case c.Pipelining == Mark, c.Pipelining == RefuseRecipients && o != BehindData:
		return nil
	case c.Pipelining == Quarantine:
		return smtpd.Quarantine("earlytalker: " + string(o))
	}
	return smtpd.Close(&mailbricks.Reply{Code: 554, Enhanced: "5.5.0", Text: "Protocol error: you " + string(o)})
}
