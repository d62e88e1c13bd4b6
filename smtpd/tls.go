package smtpd

import (
	"crypto/tls"
	"errors"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/serving"
)

// startTLS is STARTTLS (RFC 3207 §4).
func (c *conn) startTLS(arg string) *mailbricks.Reply {
	switch {
	case c.set.TLSConfig == nil:
		return misuse(502, "5.5.1", "TLS is not available")
	case c.session.Peer.TLS != nil:
		return badSequence("TLS is on already")
	case c.proxy != nil: // what it has said in clear would count with TLS: RFC 3207 §4.2
		return badSequence("Not after XCLIENT")
	case !c.extended || c.session.Peer.Hello == "":
		return badSequence("EHLO first")
	case c.tx != nil:
		return badSequence("Not within a mail transaction")
	case arg != "":
		return badArgument("STARTTLS takes no argument")
	case c.Pending() > 0:
		// What comes with STARTTLS may have been put there by someone in the middle, to be taken for encrypted.
		c.end = errTold
		return badSequence("Input after STARTTLS, closing")
	}
	c.reply(&mailbricks.Reply{Code: 220, Enhanced: "2.0.0", Text: "Ready to start TLS"})
	if err := c.Flush(); err != nil {
		c.end = c.unread(err)
		return nil
	}
	if !c.handshake(PhaseCommand) {
		return nil
	}
	// RFC 3207 §4.2: nothing is kept of what was said in clear.
	c.extended = false
	c.session.atHello = standing{}
	c.session.Peer.Hello, c.session.Peer.Protocol, c.session.Peer.Identity = "", "", nil
	if t := c.set.Trace.Command; t != nil {
		t(c.session, "STARTTLS", 220)
	}
	return nil
}

// handshake turns the connection into one with TLS. When it fails the session is over.
func (c *conn) handshake(phase Phase) bool {
	c.waitForCommand(time.Now())
	var state *tls.ConnectionState
	err := serving.Guard(c.logger, "smtpd: handshake", func() (err error) { // GetCertificate and the like
		state, err = c.Handshake(c.ctx, c.set.TLSConfig, time.Now().Add(c.set.tlsTime))
		return err
	})
	if t := c.set.Trace.TLS; t != nil {
		t(c.session, err)
	}
	if err != nil {
		c.end = err
		if !errors.Is(err, serving.ErrDraining) { // nothing is refused to a session that does nothing
			c.cutOff(phase, err)
		}
		return false
	}
	c.session.Peer.TLS = state
	return true
}
