package resolver

import (
	"errors"
	"io/fs"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestServersGetAPort(t *testing.T) {
	t.Parallel()
	require.Equal(t,
		[]string{"192.0.2.53:53", "192.0.2.53:5353", "[2001:db8::53]:53", "[2001:db8::53]:5353", "[fe80::1%eth0]:53", "ns.example.com:53"},
		withPorts([]string{"192.0.2.53", "192.0.2.53:5353", "2001:db8::53", "[2001:db8::53]:5353", "fe80::1%eth0", "ns.example.com"}))
}

func TestTheSystemsServersAreReadAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		servers, err, loads := []string(nil), errors.New("no system"), 0
		p := newPool(nil, func() ([]string, error) { loads++; return servers, err })
		_, got := p.order(time.Now())
		require.Same(t, err, got)
		err = nil
		_, got = p.order(time.Now())
		require.Error(t, got, "an empty list is no list")
		servers = []string{"192.0.2.53"}
		list, got := p.order(time.Now())
		require.NoError(t, got)
		require.Equal(t, []string{"192.0.2.53:53"}, list)

		loads, servers = 0, []string{"192.0.2.54"}
		p.failed("192.0.2.53:53", time.Now())
		time.Sleep(reloadAfter - 1)
		list, _ = p.order(time.Now())
		require.Equal(t, []string{"192.0.2.53:53"}, list)
		require.Zero(t, loads)
		time.Sleep(time.Nanosecond)
		list, _ = p.order(time.Now())
		require.Equal(t, []string{"192.0.2.54:53"}, list)
		require.Empty(t, p.dead)

		err = errors.New("unreadable")
		time.Sleep(reloadAfter)
		list, got = p.order(time.Now())
		require.NoError(t, got)
		require.Equal(t, []string{"192.0.2.54:53"}, list, "the last one that could be read stays")
		require.Equal(t, 2, loads)
	})
}

func TestAResolverWithoutServersFailsForNow(t *testing.T) {
	t.Parallel()
	var r Resolver
	r.start()
	r.pool = newPool(nil, func() ([]string, error) { return nil, fs.ErrPermission })
	_, err := r.Lookup(t.Context(), "example.com", "MX")
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorContains(t, err, "lookup example.com")
}

// The cache never holds more than it may, never gives what has expired, and gives what was put last.
func TestCacheProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		entries, bytes := rapid.IntRange(1, 8).Draw(t, "entries"), rapid.IntRange(1, 8*itemOverhead).Draw(t, "bytes")
		c := newCache(entries, bytes)
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		last := map[question]entry{} // what was put last under its own key
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				q := drawQuestion(t)
				e := entry{
					answer:  Answer{Name: q.fqdn(), Records: []string{rapid.StringN(0, 300, 300).Draw(t, "record")}},
					expires: now.Add(time.Duration(rapid.IntRange(-1, 10).Draw(t, "ttl")) * time.Second),
				}
				c.put(q, e, now)
				last[q] = e
			},
			"get": func(t *rapid.T) {
				q := drawQuestion(t)
				if e, ok := c.get(q, now); ok {
					require.Equal(t, last[q], e)
					require.True(t, now.Before(e.expires))
				}
			},
			"wait": func(t *rapid.T) { now = now.Add(time.Duration(rapid.IntRange(1, 5).Draw(t, "s")) * time.Second) },
			"": func(t *rapid.T) {
				require.LessOrEqual(t, len(c.items), entries)
				require.LessOrEqual(t, c.bytes, bytes)
				require.Equal(t, len(c.items), c.used.Len())
				sum := 0
				for q, el := range c.items {
					it := el.Value.(*item)
					require.Equal(t, q, it.q)
					sum += it.size
				}
				require.Equal(t, sum, c.bytes)
			},
		})
	})
}

func drawQuestion(t *rapid.T) question {
	return question{
		name: rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "name"),
		typ:  rapid.SampledFrom([]uint16{dns.TypeTXT, dns.TypeMX}).Draw(t, "type"),
	}
}

func TestCanonicalNamesAreStable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { checkCanonical(t, rapid.String().Draw(t, "name")) })
}

func checkCanonical(t require.TestingT, name string) {
	once, ok := canonical(name)
	if !ok {
		return
	}
	require.True(t, isASCII(once))
	require.Equal(t, asciiLower(once), once)
	twice, ok := canonical(once + ".")
	require.True(t, ok, "%q", once)
	require.Equal(t, once, twice)
	raw, err := newQuery(1, question{once, dns.TypeTXT}, true, true)
	require.NoError(t, err, "what is a name can be asked for")
	var m dns.Msg
	require.NoError(t, m.Unpack(raw))
	require.True(t, question{once, dns.TypeTXT}.is(m.Question[0]))
}

func FuzzCanonical(f *testing.F) {
	for _, name := range []string{"", ".", "example.com", "EXAMPLE.com.", "_dmarc.b\u00fccher.example", `a\.b\032c\\.example`, "a..b", "\u3002"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) { checkCanonical(t, name) })
}

// fuzzID is the ID of the query that FuzzReadReply's packets answer.
const fuzzID = 0x1234

func FuzzReadReply(f *testing.F) {
	seed := func(rcode int, answer []string, ns ...string) {
		m := new(dns.Msg).SetQuestion("a.example.", dns.TypeTXT)
		m.Id, m.Response, m.Rcode = fuzzID, true, rcode
		for _, text := range answer {
			rr, err := dns.NewRR(text)
			require.NoError(f, err)
			m.Answer = append(m.Answer, rr)
		}
		for _, text := range ns {
			rr, err := dns.NewRR(text)
			require.NoError(f, err)
			m.Ns = append(m.Ns, rr)
		}
		m.SetEdns0(1232, true)
		raw, err := m.Pack()
		require.NoError(f, err)
		f.Add(raw, dns.TypeTXT)
	}
	seed(0, []string{`a.example. 300 TXT "one" "two\200\\"`, `a.example. 300 TXT "one"`})
	seed(0, []string{"a.example. 300 CNAME b.example.", "b.example. 300 CNAME .", `b.example. 4294967295 TXT "x"`})
	seed(dns.RcodeNameError, nil, "example. 300 SOA ns. h. 1 2 3 4 5")
	seed(0, nil, "example. 300 NS ns.example.")
	seed(dns.RcodeServerFailure, nil)
	seed(0, []string{"a.example. 300 CNAME a.example."})
	f.Fuzz(func(t *testing.T, raw []byte, typ uint16) {
		q := question{"a.example", typ}
		rep, err := readReply(raw, fuzzID, q)
		if err != nil {
			require.Nil(t, rep)
			return
		}
		if rep.truncated {
			return
		}
		require.GreaterOrEqual(t, rep.ttl, time.Duration(0))
		require.LessOrEqual(t, rep.ttl, DefaultMaxTTL)
		require.False(t, rep.nxdomain && len(rep.records) > 0)
		require.False(t, rep.partial && (rep.links == 0 || len(rep.records) > 0))
		name, ok := canonical(rep.name + ".")
		require.True(t, ok, "%q", rep.name)
		require.Equal(t, name, rep.name)
		once := map[string]bool{}
		for _, record := range rep.records {
			require.False(t, once[record])
			once[record] = true
		}
	})
}

func TestTheSystemNamesServers(t *testing.T) {
	t.Parallel()
	servers, err := systemServers()
	if err != nil {
		t.Skipf("this system tells no DNS servers: %v", err)
	}
	for _, s := range servers {
		require.True(t, isIP(s), s)
	}
	p := newPool(nil, systemServers)
	list, err := p.order(time.Now())
	if len(servers) == 0 { // Windows without a network
		require.Error(t, err)
		return
	}
	require.NoError(t, err)
	require.Len(t, list, len(servers))
}
