package dmarc_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/stretchr/testify/require"
)

// parsedReport reads an input with small limits and checks what holds for all reports that were read.
func parsedReport(t *testing.T, input []byte) {
	const limit, records = 1 << 18, 1000
	r, err := dmarc.ReportParser{MaxBytes: limit, MaxRecords: records}.Parse(bytes.NewReader(input))
	if err != nil {
		require.Nil(t, r)
		return
	}
	require.LessOrEqual(t, len(r.Records), records)
	require.LessOrEqual(t, len(r.Warnings), dmarc.MaxReportWarnings)
	texts := append([]string{r.Metadata.OrgName, r.Metadata.Email, r.Metadata.ReportID, r.Policy.Domain, r.Policy.Policy},
		r.Metadata.Errors...)
	for i := range r.Records {
		rec := &r.Records[i]
		require.True(t, rec.Count >= 0 && rec.Count <= dmarc.MaxReportCount)
		texts = append(texts, rec.HeaderFrom, rec.EnvelopeFrom, rec.Disposition, rec.DKIM)
		for _, d := range rec.DKIMResults {
			texts = append(texts, d.Domain, d.Selector, d.Result, d.Human)
		}
	}
	for _, s := range texts {
		require.True(t, utf8.ValidString(s) && len(s) <= dmarc.MaxReportText && !strings.ContainsAny(s, "\x00\x1b\r\n\t\u202e"),
			"%q", s)
	}
	require.NoError(t, r.WriteText(io.Discard))
	require.NoError(t, r.WriteHTML(io.Discard))
	// What can be written again comes back the same.
	var doc bytes.Buffer
	if r.WriteXML(&doc) != nil {
		return
	}
	again, err := dmarc.ParseReport(&doc)
	require.NoError(t, err)
	require.Equal(t, len(r.Records), len(again.Records))
	for i := range r.Records {
		require.Equal(t, r.Records[i].HeaderFrom, again.Records[i].HeaderFrom)
		require.Equal(t, r.Records[i].Source, again.Records[i].Source)
		require.Equal(t, r.Records[i].DKIMResults, again.Records[i].DKIMResults)
	}
}

func FuzzParseReportXML(f *testing.F) {
	f.Add([]byte(reportXML(f, sampleReport())))
	f.Add([]byte(`<?xml version="1.0" encoding="iso-8859-1"?><!DOCTYPE a [<!ENTITY b "c">]><a:feedback xmlns:a='x'><a:record/><![CDATA[&]]>`))
	f.Add([]byte(oneRecord("<identifiers><header_from>a &amp; &#x41; b < c</header_from>")))
	f.Add([]byte("\xff\xfe<\x00f\x00e\x00e\x00d\x00b\x00a\x00c\x00k\x00>\x00"))
	f.Fuzz(func(t *testing.T, input []byte) { parsedReport(t, input) })
}

func FuzzParseReportPacked(f *testing.F) {
	doc := reportXML(f, sampleReport())
	gz, archive := gzipped(f, doc), zipped(f, "a.xml", doc, "b", "")
	for _, seed := range []string{
		gz, archive, gzipped(f, archive), mixed(textPart, "Content-Transfer-Encoding: base64\r\n\r\n"+inBase64(gz)),
		mixed("Content-Type: text/xml\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + inQuotedPrintable(f, doc)),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) { parsedReport(t, input) })
}
