package ban

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
)

// A flood of new offenders takes no more memory than allowed, forgets nobody with more points and lifts no longer ban, and
// costs a bounded number of steps.
func TestFlood(t *testing.T) {
	bubble(t, Options{MaxOffenders: 1000, MaxBans: 100}, func(t *testing.T, b *Bans) {
		b.fail(6, "198.51.100.1")
		time.Sleep(DefaultFirstBan)
		b.fail(6, "198.51.100.1") // for two hours
		require.NoError(t, b.Ban(prefix("198.51.101.0/24"), 0, ""))
		before := b.offenders.Work() + b.bans.Work()
		const flood = 20_000
		for i := range flood {
			b.fail(1+i%7, fmt.Sprintf("10.%d.%d.1", i/250, i%250))
		}
		b.verify(t)
		require.Equal(t, 1000, b.offenders.Len())
		require.Equal(t, 100, b.bans.Len())
		require.Less(t, b.offenders.Work()+b.bans.Work()-before, uint64(flood*4*2*12))
		require.True(t, b.Banned(addr("198.51.100.1")))
		require.True(t, b.Banned(addr("198.51.101.1")))
	})
}

func TestFloodDoesNotWipeTheSlate(t *testing.T) {
	bubble(t, Options{MaxOffenders: 1000}, func(t *testing.T, b *Bans) {
		b.fail(5, peer)
		for i := range 20_000 {
			b.fail(1, fmt.Sprintf("10.%d.%d.1", i/250, i%250))
		}
		b.fail(1, peer)
		require.True(t, b.Banned(addr(peer)), "he had more points than they")
	})
}

func TestWhatIsOverGoes(t *testing.T) {
	bubble(t, Options{ForgetAfter: time.Hour}, func(t *testing.T, b *Bans) {
		for i := range 100 {
			b.fail(1+i%2*5, fmt.Sprintf("10.0.%d.1", i))
		}
		require.Equal(t, 100, b.offenders.Len())
		require.Equal(t, 50, b.bans.Len())
		time.Sleep(10 * 24 * time.Hour)
		for range 30 {
			b.fail(1, peer)
			time.Sleep(24 * time.Hour)
		}
		require.Equal(t, 1, b.offenders.Len())
		require.Zero(t, b.bans.Len())
		b.verify(t)
	})
}

func reopen(t *testing.T, fsys durable.FS, o Options) *Bans {
	t.Helper()
	o.Own = noOwn
	b, err := open(fsys, "/bans", o)
	require.NoError(t, err)
	b.verify(t)
	return b
}

func TestFileRestoresAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New()
		b := reopen(t, fsys, Options{})
		b.fail(6, "198.51.100.1")
		time.Sleep(time.Hour)
		b.fail(6, "198.51.100.1")
		b.fail(6, "2001:db8::1")
		b.fail(6, "198.51.100.2")
		require.NoError(t, b.Ban(prefix("192.0.2.0/24"), 0, "by hand"))
		require.NoError(t, b.Ban(prefix("192.0.3.0/24"), 180*24*time.Hour, "by hand"))
		require.Equal(t, 1, b.Unban(prefix("198.51.100.2/32")))
		b.fail(5, peer)
		want := b.List()
		require.NoError(t, b.Close())
		require.Error(t, b.Close())

		b = reopen(t, fsys, Options{})
		require.Equal(t, strip(want), strip(b.List()))
		is, _ := b.Lookup(addr("198.51.100.1"))
		require.Equal(t, 2, is.Count)
		require.InDelta(t, 5*DefaultAuthFailure, b.Points(addr(peer)), 0.1, "points, too")
		b.fail(1, peer)
		require.True(t, b.Banned(addr(peer)))
		require.NoError(t, b.Close())

		time.Sleep(2 * time.Hour)
		b = reopen(t, fsys, Options{})
		require.Len(t, b.List(), 2)
		b.fail(6, "198.51.100.1")
		is, _ = b.Lookup(addr("198.51.100.1"))
		require.Equal(t, 3, is.Count, "earlier bans are remembered")
		require.NoError(t, b.Close())
	})
}

// strip leaves of bans what the file has: whole seconds.
func strip(bans []Ban) []Ban {
	for i := range bans {
		bans[i].Since, bans[i].Until = bans[i].Since.Truncate(time.Second), bans[i].Until.Truncate(time.Second)
	}
	return bans
}

func TestBansAreWrittenWithoutClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New()
		b := reopen(t, fsys, Options{})
		b.fail(6, peer)
		b.fail(6, "198.51.100.1")
		b.Unban(prefix("198.51.100.1/32"))
		time.Sleep(time.Minute)
		synctest.Wait()
		fsys.Crash()
		for state := range fsys.States() {
			again := reopen(t, state.FS, Options{})
			require.True(t, again.Banned(addr(peer)), state.What)
			require.False(t, again.Banned(addr("198.51.100.1")), state.What)
			require.NoError(t, again.Close())
		}
		require.Error(t, b.Close())
	})
}

func TestFailingDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New()
		var log bytes.Buffer
		b := reopen(t, fsys, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		fsys.Fail(func(op crashfs.Op) error {
			if op.N > 0 {
				return syscall.EIO
			}
			return nil
		})
		b.fail(6, peer)
		require.NoError(t, b.Ban(prefix("192.0.2.1/32"), 0, ""))
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		require.True(t, b.Banned(addr(peer)))
		require.Equal(t, 1, strings.Count(log.String(), "level=ERROR"), log.String())
		fsys.Fail(nil)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		again := reopenCopy(t, fsys)
		require.True(t, again.Banned(addr(peer)))
		require.True(t, again.Banned(addr("192.0.2.1")))
		require.NoError(t, again.Close())
		require.NoError(t, b.Close())
	})
}

// reopenCopy opens what the end of the process would leave.
func reopenCopy(t *testing.T, fsys *crashfs.FS) *Bans {
	for state := range fsys.States() {
		return reopen(t, state.FS, Options{})
	}
	return nil
}

// A full disk is no reason not to start, and the bans of the file hold.
func TestOpenOnAFullDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New()
		b := reopen(t, fsys, Options{})
		b.fail(6, peer)
		require.NoError(t, b.Close())
		fsys.Fail(func(op crashfs.Op) error {
			if op.N > 0 {
				return syscall.ENOSPC
			}
			return nil
		})
		b = reopen(t, fsys, Options{})
		require.True(t, b.Banned(addr(peer)))
		require.NoError(t, b.Ban(prefix("192.0.2.1/32"), 0, ""))
		fsys.Fail(nil)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		again := reopenCopy(t, fsys)
		require.True(t, again.Banned(addr(peer)))
		require.True(t, again.Banned(addr("192.0.2.1")))
		require.NoError(t, again.Close())
		require.NoError(t, b.Close())
	})
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	_, err := open(fsys, "/none/bans", Options{})
	require.ErrorContains(t, err, "ban: open /none/bans")
	require.NoError(t, durable.WriteFile(fsys, "/newer", []byte("mailbricks-bans 2\n"), 0o600))
	_, err = open(fsys, "/newer", Options{})
	require.ErrorIs(t, err, durable.ErrNewer)
	_, err = Open(t.TempDir(), Options{})
	require.Error(t, err, "a folder")
}

// Whatever call a power cut comes at, the next start has the bans that were written and no others.
func TestCrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		run := func(fsys *crashfs.FS) map[string]bool { // what was written: banned or not
			b, err := open(fsys, "/bans", Options{Own: noOwn})
			if err != nil {
				return nil
			}
			defer b.Close()
			is, written := map[string]bool{}, map[string]bool{}
			for i, do := range []func(){
				func() { b.fail(6, "198.51.100.1"); is["198.51.100.1"] = true },
				func() { _ = b.Ban(prefix("198.51.100.2/32"), 0, ""); is["198.51.100.2"] = true },
				func() { b.Unban(prefix("198.51.100.1/32")); is["198.51.100.1"] = false },
			} {
				do()
				if b.log.Sync() == nil {
					written = maps.Clone(is)
				} else if i == 2 {
					delete(written, "198.51.100.1") // may be either
				}
			}
			return written
		}
		whole := crashfs.New()
		run(whole)
		states := 0
		for n := 1; n <= whole.Calls(); n++ {
			fsys := crashfs.New()
			fsys.CrashAfter(n)
			written := run(fsys)
			for state := range fsys.States() {
				states++
				b := reopen(t, state.FS, Options{})
				for a, banned := range written {
					require.Equal(t, banned, b.Banned(addr(a)), "%s %s", a, state.What)
				}
				require.False(t, b.Banned(addr("198.51.100.3")))
				b.fail(6, "198.51.100.3")
				require.NoError(t, b.Close())
				b = reopen(t, state.FS, Options{})
				require.True(t, b.Banned(addr("198.51.100.3")))
				require.NoError(t, b.Close())
			}
		}
		require.Greater(t, states, 10)
	})
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	b, err := open(crashfs.New(), "/bans", Options{MaxBans: 50, MaxOffenders: 80})
	require.NoError(t, err)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 0))
			for range 500 {
				a := fmt.Sprintf("10.0.%d.1", r.IntN(200))
				switch r.IntN(8) {
				case 0:
					_ = b.Ban(prefix(a+"/24").Masked(), time.Duration(r.IntN(5))*time.Hour, "x")
				case 1:
					b.Unban(prefix(a + "/32"))
				case 2:
					b.List()
				case 3:
					b.Points(addr(a))
				case 4:
					_ = b.log.Sync()
				default:
					b.fail(2, a)
					b.Banned(addr(a))
				}
			}
		})
	}
	all.Wait()
	b.verify(t)
	require.LessOrEqual(t, b.bans.Len(), 50)
	require.NoError(t, b.Close())
}

// Whatever a file holds, what is made of it is in step, within its limits, and read again as it is.
func FuzzRestore(f *testing.F) {
	now := time.Now().Unix()
	for _, r := range []record{
		{Kind: kindBan, Prefix: prefix("203.0.113.9/32"), Since: now, Until: now + 1000, Reason: "x", Count: 3},
		{Kind: kindBan, Prefix: prefix("203.0.113.0/24"), Since: now, Manual: true, Reason: "a\nb"},
		{Kind: kindUnban, Prefix: prefix("203.0.113.0/24")},
		{Kind: kindOffender, Prefix: prefix("2001:db8::/64"), Count: 2, Points: 50, At: now, Remember: now + 10000},
	} {
		line, err := durable.AppendRecord([]byte(fmt.Sprintf("%s %d\n", format, version)), r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append(line, line[len(line)/3:]...), "ban", uint32(7), int8(24), int64(now+100), int64(1), 3.5)
		f.Add(line, "offender", uint32(7), int8(32), int64(1)<<62, int64(-1), -3.5)
	}
	f.Add([]byte(""), "", uint32(0), int8(0), int64(0), int64(0), 0.0)
	f.Fuzz(func(t *testing.T, file []byte, kind string, a uint32, bits int8, until, n int64, points float64) {
		fsys := crashfs.New()
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)}), int(bits))
		for _, manual := range []bool{true, false} { // good checksums: what no damage gives but the reader must stand
			file, _ = durable.AppendRecord(append(file, '\n'), record{Kind: kind, Prefix: p, Since: n, Until: until, Reason: kind, Manual: manual,
				Count: int(n), Points: points, At: n, Remember: until})
		}
		require.NoError(t, durable.WriteFile(fsys, "/bans", file, 0o600))
		o := Options{MaxBans: 3, MaxOffenders: 3, Own: noOwn}
		b, err := open(fsys, "/bans", o)
		if err != nil {
			require.True(t, errors.Is(err, durable.ErrNewer) || errors.Is(err, durable.ErrCorrupt), err)
			return
		}
		b.verify(t)
		require.LessOrEqual(t, max(b.bans.Len(), b.offenders.Len()), 3)
		for _, is := range b.List() {
			require.NotContains(t, is.Reason, "\n")
			require.Positive(t, is.Prefix.Bits())
			require.True(t, is.Manual || is.Ends())
		}
		list := b.List()
		require.NoError(t, b.Close())
		b, err = open(fsys, "/bans", o)
		require.NoError(t, err)
		require.Equal(t, list, b.List())
		require.NoError(t, b.Close())
	})
}

func FuzzRoutes(f *testing.F) {
	f.Add("eth0 00000000 0100A8C0 0003 0 0 100 00000000 0 0 0\neth0 0000A8C0 00000000 0001 0 0 100 00FFFFFF 0 0 0\n")
	f.Add("00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 1 0 3 eth0\n")
	f.Add("Iface\tDestination\tGateway\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, a := range append(gateways4(text), gateways6(text)...) {
			require.True(t, a.IsValid() && !a.IsUnspecified())
		}
	})
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	if littleEndian() {
		require.Equal(t, []netip.Addr{addr("192.168.0.1")}, gateways4("Iface\tDestination\tGateway\n"+
			"eth0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"+ // the default route
			"eth0\t0000A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"+ // the network
			"eth1\t0000A8C0\t0200A8C0\t0003\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"+ // another gateway
			"tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n")) // a device is no gateway
	}
	zero := strings.Repeat("0", 32)
	require.Equal(t, []netip.Addr{addr("fe80::1")}, gateways6(zero+" 00 "+zero+" 00 fe800000000000000000000000000001 00000400 1 0 3 eth0\n"+
		"20010db8"+zero[8:]+" 40 "+zero+" 00 fe800000000000000000000000000002 00000400 1 0 3 eth0\n"+
		zero+" 00 "+zero+" 00 "+zero+" ffffffff 1 0 200200 lo\n"+
		zero+" 00 "+zero+" 00 "+strings.Repeat("x", 32)+" 1 0 200200 lo\n"))
}

func littleEndian() bool { return binary.NativeEndian.Uint16([]byte{1, 0}) == 1 }

func benchBans(b *testing.B) *Bans {
	bans, err := Open("", Options{Own: noOwn})
	require.NoError(b, err)
	for i := range 20_000 {
		bans.fail(6, fmt.Sprintf("10.%d.%d.1", i/250, i%250))
	}
	b.ReportAllocs()
	return bans
}

func BenchmarkBannedNot(b *testing.B) {
	bans, a := benchBans(b), addr(peer)
	for b.Loop() {
		if bans.Banned(a) {
			b.Fatal()
		}
	}
}

// With networks of eleven sizes.
func BenchmarkBannedNotByHand(b *testing.B) {
	bans, a := benchBans(b), addr(peer)
	for i := range 10 {
		require.NoError(b, bans.Ban(netip.PrefixFrom(addr("198.51.100.0"), 20+i), 0, ""))
	}
	for b.Loop() {
		if bans.Banned(a) {
			b.Fatal()
		}
	}
}

func BenchmarkBanned(b *testing.B) {
	bans, a := benchBans(b), addr("10.1.1.1")
	for b.Loop() {
		if !bans.Banned(a) {
			b.Fatal()
		}
	}
}

func BenchmarkBannedParallel(b *testing.B) {
	bans, a := benchBans(b), addr(peer)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			bans.Banned(a)
		}
	})
}

func BenchmarkReport(b *testing.B) {
	bans, i := benchBans(b), 0
	for b.Loop() {
		i++
		bans.Report(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), 1, "x")
	}
}
