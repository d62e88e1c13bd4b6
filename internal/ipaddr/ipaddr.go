// Package ipaddr has the form in which IP addresses and networks are compared, and what several packages ask about them.
package ipaddr

import "net/netip"

// Plain is an address in the form in which addresses are compared: without a zone, and IPv4 as such.
func Plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// mappedBits are those in front of an IPv4 address that is written as one of IPv6 (RFC 4291 §2.5.5.2).
const mappedBits = 96

// Network is a network in that form, with no bits behind its length. It is not valid if p is not.
func Network(p netip.Prefix) netip.Prefix {
	addr, bits := p.Addr().WithZone(""), p.Bits()
	if addr.Is4In6() && bits >= mappedBits {
		addr, bits = addr.Unmap(), bits-mappedBits
	}
	return netip.PrefixFrom(addr, bits).Masked()
}

// Reachable says whether an address can be one of a host on the Internet: not private (RFC 1918, RFC 4193, RFC 6598), nor for
// loopback, one link, or no host at all. Those for documentation count as reachable.
func Reachable(a netip.Addr) bool {
	a = Plain(a)
	if a.Is4() {
		ip := a.As4()
		switch {
		case ip[0] == 0, ip[0] >= 240, // RFC 6890: "this network", reserved
			ip[0] == 100 && ip[1]&0xc0 == 64: // RFC 6598: shared between customers of one carrier
			return false
		}
	}
	return a.IsGlobalUnicast() && !a.IsPrivate()
}
