package gosmtp

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks/smtpd"
)

// maxWritten is how many octets written to a shadow are kept: a reply has fewer.
const maxWritten = 64 << 10

// shadow is the net.Conn that go-smtp sees in place of the client's. A server of go-smtp's reads from it: it gets nothing but
// the client's greeting, and waits. What it writes, and what a backend writes to it, goes nowhere, but can be looked at.
type shadow struct {
	peer          *smtpd.Session
	local, remote net.Addr

	mu       sync.Mutex
	changed  sync.Cond
	in, out  []byte // to go-smtp's server, from it
	asked    bool   // the backend knows of the connection
	waiting  bool   // go-smtp's server reads and there is nothing
	panicked bool   // the backend panicked in a call that go-smtp made
	closed   bool   // by the backend, or by go-smtp's server at its end
	ending   bool   // the next Close is the last
	released bool   // go-smtp's server may end
}

func newShadow(peer *smtpd.Session) *shadow {
	s := &shadow{peer: peer, local: address(peer.Peer.Local), remote: address(peer.Peer.Addr)}
	s.changed.L = &s.mu
	return s
}

// Read waits for what the far end writes, and then for the release: a connection that the backend has closed is not at its end
// for go-smtp's server, which would call Logout while the backend is in another method.
func (s *shadow) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.in) == 0 {
		if s.released {
			return 0, io.EOF
		}
		s.waiting = true
		s.changed.Broadcast()
		s.changed.Wait()
	}
	s.waiting = false
	n := copy(p, s.in)
	s.in = s.in[n:]
	return n, nil
}

// Write keeps p for written.
func (s *shadow) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.out)+len(p) > maxWritten {
		return 0, net.ErrClosed
	}
	s.out = append(s.out, p...)
	s.changed.Broadcast()
	return len(p), nil
}

// Close says that the connection is to be closed.
func (s *shadow) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.released = s.released || s.ending
	s.changed.Broadcast()
	return nil
}

func (s *shadow) LocalAddr() net.Addr  { return s.local }
func (s *shadow) RemoteAddr() net.Addr { return s.remote }

// Deadlines are the engine's affair.
func (s *shadow) SetDeadline(time.Time) error      { return nil }
func (s *shadow) SetReadDeadline(time.Time) error  { return nil }
func (s *shadow) SetWriteDeadline(time.Time) error { return nil }

// release lets go-smtp's server end.
func (s *shadow) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.released = true, true
	s.changed.Broadcast()
}

// releaseWithClose lets go-smtp's server end once Close is called.
func (s *shadow) releaseWithClose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = true
}

// setAsked notes that the backend knows of the connection.
func (s *shadow) setAsked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = true
}

// settle waits until go-smtp's server has done all that it was told to, has run into a panic of the backend's, or has given up
// before it came to ask the backend.
func (s *shadow) settle() (panicked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.panicked && (!s.waiting || len(s.in) > 0) && (!s.closed || s.asked) {
		s.changed.Wait()
	}
	return s.panicked
}

// isClosed says whether Close was called.
func (s *shadow) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// isEmpty says whether nothing was written that has not been looked at.
func (s *shadow) isEmpty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.out) == 0
}

// tap sees in clear what go-smtp's server reads and writes, as its Debug.
type tap struct{ *shadow }

// panicReply is what go-smtp writes when the code of a backend has panicked, before it closes the connection.
const panicReply = "421 4.0.0 Internal server error"

// Write holds go-smtp's server where it is once the backend has panicked, until the release: what it would do next is call
// Logout, and a panic in that would end the process.
func (t tap) Write(p []byte) (int, error) {
	if !bytes.HasPrefix(p, []byte(panicReply)) {
		return len(p), nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.panicked = true
	t.changed.Broadcast()
	for !t.released {
		t.changed.Wait()
	}
	return len(p), nil
}

// farEnd is a shadow's other end: what a client of go-smtp's server would hold.
type farEnd struct{ *shadow }

// Read gives what was written to the shadow. It waits for more while go-smtp's server has work to do.
func (f farEnd) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.out) == 0 {
		switch {
		case f.closed:
			return 0, io.EOF
		case f.panicked, f.waiting && len(f.in) == 0:
			return 0, os.ErrDeadlineExceeded // nothing will come; a TLS connection survives this one
		}
		f.changed.Wait()
	}
	n := copy(p, f.out)
	f.out = f.out[n:]
	return n, nil
}

// Write feeds go-smtp's server.
func (f farEnd) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return 0, net.ErrClosed
	}
	f.in = append(f.in, p...)
	f.changed.Broadcast()
	return len(p), nil
}
