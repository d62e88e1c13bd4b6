package mimeindex_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/internal/mimeindex"
)

// letter is a message of some size as they come: a text and an attachment in base64.
func letter(size int) []byte {
	line := strings.Repeat("QUJD", 19) + "\r\n"
	return []byte("From: Ann <ann@example.org>\r\nTo: Bob <bob@example.net>, carol@example.net\r\nSubject: =?utf-8?q?a?=\r\n" +
		strings.Repeat("Received: from a.example.org by b.example.net with ESMTPS id 1234567890;\r\n\tMon, 1 Jan 2001 12:00:00 +0000\r\n", 8) +
		"Content-Type: multipart/mixed; boundary=\"=_x\"\r\n\r\n--=_x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello\r\n--=_x\r\n" +
		"Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat(line, size/len(line)) + "--=_x--\r\n")
}

func BenchmarkParse(b *testing.B) {
	for name, message := range map[string][]byte{"4KiB": letter(3000), "1MiB": letter(1 << 20), "nested": nested(4000)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := mimeindex.Parse(bytes.NewReader(message), mimeindex.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	root, err := mimeindex.Parse(bytes.NewReader(letter(3000)), mimeindex.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = root.Envelope.Append(buf[:0])
		buf = root.AppendBody(buf, mimeindex.Extended)
	}
}
