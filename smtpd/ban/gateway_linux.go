package ban

import (
	"net/netip"
	"os"
)

// gateways are the default gateways as the kernel lists them.
func gateways() []netip.Addr {
	var all []netip.Addr
	if text, err := os.ReadFile("/proc/net/route"); err == nil {
		all = append(all, gateways4(string(text))...)
	}
	if text, err := os.ReadFile("/proc/net/ipv6_route"); err == nil {
		all = append(all, gateways6(string(text))...)
	}
	return all
}
