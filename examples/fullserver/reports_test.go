package main

import (
	"bytes"
	"compress/gzip"
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
	record, err := dmarc.ParseRecord("v=DMARC1; p=reject; rua=mailto:reports@far.example,mailto:x@other.example")
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
	require.Equal(t, []string{"reports@far.example", "x@other.example"}, lines[0].Destinations)
	require.Equal(t, []string{"x@other.example"}, lines[0].Unchecked)
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
	require.NoError(t, a.reports.use(func(r *reporting.Reporter) error {
		return r.Suppress(t.Context(), "reports@far.example", time.Now().Add(time.Hour))
	}))
	out.Reset()
	require.NoError(t, (&dmarcPending{}).runOn(t.Context(), a, &out))
	require.Regexp(t, `far.example  messages 2  to reports@far.example, x@other.example  due [-0-9]+ [0-9:]{5} UTC\n`+
		`    not asked yet whether they agree: x@other.example\n    suppressed: reports@far.example\n`, out.String())
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

	// What is refused here is known at once.
	mail.To, mail.Key = "nobody@example.com", reportKey+"3"
	require.ErrorIs(t, a.sendReport(t.Context(), mail), reporting.ErrUndeliverable)

	// A domain of this server gets its reports by the queue, too, and so once.
	require.NoError(t, a.dir.AddAlias("reports@example.com", "ann@example.com"))
	mail.To, mail.Key = "reports@example.com", reportKey+"2"
	require.NoError(t, a.sendReport(t.Context(), mail))
	letters := func() []string {
		files, err := filepath.Glob(a.config().path("mail", "example.com", "ann", "new", "*"))
		require.NoError(t, err)
		return files
	}
	require.Eventually(t, func() bool { return len(letters()) > 0 }, 20*time.Second, 20*time.Millisecond)
	require.NoError(t, a.sendReport(t.Context(), mail), "once more after a crash")
	require.Eventually(t, func() bool {
		left, err := a.queue.List(t.Context())
		return err == nil && len(left) == 0
	}, 20*time.Second, 20*time.Millisecond)
	require.Len(t, letters(), 1, "the report, and no notification of the bounce")
	mail.To, mail.Key = "nobody@example.com", reportKey+"3"
	require.Error(t, a.sendReport(t.Context(), mail))

	var out strings.Builder
	for _, address := range []string{"x@example.org", "a@example.org", "z@example.org"} {
		require.NoError(t, (&dmarcSuppress{Address: address, For: "5d"}).runOn(t.Context(), a, &out))
	}
	require.Len(t, suppressed(), 4)
	require.NoError(t, (&dmarcPending{}).runOn(t.Context(), a, &out))
	require.Regexp(t, `(?s)none to a@example.org until [-0-9]+ [0-9:]{5} UTC\n.*none to x@example.org until .*none to z@example.org until `, out.String())
	out.Reset()
	require.NoError(t, (&dmarcSuppressed{JSON: true}).runOn(t.Context(), a, &out))
	var lines []suppressedLine
	require.NoError(t, json.Unmarshal([]byte(out.String()), &lines))
	require.Equal(t, "a@example.org", lines[0].Address)
	require.Equal(t, "z@example.org", lines[3].Address)
	out.Reset()
	require.NoError(t, (&dmarcSuppressed{}).runOn(t.Context(), a, &out))
	require.Equal(t, 4, strings.Count(out.String(), "\n"))
	for _, address := range []string{"a@example.org", "z@example.org"} {
		require.NoError(t, (&dmarcSuppress{Address: address, For: "0"}).runOn(t.Context(), a, &out))
	}
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
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- a.queue.Run(ctx) }()
			defer func() {
				cancel()
				<-done
			}()
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
	require.Contains(t, errs, "no DMARC aggregate report, and no failure report")
	_, _, code = run(t, "", "dmarc", "report", filepath.Join(t.TempDir(), "missing"))
	require.Equal(t, exitError, code)
}

// A failure report is shown, too, and a report on TLS is told from a file that is broken.
func TestOtherReportsAreShown(t *testing.T) {
	t.Parallel()
	failure := &dmarc.FailureReport{
		ReportedDomain: "example.com", ReportingMTA: "mx.far.example", SourceIP: netip.MustParseAddr("192.0.2.77"),
		ArrivalDate: time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC), OriginalMailFrom: "x@evil.example", Incidents: 3,
		OriginalRecipients: []string{"bob@far.example"}, IdentityAlignment: []string{"dkim", "spf"},
		SPFDNS: []dmarc.FailureSPF{{Domain: "example.com", Record: "v=spf1 -all"}},
		Header: []byte("From: you@example.com\r\nSubject: a\x1b[2Jb\r\n\tc\r\n"),
	}
	var mail strings.Builder
	mail.WriteString("From: reports@far.example\r\nMIME-Version: 1.0\r\n")
	require.NoError(t, failure.Write(&mail))
	out, errs, code := run(t, mail.String(), "dmarc", "report", "-")
	require.Equal(t, exitOK, code, errs)
	for _, want := range []string{
		"a message from example.com failed dmarc", "mx.far.example", "192.0.2.77", "2026-11-23 01:02:03 UTC", "x@evil.example", "bob@far.example",
		"dkim, spf", "example.com: v=spf1 -all", "    From: you@example.com\n", "    Subject: a?[2Jb\n",
	} {
		require.Contains(t, out, want)
	}
	_, errs, code = run(t, mail.String(), "dmarc", "report", "-", "-html")
	require.Equal(t, exitError, code)
	require.Contains(t, errs, "text only")

	onTLS := `{"organization-name": "Far", "policies": []}`
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write([]byte(onTLS))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	for name, text := range map[string]string{
		"JSON": onTLS, "gzip": packed.String(),
		"mail": "Content-Type: multipart/report; report-type=\"tlsrpt\"; boundary=b\r\n\r\n--b\r\nContent-Type: application/tlsrpt+gzip\r\n\r\nx\r\n--b--\r\n",
	} {
		_, errs, code = run(t, text, "dmarc", "report", "-")
		require.Equal(t, exitError, code)
		require.Contains(t, errs, "report on TLS (RFC 8460)", name)
	}
}

// Reports that leave unsigned are warned of, and they come from an address of their own where there is one.
func TestFromWhomReportsAre(t *testing.T) {
	t.Parallel()
	a := openTestApp(t, "FULLSERVER_REPORTS_DMARC=true", "FULLSERVER_HOSTNAME=mx.other.test")
	require.NoError(t, a.dir.AddAccount("ann@example.com", "secret"))
	require.Equal(t, "postmaster@mx.other.test", a.reportAddress(a.config()))
	warning := func() string {
		t.Helper()
		require.NoError(t, a.setReports(a.config(), false))
		var out, health output
		require.NoError(t, (&dmarcPending{}).runOn(t.Context(), a, &out))
		require.NoError(t, (&warningsCommand{}).runOn(t.Context(), a, &health))
		if len(out.notes) == 0 {
			require.Empty(t, health.String())
			return ""
		}
		require.Equal(t, "warning: "+out.notes[0]+"\n", health.String())
		return out.notes[0]
	}
	require.Contains(t, warning(), "set reports.email to an address at a domain of this server")
	require.NoError(t, a.dir.AddAlias("info@other.test", "ann@example.com"))
	require.Equal(t, "postmaster@other.test", a.reportAddress(a.config()))
	require.Contains(t, warning(), "fullserver dkim other.test makes one")
	_, _, err := a.keys.Ensure("other.test", "mail", "ed25519", 0)
	require.NoError(t, err)
	require.Empty(t, warning())
	require.NoError(t, a.dir.AddAlias("dmarc-reports@other.test", "ann@example.com"))
	require.Equal(t, "dmarc-reports@other.test", a.reportAddress(a.config()))
	var out output
	require.NoError(t, (&dnsCommand{Domain: "other.test"}).runOn(t.Context(), a, &out))
	require.Contains(t, out.String(), "rua=mailto:dmarc-reports@other.test")
}

// The queue knows reports for as long as they may be offered again.
func TestTheQueueRemembersReports(t *testing.T) {
	t.Parallel()
	require.GreaterOrEqual(t, queueMemory, reporting.DefaultKeep)
	require.GreaterOrEqual(t, queueMemory, relay.DefaultRemember)
}
