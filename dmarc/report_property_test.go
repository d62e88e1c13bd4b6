package dmarc_test

import (
	"encoding/xml"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// cleanly is what is to become of a text, said in another way than the code says it; for texts that need no cut.
func cleanly(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			r = ' '
		case unicode.Is(unicode.Cc, r), r == 0xfffe, r == 0xffff,
			strings.ContainsRune("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", r):
			r = utf8.RuneError
		}
		b.WriteRune(r)
	}
	return strings.Trim(b.String(), " ")
}

// anyText draws what an enemy may put into a report, anyName the same, but not empty.
func anyText(t *rapid.T, label string) string {
	bytes := rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 30), func(b []byte) string { return string(b) })
	return rapid.OneOf(rapid.StringN(0, 40, -1), bytes, rapid.SampledFrom([]string{
		"", "example.com", "<![CDATA[x]]>", "&lt;", "</record>", "<!-- -->", "]]>", "a\r\nb", "'\"", "\ufffe", "\x00", "a  b",
		"\u00e4\u202e",
	})).Draw(t, label)
}

func anyName(t *rapid.T, label string) string { return "n" + anyText(t, label) }

func anyOf(t *rapid.T, label, words string) string {
	return rapid.SampledFrom(strings.Split(words, " ")).Draw(t, label)
}

// anyReport draws a report that can be written.
func anyReport(t *rapid.T) *dmarc.Report {
	begin := time.Unix(rapid.Int64Range(1, 253402300799).Draw(t, "begin"), 0).UTC()
	r := &dmarc.Report{
		Metadata: dmarc.ReportMetadata{
			OrgName: anyName(t, "org"), Email: anyName(t, "email"), ExtraContactInfo: anyText(t, "contact"),
			ReportID: anyName(t, "id"),
			Begin:    begin, End: begin, Errors: rapid.SampledFrom([][]string{nil, {"a&b"}}).Draw(t, "errors"),
			Generator: anyText(t, "generator"),
		},
		Policy: dmarc.ReportPolicy{
			Domain: anyName(t, "domain"), DiscoveryMethod: anyOf(t, "discovery", " psl treewalk"), Policy: anyOf(t, "p",
				"none quarantine reject"),
			Subdomain: anyOf(t, "sp", " none reject"), Nonexistent: anyOf(t, "np", " none reject"), FailureOptions: anyOf(t,
				"fo", " 0 1:d:s"),
			DKIMAlignment: anyOf(t, "adkim", " r s"), SPFAlignment: anyOf(t, "aspf", " r s"), Testing: anyOf(t, "t", " n y"),
		},
	}
	for range rapid.IntRange(1, 4).Draw(t, "records") {
		r.Records = append(r.Records, anyRecord(t))
	}
	return r
}

func anyRecord(t *rapid.T) dmarc.ReportRecord {
	addr := netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "source")))
	if rapid.Bool().Draw(t, "v4") {
		addr = netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "source4")))
	}
	r := dmarc.ReportRecord{
		Source: addr, Count: rapid.Int64Range(1, dmarc.MaxReportCount).Draw(t, "count"),
		Disposition: anyOf(t, "disposition", "none pass quarantine reject"), DKIM: anyOf(t, "dkim", "pass fail"), SPF: anyOf(t,
			"spf", "pass fail"),
		HeaderFrom: anyName(t, "from"), EnvelopeFrom: anyText(t, "mail from"), EnvelopeTo: anyText(t, "rcpt to"),
	}
	for range rapid.IntRange(0, 3).Draw(t, "overrides") {
		r.Overrides = append(r.Overrides, dmarc.ReportOverride{Type: anyOf(t, "type", "other mailing_list"), Comment: anyText(t,
			"comment")})
	}
	for range rapid.IntRange(0, 3).Draw(t, "signatures") {
		r.DKIMResults = append(r.DKIMResults, dmarc.ReportDKIM{
			Domain: anyText(t, "d"), Selector: anyText(t, "s"), Result: anyOf(t, "dkim result", "none pass permerror"),
			Human: anyText(t, "human"),
		})
	}
	if rapid.Bool().Draw(t, "has spf") {
		r.SPFResults = []dmarc.ReportSPF{{
			Domain: anyText(t, "spf domain"), Scope: anyOf(t, "scope", " mfrom"), Result: anyOf(t, "spf result",
				"none pass softfail"), Human: anyText(t, "spf human"),
		}}
	}
	return r
}

// cleaned is the report with every text as it has to come out.
func cleaned(r *dmarc.Report) *dmarc.Report {
	c := *r
	c.Version = "1.0"
	for _, s := range []*string{
		&c.Metadata.OrgName, &c.Metadata.Email, &c.Metadata.ExtraContactInfo, &c.Metadata.ReportID, &c.Metadata.Generator,
		&c.Policy.Domain,
	} {
		*s = cleanly(*s)
	}
	for i := range c.Records {
		rec := &c.Records[i]
		rec.Source = rec.Source.Unmap()
		rec.HeaderFrom, rec.EnvelopeFrom, rec.EnvelopeTo = cleanly(rec.HeaderFrom), cleanly(rec.EnvelopeFrom),
			cleanly(rec.EnvelopeTo)
		for i := range rec.Overrides {
			rec.Overrides[i].Comment = cleanly(rec.Overrides[i].Comment)
		}
		for i := range rec.DKIMResults {
			d := &rec.DKIMResults[i]
			d.Domain, d.Selector, d.Human = cleanly(d.Domain), cleanly(d.Selector), cleanly(d.Human)
		}
		for i := range rec.SPFResults {
			s := &rec.SPFResults[i]
			s.Domain, s.Human = cleanly(s.Domain), cleanly(s.Human)
		}
	}
	return &c
}

func TestReportsComeBackAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := anyReport(t)
		var b strings.Builder
		require.NoError(t, r.WriteXML(&b))
		got, err := dmarc.ParseReport(strings.NewReader(b.String()))
		require.NoError(t, err)
		require.Equal(t, cleaned(r), got)
		// Another parser, a strict one, takes it too, and finds the same texts.
		d := xml.NewDecoder(strings.NewReader(b.String()))
		var froms []string
		for in := ""; ; {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
			switch token := token.(type) {
			case xml.StartElement:
				in = token.Name.Local
			case xml.CharData:
				if in == "header_from" {
					froms = append(froms, string(token))
				}
			case xml.EndElement:
				in = ""
			}
		}
		require.Len(t, froms, len(got.Records))
		for i := range froms {
			require.Equal(t, froms[i], got.Records[i].HeaderFrom)
		}
	})
}
