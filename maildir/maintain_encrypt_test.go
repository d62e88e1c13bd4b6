package maildir_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// unlocked is an encrypted account with what settled puts in one, open until the test ends.
func unlocked(t *testing.T) (m *maildir.Maildir, root string, s mailbox.Store) {
	t.Helper()
	root = t.TempDir()
	m = newEncrypted(t, root, mailbox.Limit{})
	_, err := m.EnableEncryption(t.Context(), ann, password)
	require.NoError(t, err)
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	s = settled(t, m)
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
	return m, root, s
}

// rawCopy copies a tree into a new root, where nobody has the keys open.
func rawCopy(t *testing.T, tree string) *maildir.Maildir {
	t.Helper()
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "example.com"), 0o700))
	require.NoError(t, os.CopyFS(filepath.Join(root, "example.com", "ann"), os.DirFS(tree)))
	return newEncrypted(t, root, mailbox.Limit{})
}

func TestBackupOfAnEncryptedAccountStaysEncrypted(t *testing.T) {
	t.Parallel()
	m, _, s := unlocked(t)
	want := everything(t, s)
	dir := t.TempDir()
	_, err := m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
	require.NoError(t, err)
	require.Empty(t, clearText(t, dir))
	copied := rawCopy(t, treeOf(t, dir))
	_, err = copied.Store(t.Context(), mailbricks.Identity{User: ann})
	require.ErrorIs(t, err, mailbox.ErrLocked)
	require.NoError(t, copied.Unlock(t.Context(), ann, password))
	require.Equal(t, want, everything(t, mustStoreOf(t, copied)))
}

// clearText are the files below a folder in which the text of settled's messages stands.
func clearText(t *testing.T, dir string) (out []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), "Subject: ") {
			out = append(out, path)
		}
		return err
	}))
	return out
}

func TestRestoreOfAnEncryptedAccount(t *testing.T) {
	t.Parallel()
	m, root, s := unlocked(t)
	want := everything(t, s)
	dir := t.TempDir()
	_, err := m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
	require.NoError(t, err)
	stats, err := m.Restore(t.Context(), ann, dir, maildir.RestoreOptions{})
	require.NoError(t, err)
	require.Empty(t, stats.Renumbered)
	require.Equal(t, want, everything(t, s), "nothing has changed")

	require.NoError(t, m.SetPassword(t.Context(), ann, maildir.Secret{}, "new password"))
	inbox := mustOpen(t, s, "INBOX")
	storeText(t, inbox, "Subject: later\r\n\r\n")
	require.NoError(t, inbox.Close())
	require.NoError(t, s.(mailbox.Organizer).Delete(t.Context(), "Work/2026"))
	stats, err = m.Restore(t.Context(), ann, dir, maildir.RestoreOptions{})
	require.NoError(t, err)
	require.Equal(t, []string{"INBOX", "Work/2026"}, stats.Renumbered)
	got := everything(t, s)
	for name, lines := range want {
		require.Equal(t, withoutModSeqs(lines[3:]), withoutModSeqs(got[name][3:]), name)
	}
	require.Empty(t, clearText(t, root))
	again := rawCopy(t, filepath.Join(root, "example.com", "ann"))
	require.ErrorIs(t, again.Unlock(t.Context(), ann, password), maildir.ErrSecret)
	require.NoError(t, again.Unlock(t.Context(), ann, "new password"), "the password is that of now")
	require.Equal(t, got, everything(t, mustStoreOf(t, again)))
}

func TestMergeIntoAnEncryptedAccount(t *testing.T) {
	t.Parallel()
	m, root, s := unlocked(t)
	want := texts(t, s)
	dir := t.TempDir()
	_, err := m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
	require.NoError(t, err)
	inbox := mustOpen(t, s, "INBOX")
	_, err = inbox.Expunge(t.Context(), []mailbox.UID{2, 3})
	require.NoError(t, err)
	_, err = inbox.Move(t.Context(), []mailbox.UID{5}, "Archive")
	require.NoError(t, err)
	require.NoError(t, inbox.Close())
	stats, err := m.Restore(t.Context(), ann, dir, maildir.RestoreOptions{Merge: true})
	require.NoError(t, err)
	require.Equal(t, 2, stats.Messages)
	require.Len(t, texts(t, s), len(want))
	require.Empty(t, clearText(t, root))
	require.NoError(t, s.Close())
	require.NoError(t, m.Close())

	locked := newEncrypted(t, root, mailbox.Limit{})
	_, err = locked.Restore(t.Context(), ann, dir, maildir.RestoreOptions{Merge: true})
	require.ErrorIs(t, err, mailbox.ErrLocked)
}

// After a disaster nobody has the keys open, and the mail is there all the same when the user logs in.
func TestRestoreOfAnEncryptedAccountThatIsLost(t *testing.T) {
	t.Parallel()
	m, _, s := unlocked(t)
	want := everything(t, s)
	dir := t.TempDir()
	_, err := m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
	require.NoError(t, err)
	other := newEncrypted(t, t.TempDir(), mailbox.Limit{})
	stats, err := other.Restore(t.Context(), ann, dir, maildir.RestoreOptions{})
	require.NoError(t, err)
	require.Empty(t, stats.Renumbered)
	require.NoError(t, other.Unlock(t.Context(), ann, password))
	got := everything(t, mustStoreOf(t, other))
	for name, lines := range want {
		require.Equal(t, lines[0], got[name][0])
		require.Equal(t, lines[3:], got[name][3:], "UIDs, flags and keywords")
	}
	require.NotEqual(t, want["INBOX"][1], got["INBOX"][1])
}

// What was backed up before the account was encrypted is encrypted when it has come back.
func TestRestoreOfPlainMailIntoAnEncryptedAccount(t *testing.T) {
	t.Parallel()
	root, dir := t.TempDir(), t.TempDir()
	m := newEncrypted(t, root, mailbox.Limit{})
	s := settled(t, m)
	want := texts(t, s)
	_, err := m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
	require.NoError(t, err)
	require.NotEmpty(t, clearText(t, dir))
	_, err = m.EnableEncryption(t.Context(), ann, password)
	require.NoError(t, err)
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
	require.Empty(t, clearText(t, root))
	_, err = m.Restore(t.Context(), ann, dir, maildir.RestoreOptions{})
	require.NoError(t, err)
	require.Equal(t, want, texts(t, s))
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
	require.Empty(t, clearText(t, root))
	require.Equal(t, want, texts(t, s))
	require.NotEmpty(t, clearText(t, dir), "the backup is as it was")
}

func TestCheckOfAnEncryptedAccount(t *testing.T) {
	t.Parallel()
	m, root, s := unlocked(t)
	want := everything(t, s)
	for _, opts := range []maildir.CheckOptions{{}, {Repair: true, Rebuild: true}} {
		findings, stats := checkup(t, m, opts)
		require.Empty(t, findings)
		require.Equal(t, maildir.CheckStats{Mailboxes: 7, Messages: 6}, stats)
		require.Equal(t, want, everything(t, s))
	}
	file := message(t, filepath.Join(root, "example.com", "ann"), 3)
	rewrite(t, file, func(s string) string { return s[:len(s)-3] + "xyz" })
	findings, _ := checkup(t, m, maildir.CheckOptions{})
	require.Len(t, findings, 1)
	require.Contains(t, findings[0], "damage cur/")
	require.NoError(t, s.Close())
	require.NoError(t, m.Close())

	findings, stats := checkup(t, newEncrypted(t, root, mailbox.Limit{}), maildir.CheckOptions{Repair: true})
	require.Empty(t, findings)
	require.True(t, stats.Locked)
}
