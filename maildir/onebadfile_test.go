package maildir_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// The tests of this file have one file, or one mailbox, that is bad, and everything else is as without it.

// Names that say that files are longer than can be are not believed: the account has room, and sums of sizes are sums.
func TestSizesThatCannotBeAreNotBelieved(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 1000)
	open(t, m, mailbox.Inbox)
	dir := filepath.Join(m.Root, "example.com", "ann")
	put(t, filepath.Join(dir, "cur", "1700000001.a,S=9223372036854775000:2,"), "12345")
	put(t, filepath.Join(dir, "cur", "1700000002.b,W=9223372036854775807:2,"), "1\n")
	put(t, filepath.Join(dir, "cur", "1700000003.c,S=9223372036854775807,W=9223372036854775807:2,"), "1\n")
	next := newMaildir(t, m.Root, 1000)
	require.Equal(t, [2]int64{9, 3}, usageOf(t, next))
	require.NoError(t, next.Accepts(t.Context(), ann, 10))
	b := open(t, next, mailbox.Inbox)
	status, err := b.Status(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 5+3+3, status.Size)
	metas, err := b.Messages(t.Context(), uidsOf(t, b))
	require.NoError(t, err)
	require.EqualValues(t, []int64{5, 3, 3}, []int64{metas[0].Size, metas[1].Size, metas[2].Size})
	require.NoError(t, b.Close())

	list, err := os.ReadFile(filepath.Join(dir, "dovecot-uidlist"))
	require.NoError(t, err)
	list = append(list[:strings.IndexByte(string(list), '\n')+1], "1 W9223372036854775807 :1700000001.a,S=9223372036854775000\n"...)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "dovecot-uidlist"), list, 0o600))
	third := newMaildir(t, m.Root, 1000)
	status, err = open(t, third, mailbox.Inbox).Status(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 5+3+3, status.Size)

	findings, _ := checkup(t, third, maildir.CheckOptions{})
	require.Len(t, findings, 3, "Check tells of them")
}

// A message that the disk says nothing of keeps nobody from the others, and is there when it does.
func TestMessageOnABadSpot(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	dir := filepath.Join(m.Root, "example.com", "ann")
	ill := true
	maildir.SetFS(m, &hooked{FS: unsynced{durable.OS()}, lstat: func(name string) error {
		if ill && strings.Contains(name, "1700000001.a") {
			return &os.PathError{Op: "lstat", Path: name, Err: syscall.EIO}
		}
		return nil
	}})
	b := open(t, m, mailbox.Inbox)
	put(t, filepath.Join(dir, "cur", "1700000001.a:2,S"), "one\r\n")
	put(t, filepath.Join(dir, "cur", "1700000002.b:2,S"), "two\r\n")
	require.Equal(t, []mailbox.UID{1}, uidsOf(t, b))
	require.Equal(t, "two\r\n", contentOf(t, b, 1))
	ill = false
	deliver(t, m, "three\r\n")
	require.Len(t, uidsOf(t, b), 3)
}

// A message that cannot be read is the only one that stays as it was when an account is encrypted, and of a mailbox that is of a
// newer version all others are not hindered.
func TestEncryptionPassesWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	const bad = "1700000001.M1P1.host"
	m := newEncrypted(t, t.TempDir(), mailbox.Limit{})
	dir := filepath.Join(m.Root, "example.com", "ann")
	ill := true
	maildir.SetFS(m, &hooked{FS: unsynced{durable.OS()}, openFile: func(name string) error {
		if ill && strings.Contains(name, bad) {
			return &os.PathError{Op: "open", Path: name, Err: syscall.EACCES}
		}
		return nil
	}})
	s := mustStore(t, m)
	for _, name := range []string{"Aa", "Mm", "Zz"} {
		require.NoError(t, s.(mailbox.Organizer).Create(t.Context(), name, ""))
		put(t, filepath.Join(dir, "."+name, "cur", "1700000002."+name+":2,S"), secretText)
	}
	put(t, filepath.Join(dir, "cur", bad+":2,S"), secretText)
	put(t, filepath.Join(dir, "cur", "1700000003.M1P1.host:2,S"), secretText)
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".Mm", "dovecot-uidlist"), []byte("9 V1 N1\n"), 0o600))
	_, err := m.EnableEncryption(t.Context(), ann, password)
	require.NoError(t, err)
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	err = m.FinishEncryption(t.Context(), ann, nil)
	require.ErrorIs(t, err, syscall.EACCES)
	for _, path := range found(t, m.Root) {
		require.True(t, strings.Contains(path, bad) || strings.Contains(path, "1700000002.Mm"), path)
	}

	ill = false
	newer, err := filepath.Glob(filepath.Join(dir, ".=*", "dovecot-uidlist"))
	require.NoError(t, err)
	for _, path := range newer {
		if data, err := os.ReadFile(path); err == nil && strings.HasPrefix(string(data), "9 ") {
			require.NoError(t, os.Remove(path))
		}
	}
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
	require.Empty(t, found(t, m.Root))
}
