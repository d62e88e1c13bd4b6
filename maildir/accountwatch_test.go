package maildir_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// watchAccount watches the account of ann; the function waits until all these names were told, and gives what else was.
func watchAccount(t *testing.T, m *maildir.Maildir) func(names ...string) []string {
	t.Helper()
	wake := make(chan struct{}, 1)
	w := mustStore(t, m).(mailbox.AccountWatcher).WatchAccount(wake)
	t.Cleanup(func() {
		w.Stop()
		w.Stop()
	})
	return func(names ...string) []string {
		t.Helper()
		var told []string
		deadline := time.After(20 * time.Second)
		for {
			for _, name := range w.Changed() {
				require.NotEmpty(t, name)
				told = append(told, name)
			}
			if !slices.ContainsFunc(names, func(n string) bool { return !slices.Contains(told, n) }) {
				return slices.DeleteFunc(told, func(n string) bool { return slices.Contains(names, n) })
			}
			select {
			case <-wake:
			case <-deadline:
				t.Fatalf("told of %q, not of %q", told, names)
			}
		}
	}
}

// What this process does is told at once, also for mailboxes that nobody has open.
func TestAccountWatch(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0) // which does not poll
	b := open(t, m, "Archive")
	changed := watchAccount(t, m)
	require.Empty(t, changed())
	deliver(t, m, "x")
	require.Empty(t, changed("INBOX"))
	env := &mailbricks.Envelope{Quarantine: "x", Recipients: []mailbricks.Recipient{{Address: ann}}}
	require.NoError(t, m.Handle(t.Context(), env, mailbricks.NewMessage([]byte("x"))))
	require.Empty(t, changed("Junk"))
	uid := appendTo(t, b, "x")
	require.Empty(t, changed("Archive"))
	_, err := b.SetFlags(t.Context(), []mailbox.UID{uid}, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen}})
	require.NoError(t, err)
	require.Empty(t, changed("Archive"))
	_, err = b.Move(t.Context(), []mailbox.UID{uid}, "Trash")
	require.NoError(t, err)
	require.Empty(t, changed("Archive", "Trash"))

	s := mustStore(t, m)
	o := s.(mailbox.Organizer)
	require.NoError(t, o.Create(t.Context(), "new/one", ""))
	require.Empty(t, changed("new/one"))
	require.NoError(t, o.Rename(t.Context(), "new/one", "Ä"))
	require.Empty(t, changed("new/one", "Ä"))
	require.NoError(t, o.Subscribe(t.Context(), "Ä", true))
	require.Empty(t, changed("Ä"))
	require.NoError(t, s.(mailbox.Annotator).Annotate(t.Context(), "Ä", []mailbox.Annotation{{Entry: "/private/a", Value: []byte("x")}}))
	require.Empty(t, changed("Ä"))
	require.NoError(t, o.Delete(t.Context(), "Ä"))
	require.Empty(t, changed("Ä"))

	// Looking is no change, once what was delivered has its UIDs.
	idsOf(t, m)
	changed()
	idsOf(t, m)
	for _, name := range []string{"Archive", "Sent"} {
		uidsOf(t, open(t, m, name))
	}
	require.Empty(t, changed())
}

// Nobody is told any more after Stop, and a Maildir can be closed while someone watches.
func TestAccountWatchEnds(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	m.PollInterval = time.Millisecond
	s := mustStore(t, m).(mailbox.AccountWatcher)
	wake, other := make(chan struct{}, 1), make(chan struct{}, 1)
	w, second := s.WatchAccount(wake), s.WatchAccount(other)
	w.Stop()
	deliver(t, m, "x")
	<-other
	require.Empty(t, wake)
	require.Empty(t, w.Changed())
	require.Equal(t, []string{"INBOX"}, second.Changed())
	require.NoError(t, m.Close())
	second.Stop()
	s.WatchAccount(wake).Stop()
}

// What other programs do is told within the interval: in folders that are open here and in others, and to the list.
func TestAccountWatchSeesOtherPrograms(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	m.PollInterval = 10 * time.Millisecond
	dir := filepath.Join(m.Root, "example.com", "ann")
	appendTo(t, open(t, m, "Archive"), "x")
	for _, folder := range []string{"", ".Sent", ".Archive"} {
		later(t, filepath.Join(dir, folder))
	}
	changed := watchAccount(t, m)
	time.Sleep(50 * time.Millisecond) // it has looked once
	changed()
	put(t, filepath.Join(dir, ".Sent", "new", "1700000003.M1P1.host"), "x")
	changed("Sent")
	put(t, filepath.Join(dir, ".Archive", "cur", "1700000003.M1P1.host:2,"), "x")
	changed("Archive")
	other := newMaildir(t, m.Root, 0)
	o := mustStore(t, other).(mailbox.Organizer)
	require.NoError(t, o.Create(t.Context(), "New", ""))
	changed("New")
	require.NoError(t, o.Subscribe(t.Context(), "Other", true))
	changed("Other")
	require.NoError(t, o.Subscribe(t.Context(), "Other", false))
	changed("Other")
	require.NoError(t, mustStore(t, other).(mailbox.Annotator).Annotate(t.Context(), "New", []mailbox.Annotation{{Entry: "/private/a", Value: []byte("x")}}))
	changed("New")
	require.NoError(t, o.Rename(t.Context(), "New", "Newer"))
	changed("New", "Newer")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, ".Newer")))
	changed("Newer")
}

// A look at an account costs a few calls for each folder and does not grow beyond a number of folders.
func TestAccountWatchIsBounded(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	dir := foreign(t, m.Root)
	for n := range 1200 {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, fmt.Sprintf(".f%04d", n), "cur"), 0o700))
		require.NoError(t, os.Mkdir(filepath.Join(dir, fmt.Sprintf(".f%04d", n), "new"), 0o700))
	}
	first, second := maildir.PollCalls(t, m, ann)
	require.Less(t, first, 1000*4+6000)
	require.Less(t, second, 1000*4)
}
