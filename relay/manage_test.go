package relay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/relay"
)

var unreachable = relay.Outcome{Err: errors.New("no route"), Unreachable: true}

func TestHoldReleaseRemoveRetry(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{decide: func(n int, _ string) relay.Outcome {
			if n == 1 {
				return later
			}
			return relay.Outcome{}
		}})
		ctx := t.Context()
		id := o.send("bob@example.net")
		synctest.Wait()
		require.NoError(t, o.Hold(ctx, id))
		o.reopen()
		pass(24 * time.Hour)
		entry, err := o.Show(ctx, id)
		require.NoError(t, err)
		require.True(t, entry.Held)
		require.Equal(t, relay.Held, entry.Recipients[0].State)
		require.Zero(t, entry.Next)
		require.NoError(t, o.Retry(ctx, id), "it stays held")
		synctest.Wait()
		require.Len(t, o.tr.times("bob@example.net"), 1)
		require.NoError(t, o.Release(ctx, id))
		synctest.Wait()
		require.Len(t, o.tr.times("bob@example.net"), 2)
		require.Equal(t, []relay.Kind{
			relay.Queued, relay.Attempted, relay.Deferred, relay.Held, relay.Released, relay.Attempted, relay.Delivered,
		}, o.kinds("bob@example.net"))

		id = o.send("cleo@example.net")
		synctest.Wait()
		require.NoError(t, o.Retry(ctx, id))
		synctest.Wait()
		require.Len(t, o.tr.times("cleo@example.net"), 2)

		id = o.send("dora@example.net")
		synctest.Wait()
		require.NoError(t, o.Remove(ctx, id))
		require.Zero(t, o.left())
		require.Equal(t, []relay.Kind{relay.Queued, relay.Attempted, relay.Deferred, relay.Removed}, o.kinds("dora@example.net"))
		pass(24 * time.Hour)
		require.Len(t, o.tr.times("dora@example.net"), 1)
		names, err := o.fs.ReadNames("queue/msg")
		require.NoError(t, err)
		require.Empty(t, names)
		require.Empty(t, o.reports.Messages())

		for _, err := range []error{o.Hold(ctx, "x"), o.Release(ctx, "x"), o.Remove(ctx, "x"), o.Retry(ctx, "x"), o.Remove(ctx, id)} {
			require.ErrorIs(t, err, relay.ErrNotFound)
		}
	})
}

func TestRemoveDuringAnAttempt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{takes: time.Minute})
		id := o.send("bob@example.net")
		pass(time.Second)
		require.NoError(t, o.Remove(t.Context(), id))
		list, err := o.List(t.Context())
		require.NoError(t, err)
		require.True(t, list[0].Removed, "until the attempt ends")
		require.Equal(t, relay.Removed, list[0].Recipients[0].State)
		ctx := t.Context()
		for _, err := range []error{o.Remove(ctx, id), o.Hold(ctx, id), o.Release(ctx, id), o.Retry(ctx, id)} {
			require.ErrorIs(t, err, relay.ErrNotFound)
		}
		require.NoError(t, o.Retry(ctx))
		pass(time.Hour)
		require.Zero(t, o.left())
		require.Equal(t, []relay.Kind{relay.Queued, relay.Attempted, relay.Removed}, o.kinds("bob@example.net"))
		o.reopen()
		require.Zero(t, o.left())
	})
}

// What waits for a destination that rests, or for its turn, is gone at once.
func TestRemoveWhileADestinationRests(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{decide: func(_ int, rcpt string) relay.Outcome {
			if strings.HasSuffix(rcpt, "@down.test") {
				return unreachable
			}
			return relay.Outcome{}
		}}, func(opts *relay.Options) { opts.Retry = relay.Schedule{time.Second} })
		var ids []string
		for i := range 20 {
			ids = append(ids, o.send(fmt.Sprintf("r%d@down.test", i), fmt.Sprintf("s%d@down.test", i)))
		}
		pass(5 * time.Second)
		require.Equal(t, 20, o.left())
		for i, id := range ids[1:] {
			require.NoError(t, o.Remove(t.Context(), id))
			require.ErrorIs(t, o.Remove(t.Context(), id), relay.ErrNotFound)
			require.Equal(t, 19-i, o.left())
		}
		tried := len(o.tr.times("r19@down.test"))
		names, err := o.fs.ReadNames("queue/msg")
		require.NoError(t, err)
		require.LessOrEqual(t, len(names), 1)
		begin := len(o.tr.times("r0@down.test"))
		pass(time.Hour)
		require.Greater(t, len(o.tr.times("r0@down.test")), begin, "the one that is left has its turn")
		require.Len(t, o.tr.times("r19@down.test"), tried)
		require.NoError(t, o.Remove(t.Context(), ids[0]))
		require.Zero(t, o.left())
		o.reopen()
		require.Zero(t, o.left())
	})
}

// So is what waits for its notification; one that is being handed over is not.
func TestRemoveBeforeANotification(t *testing.T) {
	bubble(t, func(t *testing.T) {
		handed := 0
		o := newOffice(t, &transport{decide: always(never)}, func(opts *relay.Options) {
			opts.MaxPerDestination = 1
			opts.Generated = mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error {
				handed++
				time.Sleep(time.Minute)
				return nil
			})
		})
		first := o.send("a@example.net")
		synctest.Wait()
		second := o.send("b@example.net")
		synctest.Wait()
		require.NoError(t, o.Remove(t.Context(), second))
		require.NoError(t, o.Remove(t.Context(), first))
		list, err := o.List(t.Context())
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, first, list[0].ID)
		require.True(t, list[0].Removed)
		pass(time.Hour)
		require.Zero(t, o.left())
		require.Equal(t, 1, handed)
	})
}

func TestEntryIsGoodJSON(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{decide: always(later)})
		_, err := o.Send(t.Context(), envelope("", "bob@example.net"), message(letter), relay.Key("k"))
		require.NoError(t, err)
		synctest.Wait()
		list, err := o.List(t.Context())
		require.NoError(t, err)
		text, err := json.Marshal(list)
		require.NoError(t, err)
		var back []relay.Entry
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, list[0].Recipients[0].Text, back[0].Recipients[0].Text)
		require.Equal(t, "greylisted", back[0].Recipients[0].Text)
		require.Equal(t, "k", back[0].Key)
		require.EqualValues(t, len(letter), back[0].Size)
		require.True(t, list[0].Next.Equal(back[0].Next))
	})
}

// What was removed stays removed although the machine stops before the attempt that ran has ended.
func TestRemoveDuringAnAttemptThatIsCutOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{takes: time.Minute})
		id := o.send("bob@example.net", "cleo@example.org")
		pass(time.Second)
		require.NoError(t, o.Remove(t.Context(), id))
		states := 0
		for state := range o.fs.States() {
			states++
			opts := o.opts
			opts.FS, opts.OnEvent = state.FS, nil
			q, err := relay.Open("queue", opts)
			require.NoError(t, err)
			list, err := q.List(t.Context())
			require.NoError(t, err)
			require.Empty(t, list, state.What)
			require.NoError(t, q.Close())
		}
		require.NotZero(t, states)
	})
}

// Attempts that ran side by side and found nobody are one miss: the first rest is the short one.
func TestAttemptsSideBySideAreOneMiss(t *testing.T) {
	bubble(t, func(t *testing.T) {
		tr := dead()
		tr.takes = time.Second
		o := newOffice(t, tr, func(opts *relay.Options) { opts.Retry = relay.Schedule{time.Second} })
		begin := time.Now()
		for i := range 8 {
			o.send(fmt.Sprintf("r%d@down.test", i))
		}
		pass(10 * time.Second)
		list, err := o.List(t.Context())
		require.NoError(t, err)
		require.Len(t, list, 8)
		for _, e := range list {
			require.Less(t, e.Next.Sub(begin), time.Minute)
		}
	})
}
