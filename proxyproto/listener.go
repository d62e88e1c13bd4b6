package proxyproto

import (
	"log/slog"
	"net"
	"net/netip"
	"time"
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
	// Logger gets a line for each connection that is closed here; nil: none.
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
		log(l.Logger, "proxyproto: connection from a peer that is no balancer", "peer", c.RemoteAddr().String())
		_ = c.Close() // it was not wanted
	}
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
	addr := at.Addr().Unmap().WithZone("")
	for _, prefix := range l.From {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

func log(logger *slog.Logger, text string, args ...any) {
	if logger != nil {
		logger.Info(text, args...)
	}
}
