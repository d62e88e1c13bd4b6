package smtpd

import (
	"bytes"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks/internal/serving"
)

// scanAll runs a scanner over input in pieces of the sizes given, as the engine does: what is not taken comes again.
func scanAll(d *dotScanner, input []byte, sizes []int) (rest []byte, done bool) {
	var waiting []byte
	for i := 0; len(input) > 0; i++ {
		n := len(input)
		if len(sizes) > 0 {
			n = min(n, max(1, sizes[i%len(sizes)]))
		}
		waiting = append(waiting, input[:n]...)
		input = input[n:]
		taken, done := d.scan(waiting)
		waiting = waiting[taken:]
		if done {
			return append(waiting, input...), true
		}
	}
	return waiting, false
}

// plainScan says the same as a dotScanner, octet by octet and slowly.
func plainScan(input string) (message, rest string, done bool, flaw error) {
	found := func(err error) {
		if flaw == nil {
			flaw = err
		}
	}
	for line := ""; ; {
		end := strings.Index(input, "\r\n")
		if end < 0 {
			return message, input, false, flaw
		}
		line, input = input[:end], input[end+2:]
		if line == "." {
			return message, input, true, flaw
		}
		line = strings.TrimPrefix(line, ".")
		if strings.ContainsAny(line, "\r\n\x00") {
			found(errBareLF)
		}
		message += line + "\r\n"
	}
}

func TestDotScannerIsThatOfTheStandard(t *testing.T) {
	t.Parallel()
	piece := rapid.SampledFrom([]string{".", "\r", "\n", "\r\n", "a", "\x00", "\r\n.\r\n", "..", "abc def", "\r\n."})
	rapid.Check(t, func(t *rapid.T) {
		input := strings.Join(rapid.SliceOfN(piece, 0, 30).Draw(t, "input"), "") + "\r\n.\r\nNOOP\r\n"
		sizes := rapid.SliceOfN(rapid.IntRange(1, 9), 1, 5).Draw(t, "sizes")
		message, rest, _, flaw := plainScan(input)

		var out bytes.Buffer
		d := dotScanner{out: &out, maxLine: -1}
		gotRest, done := scanAll(&d, []byte(input), sizes)

		require.True(t, done)
		require.Equal(t, rest, string(gotRest), "the message ends where the standard says")
		require.Equal(t, flaw != nil, d.flaw != nil, "%q: %v", input, d.flaw)
		require.EqualValues(t, len(message), d.size)
		if flaw == nil {
			require.Equal(t, message, out.String())
		}
	})
}

func FuzzDotScanner(f *testing.F) {
	for _, seed := range []string{".\r\n", "a\r\n.\r\n", "\r\n..\r\n.\r\n", "\r\r\n.\r\n", "a\n.\n\r\n.\r\n", "\x00\r\n.\r\n", "\r\n.\r"} {
		f.Add(seed, uint8(1))
		f.Add(seed, uint8(200))
	}
	f.Fuzz(func(t *testing.T, input string, size uint8) {
		message, rest, wantDone, flaw := plainScan(input)
		var out, mended bytes.Buffer
		d := dotScanner{out: &out, maxLine: -1}
		gotRest, done := scanAll(&d, []byte(input), []int{int(size)})
		require.Equal(t, wantDone, done)
		if !done {
			return
		}
		require.Equal(t, rest, string(gotRest))
		require.Equal(t, flaw != nil, d.flaw != nil)
		if flaw == nil {
			require.Equal(t, message, out.String())
		}
		r := dotScanner{out: &repairWriter{out: &mended}, maxLine: -1, repair: true}
		_, done = scanAll(&r, []byte(input), []int{int(size)})
		require.True(t, done)
		require.NoError(t, r.flaw)
		whole := strings.ReplaceAll(mended.String(), "\r\n", "")
		require.NotContains(t, whole, "\r")
		require.NotContains(t, whole, "\n")
		require.NotContains(t, whole, "\x00")
		if flaw == nil {
			require.Equal(t, message, mended.String(), "what is well formed is not touched")
		}
	})
}

func TestRepair(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a\nb\rc\r\n":        "a\r\nb\r\nc\r\n",
		"a\r\r\nb\r\n":       "a\r\nb\r\n",
		"a\r\r\rb\r\n":       "a\r\n\r\n\r\nb\r\n",
		"a\x00b\r\n":         "ab\r\n",
		"a\r\x00\nb\r\n":     "a\r\nb\r\n",
		"a\n.\nb\r\n":        "a\r\n.\r\nb\r\n",
		"a\r\n..\nb\r\n":     "a\r\n.\r\nb\r\n",
		"plain\r\n\r\nx\r\n": "plain\r\n\r\nx\r\n",
	} {
		for size := 1; size < 9; size++ {
			var out bytes.Buffer
			d := dotScanner{out: &repairWriter{out: &out}, maxLine: -1, repair: true}
			_, done := scanAll(&d, []byte(in+".\r\n"), []int{size})
			require.True(t, done, "%q", in)
			require.Equal(t, want, out.String(), "%q in pieces of %d", in, size)
		}
	}
}

func TestLineLengthIsCountedWithoutItsEndAndItsDot(t *testing.T) {
	t.Parallel()
	for size := 1; size < 15; size++ {
		for text, flaw := range map[string]error{
			strings.Repeat("x", 10) + "\r\n":                                    nil,
			strings.Repeat("x", 11) + "\r\n":                                    errLongLine,
			"." + strings.Repeat("x", 10) + "\r\n":                              nil,
			strings.Repeat("x", 10) + "\r\n" + strings.Repeat("y", 10) + "\r\n": nil,
		} {
			d := dotScanner{out: new(bytes.Buffer), maxLine: 10}
			_, done := scanAll(&d, []byte(text+".\r\n"), []int{size})
			require.True(t, done)
			require.Equal(t, flaw, d.flaw, "%q in pieces of %d", text, size)
		}
	}
}

// A CR at the edge of a buffer is no bare CR, whatever the length of the line.
func TestLinesOfEveryLengthAtABufferEdge(t *testing.T) {
	t.Parallel()
	for _, n := range []int{serving.LineBuffer, dataBuffer} {
		for length := n - 3; length <= n+3; length++ {
			var out bytes.Buffer
			d := dotScanner{out: &out, maxLine: -1}
			text := strings.Repeat("x", length) + "\r\n"
			_, done := scanAll(&d, []byte(text+".\r\n"), []int{n})
			require.True(t, done)
			require.NoError(t, d.flaw)
			require.Equal(t, text, out.String())
		}
	}
}

func TestFullDiskIsNamed(t *testing.T) {
	t.Parallel()
	c := &conn{set: new(Server).settings(new(Server), false)}
	err := c.flaw(fmt.Errorf("spool: %w", syscall.ENOSPC), nil)
	require.EqualError(t, err, "452 4.3.1 Insufficient system storage: spool: "+syscall.ENOSPC.Error())
}
