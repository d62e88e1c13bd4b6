package serving_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks/internal/serving"
)

// TestCounts: no key has more than the limit, and what has left makes room.
func TestCounts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var counts serving.Counts
		inside := make(map[string]int)
		limit := rapid.IntRange(-1, 3).Draw(t, "limit")
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				key := rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "key")
				want := key == "" || limit < 0 || inside[key] < limit
				require.Equal(t, want, counts.Enter(key, limit))
				if want {
					inside[key]++
				}
			},
			"leave": func(t *rapid.T) {
				key := rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "key")
				if inside[key] == 0 {
					t.Skip("nobody to leave")
				}
				counts.Leave(key)
				inside[key]--
			},
		})
	})
}

func TestAddressAndNetwork(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string][2]string{
		"203.0.113.9":              {"203.0.113.9", "203.0.113.0/24"},
		"::ffff:203.0.113.9":       {"203.0.113.9", "203.0.113.0/24"},
		"2001:db8:1:2:3:4:5:6":     {"2001:db8:1:2::/64", "2001:db8:1::/48"},
		"2001:db8:1:2::1":          {"2001:db8:1:2::/64", "2001:db8:1::/48"},
		"fe80::1234:5678:9abc%eth": {"fe80::/64", "fe80::/48"},
	} {
		ip := netip.MustParseAddr(addr)
		require.Equal(t, want, [2]string{serving.Address(ip), serving.Network(ip)}, addr)
	}
	require.Empty(t, serving.Address(netip.Addr{}))
	require.Empty(t, serving.Network(netip.Addr{}))
}

// addr is an address that is not of package net's types.
type addr string

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return string(a) }

func TestAddrPort(t *testing.T) {
	t.Parallel()
	require.Equal(t, "203.0.113.9:25", serving.AddrPort(addr("203.0.113.9:25")).String())
	require.Equal(t, "203.0.113.9:25", serving.AddrPort(addr("[::ffff:203.0.113.9]:25")).String())
	require.Equal(t, "[fe80::1%eth]:25", serving.AddrPort(&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth", Port: 25}).String())
	for _, a := range []net.Addr{nil, addr(""), addr("mail.example.com:25"), &net.UnixAddr{Name: "@", Net: "unix"}, &net.UnixAddr{Name: "203.0.113.9:25", Net: "unix"}} {
		require.False(t, serving.AddrPort(a).IsValid(), "%v", a)
	}
}
