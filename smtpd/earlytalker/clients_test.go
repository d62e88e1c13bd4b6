package earlytalker_test

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/smtpd/earlytalker"
)

// address gives the n-th of many addresses.
func address(n int) netip.Addr {
	var ip [4]byte
	binary.BigEndian.PutUint32(ip[:], 0x0a000000+uint32(n))
	return netip.AddrFrom4(ip)
}

func TestClients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := new(earlytalker.Clients)
		require.False(t, c.Has(address(1)))
		c.Remove(address(1))
		require.Zero(t, c.Len())
		c.Add(address(1))
		c.Add(netip.Addr{})
		require.Equal(t, 1, c.Len(), "no address is none")
		require.True(t, c.Has(address(1)))
		require.False(t, c.Has(address(2)))
		require.True(t, c.Has(netip.AddrFrom16(address(1).As16())), "IPv4 in IPv6")
		time.Sleep(earlytalker.DefaultTTL - time.Nanosecond)
		require.True(t, c.Has(address(1)))
		time.Sleep(time.Nanosecond)
		require.False(t, c.Has(address(1)))
		c.Add(address(1))
		c.Remove(address(1))
		require.False(t, c.Has(address(1)))
	})
}

func TestClientsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for most, want := range map[int]int{0: earlytalker.DefaultMaxClients, 10: 10} {
			c := &earlytalker.Clients{Max: most}
			for i := range want + 5 {
				c.Add(address(i))
				time.Sleep(time.Millisecond)
			}
			require.Equal(t, want, c.Len())
			require.False(t, c.Has(address(4)), "those who came first")
			require.True(t, c.Has(address(5)))
			require.True(t, c.Has(address(want+4)))
			time.Sleep(earlytalker.DefaultTTL)
			for i := range want {
				c.Add(address(i % 3))
			}
			require.Equal(t, 3, c.Len(), "what is over goes")
		}
	})
}

func TestClientsOfNoTime(t *testing.T) {
	t.Parallel()
	c := &earlytalker.Clients{TTL: -1}
	c.Add(address(1))
	require.False(t, c.Has(address(1)))
	require.Zero(t, c.Len())
}

func TestClientsFromManyGoroutines(t *testing.T) {
	t.Parallel()
	c := &earlytalker.Clients{Max: 100}
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 1000 {
				c.Add(address(g*1000 + i))
				c.Has(address(i))
				c.Remove(address(g*1000 + i/2))
			}
		})
	}
	all.Wait()
	require.LessOrEqual(t, c.Len(), 100)
}

func BenchmarkAdd(b *testing.B) {
	c := new(earlytalker.Clients)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Add(address(i))
	}
}
