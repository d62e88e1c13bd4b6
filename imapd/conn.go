package imapd

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/imapd/internal/wire"
	"github.com/mailbricks/mailbricks/internal/serving"
	"github.com/mailbricks/mailbricks/mailbox"
)

// inputBuffer is the size of the read buffer that each connection has, in octets.
const inputBuffer = 4 << 10

// conn is one session. All of it belongs to the session's goroutine; in IDLE another reads.
type conn struct {
	serving.Conn
	Session
	set   *settings
	log   *slog.Logger
	ctx   context.Context
	place *serving.Place

	br  *bufio.Reader
	dec *wire.Decoder
	enc *wire.Encoder

	tag       string       // of the command that runs
	uidMode   bool         // it is a UID command: FETCH responses have the UID (RFC 3501 §6.4.8)
	after     func() error // runs once the tagged response is sent: STARTTLS, LOGOUT
	idling    bool         // another goroutine reads, and must not write
	user      string       // counted among the users
	scratch   []byte       // for one response
	connected bool         // it was greeted
	saidBye   bool         // it was sent

	errors       int // BAD in a row
	authFailures int
	store        mailbox.Store // nil before log-in
	sel          *selected     // nil unless a mailbox is selected

	waiting   bool      // for a command or in IDLE: Shutdown may end it
	waitUntil time.Time // the end of waiting; zero: each read has its time
	loginBy   time.Time // when log-in must be done; zero after it
}

func newConn(netConn net.Conn, set *settings) *conn {
	c := &conn{set: set}
	c.Init(netConn, set.write)
	c.ID = rand.Text()
	c.log = set.logger.With("session", c.ID)
	c.br = bufio.NewReaderSize(input{c}, inputBuffer)
	c.enc = wire.NewEncoder(&c.Conn, &set.home.buffers)
	c.dec = wire.NewDecoder(c.br, set.loginLimits, c.goAhead)
	return c
}

// goAhead asks for a synchronising literal (RFC 3501 §7.5). It goes out when the literal is read.
func (c *conn) goAhead() error {
	c.enc.Raw("+ OK\r\n")
	return c.enc.Err()
}

// Serve runs the session.
func (c *conn) Serve(ctx context.Context, place *serving.Place) {
	c.ctx, c.place = ctx, place
	err := serving.Guard(c.log, "imapd: session", c.session)
	if err == errBye || err == io.EOF { // not where there is a cause besides
		err = nil
	}
	c.end(err)
}

// end gives up all that the session has.
func (c *conn) end(err error) {
	cleanup := serving.Guard(c.log, "imapd: close", func() error {
		c.deselect()
		if c.store == nil {
			return nil
		}
		return c.store.Close()
	})
	if cleanup != nil {
		c.log.Warn("imapd: closing the store failed", "err", cleanup)
	}
	c.place.Leave()
	c.set.home.users.Leave(c.user)
	c.End(c.saidBye)
	if err != nil {
		c.log.Debug("imapd: disconnected", "err", err)
	}
	if c.set.Trace.Disconnected != nil && c.connected {
		c.set.Trace.Disconnected(&c.Session, err)
	}
}

func (c *conn) session() error {
	c.Peer = mailbricks.Peer{Addr: serving.AddrPort(c.RemoteAddr()), Local: serving.AddrPort(c.LocalAddr()), Protocol: "IMAP"}
	c.log = c.log.With("peer", c.Peer.Addr.String())
	c.loginBy = time.Now().Add(c.set.login)
	switch c.place.Refusal {
	case serving.ServerFull:
		return c.refuse("Too many connections")
	case serving.AddressFull:
		return c.refuse("Too many connections from your address")
	}
	if c.set.implicitTLS {
		if err := c.startTLS(); err != nil {
			return err
		}
	}
	c.connected = true
	if c.set.Trace.Connected != nil {
		c.set.Trace.Connected(&c.Session)
	}
	c.log.Debug("imapd: connected")
	c.enc.Raw("* OK [CAPABILITY ").Raw(c.capabilities()).Raw("] ").Text(c.set.hostname).Raw(" IMAP server ready\r\n")
	for {
		if err := c.await(); err != nil {
			return err
		}
		if err := c.command(); err != nil {
			_ = c.enc.Flush() // the session ends for err
			return err
		}
	}
}

func (c *conn) refuse(reason string) error {
	c.log.Warn("imapd: connection refused", "reason", reason)
	if c.set.Trace.Refused != nil {
		c.set.Trace.Refused(c.Peer.Addr, reason)
	}
	if c.set.implicitTLS { // a handshake costs more than the connection is worth
		return errBye
	}
	err := c.bye(codeUnavailable, reason)
	c.saidBye = false // no lingering for those that are too many
	return err
}

// bye says goodbye (RFC 3501 §7.1.5) and gives the error that ends the session.
func (c *conn) bye(code, text string) error {
	c.status("*", &reply{kind: "BYE", code: code, text: text})
	c.saidBye = c.enc.Flush() == nil
	return errBye
}

// status writes a status response.
func (c *conn) status(tag string, r *reply) {
	c.enc.Raw(tag).SP().Raw(r.kind).SP()
	if r.code != "" {
		c.enc.Raw("[").Raw(r.code).Raw("] ")
	}
	c.enc.Text(r.text).CRLF()
}

// startTLS makes the handshake. The certificate is whatever the configuration gives for this connection.
func (c *conn) startTLS() error {
	state, err := c.Handshake(c.ctx, c.set.TLSConfig, c.loginBy)
	c.Peer.TLS = state
	if c.set.Trace.TLS != nil {
		c.set.Trace.TLS(&c.Session, err)
	}
	if err != nil {
		return fmt.Errorf("imapd: %w", err)
	}
	return nil
}

// await waits for the next command.
func (c *conn) await() error {
	if c.Draining() {
		return c.bye("", "Server is shutting down")
	}
	if c.br.Buffered() > 0 {
		c.setWaiting(true, time.Time{})
		return nil
	}
	c.release()
	c.setWaiting(true, time.Now().Add(c.set.idle))
	_, err := c.br.Peek(1)
	c.setWaiting(true, time.Time{})
	return c.waitError(err)
}

// keepScratch is how much memory a waiting session keeps for the next response, in octets.
const keepScratch = 4 << 10

// release gives back the memory that a waiting session does not need.
func (c *conn) release() {
	c.dec.Release()
	if cap(c.scratch) > keepScratch {
		c.scratch = nil
	}
	if c.sel != nil {
		c.sel.told = nil
	}
}

// waitError is what an error of waiting means to the session; it says goodbye where somebody may hear it.
func (c *conn) waitError(err error) error {
	switch {
	case err == nil:
		return nil
	case c.Draining():
		return c.bye("", "Server is shutting down")
	case errors.Is(err, os.ErrDeadlineExceeded) && c.store == nil:
		return errors.Join(c.bye("", "Log-in took too long"), err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.Join(c.bye("", "Idle for too long"), err)
	}
	return err
}
