package maildir_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// What lies beside the mailboxes comes back as well, and what the backup does not have stays. Indexes of searches are left out.
func TestBackupHasWhatIsNoMailbox(t *testing.T) {
	t.Parallel()
	for _, sameDisk := range []bool{true, false} {
		root, dir := t.TempDir(), filepath.Join(t.TempDir(), "backup")
		m := newMaildir(t, root, 0)
		if !sameDisk {
			maildir.SetFS(m, elsewhere{unsynced{durable.OS()}, dir})
		}
		settled(t, m)
		account := filepath.Join(root, "example.com", "ann")
		lay(t, filepath.Join(account, "home", "sieve", "main.sieve"), "keep;")
		lay(t, filepath.Join(account, ".Work.2026", "courierimapkeywords", ":list"), "k")
		lay(t, filepath.Join(account, "xapian-indexes", "db"), "big")
		for range 2 {
			stats, err := m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
			require.NoError(t, err)
			require.Equal(t, 6, stats.Messages)
		}
		lay(t, filepath.Join(account, "home", "sieve", "main.sieve"), "discard;")
		lay(t, filepath.Join(account, "home", "later"), "x")
		lay(t, filepath.Join(account, "mailbricks-aside", "now", "letter"), "y")
		tree := treeOf(t, dir)
		require.NoDirExists(t, filepath.Join(tree, "xapian-indexes"))
		require.Equal(t, "keep;", textOf(t, filepath.Join(tree, "home", "sieve", "main.sieve")), "what is written to is not linked")

		_, err := m.Restore(t.Context(), ann, dir, maildir.RestoreOptions{})
		require.NoError(t, err)
		require.Equal(t, "keep;", textOf(t, filepath.Join(account, "home", "sieve", "main.sieve")))
		require.Equal(t, "k", textOf(t, filepath.Join(account, ".Work.2026", "courierimapkeywords", ":list")))
		require.Equal(t, "x", textOf(t, filepath.Join(account, "home", "later")))
		require.Equal(t, "y", textOf(t, filepath.Join(account, "mailbricks-aside", "now", "letter")))
	}
}

// lay writes a file, and makes the folders above it.
func lay(t testing.TB, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	write(t, path, text)
}

func textOf(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

// A copy of a backup that is not whole is not put in the place of an account that is.
func TestRestoreOfABackupThatIsNotWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := newMaildir(t, t.TempDir(), 0)
	s := settled(t, m)
	_, err := m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(treeOf(t, dir), "cur", "*"))
	require.NoError(t, err)
	require.NoError(t, os.Remove(files[0]))
	inbox := mustOpen(t, s, "INBOX")
	uids, _, err := inbox.UIDs(t.Context())
	require.NoError(t, err)
	_, err = inbox.Expunge(t.Context(), uids)
	require.NoError(t, err)
	require.NoError(t, inbox.Close())
	want := everything(t, s)

	stats, err := m.Restore(t.Context(), ann, dir, maildir.RestoreOptions{})
	require.ErrorIs(t, err, maildir.ErrDamagedBackup)
	require.ErrorContains(t, err, "5 of 6 messages and 7 of 7 mailboxes")
	require.Equal(t, maildir.RestoreStats{}, stats)
	require.Equal(t, want, everything(t, s))

	stats, err = m.Restore(t.Context(), ann, dir, maildir.RestoreOptions{Merge: true})
	require.ErrorIs(t, err, maildir.ErrDamagedBackup)
	require.Positive(t, stats.Messages)
	require.Greater(t, len(texts(t, s)), 2)
	require.NoError(t, os.RemoveAll(filepath.Join(treeOf(t, dir), ".Drafts")))
	_, err = m.Restore(t.Context(), ann, dir, maildir.RestoreOptions{})
	require.ErrorContains(t, err, "6 of 7 mailboxes")
}

// atLink does something while the first message comes back.
type atLink struct {
	durable.FS
	do func()
}

func (a *atLink) Link(from, to string) error {
	if do := a.do; do != nil && strings.Contains(to, "..restoring-") {
		a.do = nil
		do()
	}
	return a.FS.Link(from, to)
}

// What is delivered while an account is restored is not lost, whatever mailbox it came to.
func TestMailThatComesDuringRestoreStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := newMaildir(t, t.TempDir(), 0)
	fsys := &atLink{FS: unsynced{durable.OS()}}
	maildir.SetFS(m, fsys)
	s := settled(t, m)
	want := texts(t, s)
	_, err := m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
	require.NoError(t, err)
	inbox := mustOpen(t, s, "INBOX")
	storeText(t, inbox, "Subject: before\r\n\r\n")
	require.NoError(t, inbox.Close())
	require.NoError(t, s.(mailbox.Organizer).Create(t.Context(), "Later", ""))
	fsys.do = func() {
		deliver(t, m, "delivered")
		for _, name := range []string{"Work/2026", "Later"} {
			box := mustOpen(t, s, name)
			storeText(t, box, "Subject: stored in "+name+"\r\n\r\n", mailbox.Flagged)
			require.NoError(t, box.Close())
		}
	}
	_, err = m.Restore(t.Context(), ann, dir, maildir.RestoreOptions{})
	require.NoError(t, err)
	var more []string
	for _, line := range texts(t, s) {
		if !strings.Contains(line, "delivered") && !strings.Contains(line, "stored in") {
			require.Contains(t, want, line)
			continue
		}
		name, _, _ := strings.Cut(line, " ")
		more = append(more, name)
	}
	require.Len(t, texts(t, s), len(want)+3)
	require.Equal(t, []string{"INBOX", "INBOX", "Work/2026"}, more, "a mailbox that was made meanwhile is not there any more")
}
