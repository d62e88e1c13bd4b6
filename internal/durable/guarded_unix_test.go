//go:build unix

package durable_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// Guarded files are files, and nobody waits for a pipe, nor is led elsewhere.
func TestGuardedOpensOnlyFiles(t *testing.T) {
	t.Parallel()
	fsys, dir := durable.Guarded(), t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.WriteFile(path("file"), []byte("x"), 0o600))
	require.NoError(t, os.Symlink(path("file"), path("link")))
	require.NoError(t, os.Symlink(path("none"), path("dangling")))
	require.NoError(t, os.Mkdir(path("folder"), 0o700))
	require.NoError(t, syscall.Mkfifo(path("pipe"), 0o600))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, name := range []string{"link", "dangling", "folder", "pipe"} {
			for _, flag := range []int{os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_CREATE} {
				f, err := fsys.OpenFile(path(name), flag, 0o600)
				require.ErrorIs(t, err, durable.ErrNotRegular, "%s %x", name, flag)
				require.Nil(t, f)
			}
			_, err := durable.ReadFile(fsys, path(name), 0)
			require.ErrorIs(t, err, durable.ErrNotRegular)
		}
		for _, name := range []string{"file", "pipe"} {
			_, err := fsys.ReadNames(path(name))
			require.Error(t, err)
			require.Error(t, fsys.SyncDir(path(name)))
		}
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		require.Fail(t, "it waits for a pipe")
	}
	_, err := fsys.OpenFile(path("none"), os.O_RDONLY, 0)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoFileExists(t, path("none"))

	f, err := fsys.OpenFile(path("file"), os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = f.Write([]byte("y"))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	f, err = fsys.OpenFile(path("made"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	require.NoError(t, err)
	require.NoError(t, f.Close())

	_, err = fsys.TryLock(path("link"))
	require.Error(t, err)
	lock, err := fsys.TryLock(path("file"))
	require.NoError(t, err)
	require.NoError(t, lock.Close())
}
