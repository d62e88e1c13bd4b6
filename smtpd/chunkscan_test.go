package smtpd

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// RFC 2033 §5: LMTP is not for port 25.
func TestDefaultAddress(t *testing.T) {
	t.Parallel()
	require.Equal(t, ":25", new(Server).addr())
	require.Equal(t, ":24", (&Server{LMTP: true}).addr())
	require.Equal(t, ":2424", (&Server{LMTP: true, Addr: ":2424"}).addr())
}

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
