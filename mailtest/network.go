package mailtest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
)

// Limits of a Network.
const (
	// BufferSize is how many octets a connection holds in each direction before Write waits for the peer's Read.
	BufferSize = 64 << 10
	// Backlog is how many connections wait for Accept on a listener before dialers wait.
	Backlog = 128
	// PacketBacklog is how many datagrams wait on a socket before further ones are lost.
	PacketBacklog = 256

	firstEphemeral = 49152 // RFC 6335 §6
)

// Network is a network in memory with TCP and UDP. Every IP address is on it: one listens on any, and dials from any.
// Names are not resolved, but for "localhost".
//
// It keeps nothing of a connection that was closed by both ends, and no goroutine of its own.
type Network struct {
	mu        sync.Mutex
	listeners map[netip.AddrPort]*Listener
	sockets   map[netip.AddrPort]*PacketConn
	faults    map[netip.AddrPort]fault // port 0: all ports of the address
	nextPort  uint16
	onConnect func(client, server *Conn)
}

// fault is what happens to who dials an address.
type fault int

const (
	faultNone fault = iota
	faultRefuse
	faultUnreachable
	faultBlackhole
)

// NewNetwork makes an empty network.
func NewNetwork() *Network {
	return &Network{
		listeners: map[netip.AddrPort]*Listener{},
		sockets:   map[netip.AddrPort]*PacketConn{},
		faults:    map[netip.AddrPort]fault{},
		nextPort:  firstEphemeral,
	}
}

// Listen opens a TCP listener, as [net.Listen] does. The network is "tcp", "tcp4" or "tcp6", the host of addr an IP
// address, "localhost", or empty or unspecified for every address; port 0 takes a free one. An address in use gives
// EADDRINUSE. The listener is a [*Listener], its connections are of type [*Conn].
func (n *Network) Listen(network, addr string) (net.Listener, error) {
	at, err := parseAddr(network, addr, "tcp")
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if at.Port() == 0 {
		at = n.freePort(at.Addr(), func(p netip.AddrPort) bool { return n.listeners[p] != nil })
	}
	if n.listeners[at] != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: net.TCPAddrFromAddrPort(at), Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	l := newListener(n, at)
	n.listeners[at] = l
	return l, nil
}

// ListenPacket opens a UDP socket, as [net.ListenPacket] does. The network is "udp", "udp4" or "udp6", the rest as for
// Listen. It is a [*PacketConn].
func (n *Network) ListenPacket(network, addr string) (net.PacketConn, error) {
	at, err := parseAddr(network, addr, "udp")
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	c, err := n.bind(at, netip.AddrPort{})
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: net.UDPAddrFromAddrPort(at), Err: err}
	}
	return c, nil
}

// Refuse makes addr ("192.0.2.1:25", or "192.0.2.1" for all its ports) refuse connections although somebody listens:
// ECONNREFUSED. Connections that stand are not touched.
func (n *Network) Refuse(addr string) { n.setFault(addr, faultRefuse) }

// Unreachable makes dialing addr fail at once with EHOSTUNREACH. Datagrams to it are lost.
func (n *Network) Unreachable(addr string) { n.setFault(addr, faultUnreachable) }

// Blackhole makes dialing addr wait until the dialer's context ends. Datagrams to it are lost.
func (n *Network) Blackhole(addr string) { n.setFault(addr, faultBlackhole) }

// Restore ends what Refuse, Unreachable or Blackhole began for the same addr.
func (n *Network) Restore(addr string) { n.setFault(addr, faultNone) }

// OnConnect has f called with both ends of every new TCP connection before anybody else gets them, so that a test can
// watch them or call [Conn.CutAfter]. The last f counts; nil for none.
func (n *Network) OnConnect(f func(client, server *Conn)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.onConnect = f
}

func (n *Network) setFault(addr string, f fault) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		ip, err := netip.ParseAddr(addr)
		if err != nil {
			return // not an address of this network, so nobody can dial it
		}
		at = netip.AddrPortFrom(ip, 0)
	}
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	n.mu.Lock()
	defer n.mu.Unlock()
	if f == faultNone {
		delete(n.faults, at)
		return
	}
	n.faults[at] = f
}

// faultAt is the fault of an address; n.mu is held.
func (n *Network) faultAt(at netip.AddrPort) fault {
	if f := n.faults[at]; f != faultNone {
		return f
	}
	return n.faults[netip.AddrPortFrom(at.Addr(), 0)]
}

// freePort finds a port of ip that is not taken; n.mu is held. If there is none left it gives a taken one, which the
// caller finds out.
func (n *Network) freePort(ip netip.Addr, taken func(netip.AddrPort) bool) netip.AddrPort {
	var at netip.AddrPort
	for range 1<<16 - firstEphemeral {
		at = netip.AddrPortFrom(ip, n.nextPort)
		if n.nextPort++; n.nextPort == 0 {
			n.nextPort = firstEphemeral
		}
		if !taken(at) {
			break
		}
	}
	return at
}

// Dialer makes connections from one address of a Network.
type Dialer struct {
	network *Network
	local   netip.Addr // invalid: the loopback address of the peer's family
	err     error
}

// Dialer gives a dialer whose connections come from localIP, each with a port of its own; empty: from the loopback
// address of the family dialed. A localIP that is no IP address makes every dial fail.
func (n *Network) Dialer(localIP string) *Dialer {
	d := &Dialer{network: n}
	if localIP != "" {
		d.local, d.err = netip.ParseAddr(localIP)
		d.local = d.local.Unmap()
	}
	return d
}

// Dial is DialContext without a context.
func (d *Dialer) Dial(network, addr string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, addr)
}

// DialContext connects as [net.Dialer.DialContext] does. The network is "tcp" or "udp", or either with "4" or "6"; the
// host of addr is an IP address or "localhost". It returns a [*Conn] or a [*PacketConn]. Nobody listening is
// ECONNREFUSED in a *net.OpError; the end of ctx while it waits is a time-out when a deadline passed.
func (d *Dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	transport := "tcp"
	if len(network) >= 3 && network[:3] == "udp" {
		transport = "udp"
	}
	to, err := parseAddr(network, addr, transport)
	if err == nil {
		err = d.err
	}
	if err == nil && to.Port() == 0 {
		err = &net.AddrError{Err: "port 0 cannot be dialed", Addr: addr}
	}
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	from, to, err := d.route(to)
	if err != nil {
		return nil, dialError(network, from, to, err)
	}
	if transport == "udp" {
		c, err := d.network.bind(netip.AddrPortFrom(from, 0), to)
		if err != nil {
			return nil, dialError(network, from, to, err)
		}
		return c, nil
	}
	c, err := d.network.connect(ctx, from, to)
	if err != nil {
		return nil, dialError(network, from, to, err)
	}
	return c, nil
}

// route picks the source address. An unspecified destination is this host, as real systems have it.
func (d *Dialer) route(to netip.AddrPort) (netip.Addr, netip.AddrPort, error) {
	loopback := netip.IPv6Loopback()
	if to.Addr().Is4() {
		loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	if to.Addr().IsUnspecified() {
		to = netip.AddrPortFrom(loopback, to.Port())
	}
	if !d.local.IsValid() {
		return loopback, to, nil
	}
	if d.local.Is4() != to.Addr().Is4() {
		return d.local, to, os.NewSyscallError("connect", syscall.ENETUNREACH)
	}
	return d.local, to, nil
}

func dialError(network string, from netip.Addr, to netip.AddrPort, err error) error {
	op := &net.OpError{Op: "dial", Net: network, Addr: tcpAddr(to), Err: err}
	if transport := network[:3]; transport == "udp" {
		op.Addr = net.UDPAddrFromAddrPort(to)
		op.Source = net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	} else {
		op.Source = tcpAddr(netip.AddrPortFrom(from, 0))
	}
	return op
}

// connect makes a TCP connection, waiting for room in the listener's backlog or, at a black hole, for ctx to end.
func (n *Network) connect(ctx context.Context, from netip.Addr, to netip.AddrPort) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, contextError(err)
	}
	n.mu.Lock()
	fault, l := n.faultAt(to), n.listenerAt(to)
	source := n.freePort(from, func(p netip.AddrPort) bool { return n.listeners[p] != nil })
	onConnect := n.onConnect
	n.mu.Unlock()

	switch {
	case fault == faultBlackhole:
		<-ctx.Done()
		return nil, contextError(ctx.Err())
	case fault == faultUnreachable:
		return nil, os.NewSyscallError("connect", syscall.EHOSTUNREACH)
	case fault == faultRefuse || l == nil:
		return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	client, server := newConns(source, to)
	if onConnect != nil {
		onConnect(client, server)
	}
	if err := l.offer(ctx, server); err != nil {
		_ = client.Close()
		_ = server.Close()
		return nil, err
	}
	return client, nil
}

// listenerAt finds who listens on an address or on all of them; n.mu is held.
func (n *Network) listenerAt(to netip.AddrPort) *Listener {
	for _, ip := range candidates(to.Addr()) {
		if l := n.listeners[netip.AddrPortFrom(ip, to.Port())]; l != nil {
			return l
		}
	}
	return nil
}

// candidates are the addresses under which an address may be bound: itself and the unspecified ones. "::" takes IPv4
// too, as dual-stack sockets do.
func candidates(ip netip.Addr) []netip.Addr {
	if ip.Is4() {
		return []netip.Addr{ip, netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	}
	return []netip.Addr{ip, netip.IPv6Unspecified()}
}

// contextError is what net's own dialer makes of a context's end.
func contextError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	return err
}

// parseAddr reads "host:port" for one of transport's networks.
func parseAddr(network, addr, transport string) (netip.AddrPort, error) {
	family, ok := "", len(network) >= 3 && network[:3] == transport
	if ok {
		family = network[3:]
	}
	if !ok || (family != "" && family != "4" && family != "6") {
		return netip.AddrPort{}, net.UnknownNetworkError(network)
	}
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := net.LookupPort(network, service)
	if err != nil {
		return netip.AddrPort{}, err
	}
	ip, err := parseHost(host, family)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if (family == "4" && !ip.Is4()) || (family == "6" && ip.Is4()) {
		return netip.AddrPort{}, &net.AddrError{Err: "no suitable address found", Addr: host}
	}
	return netip.AddrPortFrom(ip, uint16(port)), nil
}

func parseHost(host, family string) (netip.Addr, error) {
	switch {
	case host == "" && family == "4":
		return netip.IPv4Unspecified(), nil
	case host == "":
		return netip.IPv6Unspecified(), nil
	case host == "localhost" && family == "6":
		return netip.IPv6Loopback(), nil
	case host == "localhost":
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, &net.AddrError{Err: "this network resolves no names", Addr: host}
	}
	return ip.Unmap(), nil
}
