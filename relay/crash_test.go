package relay_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/relay"
)

// ledger is what a life of the queue has promised and done, as seen from outside.
type ledger struct {
	mu        sync.Mutex
	taken     map[string][]string // recipients of messages that were taken, by the name of the message
	ids       map[string]string
	dialled   map[string]int // attempts
	asked     map[string]int // final dots that were to be sent
	dotted    map[string]int // final dots that were sent
	delivered map[string]int // messages that the peer has taken
	told      map[string]int // reports
	ended     map[string]bool
	removed   map[string]bool
	held      map[string]bool
	faulty    bool // the disk fails, so that what was delivered may not have been noted
}

func newLedger() *ledger {
	return &ledger{
		taken: map[string][]string{}, ids: map[string]string{}, dialled: map[string]int{}, asked: map[string]int{}, dotted: map[string]int{},
		delivered: map[string]int{}, told: map[string]int{}, ended: map[string]bool{}, removed: map[string]bool{}, held: map[string]bool{},
	}
}

// peers is a Transport that does what the recipient's local part says, the first time; afterwards it delivers.
type peers struct {
	*ledger
	good bool
}

func (p *peers) Deliver(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) (out []relay.Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, r := range env.Recipients {
		local, _ := mailbricks.SplitAddress(r.Address)
		p.dialled[r.Address]++
		kind := strings.TrimRight(local, "0123456789")
		switch {
		case kind == "never":
			out = append(out, never)
			continue
		case kind == "later" && p.dialled[r.Address] == 1 && !p.good:
			out = append(out, later)
			continue
		}
		p.asked[r.Address]++
		if err := relay.BeforeDot(ctx, []int{i}); err != nil {
			out = append(out, relay.Outcome{Err: err})
			continue
		}
		p.dotted[r.Address]++
		if kind == "lost" && p.dialled[r.Address] == 1 && !p.good {
			p.delivered[r.Address]++
			out = append(out, lost)
			continue
		}
		p.delivered[r.Address]++
		out = append(out, relay.Outcome{})
	}
	return out
}

func (l *ledger) report(_ context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	if _, err := msg.WriteTo(&b); err != nil {
		return err
	}
	for line := range strings.SplitSeq(b.String(), "\r\n") {
		if _, rcpt, ok := strings.Cut(line, "Final-Recipient: rfc822; "); ok {
			l.told[rcpt]++
		}
	}
	return nil
}

func crashOptions(fs *crashfs.FS, l *ledger, good, hold bool) relay.Options {
	schedule := relay.Schedule{time.Minute}
	return relay.Options{
		Hostname: "out.example.com", FS: fs, Transport: &peers{ledger: l, good: good}, Generated: mailbricks.HandlerFunc(l.report),
		OnEvent: func(ev relay.Event) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.ended[ev.Recipient] = ev.Kind == relay.Delivered && !fs.Crashed() && !l.faulty
		},
		Retry: schedule, MaxConcurrent: 2, HoldUnknown: hold,
		Lifetime: years, Remember: years, // each state takes an hour
	}
}

// mode is a way in which the queue works.
type mode int

const (
	holdUnknown mode = 1 << iota
	rewrite          // the journal, with each change
	eachFile         // is synced by itself
	allModes
)

func (m mode) String() string {
	return fmt.Sprintf("hold=%v,rewrite=%v,files=%v", m&holdUnknown != 0, m&rewrite != 0, m&eachFile != 0)
}

// firstLife queues messages, delivers, holds, releases and removes, until all is done or the machine stops.
func firstLife(fs *crashfs.FS, l *ledger, m mode) {
	hold := m&holdUnknown != 0
	q, err := relay.Open("queue", crashOptions(fs, l, false, hold))
	if err != nil {
		return
	}
	if m&rewrite != 0 {
		relay.RewriteAlways(q)
	}
	if m&eachFile != 0 {
		relay.SyncEachFile(q)
	}
	ctx := context.Background()
	take := func(name string, to ...string) {
		id, err := q.Send(ctx, envelope("ann@example.com", to...), message(letter), relay.Key(name))
		if err == nil {
			l.mu.Lock()
			l.taken[name], l.ids[name] = to, id
			l.mu.Unlock()
		}
	}
	take("mixed", "bob@a.test", "later@b.test", "never@c.test")
	take("held", "bob1@a.test")
	take("gone", "bob2@a.test")
	hold1 := q.Hold(ctx, l.ids["held"])
	l.held["bob1@a.test"] = hold1 == nil
	l.removed["bob2@a.test"] = q.Remove(ctx, l.ids["gone"]) == nil
	done := make(chan error, 1)
	go func() { done <- q.Run(ctx) }()
	take("lost", "lost@d.test")
	pass(5 * time.Minute)
	if !fs.Crashed() { // from here on it may be released, or not
		l.held["bob1@a.test"] = false
	}
	_ = q.Release(ctx, l.ids["held"])
	pass(time.Second)
	_ = q.Close()
	<-done
}

// secondLife opens what is left, checks what must be there, and delivers all of it.
func secondLife(t *testing.T, fs *crashfs.FS, before *ledger, hold bool) {
	after := newLedger()
	q, err := relay.Open("queue", crashOptions(fs, after, true, hold))
	require.NoError(t, err)
	ctx := context.Background()
	done := make(chan error, 1)
	defer func() {
		require.NoError(t, q.Close())
		if err := <-done; !errors.Is(err, relay.ErrClosed) {
			require.NoError(t, err)
		}
	}()
	checkRecovered(t, q, before)
	go func() { done <- q.Run(ctx) }()
	pass(time.Hour)
	waits := map[string]bool{}
	list, err := q.List(ctx)
	require.NoError(t, err)
	for _, e := range list {
		for _, r := range e.Recipients {
			waits[r.Address] = e.Held || r.Held
		}
	}
	for name, rcpts := range before.taken {
		for _, r := range rcpts {
			checkRecipient(t, before, after, name, r, hold, waits[r])
		}
	}
	for r, n := range after.delivered {
		require.LessOrEqual(t, n, 1, r)
		require.False(t, before.ended[r], "%s was delivered and is delivered again", r)
	}
	require.Zero(t, after.delivered["again@a.test"])
}

// checkRecovered checks what must be there at once.
func checkRecovered(t *testing.T, q *relay.Queue, before *ledger) {
	ctx := context.Background()
	for name, id := range before.ids {
		entry, err := q.Show(ctx, id)
		require.NoError(t, err, "%s was taken", name)
		for _, r := range entry.Recipients {
			require.GreaterOrEqual(t, r.Attempts, before.dialled[r.Address], "an attempt is on disk before the peer is dialled: %s", r.Address)
		}
		again, err := q.Send(ctx, envelope("ann@example.com", "again@a.test"), message(letter), relay.Key(name))
		require.NoError(t, err)
		require.Equal(t, id, again, "the key is known")
	}
}

func checkRecipient(t *testing.T, before, after *ledger, name, r string, hold, waits bool) {
	deliveries := before.delivered[r] + after.delivered[r]
	switch {
	case strings.HasPrefix(r, "never"):
		require.Positive(t, before.told[r]+after.told[r], "%s: the sender of %s must be told of %s", t.Name(), name, r)
	case before.removed[r]:
		require.Zero(t, deliveries, r)
	case before.held[r]:
		require.Zero(t, deliveries, r)
	case strings.HasPrefix(r, "bob2"): // Remove may or may not have worked
	case strings.HasPrefix(r, "bob1"): // as may Hold and Release
	case hold && before.dotted[r] > 0:
		require.Zero(t, after.delivered[r], "what may have been delivered is held: %s", r)
	case hold && before.asked[r] > 0:
		require.True(t, waits || deliveries > 0, "%s of %s is lost", r, name)
	default:
		require.Positive(t, deliveries, "%s of %s is lost", r, name)
		require.LessOrEqual(t, deliveries, 3, r)
	}
}

// The machine stops after each call of the file system in turn, and comes back with each state of the disk that a power
// cut may leave.
func TestNothingIsLostInAPowerCut(t *testing.T) {
	for m := range allModes {
		hold := m&holdUnknown != 0
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			states, most := 0, 0
			for n := 1; ; n++ {
				crashed := false
				bubbleHere(t, func(t *testing.T) {
					fs, l := crashfs.New(), newLedger()
					fs.CrashAfter(n)
					firstLife(fs, l, m)
					crashed = fs.Crashed()
					most = max(most, fs.Calls())
					for state := range sampled(fs, n) {
						states++
						secondLife(t, state.FS, l, hold)
						if t.Failed() {
							t.Fatalf("call %d, %s", n, state.What)
						}
					}
				})
				if t.Failed() || !crashed {
					break
				}
			}
			t.Logf("%d calls, %d states", most, states)
			require.Greater(t, states, 100)
		})
	}
}

// A recovery that is cut off itself changes nothing.
func TestRecoveryCanBeCutOff(t *testing.T) {
	t.Parallel()
	for n := 20; n < 60; n += 7 {
		for k := 1; k < 24; k += 3 {
			bubbleHere(t, func(t *testing.T) {
				fs, l := crashfs.New(), newLedger()
				fs.CrashAfter(n)
				firstLife(fs, l, mode(n+k)%allModes&^holdUnknown)
				for state := range sampled(fs, 100) {
					state.CrashAfter(state.Calls() + k)
					if q, err := relay.Open("queue", crashOptions(state.FS, newLedger(), true, false)); err == nil {
						_ = q.Close()
					}
					for again := range sampled(state.FS, 5) {
						secondLife(t, again.FS, l, false)
						if t.Failed() {
							t.Fatalf("call %d and %d, %s", n, k, again.What)
						}
					}
				}
			})
		}
	}
}

// A disk that fails once, at any call, and a power cut soon after that, neither lose mail nor stop the queue.
func TestNothingIsLostWhenTheDiskFails(t *testing.T) {
	t.Parallel()
	for n := 1; n < 200; n++ {
		calls := 0
		for _, cut := range []int{0, 3, 8, 20} {
			bubbleHere(t, func(t *testing.T) {
				fs, l := crashfs.New(), newLedger()
				fs.FailCall(n, errors.New("no space"))
				l.faulty = true
				if cut > 0 {
					fs.CrashAfter(n + cut)
				}
				m := mode(n) % allModes &^ holdUnknown
				firstLife(fs, l, m)
				fs.Fail(nil)
				calls = max(calls, fs.Calls())
				for state := range sampled(fs, n) {
					secondLife(t, state.FS, l, false)
					if t.Failed() {
						t.Fatalf("%v, call %d, %s", m, n, state.What)
					}
				}
			})
		}
		if t.Failed() || n > calls {
			return
		}
	}
}

// sampled gives the first states and some of the others, which are others for each seed.
func sampled(fs *crashfs.FS, seed int) iter.Seq[crashfs.State] {
	return func(yield func(crashfs.State) bool) {
		n := 0
		for state := range fs.States() {
			if n++; n > 3 && (n+seed)%sample != 0 {
				continue
			}
			if !yield(state) {
				return
			}
		}
	}
}

// sample is how few of the states are tried: one in so many. MAILBRICKS_EXHAUSTIVE tries all.
var sample = func() int {
	if os.Getenv("MAILBRICKS_EXHAUSTIVE") != "" {
		return 1
	}
	return 6
}()

const years = 10 * 365 * 24 * time.Hour
