package imapd

import (
	"net/netip"
	"time"

	"github.com/mailbricks/mailbricks"
)

// Session is one connection, as a Trace sees it. It must not be kept.
type Session struct {
	// ID names the session in logs.
	ID string
	// Peer is the other end. Its Identity is set after log-in.
	Peer mailbricks.Peer
}

// Trace has optional functions that are told of what happens, for metrics and tests. They are called from the
// session's goroutine and should return at once.
type Trace struct {
	// Refused is told of a connection that a limit refused; addr is invalid for a peer without an IP address.
	Refused func(addr netip.AddrPort, reason string)
	// Connected is told of a session that gets the greeting.
	Connected func(s *Session)
	// TLS is told of a handshake.
	TLS func(s *Session, err error)
	// Auth is told of a log-in; mechanism is "LOGIN" for the command of that name.
	Auth func(s *Session, mechanism string, err error)
	// Command is told of each command that was answered: its name ("UID FETCH"; "UNKNOWN" for what is none), the status
	// of the tagged response ("OK", "NO", "BAD") and how long it took.
	Command func(s *Session, name, status string, took time.Duration)
	// Disconnected is told of the end of a session that Connected was told of; err is nil after LOGOUT and when the client just left.
	Disconnected func(s *Session, err error)
}
