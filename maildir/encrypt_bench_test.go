package maildir_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// benchEncrypted runs a benchmark on an account in the clear and on one that is encrypted. Nothing waits for the disk.
func benchEncrypted(b *testing.B, work func(b *testing.B, m *maildir.Maildir)) {
	for _, encrypted := range []bool{false, true} {
		b.Run(map[bool]string{false: "plain", true: "encrypted"}[encrypted], func(b *testing.B) {
			m := newEncrypted(b, b.TempDir(), mailbox.Limit{})
			if encrypted {
				_, err := m.EnableEncryption(b.Context(), ann, password)
				require.NoError(b, err)
				require.NoError(b, m.Unlock(b.Context(), ann, password))
				require.NoError(b, m.FinishEncryption(b.Context(), ann, nil))
			}
			work(b, m)
		})
	}
}

func benchMessage(size int) string {
	return "From: bob@example.org\r\nSubject: x\r\n\r\n" + strings.Repeat("0123456789abcdefghij\r\n", size/22)
}

func BenchmarkEncryptedDelivery(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			benchEncrypted(b, func(b *testing.B, m *maildir.Maildir) {
				env := &mailbricks.Envelope{From: "bob@example.org", Recipients: []mailbricks.Recipient{{Address: ann}}}
				text := []byte(benchMessage(size))
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					require.NoError(b, m.Handle(b.Context(), env, mailbricks.NewMessage(text)))
				}
			})
		})
	}
}

func BenchmarkEncryptedFetch(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			benchEncrypted(b, func(b *testing.B, m *maildir.Maildir) {
				box := open(b, m, mailbox.Inbox)
				for range 100 {
					appendTo(b, box, benchMessage(size))
				}
				uids, buf := uidsOf(b, box), make([]byte, 64<<10)
				b.SetBytes(int64(size))
				for i := 0; b.Loop(); i++ {
					c, err := box.Content(b.Context(), uids[i%len(uids)])
					require.NoError(b, err)
					_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{io.NewSectionReader(c, 0, c.Size())}, buf)
					require.NoError(b, err)
					require.NoError(b, c.Close())
				}
			})
		})
	}
}

// The first opening by a process, and summaries, of 10,000 messages.
func BenchmarkEncryptedList(b *testing.B) {
	benchEncrypted(b, func(b *testing.B, m *maildir.Maildir) {
		box := open(b, m, mailbox.Inbox)
		for range 10_000 {
			appendTo(b, box, benchMessage(500))
		}
		uids := uidsOf(b, box)
		summarizer := box.(mailbox.Summarizer)
		_, err := summarizer.Summaries(b.Context(), uids)
		require.NoError(b, err)
		b.Run("summaries", func(b *testing.B) {
			for b.Loop() {
				_, err := summarizer.Summaries(b.Context(), uids)
				require.NoError(b, err)
			}
		})
	})
}

// Turning it on for 1,000 messages of 4 KiB.
func BenchmarkEncryption(b *testing.B) {
	plain := b.TempDir()
	m := newEncrypted(b, plain, mailbox.Limit{})
	box := open(b, m, mailbox.Inbox)
	for range 1000 {
		appendTo(b, box, benchMessage(4<<10))
	}
	require.NoError(b, m.Close())
	for b.Loop() {
		b.StopTimer()
		root := b.TempDir()
		require.NoError(b, os.CopyFS(filepath.Join(root, "example.com"), os.DirFS(filepath.Join(plain, "example.com"))))
		m := newEncrypted(b, root, mailbox.Limit{})
		b.StartTimer()
		_, err := m.EnableEncryption(b.Context(), ann, password)
		require.NoError(b, err)
		require.NoError(b, m.Unlock(b.Context(), ann, password))
		require.NoError(b, m.FinishEncryption(b.Context(), ann, nil))
		b.StopTimer()
		require.NoError(b, m.Close())
		b.StartTimer()
	}
}
