package serving

import (
	"net"
	"net/netip"
	"strings"
	"sync"
)

// Counts counts by key: how many connections a network has, how many sessions a user. The zero value has counted nothing. It
// holds a key only while there is something to count for it.
type Counts struct {
	mu sync.Mutex
	n  map[string]int
}

// Enter counts one more for key, unless that is over limit; a negative limit is none. Nothing is counted for the empty key,
// which is always let in.
func (c *Counts) Enter(key string, limit int) bool {
	if key == "" {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if Over(c.n[key]+1, limit) {
		return false
	}
	if c.n == nil {
		c.n = make(map[string]int)
	}
	c.n[key]++
	return true
}

// Leave takes back what Enter counted for key.
func (c *Counts) Leave(key string) {
	if key == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n[key]--; c.n[key] <= 0 {
		delete(c.n, key)
	}
}

// The parts of an address by which peers are counted, in bits.
const (
	customer6 = 64 // of IPv6: what one customer has at least
	site6     = 48 // of IPv6: what one site has at most (RFC 6177 §2), and so the like of an IPv4 network
	network4  = 24 // of IPv4: the smallest network that the Internet routes
)

// Address is what counts as one address: of IPv6 the /64 that one customer has at least. Empty for no address.
func Address(addr netip.Addr) string {
	if addr = addr.Unmap(); addr.Is6() {
		return prefix(addr, customer6)
	}
	if !addr.IsValid() {
		return ""
	}
	return addr.String()
}

// Network is what counts as one network: the /24 of IPv4, the /48 of IPv6. Empty for no address.
func Network(addr netip.Addr) string {
	if addr = addr.Unmap(); addr.Is6() {
		return prefix(addr, site6)
	}
	if !addr.IsValid() {
		return ""
	}
	return prefix(addr, network4)
}

// prefix is the network of an address, whose length has room for bits.
func prefix(addr netip.Addr, bits int) string {
	p, _ := addr.WithZone("").Prefix(bits)
	return p.String()
}

// AddrPort is the IP address and port of a, with IPv4 as itself; invalid if a is none, as that of a Unix socket.
func AddrPort(a net.Addr) netip.AddrPort {
	if a == nil || strings.HasPrefix(a.Network(), "unix") { // whose name a client may choose, like "192.0.2.1:25"
		return netip.AddrPort{}
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
