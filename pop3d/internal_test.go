package pop3d

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestStuffer: a client that undoes the stuffing has the message, with CRLF line ends and an end of the last line; however the
// message is cut into chunks.
func TestStuffer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		message := rapid.SliceOf(rapid.SampledFrom([]byte("a..\r\n\n"))).Draw(t, "message")
		s := stuffer{lineStart: true}
		var out []byte
		for rest := message; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "chunk")
			out = s.append(out, rest[:n])
			rest = rest[n:]
		}
		out = s.end(out)
		require.True(t, bytes.HasSuffix(out, []byte(".\r\n")))
		lines := strings.SplitAfter(string(out), "\r\n")
		require.Equal(t, ".\r\n", lines[len(lines)-2])
		var got strings.Builder
		for _, line := range lines[:len(lines)-2] {
			require.NotEqual(t, ".\r\n", line, "the end comes once")
			got.WriteString(strings.TrimPrefix(line, "."))
		}
		want := strings.ReplaceAll(strings.ReplaceAll(string(message), "\r\n", "\n"), "\n", "\r\n")
		if want != "" && !strings.HasSuffix(want, "\n") {
			want = strings.TrimSuffix(want, "\r") + "\r\n"
		}
		require.Equal(t, want, got.String())
	})
}

// TestTopOf: the top is the same however the message is cut into chunks.
func TestTopOf(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		message := rapid.SliceOf(rapid.SampledFrom([]byte("a\r\n\n"))).Draw(t, "message")
		want := rapid.IntRange(0, 3).Draw(t, "lines")
		top := topOf{left: want}
		var got []byte
		for rest, done := message, false; len(rest) > 0 && !done; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "chunk")
			var keep int
			keep, done = top.cut(rest[:n])
			got = append(got, rest[:keep]...)
			rest = rest[n:]
		}
		require.True(t, bytes.HasPrefix(message, got))
		lines, inBody, body := strings.SplitAfter(string(message), "\n"), false, 0
		var expect strings.Builder
		for _, line := range lines {
			if inBody && body == want {
				break
			}
			expect.WriteString(line)
			if inBody {
				body++
			}
			inBody = inBody || strings.HasSuffix(line, "\n") && strings.Trim(line, "\r\n") == ""
		}
		require.Equal(t, expect.String(), string(got))
	})
}

// TestLoginsForget: what LoginDelay remembers is bounded by what it needs.
func TestLoginsForget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l logins
		for i := range 10 * firstSweep {
			l.note(strconv.Itoa(i), time.Second)
			require.True(t, l.tooSoon(strconv.Itoa(i), time.Second))
			if i%100 == 99 {
				time.Sleep(time.Second)
			}
		}
		require.LessOrEqual(t, len(l.last), firstSweep)
		for i := range 5 * firstSweep {
			l.note(strconv.Itoa(i), time.Second)
		}
		require.True(t, l.tooSoon("0", time.Second), "nothing that still matters is forgotten")
		l.note("x", 0)
		require.False(t, l.tooSoon("x", time.Second))
	})
}

func BenchmarkStuffer(b *testing.B) {
	message := bytes.Repeat([]byte(strings.Repeat("QUJD", 19)+"\r\n"), chunkSize/78)
	out := make([]byte, 0, 2*chunkSize)
	s := stuffer{lineStart: true}
	b.SetBytes(int64(len(message)))
	for b.Loop() {
		out = s.append(out[:0], message)
	}
}
