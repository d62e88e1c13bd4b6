package resolver_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

// heap is how many octets are in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A flood of random names, as a spammer's messages may bring, leaves no more behind than the cache may have, whatever
// the answers are. Not parallel, as it looks at the heap of the process.
func TestMemoryUnderAFloodOfNames(t *testing.T) {
	text := strings.Repeat(` "`+strings.Repeat("x", 250)+`"`, 3)
	for _, c := range []struct {
		name         string
		lookups, cap int
		answer       func(t *testing.T, q *dns.Msg) []byte
	}{
		{"long answers", 1500, 512 << 10, func(t *testing.T, q *dns.Msg) []byte {
			return replyWith(t, q, 0, []string{q.Question[0].Name + " 3600 TXT" + text})
		}},
		{"aliases", 2000, 256 << 10, func(t *testing.T, q *dns.Msg) []byte {
			name := q.Question[0].Name
			return replyWith(t, q, 0, []string{name + " 3600 CNAME x." + name, "x." + name + ` 3600 TXT "short"`})
		}},
		{"missing names", 2000, 256 << 10, func(t *testing.T, q *dns.Msg) []byte {
			return replyWith(t, q, dns.RcodeNameError, nil, "example. 3600 SOA ns. h. 1 3600 600 86400 3600")
		}},
		{"failures", 2000, 256 << 10, func(t *testing.T, q *dns.Msg) []byte {
			return replyWith(t, q, dns.RcodeServerFailure, nil)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.answer(ns1, func(q *dns.Msg) [][]byte { return [][]byte{c.answer(t, q)} })
			r := w.resolver(ns1)
			r.CacheBytes, r.CacheEntries = c.cap, 1<<20
			random := rand.New(rand.NewPCG(1, 2))
			flood := func(lookups int) {
				for range lookups {
					_, _ = r.LookupTXT(t.Context(), fmt.Sprintf("%x.example", random.Uint64()))
				}
			}
			flood(10)
			before := heap()
			flood(c.lookups)
			grown := heap() - before
			runtime.KeepAlive(r)
			t.Logf("%d look-ups with a cache of %d octets: the heap grew by %d", c.lookups, c.cap, grown)
			require.Less(t, grown, int64(c.cap)*5/4)
			require.Greater(t, grown, int64(c.cap)/4, "the cache is in use")
		})
	}
}
