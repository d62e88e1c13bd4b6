package dmarc_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/netip"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// sampleFailure has all fields of RFC 5965 §3, RFC 6591 §3 and RFC 9991 §4.
func sampleFailure() *dmarc.FailureReport {
	return &dmarc.FailureReport{
		UserAgent: "DMARC-Filter/1.2.3", AuthFailure: "dmarc",
		AuthenticationResults: "gen.example; dmarc=fail header.from=consumer.example",
		IdentityAlignment:     []string{"dkim", "spf"}, DeliveryResult: dmarc.DeliveryReject, ReportedDomain: "consumer.example",
		OriginalMailFrom: "author=gen.example@forwarder.example", OriginalRecipients: []string{"a@gen.example",
			"b@gen.example"},
		OriginalEnvelopeID: "65E1A3F0A0", ArrivalDate: time.Date(2022, 7, 19, 0, 57, 48, 0, time.FixedZone("", -5*3600)),
		SourceIP: netip.MustParseAddr("192.0.2.2"), SourcePort: 12345, ReportingMTA: "mx.gen.example", Incidents: 3,
		DKIMDomain: "consumer.example", DKIMIdentity: "@consumer.example", DKIMSelector: "epsilon",
		DKIMSelectorDNS:         `v=DKIM1; n="a\b"; p=AB`,
		DKIMCanonicalizedHeader: []byte("from:a\r\n"), DKIMCanonicalizedBody: bytes.Repeat([]byte("body\r\n"), 40),
		SPFDNS: []dmarc.FailureSPF{{Type: "txt", Domain: "consumer.example", Record: "v=spf1 ip4:192.0.2.1 -all"}},
		Text:   "One line.\nAnother one, with \u00fcml\u00e4uts.",
		Header: []byte("From: Author <author@consumer.example>\r\nSubject: a\r\n subject\r\n"),
	}
}

func failureMail(t testing.TB, r *dmarc.FailureReport) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("From: reports@gen.example\r\nSubject: report\r\n")
	require.NoError(t, r.Write(&b))
	return b.String()
}

// failureParts takes a report apart with the standard library: the header and the content of each part.
func failureParts(t testing.TB, text string) (headers []textproto.MIMEHeader, contents []string) {
	t.Helper()
	require.NotContains(t, strings.ReplaceAll(text, "\r\n", ""), "\n")
	require.NotContains(t, strings.ReplaceAll(text, "\r\n", ""), "\r")
	for line := range strings.SplitSeq(text, "\r\n") {
		require.LessOrEqual(t, len(line), 998)
		require.Equal(t, -1, strings.IndexFunc(line, func(r rune) bool { return r >= utf8.RuneSelf || r == 0 }), "%q", line)
	}
	m, err := mail.ReadMessage(strings.NewReader(text))
	require.NoError(t, err)
	require.Len(t, m.Header, 4)
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	require.NoError(t, err)
	require.Equal(t, "multipart/report", kind)
	require.Equal(t, "feedback-report", params["report-type"])
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return headers, contents
		}
		require.NoError(t, err)
		content, err := io.ReadAll(part)
		require.NoError(t, err)
		headers, contents = append(headers, part.Header), append(contents, string(content))
	}
}

func TestFailureReportHasTheFieldsOfRFC9991(t *testing.T) {
	t.Parallel()
	headers, contents := failureParts(t, failureMail(t, sampleFailure()))
	require.Len(t, headers, 3)
	require.Equal(t, "message/feedback-report", headers[1].Get("Content-Type"))
	require.Equal(t, "7bit", headers[1].Get("Content-Transfer-Encoding")) // RFC 5965 §7.1
	body := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("body\r\n"), 40))
	require.Equal(t, strings.ReplaceAll(`Feedback-Type: auth-failure
Version: 1
User-Agent: DMARC-Filter/1.2.3
Auth-Failure: dmarc
Authentication-Results: gen.example; dmarc=fail header.from=consumer.example
Identity-Alignment: dkim, spf
Delivery-Result: reject
Reported-Domain: consumer.example
Source-IP: 192.0.2.2
Source-Port: 12345
Arrival-Date: Tue, 19 Jul 2022 00:57:48 -0500
Incidents: 3
Reporting-MTA: dns; mx.gen.example
Original-Mail-From: <author=gen.example@forwarder.example>
Original-Rcpt-To: <a@gen.example>
Original-Rcpt-To: <b@gen.example>
Original-Envelope-Id: 65E1A3F0A0
DKIM-Domain: consumer.example
DKIM-Identity: @consumer.example
DKIM-Selector: epsilon
DKIM-Canonicalized-Header:
 `+base64.StdEncoding.EncodeToString([]byte("from:a\r\n"))+`
DKIM-Canonicalized-Body:
 `+body[:75]+"\n "+body[75:150]+"\n "+body[150:225]+"\n "+body[225:300]+"\n "+body[300:]+`
DKIM-Selector-DNS: "v=DKIM1; n=\"a\\b\"; p=AB"
SPF-DNS: txt : consumer.example : "v=spf1 ip4:192.0.2.1 -all"
`, "\n", "\r\n"), contents[1])
	require.Equal(t, "text/rfc822-headers", headers[2].Get("Content-Type"))
	require.Equal(t, string(sampleFailure().Header), contents[2])
}

func TestFailureReportHasDefaults(t *testing.T) {
	t.Parallel()
	r := &dmarc.FailureReport{ReportedDomain: "b\u00fccher.example", ReportingMTA: "mx.example.net",
		Header: []byte("Subject: x\n\nnot this\n")}
	headers, contents := failureParts(t, failureMail(t, r))
	require.Equal(t, strings.ReplaceAll(`Feedback-Type: auth-failure
Version: 1
User-Agent: mailbricks
Auth-Failure: dmarc
Authentication-Results: mx.example.net; dmarc=fail
 header.from=xn--bcher-kva.example
Identity-Alignment: none
Reported-Domain: xn--bcher-kva.example
Reporting-MTA: dns; mx.example.net
Original-Mail-From: <>
`, "\n", "\r\n"), contents[1])
	require.Equal(t, "text/rfc822-headers", headers[2].Get("Content-Type"))
	require.Equal(t, "Subject: x\r\n", contents[2])
	require.Contains(t, contents[0], "This is an authentication failure report (RFC 9991)")
	r.SourceIP, r.ArrivalDate = netip.MustParseAddr("2001:db8::1"), time.Unix(0, 0).UTC()
	_, contents = failureParts(t, failureMail(t, r))
	require.Contains(t, contents[0], "It was received from IP 2001:db8::1 on Thu, 1 Jan 1970 00:00:00 +0000.\r\n")
	require.Contains(t, contents[1], "Source-IP: IPv6:2001:db8::1\r\n") // RFC 5321 §4.1.3
	r.SPFDNS = []dmarc.FailureSPF{{Domain: "a.example", Record: "v=spf1"}, {Type: "SPF", Domain: "b.example", Record: "v=spf1"}}
	_, contents = failureParts(t, failureMail(t, r))
	require.Contains(t, contents[1], "SPF-DNS: txt : a.example : \"v=spf1\"\r\nSPF-DNS: spf : b.example : \"v=spf1\"\r\n")
}

func TestFailureReportIsRefusedWithoutWhatItNeeds(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*dmarc.FailureReport){
		"no reported domain":              func(r *dmarc.FailureReport) { r.ReportedDomain = "\x00 "[1:] },
		"no header of the failed message": func(r *dmarc.FailureReport) { r.Header = []byte("\r\n") },
		"neither authentication results":  func(r *dmarc.FailureReport) { r.AuthenticationResults, r.ReportingMTA = "", "" },
	} {
		r := sampleFailure()
		spoil(r)
		var b bytes.Buffer
		err := r.Write(&b)
		require.ErrorIs(t, err, dmarc.ErrReportInvalid)
		require.ErrorContains(t, err, want)
		require.Zero(t, b.Len())
	}
	require.ErrorIs(t, sampleFailure().Write(writerFunc(func([]byte) (int, error) { return 0, errBroken })), errBroken)
}

// Each text that an enemy can choose stays in its field, and no field or part can be added.
func TestFailureReportCannotBeInjectedInto(t *testing.T) {
	t.Parallel()
	const evil = "x\r\nDKIM-Domain: evil\r\n\r\n--=_b\n\rSubject: \"evil\\\" (\x00\x1b\u202e\u00e9 > <y"
	text := failureMail(t, &dmarc.FailureReport{
		UserAgent: evil, AuthFailure: evil, AuthenticationResults: evil, IdentityAlignment: []string{evil, "SPF", "spf"},
		DeliveryResult: evil,
		ReportedDomain: evil, OriginalMailFrom: evil, OriginalRecipients: []string{evil, strings.Repeat("a", 5000)},
		OriginalEnvelopeID: evil,
		ReportingMTA:       evil, DKIMDomain: evil, DKIMIdentity: evil, DKIMSelector: evil, DKIMSelectorDNS: evil,
		SPFDNS: []dmarc.FailureSPF{{Type: evil, Domain: evil, Record: evil}}, Text: evil, Header: []byte(evil),
	})
	headers, contents := failureParts(t, text)
	require.Len(t, headers, 3)
	for _, h := range headers {
		require.Len(t, h, 2)
	}
	m, err := mail.ReadMessage(strings.NewReader(contents[1] + "\r\n"))
	require.NoError(t, err)
	for name, values := range m.Header {
		if name != "Original-Rcpt-To" {
			require.Len(t, values, 1, name)
		}
	}
	require.Len(t, m.Header, 17)
	require.Equal(t, "spf", m.Header.Get("Identity-Alignment"))
	require.Equal(t, "other", m.Header.Get("Delivery-Result"))
	got, err := dmarc.ParseFailureReport(strings.NewReader(strings.Replace(text, "Auth-Failure: x", "Auth-Failure: dmarc (",
		1)))
	require.NoError(t, err)
	require.Equal(t, `xDKIM-Domain:evil--=_bSubject:"evil\"(`, strings.Split(got.DKIMDomain, "\ufffd")[0])
	// A field in front of the report's own that has no line end: Write begins with a field of its own.
	require.True(t, strings.HasPrefix(text, "From: reports@gen.example\r\nSubject: report\r\nMIME-Version: 1.0\r\n"))
}

func TestFailureReportQuotesWhatIsNot7Bit(t *testing.T) {
	t.Parallel()
	decode := func(s string) string {
		b, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, strings.NewReader(s)))
		require.NoError(t, err)
		return string(b)
	}
	long := "X: " + strings.Repeat("x", 1000) + "\r\n"
	for name, c := range map[string]struct {
		header, body string
		hasBody      bool
		kind         string
		want         string
		plain        bool
	}{
		"ASCII":          {"A: b\n", "", false, "text/rfc822-headers", "A: b\r\n", true},
		"UTF-8":          {"A: \u00e9\r\n", "", false, "message/global-headers", "A: \u00e9\r\n", false}, // RFC 6533 §4.3
		"Latin-1":        {"A: \xe9\r\n", "", false, "text/rfc822-headers", "A: \xe9\r\n", false},
		"NUL":            {"A: \x00\r\n", "", false, "message/global-headers", "A: \x00\r\n", false},
		"bare CR":        {"A: a\rb\r\n", "", false, "message/global-headers", "A: a\rb\r\n", false},
		"a long line":    {long, "", false, "message/global-headers", long, false},
		"with a body":    {"A: b\r\n", "text\n.\n--=_x\n", true, "message/rfc822", "A: b\r\n\r\ntext\r\n.\r\n--=_x\r\n", true},
		"an empty body":  {"A: b\r\n", "", true, "message/rfc822", "A: b\r\n\r\n", true},
		"a body in 8bit": {"A: b\r\n", "t\xe9xt", true, "message/global", "A: b\r\n\r\nt\xe9xt", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := sampleFailure()
			r.Header = []byte(c.header)
			if c.hasBody {
				r.Body = []byte(c.body)
			}
			text := failureMail(t, r)
			headers, contents := failureParts(t, text)
			require.Equal(t, c.kind, headers[2].Get("Content-Type"))
			got := contents[2]
			if !c.plain {
				require.Equal(t, "base64", headers[2].Get("Content-Transfer-Encoding"))
				got = decode(got)
			}
			require.Equal(t, c.want, got)
			back, err := dmarc.ParseFailureReport(strings.NewReader(text))
			require.NoError(t, err)
			header, body, _ := strings.Cut(c.want, "\r\n\r\n")
			require.Equal(t, strings.TrimSuffix(header, "\r\n")+"\r\n", string(back.Header))
			require.Equal(t, body, string(back.Body))
			require.Equal(t, c.hasBody, back.Body != nil)
		})
	}
}

func TestFailureReportBoundsWhatItQuotes(t *testing.T) {
	t.Parallel()
	r := sampleFailure()
	field := "X-Field: a\r\n b\r\n"
	r.Header = []byte(strings.Repeat(field, 1_000_000))
	r.Body = bytes.Repeat([]byte("line\r\n"), 1_000_000)
	r.OriginalRecipients = make([]string, 10_000)
	r.SPFDNS = make([]dmarc.FailureSPF, 10_000)
	text := failureMail(t, r)
	require.Less(t, len(text), 2*dmarc.MaxFailureBody)
	require.Equal(t, 100, strings.Count(text, "Original-Rcpt-To:"))
	require.Equal(t, 100, strings.Count(text, "SPF-DNS:"))
	back, err := dmarc.ParseFailureReport(strings.NewReader(text))
	require.NoError(t, err)
	require.LessOrEqual(t, len(back.Header), dmarc.MaxFailureHeader)
	require.Equal(t, strings.Repeat(field, dmarc.MaxFailureHeader/len(field)), string(back.Header))
	require.Len(t, back.Body, dmarc.MaxFailureBody)
}

// RFC 6533 §3: an address with characters outside ASCII goes in their 7-bit form, its domain with A-labels.
func TestFailureReportWritesInternationalAddresses(t *testing.T) {
	t.Parallel()
	r := sampleFailure()
	r.OriginalMailFrom, r.OriginalRecipients = "dörte@bücher.example", []string{"\U0001f600@example.com", `a\x{41}@example.com`}
	text := failureMail(t, r)
	require.Contains(t, text, "Original-Mail-From: <d\\x{F6}rte@xn--bcher-kva.example>\r\n")
	require.Contains(t, text, "Original-Rcpt-To: <\\x{1F600}@example.com>\r\n")
	back, err := dmarc.ParseFailureReport(strings.NewReader(text))
	require.NoError(t, err)
	require.Equal(t, "dörte@xn--bcher-kva.example", back.OriginalMailFrom)
	require.Equal(t, r.OriginalRecipients, back.OriginalRecipients)
}

func TestFailureReportsComeBackAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	want := sampleFailure()
	got, err := dmarc.ParseFailureReport(strings.NewReader(failureMail(t, want)))
	require.NoError(t, err)
	require.True(t, want.ArrivalDate.Equal(got.ArrivalDate))
	got.ArrivalDate = want.ArrivalDate
	require.Equal(t, want, got)
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[!#-'*+\-/-9=?A-Z^-~]{1,30}`)
		words := rapid.StringMatching(`[!-~]{1,8}( [!-~]{1,8}){0,30}`)
		domain := rapid.StringMatching(`[a-z]{1,10}(\.[a-z]{1,10}){1,3}`)
		r := &dmarc.FailureReport{
			UserAgent: word.Draw(t, "agent"), AuthFailure: "dmarc", AuthenticationResults: words.Draw(t, "results"),
			ReportedDomain:    domain.Draw(t, "domain"),
			IdentityAlignment: rapid.SampledFrom([][]string{nil, {"dkim"}, {"spf"}, {"dkim", "spf"}}).Draw(t, "alignment"),
			DeliveryResult: rapid.SampledFrom([]string{"", "delivered", "spam", "policy", "reject", "other"}).Draw(t,
				"delivery"),
			OriginalMailFrom: word.Draw(t, "local part") + "@" + domain.Draw(t, "mail from"),
			SourceIP:         netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "ip"))).Unmap(),
			SourcePort:       rapid.Uint16().Draw(t, "port"), Incidents: rapid.Uint32Min(2).Draw(t, "incidents"),
			SPFDNS: []dmarc.FailureSPF{{Type: "txt", Domain: domain.Draw(t, "spf domain"), Record: words.Draw(t, "record")}},
			Text:   words.Draw(t, "text"),
			Header: []byte(rapid.StringMatching("([A-Z]{1,9}: [ -~\u00e9]{0,60}\r\n){1,5}").Draw(t, "header")),
			Body:   rapid.SampledFrom([][]byte{nil, {}, []byte("a\r\n\r\nb"), []byte("\xff\x00\r\n")}).Draw(t, "body"),
		}
		var b strings.Builder
		require.NoError(t, r.Write(&b))
		got, err := dmarc.ParseFailureReport(strings.NewReader(b.String()))
		require.NoError(t, err)
		require.Equal(t, r, got)
	})
}

func TestParseFailureReportTakesEveryShape(t *testing.T) {
	t.Parallel()
	const fields = "\r\nFEEDBACK-TYPE: (a comment) Auth-Failure (another)\r\nVersion: 1.0\r\nAuth-Failure: DMARC\r\nReported-Domain: example.com\r\n" +
		"Reported-Domain: second.example\r\nReceived-Date: Tue, 19 Jul 2022 05:57:48 GMT\r\nSource-IP: [IPv6:2001:DB8::1]\r\nSource-Port: 99999\r\nIncidents: x\r\n" +
		"Identity-Alignment: none\r\nDelivery-Result: smg-policy-action\r\nSPF-DNS: nonsense\r\nSPF-DNS: SPF:example.com:v=spf1\r\nReporting-MTA: mx.example.net\r\n" +
		"Original-Mail-From:\r\nDKIM-Canonicalized-Body: %%%\r\nX-Unknown: x\r\nno field\r\n"
	part := "Content-Type: message/feedback-report\r\n\r\n" + fields
	quoted := "Content-Type: message/rfc822\r\n\r\nFrom: a@example.com\r\nContent-Type: multipart/report; boundary=z\r\n\r\n--z\r\n" +
		"Content-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\n--z--\r\n"
	for name, input := range map[string]string{
		"a report": mixed(textPart, part, quoted),
		"base64": mixed(textPart,
			"Content-Type: message/feedback-report\r\nContent-Transfer-Encoding: base64\r\n\r\n"+inBase64(fields), quoted),
		"another type": mixed(textPart,
			"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"+inBase64(fields), quoted),
		"plain text":   mixed("Content-Type: text/plain\r\n\r\n"+fields, quoted),
		"an mbox line": "From a@example.net Tue Apr 30 02:09:16 2019\r\n" + mixed(part, quoted),
		"in another part": mixed("Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n" + part + "\r\n--c\r\n" + quoted +
			"\r\n--c--"),
		"forwarded": "Content-Type: multipart/mixed; boundary=f\r\n\r\n--f\r\nContent-Type: message/rfc822\r\n\r\n" +
			strings.Replace(mixed(part, quoted), "mixed", "report", 1) + "--f--\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, input := range []string{input, strings.ReplaceAll(input, "\r\n", "\n")} {
				r, err := dmarc.ParseFailureReport(strings.NewReader(input))
				require.NoError(t, err)
				require.True(t, r.ArrivalDate.Equal(time.Date(2022, 7, 19, 5, 57, 48, 0, time.UTC)))
				require.Contains(t, string(r.Header), "From: a@example.com")
				require.Contains(t, string(r.Body), "Feedback-Type: abuse")
				require.Equal(t, []string{`source-port "99999" cannot be read`, `incidents "x" cannot be read`,
					`SPF-DNS "nonsense" cannot be read`}, r.Warnings)
				r.ArrivalDate, r.Header, r.Body, r.Warnings, r.Text = time.Time{}, nil, nil, nil, ""
				require.Equal(t, &dmarc.FailureReport{
					AuthFailure: "dmarc", ReportedDomain: "example.com", SourceIP: netip.MustParseAddr("2001:db8::1"),
					DeliveryResult: "smg-policy-action", SPFDNS: []dmarc.FailureSPF{{Type: "spf", Domain: "example.com",
						Record: "v=spf1"}},
					ReportingMTA: "mx.example.net",
				}, r)
			}
		})
	}
}

func TestParseFailureReportRefusesOtherMail(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		input string
		want  error
	}{
		"nothing": {"", dmarc.ErrNoReport},
		"a mail":  {mixed(textPart), dmarc.ErrNoReport},
		"abuse": {mixed("Content-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\n"),
			dmarc.ErrNoReport},
		"no type": {mixed("Content-Type: message/feedback-report\r\n\r\nVersion: 1\r\n"), dmarc.ErrNoReport},
		"an aggregate report": {mixed(textPart, "Content-Type: text/xml\r\n\r\n"+reportXML(t, sampleReport())),
			dmarc.ErrNoReport},
		"too large": {strings.Repeat("x", dmarc.MaxFailureBytes+1), dmarc.ErrReportTooLarge},
	} {
		_, err := dmarc.ParseFailureReport(strings.NewReader(c.input))
		require.ErrorIs(t, err, c.want, name)
		require.ErrorContains(t, err, "dmarc: read failure report: ")
	}
	_, err := dmarc.ParseFailureReport(io.MultiReader(strings.NewReader(mixed(textPart)), iotest.ErrReader(errBroken)))
	require.ErrorIs(t, err, errBroken)
}

func TestParseFailureReportBoundsFields(t *testing.T) {
	t.Parallel()
	r, err := dmarc.ParseFailureReport(strings.NewReader(mixed("Content-Type: message/feedback-report\r\n\r\nFeedback-Type: auth-failure\r\nUser-Agent: " +
		strings.Repeat("a", 10_000) + "\r\n" + strings.Repeat("Original-Rcpt-To: a@b\r\n", 300) +
		strings.Repeat("SPF-DNS: txt:a:b\r\n", 300) + strings.Repeat("X: y\r\n", 1000) +
		"DKIM-Domain: late\r\n")))
	require.NoError(t, err)
	require.Len(t, r.UserAgent, dmarc.MaxReportText)
	require.Len(t, r.OriginalRecipients, 100)
	require.Len(t, r.SPFDNS, 100)
	require.Empty(t, r.DKIMDomain)
	require.LessOrEqual(t, len(r.Warnings), dmarc.MaxReportWarnings)
}

func TestFailureSuiteParsesToWhatItSays(t *testing.T) {
	t.Parallel()
	reportSuite(t, "")
	linkedIn := func(r *dmarc.FailureReport) {
		require.Equal(t, "Lua/1.0", r.UserAgent)
		require.Equal(t, "dmarc=fail (p=none; dis=none) header.from=example.com", r.AuthenticationResults)
		require.Equal(t, []string{"recipient@linkedin.com"}, r.OriginalRecipients)
		require.Equal(t, "delivered", r.DeliveryResult)
		require.Contains(t, string(r.Header), "Subject: Subject line, could be UTF8 encoded")
		require.Contains(t, string(r.Body), "HTML Text")
		require.Empty(t, r.Warnings)
	}
	table := newSuiteTable()
	for file, c := range map[string]struct {
		failure, domain, ip, from string
		arrival                   int64
		check                     func(r *dmarc.FailureReport)
	}{
		"DMARC Failure Report for domain.de (mail-from=sharepoint@domain.de, ip=10.10.10.10).eml": {"dmarc", "domain.de",
			"10.10.10.10", "sharepoint@domain.de", 1538385627,
			func(r *dmarc.FailureReport) {
				require.Equal(t, "smg-policy-action", r.DeliveryResult)
				require.Equal(t, []string{"peter.pan@domain.de"}, r.OriginalRecipients)
				require.Contains(t, string(r.Header), "X-Mailer: Microsoft SharePoint Foundation 2010")
				require.Contains(t, string(r.Body), "wettbewerb")
				require.Contains(t, r.Text, "did not meet the sending domain's DMARC policy")
			}},
		"[Netease DMARC Failure Report] Rent Reminder.eml": {"", "cardinal.com", "167.89.69.24",
			"bounces+1137616-c1ad-xsj399=163.com@email.entrata.com", 1538124522,
			func(r *dmarc.FailureReport) {
				require.Equal(t, []string{"dkim", "spf"}, r.IdentityAlignment)
				require.Equal(t, "entrata.com", r.DKIMDomain)
				require.Equal(t, "N8CowEApcUPo6q1bnXlMAA--.44392S3", r.OriginalEnvelopeID)
				require.Equal(t, []string{"no Auth-Failure"}, r.Warnings)
				require.Contains(t, string(r.Header), "Subject: Rent Reminder")
			}},
		"dmarc_ruf_report_linkedin.eml":      {"dmarc", "example.com", "10.10.10.10", "", 1556590140, linkedIn},
		"dmarc_ruf_report_linkedin.crlf.eml": {"dmarc", "example.com", "10.10.10.10", "", 1556590140, linkedIn},
		"exim_plain_text_only_no_arf_part.eml": {"dmarc", "example.com", "203.0.113.68", "", 1744060569,
			func(r *dmarc.FailureReport) {
				require.Equal(t, []string{"dkim", "spf"}, r.IdentityAlignment)
				require.Equal(t, []string{"no machine-readable part"}, r.Warnings)
				require.Contains(t, string(r.Header), "\n\tby node04.mailgate.example.net with esmtp")
				require.Contains(t, string(r.Header), "Subject: Payment from your account.")
			}},
	} {
		table.test(t, filepath.Join("failure", file), func(t *testing.T) {
			f, err := os.Open(reportSuite(t, filepath.Join("failure", file)))
			require.NoError(t, err)
			defer f.Close()
			r, err := dmarc.ParseFailureReport(f)
			require.NoError(t, err)
			require.Equal(t, c.failure, r.AuthFailure)
			require.Equal(t, c.domain, r.ReportedDomain)
			require.Equal(t, c.ip, r.SourceIP.String())
			require.Equal(t, c.from, r.OriginalMailFrom)
			require.Equal(t, c.arrival, r.ArrivalDate.Unix())
			c.check(r)
			// What was read can be written.
			if r.ReportingMTA == "" {
				r.ReportingMTA = "mx.example.net"
			}
			again, err := dmarc.ParseFailureReport(strings.NewReader(failureMail(t, r)))
			require.NoError(t, err)
			require.Equal(t, r.SourceIP, again.SourceIP)
			require.Equal(t, r.Text, again.Text)
		})
	}
	table.log(t)
}

func FuzzParseFailureReport(f *testing.F) {
	f.Add([]byte(failureMail(f, sampleFailure())))
	f.Add([]byte(mixed("Content-Type: message/feedback-report\r\n\r\nFeedback-Type: auth-failure\r\nSPF-DNS: txt : a : \"b\\\"\r\nOriginal-Mail-From: <\\x{E9}@a>\r\n")))
	f.Add([]byte("Content-Type: text/plain\r\n\r\nSender Domain: a.example\r\nSender IP Address: 192.0.2.1\r\n\r\n--- a copy\r\n\r\nFrom: a\r\n"))
	f.Fuzz(func(t *testing.T, input []byte) {
		r, err := dmarc.ParseFailureReport(bytes.NewReader(input))
		if err != nil {
			require.Nil(t, r)
			return
		}
		require.LessOrEqual(t, len(r.Header), dmarc.MaxFailureHeader)
		for _, s := range append([]string{r.UserAgent, r.AuthFailure, r.AuthenticationResults, r.ReportedDomain,
			r.OriginalMailFrom, r.DKIMIdentity}, r.OriginalRecipients...) {
			require.True(t, utf8.ValidString(s) && len(s) <= dmarc.MaxReportText && !strings.ContainsAny(s, "\x00\x1b\r\n\t"),
				"%q", s)
		}
		r.ReportingMTA = "mx.example.net"
		var b strings.Builder
		if r.Write(&b) != nil {
			return
		}
		headers, _ := failureParts(t, "From: a@b.example\r\nSubject: c\r\n"+b.String())
		require.Len(t, headers, 3)
		again, err := dmarc.ParseFailureReport(strings.NewReader(b.String()))
		require.NoError(t, err)
		require.Equal(t, r.SourceIP, again.SourceIP)
		require.Equal(t, r.IdentityAlignment, again.IdentityAlignment)
	})
}
