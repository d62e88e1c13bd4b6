package smtpd

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/serving"
)

// Why a session ended, other than by what the network said.
var (
	errPeerLeft = errors.New("smtpd: the peer has left")
	errTold     = errors.New("smtpd: session ended by a reply")
	errDraining = errors.New("smtpd: server is shutting down")
)

// conn is the engine's side of a session. All of it belongs to the session's goroutine, but for what mu guards and what
// input says.
type conn struct {
	set     *settings
	session *Session
	logger  *slog.Logger
	ctx     context.Context
	place   *serving.Place
	born    time.Time

	raw net.Conn // as accepted
	net net.Conn // raw, or the TLS connection over it
	in  input
	out []byte // replies not yet sent
	end error  // why the session is to end; nil: it goes on

	mu       sync.Mutex
	idle     bool // waiting for a command or a response of AUTH, outside of a transaction
	draining bool // the server shuts down

	tx       *Transaction // nil outside of one
	extended bool         // EHLO, not HELO
	refused  bool         // greeted with 554: only QUIT is served

	errors, badRecipients, authFailures, idleCommands, transactions int
}

func newConn(netConn net.Conn, set *settings) *conn {
	c := &conn{set: set, raw: netConn, net: netConn}
	c.session = &Session{ID: newID(), Hostname: set.hostname, pending: c.in.pending}
	c.logger = set.logger.With("session", c.session.ID)
	return c
}

// newID is a name of 80 random bits.
func newID() string { return rand.Text()[:16] }

// Serve runs the session.
func (c *conn) Serve(ctx context.Context, place *serving.Place) {
	c.ctx, c.place, c.born = ctx, place, time.Now()
	c.session.Peer.Addr, c.session.Peer.Local = serving.AddrPort(c.raw.RemoteAddr()), serving.AddrPort(c.raw.LocalAddr())
	switch place.Refusal {
	case serving.ServerFull:
		c.turnAway(&mailbricks.Reply{Code: 421, Enhanced: "4.3.2", Text: "Too many connections, please try again later"})
		return
	case serving.NetworkFull:
		c.turnAway(&mailbricks.Reply{Code: 421, Enhanced: "4.7.0", Text: "Too many connections from your address"})
		return
	}
	c.logger.Debug("smtpd: connected", "peer", c.session.Peer.Addr)
	c.run()
	if t := c.set.Trace.Disconnected; t != nil {
		t(c.session, ended(c.end))
	}
	c.logger.Debug("smtpd: disconnected", "err", ended(c.end))
}

// ended is why the session ended, nil for a QUIT.
func ended(err error) error {
	if err == errQuit {
		return nil
	}
	return err
}

// turnAway tells a connection why it is not served.
func (c *conn) turnAway(reply *mailbricks.Reply) {
	c.logger.Info("smtpd: connection refused", "peer", c.session.Peer.Addr, "reply", reply)
	if t := c.set.Trace.Refused; t != nil {
		t(c.session.Peer.Addr, reply)
	}
	if c.set.implicitTLS { // nothing can be said without a handshake, and that is not worth it
		return
	}
	c.reply(reply)
	_ = c.flush() // it is closed anyway
}

// run goes from the greeting to the end of the session and leaves in end why it ended.
func (c *conn) run() {
	c.in.init(c.raw)
	if c.set.implicitTLS && !c.handshake() {
		return
	}
	c.greet()
	for c.end == nil {
		line, err := c.readCommand()
		if err != nil {
			c.readFailed(err)
			break
		}
		c.command(line)
	}
	_ = c.flush() // the session is over; end has the reason that counts
	c.linger()
}

// greet asks the Connect checks and sends the greeting.
func (c *conn) greet() {
	err := c.ask("connect", func(check *Check) func(context.Context) error {
		if check.Connect == nil {
			return nil
		}
		return func(ctx context.Context) error { return check.Connect(ctx, c.session) }
	})
	if t := c.set.Trace.Connected; t != nil {
		t(c.session, err)
	}
	if err == nil {
		c.lines(220, "", []string{c.set.hostname + " ESMTP"})
		return
	}
	c.logger.Info("smtpd: connection refused", "peer", c.session.Peer.Addr, "err", err)
	reply := *refusal(err)
	switch {
	case reply.Temporary():
		reply.Code = 421 // RFC 5321 §4.3.2: all that a greeting may say for now
	case reply.Code != 521: // RFC 7504 §3
		reply.Code = 554
		c.refused = true
	}
	c.reply(&reply)
	if !c.refused {
		c.end = errTold
	}
}

// readFailed ends the session because of an error while it waited for a command.
func (c *conn) readFailed(err error) {
	c.end = err
	switch {
	case errors.Is(err, errDraining):
		c.reply(shutdownReply(c.set.hostname))
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.reply(&mailbricks.Reply{Code: 421, Enhanced: "4.4.2", Text: c.set.hostname + " waited too long, closing"})
	case errors.Is(err, errLineTooLong):
		c.reply(&mailbricks.Reply{Code: 500, Enhanced: "5.5.2", Text: "Line too long"})
	}
}

// flush sends the replies that wait.
func (c *conn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	err := c.net.SetWriteDeadline(time.Now().Add(c.set.writeTime))
	if err == nil {
		_, err = c.net.Write(c.out)
	}
	c.out = c.out[:0]
	return err
}

// How long, and for how many octets, a connection that this side ends is read from, so that the last reply is not lost
// with what the peer had already sent (a TCP reset overtakes it).
const (
	lingerTime   = 500 * time.Millisecond
	lingerOctets = 256 << 10
)

// linger lets the peer read the last reply before the connection is closed.
func (c *conn) linger() {
	if c.in.err != nil || errors.Is(c.end, errQuit) || errors.Is(c.end, errHandshake) {
		c.closeTLS()
		return
	}
	c.closeTLS()
	if half, ok := c.raw.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		return
	}
	if c.raw.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, c.raw, lingerOctets) // ends with the peer, the time or the octets
	}
}

// closeTLS says goodbye in TLS (RFC 8446 §6.1).
func (c *conn) closeTLS() {
	if t, ok := c.net.(*tls.Conn); ok && !errors.Is(c.end, errHandshake) {
		_ = t.SetWriteDeadline(time.Now().Add(c.set.writeTime))
		_ = t.CloseWrite() // what can be said is said
	}
}

// Drain is called by another goroutine when the server shuts down.
func (c *conn) Drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	if c.idle {
		_ = c.raw.SetReadDeadline(time.Unix(1, 0)) // a connection that fails is over anyway
	}
}

// isDraining says whether the server shuts down.
func (c *conn) isDraining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}

// ask runs the checks of a step one after the other until one refuses. of gives a check's function for the step, or nil.
func (c *conn) ask(step string, of func(*Check) func(context.Context) error) error {
	any := false
	for i := range c.set.Checks {
		any = any || of(&c.set.Checks[i]) != nil
	}
	if !any {
		return nil
	}
	return c.step(step, c.set.checkTime, func(ctx context.Context) error { return c.askAll(ctx, step, of) })
}

// askAll is ask within a step's context.
func (c *conn) askAll(ctx context.Context, step string, of func(*Check) func(context.Context) error) error {
	for i := range c.set.Checks {
		check := &c.set.Checks[i]
		f := of(check)
		if f == nil {
			continue
		}
		if err := f(ctx); err != nil {
			c.logger.Debug("smtpd: refused by a check", "step", step, "check", check.Name, "err", err)
			return err
		}
	}
	return nil
}

// step runs f, which is code of the embedder's, with a context that ends when the peer leaves or time is over. A panic
// becomes an error, and so a temporary failure.
func (c *conn) step(name string, atMost time.Duration, f func(context.Context) error) error {
	timed, cancelTimer := context.WithTimeout(c.ctx, atMost)
	defer cancelTimer()
	ctx, cancel := context.WithCancelCause(timed)
	defer cancel(nil)
	defer c.watch(cancel)()
	return serving.Guard(c.logger, "smtpd: "+name, func() error { return f(stepContext{ctx, c.session, c.tx}) })
}
