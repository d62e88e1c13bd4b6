package pop3d

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Sizes in octets.
const (
	lineBuffer = 4 << 10 // of the read buffer
	maxLine    = 255     // a command with its CRLF: RFC 2449 §4
	maxAnyLine = 12288   // AUTH and the responses in it: RFC 4954 §4
)

// errLineTooLong is the error for a line beyond maxAnyLine: no more is read from such a peer.
var errLineTooLong = errors.New("pop3d: line too long")

// input holds what has arrived and was not asked for yet: buf[r:w]. While a step of the embedder's runs, watch reads ahead
// in a goroutine of its own; only then is mu needed.
type input struct {
	mu   sync.Mutex
	conn net.Conn
	buf  []byte
	r, w int
	err  error // what reading ended with, once it has ended for good
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

// room moves what waits to the start of a buffer of at least size octets.
func (in *input) room(size int) {
	buf := in.buf
	if len(buf) < size {
		buf = make([]byte, size)
	}
	in.w = copy(buf, in.buf[in.r:in.w])
	in.r, in.buf = 0, buf
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

// fill waits for more input until the deadline, after it has sent the replies that wait (RFC 2449 §6.6).
func (c *conn) fill(deadline time.Time) error {
	if c.in.err != nil {
		return c.in.err
	}
	if err := c.flush(); err != nil {
		return err
	}
	c.mu.Lock()
	if c.draining {
		c.mu.Unlock()
		return errDraining
	}
	c.idle = true
	err := c.raw.SetReadDeadline(deadline)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	err = c.in.read()
	c.mu.Lock()
	c.idle = false
	woken := c.draining
	c.mu.Unlock()
	if woken && isTimeout(err) {
		return errDraining
	}
	return err
}

// readLine gives the next line with its line end, which stands in the buffer until the next read. A part of a line is never
// given.
func (c *conn) readLine(deadline time.Time) ([]byte, error) {
	in := &c.in
	seen := 0 // octets known to hold no line end
	for {
		if i := bytes.IndexByte(in.buf[in.r+seen:in.w], '\n'); i >= 0 {
			line := in.buf[in.r : in.r+seen+i+1]
			in.r += len(line)
			return line, nil
		}
		seen = in.w - in.r
		if seen >= maxAnyLine {
			return nil, errLineTooLong
		}
		if in.w == len(in.buf) {
			in.room(min(max(lineBuffer, 2*seen), maxAnyLine))
		}
		if err := c.fill(deadline); err != nil {
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
