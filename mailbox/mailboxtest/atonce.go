package mailboxtest

import (
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

// firstRead calls begin before the first octet is read.
type firstRead struct {
	io.Reader
	begin func()
	once  sync.Once
}

func (r *firstRead) Read(p []byte) (int, error) {
	r.once.Do(r.begin)
	return r.Reader.Read(p)
}

// testSlowAppend has others at work while a message comes: its reader may be a slow client.
func testSlowAppend(w *world) {
	w.begin()
	b, other := w.open(mailbox.Inbox), w.openIn(w.session(), mailbox.Inbox)
	worked := make(chan error, 1)
	var held bool
	text := message(1)
	r := &firstRead{Reader: strings.NewReader(text), begin: func() {
		go func() {
			_, err := other.Status(w.ctx)
			if err == nil {
				_, err = other.Append(w.ctx, strings.NewReader("x"), mailbox.AppendOptions{Size: 1})
			}
			worked <- err
		}()
		select {
		case err := <-worked:
			worked <- err
		case <-time.After(wakeTime):
			held = true
		}
	}}
	_, err := b.Append(w.ctx, r, mailbox.AppendOptions{Size: int64(len(text))})
	require.NoError(w, err)
	r.once.Do(func() { w.Fatal("Append has not read the message") })
	require.NoError(w, <-worked)
	require.False(w, held, "a store holds no lock while Append reads: another session's Status and Append waited for it")
	require.Len(w, b.uids(), 2)
}

// testQuotaAtOnce has more messages come at the same time than there is room for. None is stored before all have been asked
// for, or for a while.
func testQuotaAtOnce(w *world) {
	if w.backend.NoQuota {
		w.Skip("the store has no quotas")
	}
	const clients, room = 30, 5
	text := message(6)
	size := int64(len(text))
	w.beginLimit(mailbox.Limit{Octets: room*size + 1})
	b := w.open(mailbox.Inbox)
	var asked, done sync.WaitGroup
	asked.Add(clients)
	all := make(chan struct{})
	var mu sync.Mutex
	stored := 0
	for range clients {
		done.Go(func() {
			arrived := sync.OnceFunc(asked.Done)
			defer arrived()
			r := &firstRead{Reader: strings.NewReader(text), begin: func() {
				arrived()
				select {
				case <-all:
				case <-time.After(100 * time.Millisecond): // a store may take few at a time
				}
			}}
			_, err := b.Append(w.ctx, r, mailbox.AppendOptions{Size: size})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				stored++
			} else if !errors.Is(err, mailbox.ErrQuota) {
				w.Errorf("Append without room: %v", err)
			}
		})
	}
	asked.Wait()
	close(all)
	done.Wait()
	require.LessOrEqual(w, stored, room, "messages that came at the same time passed the limit together")
	require.Len(w, b.uids(), stored)
	for range room - stored {
		b.append(text)
	}
	_, err := b.Append(w.ctx, strings.NewReader(text), mailbox.AppendOptions{Size: size})
	require.ErrorIs(w, err, mailbox.ErrQuota)
}

// testWatchDeleted watches mailboxes that are deleted and renamed.
func testWatchDeleted(w *world) {
	w.begin()
	o := w.organizer()
	w.create("t-a", "t-b")
	watch := func(name string) (box, chan struct{}) {
		b := w.openIn(w.session(), name)
		watcher, ok := b.Mailbox.(mailbox.Watcher)
		if !ok {
			w.Skip("the mailbox is no mailbox.Watcher")
		}
		wake := make(chan struct{}, 1)
		w.Cleanup(watcher.Watch(wake))
		return b, wake
	}
	gone, wake := watch("t-a")
	renamed, wakeRenamed := watch("t-b")
	require.NoError(w, o.Delete(w.ctx, "t-a"))
	w.awaitGone(gone, wake, "Delete")
	require.NoError(w, o.Rename(w.ctx, "t-b", "t-c"))
	if _, err := renamed.Status(w.ctx); err != nil { // who has it open may also go on with it
		w.awaitGone(renamed, wakeRenamed, "Rename")
	}
}

// awaitGone waits for the wake-up of who watches a mailbox, after which it is seen to be gone.
func (w *world) awaitGone(b box, wake <-chan struct{}, method string) {
	w.Helper()
	for deadline := time.After(wakeTime); ; {
		select {
		case <-wake:
		case <-deadline:
			w.Fatalf("%s: no wake-up within %v for who watches the mailbox", method, wakeTime)
		}
		if _, err := b.Status(w.ctx); errors.Is(err, mailbox.ErrNoMailbox) {
			return
		}
	}
}
