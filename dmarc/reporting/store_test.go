package reporting_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/dmarc/reporting"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
)

func newCrashFS() *crashfs.FS { return crashfs.New() }

// files are the names in a folder.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// size is what the files in a folder take.
func size(t *testing.T, fs durable.FS, dir string) (n int64) {
	t.Helper()
	names, err := fs.ReadNames(dir)
	require.NoError(t, err)
	for _, name := range names {
		info, err := fs.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		n += info.Size()
	}
	return n
}

func TestWhatIsRecordedOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := &outbox{}
		r := newReporter(t.TempDir(), box, nil)
		for range 5 { // once a life
			stop := start(t, r)
			record(t, r, evaluation("example.com", rejecting), evaluation("example.com", rejecting))
			pass(2 * reporting.DefaultFlush)
			record(t, r, failing(evaluation("example.com", rejecting)))
			pass(time.Hour)
			stop()
		}
		start(t, r)
		pending, err := r.Pending(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 15, pending[0].Messages)
		require.Equal(t, 2, pending[0].Rows)
		nextDay()
		mails := box.take()
		require.Len(t, mails, 1)
		require.Equal(t, map[string]int64{"example.com 192.0.2.1": 15}, counts(t, mails))
		require.Equal(t, pending[0].ReportID, open(t, mails[0]).report.Metadata.ReportID)
	})
}

func TestEvaluationsAreWrittenSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := crashfs.New()
		r := newReporter("/reports", &outbox{}, nil)
		reporting.SetFS(r, fs)
		start(t, r)
		calls := fs.Calls()
		for range 1000 {
			record(t, r, evaluation("example.com", rejecting))
		}
		require.Equal(t, calls, fs.Calls(), "nothing is written while the client waits")
		pass(reporting.DefaultFlush + time.Second)
		require.Less(t, fs.Calls()-calls, 10, "one write for all")
		for state := range fs.States() {
			after := newReporter("/reports", &outbox{}, nil)
			reporting.SetFS(after, state.FS)
			require.NoError(t, after.Open(), state.What)
			pending, err := after.Pending(t.Context())
			require.NoError(t, err)
			require.EqualValues(t, 1000, pending[0].Messages, state.What)
			require.NoError(t, after.Close())
		}
	})
}

func TestTheFileOfADayDoesNotGrow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := crashfs.New()
		r := newReporter("/reports", &outbox{}, nil)
		reporting.SetFS(r, fs)
		reporting.RewriteAbove(r, 2000)
		stop := start(t, r)
		for range 400 {
			record(t, r, evaluation("example.com", rejecting))
			pass(reporting.DefaultFlush)
			require.Less(t, size(t, fs, "/reports"), int64(2100))
		}
		require.Less(t, fs.Calls(), 1200, "most times something is appended")
		stop()
		start(t, r)
		pending, err := r.Pending(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 400, pending[0].Messages)
	})
}

func TestAFolderHasOneReporter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newReporter(dir, &outbox{}, nil)
	require.NoError(t, r.Open())
	require.ErrorIs(t, r.Open(), reporting.ErrLocked)
	err := newReporter(dir, &outbox{}, nil).Open()
	require.ErrorIs(t, err, reporting.ErrLocked)
	require.Equal(t, "reporting: open "+dir+": the folder is in use by another process", err.Error())

	cmd := exec.Command(os.Args[0], "-test.run=^TestChildProcess$")
	cmd.Env = append(os.Environ(), "REPORTING_DIR="+dir)
	out, err := cmd.Output()
	require.NoError(t, err)
	require.Contains(t, string(out), "locked")

	require.NoError(t, r.Close())
	require.NoError(t, r.Close(), "again")
	require.ErrorIs(t, r.Record(t.Context(), evaluation("example.com", rejecting)), reporting.ErrClosed)
	require.ErrorIs(t, r.Run(t.Context()), reporting.ErrClosed)
	require.ErrorIs(t, r.Suppress(t.Context(), "a@example.com", time.Now()), reporting.ErrClosed)
	_, err = r.Pending(t.Context())
	require.ErrorIs(t, err, reporting.ErrClosed)
	_, err = r.Preview(t.Context(), time.Now(), "example.com")
	require.ErrorIs(t, err, reporting.ErrClosed)
	require.NoError(t, r.Open(), "it can be opened again")
	require.NoError(t, r.Close())
}

// TestChildProcess is what another process does.
func TestChildProcess(t *testing.T) {
	dir := os.Getenv("REPORTING_DIR")
	if dir == "" {
		t.Skip("this is the other process of TestAFolderHasOneReporter")
	}
	if errors.Is(newReporter(dir, &outbox{}, nil).Open(), reporting.ErrLocked) {
		_, _ = io.WriteString(os.Stdout, "locked\n")
	}
}

func TestRunRunsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReporter(t.TempDir(), &outbox{}, nil)
		require.NoError(t, r.Open())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		require.ErrorIs(t, r.Run(t.Context()), reporting.ErrRunning)
		record(t, r, evaluation("example.com", rejecting))
		cancel()
		require.NoError(t, <-done)
		require.Equal(t, []string{"2000-01-01.log", "lock"}, files(t, r.Dir), "it writes before it returns")
		go func() { done <- r.Run(t.Context()) }() // and may run again
		synctest.Wait()
		require.NoError(t, r.Close())
		require.NoError(t, <-done)
	})
}

func TestSettingsAreChecked(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*reporting.Reporter){
		"Dir":       func(r *reporting.Reporter) { r.Dir = "" },
		"Send":      func(r *reporting.Reporter) { r.Send = nil },
		"Email":     func(r *reporting.Reporter) { r.Email = "no address" },
		"Email 2":   func(r *reporting.Reporter) { r.Email = "ä@example.org" },
		"Hostname":  func(r *reporting.Reporter) { r.Hostname = "" },
		"Hostname2": func(r *reporting.Reporter) { r.Hostname = "a!b" },
		"Hostname3": func(r *reporting.Reporter) { r.Hostname = "a..b" },
	} {
		r := newReporter(t.TempDir(), &outbox{}, nil)
		change(r)
		require.Error(t, r.Open(), name)
		require.NoError(t, r.Close())
	}
}

func TestNewerFilesAreRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"2000-01-01.log mailbricks-dmarc-day 2", "suppressed mailbricks-dmarc-suppressed 2"} {
		dir := t.TempDir()
		file, first, _ := strings.Cut(name, " ")
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(first+"\nwhatever\n"), 0o600))
		r := newReporter(dir, &outbox{}, nil)
		require.ErrorIs(t, r.Open(), reporting.ErrVersion)
		require.NoError(t, os.Remove(filepath.Join(dir, file)))
		require.NoError(t, r.Open(), "the lock is free again")
		require.NoError(t, r.Close())
		data, err := os.ReadFile(filepath.Join(dir, "lock"))
		require.NoError(t, err)
		require.Empty(t, data)
	}
}

// Whatever lies in the folder, what is ours is found, what is not stays.
func TestGarbageInTheFolder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		box := &outbox{}
		r := newReporter(dir, box, nil)
		require.NoError(t, r.Open())
		record(t, r, evaluation("example.com", rejecting))
		require.NoError(t, r.Close())
		log := filepath.Join(dir, "2000-01-01.log")
		whole, err := os.ReadFile(log)
		require.NoError(t, err)
		lines := strings.SplitAfter(string(whole), "\n")
		damaged := strings.Join(lines[:2], "") + "no line\n00000000 {}\n\x00\x00\x00" + strings.Repeat("x", 1<<20) + "\n" +
			strings.Join(lines[2:], "") + lines[len(lines)-2][:10] // and a torn line
		require.NoError(t, os.WriteFile(log, []byte(damaged), 0o600))
		for name, text := range map[string]string{
			"2000-01-02.log.x.tmp": "left over", "notes.txt": "mine", "2000-13-01.log": "no day", "2000-1-1.log": "no day",
			".log": "", "suppressed": "\x00\x01",
			"1999-12-30.log": "", "1999-12-31.log": "mailbricks-dmarc-day 1\n", "9999-12-31.log": "far away",
		} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		}
		require.NoError(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700))
		start(t, r)
		require.NotContains(t, files(t, dir), "2000-01-02.log.x.tmp")
		record(t, r, evaluation("example.com", rejecting))
		nextDay()
		require.Equal(t, map[string]int64{"example.com 192.0.2.1": 2}, counts(t, box.take()))
		for _, name := range []string{"notes.txt", "2000-13-01.log", "2000-1-1.log", ".log", "folder"} {
			require.Contains(t, files(t, dir), name)
		}
	})
}

// A disk that fails for a while loses nothing, as long as the process lives.
func TestADiskThatFails(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"write", "sync", "create", "rename", "syncdir", "open"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fs := crashfs.New()
				box := &outbox{}
				r := newReporter("/reports", box, nil)
				reporting.SetFS(r, fs)
				stop := start(t, r)
				record(t, r, evaluation("example.com", rejecting))
				pass(time.Minute)
				fs.Fail(func(op crashfs.Op) error {
					if op.Kind == kind {
						return syscall.ENOSPC
					}
					return nil
				})
				record(t, r, evaluation("example.com", rejecting))
				pass(time.Hour)
				record(t, r, failing(evaluation("example.com", rejecting)))
				pass(10 * time.Minute)
				fs.Fail(nil)
				pass(10 * time.Minute)
				for state := range fs.States() {
					after := newReporter("/reports", &outbox{}, nil)
					reporting.SetFS(after, state.FS)
					require.NoError(t, after.Open(), state.What)
					pending, err := after.Pending(t.Context())
					require.NoError(t, err)
					require.EqualValues(t, 3, pending[0].Messages, state.What)
					require.NoError(t, after.Close())
				}
				midnight() // the same while reports are sent
				fs.Fail(func(op crashfs.Op) error {
					if op.Kind == kind {
						return syscall.EIO
					}
					return nil
				})
				pass(2 * reporting.DefaultSpread)
				fs.Fail(nil)
				pass(2 * time.Hour)
				mails := box.take()
				require.Equal(t, map[string]int64{"example.com 192.0.2.1": 3}, counts(t, mails))
				for key, n := range box.keys {
					require.Equal(t, 1, n, key)
				}
				stop()
				r = newReporter("/reports", box, nil)
				reporting.SetFS(r, fs)
				start(t, r)
				pass(day)
				require.Empty(t, box.take())
			})
		})
	}
}

// A file that is gone is no reason to stop.
func TestAFileThatIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := &outbox{}
		r := newReporter(t.TempDir(), box, nil)
		start(t, r)
		record(t, r, evaluation("example.com", rejecting))
		midnight()
		pass(10 * time.Minute)
		require.NoError(t, os.Remove(filepath.Join(r.Dir, "2000-01-01.log")))
		record(t, r, evaluation("example.com", rejecting))
		nextDay()
		mails := box.take()
		require.Len(t, mails, 1)
		require.Equal(t, 2, open(t, mails[0]).report.Metadata.Begin.Day())
	})
}
