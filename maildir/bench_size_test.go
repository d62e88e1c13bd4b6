package maildir_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// Benchmarks of mailboxes of 10,000 and 100,000 messages, and of 1,000,000 where the environment variable
// MAILBRICKS_BENCH_MILLION is set:
//
//	go test -run=NONE -bench=BenchmarkMailbox -benchtime=20x ./maildir
//
// The files lie in memory (/dev/shm) where the system has that, so that what is measured is this package, or in a folder that
// MAILBRICKS_BENCH_DIR names; what syncing costs is measured by BenchmarkDeliver and BenchmarkAppend, and by bench/.

// benchSizes are how many messages the mailboxes have.
func benchSizes() []int {
	sizes := []int{10_000, 100_000}
	if os.Getenv("MAILBRICKS_BENCH_MILLION") != "" {
		sizes = append(sizes, 1_000_000)
	}
	return sizes
}

// inMemory is a folder in memory, if there is one.
func inMemory(b *testing.B) string {
	where := os.Getenv("MAILBRICKS_BENCH_DIR")
	if where == "" {
		where = "/dev/shm"
	}
	dir, err := os.MkdirTemp(where, "mailbricks-bench-")
	if err != nil {
		return b.TempDir()
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// listed is a message as a list of mail shows it.
func listed(n int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Return-Path: <sender%d@example.org>\r\nDelivered-To: ann@example.com\r\n", n%100)
	for i := range 4 {
		fmt.Fprintf(&b, "Received: from mx%d.example.org (mx%d.example.org [192.0.2.%d])\r\n\tby mail.example.com with ESMTPS id %d;\r\n\tTue, 24 Nov 2026 10:00:%02d +0000\r\n", i, i, i, n, i)
	}
	fmt.Fprintf(&b, "From: \"Sender %d\" <sender%d@example.org>\r\nTo: Ann <ann@example.com>, Bob <bob@example.com>\r\nCc: carol@example.com\r\n", n%100, n%100)
	fmt.Fprintf(&b, "Subject: About matter number %d\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%d.abcdef@example.org>\r\n", n, n)
	b.WriteString("MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=xyz\r\n\r\n")
	b.WriteString("--xyz\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello,\r\nthis is some text.\r\n")
	b.WriteString("--xyz\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>Hello,</p>\r\n--xyz--\r\n")
	return b.Bytes()
}

// fill puts messages into cur as another program does, without waiting for the disk.
func fill(b *testing.B, m *maildir.Maildir, count int) {
	b.Helper()
	s, err := m.Store(b.Context(), mailbricks.Identity{User: ann}) // makes the account
	require.NoError(b, err)
	require.NoError(b, s.Close())
	dir := filepath.Join(m.Root, "example.com", "ann")
	for n := range count {
		text := listed(n)
		name := fmt.Sprintf("17%08d.M%06dP1234Q1R%012x.mail.example.com,S=%d,W=%d", n, n%1_000_000, n, len(text), len(text))
		require.NoError(b, os.WriteFile(filepath.Join(dir, "cur", name+":2,S"), text, 0o600))
	}
	old := time.Now().Add(-time.Hour)
	for _, sub := range []string{"cur", "new"} {
		require.NoError(b, os.Chtimes(filepath.Join(dir, sub), old, old))
	}
}

// lose removes the files that the mailbox has beside its messages.
func loseIndexes(b *testing.B, dir string) {
	for _, pattern := range []string{"dovecot-uidlist", "mailbricks-index", "mailbricks-summaries*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		require.NoError(b, err)
		for _, path := range found {
			require.NoError(b, os.Remove(path))
		}
	}
}

// sized is a mailbox of many messages.
type sized struct {
	root  string
	count int
}

func (s sized) dir() string { return filepath.Join(s.root, "example.com", "ann") }

// maildir is the mailbox in a new process.
func (s sized) maildir() *maildir.Maildir {
	m := maildir.New(s.root, everyone(0))
	m.PollInterval = -1
	return m
}

// open opens it, and tells what a client asks first.
func (s sized) open(b *testing.B, m *maildir.Maildir) (mailbox.Store, mailbox.Mailbox) {
	store, err := m.Store(context.Background(), mailbricks.Identity{User: ann})
	require.NoError(b, err)
	box, err := store.Open(context.Background(), mailbox.Inbox)
	require.NoError(b, err)
	status, err := box.Status(context.Background())
	require.NoError(b, err)
	require.Equal(b, s.count, status.Messages)
	uids, _, err := box.UIDs(context.Background())
	require.NoError(b, err)
	require.Len(b, uids, s.count)
	return store, box
}

func shut(b *testing.B, m *maildir.Maildir, store mailbox.Store, box mailbox.Mailbox) {
	require.NoError(b, box.Close())
	require.NoError(b, store.Close())
	require.NoError(b, m.Close())
}

func BenchmarkMailbox(b *testing.B) {
	for _, size := range benchSizes() {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := sized{inMemory(b), size}
			m := s.maildir()
			fill(b, m, size)
			require.NoError(b, m.Close())
			b.Run("Rebuild", s.rebuild)
			b.Run("OpenInNewProcess", s.openNew)
			b.Run("Rescan", s.rescan)
			s.inOpen(b)
			b.Run("Memory", s.memory)
		})
	}
}

// rebuild opens the mailbox without any of its index files.
func (s sized) rebuild(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		loseIndexes(b, s.dir())
		m := s.maildir()
		b.StartTimer()
		store, box := s.open(b, m)
		b.StopTimer()
		shut(b, m, store, box)
		b.StartTimer()
	}
	s.perMessage(b)
}

func (s sized) perMessage(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(s.count), "ns/message")
}

func (s sized) openNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		m := s.maildir()
		store, box := s.open(b, m)
		b.StopTimer()
		shut(b, m, store, box)
		b.StartTimer()
	}
	s.perMessage(b)
}

// rescan is what a change of another program costs.
func (s sized) rescan(b *testing.B) {
	m := s.maildir()
	store, box := s.open(b, m)
	defer shut(b, m, store, box)
	when := time.Now().Add(-time.Hour)
	for b.Loop() {
		when = when.Add(time.Second)
		require.NoError(b, os.Chtimes(filepath.Join(s.dir(), "cur"), when, when))
		_, err := box.Status(b.Context())
		require.NoError(b, err)
	}
	s.perMessage(b)
}

// inOpen measures what is done in an open mailbox.
func (s sized) inOpen(b *testing.B) {
	m := s.maildir()
	store, box := s.open(b, m)
	defer func() { shut(b, m, store, box) }()
	uids := uidsOf(b, box)
	some := uids[len(uids)-10_000:]
	first, err := box.Status(b.Context())
	require.NoError(b, err)
	run := func(name string, op func() error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, op())
			}
		})
	}
	run("OpenAgain", func() error {
		again, err := store.Open(context.Background(), mailbox.Inbox)
		if err != nil {
			return err
		}
		if _, err = again.Status(context.Background()); err != nil {
			return err
		}
		return again.Close()
	})
	run("Status", func() error { _, err := box.Status(context.Background()); return err })
	run("UIDs", func() error { _, _, err := box.UIDs(context.Background()); return err })
	run("Messages10k", func() error { _, err := box.Messages(context.Background(), some); return err })
	if sum, ok := box.(mailbox.Summarizer); ok {
		run("FirstSummaries10k", func() error {
			found, err := filepath.Glob(filepath.Join(s.dir(), "mailbricks-summaries*"))
			if err != nil {
				return err
			}
			for _, path := range found {
				if err := os.Remove(path); err != nil {
					return err
				}
			}
			_, err = sum.Summaries(context.Background(), some)
			return err
		})
		run("Summaries10k", func() error { _, err := sum.Summaries(context.Background(), some); return err })
		run("Summaries50", func() error { _, err := sum.Summaries(context.Background(), some[len(some)-50:]); return err })
	}
	op := mailbox.AddFlags
	flags := func(uids []mailbox.UID) func() error {
		return func() error {
			_, err := box.SetFlags(context.Background(), uids, mailbox.FlagChange{Op: op, Flags: []mailbox.Flag{mailbox.Flagged}})
			op = mailbox.AddFlags + mailbox.RemoveFlags - op
			return err
		}
	}
	run("Flag1", flags(some[5000:5001]))
	run("Flag10k", flags(some))
	run("ChangesAfterFlag1", func() error {
		status, err := box.Status(context.Background())
		if err != nil {
			return err
		}
		if err := flags(some[:1])(); err != nil {
			return err
		}
		changes, err := box.Changes(context.Background(), status.ModSeq)
		if err == nil && len(changes.Changed) != 1 {
			return fmt.Errorf("%d changes", len(changes.Changed))
		}
		return err
	})
	msg := mailbricks.NewMessage(listed(1))
	since := first.ModSeq
	run("Deliver1", func() error {
		env := &mailbricks.Envelope{From: "x@example.org", Recipients: []mailbricks.Recipient{{Address: ann}}}
		copied := msg.Clone()
		defer copied.Close()
		if err := m.Handle(context.Background(), env, copied); err != nil {
			return err
		}
		status, err := box.Status(context.Background())
		since = status.ModSeq
		return err
	})
	_ = since
	extra := uidsOf(b, box)[s.count:]
	more := func(n int) []mailbox.UID { // messages to expunge
		for len(extra) < n {
			copied, err := box.Copy(context.Background(), some[:min(n, len(some))], mailbox.Inbox)
			require.NoError(b, err)
			extra = append(extra, copied.Dest...)
		}
		out := extra[:n]
		extra = extra[n:]
		return out
	}
	run("Copy10k", func() error {
		copied, err := box.Copy(context.Background(), some, mailbox.Inbox)
		extra = append(extra, copied.Dest...)
		return err
	})
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("Expunge%d", n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				gone := more(n)
				b.StartTimer()
				_, err := box.Expunge(context.Background(), gone)
				require.NoError(b, err)
			}
		})
	}
	_, err = box.Expunge(context.Background(), extra)
	require.NoError(b, err)
}

// memory tells how much an open mailbox needs for each message.
func (s sized) memory(b *testing.B) {
	for b.Loop() {
		before := heap()
		m := s.maildir()
		store, box := s.open(b, m)
		b.ReportMetric(float64(heap()-before)/float64(s.count), "B/message")
		shut(b, m, store, box)
	}
}
