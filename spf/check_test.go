package spf_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailbricks/mailbricks/spf"
	"github.com/stretchr/testify/require"
)

func txt(records ...string) map[string][]string { return map[string][]string{"TXT": records} }

// record is a zone in which example.com has one SPF record.
func record(rec string) zone { return zone{"example.com": txt(rec)} }

func check(t *testing.T, z zone, ip, from string) spf.Verdict {
	t.Helper()
	return spf.Check(t.Context(), z, spf.Client{IP: netip.MustParseAddr(ip), Helo: "mail.example.com", From: from})
}

// RFC 7208 Appendix A.1.
func TestAppendixA1(t *testing.T) {
	t.Parallel()
	base := zone{
		"example.com":     {"MX": {"mail-a.example.com", "mail-b.example.com"}, "A": {"192.0.2.10", "192.0.2.11"}},
		"amy.example.com": {"A": {"192.0.2.65"}}, "bob.example.com": {"A": {"192.0.2.66"}},
		"mail-a.example.com": {"A": {"192.0.2.129"}}, "mail-b.example.com": {"A": {"192.0.2.130"}},
		"www.example.com": {"CNAME": {"example.com"}},
		"example.org":     {"MX": {"mail-c.example.org"}}, "mail-c.example.org": {"A": {"192.0.2.140"}},
		"10.2.0.192.in-addr.arpa": {"PTR": {"example.com"}}, "65.2.0.192.in-addr.arpa": {"PTR": {"amy.example.com"}},
		"129.2.0.192.in-addr.arpa": {"PTR": {"mail-a.example.com"}}, "130.2.0.192.in-addr.arpa": {"PTR": {"mail-b.example.com"}},
		"140.2.0.192.in-addr.arpa": {"PTR": {"mail-c.example.org"}}, "4.0.0.10.in-addr.arpa": {"PTR": {"bob.example.com"}},
	}
	hosts := []string{"192.0.2.10", "192.0.2.11", "192.0.2.65", "192.0.2.66", "192.0.2.129", "192.0.2.130", "192.0.2.131", "192.0.2.140", "192.0.2.143", "10.0.0.4"}
	for rec, pass := range map[string]string{
		"v=spf1 +all":                          strings.Join(hosts, " "),
		"v=spf1 a -all":                        "192.0.2.10 192.0.2.11",
		"v=spf1 a:www.example.com -all":        "192.0.2.10 192.0.2.11",
		"v=spf1 a:example.org -all":            "",
		"v=spf1 mx -all":                       "192.0.2.129 192.0.2.130",
		"v=spf1 mx:example.org -all":           "192.0.2.140",
		"v=spf1 mx mx:example.org -all":        "192.0.2.129 192.0.2.130 192.0.2.140",
		"v=spf1 mx/30 mx:example.org/30 -all":  "192.0.2.129 192.0.2.130 192.0.2.131 192.0.2.140 192.0.2.143",
		"v=spf1 ptr -all":                      "192.0.2.10 192.0.2.65 192.0.2.129 192.0.2.130",
		"v=spf1 ip4:192.0.2.128/28 -all":       "192.0.2.129 192.0.2.130 192.0.2.131 192.0.2.140 192.0.2.143",
		"V=SPF1 IP4:192.0.2.128/28  -ALL ":     "192.0.2.129 192.0.2.130 192.0.2.131 192.0.2.140 192.0.2.143",
		"v=spf1 ip4:192.0.2.10 ?all":           "192.0.2.10",
		"v=spf1 -ip4:192.0.2.0/24 x=%{d} +all": "10.0.0.4",
	} {
		base["example.com"]["TXT"] = []string{rec}
		var passed []string
		for _, ip := range hosts {
			if check(t, base, ip, "x@example.com").Result == spf.Pass {
				passed = append(passed, ip)
			}
		}
		require.Equal(t, pass, strings.Join(passed, " "), rec)
	}
}

// RFC 7208 Appendix A.3 and A.4.
func TestAppendixA3A4(t *testing.T) {
	t.Parallel()
	z := zone{
		"example.com":                                      txt("v=spf1 include:mobile-users._spf.%{d} include:remote-users._spf.%{d} -all"),
		"mobile-users._spf.example.com":                    txt("v=spf1 exists:%{l1r+}.%{d}"),
		"remote-users._spf.example.com":                    txt("v=spf1 exists:%{ir}.%{l1r+}.%{d}"),
		"mary.mobile-users._spf.example.com":               {"A": {"127.0.0.2"}},
		"15.15.168.192.joel.remote-users._spf.example.com": {"A": {"127.0.0.2"}},
		"multi.example.com":                                txt("v=spf1 -include:ip4._spf.%{d} -include:ptr._spf.%{d} +all"),
		"ip4._spf.multi.example.com":                       txt("v=spf1 -ip4:192.0.2.0/24 +all"),
		"ptr._spf.multi.example.com":                       txt("v=spf1 -ptr:example.com +all"),
		"1.2.0.192.in-addr.arpa":                           {"PTR": {"a.example.com"}},
		"a.example.com":                                    {"A": {"192.0.2.1"}},
	}
	require.Equal(t, spf.Pass, check(t, z, "10.1.1.1", "mary+list@example.com").Result)
	require.Equal(t, spf.Pass, check(t, z, "192.168.15.15", "joel@example.com").Result)
	require.Equal(t, spf.Fail, check(t, z, "192.168.15.16", "joel@example.com").Result)
	require.Equal(t, spf.Pass, check(t, z, "192.0.2.1", "x@multi.example.com").Result)
	require.Equal(t, spf.Fail, check(t, z, "192.0.2.2", "x@multi.example.com").Result)
}

// RFC 7208 §7.4: what a macro expands to is the name that exists asks for.
func TestMacroExpansion(t *testing.T) {
	t.Parallel()
	const ip4, ip6 = "192.0.2.3", "2001:db8::cb01"
	for _, c := range []struct{ ip, macro, want string }{
		{ip4, "%{s}", "strong-bad@email.example.com"},
		{ip4, "%{o}", "email.example.com"},
		{ip4, "%{d}", "email.example.com"},
		{ip4, "%{d4}", "email.example.com"},
		{ip4, "%{d3}", "email.example.com"},
		{ip4, "%{d2}", "example.com"},
		{ip4, "%{d1}", "com"},
		{ip4, "%{dr}", "com.example.email"},
		{ip4, "%{d2r}", "example.email"},
		{ip4, "%{d127}", "email.example.com"},
		{ip4, "%{d99999999999999999999}", "email.example.com"},
		{ip4, "%{l}", "strong-bad"},
		{ip4, "%{l-}", "strong.bad"},
		{ip4, "%{lr}", "strong-bad"},
		{ip4, "%{lr-}", "bad.strong"},
		{ip4, "%{l1r-}", "strong"},
		{ip4, "%{S}", "strong-bad%40email.example.com"},
		{ip4, "%{h}", "mail.example.org"},
		{ip4, "%{p}", "mx.example.org"},
		{ip4, "%{i}.%%%_%-.x.com", "192.0.2.3.% %20.x.com"},
		{ip4, "%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"},
		{ip4, "%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"},
		{ip4, "%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"},
		{ip4, "%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"},
		{ip4, "%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"},
		{ip6, "%{ir}.%{v}._spf.%{d2}", "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com"},
	} {
		z := zone{
			"email.example.com":      txt("v=spf1 exists:" + c.macro),
			"3.2.0.192.in-addr.arpa": {"PTR": {"mx.example.org"}},
			"mx.example.org":         {"A": {ip4}},
		}
		v := spf.Check(t.Context(), z, spf.Client{IP: netip.MustParseAddr(c.ip), Helo: "mail.example.org", From: "strong-bad@email.example.com"})
		last := v.Lookups[len(v.Lookups)-1]
		require.Equal(t, "A", last.Type, c.macro)
		require.Equal(t, c.want, strings.ToLower(last.Name), c.macro)
	}
}

func TestEmptyPartsOfMacrosStay(t *testing.T) {
	t.Parallel()
	v := check(t, record("v=spf1 -all exp=%{l2-}.x.example.com"), "192.0.2.1", "a--b@example.com") // "" and "b"
	require.Equal(t, spf.Fail, v.Result)
	require.Len(t, v.Lookups, 1, "a name with an empty label is not asked for")
}

func TestSyntaxErrorsAnywhereArePermError(t *testing.T) {
	t.Parallel()
	for _, term := range []string{
		"foo", "all:x.com", "all/24", "-all=", "include", "include:", "include:com", "exists", "exists:x.com/24", "a:", "a/", "a/33",
		"a//129", "a/24//", "a/01", "a:x.com/-1", "a:x.1", "a:x.com-", "a:%", "a:%{", "a:%{d", "a:%{}", "a:%{x}", "a:%{d0}", "a:%{d1x}",
		"a:%{c}", "a:%{r}.x.com", "a:%{t}", "a:x.%{dr-!}", "a:%{d}com", "mx:x..com.", "ptr/24", "ptr:", "ip4", "ip4:", "ip4:1.2.3",
		"ip4:1.2.3.4/", "ip4:1.2.3.4/33", "ip4:01.2.3.4", "ip4:::1", "ip6", "ip6:1.2.3.4", "ip6:::1/129", "ip6:fe80::1%eth0",
		"redirect", "redirect=", "redirect=com", "redirect=%{", "exp=", "redirect:x.com", "-redirect=x.com", "1x=y", "x=%z", "x\x00=1",
		"redirect=x.com redirect=x.com", "exp=x.com exp=x.com", "++all", "+", "\tall", "a:\x80.com",
	} {
		if term == "mx:x..com." { // RFC 7208 §4.8: an empty label is valid syntax
			continue
		}
		v := check(t, record("v=spf1 +all "+term), "192.0.2.1", "x@example.com")
		require.Equal(t, spf.PermError, v.Result, "%q", term)
		require.ErrorIs(t, v.Err, spf.ErrSyntax, "%q", term)
	}
}

func TestIdentities(t *testing.T) {
	t.Parallel()
	z := zone{
		"l.example": txt("v=spf1 exists:%{l}.is.example -all"), "postmaster.is.example": {"A": {"127.0.0.2"}},
		"mail.example.org": txt("v=spf1 ip4:192.0.2.1 -all exp=why.example.org"), "why.example.org": txt("%{s} from %{i} at %{r}"),
		"xn--bcher-kva.example": txt("v=spf1 exists:%{l}.%{o}.x.com a:%{o} -all"), "bcher.example": {"A": {"192.0.2.1"}},
	}
	z["xn--bcher-kva.example"]["A"] = []string{"192.0.2.1"}
	checker := spf.Checker{Resolver: z, Hostname: "mx.example.com"}
	run := func(ip, helo, from string) spf.Verdict {
		return checker.Check(t.Context(), spf.Client{IP: netip.MustParseAddr(ip), Helo: helo, From: from})
	}

	v := run("192.0.2.1", "mail.example.org", "")
	require.Equal(t, []any{spf.Pass, spf.Helo, "mail.example.org", "ip4:192.0.2.1"}, []any{v.Result, v.Identity, v.Domain, v.Mechanism})
	v = run("192.0.2.2", "Mail.Example.org.", "")
	require.Equal(t, "postmaster@mail.example.org from 192.0.2.2 at mx.example.com", v.Explanation)
	require.Equal(t, "mail.example.org", v.Domain)
	require.Equal(t, "all", v.Mechanism)

	// The address is IPv4 although the socket was IPv6 (RFC 7208 §5).
	require.Equal(t, spf.Pass, run("::ffff:192.0.2.1", "mail.example.org", "").Result)

	// U-labels are looked up as A-labels; a term with a local-part beyond ASCII matches nothing (RFC 8616 §4).
	v = run("192.0.2.1", "x.example", "Zoë@bücher.example")
	require.Equal(t, []any{spf.Pass, "xn--bcher-kva.example", "a:%{o}"}, []any{v.Result, v.Domain, v.Mechanism})
	require.Len(t, v.Lookups, 2)
	v = run("192.0.2.1", "x.example", "zoe@BÜCHER.example")
	require.Equal(t, "zoe.xn--bcher-kva.example.x.com", v.Lookups[1].Name)

	// A sender without a local part is postmaster (RFC 7208 §4.3).
	for _, from := range []string{"l.example", "@l.example", "L.EXAMPLE"} {
		v = run("192.0.2.1", "elsewhere.example", from)
		require.Equal(t, []any{spf.Pass, spf.MailFrom, "l.example"}, []any{v.Result, v.Identity, v.Domain}, from)
		require.Equal(t, "postmaster.is.example", v.Lookups[1].Name, from)
	}

	// What has no domain gives none without a question.
	for _, c := range [][2]string{
		{"[192.0.2.1]", ""}, {"localhost", ""}, {"", ""}, {"192.0.2.1", ""}, {"..", ""}, {"a..b", ""}, {"exa mple.com", ""},
		{"ok.example", "root"}, {"ok.example", "FBI"}, {"ok.example", "@"}, {"ok.example", "a@"}, {"ok.example", "a@com"}, {"ok.example", "a@[192.0.2.1]"},
		{"ok.example", "a@x." + strings.Repeat("a", 64) + ".com"}, {"ok.example", "a@" + strings.Repeat("a.", 127) + "com"},
		{"ok.example", "a@1א.example"}, {"1א.example", ""}, {"ok.example", "a@" + strings.Repeat("例", 5000) + ".com"},
		{"ok.example", "a@\xff\xfe.com"}, {"ok.example", "a@x\r\n.com"},
	} {
		v := run("192.0.2.1", c[0], c[1])
		require.Equal(t, spf.None, v.Result, "%q", c)
		require.ErrorIs(t, v.Err, spf.ErrNoDomain, "%q", c)
		require.Empty(t, v.Lookups)
		require.Empty(t, v.Domain)
	}
	v = checker.Check(t.Context(), spf.Client{Helo: "mail.example.org"})
	require.Equal(t, spf.None, v.Result)
	require.ErrorIs(t, v.Err, spf.ErrNoAddress)
	v = run("192.0.2.1", "mail.example.org", "x@nothing.example")
	require.Equal(t, spf.None, v.Result)
	require.ErrorIs(t, v.Err, spf.ErrNoRecord)
}

func TestLimitsAreFields(t *testing.T) {
	t.Parallel()
	z := zone{
		"example.com":       txt("v=spf1 a a:v1.example.com mx -all"),
		"mx.example.com":    txt("v=spf1 mx -all"),
		"ptr.example.com":   txt("v=spf1 ptr -all"),
		"m1.example.com":    {"A": {"192.0.2.1"}},
		"n1.example.com":    {"A": {"192.0.2.9"}},
		"self.example.com":  txt("v=spf1 include:self.example.com -all"),
		"n.ptr.example.com": {"A": {"192.0.2.9"}}, "9.2.0.192.in-addr.arpa": {"PTR": {"n1.example.com", "n.ptr.example.com"}},
	}
	z["example.com"]["MX"] = []string{"v2.example.com"}
	z["example.com"]["A"] = []string{"192.0.2.9"}
	z["mx.example.com"]["MX"] = []string{"m1.example.com", "m2.example.com"}
	for _, c := range []struct {
		checker spf.Checker
		from    string
		want    spf.Result
		err     error
	}{
		{spf.Checker{}, "x@example.com", spf.Fail, nil},
		{spf.Checker{MaxLookups: 3}, "x@example.com", spf.Fail, nil},
		{spf.Checker{MaxLookups: 2}, "x@example.com", spf.PermError, spf.ErrTooManyLookups},
		{spf.Checker{MaxLookups: -1}, "x@example.com", spf.PermError, spf.ErrTooManyLookups},
		{spf.Checker{MaxVoidLookups: 2}, "x@example.com", spf.Fail, nil},
		{spf.Checker{MaxVoidLookups: 1}, "x@example.com", spf.PermError, spf.ErrTooManyVoidLookups},
		{spf.Checker{MaxVoidLookups: -1}, "x@example.com", spf.PermError, spf.ErrTooManyVoidLookups},
		{spf.Checker{MaxMX: 2}, "x@mx.example.com", spf.Pass, nil},
		{spf.Checker{MaxMX: 1}, "x@mx.example.com", spf.PermError, spf.ErrTooManyMX},
		{spf.Checker{}, "x@self.example.com", spf.PermError, spf.ErrTooManyLookups},
	} {
		c.checker.Resolver = z
		v := c.checker.Check(t.Context(), spf.Client{IP: netip.MustParseAddr("192.0.2.1"), From: c.from})
		require.Equal(t, c.want, v.Result, "%+v %v", c.checker, v.Err)
		require.ErrorIs(t, v.Err, c.err)
	}
	for limit, want := range map[int]spf.Result{0: spf.Pass, 2: spf.Pass, 1: spf.Fail, -1: spf.Fail} {
		checker := spf.Checker{Resolver: z, MaxPTR: limit}
		require.Equal(t, want, checker.Check(t.Context(), spf.Client{IP: netip.MustParseAddr("192.0.2.9"), From: "x@ptr.example.com"}).Result)
	}
}

func TestExplanationIsCutAndClean(t *testing.T) {
	t.Parallel()
	z := zone{"example.com": txt("v=spf1 -all exp=why.example.com"), "why.example.com": txt(strings.Repeat("see %{l} ", 200))}
	v := check(t, z, "192.0.2.1", "a\r\nEvil: é\x00@example.com")
	require.Len(t, v.Explanation, spf.DefaultMaxExplanation)
	require.True(t, strings.HasPrefix(v.Explanation, "see a??Evil: ????see ") || strings.HasPrefix(v.Explanation, "see a??Evil: ??? see "), v.Explanation)
	checker := spf.Checker{Resolver: z, MaxExplanation: 5}
	require.Equal(t, "see b", checker.Check(t.Context(), spf.Client{IP: netip.MustParseAddr("192.0.2.1"), From: "b@example.com"}).Explanation)
	checker.MaxExplanation = -1
	require.Empty(t, checker.Check(t.Context(), spf.Client{IP: netip.MustParseAddr("192.0.2.1"), From: "b@example.com"}).Explanation)
}

func TestTimestampMacro(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		z := zone{"example.com": txt("v=spf1 -all exp=why.example.com"), "why.example.com": txt("%{t} %{C}")}
		require.Equal(t, fmt.Sprint(time.Now().Unix(), " 2001%3Adb8%3A%3A1"), check(t, z, "2001:db8::1", "a@example.com").Explanation)
	})
}

// faulty gives one error for every question of one type.
type faulty struct {
	zone
	txt, mx, addr, ptr error
}

func (f faulty) LookupTXT(ctx context.Context, name string) ([]string, error) {
	if f.txt != nil {
		return nil, f.txt
	}
	return f.zone.LookupTXT(ctx, name)
}

func (f faulty) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	if f.mx != nil {
		return nil, f.mx
	}
	return f.zone.LookupMX(ctx, name)
}

func (f faulty) LookupNetIP(ctx context.Context, network, name string) ([]netip.Addr, error) {
	if f.addr != nil {
		return nil, f.addr
	}
	return f.zone.LookupNetIP(ctx, network, name)
}

func (f faulty) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	if f.ptr != nil {
		return nil, f.ptr
	}
	return f.zone.LookupAddr(ctx, addr)
}

func TestResolverErrors(t *testing.T) {
	t.Parallel()
	z := zone{
		"example.com": txt("v=spf1 a mx ptr exists:x.example.com -all"), "m.example.com": {"A": {"192.0.2.7"}},
		"1.2.0.192.in-addr.arpa": {"PTR": {"x.example.com"}},
	}
	z["example.com"]["A"] = []string{"192.0.2.7"}
	z["example.com"]["MX"] = []string{"m.example.com"}
	missing := fmt.Errorf("cache: %w", &net.DNSError{Err: "no such host", IsNotFound: true})
	broken := fmt.Errorf("cache: %w", &net.DNSError{Err: "server misbehaving", IsTemporary: true})
	refused := &net.DNSError{Err: "server misbehaving"} // neither RCODE 0 nor 3
	other := errors.New("disk on fire")
	for _, c := range []struct {
		resolver faulty
		want     spf.Result
	}{
		{faulty{}, spf.Fail},
		{faulty{txt: missing}, spf.None},
		{faulty{txt: broken}, spf.TempError},
		{faulty{txt: refused}, spf.TempError},
		{faulty{txt: other}, spf.TempError},
		{faulty{mx: missing}, spf.Fail},
		{faulty{mx: broken}, spf.TempError},
		{faulty{addr: broken}, spf.TempError},
		{faulty{addr: other}, spf.TempError},
		{faulty{ptr: missing}, spf.Fail},
		{faulty{ptr: broken}, spf.Fail}, // RFC 7208 §5.5
		{faulty{addr: missing}, spf.PermError},
	} {
		c.resolver.zone = z
		v := spf.Check(t.Context(), c.resolver, spf.Client{IP: netip.MustParseAddr("192.0.2.1"), From: "x@example.com"})
		require.Equal(t, c.want, v.Result, "%+v %v", c.resolver, v.Err)
		require.Equal(t, c.want != spf.Fail, v.Err != nil)
	}
}

// picky answers like *net.Resolver where an answer has invalid names: the valid ones beside an error.
type picky struct{ zone }

func (p picky) LookupMX(context.Context, string) ([]*net.MX, error) {
	return []*net.MX{{Host: "m.example.com."}}, &net.DNSError{Err: "DNS response contained records which contain invalid names"}
}

func (p picky) LookupAddr(context.Context, string) ([]string, error) {
	return []string{}, &net.DNSError{Err: "DNS response contained records which contain invalid names"}
}

func TestAnswersWithInvalidNamesCount(t *testing.T) {
	t.Parallel()
	z := picky{zone{"example.com": txt("v=spf1 ptr mx -all"), "m.example.com": {"A": {"192.0.2.7"}}}}
	require.Equal(t, spf.Pass, spf.Check(t.Context(), z, spf.Client{IP: netip.MustParseAddr("192.0.2.7"), From: "x@example.com"}).Result)
}

// stuck never answers address questions.
type stuck struct{ zone }

func (stuck) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestTimeLimit(t *testing.T) {
	t.Parallel()
	for limit, want := range map[time.Duration]time.Duration{0: 20 * time.Second, time.Second: time.Second, -1: time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			start := time.Now()
			checker := spf.Checker{Resolver: stuck{record("v=spf1 ptr a -all")}, MaxTime: limit}
			v := checker.Check(ctx, spf.Client{IP: netip.MustParseAddr("192.0.2.1"), From: "x@example.com"})
			require.Equal(t, spf.TempError, v.Result)
			require.ErrorIs(t, v.Err, context.DeadlineExceeded)
			require.Equal(t, want, time.Since(start))
		})
	}
}

// deaf takes its time and looks at no context.
type deaf struct{ zone }

func (d deaf) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	time.Sleep(7 * time.Second)
	return nil, nil
}

func TestTimeLimitHoldsForADeafResolver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		checker := spf.Checker{Resolver: deaf{record("v=spf1 a a a a a a a a -all")}, MaxVoidLookups: 9}
		v := checker.Check(t.Context(), spf.Client{IP: netip.MustParseAddr("192.0.2.1"), From: "x@example.com"})
		require.Equal(t, spf.TempError, v.Result)
		require.Equal(t, 21*time.Second, time.Since(start))
	})
}

// A query must never be tried with a search list behind it.
func TestNamesAreAbsolute(t *testing.T) {
	t.Parallel()
	var names []string
	z := spyResolver{record("v=spf1 a mx exists:x.example.com. -all"), &names}
	spf.Check(t.Context(), z, spf.Client{IP: netip.MustParseAddr("192.0.2.1"), From: "x@Example.com"})
	require.Equal(t, []string{"example.com.", "example.com.", "example.com.", "x.example.com."}, names)
}

type spyResolver struct {
	zone
	names *[]string
}

func (s spyResolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	*s.names = append(*s.names, name)
	return s.zone.LookupTXT(ctx, name)
}

func (s spyResolver) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	*s.names = append(*s.names, name)
	return []*net.MX{{Host: "."}}, nil
}

func (s spyResolver) LookupNetIP(ctx context.Context, network, name string) ([]netip.Addr, error) {
	*s.names = append(*s.names, name)
	return s.zone.LookupNetIP(ctx, network, name)
}
