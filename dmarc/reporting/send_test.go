package reporting_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/dmarc/reporting"
)

// nextDay lets a day end and its reports leave.
func nextDay() {
	midnight()
	pass(reporting.DefaultSpread + time.Hour)
}

// third is a DNS in which third.example has a record for reports about example.com.
func third(record string) zone { return zone{"example.com._report._dmarc.third.example": record} }

// RFC 9990 §4: an address elsewhere must agree.
func TestOnlyDestinationsThatAgreeGetReports(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rua  string
		dns  zone
		want []string
	}{
		"own domain": {"mailto:d@example.com", nil, []string{"d@example.com"}},
		"several": {"mailto:a@example.com,mailto:b@mail.example.com,mailto:a@example.com",
			zone{"_dmarc.example.com": "v=DMARC1; p=none"}, []string{"a@example.com", "b@mail.example.com"}},
		"percent-encoded":    {"mailto:a%2Bdmarc@example.com", nil, []string{"a+dmarc@example.com"}},
		"an obsolete limit":  {"mailto:a@example.com!1k", nil, []string{"a@example.com"}}, // RFC 9989 §4.8: to be ignored
		"other schemes":      {"https://example.com/,mailto:a@example.com", nil, []string{"a@example.com"}},
		"elsewhere":          {"mailto:a@victim.example", nil, nil},
		"elsewhere and here": {"mailto:a@victim.example,mailto:b@example.com", nil, []string{"b@example.com"}},
		"elsewhere, agreed":  {"mailto:a@third.example", third("v=DMARC1"), []string{"a@third.example"}},
		"elsewhere, with its own": {"mailto:a@third.example", third("v=DMARC1; rua=mailto:x@third.example"),
			[]string{"x@third.example"}},
		"elsewhere, to a victim": {"mailto:a@third.example", third("v=DMARC1; rua=mailto:x@victim.example"), nil},
		"more than are looked at": {
			"mailto:1@example.com,mailto:2@example.com,mailto:3@example.com,mailto:4@example.com,mailto:5@example.com", nil,
			[]string{"1@example.com", "2@example.com", "3@example.com", "4@example.com"},
		},
		"with a header field": {"mailto:a@example.com?subject=x%0D%0ABcc:y@victim.example", nil, []string{"a@example.com"}},
		"with a line feed": {"mailto:a%0D%0ABcc:y@example.com,mailto:b@example.com", nil,
			[]string{"b@example.com"}},
		"with letters that are no ASCII": {"mailto:%C3%A4@example.com", nil, []string{"ä@example.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				box := &outbox{}
				r := newReporter(t.TempDir(), box, c.dns)
				start(t, r)
				record(t, r, evaluation("example.com", "v=DMARC1; p=none; rua="+c.rua))
				nextDay()
				mails := box.take()
				require.Equal(t, c.want, to(mails))
				for _, m := range mails {
					open(t, m)
				}
				pending, err := r.Pending(t.Context())
				require.NoError(t, err)
				require.Empty(t, pending, "there is nothing to be tried again")
			})
		})
	}
}

// A DNS or a queue that does not work for a while delays reports, and each address gets one.
func TestFailuresAreTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := &outbox{}
		dns := third("fails")
		r := newReporter(t.TempDir(), box, dns)
		stop := start(t, r)
		box.fail(func(m reporting.Mail) error {
			if m.To == "b@example.com" {
				return errQueue
			}
			return nil
		})
		const rua = "mailto:a@example.com,mailto:b@example.com,mailto:c@third.example"
		record(t, r, evaluation("example.com", "v=DMARC1; p=none; rua="+rua))
		nextDay()
		pass(6 * time.Hour)
		first := box.take()
		require.Equal(t, []string{"a@example.com"}, to(first))
		require.LessOrEqual(t, box.calls, 20, "not too often")
		pending, err := r.Pending(t.Context())
		require.NoError(t, err)
		require.Len(t, pending, 1)
		require.Equal(t, []string{"a@example.com"}, pending[0].Sent)
		require.Contains(t, pending[0].Err, errQueue.Error())

		stop()
		r = newReporter(r.Dir, box, dns)
		stop = start(t, r)
		box.fail(nil)
		pass(2 * time.Hour)
		second := box.take()
		require.Equal(t, []string{"b@example.com"}, to(second))
		require.Equal(t, open(t, first[0]).gzip, open(t, second[0]).gzip, "it is the same report")
		require.Equal(t, open(t, first[0]).file, open(t, second[0]).file)

		stop()
		start(t, newReporter(r.Dir, box, third("v=DMARC1")))
		pass(2 * time.Hour)
		require.Equal(t, []string{"c@third.example"}, to(box.take()))
		pass(5 * day)
		require.Empty(t, box.take())
		require.Len(t, box.keys, 3)
		for key, n := range box.keys {
			require.Equal(t, 1, n, key)
		}
	})
}

// What cannot be sent is given up one day.
func TestOldDaysAreGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := &outbox{}
		box.fail(func(reporting.Mail) error { return errQueue })
		r := newReporter(t.TempDir(), box, nil)
		start(t, r)
		record(t, r, evaluation("example.com", rejecting))
		midnight()
		pass(reporting.DefaultKeep - time.Minute)
		pending, err := r.Pending(t.Context())
		require.NoError(t, err)
		require.Len(t, pending, 1)
		pass(time.Hour)
		pending, err = r.Pending(t.Context())
		require.NoError(t, err)
		require.Empty(t, pending)
		require.Equal(t, []string{"lock"}, files(t, r.Dir))
		box.fail(nil)
		pass(day)
		require.Empty(t, box.take())
	})
}

// After a time in which the server was off, the reports of the last days leave.
func TestReportsAreCaughtUpWith(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := &outbox{}
		r := newReporter(t.TempDir(), box, nil)
		for n := range 7 {
			require.NoError(t, r.Open())
			e := evaluation("example.com", rejecting)
			e.Source = netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})
			record(t, r, e)
			require.NoError(t, r.Close())
			midnight()
		}
		start(t, r)
		pass(time.Minute)
		require.Equal(t, map[string]int64{"example.com 192.0.2.2": 1, "example.com 192.0.2.3": 1, "example.com 192.0.2.4": 1,
			"example.com 192.0.2.5": 1}, counts(t, box.take()), "the last is due later, the first two are too old")
		pass(day)
		require.Equal(t, map[string]int64{"example.com 192.0.2.6": 1}, counts(t, box.take()))
	})
}

func TestSuppressedAddressesGetNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := &outbox{}
		r := newReporter(t.TempDir(), box, nil)
		stop := start(t, r)
		ctx := context.Background()
		until := time.Now().Add(50 * time.Hour)
		require.NoError(t, r.Suppress(ctx, "A@Example.com", until))
		require.NoError(t, r.Suppress(ctx, "c@example.com", until))
		require.NoError(t, r.Suppress(ctx, "c@example.com", time.Now()), "a time that is over ends it")
		for _, bad := range []string{"", "a", "a@", "@b", "a\r\n@example.com", "a@b@c", "a b@example.com", "<a@example.com>"} {
			require.Error(t, r.Suppress(ctx, bad, until), bad)
		}
		require.Equal(t, map[string]time.Time{"a@example.com": until.UTC()}, r.Suppressed())
		const rua = "v=DMARC1; p=none; rua=mailto:a@example.com,mailto:b@example.com,mailto:c@example.com"
		record(t, r, evaluation("example.com", rua))
		stop()
		r = newReporter(r.Dir, box, nil)
		start(t, r)
		require.Equal(t, map[string]time.Time{"a@example.com": until.UTC()}, r.Suppressed(), "after a restart, too")
		nextDay()
		require.Equal(t, []string{"b@example.com", "c@example.com"}, to(box.take()))
		pass(day)
		record(t, r, evaluation("example.com", rua))
		nextDay()
		require.Equal(t, []string{"a@example.com", "b@example.com", "c@example.com"}, to(box.take()), "for a time only")
		require.Empty(t, r.Suppressed())
	})
}

// Where nothing is sent, or not to all, the log says why, and Pending says before what is known.
func TestWhyAReportDoesNotGo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rua                                  string
		dns                                  zone
		unchecked, suppressed, left, message string
	}{
		"sent":      {rua: "mailto:d@example.com", message: "report is done"},
		"elsewhere": {"mailto:d@victim.example", nil, "d@victim.example", "", "d@victim.example: its domain does not agree", "report has nobody to go to"},
		"here and elsewhere": {"mailto:d@victim.example,mailto:d@mail.example.com", zone{"_dmarc.example.com": "v=DMARC1; p=none"},
			"d@victim.example", "", "d@victim.example: its domain does not agree", "report is done"},
		"elsewhere, another in its place": {rua: "mailto:a@third.example", dns: third("v=DMARC1; rua=mailto:x@third.example"),
			unchecked: "a@third.example", message: "report is done"},
		"suppressed": {"mailto:no@example.com", nil, "", "no@example.com", "no@example.com: suppressed", "report has nobody to go to"},
		"refused":    {"mailto:refused@example.com", nil, "", "", "refused@example.com: suppressed", "report has nobody to go to"},
		"too many": {"mailto:a@victim.example,mailto:b@victim.example,mailto:c@victim.example,mailto:d@victim.example,mailto:e@example.com", nil,
			"a@victim.example b@victim.example c@victim.example d@victim.example", "", "e@example.com: the record has too many",
			"report has nobody to go to"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				box := &outbox{err: refuse}
				var log bytes.Buffer
				r := newReporter(t.TempDir(), box, c.dns)
				r.Logger = slog.New(slog.NewTextHandler(&log, nil))
				start(t, r)
				require.NoError(t, r.Suppress(t.Context(), "no@example.com", time.Now().Add(10*day)))
				record(t, r, evaluation("example.com", "v=DMARC1; p=none; rua="+c.rua))
				pending, err := r.Pending(t.Context())
				require.NoError(t, err)
				require.Equal(t, c.unchecked, strings.Join(pending[0].Unchecked, " "))
				require.Equal(t, c.suppressed, strings.Join(pending[0].Suppressed, " "))
				nextDay()
				require.Contains(t, log.String(), c.message)
				if c.left == "" {
					require.NotContains(t, log.String(), "left_out")
				} else {
					require.Contains(t, log.String(), "left_out=")
					require.Contains(t, log.String(), c.left)
				}
			})
		})
	}
}

// refuse is a queue that refuses one address for good.
func refuse(m reporting.Mail) error {
	if m.To == "refused@example.com" {
		return fmt.Errorf("550 no such user: %w", reporting.ErrUndeliverable)
	}
	return nil
}

// What is refused for good is not tried again, not for this report and not for the next.
func TestRefusedAddressesAreSuppressed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := &outbox{err: refuse}
		r := newReporter(t.TempDir(), box, nil)
		start(t, r)
		const rua = "v=DMARC1; p=none; rua=mailto:refused@example.com,mailto:b@example.com"
		for range 3 {
			record(t, r, evaluation("example.com", rua))
			nextDay()
		}
		require.Equal(t, []string{"b@example.com", "b@example.com", "b@example.com"}, to(box.take()))
		require.Equal(t, 1+3, box.calls)
		until := r.Suppressed()["refused@example.com"]
		require.WithinDuration(t, time.Now().Add(reporting.RefusedTime), until, 3*day)
		pending, err := r.Pending(t.Context())
		require.NoError(t, err)
		require.Empty(t, pending)
		pass(reporting.RefusedTime)
		record(t, r, evaluation("example.com", rua))
		nextDay()
		require.Equal(t, 1+3+2, box.calls, "it is tried again then")
	})
}

func TestTheListOfSuppressedAddressesIsBounded(t *testing.T) {
	t.Parallel()
	fs := newCrashFS()
	r := newReporter("/reports", &outbox{}, nil)
	reporting.SetFS(r, fs)
	reporting.Suppressed(r, reporting.MaxSuppressed-1, time.Now().Add(time.Hour))
	defer r.Close()
	require.NoError(t, r.Suppress(t.Context(), "last@example.com", time.Now().Add(time.Hour)))
	require.ErrorIs(t, r.Suppress(t.Context(), "onemore@example.com", time.Now().Add(time.Hour)), reporting.ErrSuppressed)
	require.NoError(t, r.Suppress(t.Context(), "last@example.com", time.Now().Add(2*time.Hour)), "it is there already")
}

// A report that is too large loses the rows that count least, and says so.
func TestTheSizeOfAReportIsLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := &outbox{}
		r := newReporter(t.TempDir(), box, nil)
		r.MaxReport = 14 << 10
		start(t, r)
		total := int64(0)
		for i := range 1000 {
			e := evaluation("example.com", rejecting)
			e.Source = netip.AddrFrom4([4]byte{192, byte(i * 7), byte(i >> 8), byte(i)})
			e.DKIM[0].Selector = fmt.Sprintf("%x", i*i*i*7919)
			record(t, r, e)
			total++
			if i < 3 {
				record(t, r, e)
				total++
			}
		}
		nextDay()
		mails := box.take()
		require.Len(t, mails, 1)
		require.LessOrEqual(t, len(mails[0].Content), r.MaxReport)
		rep := open(t, mails[0]).report
		require.Greater(t, len(rep.Records), 100)
		listed := int64(0)
		for i, rec := range rep.Records {
			listed += rec.Count
			require.Equal(t, i < 3, rec.Count == 2)
		}
		require.Len(t, rep.Metadata.Errors, 1)
		require.Contains(t, rep.Metadata.Errors[0], fmt.Sprintf("%d more messages", total-listed))
	})
}

// A flood of made-up domains and rows costs what the limits say, on disk as well.
func TestAFloodIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := &outbox{}
		fs := newCrashFS()
		r := newReporter("/reports", box, nil)
		reporting.SetFS(r, fs)
		reporting.RewriteAbove(r, 64<<10)
		r.MaxDomains, r.MaxRows, r.MaxBytes = 50, 20, 200<<10
		start(t, r)
		e := evaluation("early.example", "v=DMARC1; p=none; rua=mailto:d@early.example")
		record(t, r, e)
		for i := range 5000 {
			domain := fmt.Sprintf("d%d.example", i%500)
			flood := evaluation(domain, "v=DMARC1; p=none; rua=mailto:d@"+domain)
			flood.Source = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
			flood.ReversePath = strings.Repeat("x", 1000) + "@" + strings.Repeat("y", 1000)
			record(t, r, flood)
			if i%1000 == 0 {
				pass(time.Minute)
			}
		}
		for range 1000 { // one row costs the same, whatever it counts
			record(t, r, e)
		}
		for range 300 {
			record(t, r, e)
			pass(10 * time.Second)
		}
		pending, err := r.Pending(t.Context())
		require.NoError(t, err)
		require.LessOrEqual(t, len(pending), 50)
		require.Greater(t, len(pending), 20)
		require.LessOrEqual(t, size(t, fs, r.Dir), int64(2*200<<10))
		i := slices.IndexFunc(pending, func(p reporting.Pending) bool { return p.Domain == "early.example" })
		require.EqualValues(t, 1301, pending[i].Messages)

		nextDay()
		mails := box.take()
		require.Len(t, mails, len(pending))
		require.EqualValues(t, 1301, counts(t, mails)["early.example 192.0.2.1"])
		require.Less(t, size(t, fs, r.Dir), int64(1000), "what was sent is gone")
	})
}

func TestADomainsRowsAreBounded(t *testing.T) {
	t.Parallel()
	r := newReporter(t.TempDir(), &outbox{}, nil)
	r.MaxRows = 10
	require.NoError(t, r.Open())
	defer r.Close()
	for i := range 100 {
		e := evaluation("example.com", rejecting)
		e.Source = netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
		record(t, r, e)
	}
	rep, err := r.Preview(t.Context(), time.Now(), "example.com")
	require.NoError(t, err)
	require.Len(t, rep.Records, 10)
	require.Equal(t, []string{"90 more messages are not in the records, which would be too many"}, rep.Metadata.Errors)
}

// One party, by its network or by its domains, gets an eighth of a day: domains that come later are counted nevertheless.
func TestNobodyCrowdsOthersOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		flood func(i int) (domain string, source netip.Addr)
		most  int
	}{
		"subdomains, many networks": {func(i int) (string, netip.Addr) {
			return fmt.Sprintf("d%d.x%d.evil.co.uk", i, i%7), netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})
		}, 8},
		"many domains, one IPv4 network": {func(i int) (string, netip.Addr) {
			return fmt.Sprintf("d%d.co.uk", i), netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
		}, 8},
		"many domains, one IPv6 network": {func(i int) (string, netip.Addr) {
			return fmt.Sprintf("d%d.co.uk", i), netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 1, byte(i)})
		}, 8},
		"the same domains, many rows": {func(i int) (string, netip.Addr) {
			return fmt.Sprintf("d%d.co.uk", i%4), netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
		}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			r := newReporter(t.TempDir(), &outbox{}, nil)
			r.MaxDomains, r.MaxBytes, r.Logger = 64, 256<<10, slog.New(slog.NewTextHandler(&log, nil))
			require.NoError(t, r.Open())
			defer func() { require.NoError(t, r.Close()) }()
			flood := func() {
				for i := range 1000 {
					domain, source := c.flood(i)
					e := evaluation(domain, "v=DMARC1; p=none; rua=mailto:d@"+domain)
					e.Source, e.ReversePath = source, fmt.Sprintf("x@%d.%s.example", i, strings.Repeat("x", 100))
					record(t, r, e)
				}
			}
			flood()
			require.Equal(t, 1, strings.Count(log.String(), "a limit is reached"), "once")
			require.Contains(t, log.String(), "share_of=")
			require.NoError(t, r.Close())
			require.NoError(t, r.Open()) // what was used before counts
			flood()
			for i := range 50 {
				domain := fmt.Sprintf("late%d.example", i)
				e := evaluation(domain, "v=DMARC1; p=none; rua=mailto:d@"+domain)
				e.Source = netip.AddrFrom4([4]byte{192, 0, byte(i), 1})
				record(t, r, e)
			}
			pending, err := r.Pending(t.Context())
			require.NoError(t, err)
			late := 0
			for _, p := range pending {
				if strings.HasPrefix(p.Domain, "late") {
					late++
					require.EqualValues(t, 1, p.Messages, p.Domain)
				}
			}
			require.Equal(t, 50, late)
			require.LessOrEqual(t, len(pending)-late, c.most)
		})
	}
}
