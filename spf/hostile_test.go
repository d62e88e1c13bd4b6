package spf_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/spf"
	"github.com/stretchr/testify/require"
)

func FuzzCheck(f *testing.F) {
	f.Add("v=spf1 include:b.example.com -all exp=b.example.com", "v=spf1 a mx ptr exists:%{p}.%{l}.com ?all", "ann", "mail.example.com", "192.0.2.1")
	f.Add("v=spf1 redirect=%{d}", "%{s} %{t}", "a\r\nb", "[1.2.3.4]", "2001:db8::1")
	f.Add("v=spf1 mx:b.example.com mx ptr:%{l} a:%{h}", "v=spf1 redirect=a.example.com", "\xff", "\u00fc.example", "::ffff:192.0.2.1")
	f.Fuzz(func(t *testing.T, one, two, local, helo, addr string) {
		ip, _ := netip.ParseAddr(addr)
		hosts := []string{"a.example.com", "b.example.com", "c.example.com", "", "\x00..", "d.example.com", "e.example.com"}
		z := zone{
			"a.example.com": {"TXT": {one}, "A": {"192.0.2.9"}, "MX": hosts}, "b.example.com": {"TXT": {two}, "MX": hosts, "CNAME": {"a.example.com"}},
			"1.2.0.192.in-addr.arpa": {"PTR": hosts}, "c.example.com": {"CNAME": {"c.example.com"}},
		}
		v := spf.Check(context.Background(), z, spf.Client{IP: ip, Helo: helo, From: local + "@a.example.com"})
		if most := 1 + 10*(1+10) + (1 + 10) + 1; len(v.Lookups) > most {
			t.Fatalf("%d look-ups", len(v.Lookups))
		}
		for _, l := range v.Lookups {
			if len(l.Name) > 253 {
				t.Fatalf("look-up of %q", l.Name)
			}
		}
		if strings.ContainsFunc(v.Explanation, func(r rune) bool { return r < ' ' || r >= 0x7f }) || len(v.Explanation) > spf.DefaultMaxExplanation {
			t.Fatalf("explanation %q", v.Explanation)
		}
		if v.Result == spf.Pass && v.Domain != "a.example.com" {
			t.Fatalf("pass for %q", v.Domain)
		}
		requireOneField(t, v.ReceivedSPF("mx.example.com"))
	})
}

// counting counts what a resolver is asked.
type counting struct {
	zone
	asked *int
}

func (c counting) LookupTXT(ctx context.Context, name string) ([]string, error) {
	*c.asked++
	return c.zone.LookupTXT(ctx, name)
}

func (c counting) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	*c.asked++
	return c.zone.LookupMX(ctx, name)
}

func (c counting) LookupNetIP(ctx context.Context, network, name string) ([]netip.Addr, error) {
	*c.asked++
	return c.zone.LookupNetIP(ctx, network, name)
}

func (c counting) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	*c.asked++
	return c.zone.LookupAddr(ctx, addr)
}

// What a record can make a receiver ask is limited, whatever it says (RFC 7208 §11.1).
func TestQuestionsAreLimited(t *testing.T) {
	t.Parallel()
	victim := map[string][]string{"A": {"192.0.2.1"}}
	hosts := func(n int) []string { return slices.Repeat([]string{"victim.example.com"}, n) }
	includes := ""
	for i := range 20 {
		includes += fmt.Sprintf(" include:i%d.example.com", i)
	}
	tree := zone{"example.com": txt("v=spf1" + includes)}
	for i := range 20 {
		tree[fmt.Sprintf("i%d.example.com", i)] = txt("v=spf1" + includes)
	}
	for name, c := range map[string]struct {
		zone  zone
		asked int
		err   error
	}{
		"mx, ten hosts each":              {zone{"example.com": {"TXT": {"v=spf1" + strings.Repeat(" mx", 5000)}, "MX": hosts(10)}, "victim.example.com": victim}, 1 + 10*11, spf.ErrTooManyLookups},
		"mx, ten hosts that do not exist": {zone{"example.com": {"TXT": {"v=spf1" + strings.Repeat(" mx", 5000)}, "MX": hosts(10)}}, 1 + 3*11, spf.ErrTooManyVoidLookups},
		"mx, thousands of hosts":          {zone{"example.com": {"TXT": {"v=spf1 mx"}, "MX": hosts(5000)}, "victim.example.com": victim}, 2, spf.ErrTooManyMX},
		"ptr, thousands of names": {zone{"example.com": txt("v=spf1 ptr ptr:%{p} exists:%{p}.victim.example.com ptr"), "victim.example.com": victim,
			arpa(netip.MustParseAddr("192.0.2.2")): {"PTR": hosts(5000)}}, 1 + 1 + 10 + 1, nil},
		"a":                        {zone{"example.com": txt("v=spf1" + strings.Repeat(" a:victim.example.com", 5000)), "victim.example.com": victim}, 1 + 10, spf.ErrTooManyLookups},
		"names that do not exist":  {zone{"example.com": txt("v=spf1" + strings.Repeat(" exists:%{i}.x.example.com a:y.example.com", 5000))}, 1 + 3, spf.ErrTooManyVoidLookups},
		"a record of itself":       {zone{"example.com": txt("v=spf1 include:example.com")}, 1 + 10, spf.ErrTooManyLookups},
		"redirect to itself":       {zone{"example.com": txt("v=spf1 redirect=%{d}")}, 1 + 10, spf.ErrTooManyLookups},
		"a tree of includes":       {tree, 1 + 10, spf.ErrTooManyLookups},
		"records of all addresses": {zone{"example.com": txt("v=spf1" + strings.Repeat(" ip4:192.0.2.1 ip6:2001:db8::1", 50_000) + " -all exp=why.example.com"), "why.example.com": txt(strings.Repeat("%{s}", 50_000))}, 2, nil},
		"names without end":        {zone{"example.com": txt("v=spf1 exists:" + strings.Repeat("%{s}.%{ir}.", 20_000) + "example.com ?all")}, 2, nil},
		"thousands of records":     {zone{"example.com": txt(slices.Repeat([]string{"v=spf1 mx"}, 5000)...)}, 1, spf.ErrMultipleRecords},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			v := spf.Check(t.Context(), counting{c.zone, &asked}, spf.Client{IP: netip.MustParseAddr("192.0.2.2"), Helo: "mail.example.com", From: "x@example.com"})
			require.Equal(t, c.asked, asked)
			require.Len(t, v.Lookups, asked)
			if c.err != nil {
				require.Equal(t, spf.PermError, v.Result)
				require.ErrorIs(t, v.Err, c.err)
			}
			require.LessOrEqual(t, len(v.Explanation), spf.DefaultMaxExplanation)
		})
	}
}

func BenchmarkCheck(b *testing.B) {
	z := zone{
		"example.com":      txt("v=spf1 ip4:198.51.100.0/24 include:_spf.example.com -all"),
		"_spf.example.com": {"TXT": {"v=spf1 a:%{d} ip6:2001:db8::/32 ?all"}, "A": {"192.0.2.1"}},
	}
	c := spf.Client{IP: netip.MustParseAddr("192.0.2.1"), Helo: "mail.example.com", From: "x@example.com"}
	b.ReportAllocs()
	for b.Loop() {
		if v := spf.Check(context.Background(), z, c); v.Result != spf.Pass {
			b.Fatal(v.Result, v.Err)
		}
	}
}
