package pop3d

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

	"github.com/mailbricks/mailbricks/internal/serving"
)

// Why a session ended, other than by what the network said.
var (
	errQuit     = errors.New("pop3d: QUIT")
	errPeerLeft = errors.New("pop3d: the peer has left")
	errTold     = errors.New("pop3d: session ended by a reply")
	errDraining = errors.New("pop3d: server is shutting down")
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
	// broken says that sending has failed: what was sent may end anywhere.
	broken bool

	mu       sync.Mutex
	idle     bool // waiting for a command
	draining bool // the server shuts down

	user   string    // what USER said, for the PASS right after it
	drop   *maildrop // nil before log-in
	failed bool      // the reply of the command in hand was -ERR

	errors, authFailures int
}

func newConn(netConn net.Conn, set *settings) *conn {
	c := &conn{set: set, raw: netConn, net: netConn, session: &Session{ID: rand.Text()[:16]}}
	c.session.Peer.Protocol = "POP3"
	c.logger = set.logger.With("session", c.session.ID)
	return c
}

// Serve runs the session.
func (c *conn) Serve(ctx context.Context, place *serving.Place) {
	defer c.closeMaildrop()
	c.ctx, c.place, c.born = ctx, place, time.Now()
	c.session.Peer.Addr, c.session.Peer.Local = serving.AddrPort(c.raw.RemoteAddr()), serving.AddrPort(c.raw.LocalAddr())
	switch place.Refusal {
	case serving.ServerFull:
		c.turnAway("Too many connections, please try again later")
		return
	case serving.NetworkFull:
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
	_ = c.flush() // it is closed anyway
}

// run goes from the greeting to the end of the session and leaves in end why it ended.
func (c *conn) run() {
	c.in.init(c.raw)
	if c.set.implicitTLS && !c.handshake() {
		return
	}
	c.ok(c.set.hostname + " POP3 server ready")
	for c.end == nil {
		line, err := c.readLine(c.deadline())
		if err != nil {
			c.readFailed(err)
			break
		}
		c.command(line)
	}
	c.closeMaildrop() // the lock goes before the peer can know that the session is over (RFC 1939 §6)
	_ = c.flush()     // end has the reason that counts
	c.linger()
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
	case errors.Is(err, errDraining):
		c.refuse(codeTemp, "Server is shutting down")
	case errors.Is(err, errLineTooLong):
		c.refuse("", "Line too long")
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.logger.Info("pop3d: timed out", "peer", c.session.Peer.Addr)
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
	c.broken = c.broken || err != nil
	c.out = c.out[:0]
	if cap(c.out) > 2*flushAt {
		c.out = nil
	}
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
	if errors.Is(c.end, errHandshake) {
		return
	}
	if t, ok := c.net.(*tls.Conn); ok { // RFC 8446 §6.1
		_ = t.SetWriteDeadline(time.Now().Add(c.set.writeTime))
		_ = t.CloseWrite() // what can be said is said
	}
	if c.in.err != nil || c.broken || errors.Is(c.end, errQuit) {
		return
	}
	if half, ok := c.raw.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		return
	}
	if c.raw.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, c.raw, lingerOctets) // ends with the peer, the time or the octets
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

// step runs f, which is code of the embedder's, with a context that ends when the peer leaves or time is over. A panic
// becomes an error.
func (c *conn) step(name string, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	defer c.watch(cancel)()
	return c.finish(ctx, name, f)
}

// finish is step for what must not stop because the peer has left: the UPDATE state.
func (c *conn) finish(ctx context.Context, name string, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.set.storeTime)
	defer cancel()
	return serving.Guard(c.logger, "pop3d: "+name, func() error { return f(ctx) })
}
