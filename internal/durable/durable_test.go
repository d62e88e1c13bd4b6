package durable_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
)

func TestWriteFileReplacesContents(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "f")
	require.NoError(t, durable.WriteFile(durable.OS(), name, []byte("one"), 0o600))
	require.NoError(t, durable.WriteFile(durable.OS(), name, []byte("two"), 0o600))
	got, err := durable.ReadFile(durable.OS(), name, 3)
	require.NoError(t, err)
	require.Equal(t, "two", string(got))
	_, err = durable.ReadFile(durable.OS(), name, 2)
	require.ErrorIs(t, err, durable.ErrTooLarge)
	entries, err := os.ReadDir(filepath.Dir(name))
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary file stays behind")
}

// After a cut between any two calls, and in every state it may leave, there is
// the old file or the new one; once WriteFile returned nil it is the new one.
func TestWriteFileSurvivesPowerCut(t *testing.T) {
	t.Parallel()
	prepare := func() *crashfs.FS {
		fsys := crashfs.New()
		require.NoError(t, durable.WriteFile(fsys, "/f", []byte("old contents"), 0o600))
		return fsys
	}
	fsys := prepare()
	first := fsys.Calls()
	require.NoError(t, durable.WriteFile(fsys, "/f", []byte("new contents"), 0o600))
	calls := fsys.Calls() - first
	require.Equal(t, 5, calls, "create, write, sync, rename, syncdir")

	for n := 1; n <= calls; n++ {
		for _, stop := range []func(*crashfs.FS, int){(*crashfs.FS).CrashBefore, (*crashfs.FS).CrashAfter} {
			fsys := prepare()
			stop(fsys, first+n)
			require.ErrorIs(t, durable.WriteFile(fsys, "/f", []byte("new contents"), 0o600), crashfs.ErrCrashed)
			for s := range fsys.States() {
				got, err := durable.ReadFile(s, "/f", 0)
				require.NoError(t, err, s.What)
				require.Contains(t, []string{"old contents", "new contents"}, string(got), s.What)
				require.NoError(t, durable.CleanTemps(s, "/", time.Now()))
				names, err := s.ReadNames("/")
				require.NoError(t, err)
				require.Equal(t, []string{"f"}, names)
			}
		}
	}
	for s := range fsys.States() {
		got, err := durable.ReadFile(s, "/f", 0)
		require.NoError(t, err)
		require.Equal(t, "new contents", string(got), s.What)
	}
}

func TestWriteFileReportsFaultsAndKeepsOldFile(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 5; n++ {
		fsys := crashfs.New()
		require.NoError(t, durable.WriteFile(fsys, "/f", []byte("old"), 0o600))
		fsys.FailCall(fsys.Calls()+n, syscall.ENOSPC)
		err := durable.WriteFile(fsys, "/f", []byte("new"), 0o600)
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.ErrorContains(t, err, "durable: write /f: ")
		names, err := fsys.ReadNames("/")
		require.NoError(t, err)
		require.Equal(t, []string{"f"}, names, "call %d", n)
		got, err := durable.ReadFile(fsys, "/f", 0)
		require.NoError(t, err)
		if n < 5 {
			require.Equal(t, "old", string(got))
		}
	}
}

func TestIsTemp(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	fsys.Fail(func(op crashfs.Op) error {
		if op.Kind == "rename" {
			require.True(t, durable.IsTemp(filepath.Base(op.Name)), op.Name)
			return os.ErrPermission
		}
		return nil
	})
	require.Error(t, durable.WriteFile(fsys, "/a.b", nil, 0o600))
	for _, name := range []string{"a.b", "a.tmp", "x.ABCDEFGHIJKLMNOPQRSTUVWXY2.tmp.", "x.ABCDEFGHIJKLMNOPQRSTUVWXYa.tmp",
		"x.ABCDEFGHIJKLMNOPQRSTUVWXY.tmp", ".ABCDEFGHIJKLMNOPQRSTUVWXY2.tmp", "ABCDEFGHIJKLMNOPQRSTUVWXY2.tmp", ".tmp", ""} {
		require.False(t, durable.IsTemp(name), name)
	}
	require.True(t, durable.IsTemp("x.ABCDEFGHIJKLMNOPQRSTUVWXY2.tmp"))
}

func TestCleanTempsLeavesOtherAndYoungFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := time.Now().Add(-time.Hour)
	for _, n := range []string{"a.X.tmp", "b.tmp.txt", "young.Y.tmp"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, n), nil, 0o600))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "folder.tmp"), 0o700))
	for _, n := range []string{"a.X.tmp", "b.tmp.txt", "folder.tmp"} {
		require.NoError(t, os.Chtimes(filepath.Join(dir, n), old, old))
	}
	require.NoError(t, durable.CleanTemps(durable.OS(), dir, time.Now().Add(-time.Minute)))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	require.Equal(t, []string{"b.tmp.txt", "folder.tmp", "young.Y.tmp"}, left)
	require.ErrorIs(t, durable.CleanTemps(durable.OS(), filepath.Join(dir, "none"), old), fs.ErrNotExist)
}

func TestMkdirAllIsDurable(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	require.NoError(t, durable.MkdirAll(fsys, "/a/b/c", 0o700))
	for s := range fsys.States() {
		info, err := s.Stat("/a/b/c")
		require.NoError(t, err, s.What)
		require.True(t, info.IsDir())
	}
	require.NoError(t, durable.WriteFile(fsys, "/a/file", nil, 0o600))
	require.ErrorIs(t, durable.MkdirAll(fsys, "/a/file", 0o700), fs.ErrExist)
	require.Error(t, durable.MkdirAll(fsys, "/a/file/below", 0o700))
}

func TestSyncData(t *testing.T) {
	t.Parallel()
	f, err := durable.OS().OpenFile(filepath.Join(t.TempDir(), "f"), os.O_CREATE|os.O_RDWR, 0o600)
	require.NoError(t, err)
	_, err = f.Write([]byte("x"))
	require.NoError(t, err)
	require.NoError(t, durable.SyncData(f))
	require.NoError(t, f.Close())
	require.Error(t, durable.SyncData(f))

	fsys := crashfs.New()
	g, err := fsys.OpenFile("/g", os.O_CREATE|os.O_RDWR, 0o600)
	require.NoError(t, err)
	require.NoError(t, durable.SyncData(g))
}

func TestOSFiles(t *testing.T) {
	t.Parallel()
	dir, fsys := t.TempDir(), durable.OS()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	_, err := fsys.OpenFile(a, os.O_RDONLY, 0)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, durable.WriteFile(fsys, a, []byte("x"), 0o600))
	when := time.Unix(1e9, 0)
	require.NoError(t, fsys.Chtimes(a, when))
	require.NoError(t, fsys.Link(a, b))
	ia, err := fsys.Stat(a)
	require.NoError(t, err)
	ib, err := fsys.Lstat(b)
	require.NoError(t, err)
	require.True(t, durable.SameFile(ia, ib))
	require.True(t, ib.ModTime().Equal(when))
	require.NoError(t, fsys.Rename(b, filepath.Join(dir, "c")))
	names, err := fsys.ReadNames(dir)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"a", "c"}, names)
	require.NoError(t, fsys.Remove(a))
	entries, err := fsys.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.NoError(t, fsys.SyncDir(dir))
	_, err = fsys.ReadNames(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestLockExcludes(t *testing.T) {
	t.Parallel()
	for name, fsys := range map[string]durable.FS{"os": durable.OS(), "crashfs": crashfs.New()} {
		t.Run(name, func(t *testing.T) {
			path := "/lock"
			if name == "os" {
				path = filepath.Join(t.TempDir(), "lock")
			}
			first, err := fsys.TryLock(path)
			require.NoError(t, err)
			_, err = fsys.TryLock(path)
			require.ErrorIs(t, err, durable.ErrLocked)

			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			_, err = durable.Lock(ctx, fsys, path)
			require.ErrorIs(t, err, durable.ErrLocked)
			require.ErrorIs(t, err, context.DeadlineExceeded)

			got := make(chan io.Closer, 1)
			go func() {
				l, err := durable.Lock(context.Background(), fsys, path)
				if err == nil {
					got <- l
				}
				close(got)
			}()
			require.NoError(t, first.Close())
			second := <-got
			require.NotNil(t, second)
			require.NoError(t, second.Close())
		})
	}
}

// Every caller is answered by a run that began after its call, and callers that
// wait at the same time share one.
func TestGroupSharesRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		g := durable.NewGroup(func() error {
			runs++
			n := runs
			time.Sleep(time.Second)
			if n == 2 {
				return syscall.EIO
			}
			return nil
		})
		var wg sync.WaitGroup
		errs := make([]error, 11)
		for i := range errs {
			wg.Go(func() { errs[i] = g.Do() })
			synctest.Wait()
		}
		wg.Wait()
		require.Equal(t, 2, runs, "the first alone, the other ten together")
		require.NoError(t, errs[0])
		for _, err := range errs[1:] {
			require.ErrorIs(t, err, syscall.EIO)
		}
		require.NoError(t, g.Do(), "a failure is not remembered")
	})
}

func TestGroupCoversWhatWasWrittenBefore(t *testing.T) {
	t.Parallel()
	var written, synced atomic.Int64
	g := durable.NewGroup(func() error {
		synced.Store(written.Load())
		return nil
	})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				mine := written.Add(1)
				if err := g.Do(); err != nil || synced.Load() < mine {
					t.Errorf("told before it was synced: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// syncCounter counts and slows down SyncDir.
type syncCounter struct {
	durable.FS
	mu    sync.Mutex
	count map[string]int
}

func (c *syncCounter) SyncDir(dir string) error {
	c.mu.Lock()
	c.count[dir]++
	c.mu.Unlock()
	time.Sleep(time.Second)
	if dir == "/bad" {
		return errors.New("no such device")
	}
	return nil
}

func TestDirSyncerSharesPerFolder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &syncCounter{count: map[string]int{}}
		s := durable.NewDirSyncer(c)
		var wg sync.WaitGroup
		start := time.Now()
		for i := range 30 {
			dir := []string{"/a", "/b/", "/bad"}[i%3]
			wg.Go(func() {
				if err := s.Sync(dir); (err != nil) != (dir == "/bad") {
					t.Errorf("%s: %v", dir, err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		require.Equal(t, map[string]int{"/a": 2, filepath.Clean("/b"): 2, "/bad": 2}, c.count)
		require.Equal(t, 2*time.Second, time.Since(start), "folders do not wait for each other")
	})
}

func BenchmarkWriteFile(b *testing.B) {
	name := filepath.Join(b.TempDir(), "f")
	data := make([]byte, 4096)
	for b.Loop() {
		if err := durable.WriteFile(durable.OS(), name, data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
}
