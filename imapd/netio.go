package imapd

import (
	"io"
	"net"
	"time"
)

// input reads from the peer with the right deadline, after sending what is buffered: nothing is left unsent while the
// session waits.
type input struct{ c *conn }

func (in input) Read(p []byte) (int, error) {
	if !in.c.idling {
		if err := in.c.enc.Flush(); err != nil {
			return 0, err
		}
	}
	return in.c.armRead().Read(p)
}

// armRead sets the read deadline for what the session does now.
func (c *conn) armRead() net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	deadline := time.Now().Add(c.set.read)
	if c.waiting && !c.waitUntil.IsZero() {
		deadline = c.waitUntil
	}
	if !c.loginBy.IsZero() && c.loginBy.Before(deadline) {
		deadline = c.loginBy
	}
	if c.waiting && c.interrupted {
		deadline = time.Unix(1, 0)
	}
	_ = c.net.SetReadDeadline(deadline) // fails on a closed connection only, as Read will
	return c.net
}

// output writes to the peer, each write with a deadline of its own.
type output struct{ c *conn }

func (out output) Write(p []byte) (int, error) {
	c := out.c
	c.mu.Lock()
	nc := c.net
	c.mu.Unlock()
	_ = nc.SetWriteDeadline(time.Now().Add(c.set.write)) // as above
	return nc.Write(p)
}

// Drain ends the session as soon as it waits.
func (c *conn) Drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupted = true
	if c.waiting {
		_ = c.net.SetReadDeadline(time.Unix(1, 0))
	}
}

func (c *conn) isInterrupted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.interrupted
}

// How long, and for how many octets, a connection stays open after BYE for what the client is still sending.
const (
	lingerTime   = time.Second
	lingerOctets = 1 << 20
)

// linger reads what the client sent before it could know of the BYE. A connection that is closed with unread input is
// reset, and the BYE may then never be seen.
func (c *conn) linger() {
	half, can := c.net.(interface{ CloseWrite() error })
	if !can || half.CloseWrite() != nil {
		return
	}
	_ = c.net.SetReadDeadline(time.Now().Add(lingerTime)) // fails on a closed connection only, as reading will
	_, _ = io.CopyN(io.Discard, c.net, lingerOctets)      // the session is over
}

// setWaiting says whether Shutdown may end the session, and until when it waits.
func (c *conn) setWaiting(on bool, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting, c.waitUntil = on, until
}
