package ban

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks/internal/ipaddr"
)

// ownEvery is the least time between two looks at the machine's addresses.
const ownEvery = time.Minute

// own are the machine's addresses as they were a short time ago.
type own struct {
	ask func() []netip.Addr

	mu    sync.Mutex
	asked time.Time
	addrs []netip.Addr
}

func (o *own) now() []netip.Addr {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := time.Now(); o.asked.IsZero() || now.Sub(o.asked) >= ownEvery || now.Before(o.asked) {
		o.asked, o.addrs = now, nil
		for _, a := range o.ask() {
			o.addrs = append(o.addrs, ipaddr.Plain(a))
		}
	}
	return o.addrs
}

// machine are the addresses of the machine's interfaces and its default gateways. What cannot be found out is left out.
func machine() []netip.Addr {
	var all []netip.Addr
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		addrs = nil // there is nothing better
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				all = append(all, addr.Unmap())
			}
		}
	}
	return append(all, gateways()...)
}

// never says whether nothing in the network may be banned by itself: some of it is this machine's or on the list.
func (b *Bans) never(p netip.Prefix) bool {
	if p.Addr().IsLoopback() || p.Addr().IsUnspecified() {
		return true
	}
	return slices.ContainsFunc(b.o.Never, p.Overlaps) || slices.ContainsFunc(b.own.now(), p.Contains)
}
