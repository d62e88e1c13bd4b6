package mailtest

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// PacketConn is a UDP socket on a [Network]: bound by ListenPacket, or connected by a Dialer and then a net.Conn too.
// Datagrams arrive in order and unchanged; they are lost when nobody is bound to their address, at a black hole, and
// when [PacketBacklog] of them wait already.
type PacketConn struct {
	network *Network
	at      netip.AddrPort
	peer    netip.AddrPort // valid: connected

	mu     sync.Mutex
	cond   sync.Cond
	queue  []packet
	readBy deadline
	late   bool // the write deadline has passed
	fault  error
	closed bool
}

type packet struct {
	from netip.AddrPort
	data []byte
}

// bind makes a socket at an address, port 0 for a free one.
func (n *Network) bind(at, peer netip.AddrPort) (*PacketConn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if at.Port() == 0 {
		at = n.freePort(at.Addr(), func(p netip.AddrPort) bool { return n.sockets[p] != nil })
	}
	if n.sockets[at] != nil {
		return nil, os.NewSyscallError("bind", syscall.EADDRINUSE)
	}
	c := &PacketConn{network: n, at: at, peer: peer}
	c.cond.L = &c.mu
	c.readBy.cond = &c.cond
	n.sockets[at] = c
	return c, nil
}

// ReadFrom reads the next datagram; what p is too short for is lost.
func (c *PacketConn) ReadFrom(p []byte) (int, net.Addr, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, nil, c.wrap("read", net.ErrClosed)
		case c.readBy.passed:
			return 0, nil, c.wrap("read", os.ErrDeadlineExceeded)
		case c.fault != nil:
			err := c.fault
			c.fault = nil
			return 0, nil, c.wrap("read", err)
		case len(c.queue) > 0:
			next := c.queue[0]
			c.queue = c.queue[1:]
			return copy(p, next.data), net.UDPAddrFromAddrPort(next.from), nil
		}
		c.cond.Wait()
	}
}

// Read is ReadFrom without the address.
func (c *PacketConn) Read(p []byte) (int, error) {
	n, _, err := c.ReadFrom(p)
	return n, err
}

// WriteTo sends one datagram to an address (*net.UDPAddr) and never waits.
func (c *PacketConn) WriteTo(p []byte, addr net.Addr) (int, error) {
	udp, ok := addr.(*net.UDPAddr)
	if !ok || c.peer.IsValid() {
		return 0, c.wrap("write", os.NewSyscallError("sendto", syscall.EINVAL))
	}
	to := udp.AddrPort()
	return c.send(p, netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))
}

// Write sends one datagram to the address that the socket was dialed for. If nobody is bound to it, the next Read
// gives ECONNREFUSED.
func (c *PacketConn) Write(p []byte) (int, error) {
	if !c.peer.IsValid() {
		return 0, c.wrap("write", os.NewSyscallError("write", syscall.EDESTADDRREQ))
	}
	return c.send(p, c.peer)
}

// maxDatagram is the most that fits behind the headers of IPv4 and UDP.
const maxDatagram = 65507

func (c *PacketConn) send(p []byte, to netip.AddrPort) (int, error) {
	c.mu.Lock()
	closed, late := c.closed, c.late
	c.mu.Unlock()
	switch {
	case closed:
		return 0, c.wrap("write", net.ErrClosed)
	case late:
		return 0, c.wrap("write", os.ErrDeadlineExceeded)
	case len(p) > maxDatagram:
		return 0, c.wrap("write", os.NewSyscallError("sendto", syscall.EMSGSIZE))
	}
	c.network.mu.Lock()
	fault := c.network.faultAt(to)
	var peer *PacketConn
	for _, ip := range candidates(to.Addr()) {
		if peer = c.network.sockets[netip.AddrPortFrom(ip, to.Port())]; peer != nil {
			break
		}
	}
	c.network.mu.Unlock()
	switch {
	case fault == faultBlackhole || fault == faultUnreachable:
	case fault == faultRefuse || peer == nil:
		c.refused()
	default:
		peer.deliver(packet{from: c.at, data: bytes.Clone(p)})
	}
	return len(p), nil
}

// refused tells a connected socket that its datagram found nobody.
func (c *PacketConn) refused() {
	if !c.peer.IsValid() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = os.NewSyscallError("read", syscall.ECONNREFUSED)
	c.cond.Broadcast()
}

func (c *PacketConn) deliver(p packet) {
	if p.from.Addr().IsUnspecified() { // a socket on all addresses sends from the one that it was spoken to
		ip := netip.IPv6Loopback()
		if c.at.Addr().Is4() {
			ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
		if c.peer.IsValid() {
			ip = c.peer.Addr()
		}
		p.from = netip.AddrPortFrom(ip, p.from.Port())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.queue) >= PacketBacklog || (c.peer.IsValid() && p.from != c.peer) {
		return
	}
	c.queue = append(c.queue, p)
	c.cond.Broadcast()
}

// Close unbinds the socket; whoever reads gets net.ErrClosed.
func (c *PacketConn) Close() error {
	c.network.mu.Lock()
	if c.network.sockets[c.at] == c {
		delete(c.network.sockets, c.at)
	}
	c.network.mu.Unlock()

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.wrap("close", net.ErrClosed)
	}
	c.closed = true
	c.queue = nil
	c.readBy.stop()
	c.cond.Broadcast()
	return nil
}

// LocalAddr is the socket's address, a *net.UDPAddr.
func (c *PacketConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.at) }

// RemoteAddr is the address that the socket was dialed for, a *net.UDPAddr; nil when it was not dialed.
func (c *PacketConn) RemoteAddr() net.Addr {
	if !c.peer.IsValid() {
		return nil
	}
	return net.UDPAddrFromAddrPort(c.peer)
}

// SetDeadline sets the deadlines of reading and writing; the zero time is none.
func (c *PacketConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline sets the deadline of reading, also of who waits now.
func (c *PacketConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.wrap("set", net.ErrClosed)
	}
	c.readBy.set(t)
	return nil
}

// SetWriteDeadline sets the deadline of writing. As writing never waits, it only matters when it lies in the past.
func (c *PacketConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.wrap("set", net.ErrClosed)
	}
	c.late = !t.IsZero() && !time.Now().Before(t)
	return nil
}

func (c *PacketConn) wrap(op string, err error) error {
	return &net.OpError{Op: op, Net: "udp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
