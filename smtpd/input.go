package smtpd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Sizes in octets of what is read at a time.
const (
	lineBuffer  = 4 << 10  // while commands are awaited
	dataBuffer  = 32 << 10 // while a message arrives
	maxAnyLine  = 12288    // the longest line of all, in AUTH: RFC 4954 §4
	maxLine     = 512      // RFC 5321 §4.5.3.1.4
	maxPathLine = 2048     // MAIL and RCPT: 512 and what extensions add (RFC 5321 §4.5.3.1.4)
)

// errLineTooLong is the error for a line beyond maxAnyLine: no more is read from such a peer.
var errLineTooLong = errors.New("smtpd: line too long")

// input holds what has arrived and was not asked for yet: buf[r:w]. While a step of the embedder's runs, watch reads ahead
// in a goroutine of its own; only then is mu needed.
type input struct {
	mu   sync.Mutex
	conn net.Conn
	buf  []byte
	r, w int
	err  error // what reading ended with, once it has ended for good

	small []byte // the buffer for lines, while buf is one for messages
}

// init begins reading from conn, with nothing read.
func (in *input) init(conn net.Conn) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.conn = conn
	if in.buf == nil {
		in.buf = make([]byte, lineBuffer)
	}
	in.r, in.w, in.err = 0, 0, nil
}

// pending is how many octets wait.
func (in *input) pending() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.w - in.r
}

// room makes the buffer at least size octets large and moves what waits to its start.
func (in *input) room(size int) {
	if len(in.buf) >= size {
		if in.r > 0 {
			in.swap(in.buf)
		}
		return
	}
	in.swap(make([]byte, size))
}

// widen takes a large buffer for a message.
func (in *input) widen(pool *sync.Pool) {
	if in.small != nil {
		in.room(len(in.buf))
		return
	}
	large, ok := pool.Get().(*[]byte)
	if !ok {
		large = new(make([]byte, dataBuffer))
	}
	in.small = in.buf
	in.swap(*large)
}

// shrink goes back to the buffer for lines after a message, if what waits fits into it.
func (in *input) shrink(pool *sync.Pool) {
	if in.small == nil || in.w-in.r > len(in.small) {
		return
	}
	large := in.buf
	in.swap(in.small)
	in.small = nil
	pool.Put(&large)
}

// swap changes to another buffer.
func (in *input) swap(buf []byte) {
	in.w = copy(buf, in.buf[in.r:in.w])
	in.r = 0
	in.buf = buf
}

// read reads once into the free part of the buffer. A time-out may be followed by another read; any other error stays.
func (in *input) read() error {
	if in.err != nil {
		return in.err
	}
	n, err := in.conn.Read(in.buf[in.w:])
	in.mu.Lock()
	defer in.mu.Unlock()
	in.w += n
	if err != nil && !isTimeout(err) {
		in.err = err
	}
	if n > 0 {
		return nil // the error, if it is one to stay, comes with the next read
	}
	return err
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// fill waits for more input until the deadline, after it has sent the replies that wait (RFC 2920 §3.2). idle says that
// the session is closed instead when the server shuts down.
func (c *conn) fill(deadline time.Time, idle bool) error {
	if c.in.err != nil {
		return c.in.err
	}
	if err := c.flush(); err != nil {
		return err
	}
	c.mu.Lock()
	if idle && c.draining {
		c.mu.Unlock()
		return errDraining
	}
	c.idle = idle
	err := c.raw.SetReadDeadline(deadline)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	err = c.in.read()
	c.mu.Lock()
	c.idle = false
	woken := idle && c.draining
	c.mu.Unlock()
	if woken && isTimeout(err) {
		return errDraining
	}
	return err
}

// readLine gives the next line with its line end, which stands in the buffer until the next read. A part of a line is never
// given. idle is as for fill.
func (c *conn) readLine(deadline time.Time, idle bool) ([]byte, error) {
	in := &c.in
	seen := 0 // octets known to hold no line end
	for {
		if i := bytes.IndexByte(in.buf[in.r+seen:in.w], '\n'); i >= 0 {
			line := in.buf[in.r : in.r+seen+i+1]
			if len(line) > maxAnyLine {
				return nil, errLineTooLong
			}
			in.r += len(line)
			return line, nil
		}
		seen = in.w - in.r
		if seen >= maxAnyLine {
			return nil, errLineTooLong
		}
		if in.w == len(in.buf) {
			in.room(min(max(len(in.buf), 2*seen), maxAnyLine))
		}
		if err := c.fill(deadline, idle); err != nil {
			return nil, err
		}
	}
}

// watch reads ahead while code of the embedder's runs, and cancels its context when the peer leaves. A peer that has sent
// more commands and closed its side for sending (QUIT, then a half-close) has not left. When the buffer is full nothing
// more is noticed. The function that watch returns ends it.
func (c *conn) watch(cancel context.CancelCauseFunc) (stop func()) {
	in := &c.in
	in.mu.Lock()
	in.room(lineBuffer)
	in.mu.Unlock()
	if in.err != nil || in.w == len(in.buf) || c.raw.SetReadDeadline(time.Time{}) != nil {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if err := in.read(); err != nil {
				if !isTimeout(err) && (!errors.Is(err, io.EOF) || in.pending() == 0) {
					cancel(errPeerLeft)
				}
				return
			}
			if in.w == len(in.buf) {
				return
			}
		}
	}()
	return func() {
		_ = c.raw.SetReadDeadline(time.Unix(1, 0)) // if that fails the connection is gone, and so the read
		<-done
	}
}
