package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/maildir"
	"github.com/mailbricks/mailbricks/smtpd"
)

// here is a server in this process, whose mail is handled by what wrap makes of a Maildir.
func here(t *testing.T, wrap func(mailbricks.Handler) mailbricks.Handler) *server {
	t.Helper()
	root := t.TempDir()
	anybody := func(context.Context, string) (maildir.Account, error) { return maildir.Account{}, nil }
	store := maildir.New(root, maildir.AccountsFunc(anybody))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := &smtpd.Server{Hostname: "mail.example.com", Handler: wrap(store), MaxConnectionsPerIP: -1, MaxTransactions: -1}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		require.ErrorIs(t, <-done, smtpd.ErrServerClosed)
		require.NoError(t, store.Close())
	})
	return &server{name: "here", addr: l.Addr().String(), mail: filepath.Join(root, domain), roots: []int{os.Getpid()}}
}

func same(h mailbricks.Handler) mailbricks.Handler { return h }

func TestMeasure(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	s := here(t, same)
	for _, w := range []workload{{1, 3}, {7, 25}} {
		r, err := measure(t.Context(), s, w)
		require.NoError(t, err)
		require.Positive(t, r.accepted)
		require.GreaterOrEqual(t, r.accepted, r.delivered)
		require.Positive(t, r.delivered)
		require.Positive(t, r.latency)
	}
	require.Equal(t, 28, s.sent)
	require.NoError(t, s.complete())
	last, err := s.newest()
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), last, time.Minute)
	soon := time.Now().Add(time.Hour)
	require.NoError(t, os.Chtimes(filepath.Join(s.mail, user(3), "new"), soon, soon))
	last, err = s.newest()
	require.NoError(t, err)
	require.WithinDuration(t, soon, last, time.Second)

	box := filepath.Join(s.mail, user(0), "new")
	files, err := os.ReadDir(box)
	require.NoError(t, err)
	require.Len(t, files, 4) // numbers 0 of the first; 0, 10, 20 of the second
	first := filepath.Join(box, files[0].Name())
	require.NoError(t, os.Link(first, first+"2"))
	require.EqualError(t, s.complete(), "here took 28 messages and has 29")
	require.NoError(t, os.Remove(first))
	require.NoError(t, s.complete())
	require.NoError(t, os.Rename(first+"2", filepath.Join(s.mail, user(0), "cur", "seen:2,S")))
	require.NoError(t, s.complete(), "one that was read is in cur")
	require.NoError(t, os.Remove(filepath.Join(s.mail, user(0), "cur", "seen:2,S")))
	require.EqualError(t, s.complete(), "here took 28 messages and has 27")
}

// A server that refuses a message, or says that it has it and has not, is no server to measure.
func TestMeasureFails(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	full := here(t, func(mailbricks.Handler) mailbricks.Handler {
		return mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error {
			return &mailbricks.Reply{Code: 452, Enhanced: "4.3.1", Text: "full"}
		})
	})
	_, err := measure(t.Context(), full, workload{2, 10})
	require.ErrorContains(t, err, "452 4.3.1 full")
	require.Zero(t, full.sent)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	loses := here(t, func(mailbricks.Handler) mailbricks.Handler {
		return mailbricks.HandlerFunc(func(_ context.Context, env *mailbricks.Envelope, _ *mailbricks.Message) error {
			if env.Recipients[0].Address == user(9)+"@"+domain {
				cancel() // the last one has come; nobody waits for what never does
			}
			return nil
		})
	})
	_, err = measure(ctx, loses, workload{1, 10})
	require.ErrorIs(t, err, context.Canceled)
}

// It is not parallel to other tests, whose syncs would be counted as well.
func TestCountSyncs(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	s := here(t, same)
	_, err := measure(t.Context(), s, workload{1, users}) // makes the mailboxes
	require.NoError(t, err)
	text, err := countSyncs(t.Context(), s, workload{1, users})
	require.NoError(t, err)
	require.Regexp(t, `^(not counted|[2-9]\.\d\d \(.*\bfsync [2-9]\.)`, text)
}

func TestPrograms(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("has no such programs")
	}
	dir := t.TempDir()
	var s server
	require.Error(t, s.spawn(filepath.Join(dir, "log"), filepath.Join(dir, "missing")))
	require.NoError(t, s.stop())
	require.NoError(t, s.spawn(filepath.Join(dir, "log"), "sh", "-c",
		"trap 'echo ended; exit 0' TERM; echo begun; while :; do sleep 0.05; done"))
	require.Eventually(t, func() bool {
		log, err := os.ReadFile(filepath.Join(dir, "log"))
		return err == nil && string(log) == "begun\n"
	}, startTime, pollTime)
	require.Len(t, s.roots, 1)
	require.NoError(t, s.stop())
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	require.NoError(t, err)
	require.Equal(t, "begun\nended\n", string(log))
	require.ErrorContains(t, command(t.Context(), "sh", "-c", "echo why; exit 3"), "exit status 3\nwhy")
}
