package dmarc_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// RFC 9989 §4.10: eight questions at most.
func TestTreeWalkAsksEightNames(t *testing.T) {
	t.Parallel()
	s := &spy{}
	v := eval(t, s, "x@a.b.c.d.e.f.g.h.i.j.mail.example.com")
	require.Equal(t, []any{dmarc.None, dmarc.TreeWalk}, []any{v.Result, v.Discovery})
	require.Equal(t, "_dmarc.a.b.c.d.e.f.g.h.i.j.mail.example.com. _dmarc.g.h.i.j.mail.example.com. _dmarc.h.i.j.mail.example.com. "+
		"_dmarc.i.j.mail.example.com. _dmarc.j.mail.example.com. _dmarc.mail.example.com. _dmarc.example.com. _dmarc.com.", s.asked())

	for labels, questions := range map[int]int{1: 1, 2: 2, 7: 7, 8: 8, 9: 8, 10: 8, 120: 8} {
		s := &spy{}
		eval(t, s, "x@"+strings.Repeat("a.", labels-1)+"com")
		require.Len(t, s.names, questions, "%d labels", labels)
	}
	s = &spy{}
	eval(t, s, "x@"+strings.Repeat("a.", 123)+"example") // 253 octets: no room for "_dmarc."
	require.Len(t, s.names, 7)
}

// RFC 9989 §5.1.8: a record at a name that the walk leaves out is never found; one at the author domain is.
func TestDeepZoneCut(t *testing.T) {
	t.Parallel()
	s := &spy{zone: zone{"_dmarc.example.com": {"v=DMARC1; p=reject"}, "_dmarc.b.c.d.e.f.g.example.com": {"v=DMARC1; p=none; psd=n"}}}
	v := eval(t, s, "x@mail.a.b.c.d.e.f.g.example.com")
	require.Equal(t, []any{dmarc.Fail, dmarc.PolicyReject, "example.com"}, []any{v.Result, v.Disposition, v.RecordDomain})
	require.Equal(t, []string{
		"_dmarc.mail.a.b.c.d.e.f.g.example.com.", "_dmarc.c.d.e.f.g.example.com.", "_dmarc.d.e.f.g.example.com.", "_dmarc.e.f.g.example.com.",
		"_dmarc.f.g.example.com.", "_dmarc.g.example.com.", "_dmarc.example.com.", "_dmarc.com.",
	}, s.names)
	require.Equal(t, dmarc.Pass, eval(t, s, "x@mail.a.b.c.d.e.f.g.example.com", "spf:c.d.e.f.g.example.com").Result)
	require.Equal(t, dmarc.Fail, eval(t, s, "x@mail.a.b.c.d.e.f.g.example.com", "spf:b.c.d.e.f.g.example.com").Result, "walks from there do find it")

	s.zone["_dmarc.mail.a.b.c.d.e.f.g.example.com"] = []string{"v=DMARC1; p=quarantine"}
	v = eval(t, s, "x@mail.a.b.c.d.e.f.g.example.com")
	require.Equal(t, []any{dmarc.Fail, dmarc.PolicyQuarantine, "mail.a.b.c.d.e.f.g.example.com"}, []any{v.Result, v.Disposition, v.RecordDomain})
}

// Where the organizational domain below a public suffix is among the names left out, there is no ninth question for it.
func TestNoNinthQuestion(t *testing.T) {
	t.Parallel()
	s := &spy{zone: zone{"_dmarc.c.d.e.f.g.h.com": {"v=DMARC1; p=reject; psd=y; sp=quarantine"}, "_dmarc.b.c.d.e.f.g.h.com": {"v=DMARC1; p=none"}}}
	v := eval(t, s, "x@x.a.b.c.d.e.f.g.h.com")
	require.Equal(t, []any{dmarc.Fail, dmarc.PolicyQuarantine, "c.d.e.f.g.h.com", "b.c.d.e.f.g.h.com"}, []any{v.Result, v.Policy, v.RecordDomain, v.OrgDomain})
	require.Equal(t, "_dmarc.x.a.b.c.d.e.f.g.h.com. _dmarc.c.d.e.f.g.h.com.", s.asked())
}

// The examples at the end of RFC 9989 §4.10.2, then Appendix B.4, then what they leave open.
func TestOrganizationalDomain(t *testing.T) {
	t.Parallel()
	const rec, yes, no = "v=DMARC1; p=none", "v=DMARC1; p=none; psd=y", "v=DMARC1; p=none; psd=n"
	b42 := "_dmarc.a.b.c.d.e.f.g.h.i.j.k.example.com. _dmarc.g.h.i.j.k.example.com. _dmarc.h.i.j.k.example.com. _dmarc.i.j.k.example.com. " +
		"_dmarc.j.k.example.com. _dmarc.k.example.com. _dmarc.example.com. _dmarc.com."
	for _, c := range []struct {
		name         string
		z            zone
		domain, want string
		asked        string // when it matters
	}{
		{"§4.10.2, first", zone{"_dmarc.mail.example.com": {rec}, "_dmarc.example.com": {rec}}, "a.mail.example.com", "example.com",
			"_dmarc.a.mail.example.com. _dmarc.mail.example.com. _dmarc.example.com. _dmarc.com."},
		{"§4.10.2, psd=n", zone{"_dmarc.mail.example.com": {no}, "_dmarc.example.com": {rec}}, "a.mail.example.com", "mail.example.com", "_dmarc.a.mail.example.com. _dmarc.mail.example.com."},
		{"§4.10.2, psd=y", zone{"_dmarc.com": {yes}}, "a.mail.example.com", "example.com", "_dmarc.a.mail.example.com. _dmarc.mail.example.com. _dmarc.example.com. _dmarc.com."},
		{"§4.10.2, rule 2", zone{"_dmarc.mail.example.com": {rec}, "_dmarc.example.com": {yes}}, "mail.example.com", "mail.example.com", "_dmarc.mail.example.com. _dmarc.example.com."},
		{"§4.10.2, nothing", zone{}, "a.mail.example.com", "a.mail.example.com", ""},
		{"B.4.1", zone{"_dmarc.signing.example.com": {rec}, "_dmarc.example.com": {rec}}, "example.com", "example.com", "_dmarc.example.com. _dmarc.com."},
		{"B.4.1", zone{"_dmarc.signing.example.com": {rec}, "_dmarc.example.com": {rec}}, "signing.example.com", "example.com", "_dmarc.signing.example.com. _dmarc.example.com. _dmarc.com."},
		{"B.4.2", zone{"_dmarc.signing.example.com": {rec}, "_dmarc.example.com": {rec}}, "a.b.c.d.e.f.g.h.i.j.k.example.com", "example.com", b42},
		{"B.4.3", zone{"_dmarc.giant.bank.example": {rec}, "_dmarc.bank.example": {yes}}, "giant.bank.example", "giant.bank.example", "_dmarc.giant.bank.example. _dmarc.bank.example."},
		{"B.4.3", zone{"_dmarc.giant.bank.example": {rec}, "_dmarc.bank.example": {yes}}, "mail.giant.bank.example", "giant.bank.example", ""},
		{"B.4.3", zone{"_dmarc.giant.bank.example": {rec}, "_dmarc.bank.example": {yes}}, "mail.mega.bank.example", "mega.bank.example", "_dmarc.mail.mega.bank.example. _dmarc.mega.bank.example. _dmarc.bank.example."},
		{"§11.8: a suffix without psd=y", zone{"_dmarc.mail.example.com": {rec}, "_dmarc.com": {rec}}, "mail.example.com", "com", ""},
		{"§11.8: psd=n against that", zone{"_dmarc.example.com": {no}, "_dmarc.com": {rec}}, "mail.example.com", "example.com", ""},
		{"the walk starts at psd=y", zone{"_dmarc.bank.example": {yes}, "_dmarc.example": {rec}}, "bank.example", "bank.example", "_dmarc.bank.example."},
		{"the walk starts at psd=n", zone{"_dmarc.bank.example": {no}, "_dmarc.example": {yes}}, "bank.example", "bank.example", "_dmarc.bank.example."},
		{"psd=u is the default", zone{"_dmarc.bank.example": {rec + "; psd=u"}, "_dmarc.example": {rec}}, "bank.example", "example", ""},
		{"a wrong psd is too", zone{"_dmarc.bank.example": {rec + "; psd=no"}, "_dmarc.example": {rec}}, "bank.example", "example", ""},
		{"a record without a policy counts", zone{"_dmarc.example.com": {"v=DMARC1"}}, "a.example.com", "example.com", ""},
		{"the labels left out count", zone{"_dmarc.c.d.e.f.g.h.com": {yes}}, "x.a.b.c.d.e.f.g.h.com", "b.c.d.e.f.g.h.com", "_dmarc.x.a.b.c.d.e.f.g.h.com. _dmarc.c.d.e.f.g.h.com."},
		{"eight labels, psd=y at the parent", zone{"_dmarc.b.c.d.e.f.g.com": {yes}}, "a.b.c.d.e.f.g.com", "a.b.c.d.e.f.g.com", ""},
		{"several records are discarded", zone{"_dmarc.example.com": {rec, rec}, "_dmarc.a.example.com": {rec}}, "a.example.com", "a.example.com", ""},
		{"several with psd=n as well", zone{"_dmarc.b.example.com": {no, no}, "_dmarc.example.com": {rec}}, "a.b.example.com", "example.com", ""},
		{"other texts are discarded first", zone{"_dmarc.example.com": {"v=spf1", rec, "v=DMARC2"}}, "A.Example.com.", "example.com", ""},
		{"a wildcard's texts", zone{"_dmarc.a.example.com": {"v=spf1 -all"}, "_dmarc.example.com": {"v=spf1 -all"}}, "a.example.com", "a.example.com", ""},
		{"U-labels", zone{"_dmarc.xn--bcher-kva.example": {rec}}, "a.bücher.example", "xn--bcher-kva.example", ""},
	} {
		s := &spy{zone: c.z}
		got, err := (&dmarc.Evaluator{Resolver: s}).OrganizationalDomain(t.Context(), c.domain)
		require.NoError(t, err, c.name)
		require.Equal(t, c.want, got, "%s: %v %s", c.name, c.z, c.domain)
		if c.asked != "" {
			require.Equal(t, c.asked, s.asked(), c.name)
		}
	}
	_, err := (&dmarc.Evaluator{Resolver: zone{"_dmarc.com": {"TIMEOUT"}}}).OrganizationalDomain(t.Context(), "example.com")
	require.ErrorContains(t, err, `look-up of "_dmarc.com"`)
	_, err = (&dmarc.Evaluator{}).OrganizationalDomain(t.Context(), "exa mple")
	require.Error(t, err)
}

// model is RFC 9989 §4.10 and §4.10.2 as the text has them, with all names numbered and asked for first.
type model struct {
	targets []string // in the order of the questions, up to the one that stops
	org     string
	policy  string // the domain of the record for an author domain; empty: none
}

func newModel(z zone, domain string) model {
	single := func(name string) (tags string, ok bool) {
		var records []string
		for _, txt := range z["_dmarc."+name] {
			if strings.HasPrefix(txt, "v=DMARC1") {
				records = append(records, txt)
			}
		}
		if len(records) != 1 {
			return "", false
		}
		return records[0], true
	}
	labels := strings.Split(domain, ".")
	slices.Reverse(labels) // label 1 first
	name := func(n int) string {
		part := slices.Clone(labels[:n])
		slices.Reverse(part)
		return strings.Join(part, ".")
	}
	counts := []int{len(labels)}
	for n := min(len(labels)-1, 7); n > 0; n-- {
		counts = append(counts, n)
	}
	var m model
	var found []int
	for _, n := range counts {
		m.targets = append(m.targets, name(n))
		tags, ok := single(name(n))
		if !ok {
			continue
		}
		found = append(found, n)
		if strings.Contains(tags, "psd=n") || strings.Contains(tags, "psd=y") {
			break
		}
	}
	m.org = domain
	psd := ""
	if len(found) > 0 {
		last := found[len(found)-1] // only this one can have psd=n or psd=y
		tags, _ := single(name(last))
		if strings.Contains(tags, "psd=y") && last != len(labels) {
			m.org, psd = name(last+1), name(last)
		} else {
			m.org = name(last)
		}
	}
	for _, candidate := range []string{domain, m.org, psd} {
		if _, ok := single(candidate); ok && slices.Contains(m.targets, candidate) {
			m.policy = candidate
			break
		}
	}
	return m
}

func TestWalkIsTheModels(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		labels := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "com"}), 1, 14).Draw(t, "labels")
		domain := strings.Join(labels, ".")
		z := zone{}
		for i := range labels {
			z["_dmarc."+strings.Join(labels[i:], ".")] = rapid.SliceOfN(rapid.SampledFrom([]string{
				"v=DMARC1; p=none", "v=DMARC1; p=none; psd=y", "v=DMARC1; p=none; psd=n", "v=DMARC1; p=none; psd=u", "v=spf1 -all",
			}), 0, 2).Draw(t, "records")
		}
		want := newModel(z, domain)
		s := &spy{zone: z}
		org, err := (&dmarc.Evaluator{Resolver: s}).OrganizationalDomain(t.Context(), domain)
		require.NoError(t, err)
		require.Equal(t, want.org, org)
		require.Equal(t, "_dmarc."+strings.Join(want.targets, ". _dmarc.")+".", s.asked())
		require.LessOrEqual(t, len(s.names), 8)

		s = &spy{zone: z}
		v := (&dmarc.Evaluator{Resolver: s}).Evaluate(t.Context(), dmarc.Message{From: []string{"x@" + domain}})
		require.Equal(t, want.policy, v.RecordDomain)
		require.Equal(t, want.policy != "", v.Result == dmarc.Fail)
		require.LessOrEqual(t, len(s.names), 8)

		other := rapid.SampledFrom([]string{"x." + domain, "b.com", "com", strings.Join(labels[len(labels)/2:], ".")}).Draw(t, "other")
		v = eval2(t, s, domain, other)
		aligned := want.policy != "" && newModel(z, other).org == want.org || want.policy != "" && other == domain
		require.Equal(t, aligned, v.Result == dmarc.Pass, "%s and %s in %v", domain, other, z)
	})
}

// eval2 evaluates mail of author that id has signed.
func eval2(t *rapid.T, r dmarc.Resolver, author, id string) dmarc.Verdict {
	return (&dmarc.Evaluator{Resolver: r}).Evaluate(t.Context(), dmarc.Message{From: []string{"x@" + author}, DKIM: []dmarc.DKIM{{Domain: id, Pass: true}}})
}
