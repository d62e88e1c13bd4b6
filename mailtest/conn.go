package mailtest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// Conn is one end of a TCP connection on a [Network]. It is full duplex, each direction has room for [BufferSize]
// octets, and its addresses are of type *net.TCPAddr. Errors are those of *net.TCPConn: *net.OpError around
// os.ErrDeadlineExceeded, net.ErrClosed, ECONNRESET or EPIPE, and plain io.EOF.
//
// In two ways it is stricter than TCP, so that tests do not depend on chance: what was written can be read by the peer
// at once, and a Write fails at once when the peer has closed its end.
type Conn struct {
	local, remote *net.TCPAddr
	in, out       *stream
}

func newConns(client, server netip.AddrPort) (*Conn, *Conn) {
	up, down := newStream(), newStream()
	return &Conn{local: tcpAddr(client), remote: tcpAddr(server), in: down, out: up},
		&Conn{local: tcpAddr(server), remote: tcpAddr(client), in: up, out: down}
}

func tcpAddr(at netip.AddrPort) *net.TCPAddr { return net.TCPAddrFromAddrPort(at) }

// Read reads what the peer wrote, waiting until there is something. After the peer's Close or CloseWrite it gives
// io.EOF once everything was read.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, c.wrap("read", err)
}

// Write writes all of p, waiting for the peer to make room. Concurrent Writes are not mixed.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	if errors.Is(err, errCut) {
		c.Reset()
		err = os.NewSyscallError("write", syscall.ECONNRESET)
		if n == len(p) {
			err = nil
		}
	}
	return n, c.wrap("write", err)
}

// Close closes both directions. The peer still reads what was written before.
func (c *Conn) Close() error {
	if !c.in.closeRead() {
		return c.wrap("close", net.ErrClosed)
	}
	c.out.closeWrite(net.ErrClosed)
	return nil
}

// CloseWrite closes the direction to the peer, which reads io.EOF behind what was written.
func (c *Conn) CloseWrite() error {
	if err := c.out.closeWrite(os.NewSyscallError("write", syscall.EPIPE)); err != nil {
		return c.wrap("close", err)
	}
	return nil
}

// Reset breaks the connection: both ends read what had arrived and then get ECONNRESET.
func (c *Conn) Reset() {
	c.in.reset()
	c.out.reset()
}

// CutAfter breaks the connection, as Reset does, once this end has written n more octets: the peer gets these and no
// more. 0 cuts it at once.
func (c *Conn) CutAfter(n int) {
	if n <= 0 {
		c.Reset()
		return
	}
	c.out.cutAfter(n)
}

// LocalAddr is this end's address, a *net.TCPAddr.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the peer's address, a *net.TCPAddr.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets the deadlines of Read and Write; the zero time is none.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline sets the deadline of Read, also of one that waits now.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.wrap("set", c.in.setDeadline(&c.in.readBy, t))
}

// SetWriteDeadline sets the deadline of Write, also of one that waits now.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.wrap("set", c.out.setDeadline(&c.out.writeBy, t))
}

func (c *Conn) wrap(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// errCut says that a stream has carried all that CutAfter allows.
var errCut = errors.New("mailtest: cut")

// stream is one direction of a connection. Everybody waits on cond and never holds mu meanwhile, which a synctest
// bubble takes for idle.
type stream struct {
	mu      sync.Mutex
	cond    sync.Cond
	buf     bytes.Buffer
	readBy  deadline
	writeBy deadline

	writing    bool  // a Write is under way: others wait, so that theirs is not mixed into it
	writeErr   error // why nothing more can be written by the writing end; the reading end then reads io.EOF
	readClosed bool  // the reading end was closed
	broken     bool  // reset: nothing more arrives
	cut        int   // octets until the cut; -1 for none
}

func newStream() *stream {
	s := &stream{cut: -1}
	s.cond.L = &s.mu
	s.readBy.cond, s.writeBy.cond = &s.cond, &s.cond
	return s
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.readClosed:
			return 0, net.ErrClosed
		case s.readBy.passed:
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case s.buf.Len() > 0:
			n, _ := s.buf.Read(p)
			s.cond.Broadcast()
			return n, nil
		case s.broken:
			return 0, os.NewSyscallError("read", syscall.ECONNRESET)
		case s.writeErr != nil:
			return 0, io.EOF
		}
		s.cond.Wait()
	}
}

func (s *stream) write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.writing && s.writable() == nil {
		s.cond.Wait()
	}
	if err := s.writable(); err != nil {
		return 0, err
	}
	s.writing = true
	defer func() {
		s.writing = false
		s.cond.Broadcast()
	}()
	written := 0
	for written < len(p) {
		if err := s.writable(); err != nil {
			return written, err
		}
		n := min(len(p)-written, BufferSize-s.buf.Len())
		if s.cut >= 0 {
			n = min(n, s.cut)
			s.cut -= n
		}
		s.buf.Write(p[written : written+n])
		written += n
		if s.cut == 0 {
			return written, errCut
		}
		if s.cond.Broadcast(); n == 0 {
			s.cond.Wait()
		}
	}
	return written, nil
}

// writable is the error of a Write now; mu is held.
func (s *stream) writable() error {
	switch {
	case s.writeErr != nil:
		return s.writeErr
	case s.writeBy.passed:
		return os.ErrDeadlineExceeded
	case s.broken:
		return os.NewSyscallError("write", syscall.ECONNRESET)
	case s.readClosed:
		return os.NewSyscallError("write", syscall.EPIPE)
	}
	return nil
}

// closeWrite ends the writing side; err is what its Writes give from then on. It fails on an end that was closed.
func (s *stream) closeWrite(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writeErr == net.ErrClosed {
		return net.ErrClosed
	}
	s.writeErr = err
	s.writeBy.stop()
	s.cond.Broadcast()
	return nil
}

// closeRead ends the reading side and says whether it was open.
func (s *stream) closeRead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readClosed {
		return false
	}
	s.readClosed = true
	s.buf = bytes.Buffer{}
	s.readBy.stop()
	s.cond.Broadcast()
	return true
}

func (s *stream) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = true
	s.cond.Broadcast()
}

func (s *stream) cutAfter(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = n
}

// setDeadline fails on an end that was closed.
func (s *stream) setDeadline(d *deadline, t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if (d == &s.readBy && s.readClosed) || (d == &s.writeBy && s.writeErr == net.ErrClosed) {
		return net.ErrClosed
	}
	d.set(t)
	return nil
}
