package spf_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	oracle "blitiri.com.ar/go/spf"
	"github.com/mailbricks/mailbricks/spf"
	"github.com/stretchr/testify/require"
)

// oracleDNS is a zone as the other implementation wants it.
type oracleDNS struct{ zone }

func (o oracleDNS) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	var out []net.IPAddr
	var missing error
	for _, network := range []string{"ip4", "ip6"} {
		addrs, err := o.LookupNetIP(ctx, network, host)
		if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
			missing = err
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			out = append(out, net.IPAddr{IP: a.AsSlice()})
		}
	}
	if len(out) == 0 {
		return nil, missing
	}
	return out, nil
}

// situation is a zone and a client to check.
type situation struct {
	zone zone
	ip   netip.Addr
	helo string
	from string
}

func (s *situation) clone() *situation {
	z := zone{}
	for name, records := range s.zone {
		z[name] = map[string][]string{}
		for typ, values := range records {
			z[name][typ] = slices.Clone(values)
		}
	}
	return &situation{zone: z, ip: s.ip, helo: s.helo, from: s.from}
}

// edit changes every SPF record.
func (s *situation) edit(change func(record string) string) {
	for _, name := range slices.Sorted(maps.Keys(s.zone)) {
		for i, txt := range s.zone[name]["TXT"] {
			if strings.HasPrefix(txt, "v=spf1") {
				s.zone[name]["TXT"][i] = change(txt)
			}
		}
	}
}

func (s *situation) ours() spf.Verdict {
	return spf.Check(context.Background(), s.zone, spf.Client{IP: s.ip, Helo: s.helo, From: s.from})
}

func (s *situation) theirs() (string, error) {
	result, err := oracle.CheckHostWithSender(s.ip.AsSlice(), s.helo, s.from,
		oracle.WithResolver(oracleDNS{s.zone}), oracle.WithContext(context.Background()))
	return string(result), err
}

// gen draws situations.
type gen struct{ *rand.Rand }

func (g gen) pick(list ...string) string { return list[g.IntN(len(list))] }
func (g gen) name() string               { return fmt.Sprintf("d%d.example.com", g.IntN(8)) }
func (g gen) addr4() string              { return fmt.Sprintf("192.0.2.%d", g.IntN(8)) }
func (g gen) addr6() string              { return fmt.Sprintf("2001:db8::%d", 1+g.IntN(8)) }

// term draws one valid term.
func (g gen) term() string {
	qualifier := g.pick("", "+", "-", "~", "?")
	domain := g.pick("", "", ":"+g.name(), ":%{d}", ":%{l}.example.com", ":%{o2}", ":"+g.name()+".")
	cidr := g.pick("", "", "/30", "//126", "/31//127", "/0", "//0")
	switch g.IntN(10) {
	case 0:
		return qualifier + "a" + domain + cidr
	case 1:
		return qualifier + "MX" + domain + cidr
	case 2:
		return qualifier + "ip4:" + g.addr4() + g.pick("", "/32", "/30", "/0")
	case 3:
		return qualifier + "ip6:" + g.addr6() + g.pick("", "/128", "/126", "/0")
	case 4, 5:
		return qualifier + g.pick("include:", "Include:") + g.name()
	case 6:
		return qualifier + "exists:" + g.pick(g.name(), "%{l}.%{o2}", "%{h}", "%{i1r}.%{v}.%{d}", "%{ir}.x%%y.%{D3r}")
	case 7:
		return qualifier + "ptr" + domain
	case 8:
		return qualifier + g.pick("all", "ALL")
	}
	return g.pick("x=y", "moo.cow=man:dog/cat", "")
}

// wrong are terms that make a syntax error.
var wrong = []string{"moo", "a/33", "ip4:1.2.3", "include", "-exp=x.com", "a:%{z}.com", "exists:%{l", "redirect=%{d} redirect=%{d}"}

// record draws an SPF record, now and then one with a syntax error in front.
func (g gen) record() string {
	terms := []string{"v=spf1"}
	if g.IntN(40) == 0 {
		terms = append(terms, g.pick(wrong...))
	}
	for range g.IntN(7) {
		terms = append(terms, g.term())
	}
	if g.IntN(8) == 0 {
		terms = append(terms, "exp="+g.name())
	}
	if g.IntN(2) == 0 {
		terms = append(terms, "redirect="+g.name())
	}
	return strings.Join(terms, " ")
}

func (g gen) situation() *situation {
	s := &situation{zone: zone{}, ip: netip.MustParseAddr(g.pick(g.addr4(), g.addr6())), helo: g.name()}
	s.from = g.pick("d3", "x", "d1+y", "a.b-c") + "@" + g.name()
	for i := range 8 {
		records := map[string][]string{}
		if g.IntN(10) > 0 {
			records["TXT"] = []string{"unrelated", g.record()}
			if g.IntN(30) == 0 {
				records["TXT"] = append(records["TXT"], g.record())
			}
		}
		if g.IntN(2) == 0 {
			records["A"], records["AAAA"] = []string{g.addr4()}, []string{g.addr6()}
		}
		if g.IntN(2) == 0 {
			records["MX"] = slices.Repeat([]string{"host.example.com"}, 1+g.IntN(12)*g.IntN(2))
		}
		if g.IntN(20) == 0 {
			records["*"] = []string{"TIMEOUT"}
		}
		s.zone[fmt.Sprintf("d%d.example.com", i)] = records
	}
	s.zone["host.example.com"] = map[string][]string{"A": {g.addr4()}, "AAAA": {g.addr6()}}
	for _, addr := range []string{g.addr4(), g.addr6()} {
		s.zone[arpa(netip.MustParseAddr(addr))] = map[string][]string{"PTR": {g.name()}}
	}
	return s
}

// differentialCases is how many situations are compared as they are, and how many with an exception in them.
const differentialCases = 2000

// The verdicts about plain situations must be the same. The others have something of one of the exceptions in them: there the other implementation may differ, but must agree once the exception is written in a
// way that it understands.
func TestAgreesWithAnotherImplementation(t *testing.T) {
	t.Parallel()
	plain, results := 0, map[string]int{}
	met, differed := make([]int, len(exceptions)), make([]int, len(exceptions))
	for i := range 2 * differentialCases {
		g := gen{rand.New(rand.NewPCG(7208, uint64(i)))}
		s := g.situation()
		mended, which := s, -1
		if i%2 == 0 {
			plain++
		} else {
			which = i / 2 % len(exceptions)
			met[which]++
			exceptions[which].inject(g, s)
			mended = s.clone()
			exceptions[which].mend(mended)
		}
		got := s.ours()
		results[got.Result.String()]++
		want, reason := mended.theirs()
		require.Equal(t, want, got.Result.String(), "case %d, exception %d: %v helo %s from %s\n%v\nmended: %v from %s\ntheirs: %v\nours: %v %+v",
			i, which, s.ip, s.helo, s.from, s.zone, mended.zone, mended.from, reason, got.Err, got.Lookups)
		if which >= 0 {
			if raw, _ := s.theirs(); raw != got.Result.String() {
				differed[which]++
			}
		}
	}
	t.Logf("%d records as they are: same verdict; results: %v", plain, results)
	for i, e := range exceptions {
		t.Logf("%3d records, %2d different: %s", met[i], differed[i], e.why)
		require.NotZero(t, differed[i], "no difference any more: %s", e.why)
	}
	for r := spf.None; r <= spf.PermError; r++ {
		require.Greater(t, results[r.String()], 20, "too few cases of %s", r)
	}
}
