package relay_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/relay"
)

// dead is a transport that reaches nobody at down.test.
func dead() *transport {
	return &transport{decide: func(_ int, rcpt string) relay.Outcome {
		if strings.HasSuffix(rcpt, "@down.test") {
			return unreachable
		}
		return relay.Outcome{}
	}}
}

func impatient(opts *relay.Options) {
	opts.Retry, opts.Lifetime = relay.Schedule{time.Second}, 10*time.Second
}

// expiries are the times of the last events, by recipient, all of which must be Expired.
func (o *office) expiries(begin time.Time) map[string]time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	last := map[string]relay.Event{}
	for _, ev := range o.events {
		last[ev.Recipient] = ev
	}
	out := map[string]time.Duration{}
	for rcpt, ev := range last {
		require.Equal(o.t, relay.Expired, ev.Kind, rcpt)
		require.Equal(o.t, "no route", ev.Text, rcpt)
		out[rcpt] = ev.Time.Sub(begin)
	}
	return out
}

// However many wait for a destination that is dead, each expires in time.
func TestManyExpireInTime(t *testing.T) {
	for _, n := range []int{1, 8, 2500} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				o := newOffice(t, dead(), impatient)
				begin := time.Now()
				for i := range n {
					o.send(fmt.Sprintf("r%d@down.test", i))
				}
				pass(5 * time.Second)
				o.send("late@down.test", "later@down.test")
				pass(5*time.Second - time.Nanosecond)
				require.Equal(t, n+1, o.left())
				pass(time.Nanosecond)
				require.Equal(t, 1, o.left())
				pass(5 * time.Second)
				require.Zero(t, o.left())
				for rcpt, d := range o.expiries(begin) {
					if strings.HasPrefix(rcpt, "late") {
						d -= 5 * time.Second
					}
					require.Equal(t, 10*time.Second, d, rcpt)
				}
				require.Len(t, o.reports.Messages(), n+1)
				require.Empty(t, o.tr.times("late@down.test"), "it was known to be futile")
				p := parseReport(t, o.reports.Messages()[n].Raw)
				require.Contains(t, p.text, "For 10s the place it goes to could not be reached")
				require.Len(t, p.recipients, 2)
				o.reopen()
				require.Zero(t, o.left())
				pass(time.Hour)
				require.Len(t, o.reports.Messages(), n+1)
			})
		})
	}
}

// Where the destination does not rest, the last attempt is made.
func TestLastAttemptWhereTheDestinationIsUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{takes: 20 * time.Second, decide: func(n int, _ string) relay.Outcome {
			if n == 1 {
				return later
			}
			return relay.Outcome{}
		}}, impatient, func(opts *relay.Options) { opts.MaxConcurrent = 1 })
		for i := range 5 {
			o.send(fmt.Sprintf("r%d@up.test", i))
		}
		pass(time.Hour)
		for i := range 5 { // the first attempt was over after the lifetime, and was the last
			require.Len(t, o.tr.times(fmt.Sprintf("r%d@up.test", i)), 1)
		}
		require.Len(t, o.reports.Messages(), 5)
	})
}

// While the single attempt after a rest goes on, nobody expires; what came of it decides.
func TestExpiryWaitsForTheAttemptAfterARest(t *testing.T) {
	for _, up := range []bool{false, true} {
		t.Run(fmt.Sprint(up), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				begin := time.Now()
				o := newOffice(t, &transport{decide: func(int, string) relay.Outcome {
					if time.Since(begin) < 29*time.Second {
						return unreachable
					}
					time.Sleep(10 * time.Second) // the one after the rest
					if up {
						return relay.Outcome{}
					}
					return unreachable
				}}, func(opts *relay.Options) {
					opts.Retry, opts.Lifetime, opts.MaxPerDestination = relay.Schedule{time.Second}, 35*time.Second, 1
				})
				for i := range 8 {
					o.send(fmt.Sprintf("r%d@down.test", i))
				}
				pass(29 * time.Second)
				pass(10 * time.Second) // 39 s, and the attempt ends at 40 s
				require.Equal(t, 8, o.left())
				pass(2 * time.Second)
				if up {
					pass(10 * time.Minute)
					require.Empty(t, o.reports.Messages())
					require.Zero(t, o.left())
					return
				}
				require.Zero(t, o.left())
				for rcpt, d := range o.expiries(begin) {
					require.Equal(t, 40*time.Second, d, rcpt)
				}
			})
		})
	}
}

// What somebody holds does not expire, and what he releases has an attempt of its own.
func TestReleasedIsTriedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, dead(), impatient)
		for i := range 8 {
			o.send(fmt.Sprintf("r%d@down.test", i))
		}
		pass(time.Second)
		id := o.send("held@down.test")
		require.NoError(t, o.Hold(t.Context(), id))
		pass(20 * time.Second)
		require.Equal(t, 1, o.left())
		require.NoError(t, o.Release(t.Context(), id))
		pass(time.Hour)
		require.Zero(t, o.left())
		require.Len(t, o.tr.times("held@down.test"), 1)
		o.expiries(time.Now())
	})
}

// List, Show and events tell when a message is really tried, not when it would be if its destination did not rest.
func TestNextIsTheEndOfTheRest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, dead(), func(opts *relay.Options) {
			opts.Retry, opts.Lifetime, opts.MaxPerDestination = relay.Schedule{time.Second}, 80*time.Second, 1
		})
		begin := time.Now()
		first, second := o.send("a@down.test"), o.send("b@down.test")
		next := func(id string) time.Duration {
			e, err := o.Show(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, e.Next, e.Recipients[0].Next)
			return e.Next.Sub(begin)
		}
		synctest.Wait()
		for range 2 {
			require.Equal(t, 30*time.Second, next(first))
			require.Equal(t, 30*time.Second, next(second))
			pass(10 * time.Second)
		}
		o.mu.Lock()
		for _, ev := range o.events {
			if ev.Kind == relay.Deferred {
				require.Equal(t, 30*time.Second, ev.Next.Sub(begin))
			}
		}
		o.mu.Unlock()
		pass(15 * time.Second) // 35 s, in the second rest, which is longer than the lifetime
		require.Equal(t, 80*time.Second, next(first))
		require.NoError(t, o.Hold(t.Context(), first))
		e, err := o.Show(t.Context(), first)
		require.NoError(t, err)
		require.Zero(t, e.Next)
		require.Zero(t, e.Recipients[0].Next)
		require.NoError(t, o.Release(t.Context(), first))
		require.Equal(t, 90*time.Second, next(first), "it has its attempt")
		pass(time.Minute)
		require.Zero(t, o.left())
	})
}

func TestNextIsThatOfThePace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{}, func(opts *relay.Options) { opts.Pace = time.Minute })
		begin := time.Now()
		o.send("a@up.test")
		synctest.Wait()
		id := o.send("b@up.test")
		synctest.Wait()
		e, err := o.Show(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, time.Minute, e.Next.Sub(begin))
	})
}

// An expiry that cannot be noted is made, and noted later.
func TestExpiryOnABrokenDisk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, dead(), impatient)
		for i := range 8 {
			o.send(fmt.Sprintf("r%d@down.test", i))
		}
		pass(5 * time.Second)
		o.fs.Fail(func(op crashfs.Op) error {
			if strings.Contains(op.Name, "journal") {
				return errors.New("input/output error")
			}
			return nil
		})
		pass(time.Minute)
		require.Len(t, o.reports.Messages(), 8)
		require.Zero(t, o.left())
		o.fs.Fail(nil)
		o.reopen()
		synctest.Wait()
		pass(time.Hour)
		require.Zero(t, o.left())
		require.Len(t, o.reports.Messages(), 8)
	})
}
