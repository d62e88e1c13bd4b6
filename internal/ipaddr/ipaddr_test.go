package ipaddr_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/ipaddr"
)

func TestReachable(t *testing.T) {
	t.Parallel()
	for _, a := range []string{"8.8.8.8", "1.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.0.2.1",
		"2001:db8::1", "::ffff:8.8.8.8", "2606:4700::1%eth0"} {
		require.True(t, ipaddr.Reachable(netip.MustParseAddr(a)), a)
	}
	for _, a := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.255", "169.254.1.1",
		"172.16.0.1", "172.31.255.255", "192.168.1.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "fe80::1", "fe80::1%eth0", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
	} {
		require.False(t, ipaddr.Reachable(netip.MustParseAddr(a)), a)
	}
	require.False(t, ipaddr.Reachable(netip.Addr{}))
}

func TestPlain(t *testing.T) {
	t.Parallel()
	require.Equal(t, netip.MustParseAddr("192.0.2.1"), ipaddr.Plain(netip.MustParseAddr("::ffff:192.0.2.1")))
	require.Equal(t, netip.MustParseAddr("fe80::1"), ipaddr.Plain(netip.MustParseAddr("fe80::1%eth0")))
	require.Equal(t, netip.Addr{}, ipaddr.Plain(netip.Addr{}))
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"192.0.2.77/24": "192.0.2.0/24", "::ffff:192.0.2.77/120": "192.0.2.0/24", "::ffff:10.0.0.0/64": "::/64", "2001:db8::1/32": "2001:db8::/32",
		"0.0.0.0/0": "0.0.0.0/0", "::/0": "::/0",
	} {
		require.Equal(t, netip.MustParsePrefix(want), ipaddr.Network(netip.MustParsePrefix(given)), given)
	}
	require.False(t, ipaddr.Network(netip.Prefix{}).IsValid())
}
