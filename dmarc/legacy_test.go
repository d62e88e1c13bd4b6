package dmarc_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/publicsuffix"
)

// RFC 7489 §6.6.3: two names at most, and what each record says.
func TestPolicyDiscoveryByList(t *testing.T) {
	t.Parallel()
	const reject, none = "v=DMARC1; p=reject; sp=quarantine", "v=DMARC1; p=none"
	for _, c := range []struct {
		name   string
		z      zone
		author string
		asked  string
		result dmarc.Result
		domain string // of the record
		policy dmarc.Policy
	}{
		{"own record: p", zone{"_dmarc.a.example.co.uk": {reject}}, "a.example.co.uk", "_dmarc.a.example.co.uk.", dmarc.Fail, "a.example.co.uk", dmarc.PolicyReject},
		{"organizational record: sp", zone{"_dmarc.example.co.uk": {reject}}, "a.b.example.co.uk", "_dmarc.a.b.example.co.uk. _dmarc.example.co.uk.", dmarc.Fail, "example.co.uk", dmarc.PolicyQuarantine},
		{"organizational domain itself: p", zone{"_dmarc.example.co.uk": {reject}}, "example.co.uk", "_dmarc.example.co.uk.", dmarc.Fail, "example.co.uk", dmarc.PolicyReject},
		{"no record", zone{"_dmarc.co.uk": {reject}, "_dmarc.b.example.co.uk": {reject}}, "a.b.example.co.uk", "_dmarc.a.b.example.co.uk. _dmarc.example.co.uk.", dmarc.None, "", 0},
		{"names with many labels", zone{}, strings.Repeat("a.", 100) + "example.co.uk", "_dmarc." + strings.Repeat("a.", 100) + "example.co.uk. _dmarc.example.co.uk.", dmarc.None, "", 0},
		{"mail of a public suffix", zone{"_dmarc.co.uk": {reject}}, "co.uk", "_dmarc.co.uk.", dmarc.Fail, "co.uk", dmarc.PolicyReject},
		{"several records end it", zone{"_dmarc.a.example.com": {none, none}, "_dmarc.example.com": {reject}}, "a.example.com", "_dmarc.a.example.com.", dmarc.None, "", 0},
		{"several organizational records", zone{"_dmarc.example.com": {none, reject}}, "a.example.com", "_dmarc.a.example.com. _dmarc.example.com.", dmarc.None, "", 0},
		{"other records do not", zone{"_dmarc.a.example.com": {"v=spf1 -all", "x"}, "_dmarc.example.com": {reject}}, "a.example.com", "_dmarc.a.example.com. _dmarc.example.com.", dmarc.Fail, "example.com", dmarc.PolicyQuarantine},
		{"psd, np and t are no tags", zone{"_dmarc.example.com": {reject + "; np=none; t=y; psd=y"}}, "ghost.example.com", "_dmarc.ghost.example.com. _dmarc.example.com.", dmarc.Fail, "example.com", dmarc.PolicyQuarantine},
		{"nor do wrong values of theirs matter", zone{"_dmarc.example.com": {reject + "; np=what"}}, "a.example.com", "_dmarc.a.example.com. _dmarc.example.com.", dmarc.Fail, "example.com", dmarc.PolicyQuarantine},
		{"no p, but rua", zone{"_dmarc.example.com": {"v=DMARC1; sp=reject; rua=mailto:a@example.com"}}, "a.example.com", "_dmarc.a.example.com. _dmarc.example.com.", dmarc.Fail, "example.com", dmarc.PolicyNone},
		{"no p at all", zone{"_dmarc.example.com": {"v=DMARC1; psd=y"}}, "example.com", "_dmarc.example.com.", dmarc.PermError, "example.com", 0},
		{"neither", zone{"_dmarc.example.com": {"v=DMARC1; sp=reject"}}, "a.example.com", "_dmarc.a.example.com. _dmarc.example.com.", dmarc.PermError, "example.com", 0},
		{"the DNS fails", zone{"_dmarc.example.com": {"TIMEOUT"}}, "a.example.com", "_dmarc.a.example.com. _dmarc.example.com.", dmarc.TempError, "", 0},
	} {
		s := &spy{zone: c.z}
		e := &dmarc.Evaluator{Resolver: s, PublicSuffixes: publicsuffix.List}
		v := e.Evaluate(t.Context(), dmarc.Message{From: []string{"x@" + c.author}, SPF: dmarc.SPF{Domain: "example.net", Pass: true}})
		require.Equal(t, []any{c.result, c.domain, c.policy}, []any{v.Result, v.RecordDomain, v.Policy}, c.name)
		require.Equal(t, dmarc.PublicSuffixes, v.Discovery, c.name)
		require.Equal(t, c.asked, s.asked(), c.name)
		require.False(t, v.TestMode || v.SampledOut, c.name)
	}
}

// Alignment asks the DNS nothing: 1,000 identifiers, one or two questions.
func TestAlignmentByList(t *testing.T) {
	t.Parallel()
	s := &spy{zone: zone{"_dmarc.example.co.uk": {"v=DMARC1; p=reject"}, "_dmarc.mail.example.co.uk": {"v=DMARC1; p=reject; psd=n"}}}
	e := &dmarc.Evaluator{Resolver: s, PublicSuffixes: publicsuffix.List}
	m := dmarc.Message{From: []string{"x@a.example.co.uk"}, SPF: dmarc.SPF{Domain: "other.co.uk", Pass: true}}
	for i := range 1000 {
		m.DKIM = append(m.DKIM, dmarc.DKIM{Domain: fmt.Sprintf("d%d.co.uk", i), Pass: true})
	}
	v := e.Evaluate(t.Context(), m)
	require.Equal(t, []any{dmarc.Fail, "example.co.uk"}, []any{v.Result, v.OrgDomain}, "the public suffix is not shared")
	m.DKIM = append(m.DKIM, dmarc.DKIM{Domain: "b.mail.example.co.uk", Pass: true})
	v = e.Evaluate(t.Context(), m)
	require.Equal(t, []any{dmarc.Pass, false, true}, []any{v.Result, v.SPFAligned, v.DKIMAligned})
	require.Equal(t, []dmarc.Identifier{{Method: "dkim", Domain: "b.mail.example.co.uk"}}, v.Aligned, "psd=n is no tag")
	require.Len(t, s.names, 4)
}

// RFC 7489 §6.6.4.
func TestSampling(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		tags     string
		selected bool
		asks     int // times that the sample is drawn for "pct"
		policy   dmarc.Policy
		out      bool
	}{
		{"p=reject; pct=25", true, 25, dmarc.PolicyReject, false},
		{"p=reject; pct=25", false, 25, dmarc.PolicyQuarantine, true},
		{"p=quarantine; pct=0", false, 0, dmarc.PolicyNone, true},
		{"p=none; pct=25", false, -1, dmarc.PolicyNone, false},
		{"p=reject; pct=100", false, -1, dmarc.PolicyReject, false},
		{"p=reject", false, -1, dmarc.PolicyReject, false},
		{"p=reject; pct=half", false, -1, dmarc.PolicyReject, false},
	} {
		asked := -1
		e := &dmarc.Evaluator{
			Resolver: zone{"_dmarc.example.com": {"v=DMARC1; " + c.tags}}, PublicSuffixes: publicsuffix.List,
			Sample: func(percent int) bool { asked = percent; return c.selected },
		}
		v := e.Evaluate(t.Context(), dmarc.Message{From: []string{"x@example.com"}})
		require.Equal(t, []any{dmarc.Fail, c.policy, c.policy, c.out, c.asks}, []any{v.Result, v.Policy, v.Disposition, v.SampledOut, asked}, "%+v", c)
		v = e.Evaluate(t.Context(), dmarc.Message{From: []string{"x@example.com"}, SPF: dmarc.SPF{Domain: "example.com", Pass: true}})
		require.Equal(t, []any{dmarc.Pass, false}, []any{v.Result, v.SampledOut}, "%+v", c)

		e.PublicSuffixes = nil // RFC 9989 has no such tag
		v = e.Evaluate(t.Context(), dmarc.Message{From: []string{"x@example.com"}})
		require.False(t, v.SampledOut, "%+v", c)
	}
}

// Without a Sample it is left to chance, in about the proportion asked for.
func TestSamplingAtRandom(t *testing.T) {
	t.Parallel()
	count := func(tags string) (rejected int) {
		e := &dmarc.Evaluator{Resolver: zone{"_dmarc.example.com": {"v=DMARC1; p=reject; " + tags}}, PublicSuffixes: publicsuffix.List}
		for range 2000 {
			if e.Evaluate(t.Context(), dmarc.Message{From: []string{"x@example.com"}}).Disposition == dmarc.PolicyReject {
				rejected++
			}
		}
		return rejected
	}
	require.Zero(t, count("pct=0"))
	require.Equal(t, 2000, count("pct=100"))
	require.InDelta(t, 600, count("pct=30"), 200) // ten standard deviations
}

// fixed is a list that answers the same to all.
type fixed string

func (f fixed) PublicSuffix(string) string { return string(f) }

// A list that answers nonsense counts as one without a rule.
func TestListsThatAnswerNonsense(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{"", "uk", ".", "xample.com", "a.b.example.com", ".com", "com."} {
		org, err := (&dmarc.Evaluator{Resolver: zone{}, PublicSuffixes: fixed(suffix)}).OrganizationalDomain(t.Context(), "b.example.com")
		require.NoError(t, err)
		require.Equal(t, "example.com", org, suffix)
	}
	org, err := (&dmarc.Evaluator{Resolver: zone{}, PublicSuffixes: fixed("b.example.com")}).OrganizationalDomain(t.Context(), "b.example.com")
	require.NoError(t, err)
	require.Equal(t, "b.example.com", org)
}
