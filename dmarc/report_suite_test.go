package dmarc_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/stretchr/testify/require"
)

// received is what a report of the suite says, as another reader found it.
type received struct {
	file                      string
	org, id                   string
	begin, end                int64
	domain, policy            string // policy is p/sp/np adkim/aspf
	records, messages, passed int64
	last                      string // the last record, see describe
}

// receivedReports are the aggregate reports of parsedmarc and, in mail-dmarc, of Mail::DMARC.
var receivedReports = []received{
	{
		"aggregate/!example.com!1538204542!1538463818.xml",
		"", "example.com:1538463741", 1538413632, 1538413632,
		"example.com", "none/reject/ r/r", 1, 1, 0, "12.20.127.122 none example.com   spf: //none",
	},
	{
		"aggregate/!large-example.com!1711897200!1711983600.xml",
		"", "example.com:1711897200", 1711897200, 1711983600,
		"example.com", "none/reject/ r/r", 2286, 2286, 0, "12.20.129.254 none example.com   spf: //none",
	},
	{
		"aggregate/Report domain- borschow.com Submitter- google.com Report-ID- 949348866075514174.eml",
		"google.com", "949348866075514174", 1549929600, 1550015999,
		"borschow.com", "reject/reject/ r/r", 1, 1, 0, "92.53.116.102 reject borschow.com   spf: borschow.com//fail",
	},
	{
		"aggregate/addisonfoods.com!example.com!1536105600!1536191999.xml",
		"addisonfoods.com", "3ceb5548498640beaeb47327e202b0b9", 1536105600, 1536191999,
		"example.com", "none/none/ r/r", 1, 1, 0,
		"109.203.100.17 none example.com example.com  toptierhighticket.club/default/pass spf:",
	},
	{
		"aggregate/empty_reason.xml",
		"example.org", "20240125141224705995", 1706159544, 1706185733,
		"example.com", "quarantine/quarantine/ r/r", 1, 2, 2,
		"198.51.100.123 none example.com example.edu example.net example.com/example/pass spf: example.edu/mfrom/pass",
	},
	{
		"aggregate/estadocuenta1.infonacot.gob.mx!example.com!1536853302!1536939702!2940.xml.zip",
		"XYZ Corporation", "2940", 1536853302, 1536939702,
		"example.com", "none// /", 1, 1, 0, "148.243.137.254 none example.com  estadocuenta1.infonacot.gob.mx spf:",
	},
	{
		"aggregate/example.net!example.com!1529366400!1529452799.xml",
		"example.net", "b043f0e264cf4ea995e93765242f6dfb", 1529366400, 1529452799,
		"example.com", "none/none/ r/r", 1, 1, 0, "199.230.200.36 none example.com example.com  spf:",
	},
	{
		"aggregate/fastmail.com!example.com!1516060800!1516147199!102675056.xml.gz",
		"FastMail Pty Ltd", "102675056", 1516060800, 1516147199,
		"indemed.com", "none/none/ /", 1, 1, 0,
		"104.195.80.20 none example.com example.com fastmail.fm spf: example.com/mfrom/softfail",
	},
	{
		"aggregate/ikea.com!example.de!1538690400!1538776800.xml",
		"ikea.com", "aggr_report_2018_10_05_5bc7e9b4f3e8a", 1538690400, 1538776800,
		"example.de", "none/none/ r/r", 1, 1, 0,
		"234.234.234.234 none example.de example.de  example.de//pass spf: mailrelay.com/helo/none",
	},
	{
		"aggregate/invalid_utf_8.xml",
		"", "example.com:1538463741", 1538413632, 1538413632,
		"example.com", "none/reject/ r/r", 1, 1, 0, "12.20.127.122 none bad_byte\ufffd   spf: //none",
	},
	{ // which no XML parser takes
		"aggregate/invalid_xml.xml",
		"veeam.com", "sonexushealth.com:1530233361", 1530133200, 1530219600,
		"example.com", "none/none/ r/r", 1, 1, 0, "199.230.200.36 none bad<xml.net   spf: //none",
	},
	{
		"aggregate/mimecast-weird-gzip.eml",
		"Mimecast", "157a5fe30ec76f4bc0d8bccfc96c118a167a1280fee7c7465af5115e73082e5e", 1693353600, 1693439999,
		"ab.id.au", "reject/none/ r/r", 1, 1, 1, "40.93.199.22 none ab.id.au   ab.id.au/selector1/pass spf: ab.id.au//pass",
	},
	{
		"aggregate/old_draft_from_wiki.xml",
		"acme.com", "9391651994964116463", 1335571200, 1335657599,
		"example.com", "none/none/ r/r", 1, 2, 2, "72.150.241.94 none example.com   example.com//fail spf: example.com//pass",
	},
	{
		"aggregate/protection.outlook.com!example.com!1711756800!1711843200.xml",
		"Outlook.com", "cfeafefe4129445e8c81018bd9177197", 1711756800, 1711843200,
		"example.com", "none/none/ r/r", 1, 1, 0,
		"100.24.188.149 none example.com example.com hotmail.com spf: example.com/mfrom/fail",
	},
	{
		"aggregate/rfc9990-example.net!example.com!1700000000!1700086399.xml",
		"example.net", "dmarcbis-test-report-001", 1700000000, 1700086399,
		"example.com", "reject/quarantine/reject s/s", 2, 7, 5,
		"203.0.113.10 reject example.com spoofed.example.com  spf: spoofed.example.com/mfrom/fail",
	},
	{
		"aggregate/rfc9990-sample.xml",
		"Sample Reporter", "3v98abbp8ya9n3va8yr8oa3ya", 302832000, 302918399,
		"example.com", "quarantine/none/none /", 1, 123, 123,
		"192.0.2.123 pass example.com example.com  example.com/abc123/pass spf: example.com//fail",
	},
	{
		"aggregate/twilight.eml",
		"google.com", "1627703331531660819", 1549756800, 1549843199,
		"twlnet.com", "reject/reject/ s/s", 1, 1, 1,
		"87.106.127.28 none twlnet.com   twlnet.com/201810/pass spf: twlnet.com//pass",
	},
	{
		"aggregate/usssa.com!example.com!1538784000!1538870399.xml",
		"usssa.com", "8953b4d4a4ee4218b6ac0e2cb2667ee1", 1538784000, 1538870399,
		"example.com", "none/none/ r/r", 2, 2, 0, "199.230.200.36 none example.com   spf:",
	},
	{
		"aggregate/veeam.com!example.com!1530133200!1530219600.xml",
		"veeam.com", "sonexushealth.com:1530233361", 1530133200, 1530219600,
		"example.com", "none/none/ r/r", 1, 1, 0, "199.230.200.36 none example.com   spf: //none",
	},
	{
		"aggregate_invalid/report_with_upper_cased_pass.xml",
		"example.com", "aggr_report_example.com_20191202_1638", 1574955300, 1575304683,
		"example.com", "reject// r/r", 1, 1, 1, "23.104.41.189 none example.com   example.com//pass spf: example.com//pass",
	},
	{
		"extract_report/changed-input.xml",
		"fred.com", "11038226378739404135", 1718236800, 1718323199,
		"example.com", "none/none/none r/r", 20, 3047, 3047,
		"209.85.220.41 none example.com   example.com/google/pass spf: example.com//pass",
	},
	{
		"extract_report/nice-input.xml",
		"google.com", "11038226378739404135", 1718236800, 1718323199,
		"example.com", "none/none/none r/r", 20, 3047, 3047,
		"209.85.220.41 none example.com   example.com/google/pass spf: example.com//pass",
	},
	{
		"extract_report/nice-input.xml.gz",
		"google.com", "11038226378739404135", 1718236800, 1718323199,
		"example.com", "none/none/none r/r", 20, 3047, 3047,
		"209.85.220.41 none example.com   example.com/google/pass spf: example.com//pass",
	},
	{
		"extract_report/nice-input.xml.zip",
		"google.com", "11038226378739404135", 1718236800, 1718323199,
		"example.com", "none/none/none r/r", 20, 3047, 3047,
		"209.85.220.41 none example.com   example.com/google/pass spf: example.com//pass",
	},
	{
		"mail-dmarc/t/fixtures/test_dmarc.xml",
		"Test Sender", "1234567890", 1609459200, 1609545600,
		"example.com", "none/none/ r/r", 1, 1, 1,
		"1.2.3.4 none example.com   example.com/default/pass spf: example.com/mfrom/pass",
	},
	{
		"mail-dmarc/t/fixtures/test_dmarc.xml.gz",
		"Test Sender", "1234567890", 1609459200, 1609545600,
		"example.com", "none/none/ r/r", 1, 1, 1,
		"1.2.3.4 none example.com   example.com/default/pass spf: example.com/mfrom/pass",
	},
	{
		"mail-dmarc/t/fixtures/test_dmarc.xml.zip",
		"Test Sender", "1234567890", 1609459200, 1609545600,
		"example.com", "none/none/ r/r", 1, 1, 1,
		"1.2.3.4 none example.com   example.com/default/pass spf: example.com/mfrom/pass",
	},
}

// describe is a record in one line: source, disposition, identifiers, then domain/selector/result of DKIM and
// domain/scope/result of SPF.
func describe(r *dmarc.ReportRecord) string {
	words := []string{r.Source.String(), r.Disposition, r.HeaderFrom, r.EnvelopeFrom, r.EnvelopeTo}
	for _, d := range r.DKIMResults {
		words = append(words, d.Domain+"/"+d.Selector+"/"+d.Result)
	}
	words = append(words, "spf:")
	for _, s := range r.SPFResults {
		words = append(words, s.Domain+"/"+s.Scope+"/"+s.Result)
	}
	return strings.Join(words, " ")
}

func summarize(file string, r *dmarc.Report) received {
	m, p := r.Metadata, r.Policy
	s := received{
		file: file, org: m.OrgName, id: m.ReportID, begin: m.Begin.Unix(), end: m.End.Unix(), domain: p.Domain,
		policy:  fmt.Sprintf("%s/%s/%s %s/%s", p.Policy, p.Subdomain, p.Nonexistent, p.DKIMAlignment, p.SPFAlignment),
		records: int64(len(r.Records)), last: describe(&r.Records[len(r.Records)-1]),
	}
	for i := range r.Records {
		s.messages += r.Records[i].Count
		if r.Records[i].Passed() {
			s.passed += r.Records[i].Count
		}
	}
	return s
}

// reportSuite gives the folder of the suite's reports, and the path of a file in it.
func reportSuite(t testing.TB, file string) string {
	t.Helper()
	suites := os.Getenv("MAILBRICKS_SUITES")
	if suites == "" {
		t.Skip("MAILBRICKS_SUITES does not name the folder of the conformance suites")
	}
	if strings.HasPrefix(file, "mail-dmarc/") {
		return filepath.Join(suites, "dmarc-reports", file)
	}
	return filepath.Join(suites, "dmarc-reports", "parsedmarc", file)
}

// suiteTable counts the cases of a suite by the folder that they are in.
type suiteTable struct {
	groups      []string
	run, passed map[string]int
}

func newSuiteTable() *suiteTable {
	return &suiteTable{run: map[string]int{}, passed: map[string]int{}}
}

func (s *suiteTable) test(t *testing.T, file string, f func(t *testing.T)) {
	t.Helper()
	group := filepath.Dir(file)
	if s.run[group]++; s.run[group] == 1 {
		s.groups = append(s.groups, group)
	}
	if t.Run(file, f) {
		s.passed[group]++
	}
}

func (s *suiteTable) log(t *testing.T) {
	t.Helper()
	for _, group := range s.groups {
		t.Logf("%-24s %3d run %3d passed", group, s.run[group], s.passed[group])
	}
}

func TestReportSuiteParsesToWhatItSays(t *testing.T) {
	t.Parallel()
	reportSuite(t, "")
	table := newSuiteTable()
	seen := map[string]bool{}
	for _, want := range receivedReports {
		seen[want.file] = true
		table.test(t, want.file, func(t *testing.T) {
			f, err := os.Open(reportSuite(t, want.file))
			require.NoError(t, err)
			defer f.Close()
			report, err := dmarc.ParseReport(f)
			require.NoError(t, err)
			require.Equal(t, want, summarize(want.file, report))
		})
	}
	table.log(t)
	for _, dir := range []string{"aggregate", "aggregate_invalid", "extract_report", "mail-dmarc/t/fixtures"} {
		files, err := os.ReadDir(reportSuite(t, dir))
		require.NoError(t, err)
		for _, f := range files {
			require.True(t, seen[dir+"/"+f.Name()], "%s/%s is not in the table of this test", dir, f.Name())
		}
	}
}

// Warnings tell which reports do not keep to the standard, and only those.
func TestReportSuiteWarns(t *testing.T) {
	t.Parallel()
	for file, want := range map[string][]string{
		"aggregate/rfc9990-sample.xml":                       nil,
		"extract_report/nice-input.xml":                      nil,
		"mail-dmarc/t/fixtures/test_dmarc.xml":               nil,
		"aggregate_invalid/report_with_upper_cased_pass.xml": nil,
		"aggregate/invalid_xml.xml": {"line 5: a < that starts no tag",
			"line 31: a < that starts no tag"},
		"aggregate/invalid_utf_8.xml": {"line 31: a text that is not in its character set",
			"line 40: no org_name"},
		"aggregate/!example.com!1538204542!1538463818.xml":          {"line 40: no org_name"},
		"aggregate/mimecast-weird-gzip.eml":                         {"behind the report: unexpected EOF"},
		"aggregate/usssa.com!example.com!1538784000!1538870399.xml": nil,
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			f, err := os.Open(reportSuite(t, file))
			require.NoError(t, err)
			defer f.Close()
			report, err := dmarc.ParseReport(f)
			require.NoError(t, err)
			require.Equal(t, want, report.Warnings)
		})
	}
}

// What is no aggregate report is said to be none: an empty file, TLS reports, DMARC failure reports.
func TestReportSuiteTellsOtherInputsApart(t *testing.T) {
	t.Parallel()
	table := newSuiteTable()
	files := []string{"empty.xml"}
	for _, dir := range []string{"smtp_tls", "failure"} {
		entries, err := os.ReadDir(reportSuite(t, dir))
		require.NoError(t, err)
		for _, e := range entries {
			files = append(files, dir+"/"+e.Name())
		}
	}
	require.Len(t, files, 10)
	for _, file := range files {
		table.test(t, file, func(t *testing.T) {
			f, err := os.Open(reportSuite(t, file))
			require.NoError(t, err)
			defer f.Close()
			_, err = dmarc.ParseReport(f)
			require.ErrorIs(t, err, dmarc.ErrNoReport)
		})
	}
	table.log(t)
}
