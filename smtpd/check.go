package smtpd

import (
	"context"

	"github.com/mailbricks/mailbricks"
)

// Check has a say at the steps of a session. Each function is optional; the first that returns an error ends its step
// with that error as the reply (see [mailbricks.ReplyTo]), and later checks are not asked. A reply with the code 421
// closes the connection at any step. ctx ends when the peer has left, the time for the step is over or the server is
// closed; its Value sees what checks have [Session.Set] and [Transaction.Set].
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
}

// Authenticator lets users log in with SASL (RFC 4954).
type Authenticator interface {
	// Mechanisms names the mechanisms to offer to this peer, in upper case; they may depend on peer.TLS.
	Mechanisms(peer mailbricks.Peer) []string
	// Start begins an exchange. The mechanism is in upper case as the client named it; an error means that it is not to
	// be had, and why is for the log.
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
