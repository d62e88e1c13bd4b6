package smtpd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/serving"
)

// ByHandler is the Check of an [Outcome] that the Handler has decided on.
const ByHandler = "handler"

// Outcome is one decision about a session or a message: who decided what, at which step and why. The log has it as one line,
// "smtpd: refused" and the like, with the same id.
type Outcome struct {
	// ID is that of the transaction, which the peer gets to see when its message is accepted, or else of the session.
	ID string
	// Session is the connection.
	Session *Session
	// Transaction is nil outside of one.
	Transaction *Transaction
	// Phase is the step.
	Phase Phase
	// Check is the name of the check that decided, ByHandler, or empty for the server itself: its limits, and what is wrong
	// with a command or a message.
	Check string
	// Action is Refuse, or ClosePeer if the session ends with it; TarpitPeer before the wait, QuarantineMail, DiscardMail and
	// AcceptStep as checks ask for them; AcceptStep by the Handler for a message that it has taken.
	Action Action
	// Command is the command that is refused, or that brought the message which is: its line in printable characters, at most 100
	// octets, but of AUTH and of unknown commands no more than the verb, as the rest may be a password. Empty: it is no command,
	// or no refusal.
	Command string
	// Recipient is the address of a RCPT before checks have changed it, without source route and needless quotes, and that of
	// LMTP's replies to a message; otherwise empty.
	Recipient string
	// Reply is what the peer is told, for refusals only. It is nil when the peer cannot be told: it left before it had sent the
	// whole message, its TLS handshake failed, or it does not read replies.
	Reply *mailbricks.Reply
	// Err is the reason as the decider gave it; nil: there is no more to say than Reply does.
	Err error
}

// tell completes an outcome and tells the log and the trace.
func (c *conn) tell(o Outcome) {
	o.Session, o.ID = c.session, c.session.ID
	if o.Transaction != nil {
		o.ID = o.Transaction.Envelope.ID
	}
	c.logOutcome(&o)
	if t := c.set.Trace.Outcome; t != nil {
		t(o)
	}
}

// logOutcome writes the line of an outcome. A message that is accepted has a line of its own, with more to it.
func (c *conn) logOutcome(o *Outcome) {
	level, text := slog.LevelInfo, "smtpd: refused"
	switch o.Action {
	case AcceptStep:
		if o.Check == ByHandler {
			return
		}
		level, text = slog.LevelDebug, "smtpd: accepted by a check"
	case QuarantineMail:
		text = "smtpd: quarantined"
	case DiscardMail:
		text = "smtpd: discarded"
	case TarpitPeer:
		text = "smtpd: tarpitted"
	}
	if c.logger.Enabled(context.Background(), level) {
		c.logger.LogAttrs(context.Background(), level, text, o.attrs()...)
	}
}

// attrs is an outcome as the log has it.
func (o *Outcome) attrs() []slog.Attr {
	var peer mailbricks.Peer
	if o.Session != nil {
		peer = o.Session.Peer
	}
	attrs := []slog.Attr{
		slog.String("id", o.ID), slog.Any("peer", peer.Addr), slog.String("hello", peer.Hello),
		slog.String("phase", o.Phase.String()), slog.String("check", o.Check), slog.String("action", o.Action.String()),
	}
	if peer.Identity != nil {
		attrs = append(attrs, slog.String("login", peer.Identity.Login))
	}
	if o.Transaction != nil {
		attrs = append(attrs, slog.String("from", o.Transaction.Envelope.From))
	}
	if o.Recipient != "" {
		attrs = append(attrs, slog.String("to", o.Recipient))
	}
	if o.Command != "" {
		attrs = append(attrs, slog.String("command", o.Command))
	}
	if r := o.Reply; r != nil {
		attrs = append(attrs, slog.String("reply", fmt.Sprintf("%d %s %s", r.Code, enhancedCode(r), r.Text)))
	}
	if o.Err != nil {
		attrs = append(attrs, slog.Any("err", o.Err))
	}
	return attrs
}

// cutOff tells of a session that ends without a reply, as the peer would not get it.
func (c *conn) cutOff(phase Phase, err error) {
	c.tell(Outcome{Phase: phase, Transaction: c.tx, Action: ClosePeer, Err: err})
}

// because notes why the command under way is refused, unless that is known already.
func (c *conn) because(verb string, err error) {
	if c.why.Err == nil {
		c.why = Outcome{Phase: phaseOf(verb), Transaction: c.tx, Err: err}
	}
}

// refuse tells of a reply that refuses something; what else is known of it is in c.why. A nil reply had nobody left to go to.
func (c *conn) refuse(phase Phase, reply *mailbricks.Reply) {
	if c.left { // nobody was refused anything
		c.logger.Debug("smtpd: the peer left during a check", "phase", phase, "check", c.why.Check, "err", c.why.Err)
		return
	}
	o := c.why
	if o.Err == nil {
		o.Phase = phase
	}
	if o.Transaction == nil {
		o.Transaction = c.tx
	}
	o.Action, o.Reply, o.Command = Refuse, reply, c.asked.String()
	if reply != nil {
		if o.Err == nil {
			o.Err = reply.Err
		}
		if c.end != nil {
			o.Action = ClosePeer
		}
	}
	c.tell(o)
}

// decided tells of what has become of a message, for some of its recipients at least; a refusal is told of with its replies.
func (c *conn) decided(tx *Transaction, taken int, err error) {
	if err != nil && c.why.Err == nil {
		c.why = Outcome{Phase: PhaseMessage, Transaction: tx, Err: err}
	}
	switch {
	case tx.thrownAway():
		if o := tx.discard; err == nil && o != nil && o.Transaction == nil { // one for each message, by its own id
			c.tell(Outcome{Phase: o.Phase, Transaction: tx, Check: o.Check, Action: o.Action, Err: o.Err})
		}
	case taken > 0:
		c.tell(Outcome{Phase: PhaseMessage, Transaction: tx, Check: ByHandler, Action: AcceptStep})
	}
}

// errFlaw is the cause of the refusal of a message with line ends that are none.
var errFlaw = errors.New("smtpd: malformed message")

// countFlaw counts a message with line ends that are none among the session's errors, after it was refused. The reply stays
// that of the message, so that the sender learns that it is no use to try again; if it was one error too many, that is the
// answer to whatever comes next. LMTP's many replies, from a peer that one knows, are not counted.
func (c *conn) countFlaw(reply *mailbricks.Reply) {
	if c.set.LMTP || !errors.Is(reply.Err, errFlaw) {
		return
	}
	if c.session.counts.Errors++; serving.Reached(c.session.counts.Errors, c.maxErrors()) && c.end == nil {
		c.end = errTold
		c.reply(tooManyErrors())
		c.why = Outcome{}
		c.refuse(PhaseCommand, tooManyErrors())
	}
}

func tooManyErrors() *mailbricks.Reply {
	return &mailbricks.Reply{Code: 421, Enhanced: "4.7.0", Text: "Too many errors, closing"}
}

// phaseOf is the phase that a command belongs to.
func phaseOf(verb string) Phase {
	switch verb {
	case "EHLO", "HELO", "LHLO":
		return PhaseHello
	case "MAIL":
		return PhaseMail
	case "RCPT":
		return PhaseRcpt
	case "DATA", "BDAT":
		return PhaseData
	case "AUTH":
		return PhaseAuth
	}
	return PhaseCommand
}
