package proxyproto

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// ErrHeader says that a balancer sent no header, or one that is of no use. The connection is closed.
var ErrHeader = errors.New("proxyproto: no valid header")

// conn is a connection from a balancer. Its first use waits for the header; see [Listener].
type conn struct {
	net.Conn // the balancer's
	logger   *slog.Logger
	until    time.Time // when the header must have come

	once          sync.Once
	local, remote net.Addr
	rest          []byte // what came with the header; the reader's
	err           error

	mu       sync.Mutex
	reading  bool      // the header is being read, and there is a deadline for that
	deadline time.Time // the user's, for reading
}

// NetConn is the connection from the balancer. Octets may be missing from its start.
func (c *conn) NetConn() net.Conn { return c.Conn }

// Ready waits for the header and says whether there is one: the servers of this module begin no session without.
func (c *conn) Ready() error { return c.header() }

// RemoteAddr is the client's address.
func (c *conn) RemoteAddr() net.Addr {
	_ = c.header() // remote says so
	return c.remote
}

// LocalAddr is the address that the client connected to.
func (c *conn) LocalAddr() net.Addr {
	_ = c.header() // local says so
	return c.local
}

// Read reads what comes behind the header.
func (c *conn) Read(p []byte) (int, error) {
	if err := c.header(); err != nil {
		return 0, err
	}
	if len(c.rest) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.rest)
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		c.rest = nil // the buffer can go
	}
	return n, nil
}

// Write writes to the client. Nothing is written to a balancer that has not sent a header.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.header(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// CloseWrite shuts down the writing side, if the connection can do that.
func (c *conn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("proxyproto: %T cannot be closed for writing: %w", c.Conn, errors.ErrUnsupported)
	}
	return half.CloseWrite()
}

// SetDeadline sets the deadlines for reading and writing. The header has one of its own, which ends first if it is earlier.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline sets the deadline for reading; see SetDeadline.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	if c.reading {
		t = c.earlier()
	}
	return c.Conn.SetReadDeadline(t)
}

// earlier is the deadline for the header.
func (c *conn) earlier() time.Time {
	if c.deadline.IsZero() || c.until.Before(c.deadline) {
		return c.until
	}
	return c.deadline
}

// header waits for the header, once.
func (c *conn) header() error {
	c.once.Do(func() {
		c.local, c.remote = none{}, none{}
		if c.err = c.take(); c.err == nil {
			return
		}
		c.err = fmt.Errorf("%w: %w", ErrHeader, c.err)
		log(c.logger, slog.LevelInfo, "proxyproto: connection closed", "balancer", c.Conn.RemoteAddr().String(), "err", c.err)
		_ = c.Close() // there is nobody to talk to
	})
	return c.err
}

// take reads the header.
func (c *conn) take() error {
	if err := c.begin(); err != nil {
		return err
	}
	raw, rest, err := readHeader(c.Conn)
	if err != nil {
		return err
	}
	c.end()
	local, remote, err := parseHeader(raw)
	if err != nil {
		return err
	}
	if remote == nil { // the balancer speaks for itself
		local, remote = c.Conn.LocalAddr(), c.Conn.RemoteAddr()
	}
	c.local, c.remote, c.rest = local, remote, rest
	return nil
}

// begin sets the deadline for the header.
func (c *conn) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = true
	return c.Conn.SetReadDeadline(c.earlier())
}

// end sets the user's deadline, which may have passed.
func (c *conn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = false
	_ = c.Conn.SetReadDeadline(c.deadline) // if that fails the connection has, and what came with the header can be read still
}

// none is the address of a connection without a valid header.
type none struct{}

func (none) Network() string { return "tcp" }
func (none) String() string  { return "unknown" }
