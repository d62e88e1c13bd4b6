package ban

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
)

// gateways4 reads Linux's /proc/net/route: interface, destination, gateway, five other columns, mask and more, the addresses as
// numbers in the byte order of the machine.
func gateways4(text string) []netip.Addr {
	var all []netip.Addr
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 8 || f[1] != "00000000" || f[7] != "00000000" {
			continue
		}
		n, err := strconv.ParseUint(f[2], 16, 32)
		if err != nil || n == 0 {
			continue
		}
		var b [4]byte
		binary.NativeEndian.PutUint32(b[:], uint32(n))
		all = append(all, netip.AddrFrom4(b))
	}
	return all
}

// gateways6 reads Linux's /proc/net/ipv6_route: destination, its length, source, its length, next hop and more, the addresses
// as 32 digits each.
func gateways6(text string) []netip.Addr {
	var all []netip.Addr
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 5 || strings.Trim(f[0], "0") != "" || f[1] != "00" || len(f[4]) != 32 {
			continue
		}
		b, err := hex.DecodeString(f[4])
		if err != nil {
			continue
		}
		if addr, ok := netip.AddrFromSlice(b); ok && !addr.IsUnspecified() {
			all = append(all, addr)
		}
	}
	return all
}
