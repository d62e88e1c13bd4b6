package mimeindex_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/mimeindex"
)

// rfc3501 is a message with the structure of the example of RFC 3501 §6.4.5; each part's body is its number.
var rfc3501 = crlf(`Subject: top
Content-Type: multipart/mixed; boundary=top

--top
Content-Type: text/plain

1
--top
Content-Type: application/octet-stream

2
--top
Content-Type: message/rfc822

Subject: three
Content-Type: multipart/mixed; boundary=three

--three
Content-Type: text/plain

3.1
--three
Content-Type: application/octet-stream

3.2
--three--
--top
Content-Type: multipart/mixed; boundary=four

--four
Content-Type: image/gif

4.1
--four
Content-Type: message/rfc822
X: 4.2

Subject: four
Content-Type: multipart/mixed; boundary=inner

--inner
Content-Type: text/plain

4.2.1
--inner
Content-Type: multipart/alternative; boundary=alt

--alt
Content-Type: text/plain

4.2.2.1
--alt
Content-Type: text/richtext

4.2.2.2
--alt--
--inner--
--four--
--top--
`)

func section(t *testing.T, message []byte, path []int, spec mimeindex.Specifier) (string, bool) {
	t.Helper()
	off, n, ok := parse(t, message).Section(path, spec)
	if !ok {
		return "", false
	}
	return string(message[off : off+n]), true
}

func TestSectionsOfRFC3501(t *testing.T) {
	t.Parallel()
	for _, path := range [][]int{{1}, {2}, {3, 1}, {3, 2}, {4, 1}, {4, 2, 1}, {4, 2, 2, 1}, {4, 2, 2, 2}} {
		got, ok := section(t, rfc3501, path, mimeindex.Body)
		require.True(t, ok)
		require.Equal(t, strings.ReplaceAll(strings.Trim(fmt.Sprint(path), "[]"), " ", "."), got)
		_, ok = section(t, rfc3501, path, mimeindex.HeaderText)
		require.False(t, ok, "the header of no message")
		_, ok = section(t, rfc3501, path, mimeindex.Text)
		require.False(t, ok, "the text of no message")
		_, ok = section(t, rfc3501, append(path, 1), mimeindex.Body)
		require.False(t, ok, "a part of a leaf")
	}
	for _, test := range []struct {
		path        []int
		spec        mimeindex.Specifier
		first, last string
	}{
		{nil, mimeindex.Body, "Subject: top\r\n", "--top--\r\n"},
		{nil, mimeindex.HeaderText, "Subject: top\r\n", "boundary=top\r\n\r\n"},
		{nil, mimeindex.Text, "--top\r\n", "--top--\r\n"},
		{[]int{1}, mimeindex.MIME, "Content-Type: text/plain\r\n", "\r\n\r\n"},
		{[]int{3}, mimeindex.MIME, "Content-Type: message/rfc822\r\n", "\r\n\r\n"},
		{[]int{3}, mimeindex.Body, "Subject: three\r\n", "--three--\r\n"},
		{[]int{3}, mimeindex.HeaderText, "Subject: three\r\n", "boundary=three\r\n\r\n"},
		{[]int{3}, mimeindex.Text, "--three\r\n", "--three--\r\n"},
		{[]int{4}, mimeindex.MIME, "Content-Type: multipart/mixed", "boundary=four\r\n\r\n"},
		{[]int{4, 2}, mimeindex.HeaderText, "Subject: four\r\n", "boundary=inner\r\n\r\n"},
		{[]int{4, 2}, mimeindex.MIME, "Content-Type: message/rfc822\r\n", "X: 4.2\r\n\r\n"},
		{[]int{4, 2, 2}, mimeindex.MIME, "Content-Type: multipart/alternative", "boundary=alt\r\n\r\n"},
	} {
		got, ok := section(t, rfc3501, test.path, test.spec)
		require.True(t, ok, "%v", test)
		require.True(t, strings.HasPrefix(got, test.first), "%v: %q", test, got)
		require.True(t, strings.HasSuffix(got, test.last), "%v: %q", test, got)
	}
	for _, path := range [][]int{{0}, {5}, {-1}, {3, 3}, {4, 2, 3}, {1, 1}} {
		_, ok := section(t, rfc3501, path, mimeindex.Body)
		require.False(t, ok, "%v", path)
	}
	_, ok := section(t, rfc3501, nil, mimeindex.MIME)
	require.False(t, ok)
}

// TestPartOneOfOne: every message has a part 1 (RFC 3501 §6.4.5).
func TestPartOneOfOne(t *testing.T) {
	t.Parallel()
	message := crlf("Subject: x\n\nbody")
	got, ok := section(t, message, []int{1}, mimeindex.Body)
	require.True(t, ok)
	require.Equal(t, "body", got)
	got, ok = section(t, message, []int{1}, mimeindex.MIME)
	require.True(t, ok)
	require.Equal(t, "Subject: x\r\n\r\n", got)
	for _, path := range [][]int{{2}, {1, 1}} {
		_, ok = section(t, message, path, mimeindex.Body)
		require.False(t, ok)
	}

	message = crlf("Content-Type: message/rfc822\n\nContent-Type: message/rfc822\n\nSubject: y\n\nbody")
	for depth, want := range []string{"body", "Subject: y\r\n\r\nbody", "Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nbody"} {
		got, ok = section(t, message, []int{1, 1, 1}[depth:], mimeindex.Body)
		require.True(t, ok)
		require.Equal(t, want, got)
	}
	_, ok = section(t, message, []int{1, 1, 1, 1}, mimeindex.Body)
	require.False(t, ok)
	got, ok = section(t, message, []int{1, 1}, mimeindex.HeaderText)
	require.True(t, ok)
	require.Equal(t, "Subject: y\r\n\r\n", got)

	message = crlf("Content-Type: multipart/mixed\n\nbody")
	got, ok = section(t, message, []int{1}, mimeindex.Body)
	require.True(t, ok, "the part that the structure shows is there")
	require.Empty(t, got)
}

func TestWalk(t *testing.T) {
	t.Parallel()
	numbers := func(message []byte, stop int) []string {
		var paths []string
		parse(t, message).Walk(func(path []int, part *mimeindex.Part) bool {
			paths = append(paths, strings.Trim(fmt.Sprint(path), "[]")+" "+part.Subtype)
			return len(paths) != stop
		})
		return paths
	}
	require.Equal(t, []string{
		" mixed", "1 plain", "2 octet-stream", "3 rfc822", "3 mixed", "3 1 plain", "3 2 octet-stream",
		"4 mixed", "4 1 gif", "4 2 rfc822", "4 2 mixed", "4 2 1 plain", "4 2 2 alternative", "4 2 2 1 plain", "4 2 2 2 richtext",
	}, numbers(rfc3501, 0))
	require.Len(t, numbers(rfc3501, 6), 6)
	require.Equal(t, []string{"1 plain"}, numbers(crlf("\nx"), 0))
	require.Equal(t, []string{"1 rfc822", "1 1 plain"}, numbers(crlf("Content-Type: message/rfc822\n\n\nx"), 0))
}
