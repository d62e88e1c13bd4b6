package maildir_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
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
