package pop3d

import (
	"context"
	"crypto/tls"
	"errors"
	"time"
)

// errHandshake says that a TLS handshake failed. Nothing can be said over such a connection any more.
var errHandshake = errors.New("pop3d: TLS handshake failed")

// stls is STLS (RFC 2595 §4).
func (c *conn) stls(string) {
	switch {
	case c.session.Peer.TLS != nil:
		c.bad("TLS is on already")
		return
	case c.set.TLSConfig == nil:
		c.bad("TLS is not available")
		return
	case c.in.pending() > 0:
		// What comes with STLS may have been put there by someone in the middle, to be taken for encrypted.
		c.bad("Input after STLS, closing")
		c.end = errTold
		return
	}
	c.ok("Begin TLS negotiation")
	if c.end = c.flush(); c.end == nil && c.handshake() {
		c.user = "" // RFC 2595 §4: nothing is kept of what was said in clear
	}
}

// handshake turns the connection into one with TLS. When it fails the session is over.
func (c *conn) handshake() bool {
	conn := tls.Server(c.raw, c.set.TLSConfig)
	deadline := c.born.Add(c.set.loginTime)
	ctx, cancel := context.WithDeadline(c.ctx, deadline)
	defer cancel()
	err := c.raw.SetDeadline(deadline)
	if err == nil {
		err = conn.HandshakeContext(ctx)
	}
	if t := c.set.Trace.TLS; t != nil {
		t(c.session, err)
	}
	if err != nil {
		c.logger.Info("pop3d: TLS handshake failed", "peer", c.session.Peer.Addr, "err", err)
		c.end = errors.Join(errHandshake, err)
		return false
	}
	err = c.raw.SetDeadline(time.Time{})
	state := conn.ConnectionState()
	c.net = conn
	c.in.init(conn)
	c.session.Peer.TLS = &state
	c.end = err
	return err == nil
}
