package pop3d

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/mailbricks/mailbricks/internal/serving"
)

// Why a session ended, other than by what package serving says.
var (
	errQuit = errors.New("pop3d: QUIT")
	errTold = errors.New("pop3d: session ended by a reply")
)

// conn is the engine's side of a session. All of it belongs to the session's goroutine.
type conn struct {
	serving.LineConn
	set     *settings
	session *Session
	logger  *slog.Logger
	ctx     context.Context
	place   *serving.Place
	born    time.Time

	end error // why the session is to end; nil: it goes on

	user   string    // what USER said, for the PASS right after it
	drop   *maildrop // nil before log-in
	failed bool      // the reply of the command in hand was -ERR

	errors, authFailures int
}

func newConn(netConn net.Conn, set *settings) *conn {
	c := &conn{set: set, session: &Session{ID: rand.Text()[:16]}}
	c.Init(netConn, set.writeTime)
	c.session.Peer.Protocol = "POP3"
	c.logger = set.logger.With("session", c.session.ID)
	return c
}

// Serve runs the session.
func (c *conn) Serve(ctx context.Context, place *serving.Place) {
	defer c.closeMaildrop()
	c.ctx, c.place, c.born = ctx, place, time.Now()
	c.session.Peer.Addr, c.session.Peer.Local = serving.AddrPort(c.RemoteAddr()), serving.AddrPort(c.LocalAddr())
	switch place.Refusal {
	case serving.ServerFull:
		c.turnAway("Too many connections, please try again later")
		return
	case serving.AddressFull:
		c.turnAway("Too many connections from your address")
		return
	}
	c.logger.Debug("pop3d: connected", "peer", c.session.Peer.Addr)
	if t := c.set.Trace.Connected; t != nil {
		t(c.session)
	}
	c.run()
	err := c.end
	if errors.Is(err, errQuit) {
		err = nil
	}
	if t := c.set.Trace.Disconnected; t != nil {
		t(c.session, err)
	}
	c.logger.Debug("pop3d: disconnected", "err", err)
}

// turnAway tells a connection why it is not served.
func (c *conn) turnAway(text string) {
	c.logger.Info("pop3d: connection refused", "peer", c.session.Peer.Addr, "why", text)
	if t := c.set.Trace.Refused; t != nil {
		t(c.session.Peer.Addr)
	}
	if c.set.implicitTLS { // nothing can be said without a handshake, and that is not worth it
		return
	}
	c.refuse(codeTemp, text)
	_ = c.Flush() // it is closed anyway
}

// run goes from the greeting to the end of the session and leaves in end why it ended.
func (c *conn) run() {
	if c.set.implicitTLS && !c.handshake() {
		return
	}
	c.ok(c.set.hostname + " POP3 server ready")
	for c.end == nil {
		line, err := c.ReadLine(c.deadline(), true)
		if err != nil {
			c.readFailed(err)
			break
		}
		c.command(line)
	}
	c.closeMaildrop() // the lock goes before the peer can know that the session is over (RFC 1939 §6)
	_ = c.Flush()     // end has the reason that counts
	c.End(!errors.Is(c.end, errQuit))
}

// deadline is when the next command must have come.
func (c *conn) deadline() time.Time {
	if c.drop == nil {
		return c.born.Add(c.set.loginTime)
	}
	return time.Now().Add(c.set.idleTime)
}

// readFailed ends the session because of an error while it waited for a line. After a time-out nothing is said
// (RFC 1939 §3).
func (c *conn) readFailed(err error) {
	c.end = err
	switch {
	case errors.Is(err, serving.ErrDraining):
		c.refuse(codeTemp, "Server is shutting down")
	case errors.Is(err, serving.ErrLineTooLong):
		c.refuse("", "Line too long")
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.logger.Info("pop3d: timed out", "peer", c.session.Peer.Addr)
	}
}

// step runs f, which is code of the embedder's, with a context that ends when the peer leaves or time is over. A panic
// becomes an error.
func (c *conn) step(name string, f func(context.Context) error) error {
	return c.Watch(c.ctx, func(ctx context.Context) error { return c.finish(ctx, name, f) })
}

// finish is step for what must not stop because the peer has left: the UPDATE state.
func (c *conn) finish(ctx context.Context, name string, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.set.storeTime)
	defer cancel()
	return serving.Guard(c.logger, "pop3d: "+name, func() error { return f(ctx) })
}
