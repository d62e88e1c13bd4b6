package mailboxtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

// watchAccount begins a watch that ends with the test, or skips the test.
func (w *world) watchAccount(wake chan struct{}) mailbox.AccountWatch {
	w.Helper()
	watcher, ok := w.store.(mailbox.AccountWatcher)
	if !ok {
		w.Skip("the store is no mailbox.AccountWatcher")
	}
	watch := watcher.WatchAccount(wake)
	w.Cleanup(watch.Stop)
	return watch
}

// heard waits until a watch has told of all these names.
func (w *world) heard(what string, wake <-chan struct{}, watch mailbox.AccountWatch, names ...string) {
	w.Helper()
	missing := map[string]bool{}
	for _, name := range names {
		missing[name] = true
	}
	deadline := time.After(wakeTime)
	for woken := false; !woken || len(missing) > 0; {
		select {
		case <-wake:
			woken = true
		case <-deadline:
			w.Fatalf("%s: within %v no word of %v (a wake-up: %v)", what, wakeTime, slices.Sorted(maps.Keys(missing)), woken)
		}
		got := watch.Changed()
		require.Len(w, slices.Compact(slices.Sorted(slices.Values(got))), len(got), "no name twice")
		for _, name := range got {
			delete(missing, name)
		}
	}
}

// testWatchAccount makes every kind of change.
func testWatchAccount(w *world) {
	w.begin()
	o := w.organizer()
	wake := make(chan struct{}, 1)
	watch := w.watchAccount(wake)
	other := w.openIn(w.session(), mailbox.Inbox)
	w.create("t-z")
	w.heard("create", wake, watch, "t-z")
	var uids []mailbox.UID
	do := func(op func() (mailbox.Copied, error)) func() {
		return func() {
			copied, err := op()
			require.NoError(w, err)
			uids = copied.Dest
		}
	}
	steps := []struct {
		what  string
		do    func()
		names []string
	}{
		{"append", func() { uids = []mailbox.UID{other.append(message(1))} }, []string{mailbox.Inbox}},
		{"flags", func() { other.setFlags(uids[0], mailbox.AddFlags, mailbox.Seen) }, []string{mailbox.Inbox}},
		{"copy", do(func() (mailbox.Copied, error) { return other.Copy(w.ctx, uids, "t-z") }), []string{"t-z"}},
		{"move", do(func() (mailbox.Copied, error) { return w.open("t-z").Move(w.ctx, uids, mailbox.Inbox) }), []string{"t-z", mailbox.Inbox}},
		{"expunge", func() { other.expunge(uids...) }, []string{mailbox.Inbox}},
		{"create below", func() { w.create("t-a/b/c", "t-a") }, []string{"t-a/b/c", "t-a"}},
		{"rename", func() { require.NoError(w, o.Rename(w.ctx, "t-a", "t-y")) }, []string{"t-a", "t-y", "t-a/b/c", "t-y/b/c"}},
		{"append after rename", func() { w.open("t-y/b/c").append(message(2)) }, []string{"t-y/b/c"}},
		{"delete", func() { require.NoError(w, o.Delete(w.ctx, "t-y/b/c")) }, []string{"t-y/b/c"}},
		{"rename of INBOX", func() {
			other.append(message(3))
			require.NoError(w, o.Rename(w.ctx, mailbox.Inbox, "t-old"))
		}, []string{mailbox.Inbox, "t-old"}},
		{"subscribe", func() { require.NoError(w, o.Subscribe(w.ctx, "t-z", true)) }, nil},
		{"unsubscribe", func() { require.NoError(w, o.Subscribe(w.ctx, "t-z", false)) }, nil},
	}
	if a, ok := w.store.(mailbox.Annotator); ok {
		set := func(name string) func() {
			return func() {
				require.NoError(w, a.Annotate(w.ctx, name, []mailbox.Annotation{{Entry: comment, Value: []byte("x")}}))
			}
		}
		steps = append(steps, []struct {
			what  string
			do    func()
			names []string
		}{{"annotation", set("t-z"), []string{"t-z"}}, {"annotation of the account", set(""), nil}}...)
	}
	for _, step := range steps {
		w.quiet(wake, watch)
		step.do()
		w.heard(step.what, wake, watch, step.names...)
	}

	// Two watches are apart, and one that has ended hears nothing.
	second := make(chan struct{}, 1)
	also := w.watchAccount(second)
	w.quiet(wake, watch)
	watch.Stop()
	watch.Stop()
	w.open("t-z").append(message(4))
	w.heard("append with two watches", second, also, "t-z")
	time.Sleep(20 * time.Millisecond)
	select {
	case <-wake:
		w.Fatal("a wake-up after Stop")
	default:
	}
	// One who does not listen holds up nobody, and hears of everything later.
	for range 3 {
		w.open("t-z").append(message(5))
		other.append(message(6))
	}
	w.heard("many at once", second, also, "t-z", mailbox.Inbox)

	// A watch outlives the session that began it.
	short := w.session()
	third := make(chan struct{}, 1)
	lasting := short.(mailbox.AccountWatcher).WatchAccount(third)
	w.Cleanup(lasting.Stop)
	require.NoError(w, short.Close())
	other.append(message(7))
	w.heard("append after the session ended", third, lasting, mailbox.Inbox)
}

// quiet waits until nothing of what was done before is on its way.
func (w *world) quiet(wake <-chan struct{}, watch mailbox.AccountWatch) {
	for {
		select {
		case <-wake:
		case <-time.After(5 * time.Millisecond):
			watch.Changed()
			select {
			case <-wake:
				continue
			default:
				return
			}
		}
	}
}

// testWatchAccountAtWork lets a client that looks only at the mailboxes it is told of follow several that change all the time.
func testWatchAccountAtWork(w *world) {
	w.begin()
	wake := make(chan struct{}, 1)
	watch := w.watchAccount(wake)
	names := []string{mailbox.Inbox}
	if _, ok := w.store.(mailbox.Organizer); ok {
		names = append(names, "t-a", "t-b", "t-b/c")
		w.create(names[1:]...)
	}
	replicas := map[string]*replica{}
	follow := map[string]box{}
	reader := w.session()
	for _, name := range names {
		replicas[name] = newReplica()
		follow[name] = w.openIn(reader, name)
	}
	errs := make(chan error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		b := w.openIn(w.session(), name)
		wg.Go(func() { errs <- rush(w, b.Mailbox, 1000*i) })
	}
	end := make(chan struct{})
	go func() {
		wg.Wait()
		close(end)
	}()
	look := func() error {
		for _, name := range watch.Changed() {
			if r := replicas[name]; r != nil {
				if err := r.follow(w.ctx, follow[name].Mailbox); err != nil {
					return err
				}
			}
		}
		return nil
	}
	var wrong error
	for running := true; running; {
		select {
		case <-wake:
			if err := look(); err != nil && wrong == nil {
				wrong = err
			}
		case <-end:
			running = false
		}
	}
	require.NoError(w, wrong)
	for range names {
		require.NoError(w, <-errs)
	}
	behind := func() string {
		for _, name := range names {
			metas, err := follow[name].Messages(w.ctx, follow[name].uids())
			require.NoError(w, err)
			if what := replicas[name].differs(metas); what != "" {
				return name + ": " + what
			}
		}
		return ""
	}
	deadline := time.After(wakeTime)
	for behind() != "" {
		select {
		case <-wake:
			require.NoError(w, look())
		case <-deadline:
			w.Fatalf("%v after the last change one who waits for the watch does not know it: %s", wakeTime, behind())
		}
	}
}

// rush changes a mailbox in quick succession.
func rush(w *world, b mailbox.Mailbox, base int) error {
	for n := range 25 {
		text := message(base + n)
		uid, err := b.Append(w.ctx, strings.NewReader(text), mailbox.AppendOptions{Size: int64(len(text))})
		if err != nil {
			return err
		}
		change := mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen}}
		if metas, err := b.SetFlags(w.ctx, []mailbox.UID{uid}, change); err != nil || len(metas) != 1 {
			return fmt.Errorf("flags of UID %d: %v, %w", uid, metas, err)
		}
		if n%3 == 0 {
			if _, err := b.Expunge(w.ctx, []mailbox.UID{uid}); err != nil {
				return err
			}
		}
	}
	return nil
}
