package relay_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/relay"
)

// down is a Transport that fails for now.
type down struct{}

func (down) Deliver(_ context.Context, env *mailbricks.Envelope, _ *mailbricks.Message) []relay.Outcome {
	out := make([]relay.Outcome, len(env.Recipients))
	for i := range out {
		out[i].Err = mailbricks.ErrTemporary
	}
	return out
}

// What a new configuration may have mended is tried at once.
func TestRescheduleEndsRests(t *testing.T) {
	bubble(t, func(t *testing.T) {
		outcome := unreachable
		o := newOffice(t, &transport{decide: func(int, string) relay.Outcome { return outcome }}, func(opts *relay.Options) {
			opts.Retry = relay.Schedule{time.Second}
		})
		for i := range 20 {
			o.send(fmt.Sprintf("r%d@down.test", i))
		}
		pass(10 * time.Second)
		require.Equal(t, 20, o.left())
		outcome = relay.Outcome{}
		pass(10 * time.Second)
		require.Equal(t, 20, o.left(), "it rests")
		o.Reschedule(relay.Schedule{time.Second}, time.Hour)
		synctest.Wait()
		require.Zero(t, o.left())
	})
}

func TestRescheduleKeepsThePace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, dead(), func(opts *relay.Options) {
			opts.Retry, opts.Pace = relay.Schedule{time.Second}, 10*time.Second
		})
		begin := time.Now()
		o.send("a@down.test")
		pass(5 * time.Second)
		o.Reschedule(relay.Schedule{time.Second}, 0)
		pass(20 * time.Second)
		require.Equal(t, []time.Duration{0, 15 * time.Second}, offsets(begin, o.tr.times("a@down.test"))[:2])
	})
}

func TestRescheduleHoldsFromTheNextAttemptAndMessageOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		q, err := relay.Open(dir, relay.Options{Transport: down{}, Retry: relay.Schedule{time.Hour}, Lifetime: 10 * time.Hour})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- q.Run(ctx) }()
		queue := func(rcpt string) relay.Entry {
			env := &mailbricks.Envelope{Recipients: []mailbricks.Recipient{{Address: rcpt}}}
			require.NoError(t, q.Handle(t.Context(), env, mailbricks.NewMessage([]byte("A: 1\r\n\r\n"))))
			time.Sleep(time.Second)
			list, err := q.List(t.Context())
			require.NoError(t, err)
			return list[len(list)-1]
		}
		e := queue("a@one.test")
		require.Equal(t, 10*time.Hour, e.Expires.Sub(e.Queued))
		require.Equal(t, time.Hour, e.Next.Sub(e.Queued).Round(time.Minute))
		q.Reschedule(relay.Schedule{time.Minute}, time.Hour)
		e = queue("b@two.test")
		require.Equal(t, time.Hour, e.Expires.Sub(e.Queued))
		require.Equal(t, time.Minute, e.Next.Sub(e.Queued).Round(10*time.Second))
		q.Reschedule(nil, 0)
		e = queue("c@three.test")
		require.Equal(t, relay.DefaultLifetime, e.Expires.Sub(e.Queued))
		cancel()
		<-done
		require.NoError(t, q.Close())
	})
}
