package relay_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/relay"
)

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
		pass(time.Hour)
		require.Zero(t, o.left())
		require.Equal(t, []relay.Kind{relay.Queued, relay.Attempted, relay.Removed}, o.kinds("bob@example.net"))
		o.reopen()
		require.Zero(t, o.left())
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
