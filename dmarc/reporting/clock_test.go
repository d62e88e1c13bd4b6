package reporting_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/dmarc/reporting"
)

// clock is one that somebody sets.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time      { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) set(d time.Duration) { c.offset.Store(int64(d)) }

// When the clock is set back to a day whose reports may be under way, what comes then counts for the next day: nothing is
// told twice, and nothing is lost.
func TestTheClockIsSetBack(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart=%v", restart), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := &clock{}
				box := &outbox{}
				r := newReporter(t.TempDir(), box, nil)
				reporting.SetClock(r, c.now)
				stop := start(t, r)
				again := func() {
					if !restart {
						return
					}
					stop()
					r = newReporter(r.Dir, box, nil)
					reporting.SetClock(r, c.now)
					stop = start(t, r)
				}
				record(t, r, evaluation("example.com", rejecting))
				nextDay()
				first := box.take()
				require.Equal(t, map[string]int64{"example.com 192.0.2.1": 1}, counts(t, first))
				again()

				c.set(-20 * time.Hour) // on 1 January again
				record(t, r, evaluation("example.com", rejecting), evaluation("example.com", rejecting))
				pending, err := r.Pending(t.Context())
				require.NoError(t, err)
				require.Len(t, pending, 1)
				require.Equal(t, 2, pending[0].Day.Day())
				pass(time.Hour)
				again()
				c.set(0)
				record(t, r, evaluation("example.com", rejecting))
				require.Empty(t, box.take())
				nextDay()
				second := box.take()
				require.Equal(t, map[string]int64{"example.com 192.0.2.1": 3}, counts(t, second))
				require.NotEqual(t, first[0].Key, second[0].Key)
				pass(10 * day)
				require.Empty(t, box.take())
			})
		})
	}
}

// A clock that shows another year for a while: what was recorded before is sent early or kept, what was recorded then is
// no reason to spin, and what comes later is reported as ever.
func TestTheClockJumps(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{2 * day, 3000 * day, -3000 * day, -20000 * day} {
		t.Run(jump.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := &clock{}
				box := &outbox{}
				r := newReporter(t.TempDir(), box, nil)
				reporting.SetClock(r, c.now)
				start(t, r)
				pass(40 * day)
				record(t, r, evaluation("before.example", "v=DMARC1; p=none; rua=mailto:d@before.example"))
				pass(time.Hour)
				c.set(jump)
				pass(time.Hour)
				record(t, r, evaluation("meanwhile.example", "v=DMARC1; p=none; rua=mailto:d@meanwhile.example"))
				pass(time.Hour)
				c.set(0)
				pass(time.Hour)
				record(t, r, evaluation("after.example", "v=DMARC1; p=none; rua=mailto:d@after.example"))
				for range 8 {
					nextDay()
				}
				sent := counts(t, box.take())
				require.EqualValues(t, 1, sent["after.example 192.0.2.1"])
				if jump < 3000*day { // else it was too old for a while
					require.EqualValues(t, 1, sent["before.example 192.0.2.1"])
				}
				require.LessOrEqual(t, len(files(t, r.Dir)), 10)
			})
		})
	}
}

// A clock that jumps all the time does not fill the disk.
func TestTheNumberOfDaysIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &clock{}
		r := newReporter(t.TempDir(), &outbox{}, nil)
		reporting.SetClock(r, c.now)
		require.NoError(t, r.Open())
		for n := range 100 {
			c.set(time.Duration(100-n) * 10 * day)
			record(t, r, evaluation("example.com", rejecting))
		}
		require.NoError(t, r.Close())
		require.Len(t, files(t, r.Dir), 16+1)
	})
}
