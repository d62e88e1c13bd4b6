package dmarc_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/publicsuffix"
)

// wild is a zone in which "*.x" answers for every name below x that the zone does not have (RFC 4592).
type wild struct{ zone }

func (w wild) LookupTXT(ctx context.Context, name string) ([]string, error) {
	name = strings.TrimSuffix(name, ".")
	if _, ok := w.zone[name]; !ok {
		for rest := name; rest != ""; {
			_, rest, _ = strings.Cut(rest, ".")
			if records, ok := w.zone["*."+rest]; ok {
				return records, nil
			}
		}
	}
	return w.zone.LookupTXT(ctx, name)
}

// destinations gives the addresses for aggregate reports of domain's record with this rua, in one line.
func destinations(t *testing.T, r dmarc.Resolver, domain, rua string) (string, error) {
	t.Helper()
	record, err := dmarc.ParseRecord("v=DMARC1; p=none; rua=" + rua + "; ruf=" + rua)
	require.NoError(t, err)
	got, err := (&dmarc.Evaluator{Resolver: r}).AggregateDestinations(t.Context(), domain, record)
	return strings.Join(got, " "), err
}

// RFC 9990, "Verifying External Destinations", with its own examples first, and RFC 9989 Appendix B.2.
func TestAggregateDestinations(t *testing.T) {
	t.Parallel()
	const org = "v=DMARC1; p=none"
	blue := func(answer ...string) zone {
		return zone{"_dmarc.blue.example.com": {org}, "_dmarc.red.example.net": {org}, "blue.example.com._report._dmarc.red.example.net": answer}
	}
	for _, c := range []struct {
		name, domain, rua string
		z                 zone
		want              string
	}{
		{"the example: it agrees", "blue.example.com", "mailto:reports@red.example.net", blue("v=DMARC1"), "reports@red.example.net"},
		{"it agrees with a semicolon", "blue.example.com", "mailto:reports@red.example.net", blue("v=DMARC1;"), "reports@red.example.net"},
		{"it overrides", "blue.example.com", "mailto:reports@red.example.net", blue("v=DMARC1; rua=mailto:other@red.example.net"), "other@red.example.net"},
		{"it names several", "blue.example.com", "mailto:reports@red.example.net", blue("v=DMARC1; rua=mailto:a@red.example.net,mailto:b@RED.example.net.,mailto:a@red.example.net"), "a@red.example.net b@red.example.net"},
		{"it does not answer", "blue.example.com", "mailto:reports@red.example.net", zone{"_dmarc.blue.example.com": {org}}, ""},
		{"it says something else", "blue.example.com", "mailto:reports@red.example.net", blue("v=spf1 -all", "yes", " v=DMARC1"), ""},
		{"one of its records will do", "blue.example.com", "mailto:reports@red.example.net", blue("v=spf1 -all", "v=DMARC1", "v=DMARC1; rua=mailto:x@red.example.net"), "x@red.example.net"},
		{"the override is elsewhere: neither", "blue.example.com", "mailto:reports@red.example.net", blue("v=DMARC1; rua=mailto:victim@example.org"), ""},
		{"even below it", "blue.example.com", "mailto:reports@red.example.net", blue("v=DMARC1; rua=mailto:victim@sub.red.example.net"), ""},
		{"one of the overrides is elsewhere", "blue.example.com", "mailto:reports@red.example.net", blue("v=DMARC1; rua=mailto:a@red.example.net,mailto:victim@example.org"), ""},
		{"one of its records is about elsewhere", "blue.example.com", "mailto:reports@red.example.net", blue("v=DMARC1", "v=DMARC1; rua=mailto:victim@example.org"), ""},
		{"the override is of no use here", "blue.example.com", "mailto:reports@red.example.net", blue("v=DMARC1; rua=https://red.example.net/dmarc"), ""},
		{"the override is no URI", "blue.example.com", "mailto:reports@red.example.net", blue("v=DMARC1; rua=reports"), "reports@red.example.net"},
		{"ruf overrides nothing", "blue.example.com", "mailto:reports@red.example.net", blue("v=DMARC1; ruf=mailto:victim@example.org"), "reports@red.example.net"},
		{"a wildcard agrees to all", "blue.example.com", "mailto:reports@example.org", zone{"*._report._dmarc.example.org": {"v=DMARC1"}}, "reports@example.org"},
		{"a wildcard for all names does not", "blue.example.com", "mailto:reports@example.org", zone{"*.example.org": {"v=spf1 -all"}}, ""},
		{"a suffix is no part of a label", "example.com", "mailto:reports@notexample.com", zone{"_dmarc.example.com": {org}}, ""},

		{"B.2.1: within the domain", "example.com", "mailto:dmarc-feedback@example.com", zone{"_dmarc.example.com": {org}}, "dmarc-feedback@example.com"},
		{"B.2.3: a third party", "example.com", "mailto:auth-reports@thirdparty.example.net", zone{"example.com._report._dmarc.thirdparty.example.net": {"v=DMARC1;"}}, "auth-reports@thirdparty.example.net"},
		{"B.2.5: within the organization, and a third party", "test.example.com", "mailto:dmarc-feedback@example.com, mailto:tld-test@thirdparty.example.net",
			zone{"_dmarc.example.com": {org}, "_dmarc.test.example.com": {org}, "test.example.com._report._dmarc.thirdparty.example.net": {"v=DMARC1"}},
			"dmarc-feedback@example.com tld-test@thirdparty.example.net"},
		{"a sister", "a.example.com", "mailto:x@b.example.com", zone{"_dmarc.example.com": {org}}, "x@b.example.com"},
		{"a sister of its own, psd=n", "a.example.com", "mailto:x@b.example.com", zone{"_dmarc.example.com": {org}, "_dmarc.b.example.com": {org + "; psd=n"}}, ""},
		{"a public suffix's neighbour", "example.com", "mailto:x@example.com, mailto:x@example2.com", zone{"_dmarc.com": {org + "; psd=y"}, "_dmarc.example.com": {org}}, "x@example.com"},
		{"U-labels", "bücher.example", "mailto:x@example.org", zone{"xn--bcher-kva.example._report._dmarc.example.org": {"v=DMARC1"}}, "x@example.org"},

		{"no addresses", "example.com", "https://example.com/x", zone{}, ""},
		{"each once", "example.com", "mailto:x@example.com,mailto:x@EXAMPLE.com,mailto:y@example.com", zone{}, "x@example.com y@example.com"},
		{"four are looked at", "example.com", "https://x.example, mailto:a@example.com,mailto:b@example.com,mailto:c@example.com,mailto:d@example.com,mailto:e@example.com", zone{}, "a@example.com b@example.com c@example.com d@example.com"},
		{"and four instead", "blue.example.com", "mailto:reports@red.example.net",
			blue("v=DMARC1; rua=mailto:a@red.example.net,mailto:b@red.example.net,mailto:c@red.example.net,mailto:d@red.example.net,mailto:e@red.example.net"),
			"a@red.example.net b@red.example.net c@red.example.net d@red.example.net"},
		{"too long a name to ask for", strings.Repeat("abcdefghi.", 20) + "example.com", "mailto:x@" + strings.Repeat("abcdefghi.", 4) + "example.net", zone{}, ""},
	} {
		got, err := destinations(t, wild{c.z}, c.domain, c.rua)
		require.NoError(t, err, c.name)
		require.Equal(t, c.want, got, c.name)
	}
	_, err := destinations(t, zone{}, "exa mple", "mailto:x@example.com")
	require.Error(t, err)
	none, err := (&dmarc.Evaluator{Resolver: zone{}}).AggregateDestinations(t.Context(), "example.com", nil)
	require.NoError(t, err)
	require.Empty(t, none, "the record of a verdict may be nil")
}

// RFC 9991 and RFC 9989 Appendix B.2.4.
func TestFailureDestinations(t *testing.T) {
	t.Parallel()
	z := zone{"example.com._report._dmarc.thirdparty.example.net": {
		"v=DMARC1; rua=mailto:aggregate-reports@thirdparty.example.net; ruf=mailto:failure-reports@thirdparty.example.net",
	}}
	e := &dmarc.Evaluator{Resolver: z}
	r, err := dmarc.ParseRecord("v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com; ruf=mailto:auth-reports@thirdparty.example.net")
	require.NoError(t, err)
	got, err := e.FailureDestinations(t.Context(), "example.com", r)
	require.NoError(t, err)
	require.Equal(t, []string{"failure-reports@thirdparty.example.net"}, got)
	got, err = e.AggregateDestinations(t.Context(), "example.com", r)
	require.NoError(t, err)
	require.Equal(t, []string{"dmarc-feedback@example.com"}, got)

	r, err = dmarc.ParseRecord("v=DMARC1; p=none; psd=y; ruf=mailto:x@example.com; rua=mailto:x@example.com")
	require.NoError(t, err)
	got, err = e.FailureDestinations(t.Context(), "example.com", r)
	require.NoError(t, err)
	require.Empty(t, got)
	got, err = e.AggregateDestinations(t.Context(), "example.com", r)
	require.NoError(t, err)
	require.Equal(t, []string{"x@example.com"}, got)
}

// What the DNS cannot say now is told, and does not hide the rest.
func TestDestinationsWhenTheDNSFails(t *testing.T) {
	t.Parallel()
	z := zone{
		"_dmarc.example.com": {"v=DMARC1; p=none"}, "example.com._report._dmarc.down.example.net": {"TIMEOUT"},
		"example.com._report._dmarc.up.example.net": {"v=DMARC1"}, "_dmarc.slow.com": {"TIMEOUT"},
	}
	got, err := destinations(t, z, "example.com", "mailto:a@down.example.net,mailto:b@down.example.net,mailto:c@up.example.net,mailto:d@example.com")
	require.Equal(t, "c@up.example.net d@example.com", got)
	require.ErrorContains(t, err, "down.example.net")
	var dns *net.DNSError
	require.ErrorAs(t, err, &dns)

	got, err = destinations(t, z, "slow.com", "mailto:a@b.slow.com,mailto:a@slow.com")
	require.Equal(t, "a@slow.com", got)
	require.Error(t, err)
}

// However long the list, questions are few: the walks, and one for each of four hosts.
func TestDestinationsAskLittle(t *testing.T) {
	t.Parallel()
	var rua []string
	deep := strings.Repeat("x.", 20)
	for i := range 30 {
		rua = append(rua, fmt.Sprintf("mailto:r@%sd%d.com", deep, i), fmt.Sprintf("mailto:s@%sd%d.com", deep, i))
	}
	s := &spy{zone: zone{"_dmarc.com": {"v=DMARC1; p=none"}}} // as bad as it gets: all may be of one organization
	got, err := destinations(t, s, "a.b.c.d.e.f.g.h.i.com", strings.Join(rua, ","))
	require.NoError(t, err)
	require.NotEmpty(t, got)
	require.LessOrEqual(t, len(s.names), 8+2*8)

	s = &spy{}
	var others []string
	for i := range 30 {
		others = append(others, fmt.Sprintf("mailto:r@%sd%d.net", deep, i))
	}
	_, err = destinations(t, s, "a.b.c.d.e.f.g.h.i.com", strings.Join(others, ","))
	require.NoError(t, err)
	require.Len(t, s.names, 4, "one for each of four hosts, of another top-level domain")
}

// RFC 7489 §7.1 with a public suffix list.
func TestDestinationsByList(t *testing.T) {
	t.Parallel()
	s := &spy{}
	e := &dmarc.Evaluator{Resolver: s, PublicSuffixes: publicsuffix.List, MaxDestinations: 2}
	r, err := dmarc.ParseRecord("v=DMARC1; p=none; rua=mailto:a@b.example.co.uk, mailto:c@other.co.uk, mailto:d@example.co.uk")
	require.NoError(t, err)
	got, err := e.AggregateDestinations(t.Context(), "a.example.co.uk", r)
	require.NoError(t, err)
	require.Equal(t, []string{"a@b.example.co.uk"}, got)
	require.Equal(t, "a.example.co.uk._report._dmarc.other.co.uk.", s.asked())
}

func FuzzDestinations(f *testing.F) {
	f.Add("mailto:a@red.example.net, mailto:b@example.com", "v=DMARC1; rua=mailto:c@red.example.net", "v=DMARC1")
	f.Add("mailto:a@red.example.net!10m", "v=DMARC1; rua=https://red.example.net", "v=DMARC1; psd=n")
	f.Fuzz(func(t *testing.T, rua, answer, org string) {
		r, err := dmarc.ParseRecord("v=DMARC1; rua=" + rua)
		if err != nil {
			t.Skip("what was made up is no DMARC record (RFC 9989 §4.7)")
		}
		s := &spy{zone: zone{"blue.example.com._report._dmarc.red.example.net": {answer}, "_dmarc.example.com": {org}}}
		got, err := (&dmarc.Evaluator{Resolver: s}).AggregateDestinations(t.Context(), "blue.example.com", r)
		if err != nil || len(s.names) > 8+4*9 {
			t.Fatalf("%v after %q", err, s.asked())
		}
		for _, a := range got {
			if _, domain, _ := strings.Cut(a, "@"); domain != "red.example.net" && domain != "example.com" && !strings.HasSuffix(domain, ".example.com") {
				t.Fatalf("reports for blue.example.com go to %q", a)
			}
		}
	})
}
