package smtpd

import (
	"net/netip"
	"time"

	"github.com/mailbricks/mailbricks"
)

// Trace has optional functions that are told of what happens, for metrics and tests. They are called from the
// session's goroutine and should return at once. An err is nil for success; [mailbricks.ReplyTo] gives the reply of
// others.
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
