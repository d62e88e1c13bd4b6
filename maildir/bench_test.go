package maildir_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

func synced(b *testing.B) *maildir.Maildir {
	m := maildir.New(b.TempDir(), everyone(0))
	m.PollInterval = -1
	b.Cleanup(func() { m.Close() })
	return m
}

func letter(size int) []byte {
	return []byte("Subject: x\r\n\r\n" + strings.Repeat("0123456789abcdef0123456789abcdef0123456789abcdef0123456789\r\n", size/60))
}

// BenchmarkDeliver delivers 4 KiB messages, with all syncs, to ten accounts.
func BenchmarkDeliver(b *testing.B) {
	for _, writers := range []int{1, 10, 50} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			m := synced(b)
			msg := mailbricks.NewMessage(letter(4096))
			var next atomic.Int64
			b.SetParallelism(max(1, writers/runtime.GOMAXPROCS(0)))
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					to := fmt.Sprintf("user%d@example.com", next.Add(1)%10)
					env := &mailbricks.Envelope{From: "x@example.org", Recipients: []mailbricks.Recipient{{Address: to}}}
					copied := msg.Clone()
					if err := m.Handle(context.Background(), env, copied); err != nil {
						b.Error(err)
						return
					}
					copied.Close()
				}
			})
		})
	}
}

// BenchmarkAppend appends 4 KiB messages, with all syncs, to one mailbox.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 10} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			box := open(b, synced(b), mailbox.Inbox)
			text := string(letter(4096))
			b.SetParallelism(max(1, writers/runtime.GOMAXPROCS(0)))
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := box.Append(context.Background(), strings.NewReader(text), mailbox.AppendOptions{Size: int64(len(text))}); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// tenThousand makes a mailbox of 10,000 messages.
func tenThousand(b *testing.B, m *maildir.Maildir) {
	b.Helper()
	s, err := m.Store(b.Context(), mailbricks.Identity{User: ann}) // makes the account
	require.NoError(b, err)
	require.NoError(b, s.Close())
	dir := filepath.Join(m.Root, "example.com", "ann")
	text := letter(200)
	for n := range 10_000 {
		name := fmt.Sprintf("17000%05d.M%06dP1234Q1Rabcdefabcdef.host,S=%d,W=%d", n, n, len(text), len(text))
		require.NoError(b, os.WriteFile(filepath.Join(dir, "cur", name+":2,S"), text, 0o600))
	}
}

// BenchmarkOpen10k opens a mailbox of 10,000 messages that is not in memory, and one that is.
func BenchmarkOpen10k(b *testing.B) {
	for name, linger := range map[string]bool{"cold": false, "warm": true} {
		b.Run(name, func(b *testing.B) {
			m := synced(b)
			tenThousand(b, m)
			if !linger {
				m.Linger = -1
			}
			s, err := m.Store(b.Context(), mailbricks.Identity{User: ann})
			require.NoError(b, err)
			defer s.Close()
			session := func() {
				box, err := s.Open(b.Context(), mailbox.Inbox)
				require.NoError(b, err)
				defer box.Close()
				uids, _, err := box.UIDs(b.Context())
				require.NoError(b, err)
				require.Len(b, uids, 10_000)
				_, err = box.Status(b.Context())
				require.NoError(b, err)
			}
			session()
			for b.Loop() {
				session()
			}
		})
	}
}

func BenchmarkFlags(b *testing.B) {
	for _, count := range []int{1, 10_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			m := synced(b)
			tenThousand(b, m)
			box := open(b, m, mailbox.Inbox)
			uids := uidsOf(b, box)[:count]
			op := mailbox.AddFlags
			for b.Loop() {
				if _, err := box.SetFlags(b.Context(), uids, mailbox.FlagChange{Op: op, Flags: []mailbox.Flag{mailbox.Flagged}}); err != nil {
					b.Fatal(err)
				}
				op = mailbox.AddFlags + mailbox.RemoveFlags - op
			}
		})
	}
}

func BenchmarkMessages10k(b *testing.B) {
	m := synced(b)
	tenThousand(b, m)
	box := open(b, m, mailbox.Inbox)
	uids := uidsOf(b, box)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := box.Messages(b.Context(), uids); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkContent reads bodies with CRLF and with LF line ends.
func BenchmarkContent(b *testing.B) {
	for name, text := range map[string]string{"crlf": string(letter(1 << 20)), "lf": strings.ReplaceAll(string(letter(1<<20)), "\r\n", "\n")} {
		b.Run(name, func(b *testing.B) {
			m := synced(b)
			box := open(b, m, mailbox.Inbox)
			dir := filepath.Join(m.Root, "example.com", "ann")
			require.NoError(b, os.WriteFile(filepath.Join(dir, "cur", fmt.Sprintf("1.h,S=%d,W=%d:2,", len(text), len(letter(1<<20)))), []byte(text), 0o600))
			uid := uidsOf(b, box)[0]
			b.SetBytes(1 << 20)
			for b.Loop() {
				c, err := box.Content(b.Context(), uid)
				require.NoError(b, err)
				_, err = io.Copy(io.Discard, io.NewSectionReader(c, 0, c.Size()))
				require.NoError(b, err)
				require.NoError(b, c.Close())
			}
		})
	}
}

// BenchmarkMemory10k tells how much memory an open mailbox needs for each message.
func BenchmarkMemory10k(b *testing.B) {
	m := synced(b)
	tenThousand(b, m)
	m.Linger = -1
	s, err := m.Store(b.Context(), mailbricks.Identity{User: ann})
	require.NoError(b, err)
	defer s.Close()
	box, err := s.Open(b.Context(), mailbox.Inbox)
	require.NoError(b, err)
	require.NoError(b, box.Close())
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		box, err := s.Open(b.Context(), mailbox.Inbox)
		require.NoError(b, err)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/10_000, "B/message")
		require.NoError(b, box.Close())
	}
}
