package wire_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/imapd/internal/wire"
)

// encode gives what write writes.
func encode(t *testing.T, write func(e *wire.Encoder)) string {
	t.Helper()
	var out bytes.Buffer
	e := wire.NewEncoder(&out, new(wire.Buffers))
	write(e)
	require.NoError(t, e.Flush())
	return out.String()
}

func TestStringsAreQuotedOrLiteral(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"":            `""`,
		"plain":       `"plain"`,
		`a"b\c`:       `"a\"b\\c"`,
		"tab\t":       "\"tab\t\"",
		"line\r\nend": "{9}\r\nline\r\nend",
		"ä":           "{2}\r\nä",
		"nul\x00":     "{3}\r\nnul",
		"NIL":         `"NIL"`,
	} {
		require.Equal(t, want, encode(t, func(e *wire.Encoder) { e.String(s) }))
	}
	long := strings.Repeat("x", 100_000)
	require.Equal(t, "{100000}\r\n"+long, encode(t, func(e *wire.Encoder) { e.String(long) }))
}

func TestForms(t *testing.T) {
	t.Parallel()
	require.Equal(t, `INBOX "NIL" "" "a b" Entw&APw-rfe "50%" \Seen ? $x ?`, encode(t, func(e *wire.Encoder) {
		e.Mailbox("INBOX").SP().Mailbox("NIL").SP().Mailbox("").SP().Mailbox("a b").SP().Mailbox("Entwürfe").SP().Mailbox("50%")
		e.SP().Flag(`\Seen`).SP().Flag("a b").SP().Flag("$x").SP().Flag("")
	}))
	require.Equal(t, `" 1-Feb-1994 02:03:04 +0130" " 1-Jan-1970 00:00:00 +0000" -5 1:3,7 a??b?`, encode(t, func(e *wire.Encoder) {
		e.DateTime(time.Date(1994, 2, 1, 2, 3, 4, 0, time.FixedZone("", 90*60))).SP().DateTime(time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC))
		e.SP().Number(-5).SP().NumSet(wire.NumSet{{1, 3}, {7, 7}}).SP().Text("a\r\nb\xc3")
	}))
}

func TestWhatIsWrittenReadsBack(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "a", "NIL", "a b", `"`, `\`, "{3}", "ä\r\n", "(", "*", strings.Repeat("\"", 999)} {
		line := encode(t, func(e *wire.Encoder) { e.AString(s).CRLF() })
		l := wire.Limits{Line: 5000, Literal: 5000, Command: 10000}
		dec := wire.NewDecoder(bufio.NewReader(strings.NewReader(line)), l, func() error { return nil })
		require.NoError(t, dec.Next())
		var got string
		require.True(t, dec.AString(&got) && dec.End(), dec.Err())
		require.Equal(t, s, got)
	}
}

// A NUL is replaced wherever the buffer ends, and what is written beside it stays as it is.
func TestCopyReplacesNUL(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("\x00ab\x00\x00"), wire.BufferSize/2)
	out := encode(t, func(e *wire.Encoder) {
		e.Raw("<")
		require.NoError(t, e.Copy(bytes.NewReader(content), 1, int64(len(content)-1)))
		e.Raw(">")
	})
	require.Equal(t, "<"+strings.ReplaceAll(string(content[1:]), "\x00", "\x80")+">", out)
}

type shortContent struct{ n int }

func (c shortContent) ReadAt(p []byte, off int64) (int, error) {
	n := min(len(p), max(0, c.n-int(off)))
	for i := range n {
		p[i] = 'x'
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func TestCopyStreamsContent(t *testing.T) {
	t.Parallel()
	out := encode(t, func(e *wire.Encoder) {
		e.Raw("<")
		require.NoError(t, e.Copy(shortContent{300_000}, 10, 200_000))
		e.Raw(">")
	})
	require.Equal(t, "<"+strings.Repeat("x", 200_000)+">", out)
}

func TestContentThatEndsEarlyBreaksTheConnection(t *testing.T) {
	t.Parallel()
	e := wire.NewEncoder(io.Discard, new(wire.Buffers))
	require.ErrorIs(t, e.Copy(shortContent{100}, 0, 101), io.ErrUnexpectedEOF)
	require.Error(t, e.Flush())
}

type brokenWriter struct{}

var errBroken = errors.New("broken")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestErrorOfTheConnectionStays(t *testing.T) {
	t.Parallel()
	e := wire.NewEncoder(brokenWriter{}, new(wire.Buffers))
	e.Raw(strings.Repeat("x", wire.BufferSize+1))
	require.ErrorIs(t, e.Err(), errBroken)
	_, err := e.Write([]byte("more"))
	require.ErrorIs(t, err, errBroken)
	require.ErrorIs(t, e.Flush(), errBroken)
}

// FuzzDecoder looks for input after which the rest of a command is read as another one: a line that was inside a literal
// must never be the start of a command.
func FuzzDecoder(f *testing.F) {
	for _, s := range []string{
		"a LOGIN {3+}\r\njoe {6+}\r\nsecret\r\n", "a b \"q\\\"\" (c d) {2}\r\nxy\r\n", "a {99999+}\r\nb", "{3}\r\nabc\r\n",
		"a {1+}\r\n{ {1+}\r\n} x\r\n\r\n", "a " + strings.Repeat("(", 50) + "\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		dec := wire.NewDecoder(bufio.NewReaderSize(bytes.NewReader(input), 16), limits(), func() error { return nil })
		for range 1000 {
			if dec.Next() != nil {
				return
			}
			var s string
			var set wire.NumSet
			for dec.Err() == nil && !dec.AtEnd() {
				switch {
				case dec.Accept(' '), dec.Accept('('), dec.Accept(')'):
				case dec.HasNumSet():
					dec.NumSet(&set)
				default:
					dec.AString(&s)
				}
			}
			require.LessOrEqual(t, len(s), limits().Command)
			if dec.Broken() != nil || dec.Skip() != nil {
				return
			}
		}
	})
}
