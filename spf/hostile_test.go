package spf_test

import (
	"context"
	"net/netip"
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

// The worst that a record can ask for: ten mx terms with ten hosts each.
func TestAmplificationIsBounded(t *testing.T) {
	t.Parallel()
	hosts := strings.Split(strings.TrimSuffix(strings.Repeat("victim.example.com ", 10), " "), " ")
	z := zone{"example.com": {"TXT": {"v=spf1" + strings.Repeat(" mx", 5000)}, "MX": hosts}, "victim.example.com": {"A": {"192.0.2.1"}}}
	v := check(t, z, "192.0.2.2", "x@example.com")
	require.Equal(t, spf.PermError, v.Result)
	require.ErrorIs(t, v.Err, spf.ErrTooManyLookups)
	require.Len(t, v.Lookups, 1+10*11)

	// And when the hosts do not exist, three terms are the end of it.
	delete(z, "victim.example.com")
	v = check(t, z, "192.0.2.2", "x@example.com")
	require.ErrorIs(t, v.Err, spf.ErrTooManyVoidLookups)
	require.Len(t, v.Lookups, 1+3*11)
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
