package ban

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noOwn stands for a machine without addresses.
func noOwn() []netip.Addr { return nil }

// bubble runs f with bans on a clock that passes only when f sleeps.
func bubble(t *testing.T, o Options, f func(t *testing.T, b *Bans)) {
	t.Helper()
	t.Parallel()
	if o.Own == nil {
		o.Own = noOwn
	}
	synctest.Test(t, func(t *testing.T) {
		b, err := Open("", o)
		require.NoError(t, err)
		f(t, b)
		b.verify(t)
		require.NoError(t, b.Close())
	})
}

// verify checks that the lengths are those of the bans.
func (b *Bans) verify(t testing.TB) {
	t.Helper()
	want := map[length]int{}
	for e := range b.bans.All() {
		want[lengthOf(e.Key)]++
		require.Equal(t, e.Key, e.Value.Prefix)
	}
	require.Equal(t, want, b.lengths)
	require.Len(t, b.lengths, len(b.v4)+len(b.v6))
}

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

const peer = "203.0.113.9"

func (b *Bans) fail(times int, from string) {
	for range times {
		b.Report(addr(from), DefaultAuthFailure, "failed log-ins")
	}
}

func TestSixFailuresBan(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Bans) {
		b.fail(5, peer)
		require.False(t, b.Banned(addr(peer)))
		require.InDelta(t, 5*DefaultAuthFailure, b.Points(addr(peer)), 0.01)
		b.fail(1, peer)
		require.True(t, b.Banned(addr(peer)))
		require.True(t, b.Banned(addr("::ffff:"+peer)))
		require.False(t, b.Banned(addr("203.0.113.10")))
		require.False(t, b.Banned(netip.Addr{}))
		is, ok := b.Lookup(addr(peer))
		require.True(t, ok)
		now := time.Now()
		require.Equal(t, Ban{Prefix: prefix(peer + "/32"), Since: now, Until: now.Add(time.Hour), Reason: "failed log-ins", Count: 1}, is)
		require.Equal(t, []Ban{is}, b.List())
		require.True(t, is.Ends())
		time.Sleep(DefaultFirstBan)
		require.False(t, b.Banned(addr(peer)))
		require.Empty(t, b.List())
	})
}

func TestPointsThatMakeTheThresholdBan(t *testing.T) {
	bubble(t, Options{Threshold: 3}, func(t *testing.T, b *Bans) {
		for range 2 {
			b.Report(addr(peer), 1, "x")
			time.Sleep(5 * time.Minute)
		}
		require.False(t, b.Banned(addr(peer)))
		b.Report(addr(peer), 1, "x")
		require.True(t, b.Banned(addr(peer)))
	})
}

func TestIPv6BansANetwork(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Bans) {
		for i := range 6 {
			b.fail(1, fmt.Sprintf("2001:db8::%x", i+1))
		}
		require.True(t, b.Banned(addr("2001:db8::ffff:1")))
		require.True(t, b.Banned(addr("2001:db8::1%eth0")))
		require.False(t, b.Banned(addr("2001:db8:0:1::1")))
	})
}

func TestPointsHalve(t *testing.T) {
	bubble(t, Options{HalfLife: time.Hour}, func(t *testing.T, b *Bans) {
		b.fail(5, peer)
		time.Sleep(time.Hour)
		require.InDelta(t, 2.5*DefaultAuthFailure, b.Points(addr(peer)), 0.01)
		b.fail(2, peer)
		require.False(t, b.Banned(addr(peer)), "4.5 failures")
		time.Sleep(30 * time.Hour)
		b.fail(5, peer)
		require.False(t, b.Banned(addr(peer)))
		require.Zero(t, b.Points(addr("192.0.2.1")))
		require.Zero(t, b.Points(netip.Addr{}))
		// Now and then a mistake is no matter.
		for range 100 {
			time.Sleep(2 * time.Hour)
			b.fail(1, "198.51.100.1")
		}
		require.False(t, b.Banned(addr("198.51.100.1")))
	})
}

func TestRepetitionDoubles(t *testing.T) {
	var told []string
	o := Options{MaxBan: 5 * time.Hour, OnBan: func(b Ban) { told = append(told, fmt.Sprint(b.Count, " ", b.Until.Sub(b.Since))) }}
	bubble(t, o, func(t *testing.T, b *Bans) {
		for range 5 {
			b.fail(10, peer)
			is, ok := b.Lookup(addr(peer))
			require.True(t, ok)
			time.Sleep(time.Until(is.Until))
		}
		require.Equal(t, []string{"1 1h0m0s", "2 2h0m0s", "3 4h0m0s", "4 5h0m0s", "5 5h0m0s"}, told)
		time.Sleep(DefaultForgetAfter - time.Second)
		b.fail(6, peer)
		require.Equal(t, "6 5h0m0s", told[5])
		time.Sleep(5*time.Hour + DefaultForgetAfter)
		b.fail(6, peer)
		require.Equal(t, "1 1h0m0s", told[6])
	})
	require.Equal(t, time.Duration(math.MaxInt64), (&Options{FirstBan: math.MaxInt64/2 + 1, MaxBan: math.MaxInt64}).duration(9))
}

// Connections that were open when the ban came do not make it longer.
func TestReportsDuringABanCountForNothing(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Bans) {
		b.fail(100, peer)
		is, _ := b.Lookup(addr(peer))
		require.Equal(t, 1, is.Count)
		require.Zero(t, b.Points(addr(peer)))
	})
}

func TestNonsenseIsNotCounted(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Bans) {
		for _, points := range []float64{0, -1, math.NaN(), math.Inf(-1)} {
			b.Report(addr(peer), points, "x")
		}
		b.Report(netip.Addr{}, 1000, "x")
		require.Zero(t, b.offenders.Len())
		b.Report(addr(peer), math.Inf(1), "a\r\nb\x00"+strings.Repeat("ä", 1000))
		is, ok := b.Lookup(addr(peer))
		require.True(t, ok)
		require.True(t, strings.HasPrefix(is.Reason, "a  b ä"), is.Reason)
		require.LessOrEqual(t, len(is.Reason), maxReason)
	})
}

func TestNeverBanned(t *testing.T) {
	own := []netip.Addr{addr("192.0.2.25"), addr("2001:db8:25::25"), addr("fe80::1%eth0")}
	o := Options{
		Never: []netip.Prefix{prefix("198.51.100.77/24"), prefix("::ffff:10.0.0.0/104"), {}},
		Own:   func() []netip.Addr { return own },
	}
	bubble(t, o, func(t *testing.T, b *Bans) {
		for _, a := range []string{"127.0.0.1", "127.9.9.9", "::1", "192.0.2.25", "::ffff:192.0.2.25", "2001:db8:25::25", "2001:db8:25::1",
			"fe80::99%eth1", "198.51.100.1", "10.1.2.3", "0.0.0.0", "::"} {
			b.fail(10, a)
			require.False(t, b.Banned(addr(a)), a)
			require.Zero(t, b.offenders.Len(), a)
		}
		for _, p := range []string{"127.0.0.1/32", "127.0.0.0/8", "::1/128", "192.0.2.25/32", "198.51.100.0/24", "198.51.100.128/25", "10.0.0.0/9"} {
			require.ErrorIs(t, b.Ban(prefix(p), 0, ""), ErrNever, p)
		}
		// A larger network is banned without them.
		require.NoError(t, b.Ban(prefix("192.0.2.0/24"), 0, ""))
		require.NoError(t, b.Ban(prefix("198.51.0.0/16"), 0, ""))
		require.NoError(t, b.Ban(prefix("2001:db8::/32"), 0, ""))
		require.True(t, b.Banned(addr("192.0.2.26")))
		require.False(t, b.Banned(addr("192.0.2.25")))
		require.True(t, b.Banned(addr("198.51.101.1")))
		require.False(t, b.Banned(addr("198.51.100.1")))
		require.True(t, b.Banned(addr("2001:db8:25::26")), "by hand the network of one's own can be")
		require.False(t, b.Banned(addr("2001:db8:25::25")))
		own = append(own, addr("192.0.2.26"))
		require.True(t, b.Banned(addr("192.0.2.26")))
		time.Sleep(ownEvery)
		require.False(t, b.Banned(addr("192.0.2.26")), "addresses come and go")
	})
}

func TestThisMachineIsNeverBanned(t *testing.T) {
	t.Parallel()
	b, err := Open("", Options{})
	require.NoError(t, err)
	for _, a := range machine() {
		b.fail(6, a.String())
		require.False(t, b.Banned(a), a)
	}
	require.Contains(t, machine(), addr("127.0.0.1"))
	require.NoError(t, b.Close())
}

func TestByHand(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Bans) {
		require.NoError(t, b.Ban(prefix("203.0.113.77/24"), time.Hour, "a network"))
		require.NoError(t, b.Ban(prefix(peer+"/32"), 0, "for good"))
		require.NoError(t, b.Ban(prefix("2001:db8::1/128"), time.Minute, ""))
		require.NoError(t, b.Ban(prefix("::ffff:192.0.2.1/128"), time.Minute, ""))
		for _, p := range []netip.Prefix{{}, prefix("0.0.0.0/0"), prefix("::/0"), netip.PrefixFrom(addr("1.2.3.4"), 99)} {
			require.ErrorIs(t, b.Ban(p, 0, ""), ErrPrefix, p)
		}
		var list []string
		for _, is := range b.List() {
			list = append(list, is.Prefix.String())
			require.True(t, is.Manual)
		}
		require.Equal(t, []string{"192.0.2.1/32", "203.0.113.0/24", "203.0.113.9/32", "2001:db8::1/128"}, list)
		is, ok := b.Lookup(addr(peer))
		require.True(t, ok)
		require.False(t, is.Ends(), "the one that holds longest")
		require.True(t, b.Banned(addr("203.0.113.1")))
		require.False(t, b.Banned(addr("2001:db8::2")))
		time.Sleep(time.Hour)
		require.Len(t, b.List(), 1)
		require.NoError(t, b.Ban(prefix(peer+"/32"), time.Minute, "shorter"))
		time.Sleep(time.Minute)
		require.Empty(t, b.List())
	})
}

// To run into a limit of rates, whose reply says when to come again, is nothing to be banned for.
func TestLimitOfRatesGivesNoPoints(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Bans) {
		s := &smtpd.Session{Peer: mailbricks.Peer{Addr: netip.AddrPortFrom(addr(peer), 1025)}}
		for range 1000 {
			b.Outcome(smtpd.Outcome{Session: s, Action: smtpd.ClosePeer, Check: "ratelimit", Reply: &mailbricks.Reply{Code: 421}})
			b.Outcome(smtpd.Outcome{Session: s, Action: smtpd.Refuse, Check: "greylist", Reply: &mailbricks.Reply{Code: 450}})
		}
		require.Zero(t, b.Points(addr(peer)))
		b.Outcome(smtpd.Outcome{Session: s, Action: smtpd.ClosePeer, Check: "earlytalker", Reply: &mailbricks.Reply{Code: 521}})
		require.Equal(t, 25.0, b.Points(addr(peer)))
	})
}

// Who lifts the ban of an address within a network that is banned can find out why that is no use.
func TestUnbanWithinALargerBan(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Bans) {
		require.NoError(t, b.Ban(prefix("203.0.113.0/24"), 0, "spam"))
		require.Zero(t, b.Unban(prefix(peer+"/32")))
		larger, banned := b.Lookup(addr(peer))
		require.True(t, banned)
		require.Equal(t, "203.0.113.0/24", larger.Prefix.String())
	})
}

func TestJSON(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Bans) {
		require.NoError(t, b.Ban(prefix("192.0.2.0/24"), 0, "spam"))
		require.NoError(t, b.Ban(prefix("192.0.2.1/32"), time.Hour, "spam"))
		text, err := json.Marshal(b.List())
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(string(text), `"Until"`), "not for a ban without end: %s", text)
	})
}

func TestUnban(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Bans) {
		b.fail(6, peer)
		require.Equal(t, 1, b.Unban(prefix(peer+"/32")))
		require.Zero(t, b.Unban(prefix(peer+"/32")))
		require.False(t, b.Banned(addr(peer)))
		b.fail(5, peer)
		require.Equal(t, 0, b.Unban(prefix("::ffff:"+peer+"/128")))
		b.fail(5, peer)
		require.False(t, b.Banned(addr(peer)), "points are forgotten")
		b.fail(1, peer)
		is, _ := b.Lookup(addr(peer))
		require.Equal(t, 1, is.Count, "and earlier bans")

		b.fail(6, "203.0.113.10")
		b.fail(6, "198.51.100.1")
		b.fail(6, "2001:db8::1")
		require.Equal(t, 1, b.Unban(prefix("2001:db8::ffff/128")), "that which its abuse led to")
		require.Equal(t, 2, b.Unban(prefix("203.0.113.0/24")))
		require.NoError(t, b.Ban(prefix("203.0.113.0/24"), 0, ""))
		require.Zero(t, b.Unban(prefix(peer+"/32")), "a larger network stays")
		require.True(t, b.Banned(addr(peer)))
		require.Zero(t, b.Unban(netip.Prefix{}))
		require.Equal(t, 2, b.Unban(prefix("0.0.0.0/0")))
		require.Empty(t, b.List())
	})
}

func session(from string) *smtpd.Session {
	s := &smtpd.Session{}
	if from != "" {
		s.Peer.Addr = netip.AddrPortFrom(addr(from), 4711)
	}
	return s
}

func TestOutcome(t *testing.T) {
	bubble(t, Options{Checks: map[string]float64{"trap": 60}}, func(t *testing.T, b *Bans) {
		told := func(check string, action smtpd.Action, s *smtpd.Session) float64 {
			b.Outcome(smtpd.Outcome{Session: s, Check: check, Action: action})
			return b.Points(addr(peer))
		}
		require.Zero(t, told("trap", smtpd.AcceptStep, session(peer)))
		require.Zero(t, told("other", smtpd.Refuse, session(peer)))
		require.Zero(t, told("", smtpd.Refuse, session(peer)))
		require.Zero(t, told("trap", smtpd.Refuse, nil))
		in := session(peer)
		in.Peer.Identity = new(mailbricks.Identity)
		require.Zero(t, told("trap", smtpd.Refuse, in), "a user")
		require.InDelta(t, 60, told("trap", smtpd.Refuse, session(peer)), 0.01)
		require.Zero(t, told("trap", smtpd.ClosePeer, session(peer)))
		is, ok := b.Lookup(addr(peer))
		require.True(t, ok)
		require.Equal(t, "refused by trap", is.Reason)
	})
	var o Options
	o.complete()
	require.NotEmpty(t, o.Checks)
}

func TestPointsCanBeOff(t *testing.T) {
	t.Parallel()
	o := Options{AuthFailure: -1, BadRecipient: 7}
	o.complete()
	require.Zero(t, o.AuthFailure)
	require.Equal(t, 7.0, o.BadRecipient)
	require.Equal(t, DefaultError, o.Error)
}

func TestWhatIsDoneIsLogged(t *testing.T) {
	var log bytes.Buffer
	bubble(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, func(t *testing.T, b *Bans) {
		b.fail(6, peer)
		b.Unban(prefix(peer + "/32"))
		require.Equal(t, 2, strings.Count(log.String(), "\n"))
		require.Contains(t, log.String(), `reason="failed log-ins"`)
	})
}

func TestReplies(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Bans) {
		check := b.Check()
		ask := func(s *smtpd.Session) string {
			if err := check.Connect(context.Background(), s); err != nil {
				return err.Error()
			}
			return ""
		}
		require.Empty(t, ask(session(peer)))
		require.Empty(t, ask(session("")), "a Unix socket")
		b.fail(6, peer)
		require.Equal(t, "smtpd: close: 421 4.7.0 203.0.113.9 is banned here for 60 more minutes", ask(session(peer)))
		time.Sleep(59*time.Minute + 59*time.Second)
		require.Contains(t, ask(session("::ffff:"+peer)), "203.0.113.9 is banned here for 1 more minutes")
		require.NoError(t, b.Ban(prefix("203.0.113.0/24"), 0, "secret"))
		require.Equal(t, "smtpd: close: 554 5.7.1 203.0.113.9 is banned here", ask(session(peer)))
	})
}
