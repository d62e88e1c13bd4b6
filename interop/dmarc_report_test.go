//go:build interop

package interop

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/stretchr/testify/require"
)

// randomReport is a report whose texts are any bytes, and whose optional elements are there or not.
func randomReport(r *rand.Rand) *dmarc.Report {
	text := func() string {
		b := make([]byte, r.IntN(30))
		for i := range b {
			b[i] = byte(r.UintN(256))
		}
		return string(b)
	}
	maybe := func(s string) string {
		if r.IntN(2) == 0 {
			return ""
		}
		return s
	}
	report := &dmarc.Report{
		Metadata: dmarc.ReportMetadata{
			OrgName: "o" + text(), Email: "e" + text(), ExtraContactInfo: maybe(text()), ReportID: "i" + text(),
			Begin: time.Unix(1, 0), End: time.Unix(r.Int64N(1<<40)+2, 0), Errors: []string{text(), text()},
			Generator: maybe(text()),
		},
		Policy: dmarc.ReportPolicy{
			Domain: "d" + text(), DiscoveryMethod: maybe("psl"), Policy: maybe("reject"), Subdomain: maybe("quarantine"),
			Nonexistent:    maybe("none"),
			FailureOptions: maybe("1:d:s"), DKIMAlignment: maybe("s"), SPFAlignment: maybe("r"), Testing: maybe("y"),
			Percent: maybe("50"),
		},
	}
	for range 1 + r.IntN(5) {
		rec := dmarc.ReportRecord{
			Source: netip.AddrFrom16([16]byte{0x20, 1, byte(r.UintN(256)), 15: byte(r.UintN(256))}), Count: 1 + r.Int64N(1<<40),
			Disposition: []string{"none", "pass", "quarantine", "reject"}[r.IntN(4)], DKIM: "pass", SPF: "fail",
			HeaderFrom: "h" + text(), EnvelopeFrom: maybe(text()), EnvelopeTo: maybe(text()),
		}
		for range r.IntN(4) {
			rec.Overrides = append(rec.Overrides, dmarc.ReportOverride{Type: []string{"mailing_list", "forwarded",
				text()}[r.IntN(3)], Comment: maybe(text())})
			rec.DKIMResults = append(rec.DKIMResults, dmarc.ReportDKIM{Domain: text(), Selector: text(), Result: "permerror",
				Human: maybe(text())})
		}
		rec.SPFResults = []dmarc.ReportSPF{{Domain: text(), Scope: "mfrom", Result: "softfail", Human: maybe(text())}}
		report.Records = append(report.Records, rec)
	}
	return report
}

// validates wants xmllint to find that files follow a schema.
func validates(t *testing.T, schema string, files []string) {
	t.Helper()
	out, err := exec.Command("xmllint", append([]string{"--noout", "--nonet", "--schema", schema},
		files...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, len(files), strings.Count(string(out), " validates\n"), "%s", out)
}

// What WriteXML writes follows the schema of RFC 9990, whatever is in the report.
func TestReportsFollowTheSchema(t *testing.T) {
	t.Parallel()
	need(t, "xmllint")
	suites := os.Getenv("MAILBRICKS_SUITES")
	if suites == "" {
		t.Skip("MAILBRICKS_SUITES is not set")
	}
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	var files []string
	for i := range 50 {
		name := filepath.Join(dir, fmt.Sprintf("%d.xml", i))
		f, err := os.Create(name)
		require.NoError(t, err)
		require.NoError(t, randomReport(r).WriteXML(f))
		require.NoError(t, f.Close())
		files = append(files, name)
	}
	t.Run("of RFC 9990 appendix A", func(t *testing.T) {
		t.Parallel()
		schema := filepath.Join(suites, "..", "rfc", "rfc9990-draft-dmarc-xml-0.2.xsd")
		if _, err := os.Stat(schema); err != nil {
			t.Skip("the text of the schema is not beside the suites")
		}
		validates(t, schema, files)
	})
	t.Run("of Mail::DMARC", func(t *testing.T) {
		t.Parallel()
		text, err := os.ReadFile(filepath.Join(suites, "dmarc-reports", "mail-dmarc", "share", "rua-schema.xsd"))
		require.NoError(t, err)
		schema := string(text)
		for _, difference := range [][2]string{ // between it and RFC 9990 §3.1.1
			{`targetNamespace="urn:ietf:params:xml:ns:dmarc-2.0"`, `targetNamespace="` + dmarc.ReportNamespace + `" xmlns="` +
				dmarc.ReportNamespace + `" elementFormDefault="qualified"`},
			{`<xs:element name="report_metadata"`,
				`<xs:element name="version" type="xs:decimal" minOccurs="0"/><xs:element name="report_metadata"`},
			{`<xs:element name="error" type="xs:string" minOccurs="0"
                   maxOccurs="unbounded"/>`, `<xs:element name="error" type="xs:string" minOccurs="0"/><xs:element name="generator" type="xs:string" minOccurs="0"/>`},
			{`name="t" type="xs:string"`, `name="testing" type="xs:string"`},
			{`name="source_ip" type="IPAddress"`, `name="source_ip" type="xs:string"`},
			{`name="disposition" type="DispositionType"`, `name="disposition" type="xs:string"`},
			{`name="result" type="SPFResultType"
                   minOccurs="1"/>`, `name="result" type="SPFResultType"/><xs:element name="human_result" type="xs:string" minOccurs="0"/>`},
		} {
			require.Equal(t, 1, strings.Count(schema, difference[0]), difference[0])
			schema = strings.Replace(schema, difference[0], difference[1], 1)
		}
		name := filepath.Join(dir, "schema.xsd")
		require.NoError(t, os.WriteFile(name, []byte(schema), 0o600))
		validates(t, name, files)
	})
}
