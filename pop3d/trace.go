package pop3d

import (
	"net/netip"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
)

// Session is one connection, as Trace sees it.
type Session struct {
	// ID names the session in the log.
	ID string
	// Peer is the other end; its Identity is nil until someone has logged in.
	Peer mailbricks.Peer
}

// Trace has optional functions that are told of what happens, for metrics and tests. They are called from the
// session's goroutine and should return at once. An err is nil for success.
type Trace struct {
	// Refused is told of a connection that a limit refused; addr is invalid for a peer without an IP address.
	Refused func(addr netip.AddrPort)
	// Connected is told of a session before its greeting.
	Connected func(s *Session)
	// TLS is told of a handshake.
	TLS func(s *Session, err error)
	// Auth is told of a log-in; mechanism is "PASS" for USER and PASS. A log-in that fails because the maildrop cannot be
	// opened or is in use has an err that is not [mailbricks.ErrAuth].
	Auth func(s *Session, mechanism string, err error)
	// Opened is told of the maildrop that a session has logged in to: its messages and their octets.
	Opened func(s *Session, messages int, octets int64)
	// Retrieved is told of RETR and TOP with the number of octets sent.
	Retrieved func(s *Session, uid mailbox.UID, octets int64, err error)
	// Updated is told of the UPDATE state: how many messages were to be removed, and how many of them are still there.
	Updated func(s *Session, deleted, left int)
	// Command is told of each command's reply; verb is one of the known ones or "UNKNOWN".
	Command func(s *Session, verb string, ok bool)
	// Disconnected is told of a session's end; err says why when it was not QUIT.
	Disconnected func(s *Session, err error)
}
