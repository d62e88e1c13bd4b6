package ratelimit

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

func (l *Limiter) work() (n uint64) {
	for _, b := range l.buckets {
		for i := range b.shards {
			n += b.shards[i].table.Work()
		}
	}
	return n
}

// A flood of new keys neither takes more memory than allowed nor frees somebody who is over his limit.
func TestFloodDoesNotResetAnOffender(t *testing.T) {
	o := one(Rule{Name: "c", What: Connections, Key: Network(32, 64), Count: 10, Per: time.Hour})
	o.MaxBuckets = 4096
	bubble(t, o, func(t *testing.T, l *Limiter) {
		offender := session("203.0.113.9", "")
		for l.connect(offender) == nil {
		}
		before := l.work()
		const flood = 50_000
		for i := range flood {
			require.NoError(t, l.connect(session(fmt.Sprintf("2001:db8:%x:%x::1", i/5000, i), "")))
		}
		require.LessOrEqual(t, l.Len(), 4096)
		require.Greater(t, l.Len(), 3500, "all shards are filled")
		require.Error(t, l.connect(offender))
		require.Less(t, l.work()-before, uint64(flood*2*12), "steps for each: the height of the heap")

		time.Sleep(time.Hour)
		require.NoError(t, l.connect(offender), "his own time is over")
	})
}

func TestIdleBucketsGo(t *testing.T) {
	o := one(Rule{Name: "c", What: Connections, Key: Address(), Count: 1, Per: time.Second})
	o.MaxBuckets = 1000
	bubble(t, o, func(t *testing.T, l *Limiter) {
		for i := range 500 {
			_ = l.connect(session(fmt.Sprintf("10.0.%d.%d", i/256, i%256), ""))
		}
		require.Equal(t, 500, l.Len())
		time.Sleep(time.Second)
		for i := range 1000 {
			_ = l.connect(session(fmt.Sprintf("10.1.%d.%d", i/256, i%256), ""))
			time.Sleep(time.Second)
		}
		require.Less(t, l.Len(), 10)
	})
}

func TestLongKeysAreCut(t *testing.T) {
	t.Parallel()
	l, err := New(one(Rule{Name: "s", What: Messages, Key: Sender(), Count: 1, Per: time.Hour}))
	require.NoError(t, err)
	long := make([]byte, 1<<20)
	require.NoError(t, l.mail(transaction(session("", ""), string(long))))
	require.Len(t, l.Status()[0].Key, maxText)
	require.True(t, l.Reset("s", string(long)))
}

// Whatever comes when: in no span of time more is let through than Burst and what comes in it.
func TestBucketIsAsPromised(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := Rule{
			What: Messages, Key: Everything(), Count: rapid.IntRange(1, 50).Draw(t, "count"), Burst: rapid.IntRange(1, 50).Draw(t, "burst"),
			Per: time.Duration(rapid.Int64Range(1000, int64(time.Hour)).Draw(t, "per")),
		}
		require.NoError(t, r.complete())
		l, err := New(one(r))
		require.NoError(t, err)
		b := l.buckets[0]
		type taken struct{ at, cost int64 }
		var all []taken
		now := int64(0)
		for range 100 {
			now += rapid.Int64Range(0, 3*b.interval).Draw(t, "pause")
			cost := int64(rapid.IntRange(1, r.Burst).Draw(t, "cost"))
			c := &charge{from: b, in: &b.shards[0], value: value{1, 1}, cost: cost * b.interval}
			if wait := c.wait(now); wait > 0 {
				require.Zero(t, c.wait(now+wait), "after the wait that is told it goes")
				require.Positive(t, c.wait(now+wait-1))
				continue
			}
			c.take(now)
			all = append(all, taken{now, cost})
		}
		for i := range all {
			sum := int64(0)
			for j := i; j < len(all); j++ {
				sum += all[j].cost
				require.LessOrEqual(t, sum*b.interval, int64(r.Burst)*b.interval+all[j].at-all[i].at)
			}
		}
	})
}

func TestManyAtOnceGetExactlyTheBurst(t *testing.T) {
	t.Parallel()
	l, err := New(Options{Rules: []Rule{
		{Name: "all", What: Connections, Key: Everything(), Count: 100, Per: 1000 * time.Hour},
		{Name: "one", What: Connections, Key: Address(), Count: 30, Per: 1000 * time.Hour},
	}})
	require.NoError(t, err)
	var passed [4]atomic.Int64
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			s := session(fmt.Sprintf("203.0.113.%d", g%4), "")
			for range 200 {
				if l.connect(s) == nil {
					passed[g%4].Add(1)
				}
			}
			l.Status()
			l.Len()
			l.Reset("one", "192.0.2.1")
		})
	}
	all.Wait()
	sum := int64(0)
	for i := range passed {
		require.LessOrEqual(t, passed[i].Load(), int64(30))
		sum += passed[i].Load()
	}
	require.Equal(t, int64(100), sum)
}

func TestWholeSession(t *testing.T) {
	rules := []Rule{
		{Name: "connections", What: Connections, Key: Address(), Count: 2, Per: time.Hour},
		{Name: "messages", What: Messages, Key: Address(), Count: 2, Per: time.Hour, Refund: true},
		{Name: "recipients", What: Recipients, Key: Address(), Count: 3, Per: time.Hour, Refund: true},
	}
	bubble(t, Options{Rules: rules}, func(t *testing.T, l *Limiter) {
		users := smtpd.Check{Rcpt: func(_ context.Context, _ *smtpd.Transaction, rcpt *mailbricks.Recipient) error {
			if rcpt.Address == "nobody@example.com" {
				return &mailbricks.Reply{Code: 550, Enhanced: "5.1.1", Text: "No such user"}
			}
			return nil
		}}
		network, inbox := mailtest.NewNetwork(), new(mailtest.Inbox)
		srv := &smtpd.Server{Hostname: "mail.example.com", Handler: inbox, Checks: []smtpd.Check{l.Check(), users}}
		listener, err := network.Listen("tcp", "192.0.2.1:25")
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- srv.Serve(listener) }()
		defer srv.Close()
		talk := func(script string) {
			conn, err := network.Dialer("203.0.113.9").Dial("tcp", "192.0.2.1:25")
			require.NoError(t, err)
			defer conn.Close()
			newClient(t, conn).Talk(script)
		}
		const begin = "S* 220\nC: EHLO client.example.net\nS* 250\n"
		talk(begin + `
			C: MAIL FROM:<ann@example.org>
			S* 250
			C: RCPT TO:<nobody@example.com>
			S* 550
			C: RCPT TO:<nobody@example.com>
			S* 550
			C: RCPT TO:<a@example.com>
			S* 250
			C: RSET
			S* 250
			C: MAIL FROM:<ann@example.org>
			S* 250
			C: RCPT TO:<a@example.com>
			S* 250
			C: RCPT TO:<b@example.com>
			S* 250
			C: DATA
			S* 354
			C: .
			S* 250
			C: QUIT
			S* 221
		`)
		talk(begin + `
			C: MAIL FROM:<ann@example.org>
			S* 250
			C: RCPT TO:<c@example.com>
			S* 250
			C: RCPT TO:<d@example.com>
			S: 451 4.7.1 Ratelimit "recipients" exceeded, please try again in 1200 seconds
			C: DATA
			S* 354
			C: .
			S* 250
			C: MAIL FROM:<ann@example.org>
			S: 451 4.7.1 Ratelimit "messages" exceeded, please try again in 1800 seconds
			C: QUIT
			S* 221
		`)
		talk("S: 421 4.7.0 Ratelimit \"connections\" exceeded, please try again in 1800 seconds\nS$\n")
		require.Len(t, inbox.Messages(), 2)
		require.NoError(t, srv.Close())
		require.ErrorIs(t, <-done, smtpd.ErrServerClosed)
	})
}

// FuzzParse: whatever an administrator types finds the bucket that was shown, or none.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "203.0.113.9", "203.0.113.0/24", "2001:db8::1%eth0", "::ffff:1.2.3.4/96", "x", "/", "1.2.3.4/99"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := New(one(Rule{What: Connections, Key: Network(24, 64), Count: 1, Per: time.Hour}))
		require.NoError(t, err)
		k := &l.buckets[0].rule.Key
		v, ok := k.parse(s, &l.seeds)
		if !ok {
			return
		}
		again, ok := k.parse(k.show(v, ""), &l.seeds)
		require.True(t, ok)
		require.Equal(t, v, again)
		p := netip.MustParsePrefix(k.show(v, ""))
		require.Equal(t, p, p.Masked())
	})
}

// plenty are two rules that let everything through.
func plenty() []Rule {
	return []Rule{
		{What: Connections, Key: Network(32, 64), Count: 1e9, Per: time.Second},
		{What: Connections, Key: Network(24, 48), Count: 1e9, Per: time.Second},
	}
}

func BenchmarkTake(b *testing.B) {
	l, err := New(Options{Rules: plenty()})
	require.NoError(b, err)
	b.ReportAllocs()
	check, s := l.Check(), session("203.0.113.9", "")
	for b.Loop() {
		_ = check.Connect(context.Background(), s)
	}
}

func BenchmarkTakeParallel(b *testing.B) {
	l, err := New(Options{Rules: plenty()})
	require.NoError(b, err)
	check := l.Check()
	var n atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		s := session(fmt.Sprintf("10.%d.0.1", n.Add(1)), "")
		for pb.Next() {
			_ = check.Connect(context.Background(), s)
		}
	})
}

func BenchmarkFlood(b *testing.B) {
	l, err := New(Options{MaxBuckets: 10_000})
	require.NoError(b, err)
	b.ReportAllocs()
	check, s, i := l.Check(), session("203.0.113.9", ""), uint32(0)
	for b.Loop() {
		i++
		s.Peer.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1)
		_ = check.Connect(context.Background(), s)
	}
}

func BenchmarkLogin(b *testing.B) {
	l, err := New(Options{Rules: Outbound()})
	require.NoError(b, err)
	b.ReportAllocs()
	check, tx := l.Check(), transaction(session("203.0.113.9", "ann@example.com"), "ann@example.com")
	for b.Loop() {
		_ = check.Mail(context.Background(), tx)
	}
}
