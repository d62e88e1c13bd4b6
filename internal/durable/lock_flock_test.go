//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package durable_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// A process that is started while a lock is held has its descriptor until it runs its program; the lock ends all the same.
func TestLockEndsWhoeverHasTheDescriptor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	lock, err := durable.OS().TryLock(path)
	require.NoError(t, err)
	another, err := syscall.Dup(int(lock.(interface{ Fd() uintptr }).Fd()))
	require.NoError(t, err)
	defer os.NewFile(uintptr(another), path).Close()
	require.NoError(t, lock.Close())
	lock, err = durable.OS().TryLock(path)
	require.NoError(t, err)
	require.NoError(t, lock.Close())
	require.ErrorIs(t, lock.Close(), os.ErrClosed)
}
