// Package queuetest is the contract of a durable queue of outgoing mail, as a test: what has been taken stays, over any
// number of restarts, until it has come to its end, and that end comes once. relay's own queue passes it on every kind of
// storage; a queue on another storage has to pass it too.
//
//	func TestContract(t *testing.T) {
//		queuetest.Run(t, func(t *testing.T) queuetest.Opener {
//			dir := t.TempDir()
//			return func(opts relay.Options) (queuetest.Queue, error) {
//				q, err := relay.Open(dir, opts)
//				if err != nil {
//					return nil, err
//				}
//				return q, nil
//			}
//		})
//	}
package queuetest

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/relay"
)

// Queue is what the contract is about. *relay.Queue has these methods, and their comments are the words of the contract.
type Queue interface {
	mailbricks.Handler
	Send(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message, options ...relay.SendOption) (string, error)
	Events(ctx context.Context, id string) iter.Seq[relay.Event]
	List(ctx context.Context) ([]relay.Entry, error)
	Show(ctx context.Context, id string) (relay.Entry, error)
	Retry(ctx context.Context, ids ...string) error
	Hold(ctx context.Context, id string) error
	Release(ctx context.Context, id string) error
	Remove(ctx context.Context, id string) error
	Run(ctx context.Context) error
	Close() error
}

// Opener opens the same queue each time that it is called; the one before has been closed then.
type Opener func(opts relay.Options) (Queue, error)

// Run runs the contract. make makes a storage for one queue, empty at first, for each test.
func Run(t *testing.T, make func(t *testing.T) Opener) {
	for name, test := range map[string]func(*desk){
		"what was taken stays":          stays,
		"one process at a time":         oneProcess,
		"an end comes once":             endsOnce,
		"a key is known":                keyIsKnown,
		"a hold holds":                  holdHolds,
		"what was removed is gone":      removedIsGone,
		"attempts are counted":          attemptsAreCounted,
		"a failure is reported once":    reportedOnce,
		"a report that failed is kept":  reportIsKept,
		"unknown outcomes can be held":  unknownIsHeld,
		"a refused message leaves none": refusedLeavesNone,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &desk{T: t, open: make(t), outcome: relay.Outcome{}}
			t.Cleanup(d.closeQueue)
			d.reopen()
			test(d)
		})
	}
}

// limit is how long anything may take.
const limit = 30 * time.Second

// desk is a queue under test. It is the queue's Transport and takes its reports.
type desk struct {
	*testing.T
	Queue
	open  Opener
	hold  bool // Options.HoldUnknown
	stop  context.CancelFunc
	ended chan error

	mu        sync.Mutex
	outcome   relay.Outcome
	delivered []string // text of each message that was delivered, or may have been
	envelopes []*mailbricks.Envelope
	reports   int
	reportErr error
}

// Deliver implements relay.Transport.
func (d *desk) Deliver(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) []relay.Outcome {
	var text strings.Builder
	if _, err := msg.WriteTo(&text); err != nil {
		d.Error(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.envelopes = append(d.envelopes, env.Clone())
	out := make([]relay.Outcome, len(env.Recipients))
	for i := range out {
		out[i] = d.outcome
	}
	if d.outcome.Err == nil || d.outcome.Unknown {
		if err := relay.BeforeDot(ctx, []int{0}); err != nil {
			d.Error(err)
		}
		d.delivered = append(d.delivered, text.String())
	}
	return out
}

// takeReport takes reports.
func (d *desk) takeReport(context.Context, *mailbricks.Envelope, *mailbricks.Message) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reportErr == nil {
		d.reports++
	}
	return d.reportErr
}

// set changes what happens from now on.
func (d *desk) set(o relay.Outcome, reportErr error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.outcome, d.reportErr = o, reportErr
}

func (d *desk) deliveries() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.delivered)
}

func (d *desk) reported() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reports
}

func (d *desk) options() relay.Options {
	return relay.Options{
		Hostname: "queuetest.invalid", Transport: d, Generated: mailbricks.HandlerFunc(d.takeReport), HoldUnknown: d.hold,
		Retry: relay.Schedule{time.Hour},
	}
}

func (d *desk) closeQueue() {
	if d.Queue != nil {
		d.halt()
		require.NoError(d, d.Close())
		d.Queue = nil
	}
}

// reopen closes the queue and opens it again, without running it.
func (d *desk) reopen() {
	d.closeQueue()
	q, err := d.open(d.options())
	require.NoError(d, err)
	d.Queue = q
}

// run has the queue deliver until something holds.
func (d *desk) run(until func() bool) {
	d.Helper()
	ctx, stop := context.WithCancel(context.Background())
	d.stop, d.ended = stop, make(chan error, 1)
	go func() { d.ended <- d.Queue.Run(ctx) }()
	require.Eventually(d, until, limit, time.Millisecond)
	d.halt()
}

func (d *desk) halt() {
	if d.stop != nil {
		d.stop()
		require.NoError(d, <-d.ended)
		d.stop = nil
	}
}

// settle lets the queue run for a moment in which nothing should happen.
func (d *desk) settle() {
	begin := time.Now()
	d.run(func() bool { return time.Since(begin) > 50*time.Millisecond })
}

func (d *desk) empty() bool {
	list, err := d.List(context.Background())
	require.NoError(d, err)
	return len(list) == 0
}

// state is where the recipient of a message stands.
func (d *desk) state(id string) relay.EntryRecipient {
	e, err := d.Show(context.Background(), id)
	require.NoError(d, err)
	require.Len(d, e.Recipients, 1)
	return e.Recipients[0]
}

const text = "From: a@example.com\r\nSubject: contract\r\n\r\n.one\r\ntwo\r\n"

func (d *desk) send(options ...relay.SendOption) string {
	env := &mailbricks.Envelope{From: "a@example.com", Recipients: []mailbricks.Recipient{{Address: "b@example.net"}}}
	id, err := d.Send(context.Background(), env, mailbricks.NewMessage([]byte(text)), options...)
	require.NoError(d, err)
	return id
}

var (
	failsNow = relay.Outcome{Err: &mailbricks.Reply{Code: 451, Enhanced: "4.7.1", Text: "later"}}
	fails    = relay.Outcome{Err: &mailbricks.Reply{Code: 550, Enhanced: "5.1.1", Text: "no"}}
	unknown  = relay.Outcome{Err: errors.New("connection lost"), Unknown: true}
)

func stays(d *desk) {
	priority := 4
	env := &mailbricks.Envelope{
		ID: "T1", From: "a@example.com", EnvelopeID: "E", Return: mailbricks.ReturnHeaders, SMTPUTF8: true, Priority: &priority,
		Recipients: []mailbricks.Recipient{{Address: "b@example.net", Alias: "c@example.net", Notify: mailbricks.NotifyFailure}},
	}
	large := text + strings.Repeat(strings.Repeat("x", 998)+"\r\n", 2000)
	for _, t := range []string{text, large, ""} {
		require.NoError(d, d.Handle(context.Background(), env, mailbricks.NewMessage([]byte(t))))
	}
	before, err := d.List(context.Background())
	require.NoError(d, err)
	require.Len(d, before, 3)
	for range 3 {
		d.reopen()
	}
	after, err := d.List(context.Background())
	require.NoError(d, err)
	require.Equal(d, before, after)
	d.run(d.empty)
	require.ElementsMatch(d, []string{text, large, ""}, d.delivered)
	for _, got := range d.envelopes {
		require.Equal(d, env, got)
	}
	d.reopen()
	require.True(d, d.empty())
}

func oneProcess(d *desk) {
	_, err := d.open(d.options())
	require.Error(d, err)
}

func endsOnce(d *desk) {
	id := d.send()
	d.run(d.empty)
	d.reopen()
	d.settle()
	require.Equal(d, 1, d.deliveries())
	var kinds []relay.Kind
	for ev := range d.Events(context.Background(), id) {
		kinds = append(kinds, ev.Kind)
	}
	require.Equal(d, []relay.Kind{relay.Delivered}, kinds, "the end is remembered")
}

func keyIsKnown(d *desk) {
	id := d.send(relay.Key("k"))
	require.Equal(d, id, d.send(relay.Key("k")))
	d.reopen()
	require.Equal(d, id, d.send(relay.Key("k")), "of a message that waits")
	d.run(d.empty)
	d.reopen()
	require.Equal(d, id, d.send(relay.Key("k")), "of a message that has ended")
	require.NotEqual(d, id, d.send(relay.Key("other")))
}

func holdHolds(d *desk) {
	id := d.send()
	require.NoError(d, d.Hold(context.Background(), id))
	d.reopen()
	d.settle()
	require.Zero(d, d.deliveries())
	require.Equal(d, relay.Held, d.state(id).State)
	require.NoError(d, d.Release(context.Background(), id))
	d.reopen()
	d.run(d.empty)
	require.Equal(d, 1, d.deliveries())
}

func removedIsGone(d *desk) {
	id := d.send()
	require.NoError(d, d.Remove(context.Background(), id))
	d.reopen()
	require.True(d, d.empty())
	d.settle()
	require.Zero(d, d.deliveries()+d.reported())
	require.ErrorIs(d, d.Remove(context.Background(), id), relay.ErrNotFound)
	require.ErrorIs(d, d.Hold(context.Background(), "nothing"), relay.ErrNotFound)
}

func attemptsAreCounted(d *desk) {
	d.set(failsNow, nil)
	id := d.send()
	d.run(func() bool { return d.state(id).State == relay.Deferred })
	d.reopen()
	r := d.state(id)
	require.Equal(d, 1, r.Attempts)
	require.Equal(d, "4.7.1", r.Status)
	require.WithinDuration(d, r.Last.Add(time.Hour), r.Next, limit)
	require.NoError(d, d.Retry(context.Background(), id))
	d.run(func() bool { return d.state(id).Attempts == 2 && d.state(id).State == relay.Deferred })
}

func reportedOnce(d *desk) {
	d.set(fails, nil)
	d.send()
	d.run(func() bool { return d.empty() && d.reported() == 1 })
	d.reopen()
	d.settle()
	require.Equal(d, 1, d.reported())
}

func reportIsKept(d *desk) {
	d.set(fails, errors.New("store is down"))
	id := d.send()
	d.run(func() bool { return d.state(id).State == relay.Bounced })
	d.reopen()
	require.False(d, d.empty())
	d.set(fails, nil)
	require.NoError(d, d.Retry(context.Background()))
	d.run(d.empty)
	require.Equal(d, 1, d.reported())
}

func unknownIsHeld(d *desk) {
	d.hold = true
	d.reopen()
	d.set(unknown, nil)
	id := d.send()
	d.run(func() bool { return d.state(id).State == relay.Unknown })
	d.set(relay.Outcome{}, nil)
	d.reopen()
	d.settle()
	require.Equal(d, 1, d.deliveries())
	require.True(d, d.state(id).Held)
	require.NoError(d, d.Release(context.Background(), id))
	d.run(d.empty)
	require.Equal(d, 2, d.deliveries())
}

func refusedLeavesNone(d *desk) {
	env := &mailbricks.Envelope{Recipients: []mailbricks.Recipient{{Address: "not an address"}}}
	require.Error(d, d.Handle(context.Background(), env, mailbricks.NewMessage([]byte(text))))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	env.Recipients[0].Address = "b@example.net"
	require.Error(d, d.Handle(ctx, env, mailbricks.NewMessage([]byte(text))))
	d.reopen()
	require.True(d, d.empty())
}
