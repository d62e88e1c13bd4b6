package resolver_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/resolver"
)

func TestAnswersCountForTheirTTL(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		d := w.serve(ns1, zoneText)
		r := w.resolver(ns1)
		hits := 0
		r.Trace = &resolver.Trace{CacheHit: func(name, rrtype string) {
			require.Equal(t, "example.com MX", name+" "+rrtype)
			hits++
		}}
		_, err := r.LookupMX(t.Context(), "example.com")
		require.NoError(t, err)
		require.Zero(t, hits)
		time.Sleep(200 * time.Second)
		a, err := r.Lookup(t.Context(), "Example.COM.", "MX")
		require.NoError(t, err)
		require.Equal(t, 100*time.Second, a.TTL, "what is left of it")
		require.Equal(t, 1, hits)
		require.NoError(t, d.Replace("example.com. 7 MX 10 new.example.com."))
		time.Sleep(100*time.Second - 1)
		a, err = r.Lookup(t.Context(), "example.com", "MX")
		require.NoError(t, err)
		require.Len(t, a.Records, 2)
		time.Sleep(time.Nanosecond)
		a, err = r.Lookup(t.Context(), "example.com", "MX")
		require.NoError(t, err)
		require.Equal(t, []string{"10 new.example.com."}, a.Records)
		require.Equal(t, 7*time.Second, a.TTL)
		require.Equal(t, map[string]int{"example.com. MX": 2}, d.Queries())
	})
}

// lifetime is how long an answer of this resolver comes from the cache, in steps of a second up to a limit.
func lifetime(t *testing.T, d *mailtest.DNS, r *resolver.Resolver, name string) time.Duration {
	t.Helper()
	key := dns.CanonicalName(name) + " TXT"
	_, _ = r.LookupTXT(t.Context(), name)
	before, began := d.Queries()[key], time.Now()
	for step := time.Second; time.Since(began) < 100*time.Hour; {
		time.Sleep(step)
		_, _ = r.LookupTXT(t.Context(), name)
		if d.Queries()[key] > before {
			return time.Since(began)
		}
		if time.Since(began) >= 10*time.Minute {
			step = 10 * time.Minute
		}
	}
	return 0
}

func TestLifetimes(t *testing.T) {
	const zones = `
		$ORIGIN short.example.
		@   1000 SOA ns hostmaster 1 3600 600 86400 120
		one    1 TXT "one second"
		zero   0 TXT "not at all"
		long 604800 TXT "a week"
		hour 3600 TXT "an hour"
		alias 30 CNAME hour
		bad   30 CNAME nowhere
		$ORIGIN long.example.
		@   604800 SOA ns hostmaster 1 3600 600 86400 604800
		$ORIGIN soa.example.
		@       20 SOA ns hostmaster 1 3600 600 86400 120
	`
	for i, c := range []struct {
		name    string
		conf    func(r *resolver.Resolver)
		failure mailtest.Failure
		want    time.Duration
	}{
		{name: "one.short.example", want: time.Second},
		{name: "zero.short.example", want: time.Second}, // the first step
		{name: "hour.short.example", want: time.Hour},
		{name: "long.short.example", want: resolver.DefaultMaxTTL},
		{name: "alias.short.example", want: 30 * time.Second},
		{name: "bad.short.example", want: 30 * time.Second},
		{name: "nowhere.short.example", want: 120 * time.Second},
		{name: "short.example", want: 120 * time.Second},
		{name: "nowhere.soa.example", want: 20 * time.Second},
		{name: "nowhere.long.example", want: resolver.DefaultMaxNegativeTTL},
		{name: "hour.short.example", failure: mailtest.ServFail, want: resolver.FailureTTL},
		{name: "hour.short.example", failure: mailtest.Refused, want: resolver.FailureTTL},
		{name: "one.short.example", conf: func(r *resolver.Resolver) { r.MinTTL = 50 * time.Second }, want: 50 * time.Second},
		{name: "one.short.example", conf: func(r *resolver.Resolver) { r.MinTTL = 50 * time.Second; r.MaxTTL = 20 * time.Second }, want: 20 * time.Second},
		{name: "nowhere.soa.example", conf: func(r *resolver.Resolver) { r.MinTTL = 50 * time.Second }, want: 20 * time.Second},
		{name: "hour.short.example", conf: func(r *resolver.Resolver) { r.MaxTTL = time.Minute }, want: time.Minute},
		{name: "nowhere.short.example", conf: func(r *resolver.Resolver) { r.MaxTTL = time.Minute }, want: time.Minute},
		{name: "long.short.example", conf: func(r *resolver.Resolver) { r.MaxTTL = 48 * time.Hour }, want: resolver.DefaultMaxTTL},
		{name: "nowhere.short.example", conf: func(r *resolver.Resolver) { r.MaxNegativeTTL = time.Minute }, want: time.Minute},
		{name: "nowhere.long.example", conf: func(r *resolver.Resolver) { r.MaxNegativeTTL = 48 * time.Hour }, want: resolver.DefaultMaxNegativeTTL},
		{name: "hour.short.example", conf: func(r *resolver.Resolver) { r.CacheEntries = -1 }, want: time.Second},
		{name: "hour.short.example", conf: func(r *resolver.Resolver) { r.CacheBytes = 1 }, want: time.Second},
	} {
		t.Run(fmt.Sprintf("%d %s", i, c.name), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				d := w.serve(ns1, zones)
				d.SetFailure(c.name, c.failure)
				r := w.resolver(ns1)
				if c.conf != nil {
					c.conf(r)
				}
				require.Equal(t, c.want, lifetime(t, d, r, c.name))
			})
		})
	}
}

func TestNegativeAnswersWithoutASOAOfTheirOwnAreNotCached(t *testing.T) {
	for name, authority := range map[string][]string{"none": nil, "of another zone": {"other. 300 SOA ns. h. 1 1 1 1 300"}} {
		for _, rcode := range []int{dns.RcodeSuccess, dns.RcodeNameError} {
			t.Run(name+" "+dns.RcodeToString[rcode], func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					queries := 0
					w.answer(ns1, func(q *dns.Msg) [][]byte {
						queries++
						return [][]byte{replyWith(t, q, rcode, nil, authority...)}
					})
					r := w.resolver(ns1)
					for i := range 3 {
						_, err := r.LookupTXT(t.Context(), "a.example")
						require.Equal(t, "not found", class(t, err))
						require.Equal(t, i+1, queries)
					}
				})
			})
		}
	}
}

func TestAMissingNameIsMissingForAllTypes(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		d := w.serve(ns1, zoneText)
		r := w.resolver(ns1)
		for _, name := range []string{"nowhere.example.com", "mail.example.com", "dangling.example.com"} {
			_, err := r.LookupTXT(t.Context(), name)
			require.Equal(t, "not found", class(t, err))
			_, err = r.LookupMX(t.Context(), name)
			require.Equal(t, "not found", class(t, err))
		}
		require.Equal(t, map[string]int{
			"nowhere.example.com. TXT": 1, // and no MX
			"mail.example.com. TXT":    1, "mail.example.com. MX": 1,
			"dangling.example.com. TXT": 1, "dangling.example.com. MX": 1, // it is not the alias that is missing
		}, d.Queries())
	})
}

func TestTheLongestUnusedMakeRoom(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		d := w.serve(ns1, `*.example. TXT "`+strings.Repeat("x", 200)+`"`)
		r := w.resolver(ns1)
		r.CacheEntries = 3
		ask := func(names ...string) {
			for _, name := range names {
				_, err := r.LookupTXT(t.Context(), name+".example")
				require.NoError(t, err)
			}
		}
		ask("a", "b", "c", "a", "d") // b goes
		ask("a", "c", "d")
		require.Len(t, d.Queries(), 4)
		for key, n := range d.Queries() {
			require.Equal(t, 1, n, key)
		}
		ask("b")
		require.Equal(t, 2, d.Queries()["b.example. TXT"])
	})
}

func TestTheCacheIsBoundedInOctets(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		d := w.serve(ns1, `*.example. TXT "`+strings.Repeat("x", 200)+`"`)
		r := w.resolver(ns1)
		r.CacheBytes = 10_000
		names := make([]string, 50)
		for i := range names {
			names[i] = fmt.Sprintf("n%d.example", i)
			_, err := r.LookupTXT(t.Context(), names[i])
			require.NoError(t, err)
		}
		cached := 0
		for i := len(names) - 1; i >= 0; i-- { // from the newest, so that nothing is displaced before it is seen
			_, err := r.LookupTXT(t.Context(), names[i])
			require.NoError(t, err)
			if d.Queries()[names[i]+". TXT"] > 1 {
				break
			}
			cached++
		}
		require.Greater(t, cached, 10)
		require.Less(t, cached, 20)
	})
}
