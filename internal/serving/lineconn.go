package serving

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Sizes in octets.
const (
	LineBuffer = 4 << 10  // of the buffer that a LineConn reads into; it grows to MaxLine when a line needs it
	MaxLine    = 12288    // the longest line, that of a SASL response: RFC 4954 §4
	keepOut    = 64 << 10 // the largest Out that is kept for further replies
)

// ErrLineTooLong is the error for a line beyond MaxLine: no more is read from such a peer.
var ErrLineTooLong = errors.New("line too long")

// LineConn is a Conn of a protocol of lines, with replies that are collected while more commands wait (RFC 2920 §3.2, RFC
// 2449 §6.6) and input that is read ahead while the session works.
type LineConn struct {
	Conn
	// Out are replies not yet sent. Flush sends them, and so does all that waits for input.
	Out []byte

	mu      sync.Mutex // for w, r and arrived, while Watch reads ahead in a goroutine of its own
	buf     []byte
	r, w    int           // buf[r:w] has arrived and was not asked for yet
	arrived chan struct{} // closed when more arrives; nil while nobody waits for it
	err     error         // what reading ended with, once it has ended for good
	filled  bool          // by the last Fill

	watched atomic.Pointer[watched] // the Watch that runs
}

// Init is Conn's. Nothing is read.
func (c *LineConn) Init(conn net.Conn, writeTimeout time.Duration) {
	c.Conn.Init(conn, writeTimeout)
	c.buf = make([]byte, LineBuffer)
}

// Handshake is Conn's. What waits in clear is not taken for encrypted, but the session should have ended if Pending.
func (c *LineConn) Handshake(ctx context.Context, config *tls.Config, deadline time.Time) (*tls.ConnectionState, error) {
	state, err := c.Conn.Handshake(ctx, config, deadline)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.r, c.w, c.err = 0, 0, nil
	return state, err
}

// Flush sends the replies that wait.
func (c *LineConn) Flush() error {
	if len(c.Out) == 0 {
		return nil
	}
	_, err := c.Write(c.Out)
	if c.Out = c.Out[:0]; cap(c.Out) > keepOut {
		c.Out = nil
	}
	return err
}

// Pending is how many octets have arrived that were not asked for yet. While Watch runs any goroutine may ask; then what
// arrives is counted from the first time on.
func (c *LineConn) Pending() int {
	c.lookOut()
	return c.waiting()
}

// waiting is Pending, without a look at what arrives.
func (c *LineConn) waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.w - c.r
}

// Arrived gives a channel that is closed once octets are Pending: while Watch runs any goroutine may ask and wait.
func (c *LineConn) Arrived() <-chan struct{} {
	c.lookOut()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.arrived == nil {
		c.arrived = make(chan struct{})
	}
	arrived := c.arrived
	if c.w > c.r {
		c.wake()
	}
	return arrived
}

// wake tells those who wait for Arrived, with c.mu held.
func (c *LineConn) wake() {
	if c.arrived != nil {
		close(c.arrived)
		c.arrived = nil
	}
}

// Buffered is what has arrived. It stands until the next read.
func (c *LineConn) Buffered() []byte { return c.buf[c.r:c.w] }

// Discard takes the first n octets of Buffered as read.
func (c *LineConn) Discard(n int) { c.r += n }

// SetBuffer reads into buf from here on, which must be larger than Pending, and returns what was used before.
func (c *LineConn) SetBuffer(buf []byte) (old []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old = c.buf
	c.w = copy(buf, c.buf[c.r:c.w])
	c.r, c.buf = 0, buf
	return old
}

// Fill waits for more input until the deadline, after it has sent the replies that wait. There must be room for it: less in
// Buffered than the buffer can hold. idle is as for [Conn.Read].
func (c *LineConn) Fill(deadline time.Time, idle bool) error {
	if c.err != nil {
		return c.err
	}
	if err := c.Flush(); err != nil {
		return err
	}
	if c.w == len(c.buf) || c.r == c.w {
		c.SetBuffer(c.buf)
	}
	room := c.buf[c.w:]
	n, err := c.Read(room, deadline, idle)
	c.filled = n == len(room)
	return c.took(n, err)
}

// Filled says whether the last Fill has filled the buffer: there may be more to read than there is room for.
func (c *LineConn) Filled() bool { return c.filled }

// took accounts for what was read. A time-out may be followed by another read; any other error stays.
func (c *LineConn) took(n int, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.w += n; n > 0 {
		c.wake()
	}
	if err != nil && !isTimeout(err) && !errors.Is(err, ErrDraining) {
		c.err = err
	}
	if n > 0 {
		return nil // the error, if it is one to stay, comes with the next read
	}
	return err
}

// NextLine is ReadLine, if there is a whole line that need not be waited for; otherwise nil.
func (c *LineConn) NextLine() []byte {
	i := bytes.IndexByte(c.Buffered(), '\n')
	if i < 0 || i >= MaxLine {
		return nil
	}
	line := c.Buffered()[:i+1]
	c.Discard(len(line))
	return line
}

// ReadLine gives the next line with its LF, which stands until the next read. A part of a line is never given. deadline and
// idle are as for Fill.
func (c *LineConn) ReadLine(deadline time.Time, idle bool) ([]byte, error) {
	seen := 0 // octets known to hold no line end
	for {
		waiting := c.Buffered()
		if i := bytes.IndexByte(waiting[seen:], '\n'); i >= 0 {
			line := waiting[:seen+i+1]
			if len(line) > MaxLine {
				return nil, ErrLineTooLong
			}
			c.Discard(len(line))
			return line, nil
		}
		seen = len(waiting)
		if seen >= MaxLine {
			return nil, ErrLineTooLong
		}
		if seen == len(c.buf) {
			c.SetBuffer(make([]byte, min(2*seen, MaxLine)))
		}
		if err := c.Fill(deadline, idle); err != nil {
			return nil, err
		}
	}
}

// End is Conn's, but for a peer that has gone or closed its side there is nothing to linger for.
func (c *LineConn) End(linger bool) { c.Conn.End(linger && c.err == nil) }
