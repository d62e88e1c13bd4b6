package dmarc_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

// failing is a record of a message from example.com that failed.
func failing(dkim []dmarc.ReportDKIM, spf ...dmarc.ReportSPF) dmarc.ReportRecord {
	return dmarc.ReportRecord{
		Source: netip.MustParseAddr("192.0.2.1"), Count: 1, Disposition: "none", DKIM: "fail", SPF: "fail",
		HeaderFrom:  "example.com",
		DKIMResults: dkim, SPFResults: spf,
	}
}

func TestAdviceSaysWhatToDo(t *testing.T) {
	t.Parallel()
	const nobody = "Nothing shows who sent this. If the address is yours, add it to the SPF record of example.com and sign with DKIM; if it is not, " +
		"somebody uses your name, which p=reject would stop."
	const stranger = "If it is not yours, somebody uses your name, which p=reject would stop."
	dkim := func(domain, selector, result string) []dmarc.ReportDKIM {
		return []dmarc.ReportDKIM{{Domain: domain, Selector: selector, Result: result}}
	}
	spf := func(domain, scope, result string) dmarc.ReportSPF {
		return dmarc.ReportSPF{Domain: domain, Scope: scope, Result: result}
	}
	override := func(kind, comment string) dmarc.ReportRecord {
		r := failing(dkim("x.net", "", "pass"))
		r.Overrides = []dmarc.ReportOverride{{Type: kind, Comment: comment}}
		return r
	}
	from := func(domain string) dmarc.ReportRecord {
		r := failing(nil)
		r.HeaderFrom = domain
		return r
	}
	const foreign = "DKIM passes for x.net but is not aligned with example.com: have the sender sign with d=example.com."
	for name, c := range map[string]struct {
		policy dmarc.ReportPolicy
		record dmarc.ReportRecord
		want   []string
	}{
		"nothing":      {record: failing(nil), want: []string{nobody}},
		"foreign DKIM": {record: failing(dkim("x.net", "s", "pass")), want: []string{foreign}},
		"foreign SPF": {record: failing(nil, spf("x.net", "mfrom", "pass")),
			want: []string{"SPF passes for x.net but is not aligned with example.com: have the sender use a bounce address of example.com."}},
		"SPF of HELO": {record: failing(nil, spf("mx.example.com", "helo", "pass")),
			want: []string{"SPF passes for the host name mx.example.com, which does not count: the bounce address has to be of example.com."}},
		"strict DKIM": {dmarc.ReportPolicy{DKIMAlignment: "s"}, failing(dkim("www.example.com", "s", "pass")),
			[]string{"DKIM passes for www.example.com, but adkim=s wants a signature of example.com itself."}},
		"strict SPF": {dmarc.ReportPolicy{SPFAlignment: "s"}, failing(nil, spf("b.example.com", "", "pass")),
			[]string{"SPF passes for b.example.com, but aspf=s wants a bounce address of example.com itself."}},
		"contradictions": {record: failing(dkim("Example.com", "s", "pass"), spf("example.com", "", "pass")),
			want: []string{"DKIM passes for Example.com, and yet the receiver does not count it as aligned.",
				"SPF passes for example.com, and yet the receiver does not count it as aligned."}},
		"broken DKIM": {record: failing(dkim("example.com", "s1", "fail")), want: []string{
			`The DKIM signature of example.com, selector "s1", gives fail: check the key record, and whether something changes messages on their way.`, nobody}},
		"broken foreign DKIM": {record: failing(dkim("x.net", "s1", "fail")), want: []string{nobody}},
		"no DKIM key": {record: failing(dkim("example.com", "s1", "temperror")),
			want: []string{"The receiver could not look up the DKIM key of example.com: check the name servers.", nobody}},
		"SPF softfail": {record: failing(nil, spf("example.com", "mfrom", "softfail")),
			want: []string{"SPF of example.com gives softfail: its record does not list this address. Add it if it is yours.",
				stranger}},
		"SPF none": {record: failing(nil, spf("example.com", "mfrom", "none")),
			want: []string{"example.com has no SPF record.", stranger}},
		"SPF permerror": {record: failing(nil, spf("example.com", "mfrom", "permerror")),
			want: []string{"The SPF record of example.com cannot be used: check it.", stranger}},
		"SPF temperror": {record: failing(nil, spf("example.com", "mfrom", "temperror")),
			want: []string{"The receiver could not look up the SPF record of example.com: check the name servers.", stranger}},
		"foreign SPF fails": {record: failing(nil, spf("x.net", "mfrom", "fail")), want: []string{nobody}},
		"empty domains":     {record: failing(dkim("", "", "pass"), spf("", "", "pass")), want: nil},
		"reject": {dmarc.ReportPolicy{Policy: "reject"}, failing(nil), []string{
			"Nothing shows who sent this. If the address is yours, add it to the SPF record of example.com and sign with DKIM; if it is not, somebody uses your name, and your policy has receivers reject that."}},
		"reject in test mode": {dmarc.ReportPolicy{Policy: "reject", Testing: "y"}, failing(nil, spf("example.com", "", "fail")), []string{
			"SPF of example.com gives fail: its record does not list this address. Add it if it is yours.",
			"If it is not yours, somebody uses your name, which your policy would have receivers reject without t=y."}},
		"reject of some": {dmarc.ReportPolicy{Policy: "reject", Percent: "20"}, failing(nil, spf("example.com", "", "none")), []string{
			"example.com has no SPF record.",
			"If it is not yours, somebody uses your name, which your policy would have receivers reject without pct=20."}},
		"reject of all": {dmarc.ReportPolicy{Policy: "reject", Percent: "100", Testing: "n"}, failing(nil, spf("example.com", "", "none")), []string{
			"example.com has no SPF record.", "If it is not yours, somebody uses your name, and your policy has receivers reject that."}},
		"below a domain that rejects": {dmarc.ReportPolicy{Policy: "reject", Subdomain: "none"}, from("www.example.com"), []string{
			"Nothing shows who sent this. If the address is yours, add it to the SPF record of www.example.com and sign with DKIM; if it is not, somebody uses your name, which sp=reject would stop."}},
		"below a domain that rejects all": {dmarc.ReportPolicy{Policy: "reject"}, from("www.example.com"), []string{
			"Nothing shows who sent this. If the address is yours, add it to the SPF record of www.example.com and sign with DKIM; if it is not, somebody uses your name, and your policy has receivers reject that."}},
		"no From": {record: from(""), want: []string{
			"Nothing shows who sent this. If the address is yours, add it to the SPF record of the domain in the From field and sign with DKIM; if it is not, somebody uses your name, which p=reject would stop."}},
		"mailing list": {record: override("mailing_list", ""), want: []string{foreign,
			"The receiver made an exception: it takes this for mail of a mailing list, which breaks signatures."}},
		"forwarder": {record: override("trusted_forwarder", "arc=pass"), want: []string{foreign,
			"The receiver made an exception: it takes this for forwarded mail (arc=pass)."}},
		"forwarded": {record: override("forwarded", ""), want: []string{foreign,
			"The receiver made an exception: it takes this for forwarded mail."}},
		"local policy": {record: override("local_policy", ""), want: []string{foreign,
			"The receiver made an exception: a policy of its own goes before yours."}},
		"test mode": {record: override("policy_test_mode", ""), want: []string{foreign,
			"The receiver made an exception: your record is in test mode, t=y."}},
		"sampled out": {record: override("sampled_out", ""), want: []string{foreign,
			"The receiver made an exception: your record has pct below 100."}},
		"other": {record: override("other", "why"), want: []string{foreign,
			"The receiver had a reason of its own for what it did (why)."}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.policy.Domain = "example.com"
			sources := (&dmarc.Report{Policy: c.policy, Records: []dmarc.ReportRecord{c.record}}).Sources()
			require.Len(t, sources, 1)
			require.Equal(t, c.want, sources[0].Advice)
		})
	}
}

func TestSourcesAddUpRecords(t *testing.T) {
	t.Parallel()
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	r := &dmarc.Report{Records: []dmarc.ReportRecord{
		{Source: a, Count: 2, DKIM: "pass", SPF: "fail", Disposition: "none", HeaderFrom: "example.com",
			DKIMResults: []dmarc.ReportDKIM{{Domain: "example.com", Result: "pass"}, {Domain: "x.net", Result: "fail"}},
			SPFResults:  []dmarc.ReportSPF{{Domain: "y.net", Result: "pass"}}},
		{Source: b, Count: 10, DKIM: "pass", SPF: "pass", Disposition: "pass", HeaderFrom: "example.com"},
		{Source: a, Count: 3, DKIM: "fail", SPF: "fail", Disposition: "reject", HeaderFrom: "www.example.com"},
		{Source: a, Count: 4, DKIM: "fail", SPF: "fail", Disposition: "quarantine", HeaderFrom: "www.example.com"},
		{Count: -7, DKIM: "fail", SPF: "pass"},
	}}
	sources := r.Sources()
	require.Len(t, sources, 3)
	require.Equal(t, dmarc.ReportSource{Addr: b, Messages: 10, Passed: 10, DKIM: 10, SPF: 10, From: []string{"example.com"}},
		sources[0])
	require.NotEmpty(t, sources[1].Advice)
	require.Equal(t, int64(7), sources[1].Failed())
	sources[1].Advice = nil
	require.Equal(t, dmarc.ReportSource{
		Addr: a, Messages: 9, Passed: 2, DKIM: 2, Quarantined: 4, Rejected: 3,
		From: []string{"example.com", "www.example.com"}, Identified: []string{"example.com", "y.net"},
	}, sources[1])
	require.Equal(t, dmarc.ReportSource{}, sources[2])
	require.Equal(t, "unknown", sources[2].Name())
}

func reportText(t testing.TB, r *dmarc.Report) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, r.WriteText(&b))
	return b.String()
}

func TestWriteTextIsATable(t *testing.T) {
	t.Parallel()
	r := sampleReport()
	again := r.Records[1]
	again.Source = netip.MustParseAddr("2001:db8::2")
	r.Records = append(r.Records, again)
	r.Warnings = []string{"line 3: no email"}
	require.Equal(t, `DMARC report from Example Inc. about example.com
2023-11-15 (UTC), report 1700000000-example.com@example.net
Policy published: p=reject sp=quarantine np=none adkim=r aspf=s fo=1:d t=n

14 messages from 3 sources: 12 passed (86 %), 2 failed; 0 quarantined, 0 rejected

source       messages  passed  DKIM  SPF  quarantined  rejected  From             identified as
192.0.2.1    12        12      12    0    0            0         example.com      example.com, bounce.example.org
2001:db8::1  1         0       0     0    0            0         www.example.com  -
2001:db8::2  1         0       0     0    0            0         www.example.com  -

2001:db8::1, 2001:db8::2: 2 messages failed
  - Nothing shows who sent this. If the address is yours, add it to the SPF record of www.example.com and sign with DKIM; if it is not, somebody uses your name, which sp=reject would stop.
  - The receiver made an exception: it takes this for mail of a mailing list, which breaks signatures (list-id).

The receiver says of your policy record:
  - sp is not valid

The report does not keep to the standard:
  - line 3: no email
`, reportText(t, r))
}

// An empty report, and one with numbers that no receiver could have counted, are shown too.
func TestWriteTextTakesEverything(t *testing.T) {
	t.Parallel()
	text := reportText(t, &dmarc.Report{})
	require.Contains(t, text,
		"DMARC report from an unnamed receiver about an unnamed domain\nan unknown time\nPolicy published: p=none\n\n0 messages from 0 sources: 0 passed (0 %)")
	r := &dmarc.Report{Records: []dmarc.ReportRecord{{Count: math.MaxInt64, DKIM: "pass"}, {Count: math.MaxInt64}}}
	r.Metadata.Begin, r.Metadata.End = time.Unix(90, 0), time.Unix(3600*48, 0)
	text = reportText(t, r)
	require.Contains(t, text, "1970-01-01 00:01 to 1970-01-03 00:00 (UTC)\n")
	require.Contains(t, text, "2000000000000 messages from 1 source: 1000000000000 passed (50 %)")
}

func TestRenderingGivesTheWritersError(t *testing.T) {
	t.Parallel()
	w := writerFunc(func([]byte) (int, error) { return 0, errBroken })
	require.ErrorIs(t, sampleReport().WriteText(w), errBroken)
	require.ErrorIs(t, sampleReport().WriteHTML(w), errBroken)
}

var errBroken = errors.New("broken")

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// hostileReport has in every text what could break out of a terminal, a table, HTML or SVG.
func hostileReport() *dmarc.Report {
	const evil = "\"'><script>alert(1)</script><img src=//evil>\x1b[2J\t\r\n\u202e{{.}}&lt;"
	rec := dmarc.ReportRecord{
		Source: netip.MustParseAddr("192.0.2.1"), Count: 1, Disposition: evil, DKIM: evil, SPF: evil, HeaderFrom: evil,
		EnvelopeFrom: evil, EnvelopeTo: evil,
		Overrides: []dmarc.ReportOverride{{Type: evil, Comment: evil}},
		DKIMResults: []dmarc.ReportDKIM{{Domain: evil, Selector: evil, Result: "pass", Human: evil}, {Domain: evil,
			Selector: evil, Result: evil}},
		SPFResults: []dmarc.ReportSPF{{Domain: evil, Scope: evil, Result: "pass"}, {Domain: evil, Result: evil}},
	}
	return &dmarc.Report{
		Version: evil, Warnings: []string{evil}, Records: []dmarc.ReportRecord{rec},
		Metadata: dmarc.ReportMetadata{OrgName: evil, Email: evil, ExtraContactInfo: "javascript:" + evil, ReportID: evil,
			Errors: []string{evil}, Generator: evil},
		Policy: dmarc.ReportPolicy{Domain: evil, DiscoveryMethod: evil, Policy: evil, Subdomain: evil, Nonexistent: evil,
			FailureOptions: evil,
			DKIMAlignment:  evil, SPFAlignment: evil, Testing: evil, Percent: evil},
	}
}

func TestWriteTextCannotControlATerminal(t *testing.T) {
	t.Parallel()
	text := reportText(t, hostileReport())
	require.NotContains(t, strings.ReplaceAll(text, "\n", ""), "\x1b")
	require.NotContains(t, text, "\t")
	require.NotContains(t, text, "\r")
	require.NotContains(t, text, "\u202e")
	for line := range strings.Lines(text) { // nothing made a line of its own
		require.False(t, strings.HasPrefix(line, "{{") || strings.HasPrefix(line, "\ufffd"), line)
	}
}

// readPage parses a page and checks what has to hold for each: balanced tags as an XML parser would want them, nothing from
// elsewhere, no script, names for the parts and the chart.
func readPage(t testing.TB, r *dmarc.Report) (doc *html.Node, source string) {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, r.WriteHTML(&b))
	source = b.String()
	require.False(t, strings.Contains(source, "ZgotmplZ"))
	var open []string
	z := html.NewTokenizer(strings.NewReader(source))
	for tt := z.Next(); tt != html.ErrorToken; tt = z.Next() {
		token := z.Token()
		switch {
		case tt == html.StartTagToken && token.Data != "meta":
			open = append(open, token.Data)
		case tt == html.EndTagToken:
			require.NotEmpty(t, open)
			require.Equal(t, open[len(open)-1], token.Data)
			open = open[:len(open)-1]
		}
		require.NotContains(t, []string{"script", "img", "link", "iframe", "object", "a"}, token.Data)
		for _, a := range token.Attr {
			require.NotContains(t, []string{"src", "href", "onload", "onerror", "xlink:href", "style"}, a.Key)
		}
	}
	require.Empty(t, open)
	style := source[strings.Index(source, "<style>"):strings.Index(source, "</style>")]
	require.NotContains(t, style, "url(")
	require.NotContains(t, style, "@import")
	requireIn(t, source, "default-src 'none'")
	doc, err := html.Parse(strings.NewReader(source))
	require.NoError(t, err)
	ids := map[string]string{}
	for n := range doc.Descendants() {
		for _, a := range n.Attr {
			if a.Key == "id" {
				require.NotContains(t, ids, a.Val)
				ids[a.Val] = textOf(n)
			}
		}
	}
	for n := range doc.Descendants() {
		for _, a := range n.Attr {
			if a.Key == "aria-labelledby" {
				for id := range strings.FieldsSeq(a.Val) {
					require.NotEmpty(t, ids[id], id)
				}
			}
		}
	}
	return doc, source
}

// requireIn is require.Contains without the page in its message.
func requireIn(t testing.TB, source, part string) {
	t.Helper()
	require.True(t, strings.Contains(source, part), "the page has no %s", part)
}

// textOf is the text in a node.
func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.TrimSpace(b.String())
}

// textsOf gives the texts of all elements of one name.
func textsOf(doc *html.Node, name string) []string {
	var out []string
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == name {
			out = append(out, textOf(n))
		}
	}
	return out
}

func TestWriteHTMLShowsTheReport(t *testing.T) {
	t.Parallel()
	r := sampleReport()
	r.Warnings = []string{"line 3: no email"}
	doc, source := readPage(t, r)
	require.Equal(t, []string{"DMARC report from Example Inc. about example.com"}, textsOf(doc, "h1"))
	require.Equal(t, []string{"Who sends in your name", "What to do", "All sources",
		"What the receiver says of your policy record",
		"Where the report does not keep to the standard", "About this report"}, textsOf(doc, "h2"))
	require.Equal(t, []string{"13", "12 (92 %)", "1", "0", "0"}, textsOf(doc, "dd"))
	require.Equal(t, []string{"2001:db8::1: 1 message failed"}, textsOf(doc, "h3"))
	require.Contains(t, textsOf(doc, "desc"),
		"192.0.2.1: 12 messages, 12 passed, 0 failed. 2001:db8::1: 1 message, 0 passed, 1 failed.")
	require.Contains(t, textsOf(doc, "td"), "example.com, bounce.example.org")
	requireIn(t, source, `<rect class="p" x="0" y="30" width="480" height="20"></rect>`)
	requireIn(t, source, `<rect class="f" x="0" y="90" width="40" height="20"></rect>`)
}

func TestWriteHTMLEscapesEverything(t *testing.T) {
	t.Parallel()
	doc, source := readPage(t, hostileReport()) // which looks for elements and attributes that should not be there
	require.False(t, strings.Contains(source, "<script"))
	require.False(t, strings.Contains(source, "\x1b"))
	require.False(t, strings.Contains(source, "\u202e"))
	require.Contains(t, textsOf(doc, "h1")[0], "<script>alert(1)</script>")
}

func TestWriteHTMLBoundsThePage(t *testing.T) {
	t.Parallel()
	r := largeReport(3000)
	for i := range r.Records {
		r.Records[i].DKIM, r.Records[i].Count = "fail", int64(len(r.Records)-i)
		r.Records[i].DKIMResults = []dmarc.ReportDKIM{{Domain: fmt.Sprintf("%d.example.net", i),
			Result: "pass"}} // different advice for each
	}
	doc, source := readPage(t, r)
	require.Len(t, textsOf(doc, "rect"), 2*20)
	require.Len(t, textsOf(doc, "tr"), 1+500)
	requireIn(t, source, "2980 more sources, each with no more messages than these, are not in the chart.")
	requireIn(t, source, "2500 more sources are not in the table.")
	requireIn(t, source, "2950 more groups of sources are not told of.")
	require.Less(t, len(source), 600_000)
	// What is little is to be seen beside what is much.
	r = sampleReport()
	r.Records[0].Count = 1_000_000
	_, source = readPage(t, r)
	requireIn(t, source, `<rect class="f" x="0" y="90" width="2" height="20"></rect>`)
}

func TestWriteHTMLOfGoodNews(t *testing.T) {
	t.Parallel()
	r := sampleReport()
	r.Records = r.Records[:1]
	_, source := readPage(t, r)
	requireIn(t, source, "Nothing: every message in this report passed.")
	_, source = readPage(t, &dmarc.Report{})
	require.False(t, strings.Contains(source, "<svg"))
}

func TestReportSuiteRenders(t *testing.T) {
	t.Parallel()
	reportSuite(t, "")
	for _, c := range receivedReports {
		t.Run(c.file, func(t *testing.T) {
			t.Parallel()
			f, err := os.Open(reportSuite(t, c.file))
			require.NoError(t, err)
			defer f.Close()
			r, err := dmarc.ParseReport(f)
			require.NoError(t, err)
			doc, _ := readPage(t, r)
			require.Equal(t, fmt.Sprint(c.messages), textsOf(doc, "dd")[0])
			require.Equal(t, fmt.Sprint(c.messages-c.passed), textsOf(doc, "dd")[2])
			require.Contains(t, reportText(t, r), fmt.Sprintf(": %d passed (%d %%), %d failed;", c.passed,
				c.passed*100/c.messages, c.messages-c.passed))
		})
	}
}

// The percentage says "all" and "none" only where it is so, and the colour of the sum says no more than the number.
func TestTheShareThatPassed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		passed, failed int64
		want, class    string
	}{
		{4, 2, "67 %", ` class="pass"`}, {1, 2, "33 %", ` class="pass"`}, {1, 1, "50 %", ` class="pass"`}, {5, 0, "100 %", ` class="pass"`},
		{0, 5, "0 %", ` class="fail"`}, {0, 0, "0 %", ""}, {999, 1, "99 %", ` class="pass"`}, {1, 999, "1 %", ` class="pass"`},
		{dmarc.MaxReportCount - 1, dmarc.MaxReportCount, "50 %", ` class="pass"`},
	} {
		var r dmarc.Report
		if c.passed > 0 {
			r.Records = append(r.Records, dmarc.ReportRecord{Count: c.passed, DKIM: "pass"})
		}
		if c.failed > 0 {
			r.Records = append(r.Records, dmarc.ReportRecord{Count: c.failed})
		}
		require.Contains(t, reportText(t, &r), fmt.Sprintf("%d passed (%s), %d failed", c.passed, c.want, c.failed))
		var page bytes.Buffer
		require.NoError(t, r.WriteHTML(&page))
		require.Contains(t, page.String(), fmt.Sprintf("<dt>Passed</dt><dd%s>%d (%s)</dd>", c.class, c.passed, c.want))
	}
}
