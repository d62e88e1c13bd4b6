package wire

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestHeaderOfExample345(t *testing.T) {
	t.Parallel()
	h := Header("A: X\r\nB : Y\t\r\n\tZ  \r\n") // RFC 6376 §3.4.5
	var simple, relaxed []byte
	for f := range h.Fields() {
		simple = AppendHeader(simple, f.Raw, false)
		relaxed = AppendHeader(relaxed, f.Raw, true)
	}
	require.Equal(t, string(h), string(simple))
	require.Equal(t, "a:X\r\nb:Y Z\r\n", string(relaxed))
}

func TestRelaxedHeaderField(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"SUBJECT:\r\n":                 "subject:\r\n",
		"Subject:":                     "subject:\r\n",
		"Subject \t:  a  b\t\tc \r\n":  "subject:a b c\r\n",
		"Subject: a\r\n \r\n\tb\r\n":   "subject:a b\r\n",
		"Subject:\r\n\r\n":             "subject:\r\n",
		"Subject: a\n b\n":             "subject:a b\r\n",
		"Subject: a\rb\r\n":            "subject:a\rb\r\n",
		"Subject: a:b: c\r\n":          "subject:a:b: c\r\n",
		"S\xc3\x84: \xc3\x84\xa0\r\n":  "s\xc3\x84:\xc3\x84\xa0\r\n",
		"no field\r\n":                 "no field:\r\n",
		"Subject:a\r\n":                "subject:a\r\n",
		"Subject: \t\r\n  \t a \t\r\n": "subject:a\r\n",
	} {
		require.Equal(t, want, string(AppendHeader(nil, []byte(raw), true)), "%q", raw)
	}
}

func TestSimpleHeaderFieldOnlyMendsLineEnds(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"Subject : a \r\n\t b\r\n": "Subject : a \r\n\t b\r\n",
		"Subject: a\n b\n":         "Subject: a\r\n b\r\n",
		"Subject: cut":             "Subject: cut\r\n",
	} {
		require.Equal(t, want, string(AppendHeader(nil, []byte(raw), false)), "%q", raw)
	}
}

func TestSelectGoesFromTheBottom(t *testing.T) {
	t.Parallel()
	h := Header("X: 1\r\n x\r\nA: 1\r\nno field\r\nx : 2\r\nX-Y: n\r\n: none\r\nX: 3")
	pick := func(skip int, names ...string) []string {
		var got []string
		h.Select(names, skip, func(raw []byte) { got = append(got, string(raw)) })
		return got
	}
	require.Equal(t, []string{"X: 3", "A: 1\r\n", "x : 2\r\n", "X: 1\r\n x\r\n"},
		pick(-1, "x", "a", "x", "none", "x", "x", "a", "no field", ""))
	require.Equal(t, []string{"X: 3", "x : 2\r\n"}, pick(0, "x", "x", "x"))
	all := h.All("x")
	require.Len(t, all, 3)
	require.Equal(t, " 1\r\n x\r\n", string(all[0].Value()))
	require.Equal(t, map[string]int{"x": 3, "a": 1, "b": 0}, h.Counts([]string{"x", "a", "b"}))
}

func TestSplitterFindsTheBlankLineInAnyPieces(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		message := rapid.StringOf(rapid.SampledFrom([]rune("ab:\r\n "))).Draw(t, "message")
		wantHeader, wantBody, found := message, "", false
		for line := 0; line < len(message); {
			end := strings.IndexByte(message[line:], '\n')
			if end < 0 {
				break
			}
			if l := message[line : line+end]; l == "" || l == "\r" {
				wantHeader, wantBody, found = message[:line], message[line+end+1:], true
				break
			}
			line += end + 1
		}
		s := Splitter{Limit: 1 << 16}
		body := ""
		for rest := message; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			b, err := s.Feed([]byte(rest[:n]))
			require.NoError(t, err)
			body += string(b)
			rest = rest[n:]
		}
		require.Equal(t, wantHeader, string(s.Header()))
		require.Equal(t, wantBody, body)
		require.Equal(t, found, s.Done())
	})
}

func TestSplitterLimit(t *testing.T) {
	t.Parallel()
	s := Splitter{Limit: 8}
	body, err := s.Feed([]byte("A: 345\r\n\r\nbody"))
	require.NoError(t, err)
	require.Equal(t, "body", string(body))

	for _, message := range []string{"A: 3456\r\n\r\nbody", "A: 345678901"} {
		s = Splitter{Limit: 8}
		_, err = s.Feed([]byte(message))
		require.ErrorIs(t, err, ErrHeaderTooLarge)
	}
	require.True(t, s.Done())
	body, err = s.Feed([]byte("more"))
	require.NoError(t, err)
	require.Equal(t, "more", string(body))
}
