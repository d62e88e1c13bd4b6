package dmarc_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf16"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/charmap"
)

// oneRecord is the shortest report that is worth reading, with more put into the record.
func oneRecord(more string) string {
	return `<feedback><policy_published><domain>example.com</domain></policy_published><record>` + more + `</record></feedback>`
}

func readReport(t testing.TB, input string) *dmarc.Report {
	t.Helper()
	r, err := dmarc.ParseReport(strings.NewReader(input))
	require.NoError(t, err)
	return r
}

func gzipped(t testing.TB, parts ...string) string {
	t.Helper()
	var b bytes.Buffer
	for _, part := range parts { // each a member of its own
		w := gzip.NewWriter(&b)
		_, err := io.WriteString(w, part)
		require.NoError(t, err)
		require.NoError(t, w.Close())
	}
	return b.String()
}

// zipped takes names and contents in turn.
func zipped(t testing.TB, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		require.NoError(t, err)
		_, err = io.WriteString(f, files[i+1])
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.String()
}

// inBase64 has lines as a mail has them.
func inBase64(s string) string {
	var b strings.Builder
	for text := base64.StdEncoding.EncodeToString([]byte(s)); text != ""; {
		n := min(76, len(text))
		b.WriteString(text[:n] + "\r\n")
		text = text[n:]
	}
	return b.String()
}

func inQuotedPrintable(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	_, err := io.WriteString(w, s)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.String()
}

// mixed is a mail with these parts, each a header and a body.
func mixed(parts ...string) string {
	return "From: a@example.net\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n" +
		strings.Join(parts, "\r\n--b\r\n") + "\r\n--b--\r\n"
}

const textPart = "Content-Type: text/plain\r\n\r\nHere is your report. <feedback> of any kind is welcome.\r\n"

func TestParseReportUnpacksEverything(t *testing.T) {
	t.Parallel()
	want := sampleReport()
	doc := reportXML(t, want)
	for i := range want.Metadata.Errors {
		want.Metadata.Errors[i] = "sp is not valid"
	}
	want.Version = "1.0"
	want.Metadata.Begin, want.Metadata.End = want.Metadata.Begin.UTC(), want.Metadata.End.UTC()
	gz, archive := gzipped(t, doc), zipped(t, "a!b!1!2.xml", doc)
	for name, input := range map[string]string{
		"xml":                    doc,
		"xml with BOM":           "\ufeff" + doc,
		"xml behind blank lines": "\r\n \t\n" + doc,
		"gzip":                   gz,
		"gzip of two members":    gzipped(t, doc[:500], doc[500:]),
		"zip":                    archive,
		"zip without a name":     zipped(t, "", doc),
		"zip with other files first": zipped(t, "__MACOSX/._a.xml", doc[:100], "dir/", "", "readme.txt", "hello", "b.html",
			"<html></html>", "a", doc),
		"zip with hostile names": zipped(t, "../../etc/passwd", "root", "C:\\x\x00\r\n", doc),
		"gzip in a zip":          zipped(t, "a.gz", gz),
		"zip in a gzip":          gzipped(t, archive),
		"mail that is the attachment": "Content-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n" +
			"Content-Disposition: attachment; filename=\"x.xml.gz\"\r\n\r\n" + inBase64(gz),
		"mail with bare LF": strings.ReplaceAll("Content-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"+inBase64(archive), "\r\n", "\n"),
		"mail in binary":    "Content-Type: application/zip\r\nContent-Transfer-Encoding: binary\r\n\r\n" + archive,
		"mixed": mixed(textPart,
			"Content-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n"+inBase64(gz)),
		"quoted-printable": mixed(textPart,
			"Content-Type: text/xml\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"+inQuotedPrintable(t, doc)),
		"wrong media type": mixed(textPart,
			"Content-Type: image/png; name=cat.png\r\nContent-Transfer-Encoding: base64\r\n\r\n"+inBase64(archive)),
		"no media type":    mixed(textPart, "Content-Transfer-Encoding: base64\r\n\r\n"+inBase64(archive)),
		"no encoding told": mixed(textPart, "Content-Type: application/zip; name=x.zip\r\n\r\n"+inBase64(archive)),
		"an html part first": mixed("Content-Type: text/html\r\n\r\n<html><body>your <b>feedback</b></body></html>",
			"Content-Type: text/xml\r\n\r\n"+doc),
		"nested": mixed(textPart, "Content-Type: multipart/related; boundary=c\r\n\r\n--c\r\n"+
			"Content-Type: message/rfc822\r\n\r\nSubject: forwarded\r\nContent-Type: application/octet-stream\r\n"+
			"Content-Transfer-Encoding: base64\r\n\r\n"+inBase64(gz)+"--c--"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, r := range []io.Reader{strings.NewReader(input), iotest.OneByteReader(strings.NewReader(input)),
				iotest.DataErrReader(strings.NewReader(input))} {
				got, err := dmarc.ParseReport(r)
				require.NoError(t, err)
				require.Equal(t, want, got)
			}
		})
	}
}

func TestParseReportRefusesWhatHasNoReport(t *testing.T) {
	t.Parallel()
	doc := reportXML(t, sampleReport())
	gz, archive := gzipped(t, doc), zipped(t, "a.xml", doc)
	encrypted := []byte(archive)
	encrypted[6] |= 1                                              // flags of the local header
	encrypted[bytes.Index(encrypted, []byte("PK\x01\x02"))+8] |= 1 // and of the directory
	badSum := []byte(gz)
	badSum[len(badSum)-8] ^= 1
	for name, c := range map[string]struct {
		input string
		want  error
		text  string
	}{
		"nothing":               {"", dmarc.ErrNoReport, ""},
		"blanks":                {" \r\n", dmarc.ErrNoReport, ""},
		"text":                  {"hello", dmarc.ErrNoReport, ""},
		"html":                  {"<!DOCTYPE html><html><p>hello</html>", dmarc.ErrNoReport, ""},
		"empty feedback":        {"<feedback/>", dmarc.ErrNoReport, "without domain and records"},
		"mail without":          {mixed(textPart), dmarc.ErrNoReport, ""},
		"empty zip":             {mixed("\r\n" + zipped(t)), dmarc.ErrNoReport, ""},
		"cut off":               {doc[:len(doc)-20], dmarc.ErrReportInvalid, "it ends in line"},
		"cut off in a tag":      {doc[:len(doc)-2], dmarc.ErrReportInvalid, "it ends in line"},
		"cut off in a type":     {"<!DOCTYPE feedback [<!-- ", dmarc.ErrNoReport, ""},
		"cut off in attributes": {"<feedback a='", dmarc.ErrNoReport, ""},
		"cut off in a comment":  {"<feedback><!-- ", dmarc.ErrReportInvalid, "it ends in line"},
		"cut off gzip":          {gz[:len(gz)/2], dmarc.ErrReportInvalid, "it ends in line"},
		"cut off gzip header":   {gz[:5], dmarc.ErrReportInvalid, "EOF"},
		"gzip with a wrong sum": {string(badSum), dmarc.ErrReportInvalid, "checksum"},
		"cut off zip":           {archive[:len(archive)-30], dmarc.ErrReportInvalid, "zip"},
		"encrypted zip":         {string(encrypted), dmarc.ErrReportInvalid, "encrypted"},
		"the error of the attachment": {
			mixed(textPart,
				"Content-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n"+inBase64(gz[:len(gz)/2]),
				textPart),
			dmarc.ErrReportInvalid, "it ends in line",
		},
		"deep": {"<feedback>" + strings.Repeat("<x>", 100), dmarc.ErrReportInvalid, "inside each other"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := dmarc.ParseReport(strings.NewReader(c.input))
			require.ErrorIs(t, err, c.want)
			require.ErrorContains(t, err, "dmarc: read report: ")
			require.ErrorContains(t, err, c.text)
		})
	}
}

// A fault of the disk or the network is not the report's.
func TestParseReportGivesTheReadersError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	doc := reportXML(t, sampleReport())
	for name, start := range map[string]string{
		"at once": "", "in xml": doc[:1500], "behind xml": doc, "in gzip": gzipped(t, doc)[:300], "in zip": zipped(t, "a",
			doc)[:300],
		"in mail": mixed(textPart), "in base64": inBase64(gzipped(t, doc))[:300],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := dmarc.ParseReport(io.MultiReader(strings.NewReader(start), iotest.ErrReader(broken)))
			require.ErrorIs(t, err, broken)
			require.NotErrorIs(t, err, dmarc.ErrReportInvalid)
			require.NotErrorIs(t, err, dmarc.ErrNoReport)
		})
	}
}

func TestParseReportTakesBrokenXML(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ record, from string }{
		"white space": {"<identifiers>\r\n<header_from >\n\t x.example \n</header_from\n></identifiers>",
			"x.example"},
		"attributes": {`<identifiers a='>' b="/>"><header_from lang="en">x.example</header_from></identifiers>`,
			"x.example"},
		"upper case":         {"<IDENTIFIERS><Header_From>x.example</header_from></Identifiers>", "x.example"},
		"references":         {"<identifiers><header_from>&#120;&#x2E;&lt;&amp;lt;&quot;&apos;&gt;</header_from></identifiers>", `x.<&lt;"'>`},
		"unknown references": {"<identifiers><header_from>&x;&#xZ;&#x110000;&#99999999999;& ;&amp</header_from></identifiers>", "&x;&#xZ;&#x110000;&#99999999999;& ;&amp"},
		"forbidden references": {"<identifiers><header_from>a&#0;b&#x1b;c&#xd800;&#xfffe;</header_from></identifiers>",
			"a\ufffdb\ufffdc\ufffd\ufffd"},
		"cdata":        {"<identifiers><header_from> <![CDATA[a<b>&amp;]]]]><![CDATA[>]]></header_from></identifiers>", "a<b>&amp;]]>"},
		"comments":     {"<!-- <identifiers> -- > --><identifiers><header_from>a<!-- > -->b<!----></header_from></identifiers>", "ab"},
		"instructions": {"<?x <identifiers>?><identifiers><header_from>a<?y?>b</header_from></identifiers>", "ab"},
		"stray <": {"<identifiers><header_from>a < b <3 << <a@b> </ x <-c></header_from></identifiers>",
			"a < b <3 << <a@b> </ x <-c>"},
		"markup in a text":               {"<identifiers><header_from>a <b>bold</b> c</header_from></identifiers>", "a bold c"},
		"text left open before the next": {"<identifiers><header_from>a <envelope_from>b</identifiers>", "a"},
		"container left open":            {"<row><count>1</count><identifiers><header_from>a</header_from></identifiers>", "a"},
		"text left open":                 {"<identifiers><header_from>a</identifiers>", "a"},
		"element left open":              {"<identifiers><header_from>a</header_from>", "a"},
		"end without a start":            {"</foo></row><identifiers></x><header_from>a</header_from></identifiers>", "a"},
		"tag without an end":             {"<identifiers <header_from>a</header_from></identifiers>", "a"},
		"quote without an end":           {`<identifiers a="<header_from>a</header_from></identifiers>`, "a"},
		"identities of old":              {"<identities><header_from>a</header_from></identities>", "a"},
		"unknown elements":               {"<x><identifiers><header_from>no</header_from></identifiers></x><identifiers><y/><header_from>a</header_from></identifiers>", "a"},
		"an extension":                   {`<identifiers><header_from>a</header_from></identifiers><e:identifiers xmlns:e="urn:e"><header_from>no</header_from></e:identifiers>`, "a"},
		"control characters": {"<identifiers><header_from>a\x00\x1b[2Jb\x7f\u202e</header_from></identifiers>",
			"a\ufffd\ufffd[2Jb\ufffd\ufffd"},
		"bytes that are no UTF-8": {"<identifiers><header_from>a\xff\xfeb\xc3</header_from></identifiers>",
			"a\ufffd\ufffdb\ufffd"},
		"a long text": {"<identifiers><header_from>" + strings.Repeat("a", 1<<20) + "</header_from></identifiers>",
			strings.Repeat("a", dmarc.MaxReportText)},
		"an empty element": {"<identifiers><header_from/></identifiers>", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, head := range []string{"", `<?xml version="1.0"?>`,
				"<!DOCTYPE feedback [<!ENTITY x \"]>&x;&x;\"><!-- don't -->]>\n", "<xs:schema>"} {
				r := readReport(t, head+oneRecord(c.record))
				require.Len(t, r.Records, 1)
				require.Equal(t, c.from, r.Records[0].HeaderFrom)
			}
		})
	}
}

// The namespace may have a prefix; what has another one belongs to an extension (RFC 9990 §5).
func TestParseReportKnowsNamespacePrefixes(t *testing.T) {
	t.Parallel()
	doc := `<d:feedback xmlns:d="urn:ietf:params:xml:ns:dmarc-2.0" xmlns:ext="urn:ext">
		<d:policy_published><d:domain>example.com</d:domain><ext:domain>no</ext:domain></d:policy_published>
		<d:extension><ext:record/><d:record/></d:extension>
		<d:record><d:row><d:count>3</d:count></d:row><ext:row><ext:count>4</ext:count></ext:row></d:record></d:feedback>`
	r := readReport(t, doc)
	require.Equal(t, "example.com", r.Policy.Domain)
	require.Len(t, r.Records, 1)
	require.Equal(t, int64(3), r.Records[0].Count)
}

func TestParseReportReadsOtherCharacterSets(t *testing.T) {
	t.Parallel()
	utf16Of := func(s string, big bool) string {
		var b strings.Builder
		for _, u := range utf16.Encode([]rune(s)) {
			if big {
				b.Write([]byte{byte(u >> 8), byte(u)})
			} else {
				b.Write([]byte{byte(u), byte(u >> 8)})
			}
		}
		return b.String()
	}
	encode := func(m *charmap.Charmap, s string) string {
		s, err := m.NewEncoder().String(s)
		require.NoError(t, err)
		return s
	}
	body := strings.Replace(oneRecord(""), "example.com", "b\u00fccher.example \u20ac", 1)
	for name, input := range map[string]string{
		"UTF-8":                      body,
		"UTF-8 declared as UTF-16":   `<?xml version="1.0" encoding="utf-16"?>` + body,
		"unknown":                    `<?xml version="1.0" encoding="x-nonsense"?>` + body,
		"UTF-16 big endian with BOM": utf16Of("\ufeff<?xml version='1.0' encoding='UTF-16'?>"+body, true),
		"UTF-16 little endian":       utf16Of(body, false),
		"UTF-16 little endian, BOM":  utf16Of("\ufeff"+body, false),
		"UTF-16 big endian":          utf16Of(body, true),
		"windows-1252":               encode(charmap.Windows1252, `<?xml version="1.0" encoding = "Windows-1252" ?>`+body),
		"ISO-8859-1, single quotes":  encode(charmap.Windows1252, `<?xml version='1.0' encoding='ISO-8859-1'?>`+body),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, "b\u00fccher.example \u20ac", readReport(t, input).Policy.Domain)
			require.Equal(t, "b\u00fccher.example \u20ac", readReport(t, gzipped(t, input)).Policy.Domain)
		})
	}
	emoji := strings.Replace(oneRecord(""), "example.com", "\U0001f600", 1)
	require.Equal(t, "\U0001f600", readReport(t, utf16Of(emoji, true)).Policy.Domain)
	broken := strings.Replace(utf16Of(emoji, false), "\x00\xde", "A\x00", 1) // half a surrogate pair
	require.Equal(t, "\ufffdA", readReport(t, broken).Policy.Domain)
	other := encode(charmap.ISO8859_15, `<?xml version="1.0" encoding="ISO-8859-15"?>`+body)
	require.Equal(t, "b\ufffdcher.example \ufffd", readReport(t, other).Policy.Domain)
	require.Contains(t, readReport(t, other).Warnings, "line 1: a text that is not in its character set")
	latin := "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>" + strings.Replace(oneRecord(""), "example.com",
		"b\xfccher.example", 1)
	require.Equal(t, "b\u00fccher.example", readReport(t, latin).Policy.Domain)
}

func TestParseReportPutsValuesRight(t *testing.T) {
	t.Parallel()
	r := readReport(t, `<feedback>
	<report_metadata><error>one</error><error/><error>two</error><date_range><begin>1700000000.5</begin><end>1699999999</end></date_range></report_metadata>
	<policy_published><domain>example.com</domain><adkim>Strict</adkim><aspf>relaxed</aspf><p>Reject </p><sp>Maybe</sp><fo>1:D</fo><t>Y</t></policy_published>
	<record><row><source_ip>[2001:DB8::1%eth0]</source_ip><count>-5</count><policy_evaluated>
		<disposition>Quarantine</disposition><dkim>Fail</dkim><spf>PASS</spf>
		<reason><type>Sampled_Out</type></reason><reason><type/><comment/></reason></policy_evaluated></row>
	<auth_results><dkim/><dkim><result>Weird</result></dkim><spf><result>hardfail</result><scope>HELO</scope></spf>
		<spf><result>unknown</result></spf><spf><result>error</result></spf><spf><result>soft_fail</result></spf></auth_results></record>
	<record><row><source_ip>::ffff:192.0.2.1</source_ip><count>99999999999999999999</count></row></record>
	<record><row><source_ip>localhost</source_ip><count>many</count></row></record>
	</feedback>`)
	require.Equal(t, []string{"one", "two"}, r.Metadata.Errors)
	require.Equal(t, time.Unix(1700000000, 0).UTC(), r.Metadata.Begin)
	require.Equal(t, dmarc.ReportPolicy{
		Domain: "example.com", DKIMAlignment: "s", SPFAlignment: "r", Policy: "reject", Subdomain: "maybe",
		FailureOptions: "1:d", Testing: "y",
	}, r.Policy)
	require.Equal(t, []dmarc.ReportRecord{
		{
			Source: netip.MustParseAddr("2001:db8::1"), Disposition: "quarantine", DKIM: "fail", SPF: "pass",
			Overrides:   []dmarc.ReportOverride{{Type: "sampled_out"}},
			DKIMResults: []dmarc.ReportDKIM{{Result: "weird"}},
			SPFResults: []dmarc.ReportSPF{{Scope: "helo", Result: "fail"}, {Result: "temperror"}, {Result: "permerror"},
				{Result: "softfail"}},
		},
		{Source: netip.MustParseAddr("192.0.2.1"), Count: dmarc.MaxReportCount},
		{},
	}, r.Records)
	require.True(t, r.Records[0].Passed())
	require.False(t, r.Records[1].Passed())
	text := strings.Join(r.Warnings, "\n")
	for _, want := range []string{
		`line 8: count "-5" is no number`, `sp "maybe" is none of`, `dkim result "weird" is none of`,
		`source_ip "localhost" is no address`,
		`count "99999999999999999999" is no number`, `count "many"`, `no header_from`, `disposition "" is none of`,
	} {
		require.Contains(t, text, want)
	}
}

func TestParseReportKnowsDatesThatCannotBe(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "0", "-1", "253402300800", "99999999999999999999", "2024-01-01", "NaN"} {
		r := readReport(t, strings.Replace(oneRecord(""), "<feedback>",
			"<feedback><report_metadata><date_range><begin>"+text+"</begin></date_range></report_metadata>", 1))
		require.True(t, r.Metadata.Begin.IsZero(), text)
		require.Contains(t, strings.Join(r.Warnings, "\n"), fmt.Sprintf("begin %q is no time in seconds since 1970", text))
	}
}

func TestParseReportBoundsARecord(t *testing.T) {
	t.Parallel()
	r := readReport(t, oneRecord("<row><policy_evaluated>"+strings.Repeat("<reason><type>other</type></reason>",
		200)+"</policy_evaluated></row>"+
		"<auth_results>"+strings.Repeat("<dkim><result>pass</result></dkim><spf><result>pass</result></spf>",
		200)+"</auth_results>"))
	require.Len(t, r.Records[0].Overrides, dmarc.MaxReportOverrides)
	require.Len(t, r.Records[0].DKIMResults, dmarc.MaxReportSignatures)
	require.Len(t, r.Records[0].SPFResults, 10)
	require.Len(t, readReport(t, oneRecord(strings.Repeat("<", 1000))).Warnings, dmarc.MaxReportWarnings)
	errs := strings.Repeat("<error>x</error>", 1000)
	require.Len(t, readReport(t, strings.Replace(oneRecord(""), "<feedback>",
		"<feedback><report_metadata>"+errs+"</report_metadata>", 1)).Metadata.Errors, 20)
}

// A sender that forgets end tags is understood, record by record.
func TestParseReportClosesWhatWasLeftOpen(t *testing.T) {
	t.Parallel()
	r := readReport(t, `<feedback><report_metadata><org_name>o<policy_published><domain>example.com<p>none
		<record><row><source_ip>192.0.2.1<count>1<policy_evaluated><disposition>none<dkim>pass<spf>fail
		<identifiers><header_from>a.example.com<envelope_from>b.example.com
		<auth_results><dkim><domain>d<selector>s<result>pass<dkim><domain>e<result>fail<spf><domain>f<result>none
		<record><row><source_ip>192.0.2.2<count>2</feedback>`)
	require.Equal(t, "o", r.Metadata.OrgName)
	require.Equal(t, "none", r.Policy.Policy)
	require.Equal(t, []dmarc.ReportRecord{
		{
			Source: netip.MustParseAddr("192.0.2.1"), Count: 1, Disposition: "none", DKIM: "pass", SPF: "fail",
			HeaderFrom: "a.example.com", EnvelopeFrom: "b.example.com",
			DKIMResults: []dmarc.ReportDKIM{{Domain: "d", Selector: "s", Result: "pass"}, {Domain: "e", Result: "fail"}},
			SPFResults:  []dmarc.ReportSPF{{Domain: "f", Result: "none"}},
		},
		{Source: netip.MustParseAddr("192.0.2.2"), Count: 2},
	}, r.Records)
}
