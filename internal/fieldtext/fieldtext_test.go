package fieldtext_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks/internal/fieldtext"
)

func TestClean(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "a b": "a b", "Zoë": "Zoë", "a\r\nX: y": "a??X: y", "a\tb": "a?b", "\x00\x7f": "??", "\xff": "?", "\ufffd": "?",
		"a\u2028b\u00a0c\u202ed\u0085e": "a?b?c?d?e",
	} {
		require.Equal(t, want, fieldtext.Clean(in, 40), "%q", in)
	}
	for in, want := range map[string]string{"12345678": "12345678", "123456789": "12345678", "1234567ë": "1234567?"} {
		require.Equal(t, want, fieldtext.Clean(in, 8), "%q", in)
	}
}

func TestIsToken(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"a", "a.b-c_d!#$%&'*+^`{|}~", "bücher"} {
		require.True(t, fieldtext.IsToken(token), token)
	}
	require.False(t, fieldtext.IsToken(""))
	for _, r := range "()<>@,;:\\\"/[]?= \t\r\n\x00\x7f" {
		require.False(t, fieldtext.IsToken("a"+string(r)), "%q", r)
	}
}

func TestQuoteAndComment(t *testing.T) {
	t.Parallel()
	require.Equal(t, `""`, fieldtext.Quote(""))
	require.Equal(t, `"a \"b\" \\ (c)"`, fieldtext.Quote(`a "b" \ (c)`))
	require.Equal(t, `()`, fieldtext.Comment(""))
	require.Equal(t, `(a "b" \\ \(c\))`, fieldtext.Comment(`a "b" \ (c)`))
}

func TestCommentEnd(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int{"()": 2, "(a) b)": 3, "(a (b) c)x": 9, `(a \) b)`: 8, `(a \( b)`: 8, "(a": 0, "((a)": 0, `(a\)`: 0, `(\`: 0, "(": 0} {
		require.Equal(t, want, fieldtext.CommentEnd(s), s)
	}
}

// Whatever the text, what is around it stays around it.
func TestNothingGetsOut(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.RuneFrom([]rune("\\\"()a \r\n\x00ë\u2028"))), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	rapid.Check(t, func(t *rapid.T) { check(t, text.Draw(t, "text")) })
}

func check(t require.TestingT, text string) {
	const most = 40
	clean := fieldtext.Clean(text, most)
	require.True(t, utf8.ValidString(clean))
	require.False(t, strings.ContainsFunc(clean, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }), "%q", clean)
	require.LessOrEqual(t, utf8.RuneCountInString(clean), most)
	require.Equal(t, clean, fieldtext.Clean(clean, len(clean)), "clean text stays")
	require.Equal(t, clean, inside(t, fieldtext.Quote(clean), `""`))
	comment := fieldtext.Comment(clean)
	require.Equal(t, clean, inside(t, comment, `()`))
	require.Equal(t, len(comment), fieldtext.CommentEnd(comment+text))
}

// inside reads a quoted-string or a comment without others in it.
func inside(t require.TestingT, s, ends string) string {
	require.True(t, s[0] == ends[0] && s[len(s)-1] == ends[1], s)
	var b strings.Builder
	for i := 1; i < len(s)-1; i++ {
		require.NotContains(t, ends, s[i:i+1], "an end inside of %s", s)
		if s[i] == '\\' {
			i++
			require.Less(t, i, len(s)-1, "the last end of %s is escaped", s)
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func FuzzText(f *testing.F) {
	f.Add(`a "b" \ (c)` + "\r\n\xff")
	f.Fuzz(func(t *testing.T, text string) { check(t, text) })
}
