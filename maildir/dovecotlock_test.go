package maildir_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// Where Dovecot has been at work, nothing is given a UID while it has its lock; elsewhere nobody looks for one.
func TestDovecotsLockIsHeeded(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	b := open(t, m, mailbox.Inbox)
	dir := filepath.Join(m.Root, "example.com", "ann")
	lock := filepath.Join(dir, "dovecot-uidlist.lock")
	put(t, lock, "")
	require.EqualValues(t, 1, appendTo(t, b, "without Dovecot\r\n"))
	require.NoError(t, os.Remove(lock))

	put(t, filepath.Join(dir, "dovecot.index.log"), "")
	require.EqualValues(t, 2, appendTo(t, b, "nobody has it\r\n"))
	require.NoFileExists(t, lock)
	require.NoError(t, os.WriteFile(lock, fmt.Appendf(nil, "%d:elsewhere", os.Getpid()), 0o600))
	done := make(chan mailbox.UID)
	go func() { done <- appendTo(t, b, "Dovecot has it\r\n") }()
	select {
	case <-done:
		t.Fatal("the lock was not heeded")
	case <-time.After(100 * time.Millisecond):
	}
	require.FileExists(t, lock)
	require.NoError(t, os.Remove(lock))
	require.EqualValues(t, 3, <-done)
	require.NoFileExists(t, lock)
}

// A lock that a crash has left behind is no obstacle: ours at once, also where all processes have the number 1; Dovecot's once
// it is old.
func TestLocksLeftBehind(t *testing.T) {
	t.Parallel()
	host, err := os.Hostname()
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		content string
		age     time.Duration
	}{
		"ours":      {fmt.Sprintf("%d:%s", os.Getpid(), host), 0},
		"old":       {"1:elsewhere", 3 * time.Minute},
		"old, odd":  {"x", 3 * time.Minute},
		"old, none": {"", 3 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMaildir(t, t.TempDir(), 0)
			b := open(t, m, mailbox.Inbox)
			dir := filepath.Join(m.Root, "example.com", "ann")
			lock := filepath.Join(dir, "dovecot-uidlist.lock")
			put(t, filepath.Join(dir, "dovecot.index.log"), "")
			require.NoError(t, os.WriteFile(lock, []byte(tt.content), 0o600))
			when := time.Now().Add(-tt.age)
			require.NoError(t, os.Chtimes(lock, when, when))
			began := time.Now()
			require.EqualValues(t, 1, appendTo(t, b, "x\r\n"))
			require.Less(t, time.Since(began), 20*time.Second)
			require.NoFileExists(t, lock)
		})
	}
}

// fullLocks are files where a lock can be made but has no room for its text.
type fullLocks struct{ unsynced }

func (u fullLocks) OpenFile(name string, flag int, perm os.FileMode) (durable.File, error) {
	f, err := u.unsynced.OpenFile(name, flag, perm)
	if err == nil && filepath.Base(name) == "dovecot-uidlist.lock" {
		f = fullLock{f}
	}
	return f, err
}

type fullLock struct{ durable.File }

func (fullLock) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// On a full disk messages can be removed, also where Dovecot is at work.
func TestDovecotsLockOnAFullDisk(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	maildir.SetFS(m, fullLocks{unsynced{durable.OS()}})
	b := open(t, m, mailbox.Inbox)
	uid := appendTo(t, b, "x\r\n")
	dir := filepath.Join(m.Root, "example.com", "ann")
	put(t, filepath.Join(dir, "dovecot.index.log"), "")
	_, err := b.Expunge(t.Context(), []mailbox.UID{uid})
	require.NoError(t, err)
	require.NoFileExists(t, filepath.Join(dir, "dovecot-uidlist.lock"))
}

// A lock that another program has taken in place of ours, which it found too old, is not removed.
func TestLockOfAnotherIsNotRemoved(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	dir := filepath.Join(m.Root, "example.com", "ann")
	lock, taken := filepath.Join(dir, "dovecot-uidlist.lock"), false
	maildir.SetFS(m, &hooked{FS: unsynced{durable.OS()}, openFile: func(name string) error {
		if _, err := os.Stat(lock); err == nil && filepath.Base(name) != filepath.Base(lock) && !taken {
			taken = true
			put(t, lock+".new", "1:elsewhere")
			require.NoError(t, os.Rename(lock+".new", lock))
		}
		return nil
	}})
	b := open(t, m, mailbox.Inbox)
	put(t, filepath.Join(dir, "dovecot.index.log"), "")
	appendTo(t, b, "x\r\n")
	require.True(t, taken)
	require.FileExists(t, lock)
	require.NoError(t, os.Remove(lock))
}
