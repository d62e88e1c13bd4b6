package statelog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is a record: the value of a name.
type pair struct {
	Name  string `json:"n"`
	Value int    `json:"v"`
}

// store is a map that is kept in a log.
type store struct {
	mu  sync.Mutex
	m   map[string]int
	log *Log[pair]
}

func open(fsys durable.FS, name string, logger *slog.Logger) (*store, error) {
	s := &store{m: map[string]int{}}
	var err error
	s.log, err = Open(Config[pair]{
		FS: fsys, Name: name, Format: "pairs", Version: 2, Logger: logger,
		Restore: func(p pair) { s.m[p.Name] = p.Value },
		Snapshot: func(yield func(pair) bool) {
			for name, value := range s.all() {
				if !yield(pair{name, value}) {
					return
				}
			}
		},
	})
	return s, err
}

func (s *store) all() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.m)
}

func (s *store) set(name string, value int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[name] = value
	s.log.Add(pair{name, value})
}

func count(fsys *crashfs.FS, kind string) int {
	n := 0
	for _, op := range fsys.Log() {
		if op.Kind == kind {
			n++
		}
	}
	return n
}

func TestChangesSurviveARestart(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "state")
	s, err := open(durable.OS(), name, nil)
	require.NoError(t, err)
	for i := range 100 {
		s.set(fmt.Sprint(i%10), i)
	}
	require.NoError(t, s.log.Sync())
	s.set("last", 1)
	_, err = open(durable.OS(), name, nil)
	require.ErrorIs(t, err, durable.ErrLocked)
	require.NoError(t, s.log.Close())
	require.ErrorIs(t, s.log.Close(), ErrClosed)
	require.ErrorIs(t, s.log.Sync(), ErrClosed)
	s.log.Add(pair{"late", 1})

	again, err := open(durable.OS(), name, nil)
	require.NoError(t, err)
	require.Equal(t, s.m, again.m)
	require.NoError(t, again.log.Close())
	info, err := os.Stat(name)
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o077&^ignoredMode())
}

func ignoredMode() fs.FileMode {
	if os.PathSeparator == '\\' {
		return 0o777
	}
	return 0
}

func TestWritesAreGrouped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New()
		s, err := open(fsys, "/state", nil)
		require.NoError(t, err)
		before := fsys.Calls()
		for i := range 1000 {
			s.set(fmt.Sprint(i), i)
		}
		synctest.Wait()
		require.Equal(t, before, fsys.Calls(), "nobody has waited for the disk")
		time.Sleep(GroupTime)
		synctest.Wait()
		require.Equal(t, before+2, fsys.Calls(), "one write and one sync")
		time.Sleep(time.Hour)
		require.Equal(t, before+2, fsys.Calls(), "and nothing when there is nothing")
		require.NoError(t, s.log.Close())
	})
}

func TestFileIsWrittenAnewWhenItHasGrown(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	s, err := open(fsys, "/state", nil)
	require.NoError(t, err)
	require.Equal(t, 1, count(fsys, "rename"))
	long := strings.Repeat("x", 1000)
	for range 3 * MinRewrite / 1000 / 10 {
		for i := range 10 {
			s.set(long, i)
		}
		require.NoError(t, s.log.Sync())
	}
	require.InDelta(t, 1+3, count(fsys, "rename"), 1)
	info, err := fsys.Stat("/state")
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(MinRewrite+20_000))
	require.NoError(t, s.log.Close())
}

func TestRewriteHasWhatWasNotAdded(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	s, err := open(fsys, "/state", nil)
	require.NoError(t, err)
	s.set("added", 1)
	s.m["not added"] = 2
	require.NoError(t, s.log.Sync())
	s.log.Rewrite()
	require.NoError(t, s.log.Close())
	again, err := open(fsys, "/state", nil)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"added": 1, "not added": 2}, again.m)
	require.NoError(t, again.log.Close())
}

func TestFloodOfChangesIsBounded(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	s, err := open(fsys, "/state", nil)
	require.NoError(t, err)
	for i := range 3 * MaxGroup {
		s.set("name", i)
	}
	require.Empty(t, s.log.group)
	require.NoError(t, s.log.Close())
	again, err := open(fsys, "/state", nil)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"name": 3*MaxGroup - 1}, again.m)
	require.NoError(t, again.log.Close())
}

func TestDamagedLinesAreLeftOut(t *testing.T) {
	t.Parallel()
	good := string(record(t, pair{"good", 1}))
	for name, test := range map[string]struct {
		text string
		bad  int
		want map[string]int
	}{
		"empty":           {"", 0, map[string]int{}},
		"torn first line": {"pai", 1, map[string]int{}},
		"torn version":    {"pairs ", 1, map[string]int{}},
		"torn tail":       {"pairs 2\n" + good + good[:20], 1, map[string]int{"good": 1}},
		"no line feed":    {"pairs 2\n" + good + strings.TrimSuffix(good, "\n"), 1, map[string]int{"good": 1}},
		"changed octet":   {"pairs 2\n" + strings.Replace(good, "good", "goof", 1) + good, 1, map[string]int{"good": 1}},
		"long line":       {"pairs 1\n" + strings.Repeat("x", 5*MaxLine) + "\n" + good, 1, map[string]int{"good": 1}},
		"endless line":    {"pairs 2\n" + good + strings.Repeat("x", 5*MaxLine), 1, map[string]int{"good": 1}},
		"not the type":    {"pairs 2\n" + string(record(t, []int{1})) + good, 1, map[string]int{"good": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fsys := crashfs.New()
			require.NoError(t, durable.WriteFile(fsys, "/state", []byte(test.text), 0o600))
			var log bytes.Buffer
			s, err := open(fsys, "/state", slog.New(slog.NewTextHandler(&log, nil)))
			require.NoError(t, err)
			require.Equal(t, test.want, s.m)
			require.NoError(t, s.log.Close())
			if test.bad == 0 {
				require.Empty(t, log.String())
			} else {
				require.Contains(t, log.String(), fmt.Sprintf("lines=%d", test.bad))
			}
			log.Reset()
			s, err = open(fsys, "/state", slog.New(slog.NewTextHandler(&log, nil)))
			require.NoError(t, err)
			require.Equal(t, test.want, s.m)
			require.Empty(t, log.String(), "the first start has repaired it")
			require.NoError(t, s.log.Close())
		})
	}
}

func record(t testing.TB, v any) []byte {
	line, err := durable.AppendRecord(nil, v)
	require.NoError(t, err)
	return line
}

// A name that was mistyped in the configuration costs nobody his file.
func TestFilesOfOthersStayAsTheyAre(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"text":             "something else\n" + string(record(t, pair{"good", 1})),
		"of another check": "couples 1\n",
		"longer name":      "pairss 1\n",
		"no version":       "pairs\n",
		"empty line":       "\npairs 1\n",
		"no line feed":     "{}",
		"a long line":      strings.Repeat("x", 5*MaxLine),
		"a long line of a": "pairs" + strings.Repeat(" ", 5*MaxLine) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fsys := crashfs.New()
			require.NoError(t, durable.WriteFile(fsys, "/state", []byte(text), 0o600))
			_, err := open(fsys, "/state", nil)
			require.ErrorIs(t, err, durable.ErrCorrupt)
			require.ErrorContains(t, err, "/state")
			f, err := fsys.OpenFile("/state", os.O_RDONLY, 0)
			require.NoError(t, err)
			defer f.Close()
			is, err := io.ReadAll(f)
			require.NoError(t, err)
			require.Equal(t, text, string(is))
		})
	}
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	require.NoError(t, durable.WriteFile(fsys, "/newer", []byte("pairs 3\n"), 0o600))
	_, err := open(fsys, "/newer", nil)
	require.ErrorIs(t, err, durable.ErrNewer)
	_, err = open(fsys, "/none/state", nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	for kind, fault := range map[string]error{"lock": fs.ErrPermission, "read": syscall.EIO} {
		require.NoError(t, durable.WriteFile(fsys, "/"+kind, []byte("pairs 1\n"), 0o600))
		fsys.Fail(failing(fault, kind))
		_, err = open(fsys, "/"+kind, nil)
		require.ErrorIs(t, err, fault, kind)
		fsys.Fail(nil)
		s, err := open(fsys, "/"+kind, nil)
		require.NoError(t, err, "it was unlocked")
		require.NoError(t, s.log.Close())
	}
	fsys.Fail(func(op crashfs.Op) error {
		if op.Kind == "lock" {
			return fmt.Errorf("no locks: %w", syscall.ENOTSUP)
		}
		return nil
	})
	s, err := open(fsys, "/state", nil)
	require.NoError(t, err, "a system without locks")
	require.NoError(t, s.log.Close())
}

// failing makes calls fail.
func failing(fault error, kinds ...string) func(crashfs.Op) error {
	return func(op crashfs.Op) error {
		if slices.Contains(kinds, op.Kind) {
			return fault
		}
		return nil
	}
}

// A disk that is full as the log is opened is no reason not to start: users want to delete mail.
func TestOpenOnAFailingDisk(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"lock", "write", "sync", "rename", "syncdir"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fsys := crashfs.New()
				before, err := open(fsys, "/state", nil)
				require.NoError(t, err)
				before.set("old", 1)
				require.NoError(t, before.log.Close())
				var tries atomic.Int32
				fails := failing(syscall.ENOSPC, kind)
				fsys.Fail(func(op crashfs.Op) error {
					if op.Kind == kind {
						tries.Add(1)
					}
					return fails(op)
				})
				var log bytes.Buffer
				s, err := open(fsys, "/state", slog.New(slog.NewTextHandler(&log, nil)))
				require.NoError(t, err)
				require.Equal(t, map[string]int{"old": 1}, s.m)
				s.set("new", 2)
				require.ErrorIs(t, s.log.Sync(), syscall.ENOSPC)
				synctest.Wait()
				tries.Store(0)
				time.Sleep(10*RetryAfter + time.Second)
				synctest.Wait()
				require.InDelta(t, 10, tries.Load(), 1, "it is tried again")
				require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
				for state := range fsys.States() { // a power cut meanwhile
					require.Equal(t, 1, reopened(t, state.FS)["old"], state.What)
				}
				fsys.Fail(nil)
				time.Sleep(RetryAfter)
				synctest.Wait()
				require.Equal(t, 2, strings.Count(log.String(), "\n"), log.String())
				_, err = open(fsys, "/state", nil)
				require.ErrorIs(t, err, durable.ErrLocked)
				for state := range fsys.States() {
					require.Equal(t, map[string]int{"old": 1, "new": 2}, reopened(t, state.FS), state.What)
				}
				require.NoError(t, s.log.Close())
			})
		})
	}
}

// While the file could not be locked nothing is written: it may be somebody else's by now.
func TestNothingIsWrittenWithoutTheLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New()
		fsys.Fail(failing(syscall.EROFS, "lock"))
		first, err := open(fsys, "/state", nil)
		require.NoError(t, err)
		first.set("first", 1)
		fsys.Fail(nil)
		second, err := open(fsys, "/state", nil)
		require.NoError(t, err)
		second.set("second", 2)
		require.NoError(t, second.log.Sync())
		time.Sleep(5 * RetryAfter)
		require.ErrorIs(t, first.log.Sync(), durable.ErrLocked)
		require.NoError(t, second.log.Close())
		require.Equal(t, map[string]int{"second": 2}, reopened(t, fsys))
		require.NoError(t, first.log.Close())
	})
}

// reopened is what the next start finds.
func reopened(t *testing.T, fsys durable.FS) map[string]int {
	s, err := open(fsys, "/state", nil)
	require.NoError(t, err)
	require.NoError(t, s.log.Close())
	return s.m
}

func TestFailingDiskIsSaidOnceAndTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New()
		var log bytes.Buffer
		s, err := open(fsys, "/state", slog.New(slog.NewTextHandler(&log, nil)))
		require.NoError(t, err)
		fsys.Fail(func(op crashfs.Op) error {
			if op.N > 0 {
				return syscall.ENOSPC
			}
			return nil
		})
		before := fsys.Calls()
		for i := range 10 {
			s.set(fmt.Sprint(i), i)
			time.Sleep(RetryAfter)
		}
		synctest.Wait()
		require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
		require.InDelta(t, 20, fsys.Calls()-before, 4, "one try each time: to make the new file, and to have none")
		require.Error(t, s.log.Sync())
		fsys.Fail(nil)
		time.Sleep(RetryAfter)
		synctest.Wait()
		require.Equal(t, 2, strings.Count(log.String(), "\n"), log.String())
		fsys.Crash()
		require.NoError(t, s.log.Close(), "all has been written")
		for state := range fsys.States() {
			again, err := open(state.FS, "/state", nil)
			require.NoError(t, err, state.What)
			require.Len(t, again.m, 10, state.What)
			require.NoError(t, again.log.Close())
		}
	})
}

// Whatever call a crash comes at, the next start finds all that was synced, nothing that never was, and goes on.
func TestCrash(t *testing.T) {
	t.Parallel()
	// run gives what was promised, and what may be there, too.
	run := func(fsys *crashfs.FS) (promised, given map[string]int) {
		promised, given = map[string]int{}, map[string]int{}
		for round := range 2 {
			s, err := open(fsys, "/state", nil)
			if err != nil {
				return promised, given
			}
			for i := range 3 {
				for j := range 2 {
					name := fmt.Sprintf("%d.%d.%d", round, i, j)
					given[name] = i
					s.set(name, i)
				}
				if s.log.Sync() == nil {
					promised = maps.Clone(given)
				}
			}
			if s.log.Close() == nil {
				promised = maps.Clone(given)
			}
		}
		return promised, given
	}
	whole := crashfs.New()
	promised, given := run(whole)
	require.Equal(t, given, promised)
	states := 0
	for n := 1; n <= whole.Calls(); n++ {
		for _, crash := range []func(*crashfs.FS, int){(*crashfs.FS).CrashBefore, (*crashfs.FS).CrashAfter} {
			fsys := crashfs.New()
			crash(fsys, n)
			promised, given := run(fsys)
			for state := range fsys.States() {
				states++
				s, err := open(state.FS, "/state", nil)
				require.NoError(t, err, state.What)
				for name, value := range promised {
					require.Equal(t, value, s.m[name], "%s: %s", name, state.What)
				}
				for name := range s.m {
					require.Contains(t, given, name, state.What)
				}
				s.set("more", 1)
				require.NoError(t, s.log.Close())
				again, err := open(state.FS, "/state", nil)
				require.NoError(t, err)
				require.Equal(t, s.m, again.m, state.What)
				require.NoError(t, again.log.Close())
			}
		}
	}
	require.Greater(t, states, 50)
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	s, err := open(fsys, "/state", nil)
	require.NoError(t, err)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 200 {
				s.set(fmt.Sprint(g), i)
				if i%50 == 0 {
					_ = s.log.Sync()
				}
			}
		})
	}
	all.Wait()
	require.NoError(t, s.log.Close())
	again, err := open(fsys, "/state", nil)
	require.NoError(t, err)
	for g := range 8 {
		require.Equal(t, 199, again.m[fmt.Sprint(g)])
	}
	require.NoError(t, again.log.Close())
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("pairs 2\n"))
	f.Add(append([]byte("pairs 1\n"), record(f, pair{"a", 1})...))
	f.Add([]byte("pairs 99\n"))
	f.Add([]byte("\n\n00000000 {}\n"))
	f.Add(bytes.Repeat([]byte("x"), MaxLine+1))
	f.Fuzz(func(t *testing.T, data []byte) {
		var got []pair
		l := &Log[pair]{Config: Config[pair]{Format: "pairs", Version: 2, Restore: func(p pair) { got = append(got, p) }}}
		bad, err := l.read(bytes.NewReader(data))
		if err != nil {
			require.True(t, errors.Is(err, durable.ErrNewer) || errors.Is(err, durable.ErrCorrupt), err)
			require.Empty(t, got)
			return
		}
		require.LessOrEqual(t, bad+len(got), bytes.Count(data, []byte("\n"))+1)
		// What was read is written and read again as it is, with nothing bad.
		text := []byte("pairs 2\n")
		for _, p := range got {
			text = append(text, record(t, p)...)
		}
		first := got
		got = nil
		bad, err = l.read(bytes.NewReader(text))
		require.NoError(t, err)
		require.Zero(t, bad)
		require.Equal(t, first, got)
	})
}
