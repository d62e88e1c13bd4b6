package senderauth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/internal/dnserror"
	"github.com/stretchr/testify/require"
)

func TestEachQuestionIsAskedOnce(t *testing.T) {
	t.Parallel()
	failed := errors.New("server failure")
	synctest.Test(t, func(t *testing.T) {
		var m memo[int]
		var asked atomic.Int32
		ask := func(context.Context) (int, error) {
			time.Sleep(time.Second)
			return int(asked.Add(1)), failed
		}
		for range 20 {
			go func() {
				got, err := m.get(t.Context(), "q", ask)
				require.Equal(t, []any{1, failed}, []any{got, err})
			}()
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		start := time.Now()
		got, err := m.get(t.Context(), "q", ask)
		require.Equal(t, []any{1, failed, time.Duration(0)}, []any{got, err, time.Since(start)}, "failures are remembered too")
	})
}

// Who gives up does not spoil the answer for those that have more time, and who waits gives up in time.
func TestWhoGivesUpIsFollowedByTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m memo[string]
		var asked atomic.Int32
		ask := func(ctx context.Context) (string, error) {
			asked.Add(1)
			select {
			case <-ctx.Done():
				return "", ctx.Err()
			case <-time.After(5 * time.Second):
				return "yes", nil
			}
		}
		type outcome struct {
			value string
			err   error
			after time.Duration
		}
		start := time.Now()
		results := make([]chan outcome, 3)
		for i, limit := range []time.Duration{2 * time.Second, time.Minute, 3 * time.Second} {
			results[i] = make(chan outcome, 1)
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				v, err := m.get(ctx, "q", ask)
				results[i] <- outcome{v, err, time.Since(start)}
			}()
			synctest.Wait()
		}
		require.Equal(t, outcome{"", context.DeadlineExceeded, 2 * time.Second}, <-results[0])
		second, third := <-results[1], <-results[2]
		require.Equal(t, outcome{"", context.DeadlineExceeded, 3 * time.Second}, third)
		require.Equal(t, "yes", second.value)
		require.NoError(t, second.err)
		require.LessOrEqual(t, asked.Load(), int32(3))
	})
}

func TestAPanicLeavesNobodyWaiting(t *testing.T) {
	t.Parallel()
	var m memo[int]
	require.Panics(t, func() { _, _ = m.get(t.Context(), "q", func(context.Context) (int, error) { panic("resolver") }) })
	got, err := m.get(t.Context(), "q", func(context.Context) (int, error) { return 7, nil })
	require.NoError(t, err)
	require.Equal(t, 7, got)
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	t.Parallel()
	var m memo[int]
	for i := range 10 * maxRemembered {
		got, err := m.get(t.Context(), fmt.Sprint(i), func(context.Context) (int, error) { return i, nil })
		require.NoError(t, err)
		require.Equal(t, i, got)
	}
	require.Len(t, m.known, maxRemembered)
}

// plain has no more than *net.Resolver's methods and counts its questions.
type plain struct{ asked map[string]int }

func (p plain) note(q string) { p.asked[q]++ }

func (p plain) LookupTXT(_ context.Context, name string) ([]string, error) {
	p.note("TXT " + name)
	return []string{"x"}, nil
}

func (p plain) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	p.note("MX " + name)
	return []*net.MX{{Host: "x."}}, nil
}

func (p plain) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	p.note(network + " " + host)
	return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
}

func (p plain) LookupAddr(_ context.Context, addr string) ([]string, error) {
	p.note("PTR " + addr)
	return []string{"x."}, nil
}

type withNS struct{ plain }

func (w withNS) LookupNS(_ context.Context, name string) ([]*net.NS, error) {
	w.note("NS " + name)
	return []*net.NS{{Host: "x."}}, nil
}

type exact struct{ plain }

func (e exact) Lookup(_ context.Context, name, rrtype string) (exactAnswer, error) {
	e.note("exact " + rrtype + " " + name)
	return exactAnswer{Name: name}, nil
}

func TestSharedLookups(t *testing.T) {
	t.Parallel()
	for _, r := range []interface {
		Resolver
		note(string)
	}{plain{map[string]int{}}, withNS{plain{map[string]int{}}}, exact{plain{map[string]int{}}}} {
		shared := share(r)
		for _, name := range []string{"a.example.", "A.Example."} {
			_, err := shared.LookupTXT(t.Context(), name)
			require.NoError(t, err)
			_, err = shared.LookupMX(t.Context(), name)
			require.NoError(t, err)
			_, err = shared.LookupNetIP(t.Context(), "ip4", name)
			require.NoError(t, err)
			_, err = shared.LookupNetIP(t.Context(), "ip6", name)
			require.NoError(t, err)
			_, err = shared.LookupAddr(t.Context(), "192.0.2.1")
			require.NoError(t, err)
		}
		want := map[string]int{"TXT a.example.": 1, "MX a.example.": 1, "ip4 a.example.": 1, "ip6 a.example.": 1, "PTR 192.0.2.1": 1}
		ns := shared.(interface {
			LookupNS(context.Context, string) ([]*net.NS, error)
		})
		for range 2 {
			_, err := ns.LookupNS(t.Context(), "a.example.")
			if _, able := r.(withNS); able {
				require.NoError(t, err)
				want["NS a.example."] = 1
			} else {
				require.True(t, dnserror.NotFound(err))
			}
		}
		known, isExact := shared.(dmarc.ExactResolver)
		_, wantExact := r.(exact)
		require.Equal(t, wantExact, isExact)
		if isExact {
			for range 2 {
				_, err := known.Lookup(t.Context(), "a.example.", "A")
				require.NoError(t, err)
			}
			want["exact A a.example."] = 1
		}
		got := map[string]int{}
		switch r := r.(type) {
		case plain:
			got = r.asked
		case withNS:
			got = r.asked
		case exact:
			got = r.asked
		}
		require.Equal(t, want, got)
	}
}
