package main

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/dmarc/reporting"
	"github.com/mailbricks/mailbricks/relay"
	"github.com/mailbricks/mailbricks/senderauth"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/spf"
)

// openTestApp opens the data of a configuration with these variables until the test ends.
func openTestApp(t *testing.T, variables ...string) *app {
	t.Helper()
	file, _ := testConfig(t, "smtp")
	c, err := loadConfig(file, variables, false)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(c.path("state"), 0o700))
	lock, err := lockData(t.Context(), c)
	require.NoError(t, err)
	a, err := openApp(c, lock)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.close()) })
	return a
}

// failed is a message that fails DMARC.
func failed(t *testing.T) (*smtpd.Transaction, *senderauth.Result) {
	t.Helper()
	record, err := dmarc.ParseRecord("v=DMARC1; p=reject; rua=mailto:reports@far.example")
	require.NoError(t, err)
	session := &smtpd.Session{Peer: mailbricks.Peer{Addr: netip.MustParseAddrPort("[::ffff:192.0.2.1]:1234")}}
	env := &mailbricks.Envelope{From: "x@far.example", Recipients: []mailbricks.Recipient{{Address: "ann@example.com"}}}
	return &smtpd.Transaction{Session: session, Envelope: env}, &senderauth.Result{
		SPF:         spf.Verdict{Domain: "far.example", Result: spf.SoftFail},
		DMARC:       dmarc.Verdict{Result: dmarc.Fail, AuthorDomain: "far.example", RecordDomain: "far.example", Record: record},
		Disposition: dmarc.PolicyReject,
	}
}

func TestReportsAreOffUnlessAskedFor(t *testing.T) {
	t.Parallel()
	c := defaults()
	require.False(t, c.reports.dmarc)
	a := openTestApp(t)
	require.NoError(t, a.setReports(a.config(), true))
	tx, r := failed(t)
	a.record(t.Context(), tx, mailbricks.NewMessage([]byte("From: x@far.example\r\n\r\n")), r)
	var out strings.Builder
	require.ErrorIs(t, (&dmarcPending{}).runOn(t.Context(), a, &out), errReportsOff)
	require.NoDirExists(t, a.config().path("state", "dmarc"))
}

func TestMessagesBecomeReports(t *testing.T) {
	t.Parallel()
	a := openTestApp(t, "FULLSERVER_REPORTS_DMARC=true", "FULLSERVER_REPORTS_ORGANIZATION=Example Org")
	require.NoError(t, a.dir.AddAccount("ann@example.com", "secret"))
	require.NoError(t, a.setReports(a.config(), true))
	tx, r := failed(t)
	a.record(t.Context(), tx, mailbricks.NewMessage([]byte("From: x@far.example\r\n\r\n")), r)
	a.record(t.Context(), tx, mailbricks.NewMessage([]byte("From: x@far.example\r\n\r\n")), r)
	var out strings.Builder
	require.NoError(t, (&dmarcPending{JSON: true}).runOn(t.Context(), a, &out))
	var lines []pendingLine
	require.NoError(t, json.Unmarshal([]byte(out.String()), &lines))
	require.Len(t, lines, 1)
	require.Equal(t, "far.example", lines[0].Domain)
	require.EqualValues(t, 2, lines[0].Messages)
	require.Equal(t, []string{"reports@far.example"}, lines[0].Destinations)
	require.True(t, lines[0].Due.After(time.Now()))

	out.Reset()
	require.NoError(t, (&dmarcPreview{Domain: "far.example"}).runOn(t.Context(), a, &out))
	require.Contains(t, out.String(), "192.0.2.1")
	out.Reset()
	require.NoError(t, (&dmarcPreview{Domain: "far.example", XML: true}).runOn(t.Context(), a, &out))
	report, err := dmarc.ParseReport(strings.NewReader(out.String()))
	require.NoError(t, err)
	require.Equal(t, "Example Org", report.Metadata.OrgName)
	require.Equal(t, "postmaster@example.com", report.Metadata.Email, "the domain in which mail.example.com is")
	require.Len(t, report.Records, 1)
	require.Equal(t, "192.0.2.1", report.Records[0].Source.String())
	require.Equal(t, "reject", report.Records[0].Disposition)
	require.Equal(t, "softfail", report.Records[0].SPFResults[0].Result)
	require.Error(t, (&dmarcPreview{Domain: "far.example", Day: "yesterday"}).runOn(t.Context(), a, &out))
	require.ErrorIs(t, (&dmarcPreview{Domain: "far.example", Day: "2020-01-01"}).runOn(t.Context(), a, &out), reporting.ErrNoData)

	// What was collected outlives a change of the configuration, and waits while reports are off.
	old := a.config()
	off := *old
	off.reports = reportConfig{}
	require.NoError(t, a.setReports(&off, true))
	a.record(t.Context(), tx, mailbricks.NewMessage([]byte("From: x@far.example\r\n\r\n")), r)
	require.NoError(t, a.setReports(old, true))
	out.Reset()
	require.NoError(t, (&dmarcPending{}).runOn(t.Context(), a, &out))
	require.Contains(t, out.String(), "far.example  messages 2  to reports@far.example  due ")
}

// A report to an address that bounces is the last one for a while, and nobody is told by mail.
func TestBouncedReportsSuppressTheAddress(t *testing.T) {
	t.Parallel()
	_, dns := serveDNS(t)
	a := openTestApp(t, "FULLSERVER_REPORTS_DMARC=true", "FULLSERVER_DNS_SERVERS="+dns)
	require.NoError(t, a.dir.AddAccount("ann@example.com", "secret"))
	require.NoError(t, a.setReports(a.config(), true))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.queue.Run(ctx) }()
	defer func() {
		cancel()
		<-done
	}()
	mail := reporting.Mail{
		From: "postmaster@example.com", To: "reports@nowhere.example", Key: reportKey + "1",
		Content: []byte("From: postmaster@example.com\r\nSubject: Report Domain: nowhere.example\r\n\r\n"),
	}
	require.NoError(t, a.sendReport(t.Context(), mail))
	require.NoError(t, a.sendReport(t.Context(), mail), "once more after a crash")
	suppressed := func() (all map[string]time.Time) {
		require.NoError(t, a.reports.use(func(r *reporting.Reporter) error {
			all = r.Suppressed()
			return nil
		}))
		return all
	}
	require.Eventually(t, func() bool { return len(suppressed()) > 0 }, 20*time.Second, 20*time.Millisecond)
	require.WithinDuration(t, time.Now().Add(suppressTime), suppressed()["reports@nowhere.example"], time.Hour)

	// One of a user that bounces does not count.
	a.onEvent(relay.Event{Kind: relay.Bounced, ID: "unknown", Recipient: "other@example.net"})
	require.Len(t, suppressed(), 1)

	// A domain of this server gets its reports without the queue.
	mail.To, mail.Key = "ann@example.com", reportKey+"2"
	require.NoError(t, a.sendReport(t.Context(), mail))
	letters, err := filepath.Glob(a.config().path("mail", "example.com", "ann", "new", "*"))
	require.NoError(t, err)
	require.Len(t, letters, 1, "the report, and no notification of the bounce")

	var out strings.Builder
	require.NoError(t, (&dmarcSuppress{Address: "x@example.org", For: "5d"}).runOn(t.Context(), a, &out))
	require.Len(t, suppressed(), 2)
	require.NoError(t, (&dmarcPending{}).runOn(t.Context(), a, &out))
	require.Contains(t, out.String(), "none to x@example.org until ")
	require.NoError(t, (&dmarcSuppress{Address: "x@example.org", For: "0"}).runOn(t.Context(), a, &out))
	require.Len(t, suppressed(), 1)
	require.Error(t, (&dmarcSuppress{Address: "x@example.org", For: "long"}).runOn(t.Context(), a, &out))
}

// A failure report leaves at once, where it is switched on and asked for.
func TestFailureReports(t *testing.T) {
	t.Parallel()
	for _, on := range []string{"true", "false"} {
		t.Run(on, func(t *testing.T) {
			t.Parallel()
			dns, addr := serveDNS(t)
			require.NoError(t, dns.Replace("far.example. IN TXT \"v=spf1 -all\"\n"))
			a := openTestApp(t, "FULLSERVER_REPORTS_DMARC=true", "FULLSERVER_REPORTS_FAILURE="+on, "FULLSERVER_DNS_SERVERS="+addr)
			require.NoError(t, a.dir.AddAccount("ann@far.example", "secret"))
			require.NoError(t, a.setReports(a.config(), true))
			tx, r := failed(t)
			tx.Envelope.Received = time.Now()
			record, err := dmarc.ParseRecord("v=DMARC1; p=reject; fo=1; rua=mailto:reports@far.example; ruf=mailto:ann@far.example")
			require.NoError(t, err)
			r.DMARC.Record, r.SPF.Result = record, spf.Fail
			r.Decision.Action = senderauth.Reject
			a.record(t.Context(), tx, mailbricks.NewMessage([]byte("From: x@far.example\r\nSubject: forged\r\n\r\nSecret\r\n")), r)
			letters := func() []string {
				files, err := filepath.Glob(a.config().path("mail", "far.example", "ann", "new", "*"))
				require.NoError(t, err)
				return files
			}
			if on == "false" {
				require.NoError(t, a.reports.close())
				require.Empty(t, letters())
				return
			}
			require.Eventually(t, func() bool { return len(letters()) > 0 }, 20*time.Second, 20*time.Millisecond)
			f, err := os.Open(letters()[0])
			require.NoError(t, err)
			defer f.Close()
			report, err := dmarc.ParseFailureReport(f)
			require.NoError(t, err)
			require.Equal(t, "far.example", report.ReportedDomain)
			require.Equal(t, dmarc.DeliveryReject, report.DeliveryResult)
			require.Equal(t, []dmarc.FailureSPF{{Type: "txt", Domain: "far.example", Record: "v=spf1 -all"}}, report.SPFDNS)
			require.Contains(t, string(report.Header), "Subject: forged")
		})
	}
}

// A report that came is shown without a configuration, from a file or standard input.
func TestReportIsShown(t *testing.T) {
	t.Parallel()
	report := &dmarc.Report{
		Metadata: dmarc.ReportMetadata{
			OrgName: "Far Org", Email: "x@far.example", ReportID: "1",
			Begin: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), End: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC),
		},
		Policy: dmarc.ReportPolicy{Domain: "example.com", Policy: "reject", Testing: "n"},
		Records: []dmarc.ReportRecord{{
			Source: netip.MustParseAddr("192.0.2.77"), Count: 41, Disposition: "reject", DKIM: "fail", SPF: "fail", HeaderFrom: "example.com",
			SPFResults: []dmarc.ReportSPF{{Domain: "evil.example", Scope: "mfrom", Result: "pass"}},
		}},
	}
	var xml strings.Builder
	require.NoError(t, report.WriteXML(&xml))
	file := filepath.Join(t.TempDir(), "report.xml")
	require.NoError(t, os.WriteFile(file, []byte(xml.String()), 0o600))
	for _, args := range [][]string{{"dmarc", "report", file}, {"dmarc", "report", "-"}, {"dmarc", "report", "-html", file}} {
		out, errs, code := run(t, xml.String(), args...)
		require.Equal(t, exitOK, code, errs)
		for _, want := range []string{"Far Org", "example.com", "192.0.2.77", "41"} {
			require.Contains(t, out, want, args)
		}
	}
	_, errs, code := run(t, "no report", "dmarc", "report", "-")
	require.Equal(t, exitError, code)
	require.Contains(t, errs, "no DMARC aggregate report")
	_, _, code = run(t, "", "dmarc", "report", filepath.Join(t.TempDir(), "missing"))
	require.Equal(t, exitError, code)
}
