package ban

import (
	"net"
	"net/netip"

	"github.com/mailbricks/mailbricks/internal/serving"
)

// Listener gives l without the connections of peers that are banned: they are closed without a word. It is for servers that
// do not ask [Bans.Banned], and for those under an attack that is not worth an answer. The peer's address must be known at
// once: a listener for the PROXY protocol, which learns it from the connection, does not do.
func (b *Bans) Listener(l net.Listener) net.Listener { return KeepOut(l, b.Banned) }

// KeepOut is [Bans.Listener] for a question of one's own, such as one that asks the Bans in force. A peer without an IP address
// has the zero one.
func KeepOut(l net.Listener, banned func(netip.Addr) bool) net.Listener { return &listener{l, banned} }

type listener struct {
	net.Listener
	banned func(netip.Addr) bool
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if !l.banned(serving.AddrPort(conn.RemoteAddr()).Addr()) { // which may be nil where the connection is over already
			return conn, nil
		}
		_ = conn.Close() // there is nobody to tell
	}
}
