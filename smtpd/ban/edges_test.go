package ban

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/smtpd"
)

// All bans of a family of addresses that are lifted at once stay so after a crash, before anything writes the file anew.
func TestUnbanOfAllSurvivesACrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New()
		b := reopen(t, fsys, Options{})
		b.fail(6, peer)
		b.fail(6, "2001:db8::1")
		require.NoError(t, b.Ban(prefix("192.0.2.0/24"), 0, "by hand"))
		require.Equal(t, 2, b.Unban(prefix("0.0.0.0/0")))
		time.Sleep(time.Minute)
		synctest.Wait()
		fsys.Crash()
		for state := range fsys.States() {
			again := reopen(t, state.FS, Options{})
			require.False(t, again.Banned(addr(peer)), state.What)
			require.False(t, again.Banned(addr("192.0.2.1")), state.What)
			require.True(t, again.Banned(addr("2001:db8::1")), state.What)
			require.NoError(t, again.Close())
		}
		require.Error(t, b.Close())
	})
}

// XCLIENT LOGIN= comes before the greeting.
func TestUserAtTheGreeting(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Bans) {
		b.fail(6, peer)
		s := session(peer)
		require.Error(t, b.Check().Connect(context.Background(), s))
		s.Peer.Identity = &mailbricks.Identity{Login: "ann", User: "ann"}
		require.NoError(t, b.Check().Connect(context.Background(), s))
	})
}

func TestReasonIsOneLine(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a b c d e f \u00e9", clean("a\nb\u0085c\u2028d\u2029e\x7ff \u00e9"))
	require.Len(t, clean(strings.Repeat("x", 2*maxReason)), maxReason)
}

func TestChecksAreTheCallersNoMore(t *testing.T) {
	checks := map[string]float64{"own": 10}
	bubble(t, Options{Checks: checks}, func(t *testing.T, b *Bans) {
		checks["own"] = 1000
		b.Outcome(smtpd.Outcome{Session: session(peer), Check: "own", Action: smtpd.Refuse})
		require.InDelta(t, 10, b.Points(addr(peer)), 0.01)
	})
}

// gone is a connection that no longer knows its peer.
type gone struct{ net.Conn }

func (gone) RemoteAddr() net.Addr { return nil }

func TestListenerTakesConnectionsWithoutAddress(t *testing.T) {
	t.Parallel()
	b, err := Open("", Options{Own: func() []netip.Addr { return nil }})
	require.NoError(t, err)
	client, server := net.Pipe()
	defer client.Close()
	conn, err := b.Listener(oneConn{gone{server}}).Accept()
	require.NoError(t, err)
	require.NoError(t, conn.Close())
}
