package reporting_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/dmarc/reporting"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
)

// ledger is what a life of the Reporter has promised and done, as seen from outside.
type ledger struct {
	box      *outbox
	recorded map[string]int64 // at most that may be told
	safe     map[string]int64 // at least that must be told
	quiet    []string         // keys of reports that were sent, and after which the disk had time to take note
	suppress bool
}

const (
	ruaA = "v=DMARC1; p=none; rua=mailto:a1@a.example,mailto:a2@a.example"
	ruaB = "v=DMARC1; p=reject; rua=mailto:b@b.example"
)

// firstLife records on two days, sends the reports of the first, and stops with the machine or when it is done.
func firstLife(fs *crashfs.FS, l *ledger, rewrite bool) {
	r := newReporter("/reports", l.box, nil)
	reporting.SetFS(r, fs)
	if rewrite {
		reporting.RewriteAlways(r)
	}
	if r.Open() != nil {
		return
	}
	ctx := context.Background()
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	take := func(domain, rua string, address byte, n int64) {
		e := evaluation(domain, rua)
		e.Source = netip.AddrFrom4([4]byte{192, 0, 2, address})
		for range n {
			_ = r.Record(ctx, e)
		}
		l.recorded[fmt.Sprintf("%s 192.0.2.%d", domain, address)] += n
	}
	settle := func() {
		pass(reporting.DefaultFlush + time.Second)
		if !fs.Crashed() {
			for key, n := range l.recorded {
				l.safe[key] = n
			}
			l.quiet = nil
			for key := range l.box.keys {
				l.quiet = append(l.quiet, key)
			}
		}
	}
	take("a.example", ruaA, 1, 3)
	settle()
	take("a.example", ruaA, 1, 2)
	take("a.example", ruaA, 2, 1)
	take("b.example", ruaB, 1, 1)
	settle()
	l.suppress = r.Suppress(ctx, "a2@a.example", time.Now().Add(100*day)) == nil
	midnight()
	take("b.example", ruaB, 9, 1) // on the second day
	pass(reporting.DefaultSpread + time.Hour)
	settle()
	if r.Close() == nil && !fs.Crashed() {
		for key, n := range l.recorded {
			l.safe[key] = n
		}
	}
	if err := <-done; err != nil && !errors.Is(err, reporting.ErrClosed) {
		panic(err)
	}
}

// secondLife sends all that is left, to the same queue, and checks what was told in both lives.
func secondLife(t *testing.T, fs *crashfs.FS, before *ledger) {
	box := &outbox{keys: map[string]int{}}
	for key := range before.box.keys {
		box.keys[key] = 1 // the queue knows these
	}
	r := newReporter("/reports", box, nil)
	reporting.SetFS(r, fs)
	stop := start(t, r)
	defer stop()
	if before.suppress {
		require.Len(t, r.Suppressed(), 1)
	}
	nextDay() // both days are over then
	pending, err := r.Pending(t.Context())
	require.NoError(t, err)
	require.Empty(t, pending)
	for _, key := range before.quiet {
		require.Equal(t, 1, box.keys[key], "a report that was noted is sent again")
	}
	for key, n := range box.keys {
		require.LessOrEqual(t, n, 2, "%s: once more at most", key)
	}
	told := map[string]int64{}
	for _, m := range append(before.box.mails[:len(before.box.mails):len(before.box.mails)], box.mails...) {
		if m.To == "a2@a.example" {
			continue // the other address has the same report
		}
		for key, n := range counts(t, []reporting.Mail{m}) {
			told[key] += n
		}
	}
	for key, n := range before.safe {
		require.GreaterOrEqual(t, told[key], n, key)
	}
	for key, n := range told {
		require.LessOrEqual(t, n, before.recorded[key], key)
	}
}

func newLedger() *ledger {
	return &ledger{box: &outbox{}, recorded: map[string]int64{}, safe: map[string]int64{}}
}

// Wherever the power fails: what was on disk is told, nothing is told twice, and every file can be read.
func TestPowerCuts(t *testing.T) {
	t.Parallel()
	for _, rewrite := range []bool{false, true} {
		t.Run(fmt.Sprintf("rewrite=%v", rewrite), func(t *testing.T) {
			t.Parallel()
			calls := 0
			synctest.Test(t, func(t *testing.T) {
				fs := crashfs.New()
				l := newLedger()
				firstLife(fs, l, rewrite)
				calls = fs.Calls()
				require.Len(t, l.box.mails, 2, "a2 is suppressed")
				secondLife(t, fs, l)
			})
			require.Greater(t, calls, 20)
			for n := 1; n <= calls; n++ {
				cut(t, n, false, rewrite)
				if !rewrite {
					cut(t, n, true, rewrite)
				}
			}
		})
	}
}

func cut(t *testing.T, n int, before, rewrite bool) {
	t.Helper()
	var states []crashfs.State
	l := newLedger()
	synctest.Test(t, func(t *testing.T) {
		fs := crashfs.New()
		if before {
			fs.CrashBefore(n)
		} else {
			fs.CrashAfter(n)
		}
		firstLife(fs, l, rewrite)
		for state := range fs.States() {
			states = append(states, state)
		}
	})
	for _, state := range states {
		synctest.Test(t, func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("call %d, before=%v, rewrite=%v, state %s", n, before, rewrite, state.What)
				}
			}()
			pass(2 * day) // no earlier than the crash
			secondLife(t, state.FS, l)
		})
	}
}

// One call that fails, wherever, loses nothing.
func TestOneCallFails(t *testing.T) {
	t.Parallel()
	calls := 0
	synctest.Test(t, func(t *testing.T) {
		fs := crashfs.New()
		firstLife(fs, newLedger(), false)
		calls = fs.Calls()
	})
	for n := 1; n <= calls; n++ {
		synctest.Test(t, func(t *testing.T) {
			fs := crashfs.New()
			fs.FailCall(n, errors.New("input/output error"))
			l := newLedger()
			firstLife(fs, l, false)
			if l.safe["a.example 192.0.2.1"] == 0 {
				return // it did not open
			}
			l.safe, l.quiet = map[string]int64{}, nil
			for key, n := range l.recorded { // all, as Close was the last to write
				l.safe[key] = n
			}
			secondLife(t, fs, l)
		})
	}
}

// What was sent is noted at once, not when all the others are.
func TestWhatIsSentIsNotedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := crashfs.New()
		box := &outbox{}
		blocked := make(chan struct{})
		r := newReporter("/reports", box, nil)
		reporting.SetFS(r, fs)
		r.Send = func(ctx context.Context, m reporting.Mail) error {
			if m.To == "b@b.example" {
				<-blocked
			}
			return box.send(ctx, m)
		}
		require.NoError(t, r.Open())
		record(t, r, evaluation("a.example", "v=DMARC1; p=none; rua=mailto:a@a.example"), evaluation("b.example", ruaB))
		require.NoError(t, r.Close())
		pass(2 * day) // both are due
		start(t, r)
		pass(time.Minute)
		require.Equal(t, []string{"a@a.example"}, to(box.take()))
		var states []*crashfs.FS
		for state := range fs.States() {
			states = append(states, state.FS)
		}
		close(blocked)
		for _, state := range states {
			after := &outbox{}
			r := newReporter("/reports", after, nil)
			reporting.SetFS(r, state)
			stop := start(t, r)
			pass(time.Minute)
			require.Equal(t, []string{"b@b.example"}, to(after.take()))
			stop()
		}
	})
}
