package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// What package durable asks the system for itself does what package os does.
func TestOSFilesAreThoseOfPackageOS(t *testing.T) {
	t.Parallel()
	fsys, dir := durable.OS(), t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	f, err := fsys.OpenFile(path("a"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640)
	require.NoError(t, err)
	require.Equal(t, path("a"), f.Name())
	_, err = f.Write([]byte("one"))
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	info, err := f.Stat()
	require.NoError(t, err)
	if runtime.GOOS != "windows" {
		require.Zero(t, info.Mode().Perm()&^0o640)
	}
	require.NoError(t, f.Close())
	require.ErrorIs(t, f.Close(), os.ErrClosed)

	f, err = fsys.OpenFile(path("a"), os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	_, err = f.Write([]byte("two"))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	data, err := os.ReadFile(path("a"))
	require.NoError(t, err)
	require.Equal(t, "onetwo", string(data))

	for flag, want := range map[int]error{os.O_RDONLY: fs.ErrNotExist, os.O_WRONLY | os.O_CREATE | os.O_EXCL: fs.ErrExist} {
		name := map[error]string{fs.ErrNotExist: "none", fs.ErrExist: "a"}[want]
		f, err := fsys.OpenFile(path(name), flag, 0o600)
		require.ErrorIs(t, err, want)
		require.Nil(t, f)
		_, is := errors.AsType[*os.PathError](err)
		require.True(t, is)
		require.Contains(t, err.Error(), path(name))
	}

	require.NoError(t, os.WriteFile(path("b"), []byte("old"), 0o600))
	require.NoError(t, fsys.Rename(path("a"), path("b")))
	data, err = os.ReadFile(path("b"))
	require.NoError(t, err)
	require.Equal(t, "onetwo", string(data))
	require.NoError(t, os.Mkdir(path("folder"), 0o700))
	for _, to := range []string{"folder", filepath.Join("none", "b")} {
		err = fsys.Rename(path("b"), path(to))
		_, is := errors.AsType[*os.LinkError](err)
		require.True(t, is, "%v", err)
	}
	require.ErrorIs(t, fsys.Rename(path("none"), path("c")), fs.ErrNotExist)
	require.NoError(t, fsys.Rename(path("folder"), path("moved")))
	names, err := fsys.ReadNames(dir)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"b", "moved"}, names)
	require.NoError(t, fsys.SyncDir(dir))
	if runtime.GOOS != "windows" {
		require.Error(t, fsys.SyncDir(path("b")), "not a folder")
		require.ErrorIs(t, fsys.SyncDir(path("none")), fs.ErrNotExist)
	}
}
