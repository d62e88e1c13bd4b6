package resolver_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/resolver"
)

// lookups is what users of *net.Resolver ask of it.
type lookups interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error)
	LookupHost(ctx context.Context, host string) ([]string, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
	LookupCNAME(ctx context.Context, host string) (string, error)
}

// answering is how a package declares the further ability without importing resolver.
type answering interface {
	Lookup(ctx context.Context, name, rrtype string) (struct {
		Name      string
		Records   []string
		TTL       time.Duration
		Authentic bool
		NXDomain  bool
	}, error)
}

var (
	_ lookups   = (*net.Resolver)(nil)
	_ lookups   = (*resolver.Resolver)(nil)
	_ lookups   = (*mailtest.Resolver)(nil)
	_ answering = (*resolver.Resolver)(nil)
	_ answering = (*mailtest.Resolver)(nil)
)

func TestLookupsGiveWhatTheZoneHas(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.serve(ns1, zoneText)
		r := w.resolver(ns1)
		ctx := t.Context()

		txt, err := r.LookupTXT(ctx, "EXAMPLE.com")
		require.NoError(t, err)
		require.ElementsMatch(t, []string{"v=spf1 mx -all", "other \"quoted\" \xc8\\"}, txt)
		txt, err = r.LookupTXT(ctx, "_dmarc.example.com.")
		require.NoError(t, err)
		require.Equal(t, []string{"v=DMARC1; p=reject"}, txt)
		txt, err = r.LookupTXT(ctx, "BÜCHER.example.net")
		require.NoError(t, err)
		require.Equal(t, []string{"books"}, txt)

		mx, err := r.LookupMX(ctx, "example.com")
		require.NoError(t, err)
		require.Equal(t, []*net.MX{{Host: "Mail.example.com.", Pref: 10}, {Host: "backup.example.com.", Pref: 20}}, mx)
		mx, err = r.LookupMX(ctx, "null.example.net")
		require.NoError(t, err)
		require.Equal(t, []*net.MX{{Host: ".", Pref: 0}}, mx)

		for network, want := range map[string][]string{
			"ip4": {"192.0.2.1", "192.0.2.2"}, "ip6": {"2001:db8::1"}, "ip": {"192.0.2.1", "192.0.2.2", "2001:db8::1"},
		} {
			ips, err := r.LookupNetIP(ctx, network, "mail.example.com")
			require.NoError(t, err)
			var got []string
			for _, ip := range ips {
				got = append(got, ip.String())
			}
			require.Equal(t, want, got)
		}
		hosts, err := r.LookupHost(ctx, "www.example.com")
		require.NoError(t, err)
		require.Equal(t, []string{"198.51.100.1"}, hosts)
		addrs, err := r.LookupIPAddr(ctx, "www.example.com")
		require.NoError(t, err)
		require.Equal(t, "198.51.100.1", addrs[0].String())
		cname, err := r.LookupCNAME(ctx, "www.example.com")
		require.NoError(t, err)
		require.Equal(t, "mail.example.net.", cname)
		cname, err = r.LookupCNAME(ctx, "backup.example.com")
		require.NoError(t, err)
		require.Equal(t, "backup.example.com.", cname)

		for _, addr := range []string{"192.0.2.1", "192.0.2.9", "2001:db8::1", "::ffff:192.0.2.1"} {
			names, err := r.LookupAddr(ctx, addr)
			require.NoError(t, err, addr)
			require.Equal(t, []string{"mail.example.com."}, names)
		}
	})
}

func TestNothingFoundIsNotFound(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.serve(ns1, zoneText)
		r := w.resolver(ns1)
		ctx := t.Context()
		for _, name := range []string{"nowhere.example.com", "dangling.example.com", "nodata.example.com", "mail.example.com"} {
			_, err := r.LookupTXT(ctx, name)
			require.Equal(t, "not found", class(t, err), name)
			_, err = r.LookupMX(ctx, name)
			require.Equal(t, "not found", class(t, err), name)
		}
		_, err := r.LookupHost(ctx, "example.com")
		require.Equal(t, "not found", class(t, err))
		_, err = r.LookupIPAddr(ctx, "example.com")
		require.Equal(t, "not found", class(t, err))
		_, err = r.LookupCNAME(ctx, "example.com")
		require.Equal(t, "not found", class(t, err))
		_, err = r.LookupAddr(ctx, "192.0.2.77")
		require.Equal(t, "not found", class(t, err))
	})
}

func TestLookupTellsAllThatIsKnown(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		d := w.serve(ns1, zoneText)
		d.SetAuthentic("example.com", true)
		r := w.resolver(ns1)
		r.TrustAD = true
		ctx := t.Context()
		for _, c := range []struct {
			name, typ string
			want      resolver.Answer
		}{
			{"example.com", "MX", resolver.Answer{Name: "example.com.", Records: []string{"20 backup.example.com.", "10 Mail.example.com."}, TTL: 300 * time.Second, Authentic: true}},
			{"_25._tcp.mail.example.com", "TLSA", resolver.Answer{Name: "_25._tcp.mail.example.com.", Records: []string{"3 1 1 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}, TTL: 30 * time.Second, Authentic: true}},
			{"_imaps._tcp.example.com.", "srv", resolver.Answer{Name: "_imaps._tcp.example.com.", Records: []string{"0 1 993 mail.example.com."}, TTL: 300 * time.Second, Authentic: true}},
			{"www.example.com", "CNAME", resolver.Answer{Name: "www.example.com.", Records: []string{"alias.example.com."}, TTL: time.Minute, Authentic: true}},
			{"www.example.com", "A", resolver.Answer{Name: "mail.example.net.", Records: []string{"198.51.100.1"}, TTL: time.Minute}},
			{"1.2.0.192.in-addr.arpa", "PTR", resolver.Answer{Name: "1.2.0.192.in-addr.arpa.", Records: []string{"mail.example.com."}, TTL: 300 * time.Second}},
			{"mail.example.com", "AAAA", resolver.Answer{Name: "mail.example.com.", Records: []string{"2001:db8::1"}, TTL: 300 * time.Second, Authentic: true}},
			{"mail.example.com", "TXT", resolver.Answer{Name: "mail.example.com.", TTL: 120 * time.Second, Authentic: true}},
			{"Nowhere.example.com", "TXT", resolver.Answer{Name: "nowhere.example.com.", TTL: 120 * time.Second, Authentic: true, NXDomain: true}},
			{"dangling.example.com", "TXT", resolver.Answer{Name: "nowhere.example.com.", TTL: 120 * time.Second, Authentic: true, NXDomain: true}},
			{"nodata.example.com", "TXT", resolver.Answer{Name: "backup.example.com.", TTL: 120 * time.Second, Authentic: true}},
			{"_tcp.mail.example.com", "TXT", resolver.Answer{Name: "_tcp.mail.example.com.", TTL: 120 * time.Second, Authentic: true}},
			{"empty.example.com", "TXT", resolver.Answer{Name: "empty.example.com.", Records: []string{"not for the cache"}, Authentic: true}},
			{"long.example.com", "TXT", resolver.Answer{Name: "long.example.com.", Records: []string{"a TTL with the highest bit set"}, Authentic: true}},
			{"forever.example.com", "TXT", resolver.Answer{Name: "forever.example.com.", Records: []string{"the longest TTL there is"}, TTL: 24 * time.Hour, Authentic: true}},
		} {
			got, err := r.Lookup(ctx, c.name, c.typ)
			require.NoError(t, err)
			require.Equal(t, c.want, got, "%s %s", c.name, c.typ)
			direct, err := d.Resolver().Lookup(ctx, c.name, c.typ)
			require.NoError(t, err)
			direct.TTL = got.TTL // not capped there
			require.Equal(t, direct, got, "as the zone itself says")
		}
		for _, typ := range []string{"", "NOTYPE", "ANY", "AXFR", "OPT", "None", "Reserved"} {
			_, err := r.Lookup(ctx, "example.com", typ)
			require.Equal(t, "permanent", class(t, err), typ)
		}
	})
}

func TestADCountsOnlyWhereTrusted(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.serve(ns1, zoneText).SetAuthentic(".", true)
		for _, trust := range []bool{false, true} {
			r := w.resolver(ns1)
			r.TrustAD = trust
			for range 2 { // the second one from the cache
				a, err := r.Lookup(t.Context(), "example.com", "MX")
				require.NoError(t, err)
				require.Equal(t, trust, a.Authentic)
			}
		}
	})
}

func TestHostsWithImpossibleNamesAreLeftOut(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.serve(ns1, zoneText)
		r := w.resolver(ns1)
		mx, err := r.LookupMX(t.Context(), "halfodd.example.com")
		require.NoError(t, err)
		require.Equal(t, []*net.MX{{Host: "mail.example.com.", Pref: 20}}, mx)
		mx, err = r.LookupMX(t.Context(), "odd.example.com")
		require.Equal(t, "permanent", class(t, err))
		require.Empty(t, mx)
		_, err = r.LookupAddr(t.Context(), "192.0.2.8")
		require.Equal(t, "permanent", class(t, err))
	})
}

func TestMXOfOnePreferenceAreShuffled(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.serve(ns1, "a. MX 10 b.\na. MX 10 c.\na. MX 5 d.\na. MX 20 e.")
		r := w.resolver(ns1)
		seen := map[string]int{}
		for range 200 {
			mx, err := r.LookupMX(t.Context(), "a")
			require.NoError(t, err)
			require.Len(t, mx, 4)
			seen[mx[0].Host+mx[1].Host+mx[2].Host+mx[3].Host]++
		}
		require.Len(t, seen, 2)
		require.Contains(t, seen, "d.b.c.e.")
		require.Contains(t, seen, "d.c.b.e.")
	})
}

func TestOneFamilyIsEnough(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		d := w.serve(ns1, zoneText)
		d.SetFailure("mail.example.com", mailtest.ServFail, "AAAA")
		d.SetFailure("backup.example.com", mailtest.ServFail, "AAAA")
		d.SetFailure("example.com", mailtest.Timeout, "A")
		r := w.resolver(ns1)
		ips, err := r.LookupNetIP(t.Context(), "ip", "mail.example.com")
		require.NoError(t, err)
		require.Len(t, ips, 2)
		_, err = r.LookupNetIP(t.Context(), "ip6", "backup.example.com")
		require.Equal(t, "temporary", class(t, err))
		_, err = r.LookupCNAME(t.Context(), "example.com")
		require.Equal(t, "timeout", class(t, err))
		_, err = r.LookupHost(t.Context(), "example.com")
		require.Equal(t, "timeout", class(t, err), "not found of one family proves nothing")
	})
}

func TestReservedNamesAreAnsweredWithoutAQuery(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		r := w.resolver("192.0.2.99:53") // where nobody is
		ctx := t.Context()
		for _, name := range []string{"localhost", "LOCALHOST.", "a.localhost"} {
			hosts, err := r.LookupHost(ctx, name)
			require.NoError(t, err)
			require.Equal(t, []string{"127.0.0.1", "::1"}, hosts)
			a, err := r.Lookup(ctx, name, "MX")
			require.NoError(t, err)
			require.Empty(t, a.Records)
			require.False(t, a.NXDomain)
		}
		for _, addr := range []string{"127.0.0.1", "::1"} {
			names, err := r.LookupAddr(ctx, addr)
			require.NoError(t, err)
			require.Equal(t, []string{"localhost."}, names)
		}
		for _, name := range []string{"invalid", "a.invalid", "x.onion", "192.0.2.1", "2001:db8::1", "::", "fe80::a"} {
			a, err := r.Lookup(ctx, name, "A")
			require.NoError(t, err, name)
			require.True(t, a.NXDomain, name)
			_, err = r.LookupMX(ctx, name)
			require.Equal(t, "not found", class(t, err))
		}
		hosts, err := r.LookupHost(ctx, "192.0.2.1")
		require.NoError(t, err)
		require.Equal(t, []string{"192.0.2.1"}, hosts)
		ips, err := r.LookupNetIP(ctx, "ip6", "2001:DB8::1")
		require.NoError(t, err)
		require.Equal(t, []netip.Addr{netip.MustParseAddr("2001:db8::1")}, ips)
		for network, host := range map[string]string{"ip6": "192.0.2.1", "ip4": "2001:db8::1"} {
			_, err = r.LookupNetIP(ctx, network, host)
			require.Equal(t, "not found", class(t, err))
		}
		_, err = r.LookupNetIP(ctx, "tcp", "mail.example.com")
		require.Equal(t, "permanent", class(t, err))
		for _, addr := range []string{"", "mail.example.com", "fe80::1%eth0", "192.0.2.256"} {
			_, err = r.LookupAddr(ctx, addr)
			require.Equal(t, "permanent", class(t, err))
		}
		_, err = r.LookupTXT(ctx, "example.com")
		require.Equal(t, "temporary", class(t, err), "while other names need the server")
	})
}

func TestImpossibleNamesAreNotFoundWithoutAQuery(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		r := w.resolver("192.0.2.99:53")
		label := strings.Repeat("a", 63)
		for _, name := range []string{
			"", "..", ".a", "a..b", "A..b", ".A", "a..", label + "a.example", label + "A.example",
			strings.Repeat(label+".", 4), strings.Repeat("a.", 126) + "ab", strings.Repeat("a", 5000), strings.Repeat("A", 5000),
			"a\r\nb", "a\x00b", "a\x7fb", "\xff", "bü\u2024cher.example", "xn--ü.example", "ü_x.example", "a\\", "1א.example",
			strings.Repeat("例", 20_000),
		} {
			_, err := r.LookupTXT(t.Context(), name)
			require.Equal(t, "not found", class(t, err), "%q", name)
			_, err = r.Lookup(t.Context(), name, "TXT")
			require.Equal(t, "not found", class(t, err), "%q", name)
		}
		for _, name := range []string{
			".", "a", "a.", strings.Repeat("a.", 126) + "a", strings.Repeat(label+".", 3) + label[:61], "a b.example", "a/b.example",
			"!#$%&'*+-/=?^_`{|}~.example", "a\\.b.example", "A\\032.example", "例え。テスト", "faß.example", "_dmarc.אב.example",
		} {
			_, err := r.LookupTXT(t.Context(), name)
			require.Equal(t, "temporary", class(t, err), "%q", name)
		}
	})
}

func TestNamesWithOddOctetsAreFound(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.serve(ns1, `a\032b.example. TXT "space"`+"\n"+`a\.b.example. TXT "dot"`+"\n"+`xn--r8jz45g.xn--zckzah. TXT "kana"`)
		r := w.resolver(ns1)
		for name, want := range map[string]string{
			"A b.example": "space", "a\\032b.example.": "space", "a\\.B.example": "dot", "a\\046b.example": "dot", "例え。テスト": "kana",
		} {
			txt, err := r.LookupTXT(t.Context(), name)
			require.NoError(t, err, "%q", name)
			require.Equal(t, []string{want}, txt)
		}
	})
}
