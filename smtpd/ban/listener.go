package ban

import (
	"net"
	"net/netip"
)

// Listener gives l without the connections of peers that are banned: they are closed without a word. It is for servers that
// do not ask [Bans.Banned], and for those under an attack that is not worth an answer. The peer's address must be known at
// once: a listener for the PROXY protocol, which learns it from the connection, does not do.
func (b *Bans) Listener(l net.Listener) net.Listener { return &listener{l, b} }

type listener struct {
	net.Listener
	bans *Bans
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if !l.bans.Banned(addressOf(conn)) {
			return conn, nil
		}
		_ = conn.Close() // there is nobody to tell
	}
}

// addressOf gives the peer's address. A Unix socket has none, and a connection that is over already may have none left.
func addressOf(conn net.Conn) netip.Addr {
	remote := conn.RemoteAddr()
	if remote == nil {
		return netip.Addr{}
	}
	peer, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr()
}
