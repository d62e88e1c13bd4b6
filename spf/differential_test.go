package spf_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	oracle "blitiri.com.ar/go/spf"
	"github.com/mailbricks/mailbricks/spf"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// oracleDNS is a zone as the other implementation wants it.
type oracleDNS struct{ zone }

func (o oracleDNS) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	var out []net.IPAddr
	var missing error
	for _, network := range []string{"ip4", "ip6"} {
		addrs, err := o.zone.LookupNetIP(ctx, network, host)
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

func genName(t *rapid.T) string {
	return fmt.Sprintf("d%d.example.com", rapid.IntRange(0, 7).Draw(t, "name"))
}

func genAddr4(t *rapid.T) string {
	return fmt.Sprintf("192.0.2.%d", rapid.IntRange(0, 7).Draw(t, "v4"))
}
func genAddr6(t *rapid.T) string {
	return fmt.Sprintf("2001:db8::%d", rapid.IntRange(0, 7).Draw(t, "v6"))
}

// genTerm draws one valid term. Left out is what the other implementation does not do: syntax errors behind a match,
// %{p}, slashes in names, empty parts of macros.
func genTerm(t *rapid.T) string {
	qualifier := rapid.SampledFrom([]string{"", "+", "-", "~", "?"}).Draw(t, "qualifier")
	domain := rapid.SampledFrom([]string{"", "", ":" + genName(t), ":%{d}", ":" + "%{l}.example.com"}).Draw(t, "domain")
	cidr := rapid.SampledFrom([]string{"", "", "/30", "//126", "/31//127", "/0", "//0"}).Draw(t, "cidr")
	switch rapid.SampledFrom([]string{"a", "mx", "ip4", "ip6", "include", "exists", "ptr", "all", "other"}).Draw(t, "kind") {
	case "a":
		return qualifier + "a" + domain + cidr
	case "mx":
		return qualifier + "MX" + domain + cidr
	case "ip4":
		return qualifier + "ip4:" + genAddr4(t) + rapid.SampledFrom([]string{"", "/32", "/30", "/0"}).Draw(t, "bits")
	case "ip6":
		return qualifier + "ip6:" + genAddr6(t) + rapid.SampledFrom([]string{"", "/128", "/126", "/0"}).Draw(t, "bits")
	case "include":
		return qualifier + "include:" + genName(t)
	case "exists":
		return qualifier + "exists:" + rapid.SampledFrom([]string{genName(t), "%{l}.%{o2}", "%{h}", "%{i1r}.%{v}.%{d}"}).Draw(t, "exists")
	case "ptr":
		return qualifier + "ptr" + domain
	case "all":
		return qualifier + "all"
	}
	return rapid.SampledFrom([]string{"x=y", "moo.cow=man:dog/cat", "exp=" + genName(t), ""}).Draw(t, "modifier")
}

func genZone(t *rapid.T) zone {
	z := zone{}
	for i := range 8 {
		records := map[string][]string{}
		if rapid.IntRange(0, 9).Draw(t, "kind of name") > 1 {
			terms := rapid.SliceOfN(rapid.Custom(genTerm), 0, 6).Draw(t, "terms")
			if rapid.Bool().Draw(t, "redirect") {
				terms = append(terms, "redirect="+genName(t))
			}
			rec := strings.Join(append([]string{"v=spf1"}, terms...), " ")
			if strings.Count(rec, "exp=") > 1 {
				rec = strings.ReplaceAll(rec, "exp=", "y=")
			}
			records["TXT"] = []string{"unrelated", rec}
		}
		if rapid.Bool().Draw(t, "has addresses") {
			records["A"], records["AAAA"] = []string{genAddr4(t)}, []string{genAddr6(t)}
		}
		if rapid.Bool().Draw(t, "has mx") {
			records["MX"] = []string{"host.example.com"}
		}
		if rapid.IntRange(0, 19).Draw(t, "broken") == 0 {
			records["*"] = []string{"TIMEOUT"}
		}
		z[fmt.Sprintf("d%d.example.com", i)] = records
	}
	z["host.example.com"] = map[string][]string{"A": {genAddr4(t)}, "AAAA": {genAddr6(t)}}
	z[arpa(netip.MustParseAddr(genAddr4(t)))] = map[string][]string{"PTR": {genName(t)}}
	z[arpa(netip.MustParseAddr(genAddr6(t)))] = map[string][]string{"PTR": {genName(t)}}
	return z
}

func TestAgreesWithAnotherImplementation(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		z := genZone(t)
		ip := netip.MustParseAddr(rapid.SampledFrom([]string{genAddr4(t), genAddr6(t)}).Draw(t, "ip"))
		helo := genName(t)
		from := rapid.SampledFrom([]string{"d3", "x"}).Draw(t, "local") + "@" + genName(t)

		want, reason := oracle.CheckHostWithSender(ip.AsSlice(), helo, from,
			oracle.WithResolver(oracleDNS{z}), oracle.WithContext(context.Background()))
		got := spf.Check(context.Background(), z, spf.Client{IP: ip, Helo: helo, From: from})
		require.Equal(t, string(want), got.Result.String(), "%v %s %s\n%v\ntheirs: %v\nours: %v", ip, helo, from, z, reason, got.Err)
	})
}
