package gosmtp

import (
	"net"

	"github.com/emersion/go-smtp"

	"github.com/mailbricks/mailbricks/smtpd"
)

// SessionOf gives the engine's side of a connection that a backend was given: its ID in the logs, the client's TLS state with
// its certificates, who has logged in, and what checks have found out. It is false for a connection that go-smtp serves.
func SessionOf(c *smtp.Conn) (*smtpd.Session, bool) {
	conn := c.Conn()
	if over, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = over.NetConn()
	}
	s, ok := conn.(*shadow)
	if !ok {
		return nil, false
	}
	return s.peer, true
}
