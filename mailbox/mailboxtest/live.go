package mailboxtest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

// wakeTime is how long a wake-up from the same process may take. The contract has no number; a client that idles wants
// to see its mail at once.
const wakeTime = 5 * time.Second

func testWatch(w *world) {
	w.begin()
	b, other := w.open(mailbox.Inbox), w.openIn(w.session(), mailbox.Inbox)
	watcher, ok := b.Mailbox.(mailbox.Watcher)
	if !ok {
		w.Skip("the mailbox is no mailbox.Watcher")
	}
	wake := make(chan struct{}, 1)
	stop := watcher.Watch(wake)
	uid := mailbox.UID(0)
	for what, change := range map[string]func(){
		"append":  func() { uid = other.append(message(1)) },
		"flags":   func() { other.setFlags(other.append(message(2)), mailbox.AddFlags, mailbox.Seen) },
		"expunge": func() { other.expunge(other.append(message(3))) },
		"move": func() {
			_, err := other.Move(w.ctx, []mailbox.UID{other.append(message(4))}, mailbox.Inbox)
			require.NoError(w, err)
		},
	} {
		seq := b.modseq()
		change()
		deadline := time.After(wakeTime)
		for b.modseq() == seq { // a wake-up may be doubled, so it proves nothing alone
			select {
			case <-wake:
			case <-deadline:
				w.Fatalf("%s: no wake-up within %v", what, wakeTime)
			}
		}
		select {
		case <-wake:
		case <-deadline:
			w.Fatalf("%s: no wake-up within %v", what, wakeTime)
		}
	}
	require.NotZero(w, uid)
	stop()
	stop() // twice is allowed: defer and Close meet
	time.Sleep(10 * time.Millisecond)
	select {
	case <-wake: // one that was on its way
	default:
	}
	other.append(message(5))
	time.Sleep(50 * time.Millisecond)
	select {
	case <-wake:
		w.Fatal("a wake-up after stop")
	default:
	}

	// Closing the mailbox ends the watch.
	closed := w.openIn(w.session(), mailbox.Inbox)
	late := closed.Mailbox.(mailbox.Watcher).Watch(wake)
	require.NoError(w, closed.Close())
	other.append(message(7))
	late()
	time.Sleep(20 * time.Millisecond)
	select {
	case <-wake:
		w.Fatal("a wake-up after Close")
	default:
	}

	// One who does not listen holds up nobody.
	full := make(chan struct{}, 1)
	full <- struct{}{}
	defer watcher.Watch(full)()
	for range 3 {
		other.append(message(6))
	}
}

func testRestart(w *world) {
	w.begin()
	if w.account.Restart == nil {
		w.Skip("the backend cannot restart")
	}
	b := w.open(mailbox.Inbox)
	var uids []mailbox.UID
	for n := range 8 {
		uids = append(uids, b.append(message(n), []mailbox.Flag{mailbox.Seen, "Kw", mailbox.Deleted}[:n%4]...))
	}
	start := b.modseq()
	b.setFlags(uids[2], mailbox.AddFlags, mailbox.Flagged, "Second")
	b.expunge(uids[0], uids[7])
	status := b.status()
	metas, err := b.Messages(w.ctx, uids)
	require.NoError(w, err)
	changes := b.changes(start)
	require.NoError(w, b.Close())

	w.restart()
	b = w.open(mailbox.Inbox)
	after := b.status()
	require.GreaterOrEqual(w, after.ModSeq, status.ModSeq, "a modseq never goes back")
	require.GreaterOrEqual(w, after.UIDNext, status.UIDNext)
	status.ModSeq, status.UIDNext, status.Keywords = after.ModSeq, after.UIDNext, after.Keywords
	require.Equal(w, status, after)
	got, err := b.Messages(w.ctx, uids)
	require.NoError(w, err)
	require.Len(w, got, len(metas))
	for i, m := range got {
		require.Equal(w, metas[i].UID, m.UID)
		require.GreaterOrEqual(w, m.ModSeq, metas[i].ModSeq)
		sameFlags(w, metas[i].Flags, m.Flags)
		require.True(w, metas[i].InternalDate.Equal(m.InternalDate))
		require.Equal(w, metas[i].Size, m.Size)
	}
	again, err := b.Changes(w.ctx, start)
	if !errors.Is(err, mailbox.ErrTooOld) {
		require.NoError(w, err)
		require.Equal(w, changes.Expunged, again.Expunged)
		require.GreaterOrEqual(w, len(again.Changed), len(changes.Changed))
	}
	require.Greater(w, b.append(message(9)), uids[7], "UIDs are not used again after a restart")
}

func testSessions(w *world) {
	w.begin()
	first := w.open(mailbox.Inbox)
	uid := first.append(message(1))
	s := w.session()
	second := w.openIn(s, mailbox.Inbox)
	require.Equal(w, first.status(), second.status())
	require.NoError(w, first.Close())
	require.NoError(w, w.store.Close())
	require.Equal(w, message(1), second.text(uid), "closing one session leaves the others")
	require.Equal(w, []mailbox.UID{uid}, second.uids())
	c, err := second.Content(w.ctx, uid)
	require.NoError(w, err)
	require.NoError(w, second.Close())
	require.NoError(w, s.Close())
	checkReader(w, c, message(1)) // contents that were opened stay readable
	require.NoError(w, c.Close())
	third := w.openIn(w.session(), mailbox.Inbox)
	require.Equal(w, []mailbox.UID{uid}, third.uids())
}

// testConcurrent has many sessions append, flag, copy and expunge at once, each only its own messages.
func testConcurrent(w *world) {
	w.begin()
	const workers = 8
	var mu sync.Mutex
	want := map[mailbox.UID]string{}
	var wg sync.WaitGroup
	for n := range workers {
		s := w.session()
		wg.Go(func() {
			if err := work(w, s, n, func(uid mailbox.UID, text string) {
				mu.Lock()
				defer mu.Unlock()
				if old, ok := want[uid]; ok {
					w.Errorf("UID %d given twice: %q, %q", uid, old, text)
				}
				want[uid] = text
			}); err != nil {
				w.Errorf("worker %d: %v", n, err)
			}
		})
	}
	wg.Wait()
	check := func() {
		w.Helper()
		b := w.open(mailbox.Inbox)
		require.Equal(w, slices.Sorted(maps.Keys(want)), b.uids())
		for uid, text := range want {
			require.Equal(w, text, b.text(uid))
			sameFlags(w, []mailbox.Flag{mailbox.Flagged}, b.meta(uid).Flags)
		}
	}
	check()
	w.restart()
	check()
}

// concurrentRounds is how often each worker of testConcurrent does what it does.
const concurrentRounds = 6

func work(w *world, s mailbox.Store, worker int, left func(mailbox.UID, string)) error {
	b, err := s.Open(w.ctx, mailbox.Inbox)
	if err != nil {
		return err
	}
	defer b.Close()
	flag := mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Flagged}}
	for round := range concurrentRounds {
		text := message(worker*1000 + round)
		uid, err := b.Append(w.ctx, strings.NewReader(text), mailbox.AppendOptions{Size: int64(len(text))})
		if err != nil {
			return err
		}
		if _, err := b.SetFlags(w.ctx, []mailbox.UID{uid}, flag); err != nil {
			return err
		}
		copied, err := b.Copy(w.ctx, []mailbox.UID{uid}, mailbox.Inbox)
		if err != nil {
			return err
		}
		gone, err := b.Expunge(w.ctx, []mailbox.UID{uid})
		if err != nil || len(gone) != 1 || len(copied.Dest) != 1 {
			return fmt.Errorf("copied %v, expunged %v: %w", copied, gone, err)
		}
		left(copied.Dest[0], text)
	}
	return nil
}

// testFollow lets one session follow by Changes what another does: one all the time, one only when it is woken.
func testFollow(w *world) {
	w.begin()
	b := w.open(mailbox.Inbox)
	follower := w.openIn(w.session(), mailbox.Inbox)
	woken := w.openIn(w.session(), mailbox.Inbox)
	wake := make(chan struct{}, 1)
	byWake, all := newReplica(), newReplica()
	watcher, watches := woken.Mailbox.(mailbox.Watcher)
	if watches {
		defer watcher.Watch(wake)()
	}
	done, pace := make(chan struct{}), newPace()
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		for n := range 40 {
			uid := b.append(message(n))
			if n%3 == 0 {
				pace.keep()
				b.setFlags(uid, mailbox.AddFlags, mailbox.Seen)
			}
			if n%5 == 0 {
				b.expunge(uid)
			}
		}
	})
	var wrong error
	for running := true; running && wrong == nil; {
		select {
		case <-done:
			running = false
		case <-wake:
			wrong = byWake.follow(w.ctx, woken.Mailbox)
		default:
			wrong = all.follow(w.ctx, follower.Mailbox)
			pace.looked()
		}
	}
	pace.stop()
	wg.Wait()
	require.NoError(w, wrong)
	require.NoError(w, all.follow(w.ctx, follower.Mailbox))
	metas, err := b.Messages(w.ctx, b.uids())
	require.NoError(w, err)
	require.Empty(w, all.differs(metas))
	deadline := time.After(wakeTime)
	for watches && byWake.differs(metas) != "" {
		select {
		case <-wake:
			require.NoError(w, byWake.follow(w.ctx, woken.Mailbox))
		case <-deadline:
			w.Fatalf("%v after the last change one who waits for wake-ups does not know it: %s", wakeTime, byWake.differs(metas))
		}
	}
}
