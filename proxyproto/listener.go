package proxyproto

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/mailbricks/mailbricks/internal/ipaddr"
)

// DefaultHeaderTimeout is the default of Listener.HeaderTimeout. Balancers send the header with the connection.
const DefaultHeaderTimeout = 5 * time.Second

// Listener gives the connections of another listener with the addresses that trusted peers say they have. Its fields must not
// change once Accept was called. The zero values of all but Listener and From are good defaults.
type Listener struct {
	// Listener is where the connections come from.
	Listener net.Listener
	// From are the networks of the balancers: who must send a header, and is believed. IPv4 addresses in IPv6 form are IPv4.
	From []netip.Prefix
	// Unix lets peers without an IP address, as those of a Unix socket are, be balancers, too: the permissions of the socket
	// say who may connect.
	Unix bool
	// Direct serves peers that are no balancers as they are. Without it their connections are closed.
	Direct bool
	// HeaderTimeout is how long after Accept the whole header must have come; 0 or less: DefaultHeaderTimeout.
	HeaderTimeout time.Duration
	// Logger gets a line for each connection that is closed here; nil: none. Of connections of this machine with itself, by
	// which it may look whether somebody listens, it is at debug level if no header is expected from them.
	Logger *slog.Logger
}

// Accept waits for the next connection that is to be served. It does not wait for headers.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		switch {
		case l.trusts(c.RemoteAddr()):
			return &conn{Conn: c, logger: l.Logger, until: time.Now().Add(l.headerTimeout())}, nil
		case l.Direct:
			return c, nil
		}
		l.refuse(c)
	}
}

// refuse closes the connection of a peer that is no balancer.
func (l *Listener) refuse(c net.Conn) {
	if peer := c.RemoteAddr(); peer != nil { // else it has gone already
		level := slog.LevelInfo
		if isItself(c) {
			level = slog.LevelDebug
		}
		log(l.Logger, level, "proxyproto: connection from a peer that is no balancer", "peer", peer.String())
	}
	_ = c.Close() // it was not wanted
}

// Close closes the listener.
func (l *Listener) Close() error { return l.Listener.Close() }

// Addr is the listener's address.
func (l *Listener) Addr() net.Addr { return l.Listener.Addr() }

func (l *Listener) headerTimeout() time.Duration {
	if l.HeaderTimeout <= 0 {
		return DefaultHeaderTimeout
	}
	return l.HeaderTimeout
}

// trusts says whether a peer is a balancer.
func (l *Listener) trusts(peer net.Addr) bool {
	if peer == nil { // it has gone already
		return false
	}
	at, err := netip.ParseAddrPort(peer.String())
	if err != nil {
		return l.Unix
	}
	addr := ipaddr.Plain(at.Addr())
	for _, prefix := range l.From {
		network := ipaddr.Network(prefix)
		if prefix.Addr().Is4In6() && !network.Addr().Is4() { // such as ::ffff:0:0/64, which nobody can mean
			continue
		}
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// isItself says whether a connection comes from the address that it goes to.
func isItself(c net.Conn) bool {
	if c.LocalAddr() == nil {
		return false
	}
	from, errFrom := netip.ParseAddrPort(c.RemoteAddr().String())
	to, errTo := netip.ParseAddrPort(c.LocalAddr().String())
	return errFrom == nil && errTo == nil && from.Addr().Unmap() == to.Addr().Unmap()
}

func log(logger *slog.Logger, level slog.Level, text string, args ...any) {
	if logger != nil {
		logger.Log(context.Background(), level, text, args...)
	}
}
