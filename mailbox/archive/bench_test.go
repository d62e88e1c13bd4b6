package archive_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/mailbox/archive"
)

// BenchmarkWrite and BenchmarkRead are over 1000 messages of 10 KiB.
func BenchmarkWrite(b *testing.B) {
	store := newStore()
	body := strings.Repeat("a line of a message, as long as they are\r\n", 250)
	for i := range 1000 {
		put(b, store, "INBOX", fmt.Sprintf("Subject: %d\r\n\r\n%s", i, body), day(1))
	}
	for name, open := range map[string]func(io.Writer) archive.Writer{
		"mbox": archive.NewMboxWriter,
		"tar":  func(w io.Writer) archive.Writer { return archive.NewTarWriter(w, false) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				stats := move(b, open(io.Discard), archive.FromStore(store, "INBOX"))
				b.SetBytes(stats.Octets)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	store := newStore()
	body := strings.Repeat("a line of a message, as long as they are\r\n", 250)
	for i := range 1000 {
		put(b, store, "INBOX", fmt.Sprintf("Subject: %d\r\n\r\n%s", i, body), day(1))
	}
	var mbox bytes.Buffer
	move(b, archive.NewMboxWriter(&mbox), archive.FromStore(store, "INBOX"))
	tar := tarOf(b, store, false)
	for name, open := range map[string]func() archive.Reader{
		"mbox": func() archive.Reader { return archive.NewMboxReader(bytes.NewReader(mbox.Bytes()), archive.Options{}) },
		"tar":  func() archive.Reader { return archive.NewTarReader(bytes.NewReader(tar), archive.Options{}) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				messages, err := readAll(b, open())
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(messages) * len(messages[0].content)))
			}
		})
	}
}
