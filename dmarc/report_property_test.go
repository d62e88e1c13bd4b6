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

// text draws what an enemy may put into a report, name the same, but not empty.
func text(t *rapid.T, label string) string {
	bytes := rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 30), func(b []byte) string { return string(b) })
	return rapid.OneOf(rapid.StringN(0, 40, -1), bytes, rapid.SampledFrom([]string{
		"", "example.com", "<![CDATA[x]]>", "&lt;", "</record>", "<!-- -->", "]]>", "a\r\nb", "'\"", "\ufffe", "\x00", "a  b", "\u00e4\u202e",
	})).Draw(t, label)
}

func name(t *rapid.T, label string) string { return "n" + text(t, label) }

func oneOf(t *rapid.T, label, words string) string {
	return rapid.SampledFrom(strings.Split(words, " ")).Draw(t, label)
}

// anyReport draws a report that can be written.
func anyReport(t *rapid.T) *dmarc.Report {
	begin := time.Unix(rapid.Int64Range(1, 253402300799).Draw(t, "begin"), 0).UTC()
	r := &dmarc.Report{
		Metadata: dmarc.ReportMetadata{
			OrgName: name(t, "org"), Email: name(t, "email"), ExtraContactInfo: text(t, "contact"), ReportID: name(t, "id"),
			Begin: begin, End: begin, Errors: rapid.SampledFrom([][]string{nil, {"a&b"}}).Draw(t, "errors"), Generator: text(t, "generator"),
		},
		Policy: dmarc.ReportPolicy{
			Domain: name(t, "domain"), DiscoveryMethod: oneOf(t, "discovery", " psl treewalk"), Policy: oneOf(t, "p", "none quarantine reject"),
			Subdomain: oneOf(t, "sp", " none reject"), Nonexistent: oneOf(t, "np", " none reject"), FailureOptions: oneOf(t, "fo", " 0 1:d:s"),
			DKIMAlignment: oneOf(t, "adkim", " r s"), SPFAlignment: oneOf(t, "aspf", " r s"), Testing: oneOf(t, "t", " n y"),
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
		Disposition: oneOf(t, "disposition", "none pass quarantine reject"), DKIM: oneOf(t, "dkim", "pass fail"), SPF: oneOf(t, "spf", "pass fail"),
		HeaderFrom: name(t, "from"), EnvelopeFrom: text(t, "mail from"), EnvelopeTo: text(t, "rcpt to"),
	}
	for range rapid.IntRange(0, 3).Draw(t, "overrides") {
		r.Overrides = append(r.Overrides, dmarc.ReportOverride{Type: oneOf(t, "type", "other mailing_list"), Comment: text(t, "comment")})
	}
	for range rapid.IntRange(0, 3).Draw(t, "signatures") {
		r.DKIMResults = append(r.DKIMResults, dmarc.ReportDKIM{
			Domain: text(t, "d"), Selector: text(t, "s"), Result: oneOf(t, "dkim result", "none pass permerror"), Human: text(t, "human"),
		})
	}
	if rapid.Bool().Draw(t, "has spf") {
		r.SPFResults = []dmarc.ReportSPF{{
			Domain: text(t, "spf domain"), Scope: oneOf(t, "scope", " mfrom"), Result: oneOf(t, "spf result", "none pass softfail"), Human: text(t, "spf human"),
		}}
	}
	return r
}

// cleaned is the report with every text as it has to come out.
func cleaned(r *dmarc.Report) *dmarc.Report {
	c := *r
	c.Version = "1.0"
	for _, s := range []*string{
		&c.Metadata.OrgName, &c.Metadata.Email, &c.Metadata.ExtraContactInfo, &c.Metadata.ReportID, &c.Metadata.Generator, &c.Policy.Domain,
	} {
		*s = cleanly(*s)
	}
	for i := range c.Records {
		rec := &c.Records[i]
		rec.Source = rec.Source.Unmap()
		rec.HeaderFrom, rec.EnvelopeFrom, rec.EnvelopeTo = cleanly(rec.HeaderFrom), cleanly(rec.EnvelopeFrom), cleanly(rec.EnvelopeTo)
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
