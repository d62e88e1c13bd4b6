package reporting_test

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/dmarc/reporting"
)

const header = "From: Ann <ann@example.com>\r\nTo: bob@mx.example.org\r\nSubject: Hi\r\nMessage-ID: <1@example.com>\r\n"

// asking is a failed message under a record that asks for failure reports.
func asking(fo string) reporting.Failure {
	return reporting.Failure{
		Evaluation: failing(evaluation("example.com", "v=DMARC1; p=none; ruf=mailto:f@example.com; fo="+fo)), Header: []byte(header),
	}
}

// failureReporter runs one that makes failure reports.
func failureReporter(t *testing.T, box *outbox, dns zone) *reporting.Reporter {
	t.Helper()
	r := newReporter(t.TempDir(), box, dns)
	r.FailureReports = true
	start(t, r)
	return r
}

func report(t *testing.T, r *reporting.Reporter, f reporting.Failure) {
	t.Helper()
	require.NoError(t, r.Failure(t.Context(), f))
}

func TestAFailureIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := &outbox{}
		r := failureReporter(t, box, nil)
		f := asking("0")
		f.Source = netip.MustParseAddr("192.0.2.99")
		f.ReversePath = "x@evil.example"
		f.DKIM = []dmarc.ReportDKIM{
			{Domain: "other.example", Selector: "o", Result: "fail"}, {Domain: "example.com", Selector: "s1", Result: "fail"},
		}
		f.Details.SPFDNS = []dmarc.FailureSPF{{Domain: "example.com", Record: "v=spf1 -all"}}
		f.Details.Body = []byte("secret")
		f.Details.OriginalRecipients = []string{"bob@mx.example.org"}
		report(t, r, f)
		synctest.Wait()
		mails := box.take()
		require.Len(t, mails, 1)
		require.Equal(t, "f@example.com", mails[0].To)
		require.Equal(t, "dmarc-reports@mx.example.org", mails[0].From)
		require.LessOrEqual(t, len(mails[0].Key), 100)
		require.NotContains(t, string(mails[0].Content), "secret")

		msg, err := mail.ReadMessage(bytes.NewReader(mails[0].Content))
		require.NoError(t, err)
		require.Equal(t, "DMARC failure report for example.com", msg.Header.Get("Subject"))
		require.Equal(t, "auto-generated", msg.Header.Get("Auto-Submitted"))
		require.Equal(t, "1.0", msg.Header.Get("MIME-Version"))
		require.Equal(t, `"Example Org" <dmarc-reports@mx.example.org>`, msg.Header.Get("From"))
		require.Equal(t, "<f@example.com>", msg.Header.Get("To"))
		_, err = msg.Header.Date()
		require.NoError(t, err)
		kind, _, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
		require.NoError(t, err)
		require.Equal(t, "multipart/report", kind)

		rep, err := dmarc.ParseFailureReport(bytes.NewReader(mails[0].Content))
		require.NoError(t, err)
		require.Empty(t, rep.Warnings)
		require.Equal(t, "dmarc", rep.AuthFailure)
		require.Equal(t, []string{"dkim", "spf"}, rep.IdentityAlignment)
		require.Equal(t, "example.com", rep.ReportedDomain)
		require.Equal(t, "x@evil.example", rep.OriginalMailFrom)
		require.Empty(t, rep.OriginalRecipients)
		require.Equal(t, f.Source, rep.SourceIP)
		require.Equal(t, "mx.example.org", rep.ReportingMTA)
		require.Equal(t, time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), rep.ArrivalDate.UTC())
		require.Equal(t, "example.com s1 @example.com", rep.DKIMDomain+" "+rep.DKIMSelector+" "+rep.DKIMIdentity)
		require.Equal(t, []dmarc.FailureSPF{{Type: "txt", Domain: "example.com", Record: "v=spf1 -all"}}, rep.SPFDNS)
		require.Equal(t, strings.TrimSuffix(header, "\r\n"), strings.TrimSuffix(string(rep.Header), "\r\n"))
		require.Nil(t, rep.Body)
	})
}

// RFC 9989 §4.7, "fo".
func TestWhichFailuresAreReported(t *testing.T) {
	t.Parallel()
	badSignature := []dmarc.ReportDKIM{{Domain: "other.example", Selector: "s1", Result: "fail"}}
	for _, c := range []struct {
		fo               string
		dkimOK, spfOK    bool // aligned
		signature        bool // one that fails
		spf              string
		want, wantsField string
	}{
		{fo: "0", want: "dmarc"},
		{fo: "0", dkimOK: true},
		{fo: "0", spfOK: true},
		{fo: "1", want: "dmarc"},
		{fo: "1", dkimOK: true, want: "dmarc"},
		{fo: "1", spfOK: true, want: "dmarc"},
		{fo: "1", dkimOK: true, spfOK: true},
		{fo: "d"},
		{fo: "d", signature: true, want: "signature", wantsField: "dkim=fail header.d=other.example header.s=s1"},
		{fo: "d", signature: true, dkimOK: true, spfOK: true, want: "signature"},
		{fo: "0:d", signature: true, want: "dmarc"},
		{fo: "s"},
		{fo: "s", spf: "softfail"},
		{fo: "s", spf: "fail", dkimOK: true, want: "spf", wantsField: "spf=fail smtp.mailfrom=example.com"},
		{fo: "d:s", spf: "fail", signature: true, want: "signature"},
		{fo: "d:s", spf: "fail", want: "spf"},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				box := &outbox{}
				r := failureReporter(t, box, nil)
				f := asking(c.fo)
				f.Verdict.DKIMAligned, f.Verdict.SPFAligned = c.dkimOK, c.spfOK
				if c.dkimOK || c.spfOK {
					f.Verdict.Result = dmarc.Pass
				}
				if c.signature {
					f.DKIM = badSignature
				}
				f.SPF.Result = c.spf
				report(t, r, f)
				synctest.Wait()
				mails := box.take()
				if c.want == "" {
					require.Empty(t, mails)
					return
				}
				require.Len(t, mails, 1)
				rep, err := dmarc.ParseFailureReport(bytes.NewReader(mails[0].Content))
				require.NoError(t, err)
				require.Equal(t, c.want, rep.AuthFailure)
				require.Contains(t, rep.AuthenticationResults, c.wantsField)
			})
		})
	}
}

func TestFailuresThatAreNotReported(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*reporting.Reporter, *reporting.Failure){
		"switched off":         func(r *reporting.Reporter, _ *reporting.Failure) { r.FailureReports = false },
		"no ruf":               func(_ *reporting.Reporter, f *reporting.Failure) { f.Verdict.Record.FailureURIs = nil },
		"no record":            func(_ *reporting.Reporter, f *reporting.Failure) { f.Verdict.Record = nil },
		"a public suffix":      func(_ *reporting.Reporter, f *reporting.Failure) { f.Verdict.Record.PSD = dmarc.PSDYes },
		"undecided":            func(_ *reporting.Reporter, f *reporting.Failure) { f.Verdict.Result = dmarc.TempError },
		"no header":            func(_ *reporting.Reporter, f *reporting.Failure) { f.Header = nil },
		"an automated message": func(_ *reporting.Reporter, f *reporting.Failure) { f.Automated = reporting.AutoSubmitted },
		"automated by its header": func(_ *reporting.Reporter, f *reporting.Failure) {
			f.Header = []byte("auto-submitted : \r\n auto-replied\r\n" + header)
		},
		"a report": func(_ *reporting.Reporter, f *reporting.Failure) {
			f.Header = []byte(header + "Content-Type: multipart/report;\r\n x=y\r\n")
		},
		"a bounce":                   func(_ *reporting.Reporter, f *reporting.Failure) { f.ReversePath = "" },
		"to the address for reports": func(r *reporting.Reporter, f *reporting.Failure) { f.Recipients = []string{r.Email} },
		"elsewhere": func(_ *reporting.Reporter, f *reporting.Failure) {
			f.Verdict.Record.FailureURIs = []string{"mailto:f@victim.example"}
		},
		"suppressed": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				box := &outbox{}
				r := newReporter(t.TempDir(), box, nil)
				r.FailureReports = true
				f := asking("0")
				if change != nil {
					change(r, &f)
				}
				start(t, r)
				if change == nil {
					require.NoError(t, r.Suppress(t.Context(), "f@example.com", time.Now().Add(time.Hour)))
				}
				report(t, r, f)
				synctest.Wait()
				require.Empty(t, box.take())
			})
		})
	}
}

// RFC 9991 §2: there must be a limit; §8.1: like messages are told of once, with their number.
func TestFailureReportsAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := &outbox{}
		r := failureReporter(t, box, nil)
		from := func(domain string, i int) {
			f := asking("0")
			f.Evaluation = failing(evaluation(domain, "v=DMARC1; p=none; ruf=mailto:f@"+domain))
			f.Source = netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
			report(t, r, f)
			synctest.Wait()
		}
		for range 5 {
			from("same.example", 1)
		}
		for i := range 30 {
			from("example.com", i)
		}
		require.Len(t, box.take(), 1+reporting.DefaultMaxDomainFailures)
		for i := range 200 {
			from(fmt.Sprintf("d%d.example", i), 1)
		}
		require.Len(t, box.take(), reporting.DefaultMaxFailures-1-reporting.DefaultMaxDomainFailures)
		pass(time.Hour)
		from("same.example", 1)
		mails := box.take()
		require.Len(t, mails, 1)
		rep, err := dmarc.ParseFailureReport(bytes.NewReader(mails[0].Content))
		require.NoError(t, err)
		require.EqualValues(t, 5, rep.Incidents, "four that were not told, and this one")
		pass(5 * time.Hour)
		from("same.example", 1)
		rep, err = dmarc.ParseFailureReport(bytes.NewReader(box.take()[0].Content))
		require.NoError(t, err)
		require.LessOrEqual(t, rep.Incidents, uint32(1))
	})
}

// While Send blocks, what waits is bounded, and Failure does not wait.
func TestFailuresDoNotPileUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := &outbox{}
		blocked := make(chan struct{})
		box.fail(func(reporting.Mail) error { <-blocked; return nil })
		r := newReporter(t.TempDir(), box, nil)
		r.FailureReports, r.MaxFailures = true, 1000
		start(t, r)
		fails := func(i int) {
			domain := fmt.Sprintf("d%d.example", i)
			f := asking("0")
			f.Evaluation = failing(evaluation(domain, "v=DMARC1; p=none; ruf=mailto:f@"+domain))
			f.Header = []byte(header + "X: " + strings.Repeat("y", 100<<10) + "\r\n")
			report(t, r, f)
		}
		for i := range 500 {
			fails(i)
		}
		synctest.Wait()
		close(blocked)
		synctest.Wait()
		before := box.calls
		require.LessOrEqual(t, before, 51)
		require.Greater(t, before, 40)
		fails(499) // for which there was no room
		fails(0)   // of which was told
		synctest.Wait()
		require.Equal(t, before+1, box.calls)
	})
}

// Whatever a header or a signature has in it, the report is a message with the fields that are to be there.
func TestHostileFailures(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"a\r\nBcc: x@victim.example", "\x00\xff", "--\r\n\r\n--=_", strings.Repeat("x", 5000), "(", "\"", "=?utf-8?q?x?=",
	} {
		synctest.Test(t, func(t *testing.T) {
			box := &outbox{}
			r := failureReporter(t, box, nil)
			f := asking("d")
			f.DKIM = []dmarc.ReportDKIM{{Domain: text, Selector: text, Result: "fail"}}
			f.ReversePath, f.Verdict.AuthorDomain = text+"@example.com", text
			f.Header = []byte("Subject: " + text + "\r\n\r\n--x\r\n" + header)
			report(t, r, f)
			synctest.Wait()
			mails := box.take()
			require.Len(t, mails, 1)
			msg, err := mail.ReadMessage(bytes.NewReader(mails[0].Content))
			require.NoError(t, err)
			require.Len(t, msg.Header, 8)
			require.Empty(t, msg.Header.Get("Bcc"))
			_, err = io.Copy(io.Discard, msg.Body)
			require.NoError(t, err)
			for line := range strings.SplitSeq(string(mails[0].Content), "\r\n") {
				require.LessOrEqual(t, len(line), 998)
			}
		})
	}
}

// A queue that is full does not end it.
func TestFailureReportsGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := &outbox{}
		box.fail(func(reporting.Mail) error { return errQueue })
		r := failureReporter(t, box, nil)
		report(t, r, asking("0"))
		synctest.Wait()
		box.fail(nil)
		f := asking("0")
		f.Source = netip.MustParseAddr("192.0.2.2")
		report(t, r, f)
		synctest.Wait()
		require.Len(t, box.take(), 1)
		require.NoError(t, r.Close())
		require.ErrorIs(t, r.Failure(t.Context(), f), reporting.ErrClosed)
	})
}

// RFC 9991 §4: the SPF record where SPF failed for an aligned domain, looked up if the caller does not have it.
func TestFailureReportsTellTheSPFRecord(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		domain, result string
		details        []dmarc.FailureSPF
		dns            zone
		want           []dmarc.FailureSPF
	}{
		"aligned":      {"example.com", "softfail", nil, zone{"example.com": "v=SPF1 -all"}, []dmarc.FailureSPF{{Type: "txt", Domain: "example.com", Record: "v=SPF1 -all"}}},
		"below":        {"Mail.Example.com", "fail", nil, zone{"mail.example.com": "v=spf1"}, []dmarc.FailureSPF{{Type: "txt", Domain: "mail.example.com", Record: "v=spf1"}}},
		"not aligned":  {"evil.example", "fail", nil, zone{"evil.example": "v=spf1 -all"}, nil},
		"another text": {"example.com", "none", nil, zone{"example.com": "v=spf10 -all"}, nil},
		"too long":     {"example.com", "none", nil, zone{"example.com": "v=spf1 " + strings.Repeat("x", 5000)}, nil},
		"no answer":    {"example.com", "temperror", nil, zone{"example.com": "fails"}, nil},
		"told": {"example.com", "fail", []dmarc.FailureSPF{{Type: "txt", Domain: "example.com", Record: "v=spf1 a"}}, zone{"example.com": "v=spf1 b"},
			[]dmarc.FailureSPF{{Type: "txt", Domain: "example.com", Record: "v=spf1 a"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				box := &outbox{}
				r := failureReporter(t, box, c.dns)
				f := asking("1")
				f.SPF, f.Details.SPFDNS = dmarc.ReportSPF{Domain: c.domain, Result: c.result}, c.details
				f.Verdict.Result, f.Verdict.DKIMAligned = dmarc.Pass, true
				report(t, r, f)
				synctest.Wait()
				mails := box.take()
				require.Len(t, mails, 1)
				rep, err := dmarc.ParseFailureReport(bytes.NewReader(mails[0].Content))
				require.NoError(t, err)
				require.Equal(t, c.want, rep.SPFDNS)
				require.Equal(t, "mx.example.org; dmarc=pass header.from=example.com", rep.AuthenticationResults, "as it was")
			})
		})
	}
}
