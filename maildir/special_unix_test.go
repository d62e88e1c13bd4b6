//go:build unix

package maildir_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// plainTree is an account of another program with a uidlist, and the Maildir for it.
func plainTree(t *testing.T, list string) (m *maildir.Maildir, dir string) {
	t.Helper()
	m = newMaildir(t, t.TempDir(), 0)
	maildir.SetFS(m, unsynced{durable.Guarded()})
	dir = filepath.Join(m.Root, "example.com", "ann")
	for _, sub := range []string{"cur", "new", "tmp"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, sub), 0o700))
	}
	put(t, filepath.Join(dir, "dovecot-uidlist"), list)
	return m, dir
}

// inTime fails where something waits for ever.
func inTime(t *testing.T, work func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		require.FailNow(t, "it waits for a pipe")
	}
}

// A pipe in the place of a message holds nobody up, and a symbolic link leads nowhere, also where the uidlist has them.
func TestPipeAndLinkAreNoMessages(t *testing.T) {
	t.Parallel()
	m, dir := plainTree(t, "3 V5 N4 G0123\n1 :pipe\n2 :link\n3 :good\n")
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "cur", "pipe:2,S"), 0o600))
	outside := filepath.Join(t.TempDir(), "secret")
	put(t, outside, "secret")
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "cur", "link:2,S")))
	put(t, filepath.Join(dir, "cur", "good:2,S"), "Subject: x\r\n\r\n")
	inTime(t, func() {
		b := open(t, m, mailbox.Inbox)
		_, _ = b.Status(t.Context())
		for _, uid := range []mailbox.UID{1, 2} {
			_, err := b.Content(t.Context(), uid)
			require.Error(t, err)
			_, _ = b.(mailbox.Summarizer).Summaries(t.Context(), []mailbox.UID{uid})
		}
		require.Equal(t, "Subject: x\r\n\r\n", contentOf(t, b, 3))
	})
}

// What is no file is not copied or moved as if it were one, also where its length is known.
func TestPipeAndLinkAreNotCopied(t *testing.T) {
	t.Parallel()
	m, dir := plainTree(t, "3 V5 N3 G0123\n1 W5 :pipe\n2 W5 :link\n")
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "cur", "pipe:2,S"), 0o600))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "cur", "link:2,S")))
	inTime(t, func() {
		b := open(t, m, mailbox.Inbox)
		for _, uid := range []mailbox.UID{1, 2} {
			_, err := b.Copy(t.Context(), []mailbox.UID{uid}, "Trash")
			require.ErrorIs(t, err, durable.ErrNotRegular)
			_, err = b.Move(t.Context(), []mailbox.UID{uid}, "Trash")
			require.ErrorIs(t, err, durable.ErrNotRegular)
		}
		require.Empty(t, uidsOf(t, open(t, m, "Trash")))
		left, err := os.ReadDir(filepath.Join(dir, ".Trash", "tmp"))
		require.NoError(t, err)
		require.Empty(t, left)
		require.Equal(t, []mailbox.UID{1, 2}, uidsOf(t, b))
	})
}

// The same in the place of the files that tell of a mailbox.
func TestPipeIsNoIndex(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"dovecot-uidlist", "mailbricks-index", "dovecot-keywords", "mailbricks-summaries"} {
		m, dir := plainTree(t, "3 V5 N2 G0123\n1 :good\n")
		put(t, filepath.Join(dir, "cur", "good:2,S"), "Subject: x\r\n\r\n")
		_ = os.Remove(filepath.Join(dir, name))
		require.NoError(t, syscall.Mkfifo(filepath.Join(dir, name), 0o600))
		inTime(t, func() {
			s, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
			require.NoError(t, err)
			b, err := s.Open(t.Context(), mailbox.Inbox)
			if err == nil {
				_, err = b.(mailbox.Summarizer).Summaries(t.Context(), []mailbox.UID{1})
				require.NoError(t, err)
				require.NoError(t, b.Close())
			}
			require.NoError(t, s.Close())
			require.NoError(t, m.Close())
		})
	}
}

// A Maildir that nobody has given other files has guarded ones.
func TestFilesAreGuarded(t *testing.T) {
	t.Parallel()
	m, dir := plainTree(t, "3 V5 N2 G0123\n")
	next := maildir.New(m.Root, everyone(0))
	next.PollInterval = -1
	require.NoError(t, os.Remove(filepath.Join(dir, "dovecot-uidlist")))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "dovecot-uidlist"), 0o600))
	inTime(t, func() {
		s, err := next.Store(t.Context(), mailbricks.Identity{User: ann})
		require.NoError(t, err)
		_, err = s.Open(t.Context(), mailbox.Inbox)
		require.ErrorIs(t, err, durable.ErrNotRegular)
		require.NoError(t, s.Close())
	})
	require.NoError(t, next.Close())
}
