package serving

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Why a session ends, other than by what the network says.
var (
	ErrDraining  = errors.New("server is shutting down")
	ErrPeerLeft  = errors.New("the peer has left")
	ErrHandshake = errors.New("TLS handshake failed") // nothing can be said over such a connection any more
)

// errBroken is the error of a Write after one that has failed.
var errBroken = fmt.Errorf("an earlier write has failed: %w", net.ErrClosed)

// How long, and for how many octets, a connection that this side ends is read from, so that the last reply is not lost
// with what the peer had already sent (a TCP reset overtakes it).
const (
	lingerTime   = 500 * time.Millisecond
	lingerOctets = 1 << 20
)

// Conn is the server's end of a connection, which may get TLS. It belongs to the session's goroutine, but for Drain,
// Draining and Stress; while the peer is only waited for, another may read. It has Drain of [Session] and is [Hurried].
type Conn struct {
	// Hurry is when a read is to end while the server is under stress, if that is earlier than the read's deadline: also a
	// read that waits as stress begins. It may change between reads. Zero: as without stress.
	Hurry time.Time
	// Grace is how long a read that is not idle may still wait once the server shuts down. It may change between reads. 0: as
	// long as otherwise.
	Grace time.Duration
	// WriteHurry is how long a Write may take while the server is under stress, if that is less than otherwise: also one that
	// waits as stress begins. It may change between Writes. 0: as long as otherwise.
	WriteHurry time.Duration

	raw          net.Conn // as accepted
	net          net.Conn // raw, or the TLS connection over it
	writeTimeout time.Duration
	mute         bool // after a failed handshake
	broken       bool

	mu       sync.Mutex
	writing  bool
	writeBy  alarm
	began    time.Time // the Write
	reading  bool
	readBy   alarm
	idle     bool      // what is read has nothing to lose by Drain
	deadline time.Time // of the read, as it was asked for
	draining bool
	stressed bool
}

// Init begins with a connection as it was accepted. A Write may take writeTimeout.
func (c *Conn) Init(conn net.Conn, writeTimeout time.Duration) {
	c.raw, c.net, c.writeTimeout = conn, conn, writeTimeout
}

// LocalAddr is this side's address.
func (c *Conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr is the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// Handshake makes the connection a TLS one, until the deadline. When that fails, with an error that is ErrHandshake, the
// connection is of no use any more. Drain makes it fail.
func (c *Conn) Handshake(ctx context.Context, config *tls.Config, deadline time.Time) (*tls.ConnectionState, error) {
	conn := tls.Server(c.raw, config)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	err := c.beginRead(deadline, true)
	if err == nil {
		err = c.raw.SetWriteDeadline(deadline)
	}
	if err == nil {
		err = c.endRead(true, conn.HandshakeContext(ctx))
	}
	if err == nil {
		err = c.raw.SetDeadline(time.Time{})
	}
	c.readBy, c.writeBy = alarm{}, alarm{}
	if err != nil {
		c.mute = true
		return nil, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	c.net = conn
	state := conn.ConnectionState()
	return &state, nil
}

// Read reads once, until the deadline at the latest. idle says that the session has nothing to lose: then, when the server
// shuts down, the error is ErrDraining.
func (c *Conn) Read(p []byte, deadline time.Time, idle bool) (int, error) {
	if err := c.beginRead(deadline, idle); err != nil {
		return 0, err
	}
	n, err := c.net.Read(p)
	return n, c.endRead(idle, err)
}

// beginRead makes a read that follows end by the deadline, and earlier by Stress and Drain.
func (c *Conn) beginRead(deadline time.Time, idle bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if idle && c.draining {
		return ErrDraining
	}
	c.reading, c.idle, c.deadline = true, idle, deadline
	due := c.due()
	if c.readBy.covers(due) {
		return nil
	}
	return c.setReadDeadline(due)
}

// setReadDeadline is called with c.mu held.
func (c *Conn) setReadDeadline(due time.Time) error {
	c.readBy.set(due, time.Now())
	return c.raw.SetReadDeadline(due)
}

// wakeBy makes a read that is under way, or follows, end by a time; zero: it need not.
func (c *Conn) wakeBy(due time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.setReadDeadline(due)
}

// endRead gives the error of a read that beginRead has prepared.
func (c *Conn) endRead(idle bool, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = false
	if isTimeout(err) {
		c.readBy = alarm{} // which is over
	}
	if c.draining && (idle || c.Grace > 0) && isTimeout(err) {
		return ErrDraining
	}
	return err
}

// due is when the read that is under way is to end. It is called with c.mu held, as is again.
func (c *Conn) due() time.Time {
	due := c.deadline
	if c.stressed {
		due = earlier(due, c.Hurry)
	}
	switch {
	case !c.draining:
	case c.idle:
		due = time.Unix(1, 0)
	case c.Grace > 0:
		due = earlier(due, time.Now().Add(c.Grace))
	}
	return due
}

// again gives the read that is under way, if there is one, another deadline.
func (c *Conn) again() {
	if c.reading {
		_ = c.setReadDeadline(c.due()) // a connection that fails is over anyway
	}
}

// earlier is the earlier of two times, of which a zero one is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// isTimeout says whether reading may go on after err.
func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// Write sends p. Once that has failed nothing more is sent: what arrived may end anywhere.
func (c *Conn) Write(p []byte) (int, error) {
	if c.broken {
		return 0, errBroken
	}
	n, err := 0, c.beginWrite()
	if err == nil {
		n, err = c.net.Write(p)
	}
	c.endWrite()
	c.broken = c.broken || err != nil
	return n, err
}

// beginWrite makes a Write that follows end in time.
func (c *Conn) beginWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing, c.began = true, time.Now()
	return c.setWriteDeadline(c.began)
}

func (c *Conn) endWrite() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = false
}

// setWriteDeadline sets the deadline of the Write that is under way. It is called with c.mu held, as is writeTime.
func (c *Conn) setWriteDeadline(now time.Time) error {
	due := c.began.Add(c.writeTime())
	if c.writeBy.covers(due) {
		return nil
	}
	c.writeBy.set(due, now)
	return c.net.SetWriteDeadline(due)
}

// writeTime is how long a Write may take now.
func (c *Conn) writeTime() time.Duration {
	if c.stressed && c.WriteHurry > 0 {
		return min(c.writeTimeout, c.WriteHurry)
	}
	return c.writeTimeout
}

// Broken says whether a Write has failed.
func (c *Conn) Broken() bool { return c.broken }

// Drain ends a Read that is idle, now or later, and one with Grace soon.
func (c *Conn) Drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	c.again()
}

// Stress begins or ends the time in which reads end by Hurry and Writes take no more than WriteHurry.
func (c *Conn) Stress(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stressed = on
	c.again()
	if c.writing {
		_ = c.setWriteDeadline(time.Now()) // as with again
	}
}

// Draining says whether the server shuts down.
func (c *Conn) Draining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}

// End ends the connection from this side, in TLS too (RFC 8446 §6.1), but does not close it. linger says that the peer may
// still be sending: then what comes is read for a moment, so that the peer gets to read the last reply.
func (c *Conn) End(linger bool) {
	if c.mute {
		return
	}
	if t, ok := c.net.(*tls.Conn); ok && !c.broken {
		c.mu.Lock()
		wait := c.writeTime()
		c.mu.Unlock()
		_ = t.SetWriteDeadline(time.Now().Add(wait))
		_ = t.CloseWrite() // what can be said is said
	}
	if !linger || c.broken {
		return
	}
	if half, ok := c.raw.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		return
	}
	if c.raw.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, c.raw, lingerOctets) // ends with the peer, the time or the octets
	}
}
