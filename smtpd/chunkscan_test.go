package smtpd

import (
	"io"
	"strings"
	"testing"
)

func BenchmarkChunkScanner(b *testing.B) {
	chunk := []byte(strings.Repeat(strings.Repeat("x", 76)+"\r\n", dataBuffer/78))
	s := chunkScanner{out: io.Discard, maxLine: DefaultMaxLineLength}
	b.SetBytes(int64(len(chunk)))
	b.ReportAllocs()
	for b.Loop() {
		s.scan(chunk)
	}
	s.finish()
	if s.flaw != nil || s.err != nil {
		b.Fatal(s.flaw, s.err)
	}
}
