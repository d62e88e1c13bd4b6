package dmarc_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/publicsuffix"
)

func errIs(err, target error) bool { return errors.Is(err, target) }

// eval evaluates a message from one author with what passed: "spf:domain", "dkim:domain", and with a "?" behind it what
// could not be checked.
func eval(t *testing.T, r dmarc.Resolver, from string, passed ...string) dmarc.Verdict {
	t.Helper()
	m := dmarc.Message{From: []string{from}}
	for _, p := range passed {
		method, domain, _ := strings.Cut(p, ":")
		domain, temp := strings.CutSuffix(domain, "?")
		if method == "spf" {
			m.SPF = dmarc.SPF{Domain: domain, Pass: !temp, TempError: temp}
		} else {
			m.DKIM = append(m.DKIM, dmarc.DKIM{Domain: domain, Pass: !temp, TempError: temp})
		}
	}
	return (&dmarc.Evaluator{Resolver: r}).Evaluate(t.Context(), m)
}

// RFC 9989 Table 1 and Appendix B.1.
func TestAlignment(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		tags, author, id string
		want             dmarc.Result
	}{
		{"", "news.example.com", "dkim:foo.example.com", dmarc.Pass},
		{"adkim=s", "news.example.com", "dkim:foo.example.com", dmarc.Fail},
		{"adkim=s", "news.example.com", "dkim:news.example.com", dmarc.Pass},
		{"adkim=s;aspf=s", "news.example.com", "spf:News.Example.com.", dmarc.Pass},
		{"aspf=s", "news.example.com", "dkim:foo.example.com", dmarc.Pass},
		{"", "news.example.com", "dkim:foo.example.net", dmarc.Fail},
		{"", "example.com", "spf:example.com", dmarc.Pass},       // B.1.1 example 1
		{"", "example.com", "spf:child.example.com", dmarc.Pass}, // B.1.1 example 2
		{"aspf=s", "example.com", "spf:child.example.com", dmarc.Fail},
		{"", "example.com", "spf:example.net", dmarc.Fail},        // B.1.1 example 3
		{"", "child.example.com", "dkim:example.com", dmarc.Pass}, // B.1.2 example 2
		{"", "example.com", "dkim:sample.net", dmarc.Fail},        // B.1.2 example 3
		{"", "example.com", "dkim:evilexample.com", dmarc.Fail},
		{"", "example.com", "dkim:com", dmarc.Fail},
		{"", "example.com", "dkim:", dmarc.Fail},
		{"", "example.com", "dkim:exa mple.com", dmarc.Fail},
	} {
		z := zone{"_dmarc.example.com": {"v=DMARC1;p=reject;" + c.tags}}
		v := eval(t, z, "x@"+c.author, c.id)
		require.Equal(t, c.want, v.Result, "%+v", c)
		require.Equal(t, c.author, v.AuthorDomain)
		require.Equal(t, "example.com", v.RecordDomain)
		require.Equal(t, dmarc.PolicyReject, v.Policy)
		if c.want == dmarc.Pass {
			require.Len(t, v.Aligned, 1)
			require.Equal(t, dmarc.PolicyNone, v.Disposition)
		} else {
			require.Equal(t, dmarc.PolicyReject, v.Disposition)
		}
	}
}

// RFC 9989 Appendix B.4 as messages.
func TestAppendixB4(t *testing.T) {
	t.Parallel()
	z := zone{"_dmarc.example.com": {"v=DMARC1; p=reject"}, "_dmarc.signing.example.com": {"v=DMARC1; p=none"}}
	v := eval(t, z, "x@example.com", "spf:example.com", "dkim:signing.example.com")
	require.Equal(t, dmarc.Pass, v.Result)
	require.Equal(t, []dmarc.Identifier{{Method: "spf", Domain: "example.com"}, {Method: "dkim", Domain: "signing.example.com"}}, v.Aligned)
	require.True(t, v.SPFAligned && v.DKIMAligned)

	v = eval(t, z, "x@a.b.c.d.e.f.g.h.i.j.k.example.com", "spf:example.com", "dkim:signing.example.com")
	require.Equal(t, []any{dmarc.Pass, "example.com", "example.com", 2}, []any{v.Result, v.RecordDomain, v.OrgDomain, len(v.Aligned)})

	z = zone{"_dmarc.giant.bank.example": {"v=DMARC1; p=reject"}, "_dmarc.bank.example": {"v=DMARC1; p=none; psd=y"}}
	v = eval(t, z, "x@giant.bank.example", "spf:mail.giant.bank.example", "dkim:mail.mega.bank.example")
	require.Equal(t, dmarc.Pass, v.Result)
	require.Equal(t, []dmarc.Identifier{{Method: "spf", Domain: "mail.giant.bank.example"}}, v.Aligned)
	require.True(t, v.SPFAligned && !v.DKIMAligned)
	v = eval(t, z, "x@giant.bank.example", "dkim:mail.mega.bank.example")
	require.Equal(t, []any{dmarc.Fail, dmarc.PolicyReject, "giant.bank.example"}, []any{v.Result, v.Disposition, v.RecordDomain})
}

func TestPolicyDiscovery(t *testing.T) {
	t.Parallel()
	const psd = "v=DMARC1; psd=y; p=reject; sp=quarantine; np=none"
	for _, c := range []struct {
		name         string
		z            zone
		author       string
		recordDomain string
		policy       dmarc.Policy
	}{
		{"own record: p", zone{"_dmarc.a.example.com": {"v=DMARC1;p=none;sp=reject;np=reject"}, "_dmarc.example.com": {"v=DMARC1;p=reject"}}, "a.example.com", "a.example.com", dmarc.PolicyNone},
		{"organizational record: sp", zone{"_dmarc.example.com": {"v=DMARC1;p=none;sp=reject"}}, "a.example.com", "example.com", dmarc.PolicyReject},
		{"organizational record without sp: p", zone{"_dmarc.example.com": {"v=DMARC1;p=quarantine"}}, "a.example.com", "example.com", dmarc.PolicyQuarantine},
		{"a record between is neither", zone{"_dmarc.b.example.com": {"v=DMARC1;p=none"}, "_dmarc.example.com": {"v=DMARC1;p=reject"}}, "a.b.example.com", "example.com", dmarc.PolicyReject},
		{"psd=n between is", zone{"_dmarc.b.example.com": {"v=DMARC1;p=none;psd=n"}, "_dmarc.example.com": {"v=DMARC1;p=reject"}}, "a.b.example.com", "b.example.com", dmarc.PolicyNone},
		{"public suffix", zone{"_dmarc.example": {psd}}, "a.b.example", "example", dmarc.PolicyQuarantine},
		{"public suffix of the organizational domain itself", zone{"_dmarc.example": {psd}}, "b.example", "example", dmarc.PolicyQuarantine},
		{"mail of the public suffix itself", zone{"_dmarc.example": {psd}}, "example", "example", dmarc.PolicyReject},
		{"several records count as none", zone{"_dmarc.a.example.com": {"v=DMARC1;p=none", "v=DMARC1;p=none"}, "_dmarc.example.com": {"v=DMARC1;p=reject"}}, "a.example.com", "example.com", dmarc.PolicyReject},
		{"test mode: reject becomes quarantine", zone{"_dmarc.example.com": {"v=DMARC1;p=reject;t=y"}}, "example.com", "example.com", dmarc.PolicyQuarantine},
		{"test mode: quarantine becomes none", zone{"_dmarc.example.com": {"v=DMARC1;p=reject;sp=quarantine;t=Y"}}, "a.example.com", "example.com", dmarc.PolicyNone},
		{"test mode: none stays", zone{"_dmarc.example.com": {"v=DMARC1;p=none;t=y"}}, "example.com", "example.com", dmarc.PolicyNone},
	} {
		names := map[string]bool{c.author: true}
		v := eval(t, knowing{zone: c.z, names: names}, "x@"+c.author, "spf:evil.example.net")
		require.Equal(t, []any{dmarc.Fail, c.recordDomain, c.policy, c.policy}, []any{v.Result, v.RecordDomain, v.Policy, v.Disposition}, c.name)
		require.Equal(t, strings.Contains(c.name, "becomes"), v.TestMode, c.name)
		require.NoError(t, v.Err)
	}
}

// RFC 9989 §4.7: np is for names that do not exist, below the domain of the record.
func TestNonexistentSubdomain(t *testing.T) {
	t.Parallel()
	z := zone{"_dmarc.example.com": {"v=DMARC1; p=none; sp=quarantine; np=reject"}, "real.example.com": {"v=spf1 -all"}}
	k := knowing{zone: z, names: map[string]bool{"real.example.com": true}, aliases: map[string]bool{"alias.example.com": true}}
	require.Equal(t, dmarc.PolicyQuarantine, eval(t, k, "x@real.example.com").Policy)
	require.Equal(t, dmarc.PolicyQuarantine, eval(t, k, "x@Alias.example.com").Policy, "a CNAME that leads nowhere")
	require.Equal(t, dmarc.PolicyReject, eval(t, k, "x@ghost.example.com").Policy)
	require.Equal(t, dmarc.PolicyNone, eval(t, k, "x@example.com").Policy, "the domain itself")

	// Without sp and np, p is for them all; without np, sp.
	z["_dmarc.example.com"] = []string{"v=DMARC1; p=reject"}
	require.Equal(t, dmarc.PolicyReject, eval(t, k, "x@ghost.example.com").Policy)
	z["_dmarc.example.com"] = []string{"v=DMARC1; p=none; sp=quarantine"}
	require.Equal(t, dmarc.PolicyQuarantine, eval(t, k, "x@ghost.example.com").Policy)

	// Faults leave it open; so does a resolver that cannot tell.
	z["_dmarc.example.com"] = []string{"v=DMARC1; p=none; sp=quarantine; np=reject"}
	k.err = errors.New("no answer")
	require.Equal(t, dmarc.TempError, eval(t, k, "x@ghost.example.com").Result)
	k.err = &net.DNSError{Err: "no such host", IsNotFound: true}
	require.Equal(t, dmarc.PolicyReject, eval(t, k, "x@ghost.example.com").Policy)
	require.Equal(t, dmarc.PolicyQuarantine, eval(t, z, "x@ghost.example.com").Policy)
}

// hosts is a zone with the methods of *net.Resolver by which a name's existence shows.
type hosts struct {
	zone
	addr, mx, ns string // the name that has such records
	err          error
}

func (h hosts) find(name, has string) error {
	if name == has+"." {
		return nil
	}
	if h.err != nil {
		return h.err
	}
	return &net.DNSError{Err: "no such host", IsNotFound: true}
}

func (h hosts) LookupNetIP(_ context.Context, _, name string) ([]netip.Addr, error) {
	if err := h.find(name, h.addr); err != nil {
		return nil, err
	}
	return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
}

func (h hosts) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	if err := h.find(name, h.mx); err != nil {
		return nil, err
	}
	return []*net.MX{}, &net.DNSError{Err: "DNS response contained records which contain invalid names"}
}

func (h hosts) LookupNS(_ context.Context, name string) ([]*net.NS, error) {
	if err := h.find(name, h.ns); err != nil {
		return nil, err
	}
	return []*net.NS{{Host: "ns."}}, nil
}

func TestExistenceByRecords(t *testing.T) {
	t.Parallel()
	z := zone{"_dmarc.example.com": {"v=DMARC1; p=none; np=reject"}, "txt.example.com": {"hello"}}
	h := hosts{zone: z, addr: "a.example.com", mx: "mx.example.com", ns: "ns.example.com"}
	for name, want := range map[string]dmarc.Policy{"a": 0, "mx": 0, "ns": 0, "txt": 0, "ghost": dmarc.PolicyReject} {
		require.Equal(t, want, eval(t, h, "x@"+name+".example.com").Policy, name)
	}
	h.err = &net.DNSError{Err: "server misbehaving", IsTemporary: true}
	require.Equal(t, dmarc.TempError, eval(t, h, "x@ghost.example.com").Result)
	require.Equal(t, dmarc.Fail, eval(t, h, "x@a.example.com").Result)
}

func TestInvalidRecords(t *testing.T) {
	t.Parallel()
	v := eval(t, zone{"_dmarc.example.com": {"v=DMARC1; p=rejekt"}}, "x@example.com", "spf:example.com")
	require.Equal(t, dmarc.PermError, v.Result)
	require.Equal(t, dmarc.PolicyNone, v.Disposition)
	require.ErrorIs(t, v.Err, dmarc.ErrInvalidRecord)

	// A public suffix domain that says no more than what it is does not spoil the mail of all domains below (RFC 9989 §4.7).
	z := zone{"_dmarc.com": {"v=DMARC1; psd=y"}}
	v = eval(t, z, "x@example.com")
	require.Equal(t, []any{dmarc.Fail, dmarc.PolicyNone, "com", nil}, []any{v.Result, v.Disposition, v.RecordDomain, v.Err})
	require.Equal(t, dmarc.Pass, eval(t, z, "x@example.com", "spf:example.com").Result)

	z = zone{"_dmarc.example.com": {"v=DMARC1; p=reject; sp=what; rua=mailto: admin@example.com"}}
	v = eval(t, z, "x@example.com")
	require.Equal(t, []any{dmarc.Fail, dmarc.PolicyNone}, []any{v.Result, v.Disposition})
	require.Equal(t, dmarc.Pass, eval(t, z, "x@example.com", "spf:example.com").Result)
}

func TestDNSErrors(t *testing.T) {
	t.Parallel()
	// While looking for the policy.
	for _, z := range []zone{{"_dmarc.a.example.com": {"TIMEOUT"}}, {"_dmarc.example.com": {"TIMEOUT"}}, {"_dmarc.com": {"TIMEOUT"}}} {
		v := eval(t, z, "x@a.example.com", "spf:a.example.com")
		require.Equal(t, []any{dmarc.TempError, dmarc.PolicyNone}, []any{v.Result, v.Disposition}, z)
		require.Error(t, v.Err)
	}
	// While looking for an organizational domain: only when it matters (RFC 9989 §5.3.6).
	z := zone{"_dmarc.example.com": {"v=DMARC1;p=reject"}, "_dmarc.com": {"TIMEOUT"}}
	require.Equal(t, dmarc.Pass, eval(t, z, "x@example.com", "spf:example.com", "dkim:a.example.com").Result)
	require.Equal(t, dmarc.TempError, eval(t, z, "x@example.com", "spf:a.example.com").Result)
	require.Equal(t, dmarc.Fail, eval(t, z, "x@example.com", "spf:example.net").Result)
	require.Equal(t, dmarc.Fail, eval(t, z, "x@example.com").Result)
	wrapped := wrapping{zone{"_dmarc.example.com": {"v=DMARC1;p=reject"}}}
	require.Equal(t, dmarc.Fail, eval(t, wrapped, "x@a.example.com").Result)
}

// wrapping wraps the errors of a zone, as caches do.
type wrapping struct{ zone }

func (w wrapping) LookupTXT(ctx context.Context, name string) ([]string, error) {
	txts, err := w.zone.LookupTXT(ctx, name)
	if err != nil {
		err = fmt.Errorf("cache: %w", err)
	}
	return txts, err
}

// What SPF or DKIM could not check leaves the result open, as far as it would have been aligned.
func TestUncheckedIdentifiers(t *testing.T) {
	t.Parallel()
	z := zone{"_dmarc.example.com": {"v=DMARC1;p=reject"}, "_dmarc.strict.example": {"v=DMARC1;p=reject;aspf=s"}}
	for _, id := range []string{"spf:example.com?", "dkim:a.example.com?"} {
		v := eval(t, z, "x@example.com", id)
		require.Equal(t, dmarc.TempError, v.Result)
		require.ErrorIs(t, v.Err, dmarc.ErrUnchecked)
		require.Equal(t, dmarc.PolicyNone, v.Disposition)
		require.Equal(t, dmarc.Pass, eval(t, z, "x@example.com", id, "dkim:example.com").Result)
	}
	require.Equal(t, dmarc.Fail, eval(t, z, "x@example.com", "dkim:example.net?").Result)
	require.Equal(t, dmarc.Fail, eval(t, z, "x@strict.example", "spf:a.strict.example?").Result)
}

// RFC 9989 §11.5 and §4.4.
func TestSeveralAuthors(t *testing.T) {
	t.Parallel()
	z := zone{
		"_dmarc.bank.example": {"v=DMARC1;p=reject"}, "_dmarc.shop.example": {"v=DMARC1;p=quarantine"}, "_dmarc.club.example": {"v=DMARC1;p=none"},
		"_dmarc.slow.example": {"TIMEOUT"},
	}
	e := &dmarc.Evaluator{Resolver: z}
	for _, c := range []struct {
		name   string
		from   []string
		spf    string
		want   dmarc.Result
		author string
		policy dmarc.Policy
		err    error
	}{
		{"the strictest failure decides", []string{"a@club.example, b@bank.example, c@shop.example"}, "club.example", dmarc.Fail, "bank.example", dmarc.PolicyReject, dmarc.ErrManyAuthors},
		{"a failure beats an error", []string{"a@slow.example, b@club.example"}, "", dmarc.Fail, "club.example", dmarc.PolicyNone, dmarc.ErrManyAuthors},
		{"an error beats a pass", []string{"a@slow.example, b@club.example"}, "club.example", dmarc.TempError, "slow.example", dmarc.PolicyNone, nil},
		{"no policy beats a pass", []string{"a@club.example, b@other.example"}, "club.example", dmarc.None, "other.example", dmarc.PolicyNone, dmarc.ErrManyAuthors},
		{"one domain, many addresses", []string{"a@club.example, b@CLUB.example"}, "club.example", dmarc.Pass, "club.example", dmarc.PolicyNone, nil},
		{"a doubled field never passes", []string{"a@club.example", "a@club.example"}, "club.example", dmarc.PermError, "club.example", dmarc.PolicyNone, dmarc.ErrManyFrom},
		{"a doubled field does fail", []string{"x@other.example", "a@bank.example"}, "other.example", dmarc.Fail, "bank.example", dmarc.PolicyReject, dmarc.ErrManyFrom},
		{"a malformed field never passes", []string{"a@club.example@club.example"}, "club.example", dmarc.PermError, "club.example", dmarc.PolicyNone, dmarc.ErrMalformedFrom},
		{"a malformed field does fail", []string{"<a@bank.example> <a@other.example>"}, "other.example", dmarc.Fail, "bank.example", dmarc.PolicyReject, dmarc.ErrMalformedFrom},
		{"no author", []string{"undisclosed:;"}, "club.example", dmarc.PermError, "", dmarc.PolicyNone, dmarc.ErrNoAuthor},
		{"no field", nil, "club.example", dmarc.PermError, "", dmarc.PolicyNone, dmarc.ErrNoAuthor},
		{"too many", []string{"a@1.example, a@2.example, a@3.example, a@4.example, a@bank.example"}, "club.example", dmarc.PermError, "1.example", dmarc.PolicyNone, dmarc.ErrTooManyAuthors},
	} {
		v := e.Evaluate(t.Context(), dmarc.Message{From: c.from, SPF: dmarc.SPF{Domain: c.spf, Pass: c.spf != ""}})
		require.Equal(t, []any{c.want, c.author, c.policy}, []any{v.Result, v.AuthorDomain, v.Disposition}, c.name)
		if c.err != nil {
			require.ErrorIs(t, v.Err, c.err, c.name)
		}
	}
	wide := &dmarc.Evaluator{Resolver: z, MaxAuthorDomains: 5}
	require.Equal(t, dmarc.Fail, wide.Evaluate(t.Context(), dmarc.Message{From: []string{"a@1.example, a@2.example, a@3.example, a@4.example, a@bank.example"}}).Result)
}

// However many signatures a message has, questions are only asked for domains that could be aligned, and once each.
func TestQuestionsAreBounded(t *testing.T) {
	t.Parallel()
	s := &spy{zone: zone{"_dmarc.example.com": {"v=DMARC1;p=reject"}}}
	m := dmarc.Message{From: []string{"x@a.example.com"}}
	for i := range 1000 {
		m.DKIM = append(m.DKIM, dmarc.DKIM{Domain: fmt.Sprintf("d%d.example.net", i), Pass: true},
			dmarc.DKIM{Domain: fmt.Sprintf("d%d.com", i), Pass: true}, dmarc.DKIM{Domain: fmt.Sprintf("d%d.example.com", i)})
	}
	v := (&dmarc.Evaluator{Resolver: s}).Evaluate(t.Context(), m)
	require.Equal(t, dmarc.Fail, v.Result)
	require.Equal(t, "_dmarc.a.example.com. _dmarc.example.com. _dmarc.com.", s.asked())
}

// Identifiers within the author's organization cost questions: at most 16 are looked at, those that passed first.
func TestIdentifiersAreLimited(t *testing.T) {
	t.Parallel()
	s := &spy{zone: zone{"_dmarc.example.com": {"v=DMARC1;p=reject"}}}
	m := dmarc.Message{From: []string{"x@example.com"}}
	deep := strings.Repeat("x.", 20)
	for i := range 1000 {
		name := fmt.Sprintf("%sd%d.example.com", deep, i)
		m.DKIM = append(m.DKIM, dmarc.DKIM{Domain: name, TempError: true})
		s.zone[fmt.Sprintf("_dmarc.d%d.example.com", i)] = []string{"v=DMARC1; p=none; psd=n"} // an organization of its own
	}
	for limit, walks := range map[int]int{0: 16, 3: 3, 100: 100} {
		s.names = nil
		e := &dmarc.Evaluator{Resolver: s, MaxIdentifiers: limit}
		require.Equal(t, dmarc.Fail, e.Evaluate(t.Context(), m).Result)
		require.Len(t, s.names, 2+6*walks, "two for the author, for each identifier those of its own")

		passing := m
		passing.DKIM = append(slices.Clone(m.DKIM), dmarc.DKIM{Domain: "a.example.com", Pass: true})
		require.Equal(t, dmarc.Pass, e.Evaluate(t.Context(), passing).Result)
	}
}

// An author domain that many share costs one discovery; four of them are looked at.
func TestQuestionsForManyAuthors(t *testing.T) {
	t.Parallel()
	s := &spy{}
	var from []string
	for i := range 1000 {
		from = append(from, fmt.Sprintf("a@%sd%d.example", strings.Repeat("x.", 20), i))
	}
	v := (&dmarc.Evaluator{Resolver: s}).Evaluate(t.Context(), dmarc.Message{From: []string{strings.Join(from, ", ")}})
	require.Equal(t, dmarc.PermError, v.Result)
	require.ErrorIs(t, v.Err, dmarc.ErrTooManyAuthors)
	require.Len(t, s.names, 4*7+1)
	s.names = nil
	(&dmarc.Evaluator{Resolver: s}).Evaluate(t.Context(), dmarc.Message{From: from})
	require.Len(t, s.names, 4*7+1, "as many fields")
}

// slow never answers.
type slow struct{}

func (slow) LookupTXT(ctx context.Context, _ string) ([]string, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestTimeLimit(t *testing.T) {
	t.Parallel()
	for limit, want := range map[time.Duration]time.Duration{0: dmarc.DefaultMaxTime, time.Second: time.Second, -1: time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			start := time.Now()
			v := (&dmarc.Evaluator{Resolver: slow{}, MaxTime: limit}).Evaluate(ctx, dmarc.Message{From: []string{"a@example.com"}})
			require.Equal(t, dmarc.TempError, v.Result)
			require.ErrorIs(t, v.Err, context.DeadlineExceeded)
			require.Equal(t, want, time.Since(start))
		})
	}
}

func FuzzEvaluate(f *testing.F) {
	f.Add("a@x.example.com", "v=DMARC1; p=reject; sp=none", "v=DMARC1; psd=y", "x.example.com", true, false)
	f.Add("a@b, c@example.com", "v=DMARC1; np=reject; t=y; p=quarantine", "", "com", false, false)
	f.Add("a@x.example.com", "v=DMARC1; pct=3; p=quarantine", "", "b.example.com", false, true)
	f.Fuzz(func(t *testing.T, from, org, psd, id string, pass, legacy bool) {
		s := &spy{zone: zone{"_dmarc.example.com": {org}, "_dmarc.com": {psd, "x"}}}
		e := &dmarc.Evaluator{Resolver: s}
		if legacy {
			e.PublicSuffixes = publicsuffix.List
		}
		v := e.Evaluate(context.Background(), dmarc.Message{
			From: []string{from}, SPF: dmarc.SPF{Domain: id, Pass: pass}, DKIM: []dmarc.DKIM{{Domain: id, TempError: !pass}},
		})
		if v.Result == dmarc.Pass && (!pass || len(v.Aligned) == 0 || v.Record == nil || !v.SPFAligned) {
			t.Fatalf("pass without reason: %+v", v)
		}
		if v.Result != dmarc.Fail && v.Disposition != dmarc.PolicyNone {
			t.Fatalf("disposition without failure: %+v", v)
		}
		if (v.Result == dmarc.TempError || v.Result == dmarc.PermError) && v.Err == nil {
			t.Fatalf("no reason: %+v", v)
		}
		if limit := dmarc.DefaultMaxAuthorDomains * 8 * 2; len(s.names) > limit {
			t.Fatalf("%d questions: %s", len(s.names), s.asked())
		}
	})
}

func BenchmarkEvaluate(b *testing.B) {
	z := zone{"_dmarc.example.com": {"v=DMARC1; p=reject; rua=mailto:dmarc@example.com"}}
	m := dmarc.Message{
		From: []string{"Ann <ann@news.example.com>"}, SPF: dmarc.SPF{Domain: "bounces.example.com", Pass: true}, DKIM: []dmarc.DKIM{{Domain: "example.net", Pass: true}},
	}
	for name, e := range map[string]*dmarc.Evaluator{"treewalk": {Resolver: z}, "psl": {Resolver: z, PublicSuffixes: publicsuffix.List}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if v := e.Evaluate(context.Background(), m); v.Result != dmarc.Pass {
					b.Fatal(v.Result)
				}
			}
		})
	}
}
