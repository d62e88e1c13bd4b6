package smtpd

import (
	"context"
	"fmt"

	"github.com/mailbricks/mailbricks"
)

// Check has a say at the steps of a session. Each function is optional; the first that returns an error ends its step
// with that error as the reply (see [mailbricks.ReplyTo]), and later checks are not asked, unless the error is a [Verdict]
// that says otherwise. A reply with the code 421 closes the connection at any step. ctx ends when the peer has left, the
// time for the step is over or the server is closed; its Value sees what checks have [Session.Set] and [Transaction.Set].
//
// The functions of one session are called one at a time; those of different sessions at the same time.
type Check struct {
	// Name is what logs call the check.
	Name string

	// Connect is asked before the greeting, on a listener with implicit TLS after the handshake. An error is the greeting:
	// with its text, as 554 if it is permanent (521 stays 521, RFC 7504) and as 421 if not. After 421 and 521 the connection
	// is closed; after 554 nothing but QUIT is served (RFC 5321 §3.1).
	Connect func(ctx context.Context, s *Session) error
	// Hello is asked at each EHLO and HELO whose name is well formed; name is also in s.Peer.Hello.
	Hello func(ctx context.Context, s *Session, name string) error
	// Mail is asked at MAIL, with tx.Envelope filled in; it may change tx.Envelope.From.
	Mail func(ctx context.Context, tx *Transaction) error
	// Rcpt is asked at each RCPT, before rcpt is in tx.Envelope.Recipients; it may change rcpt.
	Rcpt func(ctx context.Context, tx *Transaction, rcpt *mailbricks.Recipient) error
	// Data is asked at DATA, once there are recipients and before the message is let in.
	Data func(ctx context.Context, tx *Transaction) error
	// Message is asked when the message is there, with this server's Received field in front. It may edit the header of
	// msg and change tx.Envelope; nothing is accepted before all checks and the Handler are through.
	Message func(ctx context.Context, tx *Transaction, msg *mailbricks.Message) error

	// Around goes around the rest of each step: it is called after this check's own function for the step has let it pass, and
	// calls next, once and before it returns, for the checks behind it and at Message for the Handler. What it returns is the
	// outcome of the step for those in front of it: next's, or another. Without next the checks behind it are not asked. It
	// cannot make a message accepted that the Handler has not taken.
	//
	// Behind the Handler there is little left to say. A refusal, any error, or a panic of a message that the Handler has taken is
	// the peer's reply all the same, so the message is likely to come a second time: the log warns of each. [Quarantine] and
	// [Discard] come too late; they change nothing but the log: set Envelope.Quarantine before next. A [Tarpit] lets the peer wait
	// for what was decided, and does not change it when it ends early.
	Around func(ctx context.Context, step *Step, next func(context.Context) error) error
	// Disconnect is told that the session has ended; see [Session.Counts] for what it came to. There is nobody left to tell. It is
	// called once for each session whose Connect checks were asked, also if they or a panic ended it and if this check was not
	// among those asked; not for a connection that a limit or its TLS handshake ended before. ctx ends after CheckTimeout, and
	// when the server is closed. The connection counts until all of them have returned, and Shutdown waits for that.
	Disconnect func(ctx context.Context, s *Session)
}

// Phase is a step's place in a session.
type Phase int

// The phases, in their order. The first six have their functions in [Check]; the others are there for [Outcome].
const (
	PhaseConnect Phase = iota
	PhaseHello
	PhaseMail
	PhaseRcpt
	PhaseData
	PhaseMessage
	PhaseAuth    // log-in
	PhaseCommand // other commands, and waiting for one
)

func (p Phase) String() string {
	names := [...]string{"connect", "hello", "mail", "rcpt", "data", "message", "auth", "command"}
	if p < 0 || int(p) >= len(names) {
		return fmt.Sprintf("Phase(%d)", int(p))
	}
	return names[p]
}

// Step is what checks are asked about at a time.
type Step struct {
	Phase   Phase
	Session *Session
	// Transaction is nil at Connect and Hello.
	Transaction *Transaction
	// Recipient is the one of PhaseRcpt, otherwise nil.
	Recipient *mailbricks.Recipient
	// Message is there in PhaseMessage, otherwise nil.
	Message *mailbricks.Message
}

// has says whether the check has a function for the phase of the step.
func (c *Check) has(p Phase) bool {
	switch p {
	case PhaseConnect:
		return c.Connect != nil
	case PhaseHello:
		return c.Hello != nil
	case PhaseMail:
		return c.Mail != nil
	case PhaseRcpt:
		return c.Rcpt != nil
	case PhaseData:
		return c.Data != nil
	case PhaseMessage:
		return c.Message != nil
	}
	return false
}

// ask calls the check's function for the step, which it has.
func (c *Check) ask(ctx context.Context, s *Step) error {
	switch s.Phase {
	case PhaseConnect:
		return c.Connect(ctx, s.Session)
	case PhaseHello:
		return c.Hello(ctx, s.Session, s.Session.Peer.Hello)
	case PhaseMail:
		return c.Mail(ctx, s.Transaction)
	case PhaseRcpt:
		return c.Rcpt(ctx, s.Transaction, s.Recipient)
	case PhaseData:
		return c.Data(ctx, s.Transaction)
	case PhaseMessage:
		return c.Message(ctx, s.Transaction, s.Message)
	}
	return nil
}

// Authenticator lets users log in with SASL (RFC 4954).
type Authenticator interface {
	// Mechanisms names the mechanisms to offer to this peer, in upper case; they may depend on peer.TLS. It is not asked whether
	// a client may have one that it names: Start must refuse those that are not for this peer.
	Mechanisms(peer mailbricks.Peer) []string
	// Start begins an exchange. The mechanism is in upper case as the client named it. An error means that it is not to be had
	// (504), and why is for the log; but one that is [mailbricks.ErrTemporary] or that of ctx, and a panic, are failures for now
	// (454), and a [mailbricks.Reply] and [Close] are the answer, as they are from the exchange.
	Start(ctx context.Context, mechanism string, peer mailbricks.Peer) (mailbricks.Exchange, error)
}

// BareLineEnds says what becomes of a message that has a CR without LF, an LF without CR, or a NUL. None of them is
// ever taken for the end of a message.
type BareLineEnds int

const (
	// RejectBareLineEnds refuses the message with 550 5.5.2 after its true end.
	RejectBareLineEnds BareLineEnds = iota
	// RepairBareLineEnds makes each bare CR or LF, and a run of CRs before an LF, one CRLF, and leaves out NULs.
	RepairBareLineEnds
)
