package dmarc_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/stretchr/testify/require"
)

// parse parses a record and gives its warnings in one line.
func parse(t *testing.T, text string) (*dmarc.Record, string) {
	t.Helper()
	r, err := dmarc.ParseRecord(text)
	require.NoError(t, err, "%q", text)
	require.Equal(t, text, r.Text)
	var warnings []string
	for _, w := range r.Warnings {
		warnings = append(warnings, w.String())
	}
	return r, strings.Join(warnings, "; ")
}

func TestParseRecord(t *testing.T) {
	t.Parallel()
	r, warnings := parse(t, "v=DMARC1; p=quarantine; sp=reject; np=none; adkim=s; aspf=s; t=y; psd=n; fo=1:d:s; "+
		"rua=mailto:a@example.com, mailto:b@example.com; ruf=mailto:c@example.com")
	require.Equal(t, []dmarc.Policy{dmarc.PolicyQuarantine, dmarc.PolicyReject, dmarc.PolicyNone}, []dmarc.Policy{r.Policy, r.Subdomain, r.Nonexistent})
	require.True(t, r.StrictDKIM && r.StrictSPF && r.Testing && !r.Invalid)
	require.Equal(t, dmarc.PSDNo, r.PSD)
	require.Equal(t, "1:d:s", r.FailureOptions)
	require.Equal(t, 100, r.Percent)
	require.Equal(t, []string{"mailto:a@example.com", "mailto:b@example.com"}, r.AggregateURIs)
	require.Equal(t, []string{"mailto:c@example.com"}, r.FailureURIs)
	require.Empty(t, warnings)
}

// The records of RFC 9989 Appendix B.2 and B.3.
func TestRecordsOfAppendixB(t *testing.T) {
	t.Parallel()
	const feedback, third = "mailto:dmarc-feedback@example.com", "mailto:tld-test@thirdparty.example.net"
	for _, c := range []struct {
		text     string
		policy   dmarc.Policy
		testing  bool
		rua, ruf []string
	}{
		{"v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com", dmarc.PolicyNone, false, []string{feedback}, nil},
		{"v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com; ruf=mailto:auth-reports@example.com", dmarc.PolicyNone, false, []string{feedback}, []string{"mailto:auth-reports@example.com"}},
		{"v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com; ruf=mailto:auth-reports@thirdparty.example.net", dmarc.PolicyNone, false, []string{feedback}, []string{"mailto:auth-reports@thirdparty.example.net"}},
		{"v=DMARC1; p=quarantine; rua=mailto:dmarc-feedback@example.com,mailto:tld-test@thirdparty.example.net; t=y", dmarc.PolicyQuarantine, true, []string{feedback, third}, nil},
		{"v=DMARC1; p=reject; rua=mailto:dmarc-feedback@example.com,mailto:tld-test@thirdparty.example.net", dmarc.PolicyReject, false, []string{feedback, third}, nil},
		{"v=DMARC1; p=reject; aspf=r; rua=mailto:dmarc-feedback@example.com", dmarc.PolicyReject, false, []string{feedback}, nil},
	} {
		r, warnings := parse(t, c.text)
		require.Equal(t, []any{c.policy, c.policy, c.policy, c.testing}, []any{r.Policy, r.Subdomain, r.Nonexistent, r.Testing}, c.text)
		require.Equal(t, [][]string{c.rua, c.ruf}, [][]string{r.AggregateURIs, r.FailureURIs}, c.text)
		require.Empty(t, warnings, c.text)
	}
	// B.2.4, which is not a policy record.
	r, warnings := parse(t, "v=DMARC1; rua=mailto:aggregate-reports@thirdparty.example.net; ruf=mailto:failure-reports@thirdparty.example.net")
	require.Equal(t, []string{"mailto:failure-reports@thirdparty.example.net"}, r.FailureURIs)
	require.Equal(t, "p is missing; the record counts as p=none", warnings)
}

// What people write. All of these ask for reject and nothing else; their authors are told what is wrong.
func TestParseRecordIsTolerant(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ tags, warnings string }{
		{";p=reject", ""},
		{"; p=reject;", ""},
		{" ;p=reject", ""},
		{"; p = reject ; ", ""},
		{"; p=Reject", ""},
		{";P=REJECT", ""},
		{";;;p=reject;;", "p should stand right behind v, as RFC 7489 has it"},
		{";\tp=reject\t", ""},
		{"; p=reject; adkim=r; aspf=R; psd=U; t=N", ""},
		{"; adkim=r; p=reject", "p should stand right behind v, as RFC 7489 has it"},
		{"; p=reject; fo=0; rf=afrf; ri=86400; pct=100", "rf is obsolete: RFC 9989 does not have it; ri is obsolete: RFC 9989 does not have it; pct is obsolete: RFC 9989 does not have it; fo says nothing without ruf"},
		{"; p=reject; unknown=1; x; =; pct=101", "unknown is no tag of DMARC; has \"x\", which is no tag=value; \"\" is no tag of DMARC; pct is obsolete: RFC 9989 does not have it; pct cannot be \"101\"; 100 counts"},
		{"; p=reject; adkim=x; aspf=; t=maybe; psd=q", "adkim cannot be \"x\"; the default counts; aspf cannot be \"\"; the default counts; t cannot be \"maybe\"; the default counts; psd cannot be \"q\"; the default counts"},
		{"; p=reject; fo=9; rua=nonsense; ruf=", "rua has \"nonsense\", which is no URI as it has no scheme like mailto:; ruf is empty; fo cannot be \"9\"; 0 counts"},
		{"; p=reject; p=none; v=DMARC1", "p is there more than once; only the first counts; v is there more than once; only the first counts"},
		{"; p=reject; fo=0:1", "fo cannot be \"0:1\"; 0 counts"},
		{"; p=reject; fo=d:d", "fo cannot be \"d:d\"; 0 counts"},
		{"; p=reject; ad\u212aim=s", "\"ad\\u212aim\" is no tag of DMARC"},
		{"; p=reject; fo=1", "fo says nothing without ruf"},
		{"; p=reject; rua=mailto:@x, mailto:a@, ftp:, a@b.com,", "rua has \"mailto:@x\", which has no valid mail address; rua has \"mailto:a@\", which has no valid mail address; " +
			"rua has \"ftp:\", which is no valid URI; rua has \"a@b.com\", which is no URI as it has no scheme like mailto:"},
		{"; p=reject; ruf=mailto://a@b.com, ,http://%zz", "ruf has \"mailto://a@b.com\", which has no valid mail address; ruf has \"\", which is no URI; ruf has \"http://%zz\", which is no valid URI"},
		{"; p=reject; \x80=\xff; rua=mailto:\xff@x.com", "\"\\x80\" is no tag of DMARC; rua has \"mailto:\\xff@x.com\", which has no valid mail address"},
	} {
		text := "v=DMARC1" + c.tags
		r, warnings := parse(t, text)
		require.Equal(t, c.warnings, warnings, "%q", text)
		r.Text, r.Warnings = "", nil
		require.Equal(t, &dmarc.Record{
			Policy: dmarc.PolicyReject, Subdomain: dmarc.PolicyReject, Nonexistent: dmarc.PolicyReject, FailureOptions: "0", Percent: 100,
		}, r, "%q", text)
	}
	r, warnings := parse(t, "v=DMARC1; p=reject\r\n\"v=spf1")
	require.True(t, r.Invalid)
	require.Equal(t, `p cannot be "reject\r\n\"v=spf1"; the record asks for nothing, as it has neither valid policies nor a valid rua`, warnings)
	_, warnings = parse(t, "v=DMARC1; p=none; rua=https://example.com/dmarc")
	require.Equal(t, `rua has "https://example.com/dmarc", which receivers ignore unless they support it: only mailto: is certain`, warnings)
	for _, text := range []string{"v = DMARC1 ; p=reject", "V=DMARC1;p=reject", "v\t=\tDMARC1\t;p=reject"} {
		r, warnings := parse(t, text)
		require.Equal(t, dmarc.PolicyReject, r.Policy, text)
		require.Empty(t, warnings)
	}
}

// The guides' records: blanks behind "mailto:" and everything that was once a tag.
func TestRecordsOfTheGuides(t *testing.T) {
	t.Parallel()
	r, warnings := parse(t, "v=DMARC1; p=none; rua=mailto: admin@DOMAIN.com; ruf=mailto: admin@DOMAIN.com")
	require.Equal(t, []string{"mailto:admin@DOMAIN.com"}, r.AggregateURIs)
	require.Equal(t, r.AggregateURIs, r.FailureURIs)
	require.Equal(t, `rua has "mailto: admin@DOMAIN.com", which has blanks in it; ruf has "mailto: admin@DOMAIN.com", which has blanks in it`, warnings)

	r, warnings = parse(t, "v=DMARC1; p=quarantine; rua=mailto:d@example.com!10m; ruf=mailto:d@example.com!5; sp=none; fo=0:d; rf=afrf; ri=86400; pct=25")
	require.Equal(t, []any{dmarc.PolicyQuarantine, dmarc.PolicyNone, 25, "0:d"}, []any{r.Policy, r.Subdomain, r.Percent, r.FailureOptions})
	require.Equal(t, []string{"mailto:d@example.com"}, r.AggregateURIs)
	require.Equal(t, []string{"mailto:d@example.com"}, r.FailureURIs)
	require.Contains(t, warnings, `rua has "mailto:d@example.com!10m", the size limit of which is obsolete`)

	for _, size := range []string{"", "m", "10mm", "10x", "-1", "1 0m!"} {
		r, warnings := parse(t, "v=DMARC1; p=none; rua=mailto:d@example.com!"+size)
		require.Equal(t, []string{"mailto:d@example.com"}, r.AggregateURIs, size)
		require.Contains(t, warnings, `which has a "!" that is no size limit`, size)
	}
}

func TestNoRecord(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "does not begin", "v": "does not begin", "v=": "does not begin", "v=DMARC": "does not begin", "v=DMARC12;p=none": "does not begin",
		"v=DMARC1 p=none": "does not begin", "p=none;v=DMARC1": "does not begin", ";v=DMARC1": "does not begin", "v=spf1 -all": "does not begin",
		"x=DMARC1;p=none": "does not begin", "v==DMARC1": "does not begin", "v=\"DMARC1\"": "does not begin", "vv=DMARC1": "does not begin",
		"v=dmarc1;p=none": "upper case", "v=Dmarc1": "upper case", " v=DMARC1;p=none": "blank", "\tv=DMARC1": "blank", "v=DMARC1, p=none": "does not begin",
	} {
		_, err := dmarc.ParseRecord(text)
		require.ErrorIs(t, err, dmarc.ErrNoRecord, "%q", text)
		require.ErrorContains(t, err, want, "%q", text)
	}
}

// RFC 9989 §4.10.1.
func TestRecordsWithoutAValidPolicy(t *testing.T) {
	t.Parallel()
	for _, tags := range []string{"p=", "p=rejekt", "p=reject junk", "p=reject; sp=no", "p=reject; np=", "sp=no", "np=", "psd=y; np=x"} {
		r, warnings := parse(t, "v=DMARC1; "+tags)
		require.True(t, r.Invalid, tags)
		require.Contains(t, warnings, "the record asks for nothing", tags)
		r, warnings = parse(t, "v=DMARC1; "+tags+"; rua=mailto:a@example.com")
		require.False(t, r.Invalid, tags)
		require.Zero(t, r.Policy+r.Subdomain+r.Nonexistent, tags)
		require.Contains(t, warnings, "the record counts as p=none, as its policies are not valid", tags)
	}
	r, _ := parse(t, "v=DMARC1; p=x; rua=https://example.com/dmarc")
	require.False(t, r.Invalid, "any valid URI will do")
}

// RFC 9989 §4.7, "p": what is missing counts as p=none, with or without an address for reports, and the rest stays.
func TestRecordsWithoutAPolicy(t *testing.T) {
	t.Parallel()
	const none, reject = dmarc.PolicyNone, dmarc.PolicyReject
	for tags, want := range map[string][]dmarc.Policy{
		"": {none, none, none}, "psd=y": {none, none, none}, "sp=reject": {none, reject, reject}, "np=reject": {none, none, reject},
		"adkim=x; rua=nonsense": {none, none, none}, "x": {none, none, none},
	} {
		for _, rua := range []string{"", "; rua=mailto:a@example.com"} {
			r, warnings := parse(t, "v=DMARC1; "+tags+rua)
			require.False(t, r.Invalid, tags)
			require.Equal(t, want, []dmarc.Policy{r.Policy, r.Subdomain, r.Nonexistent}, tags)
			require.Contains(t, warnings, "p is missing", tags)
			require.True(t, strings.HasSuffix(warnings, "the record counts as p=none"), tags)
		}
	}
}

// A record of 64 KiB costs no more than its size.
func TestHugeRecords(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"x;", "p=reject;", "pct=1;", ";", "=;", "rua=mailto:a@b.example;"} {
		r, warnings := parse(t, "v=DMARC1;"+strings.Repeat(part, 1<<16/len(part)))
		require.LessOrEqual(t, len(r.Warnings), 16, part)
		require.Less(t, len(warnings), 4096, part)
	}
	var list []string
	for i := range 2000 {
		list = append(list, fmt.Sprintf("mailto:a%d@example.com", i))
	}
	r, warnings := parse(t, "v=DMARC1;p=none;rua="+strings.Join(list, ","))
	require.Equal(t, list[:32], r.AggregateURIs)
	require.Equal(t, "rua has more than 32 URIs; the others do not count", warnings)
	_, warnings = parse(t, "v=DMARC1; p="+strings.Repeat("\x00", 1<<16))
	require.Less(t, len(warnings), 1024)
}

func FuzzParseRecord(f *testing.F) {
	f.Add("v=DMARC1; p=reject; sp=none; np=quarantine; adkim=s; aspf=s; t=y; psd=y; fo=1:d:s; rua=mailto:a@b!1k,https://x; ruf=mailto: c@d")
	f.Add("v = DMARC1 ;p = reject;;=;x")
	f.Add("v=DMARC1; pct=50; rf=afrf; ri=86400; fo=0; ruf=mailto:%C3%BC@x.example?subject=x")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := dmarc.ParseRecord(text)
		if err != nil {
			return
		}
		if r.Invalid && (r.Policy|r.Subdomain|r.Nonexistent != dmarc.PolicyNone || len(r.AggregateURIs) > 0) || r.Percent < 0 || r.Percent > 100 {
			t.Fatalf("%+v", r)
		}
		for _, uri := range append(r.AggregateURIs, r.FailureURIs...) {
			if strings.ContainsFunc(uri, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == ',' || c == '!' || c == ';' }) {
				t.Fatalf("URI %q", uri)
			}
		}
		for _, w := range r.Warnings {
			if strings.ContainsFunc(w.String(), func(c rune) bool { return c < ' ' || c >= 0x7f }) || len(w.String()) > 600 {
				t.Fatalf("warning %q", w)
			}
		}
		again, err := dmarc.ParseRecord(text + ";v=2;zz=1")
		if err != nil || again.Policy != r.Policy || again.Invalid != r.Invalid {
			t.Fatalf("an unknown tag at the end makes %+v of %+v: %v", again, r, err)
		}
	})
}

func BenchmarkParseRecord(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := dmarc.ParseRecord("v=DMARC1; p=reject; sp=none; pct=100; rua=mailto:dmarc@example.com; ruf=mailto:dmarc@example.com; fo=1"); err != nil {
			b.Fatal(err)
		}
	}
}
