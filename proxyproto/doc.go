// Package proxyproto takes connections from balancers that say in front of each, with the PROXY protocol, whose it is. Any
// server can stand behind it: smtpd, imapd, pop3d, net/http.
//
//	l, err := net.Listen("tcp", ":25")
//	...
//	err = srv.Serve(&proxyproto.Listener{Listener: l, From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
//
// The connections have the client's address as their RemoteAddr, and the one that it connected to as their LocalAddr.
// Versions 1 and 2 of the protocol are read, by github.com/pires/go-proxyproto; TLS comes behind the header (ServeTLS,
// [crypto/tls.NewListener] over this listener).
//
// # Who is believed
//
// Whoever can send a header can be anybody, so it is taken from the peers in From only. Those must send one: a connection of
// theirs without it, with one that is malformed, incomplete or too long, or with none before HeaderTimeout, is closed without
// a reply. The specification forbids to guess (§2), and so does this package.
//
// Peers outside of From are closed at once, unless Direct is set: then they are served under their own address, and a header
// is to the server what any other nonsense from a client is.
//
// Some headers name no client: those of the balancer's own health checks (LOCAL of version 2) and UNKNOWN of version 1. Such
// a connection has the balancer's address.
//
// # Where it waits
//
// Accept never waits for a header. The first of RemoteAddr, LocalAddr, Read and Write does, until HeaderTimeout after Accept
// at the latest, so that none of them may be called before the connection has a goroutine of its own; the servers of this
// module see to it. If the header turns out to be bad RemoteAddr is an address without an IP, and reading and writing fail. A
// method Ready() error, which waits as well, says so: the servers of this module begin no session then, so that no check is
// asked about such a connection.
package proxyproto
