package serving

import (
	"net"
	"net/netip"
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

// Network is what counts as one address: of IPv6 the /64 that one customer gets. Empty for no address.
func Network(addr netip.Addr) string {
	addr = addr.Unmap()
	switch {
	case !addr.IsValid():
		return ""
	case addr.Is6():
		prefix, _ := addr.WithZone("").Prefix(64) // 64 fits
		return prefix.String()
	}
	return addr.String()
}

// AddrPort is the IP address and port of a, with IPv4 as itself; invalid if a is none, as that of a Unix socket.
func AddrPort(a net.Addr) netip.AddrPort {
	if a == nil {
		return netip.AddrPort{}
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
