package pop3d

// stls is STLS (RFC 2595 §4).
func (c *conn) stls(string) {
	switch {
	case c.session.Peer.TLS != nil:
		c.bad("TLS is on already")
		return
	case c.set.TLSConfig == nil:
		c.bad("TLS is not available")
		return
	case c.Pending() > 0:
		// What comes with STLS may have been put there by someone in the middle, to be taken for encrypted.
		c.bad("Input after STLS, closing")
		c.end = errTold
		return
	}
	c.ok("Begin TLS negotiation")
	if c.end = c.Flush(); c.end == nil && c.handshake() {
		c.user = "" // RFC 2595 §4: nothing is kept of what was said in clear
	}
}

// handshake turns the connection into one with TLS. When it fails the session is over.
func (c *conn) handshake() bool {
	state, err := c.Handshake(c.ctx, c.set.TLSConfig, c.born.Add(c.set.loginTime))
	if t := c.set.Trace.TLS; t != nil {
		t(c.session, err)
	}
	if err != nil {
		c.logger.Info("pop3d: no TLS", "peer", c.session.Peer.Addr, "err", err)
		c.end = err
		return false
	}
	c.session.Peer.TLS = state
	return true
}
