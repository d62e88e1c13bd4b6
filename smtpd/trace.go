package smtpd

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/serving"
)

// Trace has optional functions that are told of what happens, for metrics and tests. They are called from the
// session's goroutine and should return at once. An err is nil for success; [mailbricks.ReplyTo] gives the reply of
// others. A panic in one of them is logged and changes nothing else.
type Trace struct {
	// Outcome is told of each decision: of every refusal once, and of what checks ask for. What only follows from a refusal is
	// none: commands that were pipelined behind a MAIL that was refused, or a message all of whose recipients were. Nor is it when
	// the peer leaves while a check before the message is at work.
	Outcome func(Outcome)
	// Refused is told of a connection that a limit refused; addr is invalid for a peer without an IP address.
	Refused func(addr netip.AddrPort, reply *mailbricks.Reply)
	// Connected is told of a session after its greeting was decided on.
	Connected func(s *Session, err error)
	// TLS is told of a handshake.
	TLS func(s *Session, err error)
	// Hello is told of an EHLO or HELO.
	Hello func(s *Session, err error)
	// Auth is told of an exchange; after success s.Peer.Identity says who it is.
	Auth func(s *Session, mechanism string, err error)
	// Mail is told of a well-formed MAIL.
	Mail func(tx *Transaction, err error)
	// Rcpt is told of a well-formed RCPT.
	Rcpt func(tx *Transaction, rcpt mailbricks.Recipient, err error)
	// Message is told of the outcome of DATA or of all BDATs of a transaction; size is what arrived, in octets, and took the
	// time since the first of them.
	Message func(tx *Transaction, size int64, took time.Duration, err error)
	// Command is told of each command's final reply; verb is one of the known ones or "UNKNOWN".
	Command func(s *Session, verb string, code int)
	// Stress is told when the server comes near its limits and when it has recovered (see [Server].StressThreshold), by any
	// goroutine.
	Stress func(on bool)
	// Disconnected is told of the end of a session whose Connect checks were asked; err says why when it was not QUIT.
	Disconnected func(s *Session, err error)
}

// guarded is the trace with functions that do not panic: what the embedder counts is no reason to end a session, or to have the
// peer repeat a message that the Handler has taken.
func (t Trace) guarded(logger *slog.Logger) Trace {
	g := guard{logger}
	return Trace{
		Outcome:      guard1(g, "Outcome", t.Outcome),
		Refused:      guard2(g, "Refused", t.Refused),
		Connected:    guard2(g, "Connected", t.Connected),
		TLS:          guard2(g, "TLS", t.TLS),
		Hello:        guard2(g, "Hello", t.Hello),
		Auth:         guard3(g, "Auth", t.Auth),
		Mail:         guard2(g, "Mail", t.Mail),
		Rcpt:         guard3(g, "Rcpt", t.Rcpt),
		Message:      guard4(g, "Message", t.Message),
		Command:      guard3(g, "Command", t.Command),
		Stress:       guard1(g, "Stress", t.Stress),
		Disconnected: guard2(g, "Disconnected", t.Disconnected),
	}
}

// guard runs functions of a Trace.
type guard struct{ logger *slog.Logger }

func (g guard) run(name string, f func()) {
	_ = serving.Guard(g.logger, "smtpd: Trace."+name, func() error { f(); return nil }) // it was logged
}

// guard1 guards a function, if there is one, of one argument; the others do of as many as they say.
func guard1[A any](g guard, name string, f func(A)) func(A) {
	if f == nil {
		return nil
	}
	return func(a A) { g.run(name, func() { f(a) }) }
}

func guard2[A, B any](g guard, name string, f func(A, B)) func(A, B) {
	if f == nil {
		return nil
	}
	return func(a A, b B) { g.run(name, func() { f(a, b) }) }
}

func guard3[A, B, C any](g guard, name string, f func(A, B, C)) func(A, B, C) {
	if f == nil {
		return nil
	}
	return func(a A, b B, c C) { g.run(name, func() { f(a, b, c) }) }
}

func guard4[A, B, C, D any](g guard, name string, f func(A, B, C, D)) func(A, B, C, D) {
	if f == nil {
		return nil
	}
	return func(a A, b B, c C, d D) { g.run(name, func() { f(a, b, c, d) }) }
}
