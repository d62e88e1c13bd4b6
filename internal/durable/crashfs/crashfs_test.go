package crashfs_test

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
)

// tree shows a file system as "/dir/ /dir/name=contents".
func tree(t *testing.T, fsys durable.FS, dir string) string {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	require.NoError(t, err)
	var out []string
	for _, e := range entries {
		name := strings.TrimSuffix(dir, "/") + "/" + e.Name()
		if e.IsDir() {
			out = append(out, strings.TrimSpace(name+"/ "+tree(t, fsys, name)))
			continue
		}
		data, err := durable.ReadFile(fsys, name, 0)
		require.NoError(t, err)
		out = append(out, name+"="+string(data))
	}
	return strings.Join(out, " ")
}

// states gives all trees that a cut now may leave.
func states(t *testing.T, fsys *crashfs.FS) []string {
	t.Helper()
	all := map[string]bool{}
	for s := range fsys.States() {
		all[tree(t, s, "/")] = true
	}
	return slices.Sorted(maps.Keys(all))
}

func create(t *testing.T, fsys durable.FS, name, contents string) durable.File {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	require.NoError(t, err)
	if contents != "" {
		_, err = io.WriteString(f, contents)
		require.NoError(t, err)
	}
	return f
}

func TestUnsyncedFileMayBeLostEmptyTornOrWhole(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	f := create(t, fsys, "/a", "12")
	require.Equal(t, []string{"", "/a=", "/a=1", "/a=12"}, states(t, fsys))
	require.NoError(t, f.Sync())
	require.Equal(t, []string{"", "/a=12"}, states(t, fsys), "the name is not synced with the file")
	require.NoError(t, fsys.SyncDir("/"))
	require.Equal(t, []string{"/a=12"}, states(t, fsys))
}

func TestSyncedNameOfUnsyncedFile(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	f := create(t, fsys, "/a", "12")
	_, err := f.Write([]byte("34"))
	require.NoError(t, err)
	require.NoError(t, fsys.SyncDir("/"))
	require.Equal(t, []string{"/a=", "/a=1", "/a=12", "/a=123", "/a=1234"}, states(t, fsys))
}

func TestRenameOverIsOldOrNewButNeverNone(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	require.NoError(t, durable.WriteFile(fsys, "/f", []byte("old"), 0o600))
	require.NoError(t, create(t, fsys, "/t", "new").Sync())
	require.NoError(t, fsys.SyncDir("/"))
	require.NoError(t, fsys.Rename("/t", "/f"))
	require.Equal(t, []string{"/f=new", "/f=old /t=new"}, states(t, fsys))
}

func TestRenameBetweenFoldersNeverLosesTheFile(t *testing.T) {
	t.Parallel()
	prepare := func() *crashfs.FS {
		fsys := crashfs.New()
		require.NoError(t, durable.MkdirAll(fsys, "/tmp", 0o700))
		require.NoError(t, durable.MkdirAll(fsys, "/new", 0o700))
		require.NoError(t, create(t, fsys, "/tmp/m", "x").Sync())
		require.NoError(t, fsys.SyncDir("/tmp"))
		require.NoError(t, fsys.Rename("/tmp/m", "/new/m"))
		return fsys
	}
	moved, both, old := "/new/ /new/m=x /tmp/", "/new/ /new/m=x /tmp/ /tmp/m=x", "/new/ /tmp/ /tmp/m=x"
	fsys := prepare()
	require.ElementsMatch(t, []string{moved, both, old}, states(t, fsys))
	require.NoError(t, fsys.SyncDir("/new"))
	require.ElementsMatch(t, []string{moved, both}, states(t, fsys))
	require.NoError(t, fsys.SyncDir("/tmp"))
	require.ElementsMatch(t, []string{moved}, states(t, fsys))

	fsys = prepare()
	require.NoError(t, fsys.SyncDir("/tmp"), "the other way round")
	require.ElementsMatch(t, []string{moved, old}, states(t, fsys))
	require.NoError(t, fsys.SyncDir("/new"))
	require.ElementsMatch(t, []string{moved}, states(t, fsys))
}

func TestLinkAndRemoveAreLostOneByOne(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	require.NoError(t, durable.WriteFile(fsys, "/a", []byte("x"), 0o600))
	require.NoError(t, fsys.Link("/a", "/b"))
	require.ErrorIs(t, fsys.Link("/a", "/b"), fs.ErrExist)
	require.NoError(t, fsys.Remove("/a"))
	require.Equal(t, []string{"", "/a=x", "/a=x /b=x", "/b=x"}, states(t, fsys))
	require.NoError(t, fsys.SyncDir("/"))
	require.Equal(t, []string{"/b=x"}, states(t, fsys))
}

func TestLostFolderTakesWhatIsInIt(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	require.NoError(t, fsys.Mkdir("/d", 0o700))
	require.NoError(t, create(t, fsys, "/d/a", "x").Sync())
	require.NoError(t, fsys.SyncDir("/d"))
	require.Equal(t, []string{"", "/d/ /d/a=x"}, states(t, fsys))
}

func TestTruncateAndOverwrite(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	require.NoError(t, durable.WriteFile(fsys, "/a", []byte("abcd"), 0o600))
	f, err := fsys.OpenFile("/a", os.O_RDWR, 0)
	require.NoError(t, err)
	require.NoError(t, f.Truncate(2))
	_, err = f.Seek(3, io.SeekStart)
	require.NoError(t, err)
	_, err = f.Write([]byte("Z"))
	require.NoError(t, err)
	require.Equal(t, []string{"/a=ab", "/a=ab\x00Z", "/a=abcd"}, states(t, fsys))
	require.NoError(t, f.Sync())
	require.Equal(t, []string{"/a=ab\x00Z"}, states(t, fsys))
	_, err = fsys.OpenFile("/a", os.O_WRONLY|os.O_TRUNC, 0)
	require.NoError(t, err)
	require.Equal(t, []string{"/a=", "/a=ab\x00Z"}, states(t, fsys))
}

func TestAppendWritesAtTheEnd(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	create(t, fsys, "/a", "1")
	f, err := fsys.OpenFile("/a", os.O_RDWR|os.O_APPEND, 0)
	require.NoError(t, err)
	_, err = io.WriteString(f, "2")
	require.NoError(t, err)
	require.Equal(t, "/a=12", tree(t, fsys, "/"))
	buf := make([]byte, 4)
	n, err := f.ReadAt(buf, 1)
	require.Equal(t, 1, n)
	require.Equal(t, io.EOF, err)
	_, err = f.Seek(-1, io.SeekEnd)
	require.NoError(t, err)
	got, err := io.ReadAll(f)
	require.NoError(t, err)
	require.Equal(t, "2", string(got))
}

func TestFailedSyncIsNotMadeGoodByALaterOne(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	f := create(t, fsys, "/a", "x")
	require.NoError(t, fsys.SyncDir("/"))
	fsys.FailCall(fsys.Calls()+1, syscall.EIO)
	require.ErrorIs(t, f.Sync(), syscall.EIO)
	require.NoError(t, f.Sync())
	require.Equal(t, []string{"/a=", "/a=x"}, states(t, fsys))
}

func TestFaults(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	f := create(t, fsys, "/a", "")
	fsys.Fail(func(op crashfs.Op) error {
		if op.Kind == "write" {
			return syscall.ENOSPC
		}
		return nil
	})
	n, err := io.WriteString(f, "1234")
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Equal(t, 2, n)
	fsys.Fail(func(op crashfs.Op) error {
		require.Zero(t, op.N)
		return syscall.EIO
	})
	_, err = f.ReadAt(make([]byte, 1), 0)
	require.ErrorIs(t, err, syscall.EIO)
	fsys.Fail(nil)
	require.Equal(t, "/a=12", tree(t, fsys, "/"))
}

func TestCrashBeforeAndAfter(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		fsys := crashfs.New()
		require.NoError(t, fsys.Mkdir("/a", 0o700))
		if after {
			fsys.CrashAfter(2)
		} else {
			fsys.CrashBefore(2)
		}
		require.ErrorIs(t, fsys.Mkdir("/b", 0o700), crashfs.ErrCrashed)
		require.True(t, fsys.Crashed())
		_, err := fsys.Stat("/a")
		require.ErrorIs(t, err, crashfs.ErrCrashed)
		require.Equal(t, after, slices.Contains(states(t, fsys), "/a/ /b/"))
		require.Equal(t, 2, fsys.Calls())
		require.Equal(t, "2 mkdir /b", fsys.Log()[1].String())
	}
	fsys := crashfs.New()
	fsys.Crash()
	require.ErrorIs(t, fsys.Remove("/x"), crashfs.ErrCrashed)
}

func TestStatesAreBoundedTheSameAndApart(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	for _, name := range strings.Split("abcdefghijklmnop", "") {
		create(t, fsys, "/"+name, "data of "+name)
	}
	var first []string
	for s := range fsys.States() {
		first = append(first, s.What)
		require.NoError(t, durable.WriteFile(s, "/mine", nil, 0o600)) // does not reach the next
	}
	require.Len(t, first, crashfs.MaxStates)
	var second []string
	for s := range fsys.States() {
		second = append(second, s.What)
		_, err := s.Stat("/mine")
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
	require.Equal(t, first, second)
	for s := range fsys.States() { // a state is used like any FS, and can crash again
		require.NoError(t, s.Mkdir("/again", 0o700))
		require.Contains(t, tree(t, s, "/"), "/a=data of a", "the first state has kept everything")
		s.Crash()
		n := 0
		for range s.States() {
			n++
		}
		require.Equal(t, 2, n)
		break
	}
}

func TestSettle(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	require.NoError(t, durable.MkdirAll(fsys, "/tmp", 0o700))
	require.NoError(t, create(t, fsys, "/tmp/m", "x").Sync())
	require.NoError(t, fsys.Rename("/tmp/m", "/m"))
	require.NoError(t, create(t, fsys, "/tmp/n", "").Sync())
	calls := fsys.Calls()
	fsys.Crash()
	fsys.Settle("/tmp")
	fsys.Settle("/none")
	require.Equal(t, calls, fsys.Calls())
	require.Equal(t, []string{"/m=x /tmp/ /tmp/n=", "/tmp/ /tmp/m=x /tmp/n="}, states(t, fsys))
}

func TestErrorsAreThoseOfAFileSystem(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	require.NoError(t, fsys.Mkdir("/d", 0o700))
	create(t, fsys, "/d/f", "x")
	for what, err := range map[string]error{
		"missing":            fsys.Rename("/none", "/x"),
		"open missing":       second(fsys.OpenFile("/none", os.O_RDONLY, 0)),
		"missing folder":     second(fsys.OpenFile("/none/x", os.O_CREATE|os.O_WRONLY, 0o600)),
		"list missing":       second(fsys.ReadDir("/none")),
		"remove missing":     fsys.Remove("/none"),
		"link missing":       fsys.Link("/none", "/x"),
		"sync missing":       fsys.SyncDir("/none"),
		"chtimes of nothing": fsys.Chtimes("/none", time.Time{}),
	} {
		require.ErrorIs(t, err, fs.ErrNotExist, what)
	}
	require.ErrorIs(t, fsys.Mkdir("/d", 0o700), fs.ErrExist)
	require.ErrorIs(t, fsys.Mkdir("/", 0o700), fs.ErrExist)
	require.Error(t, fsys.Remove("/d"), "not empty")
	require.Error(t, fsys.Rename("/d", "/d/below"), "into itself")
	require.Error(t, fsys.Rename("/d/f", "/d"), "file over folder")
	require.Error(t, fsys.Rename("/d", "/d2/x"))
	require.Error(t, fsys.Link("/d", "/e"), "link of a folder")
	require.Error(t, fsys.SyncDir("/d/f"))
	require.Error(t, second(fsys.ReadDir("/d/f")))
	require.Error(t, second(fsys.OpenFile("/d", os.O_RDWR, 0)))
	require.Error(t, second(fsys.OpenFile("/d/f/below", os.O_RDONLY, 0)))
	require.Error(t, second(fsys.OpenFile("/", os.O_RDONLY, 0)))
	f, err := fsys.OpenFile("/d/f", os.O_RDONLY, 0)
	require.NoError(t, err)
	_, err = f.Write([]byte("x"))
	require.ErrorIs(t, err, fs.ErrPermission)
	require.NoError(t, f.Close())
	_, err = f.Read(make([]byte, 1))
	require.ErrorIs(t, err, fs.ErrClosed)
	require.ErrorIs(t, f.Close(), fs.ErrClosed)
	var pathErr *fs.PathError
	require.True(t, errors.As(err, &pathErr))
	require.Equal(t, "/d/f", pathErr.Path)

	require.NoError(t, fsys.Chtimes("/d/f", time.Unix(1e9, 0)))
	info, err := fsys.Stat("/d/f")
	require.NoError(t, err)
	require.True(t, info.ModTime().Equal(time.Unix(1e9, 0)))
	require.Equal(t, "f", info.Name())
	require.Equal(t, int64(1), info.Size())
}

func second[T any](_ T, err error) error { return err }
