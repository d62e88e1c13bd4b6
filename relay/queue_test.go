package relay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/relay"
)

// transport is a Transport whose outcomes a test decides.
type transport struct {
	decide func(n int, rcpt string) relay.Outcome // n counts the attempts for the recipient, from 1

	mu       sync.Mutex
	attempts map[string][]time.Time
	texts    []string
	envs     []*mailbricks.Envelope
	running  int
	most     int
	takes    time.Duration
}

func (tr *transport) Deliver(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) []relay.Outcome {
	tr.mu.Lock()
	tr.running++
	tr.most = max(tr.most, tr.running)
	text, _ := io.ReadAll(msg.Reader())
	tr.texts = append(tr.texts, string(text))
	tr.envs = append(tr.envs, env.Clone())
	tr.mu.Unlock()
	if tr.takes > 0 {
		select {
		case <-time.After(tr.takes):
		case <-ctx.Done():
		}
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.running--
	if tr.attempts == nil {
		tr.attempts = map[string][]time.Time{}
	}
	var out []relay.Outcome
	for _, r := range env.Recipients {
		tr.attempts[r.Address] = append(tr.attempts[r.Address], time.Now())
		if tr.decide == nil {
			out = append(out, relay.Outcome{})
			continue
		}
		out = append(out, tr.decide(len(tr.attempts[r.Address]), r.Address))
	}
	return out
}

func (tr *transport) times(rcpt string) []time.Time {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return slices.Clone(tr.attempts[rcpt])
}

var (
	later = relay.Outcome{Err: &mailbricks.Reply{Code: 451, Enhanced: "4.7.1", Text: "greylisted"}, Host: "mx.example.net", Reply: "451 4.7.1 greylisted"}
	never = relay.Outcome{Err: &mailbricks.Reply{Code: 550, Enhanced: "5.1.1", Text: "unknown"}, Host: "mx.example.net", Reply: "550 5.1.1 unknown"}
	lost  = relay.Outcome{Err: errors.New("lost"), Unknown: true}
)

func always(o relay.Outcome) func(int, string) relay.Outcome {
	return func(int, string) relay.Outcome { return o }
}

// office is a queue in a test: its file system, transport, reports and events.
type office struct {
	*relay.Queue
	t       *testing.T
	fs      *crashfs.FS
	opts    relay.Options
	tr      *transport
	reports mailtest.Inbox
	mu      sync.Mutex
	events  []relay.Event
	stop    context.CancelFunc
	done    chan error
}

func newOffice(t *testing.T, tr *transport, change ...func(*relay.Options)) *office {
	o := &office{t: t, fs: crashfs.New(), tr: tr}
	o.opts = relay.Options{
		Hostname: "out.example.com", Transport: tr, Generated: &o.reports, FS: o.fs,
		OnEvent: func(ev relay.Event) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.events = append(o.events, ev)
		},
	}
	for _, c := range change {
		c(&o.opts)
	}
	o.open()
	t.Cleanup(o.close)
	return o
}

func (o *office) open() {
	q, err := relay.Open("queue", o.opts)
	require.NoError(o.t, err)
	o.Queue = q
	ctx, stop := context.WithCancel(context.Background())
	o.stop, o.done = stop, make(chan error, 1)
	go func() { o.done <- q.Run(ctx) }()
}

func (o *office) close() {
	if o.Queue != nil {
		require.NoError(o.t, o.Queue.Close())
		if err := <-o.done; !errors.Is(err, relay.ErrClosed) { // closed before Run began
			require.NoError(o.t, err)
		}
		o.stop()
		o.Queue = nil
	}
}

// reopen ends the queue and opens it again.
func (o *office) reopen() {
	o.close()
	o.open()
}

// send queues the letter.
func (o *office) send(to ...string) string {
	id, err := o.Send(o.t.Context(), envelope("ann@example.com", to...), message(letter))
	require.NoError(o.t, err)
	return id
}

// kinds are the events of a recipient, in their order.
func (o *office) kinds(rcpt string) (kinds []relay.Kind) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, ev := range o.events {
		if ev.Recipient == rcpt {
			kinds = append(kinds, ev.Kind)
		}
	}
	return kinds
}

func (o *office) left() int {
	list, err := o.List(o.t.Context())
	require.NoError(o.t, err)
	return len(list)
}

func offsets(begin time.Time, times []time.Time) (out []time.Duration) {
	for _, t := range times {
		out = append(out, t.Sub(begin))
	}
	return out
}

func TestDelivery(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{})
		id := o.send("bob@example.net", "cleo@example.org")
		synctest.Wait()
		require.Equal(t, []relay.Kind{relay.Queued, relay.Attempted, relay.Delivered}, o.kinds("bob@example.net"))
		require.Equal(t, []relay.Kind{relay.Queued, relay.Attempted, relay.Delivered}, o.kinds("cleo@example.org"))
		require.Equal(t, []string{letter, letter}, o.tr.texts)
		require.Zero(t, o.left())
		entry, err := o.Show(t.Context(), id)
		require.NoError(t, err, "what was given to Send is remembered")
		require.Equal(t, relay.Delivered, entry.Recipients[0].State)
		names, err := o.fs.ReadNames("queue/msg")
		require.NoError(t, err)
		require.Empty(t, names)
		require.Empty(t, o.reports.Messages())
	})
}

func TestScheduleAndExpiry(t *testing.T) {
	bubble(t, func(t *testing.T) {
		schedule, err := relay.ParseSchedule("5m*2, 15m, 1h")
		require.NoError(t, err)
		o := newOffice(t, &transport{decide: always(later)}, func(opts *relay.Options) {
			opts.Retry, opts.Lifetime = schedule, 3*time.Hour
		})
		begin := time.Now()
		o.send("bob@example.net")
		pass(4 * time.Hour)
		require.Equal(t, []time.Duration{
			0, 5 * time.Minute, 10 * time.Minute, 25 * time.Minute, 85 * time.Minute, 145 * time.Minute, 180 * time.Minute,
		}, offsets(begin, o.tr.times("bob@example.net")))
		kinds := o.kinds("bob@example.net")
		require.Equal(t, relay.Expired, kinds[len(kinds)-1])
		require.Zero(t, o.left())
		require.Len(t, o.reports.Messages(), 1)
	})
}

func TestDefaultScheduleIsTheOneThatIsWritten(t *testing.T) {
	t.Parallel()
	s, err := relay.ParseSchedule(relay.DefaultRetry)
	require.NoError(t, err)
	for n := range 20 {
		require.Equal(t, s.After(n), relay.Schedule(nil).After(n))
	}
	require.Equal(t, 4*time.Hour, s.After(1000))
}

func TestStateSurvivesARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{decide: func(n int, rcpt string) relay.Outcome {
			switch {
			case rcpt == "good@example.net":
				return relay.Outcome{}
			case n < 3:
				return later
			}
			return relay.Outcome{}
		}})
		begin := time.Now()
		o.send("bob@example.net", "good@example.net")
		pass(time.Minute)
		before, err := o.List(t.Context())
		require.NoError(t, err)
		o.reopen()
		after, err := o.List(t.Context())
		require.NoError(t, err)
		require.Equal(t, before, after)
		require.Equal(t, 1, after[0].Recipients[0].Attempts)
		require.Equal(t, "451 4.7.1 greylisted", after[0].Recipients[0].Reply)
		require.Equal(t, relay.Delivered, after[0].Recipients[1].State)
		pass(time.Hour)
		require.Equal(t, []time.Duration{0, 5 * time.Minute, 10 * time.Minute}, offsets(begin, o.tr.times("bob@example.net")))
		require.Len(t, o.tr.times("good@example.net"), 1)
		require.Zero(t, o.left())
		o.reopen()
		require.Zero(t, o.left())
	})
}

func TestEnvelopeComesBackWhole(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{})
		auth, priority := "ann@example.com", -2
		env := envelope("ann@example.com", "bob@example.net")
		env.ID, env.Quarantine, env.Body, env.Size, env.SMTPUTF8, env.RequireTLS = "T1", "spam", mailbricks.Body8Bit, 99, true, true
		env.Return, env.EnvelopeID, env.Auth, env.Priority = mailbricks.ReturnFull, "E1", &auth, &priority
		env.Received = time.Now().Round(0).UTC()
		env.DeliverBy = &mailbricks.DeliverBy{Deadline: time.Now().Add(time.Hour).Round(0).UTC(), Return: true, Trace: true}
		env.Peer = mailbricks.Peer{Hello: "client", Protocol: "ESMTPSA", Identity: &mailbricks.Identity{Login: "ann", User: "ann"}}
		env.Recipients[0] = mailbricks.Recipient{
			Address: "bob@example.net", Alias: "b@example.net", Notify: mailbricks.NotifyDelay,
			OriginalRecipient: "rfc822;b@example.net", ValidSince: time.Unix(1e9, 0).UTC(),
		}
		require.NoError(t, o.Handle(t.Context(), env, message(letter)))
		synctest.Wait()
		require.Equal(t, []*mailbricks.Envelope{env}, o.tr.envs)
	})
}

func TestEventsOfAMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{takes: time.Second, decide: func(n int, rcpt string) relay.Outcome {
			switch {
			case rcpt == "no@example.net":
				return never
			case n == 1:
				return later
			}
			return relay.Outcome{Host: "mx.example.net", Reply: "250 ok", TLS: "TLS 1.3"}
		}})
		id := o.send("bob@example.net", "no@example.net")
		var got []string
		for ev := range o.Events(t.Context(), id) {
			require.Equal(t, id, ev.ID)
			got = append(got, fmt.Sprintf("%s %s %d", strings.Split(ev.Recipient, "@")[0], ev.Kind, ev.Code))
			if ev.Kind == relay.Deferred {
				require.Equal(t, 5*time.Minute, ev.Next.Sub(ev.Time))
			}
		}
		require.Subset(t, got, []string{"bob deferred 451", "bob delivered 250", "no bounced 550"})
		for ev := range o.Events(t.Context(), id) { // after the end, the ends
			require.True(t, ev.Kind.End())
			if ev.Kind == relay.Delivered {
				require.Equal(t, "250 ok", ev.Reply)
				require.Equal(t, "mx.example.net", ev.Host)
				require.Equal(t, "TLS 1.3", ev.TLS)
				require.Equal(t, 2, ev.Attempt)
			}
		}
		for range o.Events(t.Context(), "nothing") {
			t.Fatal("no such message")
		}
	})
}

func TestEventsAreToldInTheirOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var o *office
		o = newOffice(t, &transport{decide: func(n int, _ string) relay.Outcome {
			if n == 1 {
				return later
			}
			return relay.Outcome{}
		}}, func(opts *relay.Options) {
			keep := opts.OnEvent
			opts.OnEvent = func(ev relay.Event) {
				time.Sleep(time.Minute) // slow, and others go on
				if ev.Kind == relay.Deferred {
					require.NoError(t, o.Retry(context.Background(), ev.ID))
				}
				keep(ev)
			}
		})
		o.send("bob@example.net")
		pass(time.Hour)
		require.Equal(t, []relay.Kind{relay.Queued, relay.Attempted, relay.Deferred, relay.Attempted, relay.Delivered}, o.kinds("bob@example.net"))
	})
}

func TestSlowAttemptIsEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, zone)
		w.peer("192.0.2.25:25", &peer{script: map[string]string{"mail": "hang"}})
		o := newOffice(t, &transport{}, func(opts *relay.Options) {
			mx := w.mx()
			mx.Timeouts.Command = 24 * time.Hour
			opts.Transport, opts.MaxAttempt = mx, 20*time.Minute
		})
		id := o.send("bob@example.net")
		pass(20*time.Minute + time.Second)
		entry, err := o.Show(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, relay.Deferred, entry.Recipients[0].State)
		require.Equal(t, "4.4.2", entry.Recipients[0].Status)
	})
}

func TestPace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{}, func(opts *relay.Options) { opts.Pace = 30 * time.Second })
		begin := time.Now()
		for i := range 4 {
			o.send(fmt.Sprintf("r%d@slow.test", i))
		}
		o.send("bob@other.test")
		pass(time.Second)
		require.Len(t, o.tr.times("bob@other.test"), 1)
		pass(time.Hour)
		var all []time.Duration
		for i := range 4 {
			all = append(all, offsets(begin, o.tr.times(fmt.Sprintf("r%d@slow.test", i)))...)
		}
		require.ElementsMatch(t, []time.Duration{0, 30 * time.Second, time.Minute, 90 * time.Second}, all)
		require.Zero(t, o.left())
	})
}

func TestEventsEndWithTheirContextAndTheQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{decide: always(later)})
		id := o.send("bob@example.net")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		n := 0
		for range o.Events(ctx, id) {
			n++
		}
		require.Positive(t, n)
		for range o.Events(t.Context(), id) {
			break // leaves at once
		}
		done := make(chan bool)
		go func() {
			for range o.Events(context.Background(), id) {
			}
			close(done)
		}()
		synctest.Wait()
		o.close()
		<-done
	})
}

func TestKeyMakesSendHappenOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{}, func(opts *relay.Options) { opts.Remember = 24 * time.Hour })
		env := envelope("ann@example.com", "bob@example.net")
		push := func() string {
			id, err := o.Send(t.Context(), env, message(letter), relay.Key("push-4711"))
			require.NoError(t, err)
			return id
		}
		ids := make([]string, 10)
		var wg sync.WaitGroup
		for i := range ids {
			wg.Go(func() { ids[i] = push() })
		}
		wg.Wait()
		for _, id := range ids {
			require.Equal(t, ids[0], id)
		}
		synctest.Wait()
		require.Len(t, o.tr.times("bob@example.net"), 1)
		require.Equal(t, ids[0], push(), "it has been delivered")
		o.reopen()
		require.Equal(t, ids[0], push(), "the program has been started anew")
		for ev := range o.Events(t.Context(), ids[0]) {
			require.Equal(t, relay.Delivered, ev.Kind)
		}
		pass(25 * time.Hour)
		require.NotEqual(t, ids[0], push(), "it has been forgotten")
		_, err := o.Send(t.Context(), env, message(letter), relay.Key(strings.Repeat("x", 257)))
		require.Error(t, err)
	})
}

func TestKeyOfAFailedSendIsFree(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fail := errors.New("no key file")
		o := newOffice(t, &transport{}, func(opts *relay.Options) {
			opts.Prepare = func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error { return fail }
		})
		_, err := o.Send(t.Context(), envelope("ann@example.com", "bob@example.net"), message(letter), relay.Key("k"))
		require.ErrorIs(t, err, fail)
		fail = nil
		_, err = o.Send(t.Context(), envelope("ann@example.com", "bob@example.net"), message(letter), relay.Key("k"))
		require.NoError(t, err)
	})
}

func TestRememberedAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{}, func(opts *relay.Options) { opts.MaxRemembered = 3 })
		var ids []string
		for range 5 {
			ids = append(ids, o.send("bob@example.net"))
			pass(time.Second)
		}
		for i, id := range ids {
			_, err := o.Show(t.Context(), id)
			require.Equal(t, i < 2, errors.Is(err, relay.ErrNotFound))
		}
	})
}

func TestPrepareRunsOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := 0
		o := newOffice(t, &transport{decide: func(n int, _ string) relay.Outcome {
			if n < 3 {
				return later
			}
			return relay.Outcome{}
		}}, func(opts *relay.Options) {
			opts.Prepare = func(_ context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
				n++
				msg.Prepend("Signature", fmt.Sprint(n))
				body, err := io.ReadAll(msg.Reader())
				require.NoError(t, err)
				require.NotContains(t, strings.ReplaceAll(string(body), "\r\n", ""), "\n", "what is signed is what is sent")
				return nil
			}
		})
		_, err := o.Send(t.Context(), envelope("ann@example.com", "bob@example.net"), message("A: 1\nB: 2\n\nbody\r.\n"))
		require.NoError(t, err)
		pass(time.Hour)
		want := "Signature: 1\r\nA: 1\r\nB: 2\r\n\r\nbody\r\n.\r\n"
		require.Equal(t, []string{want, want, want}, o.tr.texts)
	})
}

func TestWhatIsNotTaken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{takes: time.Hour}, func(opts *relay.Options) {
			opts.MaxMessages, opts.MaxBytes, opts.MaxRecipients = 2, 1000, 2
		})
		handle := func(env *mailbricks.Envelope, text string) mailbricks.Results {
			return mailbricks.ResultsOf(o.Handle(t.Context(), env, message(text)), len(env.Recipients))
		}
		r := handle(envelope("ann@example.com", "bob@example.net", "bad address", "cleo@example.net", "dora@example.net"), letter)
		require.NoError(t, r[0])
		requireReply(t, "553 5.1.3", r[1])
		require.NoError(t, r[2])
		requireReply(t, "452 4.5.3", r[3])
		requireReply(t, "553 5.1.7", handle(envelope("a\r\nb@x", "bob@example.net"), letter)[0])
		binary := envelope("ann@example.com", "bob@example.net")
		binary.Body = mailbricks.BodyBinary
		requireReply(t, "554 5.6.3", handle(binary, letter)[0])
		requireReply(t, "452 4.3.1", handle(envelope("", "bob@example.net"), strings.Repeat("x", 1000))[0])
		require.NoError(t, handle(envelope("", "postmaster"), letter)[0])
		requireReply(t, "452 4.3.1", handle(envelope("", "bob@example.net"), letter)[0])
		_, err := o.Send(t.Context(), envelope("ann@example.com", "bob@example.net", "bad address"), message(letter))
		requireReply(t, "553 5.1.3", err)
		_, err = o.Send(t.Context(), envelope("ann@example.com"), message(letter))
		requireReply(t, "554 5.5.1", err)
		require.Equal(t, 2, o.left())
	})
}

func TestAttemptsAtOnceAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{takes: time.Minute}, func(opts *relay.Options) { opts.MaxConcurrent, opts.MaxPerDestination = 5, 2 })
		for i := range 10 {
			o.send(fmt.Sprintf("bob@d%d.test", i%2))
		}
		pass(time.Second)
		require.Equal(t, 4, o.tr.most, "two for each destination")
		for i := range 10 {
			o.send(fmt.Sprintf("bob@e%d.test", i))
		}
		pass(time.Hour)
		require.Equal(t, 5, o.tr.most)
		require.Zero(t, o.left())
	})
}

// A domain that cannot be reached must not keep every attempt busy with waiting for it.
func TestUnreachableDestinationRests(t *testing.T) {
	bubble(t, func(t *testing.T) {
		down := true
		o := newOffice(t, &transport{takes: time.Minute, decide: func(_ int, rcpt string) relay.Outcome {
			if down && strings.HasSuffix(rcpt, "@down.test") {
				return relay.Outcome{Err: errors.New("no route"), Unreachable: true}
			}
			return relay.Outcome{}
		}}, func(opts *relay.Options) { opts.MaxConcurrent, opts.MaxPerDestination = 2, 2 })
		for i := range 20 {
			o.send(fmt.Sprintf("r%d@down.test", i))
		}
		pass(time.Second)
		begin := time.Now()
		id := o.send("bob@up.test")
		for range o.Events(t.Context(), id) {
		}
		require.Less(t, time.Since(begin), 3*time.Minute)
		pass(20 * time.Minute)
		tried := 0
		for i := range 20 {
			tried += len(o.tr.times(fmt.Sprintf("r%d@down.test", i)))
		}
		require.Less(t, tried, 10)
		down = false
		require.NoError(t, o.Retry(t.Context()))
		pass(30 * time.Minute)
		require.Zero(t, o.left())
	})
}

func TestUnknownOutcome(t *testing.T) {
	for _, hold := range []bool{false, true} {
		t.Run(fmt.Sprint(hold), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				o := newOffice(t, &transport{decide: func(n int, _ string) relay.Outcome {
					if n == 1 {
						return lost
					}
					return relay.Outcome{}
				}}, func(opts *relay.Options) { opts.HoldUnknown = hold })
				id := o.send("bob@example.net")
				pass(24 * time.Hour)
				if !hold {
					require.Equal(t, []relay.Kind{relay.Queued, relay.Attempted, relay.Unknown, relay.Attempted, relay.Delivered}, o.kinds("bob@example.net"))
					return
				}
				require.Equal(t, []relay.Kind{relay.Queued, relay.Attempted, relay.Unknown}, o.kinds("bob@example.net"))
				o.reopen()
				entry, err := o.Show(t.Context(), id)
				require.NoError(t, err)
				require.True(t, entry.Recipients[0].Held)
				require.NoError(t, o.Release(t.Context(), id))
				synctest.Wait()
				require.Zero(t, o.left())
			})
		})
	}
}

func TestFutureReleaseAndDeliverBy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{decide: always(later)})
		begin := time.Now()
		env := envelope("ann@example.com", "bob@example.net")
		env.HoldUntil = begin.Add(10 * time.Hour)
		require.NoError(t, o.Handle(t.Context(), env, message(letter)))
		env = envelope("ann@example.com", "cleo@example.net")
		env.DeliverBy = &mailbricks.DeliverBy{Deadline: begin.Add(7 * time.Minute), Return: true}
		require.NoError(t, o.Handle(t.Context(), env, message(letter)))
		pass(11 * time.Hour)
		require.Equal(t, 10*time.Hour, offsets(begin, o.tr.times("bob@example.net"))[0])
		require.Equal(t, []time.Duration{0, 5 * time.Minute, 7 * time.Minute}, offsets(begin, o.tr.times("cleo@example.net")))
		require.Len(t, o.reports.Messages(), 1)
	})
}

func TestTransportThatSaysLess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{})
		o.opts.Transport = silent{}
		o.reopen()
		id := o.send("bob@example.net")
		synctest.Wait()
		entry, err := o.Show(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, relay.Deferred, entry.Recipients[0].State)
		require.Contains(t, entry.Recipients[0].Text, "no outcome")
	})
}

type silent struct{}

func (silent) Deliver(context.Context, *mailbricks.Envelope, *mailbricks.Message) []relay.Outcome {
	return nil
}

func TestRunAndClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOffice(t, &transport{takes: time.Hour}, func(opts *relay.Options) { opts.Grace = 20 * time.Second })
		synctest.Wait()
		require.ErrorIs(t, o.Run(t.Context()), relay.ErrRunning)
		_, err := relay.Open("queue", o.opts)
		require.Error(t, err, "the folder is in use")
		o.send("bob@example.net")
		pass(time.Minute)
		begin := time.Now()
		o.stop()
		require.NoError(t, <-o.done)
		require.Equal(t, 20*time.Second, time.Since(begin), "the attempt had its grace")
		o.send("bob@example.net") // is taken without Run
		require.NoError(t, o.Queue.Close())
		require.NoError(t, o.Queue.Close())
		requireReply(t, "451 4.3.0", o.Handle(t.Context(), envelope("", "bob@example.net"), message(letter)))
		require.ErrorIs(t, o.Run(t.Context()), relay.ErrClosed)
		_, err = o.List(t.Context())
		require.ErrorIs(t, err, relay.ErrClosed)
		o.open()
	})
}

func TestRouterGivesEachItsTransport(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var store mailtest.Inbox
		tr := &transport{decide: always(later)}
		o := newOffice(t, tr, func(opts *relay.Options) {
			opts.Transport = relay.Split(func(domain string) bool { return domain == "here.test" }, relay.ToHandler(&store), tr)
		})
		store.Fail(func(env *mailbricks.Envelope, _ *mailbricks.Message) error {
			r := make(mailbricks.Results, len(env.Recipients))
			for i, rcpt := range env.Recipients {
				if rcpt.Address == "full@here.test" {
					r[i] = &mailbricks.Reply{Code: 452, Enhanced: "4.2.2", Text: "full"}
				}
			}
			return r.Err()
		})
		id := o.send("bob@here.test", "full@here.test", "cleo@example.net", "ann@here.test")
		synctest.Wait()
		entry, err := o.Show(t.Context(), id)
		require.NoError(t, err)
		var states []relay.Kind
		for _, r := range entry.Recipients {
			states = append(states, r.State)
		}
		require.Equal(t, []relay.Kind{relay.Delivered, relay.Deferred, relay.Deferred, relay.Delivered}, states)
		require.Equal(t, "4.2.2", entry.Recipients[1].Status)
		require.Len(t, store.Messages(), 1, "one call for all of them")
		require.Len(t, tr.times("cleo@example.net"), 1)
		out := relay.Split(func(string) bool { return true }, silent{}, tr).Deliver(t.Context(), envelope("", "a@b.test"), message(letter))
		require.Error(t, out[0].Err)
		out = (&relay.Router{Pick: func(string, string) int { return 3 }}).Deliver(t.Context(), envelope("", "a@b.test"), message(letter))
		require.True(t, mailbricks.IsTemporary(out[0].Err))
	})
}

func TestLogTellsWhatHappens(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var b lockedBuilder
		o := newOffice(t, &transport{decide: always(never)}, func(opts *relay.Options) { opts.Logger = b.logger() })
		o.send("bob@example.net")
		pass(time.Minute)
		require.Contains(t, b.String(), "relay: queued")
		require.Contains(t, b.String(), "status=5.1.1")
	})
}
