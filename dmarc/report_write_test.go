package dmarc_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/stretchr/testify/require"
)

// sampleReport has every element of RFC 9990 in it.
func sampleReport() *dmarc.Report {
	return &dmarc.Report{
		Metadata: dmarc.ReportMetadata{
			OrgName: "Example Inc.", Email: "reports@example.net", ExtraContactInfo: "https://example.net/dmarc",
			ReportID: "1700000000-example.com@example.net", Begin: time.Unix(1700006400, 0), End: time.Unix(1700092799, 0),
			Errors: []string{"sp is not valid"}, Generator: "mailbricks 1",
		},
		Policy: dmarc.ReportPolicy{
			Domain: "example.com", DiscoveryMethod: dmarc.DiscoveryTreeWalk, Policy: "reject", Subdomain: "quarantine",
			Nonexistent: "none", FailureOptions: "1:d", DKIMAlignment: "r", SPFAlignment: "s", Testing: "n",
		},
		Records: []dmarc.ReportRecord{
			{
				Source: netip.MustParseAddr("192.0.2.1"), Count: 12, Disposition: dmarc.DispositionPass,
				DKIM: dmarc.AlignedPass, SPF: dmarc.AlignedFail,
				HeaderFrom: "example.com", EnvelopeFrom: "bounce.example.org", EnvelopeTo: "example.net",
				DKIMResults: []dmarc.ReportDKIM{{Domain: "example.com", Selector: "s1", Result: "pass", Human: "2048 bit"}},
				SPFResults:  []dmarc.ReportSPF{{Domain: "bounce.example.org", Scope: "mfrom", Result: "pass", Human: "mx"}},
			},
			{
				Source: netip.MustParseAddr("2001:db8::1"), Count: 1, Disposition: dmarc.DispositionNone,
				DKIM: dmarc.AlignedFail, SPF: dmarc.AlignedFail, HeaderFrom: "www.example.com",
				Overrides: []dmarc.ReportOverride{{Type: dmarc.OverrideMailingList, Comment: "list-id"}},
			},
		},
	}
}

func reportXML(t testing.TB, r *dmarc.Report) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, r.WriteXML(&b))
	return b.String()
}

// outline is the structure of a document: the paths of its elements with their texts, in order, every element in the
// namespace of reports.
func outline(t testing.TB, doc string) []string {
	t.Helper()
	var path, lines []string
	text := ""
	d := xml.NewDecoder(strings.NewReader(doc))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return lines
		}
		require.NoError(t, err)
		switch token := token.(type) {
		case xml.StartElement:
			require.Equal(t, dmarc.ReportNamespace, token.Name.Space)
			path, text = append(path, token.Name.Local), ""
			lines = append(lines, strings.Join(path[1:], "/"))
		case xml.CharData:
			text += string(token)
		case xml.EndElement:
			if text = strings.TrimSpace(text); text != "" {
				lines[len(lines)-1] += "=" + text
			}
			path, text = path[:len(path)-1], ""
		}
	}
}

// RFC 9990 §3.1.1: the elements, in the order of its tables.
func TestWriteXMLHasTheElementsOfRFC9990InOrder(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		"",
		"version=1.0",
		"report_metadata",
		"report_metadata/org_name=Example Inc.",
		"report_metadata/email=reports@example.net",
		"report_metadata/extra_contact_info=https://example.net/dmarc",
		"report_metadata/report_id=1700000000-example.com@example.net",
		"report_metadata/date_range",
		"report_metadata/date_range/begin=1700006400",
		"report_metadata/date_range/end=1700092799",
		"report_metadata/error=sp is not valid",
		"report_metadata/generator=mailbricks 1",
		"policy_published",
		"policy_published/domain=example.com",
		"policy_published/discovery_method=treewalk",
		"policy_published/p=reject",
		"policy_published/sp=quarantine",
		"policy_published/np=none",
		"policy_published/fo=1:d",
		"policy_published/adkim=r",
		"policy_published/aspf=s",
		"policy_published/testing=n",
		"record",
		"record/row",
		"record/row/source_ip=192.0.2.1",
		"record/row/count=12",
		"record/row/policy_evaluated",
		"record/row/policy_evaluated/disposition=pass",
		"record/row/policy_evaluated/dkim=pass",
		"record/row/policy_evaluated/spf=fail",
		"record/identifiers",
		"record/identifiers/header_from=example.com",
		"record/identifiers/envelope_from=bounce.example.org",
		"record/identifiers/envelope_to=example.net",
		"record/auth_results",
		"record/auth_results/dkim",
		"record/auth_results/dkim/domain=example.com",
		"record/auth_results/dkim/selector=s1",
		"record/auth_results/dkim/result=pass",
		"record/auth_results/dkim/human_result=2048 bit",
		"record/auth_results/spf",
		"record/auth_results/spf/domain=bounce.example.org",
		"record/auth_results/spf/scope=mfrom",
		"record/auth_results/spf/result=pass",
		"record/auth_results/spf/human_result=mx",
		"record",
		"record/row",
		"record/row/source_ip=2001:db8::1",
		"record/row/count=1",
		"record/row/policy_evaluated",
		"record/row/policy_evaluated/disposition=none",
		"record/row/policy_evaluated/dkim=fail",
		"record/row/policy_evaluated/spf=fail",
		"record/row/policy_evaluated/reason",
		"record/row/policy_evaluated/reason/type=mailing_list",
		"record/row/policy_evaluated/reason/comment=list-id",
		"record/identifiers",
		"record/identifiers/header_from=www.example.com",
		"record/identifiers/envelope_from",
		"record/auth_results",
	}, outline(t, reportXML(t, sampleReport())))
}

func TestWriteXMLLeavesOutWhatTheSchemaDoesNotKnow(t *testing.T) {
	t.Parallel()
	r := sampleReport()
	r.Version, r.Policy.Percent, r.Policy.Policy = "2.0", "50", ""
	r.Metadata.Errors = []string{"one", "two"}
	rec := &r.Records[0]
	rec.Source = netip.MustParseAddr("::ffff:192.0.2.9")
	rec.Overrides = []dmarc.ReportOverride{{Type: "sampled_out"}, {Type: "forwarded", Comment: "by us"}}
	rec.SPFResults = []dmarc.ReportSPF{
		{Domain: "mx.example.org", Scope: "helo", Result: "hardfail"}, {Domain: "example.org", Result: "pass"},
		{Domain: "example.com", Scope: "mfrom", Result: "pass"},
	}
	lines := outline(t, reportXML(t, r))
	for _, want := range []string{
		"version=1.0", "policy_published/p=none", "report_metadata/error=one; two", "record/row/source_ip=192.0.2.9",
		"record/row/policy_evaluated/reason/comment=sampled_out", "record/row/policy_evaluated/reason/comment=forwarded: by us",
		"record/auth_results/spf/domain=example.org",
	} {
		require.Contains(t, lines, want)
	}
	text := strings.Join(lines, "\n")
	require.NotContains(t, text, "pct")
	require.NotContains(t, text, "helo")
	require.Equal(t, 1, strings.Count(text, "auth_results/spf/domain="))
	require.Equal(t, 2, strings.Count(text, "reason/type=other"))
}

func TestWriteXMLCleansWhatEnemiesSend(t *testing.T) {
	t.Parallel()
	r := sampleReport()
	rec := &r.Records[0]
	rec.HeaderFrom = "evil</header_from>\x00\x1b[2J\xff\xfe]]>&lt;\r\n.example"
	rec.EnvelopeFrom = strings.Repeat("ü", dmarc.MaxReportText)
	rec.DKIMResults[0].Selector = "\u202etxt.exe\ufffe"
	doc := reportXML(t, r)
	lines := outline(t, doc) // encoding/xml is strict about characters
	require.Contains(t, lines, "record/identifiers/header_from=evil</header_from>\ufffd\ufffd[2J\ufffd\ufffd]]>&lt;  .example")
	require.Contains(t, lines, "record/identifiers/envelope_from="+strings.Repeat("ü", dmarc.MaxReportText/2))
	require.Contains(t, lines, "record/auth_results/dkim/selector=\ufffdtxt.exe\ufffd")
}

func TestWriteXMLBoundsARecord(t *testing.T) {
	t.Parallel()
	r := sampleReport()
	rec := &r.Records[0]
	rec.Count = dmarc.MaxReportCount + 1
	rec.DKIMResults = make([]dmarc.ReportDKIM, 200)
	for i := range rec.DKIMResults {
		rec.DKIMResults[i].Result = "fail"
	}
	rec.Overrides = make([]dmarc.ReportOverride, 200)
	text := strings.Join(outline(t, reportXML(t, r)), "\n")
	require.Equal(t, dmarc.MaxReportSignatures, strings.Count(text, "auth_results/dkim/result="))
	require.Equal(t, dmarc.MaxReportOverrides, strings.Count(text, "reason/type=")-1)
	require.Contains(t, text, "row/count=1000000000000\n")
}

func TestWriteXMLRefusesWhatTheSchemaForbids(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*dmarc.Report){
		"no org_name":                func(r *dmarc.Report) { r.Metadata.OrgName = " " },
		"no email":                   func(r *dmarc.Report) { r.Metadata.Email = "" },
		"no report_id":               func(r *dmarc.Report) { r.Metadata.ReportID = "" },
		"no date_range":              func(r *dmarc.Report) { r.Metadata.Begin = time.Time{} },
		"ends before it begins":      func(r *dmarc.Report) { r.Metadata.End = r.Metadata.Begin.Add(-1) },
		"no policy_published domain": func(r *dmarc.Report) { r.Policy.Domain = "" },
		`p "Reject"`:                 func(r *dmarc.Report) { r.Policy.Policy = "Reject" },
		`sp "no"`:                    func(r *dmarc.Report) { r.Policy.Subdomain = "no" },
		`np "no"`:                    func(r *dmarc.Report) { r.Policy.Nonexistent = "no" },
		`adkim "strict"`:             func(r *dmarc.Report) { r.Policy.DKIMAlignment = "strict" },
		`aspf "x"`:                   func(r *dmarc.Report) { r.Policy.SPFAlignment = "x" },
		`testing "true"`:             func(r *dmarc.Report) { r.Policy.Testing = "true" },
		`discovery_method "dns"`:     func(r *dmarc.Report) { r.Policy.DiscoveryMethod = "dns" },
		"no record":                  func(r *dmarc.Report) { r.Records = nil },
		"record 2: no source_ip":     func(r *dmarc.Report) { r.Records[1].Source = netip.Addr{} },
		"record 1: no count":         func(r *dmarc.Report) { r.Records[0].Count = 0 },
		`disposition ""`:             func(r *dmarc.Report) { r.Records[0].Disposition = "" },
		`aligned dkim "yes"`:         func(r *dmarc.Report) { r.Records[0].DKIM = "yes" },
		`aligned spf "softfail"`:     func(r *dmarc.Report) { r.Records[0].SPF = "softfail" },
		"no header_from":             func(r *dmarc.Report) { r.Records[0].HeaderFrom = "" },
		`dkim result "ok"`:           func(r *dmarc.Report) { r.Records[0].DKIMResults[0].Result = "ok" },
		`spf result "hardfail"`:      func(r *dmarc.Report) { r.Records[0].SPFResults[0].Result = "hardfail" },
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			r := sampleReport()
			spoil(r)
			var b bytes.Buffer
			err := r.WriteXML(&b)
			require.ErrorIs(t, err, dmarc.ErrReportInvalid)
			require.ErrorContains(t, err, want)
			require.Zero(t, b.Len())
		})
	}
}

func TestWriteXMLGivesTheWritersError(t *testing.T) {
	t.Parallel()
	pr, pw := io.Pipe()
	broken := errors.New("broken")
	require.NoError(t, pr.CloseWithError(broken))
	require.ErrorIs(t, sampleReport().WriteXML(pw), broken)
}
