package greylist

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

// work is how many steps the tables have taken.
func (g *Greylist) work() (n uint64) {
	for _, s := range g.shards {
		n += s.waiting.Work() + s.known.Work() + s.coming.Work() + s.good.Work()
	}
	return n
}

// word is a local part that is not masked.
func word(i int) string {
	var b []byte
	for ; i > 0; i /= 26 {
		b = append(b, byte('a'+i%26))
	}
	return "w" + string(b)
}

// A flood from everywhere drops others that wait, and nothing that is known, at a bounded cost.
func TestFloodKeepsWhatIsKnown(t *testing.T) {
	bubble(t, Options{MaxWaiting: 2000, MaxKnown: 1000, MaxClients: 500, AutoWhitelist: 1}, func(t *testing.T, g *Greylist) {
		const friend = "198.51.100.1"
		require.False(t, g.send(friend, ann))
		require.False(t, g.send(friend, "eve@example.org"))
		time.Sleep(DefaultDelay)
		require.True(t, g.send(friend, ann))
		before := g.work()
		const flood = 20_000
		for i := range flood {
			require.False(t, g.send(fmt.Sprintf("10.%d.%d.1", i%250, i/250%250), word(i)+"@example.org"))
		}
		require.LessOrEqual(t, g.Stats().Waiting, 2000)
		require.Less(t, g.work()-before, uint64(flood*2*16), "steps for each: the height of the heap")
		require.True(t, g.send(friend, "new@example.org"), "a known client")
		require.Equal(t, Stats{Waiting: g.Stats().Waiting, Known: 1, Clients: 1}, g.Stats())
	})
}

// A client that floods drops its own triplets, not those of others who wait.
func TestFloodOfOneClientIsItsOwn(t *testing.T) {
	bubble(t, Options{MaxWaiting: 200, MaxPerClient: 50}, func(t *testing.T, g *Greylist) {
		for i := range 100 {
			require.False(t, g.send(fmt.Sprintf("198.51.%d.1", i), ann))
		}
		for i := range 1000 {
			require.False(t, g.send(peer, word(i)+"@example.org"))
		}
		require.Equal(t, 150, g.Stats().Waiting)
		time.Sleep(DefaultDelay)
		for i := range 100 {
			require.True(t, g.send(fmt.Sprintf("198.51.%d.1", i), ann))
		}
		require.False(t, g.send(peer, word(949)+"@example.org"), "its oldest are gone")
		require.True(t, g.send(peer, word(999)+"@example.org"))
	})
}

func TestQueuesStayInStep(t *testing.T) {
	o := Options{MaxWaiting: 40, MaxPerClient: 7, MaxKnown: 20, MaxClients: 3, Window: 10 * time.Minute, SuccessEvery: -1}
	bubble(t, o, func(t *testing.T, g *Greylist) {
		r := rand.New(rand.NewPCG(1, 2))
		for range 5000 {
			g.send(fmt.Sprintf("198.51.%d.1", r.IntN(12)), word(r.IntN(20))+"@example.org")
			time.Sleep(time.Duration(r.IntN(30)) * time.Second)
			g.verify(t)
		}
	})
}

// Long addresses cost no more than short ones.
func TestEntriesHaveOneSize(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, g *Greylist) {
		long := strings.Repeat("a", 1<<16)
		require.NotEmpty(t, g.try(transaction(peer, long+"@"+long), long+"@"+long))
		require.NotEmpty(t, g.try(transaction(peer, "a\x00b\r\n@c"), "\x00@\xff"))
		require.Equal(t, 2, g.Stats().Waiting)
	})
}

func TestWholeSession(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, g *Greylist) {
		network, inbox := mailtest.NewNetwork(), new(mailtest.Inbox)
		srv := &smtpd.Server{Hostname: "mail.example.com", Handler: inbox, Checks: []smtpd.Check{g.Check()}}
		l, err := network.Listen("tcp", "192.0.2.1:25")
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		defer srv.Close()
		talk := func(script string) {
			conn, err := network.Dialer(peer).Dial("tcp", "192.0.2.1:25")
			require.NoError(t, err)
			defer conn.Close()
			newClient(t, conn).Talk(script)
		}
		first := `
			S* 220
			C: EHLO client.example.net
			S* 250
			C: MAIL FROM:<ann@example.org>
			S* 250
			C: RCPT TO:<bob@example.com>
			S: 450 4.2.0 <bob@example.com>: Recipient address rejected: Greylisted, please try again in 300 seconds
			C: RCPT TO:<postmaster@example.com>
			S* 250
			C: RSET
			S* 250
			C: MAIL FROM:<>
			S* 250
			C: RCPT TO:<bob@example.com>
			S* 250
			C: DATA
			S: 450 4.2.0 Greylisted, please try again in 300 seconds
			C: QUIT
			S* 221
		`
		talk(first)
		time.Sleep(DefaultDelay)
		passes := strings.ReplaceAll(first, "S: 450 4.2.0 <bob", "S: 250 2.1.5 *\n#")
		passes = strings.ReplaceAll(passes, "S: 450 4.2.0 Grey", "S: 354 *\nC: Subject: x\nC:\nC: .\nS* 250\n#")
		talk(passes)
		require.Len(t, inbox.Messages(), 1)
		require.NoError(t, srv.Close())
		require.ErrorIs(t, <-done, smtpd.ErrServerClosed)
	})
}

// When the disk fails mail is greylisted from memory, and all is written when it is back.
func TestFailingDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New()
		var log bytes.Buffer
		g, err := open(fsys, "/greylist", Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		require.NoError(t, err)
		fsys.Fail(func(op crashfs.Op) error {
			if op.N > 0 {
				return syscall.ENOSPC
			}
			return nil
		})
		require.False(t, g.send(peer, ann))
		time.Sleep(DefaultDelay)
		require.True(t, g.send(peer, ann))
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, 1, strings.Count(log.String(), "level=ERROR"), log.String())
		fsys.Fail(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		fsys.Crash()
		require.NoError(t, g.Close())
		for state := range fsys.States() {
			again, err := open(state.FS, "/greylist", Options{})
			require.NoError(t, err)
			require.True(t, again.send(peer, ann), state.What)
			require.NoError(t, again.Close())
		}
	})
}

// A full disk is no reason not to start, and who is known in the file passes.
func TestOpenOnAFullDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New()
		g, err := open(fsys, "/greylist", Options{})
		require.NoError(t, err)
		require.False(t, g.send(peer, ann))
		require.NoError(t, g.Close())
		time.Sleep(DefaultDelay)
		fsys.Fail(func(op crashfs.Op) error {
			if op.N > 0 {
				return syscall.ENOSPC
			}
			return nil
		})
		g, err = open(fsys, "/greylist", Options{})
		require.NoError(t, err)
		require.True(t, g.send(peer, ann))
		fsys.Fail(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		fsys.Crash()
		require.NoError(t, g.Close())
		for state := range fsys.States() {
			again, err := open(state.FS, "/greylist", Options{})
			require.NoError(t, err)
			require.True(t, again.send(peer, ann), state.What)
			require.NoError(t, again.Close())
		}
	})
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	_, err := open(fsys, "/none/greylist", Options{})
	require.ErrorContains(t, err, "greylist: open /none/greylist")
	require.NoError(t, durable.WriteFile(fsys, "/newer", []byte("mailbricks-greylist 2\n"), 0o600))
	_, err = open(fsys, "/newer", Options{})
	require.ErrorIs(t, err, durable.ErrNewer)
	_, err = Open(t.TempDir(), Options{})
	require.Error(t, err, "a folder")
}

// Whatever call a power cut comes at: the next start works, and nothing passes that has not waited.
func TestCrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// run gives what was written: who waits and who is known.
		run := func(fsys *crashfs.FS) (waits, known bool) {
			g, err := open(fsys, "/greylist", Options{})
			if err != nil {
				return false, false
			}
			defer g.Close()
			g.send(peer, ann)
			g.send("198.51.100.1", ann)
			waits = g.log.Sync() == nil
			time.Sleep(DefaultDelay)
			g.send("198.51.100.1", ann)
			known = g.log.Sync() == nil
			return waits, known
		}
		whole := crashfs.New()
		run(whole)
		states := 0
		for n := 1; n <= whole.Calls(); n++ {
			fsys := crashfs.New()
			fsys.CrashAfter(n)
			waits, known := run(fsys)
			for state := range fsys.States() {
				states++
				g, err := open(state.FS, "/greylist", Options{})
				require.NoError(t, err, state.What)
				g.verify(t)
				require.False(t, g.send("198.51.101.1", ann))
				if waits {
					require.True(t, g.send(peer, ann), state.What)
				}
				if known {
					require.GreaterOrEqual(t, g.Stats().Known, 1)
					require.True(t, g.send("198.51.100.1", ann), state.What)
				}
				require.NoError(t, g.Close())
			}
		}
		require.Greater(t, states, 10)
	})
}

func TestManySessionsAtOnce(t *testing.T) {
	t.Parallel()
	g, err := open(crashfs.New(), "/greylist", Options{MaxWaiting: 500, MaxKnown: 500, MaxClients: 500, Delay: time.Nanosecond, SuccessEvery: -1})
	require.NoError(t, err)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 0))
			for range 1000 {
				g.send(fmt.Sprintf("198.51.%d.1", r.IntN(200)), word(r.IntN(50))+"@example.org")
			}
			g.Stats()
			_ = g.log.Sync()
		})
	}
	all.Wait()
	g.verify(t)
	require.NoError(t, g.Close())
	require.False(t, g.send("192.0.2.99", "x@example.org"), "after Close from memory")
}

// Whatever a file holds, what is made of it is in step and within its limits, and is read again as it is.
func FuzzRestore(f *testing.F) {
	k := (&Options{}).clientKey("example.org", transaction(peer, ann).Session.Peer.Addr.Addr())
	for _, r := range []record{
		{Key: k.triplet(ann, bob), First: 1_700_000_000}, {Key: k.triplet(ann, bob), Last: 1_700_000_000},
		{Key: k, Successes: 5, Counted: 1, Last: 1 << 40}, {Key: k, Successes: -1, Last: -1},
	} {
		line, err := durable.AppendRecord([]byte(fmt.Sprintf("%s %d\n", format, version)), r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append(line, line[len(line)/3:]...), []byte{1, 2, 3})
	}
	f.Add([]byte(""), []byte{})
	f.Fuzz(func(t *testing.T, file, ops []byte) {
		fsys := crashfs.New()
		// ops are records that have good checksums: what no damage gives but the reader must stand.
		for i := 0; i+9 <= len(ops); i += 9 {
			r := record{
				First: int64(int32(ops[i])<<24) * int64(ops[i+1]), Last: int64(ops[i+2]) << (ops[i+3] % 64),
				Successes: int(int8(ops[i+4])), Counted: int64(ops[i+5]),
			}
			copy(r.Key[:], ops[i+6:i+8])
			r.Key[15] = ops[i+8] % 2
			file, _ = durable.AppendRecord(file, r)
		}
		if durable.WriteFile(fsys, "/greylist", file, 0o600) != nil {
			t.Fatal()
		}
		o := Options{MaxWaiting: 5, MaxKnown: 5, MaxClients: 5, MaxPerClient: 2}
		g, err := open(fsys, "/greylist", o)
		if err != nil {
			require.True(t, errors.Is(err, durable.ErrNewer) || errors.Is(err, durable.ErrCorrupt), err)
			return
		}
		g.verify(t)
		is := g.Stats()
		require.LessOrEqual(t, max(is.Waiting, is.Known, is.Coming, is.Clients), 5)
		require.NoError(t, g.Close())
		g, err = open(fsys, "/greylist", o)
		require.NoError(t, err)
		require.Equal(t, is, g.Stats())
		require.NoError(t, g.Close())
	})
}

func benchGreylist(b *testing.B) *Greylist {
	g, err := Open("", Options{Delay: time.Nanosecond})
	require.NoError(b, err)
	b.ReportAllocs()
	return g
}

// A triplet that is known.
func BenchmarkKnown(b *testing.B) {
	g := benchGreylist(b)
	check, rcpt := g.Check(), &mailbricks.Recipient{Address: bob}
	g.send(peer, ann)
	for b.Loop() {
		_ = check.Rcpt(context.Background(), transaction(peer, ann), rcpt)
	}
}

// New triplets, from many networks, into full tables.
func BenchmarkFlood(b *testing.B) {
	g := benchGreylist(b)
	check, rcpt := g.Check(), &mailbricks.Recipient{Address: bob}
	i := 0
	for b.Loop() {
		i++
		_ = check.Rcpt(context.Background(), transaction(fmt.Sprintf("10.%d.%d.1", i>>8&255, i&255), word(i)+"@example.org"), rcpt)
	}
}

// The same from all processors at once.
func BenchmarkKnownParallel(b *testing.B) {
	g := benchGreylist(b)
	check := g.Check()
	b.RunParallel(func(pb *testing.PB) {
		from := fmt.Sprintf("10.%d.1.1", rand.IntN(250))
		rcpt := &mailbricks.Recipient{Address: bob}
		for pb.Next() {
			_ = check.Rcpt(context.Background(), transaction(from, ann), rcpt)
		}
	})
}
