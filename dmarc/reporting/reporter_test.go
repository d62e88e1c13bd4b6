package reporting_test

import (
	"context"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/dmarc/reporting"
)

const rejecting = "v=DMARC1; p=reject; sp=quarantine; adkim=s; fo=1; rua=mailto:d@example.com; ruf=mailto:f@example.com"

func TestADayIsReportedOnTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := &outbox{}
		r := newReporter(t.TempDir(), box, nil)
		r.Contact = "https://mx.example.org/dmarc"
		start(t, r)
		good := evaluation("example.com", rejecting)
		bad := failing(good)
		bad.Source = netip.MustParseAddr("2001:db8::1")
		bad.ReversePath = "x@evil.example"
		record(t, r, good, good, bad, good)
		pass(20 * time.Hour)
		record(t, r, bad)
		require.Empty(t, box.take(), "nothing leaves while the day goes on")
		pass(4 * time.Hour)
		pass(reporting.DefaultSpread + time.Hour)
		mails := box.take()
		require.Len(t, mails, 1)
		m := mails[0]
		require.Equal(t, "d@example.com", m.To)
		require.Equal(t, "dmarc-reports@mx.example.org", m.From)
		require.LessOrEqual(t, len(m.Key), 100)

		l := open(t, m)
		rep := l.report
		require.Equal(t, dmarc.ReportMetadata{
			OrgName: "Example Org", Email: "dmarc-reports@mx.example.org", ExtraContactInfo: "https://mx.example.org/dmarc",
			ReportID: rep.Metadata.ReportID, Generator: "mailbricks",
			Begin: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2000, 1, 1, 23, 59, 59, 0, time.UTC),
		}, rep.Metadata)
		require.Equal(t, dmarc.ReportPolicy{
			Domain: "example.com", DiscoveryMethod: "treewalk", Policy: "reject", Subdomain: "quarantine", Nonexistent: "quarantine",
			FailureOptions: "1", DKIMAlignment: "s", SPFAlignment: "r", Testing: "n",
		}, rep.Policy)
		require.Equal(t, []dmarc.ReportRecord{{
			Source: good.Source, Count: 3, Disposition: "pass", DKIM: "pass", SPF: "fail",
			HeaderFrom: "example.com", EnvelopeFrom: "example.com",
			DKIMResults: []dmarc.ReportDKIM{{Domain: "example.com", Selector: "s1", Result: "pass"}},
			SPFResults:  []dmarc.ReportSPF{{Domain: "example.com", Scope: "mfrom", Result: "softfail"}},
		}, {
			Source: bad.Source, Count: 2, Disposition: "reject", DKIM: "fail", SPF: "fail",
			HeaderFrom: "example.com", EnvelopeFrom: "evil.example",
			SPFResults: []dmarc.ReportSPF{{Domain: "example.com", Scope: "mfrom", Result: "softfail"}},
		}}, rep.Records)

		id := rep.Metadata.ReportID
		require.Regexp(t, regexp.MustCompile(`^[A-Za-z0-9]{16,64}$`), id, "it is the unique-id of the file name, too")
		require.Equal(t, "Report Domain: example.com Submitter: mx.example.org Report-ID: <"+id+">", l.Get("Subject"))
		require.Equal(t, "mx.example.org!example.com!946684800!946771199!"+id+".xml.gz", l.file)
		require.Equal(t, "<"+id+"@mx.example.org>", l.Get("Message-ID"))
		require.Equal(t, `"Example Org" <dmarc-reports@mx.example.org>`, l.Get("From"))
		require.Equal(t, "<d@example.com>", l.Get("To"))
		require.Equal(t, "1.0", l.Get("MIME-Version"))
		require.Equal(t, "auto-generated", l.Get("Auto-Submitted"))
		date, err := l.Date()
		require.NoError(t, err)
		require.WithinRange(t, date, time.Date(2000, 1, 2, 0, 15, 0, 0, time.UTC), time.Date(2000, 1, 2, 8, 15, 0, 0, time.UTC))
		require.Contains(t, l.text, "Messages:  5\r\nPassed:    3\r\n")

		pass(10 * day)
		require.Empty(t, box.take(), "once is enough")
	})
}

func TestReportsAreSpreadOverHours(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := &outbox{}
		r := newReporter(t.TempDir(), box, nil)
		start(t, r)
		const domains = 80
		for i := range domains {
			domain := "d" + string(rune('a'+i%26)) + string(rune('a'+i/26)) + ".example"
			record(t, r, evaluation(domain, "v=DMARC1; p=none; rua=mailto:d@"+domain))
		}
		midnight()
		pending, err := r.Pending(t.Context())
		require.NoError(t, err)
		require.Len(t, pending, domains)
		due := map[string]time.Time{}
		for _, p := range pending {
			due[p.Domain] = p.Due
		}
		at := map[int]int{}
		total := 0
		for hour := range 10 {
			pass(time.Hour)
			for _, m := range box.take() {
				l := open(t, m)
				date, err := l.Date()
				require.NoError(t, err)
				require.WithinDuration(t, due[l.report.Policy.Domain], date, time.Second, "as foretold")
				at[hour]++
				total++
			}
		}
		require.Equal(t, domains, total)
		for hour := range 8 {
			require.InDelta(t, domains/8, at[hour], domains/9, "hour %d of %v", hour, at)
		}
	})
}

// Another receiver sends at other times, the same one at the same.
func TestTimesDependOnTheReceiver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		due := func(hostname string) (out []time.Time) {
			r := newReporter(t.TempDir(), &outbox{}, nil)
			r.Hostname = hostname
			require.NoError(t, r.Open())
			defer r.Close()
			for _, d := range []string{"a.example", "b.example", "c.example", "d.example"} {
				record(t, r, evaluation(d, "v=DMARC1; p=none; rua=mailto:d@"+d))
			}
			pending, err := r.Pending(t.Context())
			require.NoError(t, err)
			for _, p := range pending {
				out = append(out, p.Due)
			}
			return out
		}
		require.Equal(t, due("mx.example.org"), due("mx.example.org"))
		require.NotEqual(t, due("mx.example.org"), due("mx2.example.org"))
	})
}

func TestWhatIsNotReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := &outbox{}
		r := newReporter(t.TempDir(), box, nil)
		start(t, r)
		with := func(change func(*reporting.Evaluation)) reporting.Evaluation {
			e := evaluation("example.com", rejecting)
			change(&e)
			return e
		}
		record(t, r,
			evaluation("norua.example", "v=DMARC1; p=reject"),
			evaluation("web.example", "v=DMARC1; p=reject; rua=https://web.example/dmarc"),
			with(func(e *reporting.Evaluation) { e.Verdict.Result = dmarc.TempError }),
			with(func(e *reporting.Evaluation) { e.Verdict.Result = dmarc.None; e.Verdict.Record = nil }),
			with(func(e *reporting.Evaluation) { e.Source = netip.Addr{} }),
			with(func(e *reporting.Evaluation) { e.Verdict.RecordDomain = "evil\r\nSubject: x" }),
			with(func(e *reporting.Evaluation) { e.Verdict.AuthorDomain = "" }),
		)
		pending, err := r.Pending(t.Context())
		require.NoError(t, err)
		require.Empty(t, pending)
		midnight()
		pass(day)
		require.Empty(t, box.take())
	})
}

// Reports lead to reports about reports, and so on, unless somebody ends it.
func TestReportsAreNoReasonForReports(t *testing.T) {
	t.Parallel()
	own := []string{"DMARC-Reports@mx.example.org"}
	for name, c := range map[string]struct {
		change func(*reporting.Evaluation)
		sent   bool
	}{
		"to the address for reports":          {func(e *reporting.Evaluation) { e.Recipients = own }, false},
		"failing, to the address for reports": {func(e *reporting.Evaluation) { *e = failing(*e); e.Recipients = own }, false},
		"to that address and another": {
			func(e *reporting.Evaluation) { e.Recipients = append(e.Recipients, own...) }, true,
		},
		"automated":                       {func(e *reporting.Evaluation) { e.Automated = reporting.AutoSubmitted }, false},
		"null reverse-path":               {func(e *reporting.Evaluation) { e.ReversePath = "" }, false},
		"forged as automated":             {func(e *reporting.Evaluation) { *e = failing(*e); e.Automated = reporting.AutoSubmitted }, true},
		"forged with a null reverse-path": {func(e *reporting.Evaluation) { *e = failing(*e); e.ReversePath = "" }, true},
		"an aggregate report":             {func(e *reporting.Evaluation) { e.Automated = reporting.AggregateReport }, false},
		"an aggregate report that fails": {
			func(e *reporting.Evaluation) { *e = failing(*e); e.Automated = reporting.AggregateReport }, false,
		},
		"without one author, to the address for reports": {
			func(e *reporting.Evaluation) { e.Verdict.Result = dmarc.PermError; e.Recipients = own }, false,
		},
		"without one author, by a program": {
			func(e *reporting.Evaluation) {
				e.Verdict.Result = dmarc.PermError
				e.Automated = reporting.AutoSubmitted
			}, true,
		},
		"an ordinary message":                   {func(*reporting.Evaluation) {}, true},
		"an ordinary message without recipient": {func(e *reporting.Evaluation) { e.Recipients = nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				box := &outbox{}
				r := newReporter(t.TempDir(), box, nil)
				start(t, r)
				e := evaluation("example.com", rejecting)
				c.change(&e)
				record(t, r, e)
				pending, err := r.Pending(t.Context())
				require.NoError(t, err)
				require.Equal(t, c.sent, !pending[0].Due.IsZero())
				midnight()
				pass(day)
				require.Len(t, box.take(), map[bool]int{true: 1}[c.sent])
				if c.sent {
					return
				}
				record(t, r, e, evaluation("example.com", rejecting)) // with an ordinary one, both are told of
				midnight()
				pass(day)
				mails := box.take()
				require.Len(t, mails, 1)
				sum := int64(0)
				for _, rec := range open(t, mails[0]).report.Records {
					sum += rec.Count
				}
				require.EqualValues(t, 2, sum)
			})
		})
	}
}

func TestAutomated(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]reporting.Automation{
		"":                                  reporting.Personal,
		"Auto-Submitted: no":                reporting.Personal,
		"Auto-Submitted: No ":               reporting.Personal,
		"Auto-Submitted: no (really)":       reporting.Personal,
		"Auto-Submitted: no; x=y":           reporting.Personal,
		"Auto-Submitted: auto-generated":    reporting.AutoSubmitted,
		"Auto-Submitted: auto-replied; x=y": reporting.AutoSubmitted,
		"Auto-Submitted: nobody":            reporting.AutoSubmitted,
		"Content-Type: multipart/report; report-type=feedback-report": reporting.AutoSubmitted,
		"Content-Type: Multipart/Report":                              reporting.AutoSubmitted,
		"Content-Type: multipart/mixed":                               reporting.Personal,
		"Subject: Report Domain: example.com":                         reporting.AutoSubmitted,
		"Subject: Report Domain: example.com Submitter: x":            reporting.AggregateReport,
		"Subject:  report\r\n domain: example.com\r\n\tsubmitter: x":  reporting.AggregateReport, // with FWS (RFC 9990 §3.5.2)
		"Subject: Re: Report Domain: example.com Submitter: x":        reporting.Personal,
		"Subject: report  domains":                                    reporting.Personal,
		"TLS-Report-Domain: example.com":                              reporting.AutoSubmitted,
	} {
		name, value, _ := strings.Cut(header, ": ")
		require.Equal(t, want, reporting.Automated(func(field string) string {
			if field == name {
				return value
			}
			return ""
		}), header)
	}
}

func TestDispositionsAndOverrides(t *testing.T) {
	t.Parallel()
	type want struct {
		disposition string
		overrides   []dmarc.ReportOverride
	}
	for name, c := range map[string]struct {
		record string
		change func(*reporting.Evaluation)
		want   want
	}{
		"passed under an enforcing policy": {rejecting, func(*reporting.Evaluation) {}, want{"pass", nil}},
		"passed under none": {"v=DMARC1; p=none; rua=mailto:d@example.com", func(*reporting.Evaluation) {},
			want{"none", nil}},
		"refused for another reason": {rejecting, func(e *reporting.Evaluation) { e.Disposition = dmarc.PolicyReject },
			want{"reject", nil}},
		"refused": {rejecting, func(e *reporting.Evaluation) { *e = failing(*e) }, want{"reject", nil}},
		"accepted nevertheless": {rejecting, func(e *reporting.Evaluation) { *e = failing(*e); e.Disposition = dmarc.PolicyNone },
			want{"none", []dmarc.ReportOverride{{Type: "local_policy"}}}},
		"accepted for a reason": {rejecting, func(e *reporting.Evaluation) {
			*e = failing(*e)
			e.Disposition = dmarc.PolicyNone
			e.Overrides = []dmarc.ReportOverride{{Type: "trusted_forwarder", Comment: "arc=pass"}, {Type: "forwarded"}}
		}, want{"none", []dmarc.ReportOverride{{Type: "trusted_forwarder", Comment: "arc=pass"}, {Type: "other"}}}},
		"test mode": {"v=DMARC1; p=reject; t=y; rua=mailto:d@example.com", func(e *reporting.Evaluation) {
			e.Verdict.Policy, e.Verdict.TestMode = dmarc.PolicyQuarantine, true
			*e = failing(*e)
		}, want{"quarantine", []dmarc.ReportOverride{{Type: "policy_test_mode"}}}},
		"passed in test mode": {"v=DMARC1; p=quarantine; t=y; rua=mailto:d@example.com", func(e *reporting.Evaluation) {
			e.Verdict.Policy, e.Verdict.TestMode = dmarc.PolicyNone, true
		}, want{"pass", nil}},
		"several authors": {rejecting, func(e *reporting.Evaluation) {
			*e = failing(*e)
			e.Verdict.Result, e.Verdict.Disposition, e.Disposition = dmarc.PermError, dmarc.PolicyNone, dmarc.PolicyNone
		}, want{"none", nil}},
		"sampled out": {"v=DMARC1; p=reject; pct=1; rua=mailto:d@example.com", func(e *reporting.Evaluation) {
			e.Verdict.Policy, e.Verdict.SampledOut = dmarc.PolicyQuarantine, true
			*e = failing(*e)
		}, want{"quarantine", []dmarc.ReportOverride{{Type: "other", Comment: "sampled_out"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReporter(t.TempDir(), &outbox{}, nil)
			require.NoError(t, r.Open())
			defer r.Close()
			e := evaluation("example.com", c.record)
			c.change(&e)
			record(t, r, e)
			rep, err := r.Preview(t.Context(), time.Now(), "example.com")
			require.NoError(t, err)
			require.Len(t, rep.Records, 1)
			require.Equal(t, c.want, want{rep.Records[0].Disposition, rep.Records[0].Overrides})
		})
	}
}

// RFC 9990 §3.1.3: what tells most comes first, and there is a limit.
func TestSignaturesThatTellMostComeFirst(t *testing.T) {
	t.Parallel()
	r := newReporter(t.TempDir(), &outbox{}, nil)
	require.NoError(t, r.Open())
	defer r.Close()
	e := evaluation("news.example.com", "v=DMARC1; p=none; rua=mailto:d@example.com")
	e.Verdict.Aligned = []dmarc.Identifier{{Method: "dkim", Domain: "news.example.com"}, {Method: "dkim", Domain: "example.com"}}
	e.DKIM = []dmarc.ReportDKIM{
		{Domain: "a.example", Selector: "bad", Result: "fail"},
		{Domain: "esp.example", Selector: "other", Result: "pass"},
		{Domain: "Example.com", Selector: "relaxed", Result: "pass"},
		{Domain: "news.example.com", Selector: "strict", Result: "pass"},
		{Domain: "", Result: "none"},
		{Domain: "b.example", Selector: "odd", Result: "what?"},
	}
	for range 100 {
		e.DKIM = append(e.DKIM, dmarc.ReportDKIM{Domain: strings.Repeat("x", 300), Selector: "many", Result: "fail"})
	}
	record(t, r, e)
	rep, err := r.Preview(t.Context(), time.Now(), "news.example.com")
	require.NoError(t, err)
	got := rep.Records[0].DKIMResults
	require.Len(t, got, 20)
	var selectors []string
	for _, d := range got[:6] {
		selectors = append(selectors, d.Selector)
		require.LessOrEqual(t, len(d.Domain), 255)
	}
	require.Equal(t, []string{"strict", "relaxed", "other", "bad", "odd", "many"}, selectors)
	require.Equal(t, "none", got[4].Result)
}

// RFC 9990 §3.3: where the policy changes during a day, the report has the last.
func TestTheLastPolicyOfADayCounts(t *testing.T) {
	t.Parallel()
	r := newReporter(t.TempDir(), &outbox{}, nil)
	require.NoError(t, r.Open())
	defer r.Close()
	record(t, r, evaluation("example.com", rejecting))
	record(t, r, evaluation("example.com", "v=DMARC1; p=none; np=what; rua=mailto:d@example.com"))
	rep, err := r.Preview(context.Background(), time.Now(), "example.com")
	require.NoError(t, err)
	require.Equal(t, "none", rep.Policy.Policy)
	require.Len(t, rep.Records, 2)
	require.Len(t, rep.Metadata.Errors, 1)
	require.Contains(t, rep.Metadata.Errors[0], "np")
	pending, err := r.Pending(t.Context())
	require.NoError(t, err)
	require.Len(t, pending, 1)
	require.EqualValues(t, 2, pending[0].Messages)
	require.Equal(t, 2, pending[0].Rows)
	require.Equal(t, []string{"d@example.com"}, pending[0].Destinations)
	_, err = r.Preview(context.Background(), time.Now(), "example.net")
	require.ErrorIs(t, err, reporting.ErrNoData)
}

// What is pending can be looked at before and after the day has ended, until it is sent.
func TestPendingAndPreview(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := &outbox{}
		r := newReporter(t.TempDir(), box, nil)
		start(t, r)
		record(t, r, evaluation("b.example", "v=DMARC1; p=none; rua=mailto:d@b.example,mailto:x@third.example"))
		a := evaluation("a.example", "v=DMARC1; p=none; rua=mailto:d@a.example")
		record(t, r, a, a)
		today := time.Now()
		open := look(t, r, today)
		require.Equal(t, []string{"a.example", "b.example"}, []string{open[0].Domain, open[1].Domain})
		require.EqualValues(t, 2, open[0].Messages)
		require.Equal(t, []string{"d@b.example", "x@third.example"}, open[1].Destinations)
		midnight()
		pass(10 * time.Minute) // closed, nothing is due
		require.Equal(t, open, look(t, r, today))
		pass(reporting.DefaultSpread + time.Hour)
		require.Len(t, box.take(), 2)
		require.Empty(t, look(t, r, today))
		_, err := r.Preview(t.Context(), today, "a.example")
		require.ErrorIs(t, err, reporting.ErrNoData)
	})
}

// look lists what is pending, and checks that the previews say the same.
func look(t *testing.T, r *reporting.Reporter, today time.Time) []reporting.Pending {
	t.Helper()
	pending, err := r.Pending(t.Context())
	require.NoError(t, err)
	for _, p := range pending {
		rep, err := r.Preview(t.Context(), today, p.Domain)
		require.NoError(t, err)
		require.Equal(t, p.ReportID, rep.Metadata.ReportID)
		require.Len(t, rep.Records, p.Rows)
		require.Equal(t, p.Messages, rep.Records[0].Count)
	}
	return pending
}

// RFC 7489 has no np, and another way to find the record.
func TestPoliciesByThePublicSuffixList(t *testing.T) {
	t.Parallel()
	r := newReporter(t.TempDir(), &outbox{}, nil)
	require.NoError(t, r.Open())
	defer r.Close()
	e := evaluation("example.com", rejecting)
	e.Verdict.Discovery = dmarc.PublicSuffixes
	record(t, r, e)
	rep, err := r.Preview(t.Context(), time.Now(), "example.com")
	require.NoError(t, err)
	require.Equal(t, "psl", rep.Policy.DiscoveryMethod)
	require.Empty(t, rep.Policy.Nonexistent)
}
