package mimeindex_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks/internal/mimeindex"
)

// decode reads a transfer encoding, whole and octet by octet.
func decode(t rapid.TB, encoding, text string) string {
	t.Helper()
	var got [2]string
	for i, r := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text))} {
		decoded, ok := mimeindex.NewTransferReader(r, encoding)
		require.True(t, ok)
		b, err := io.ReadAll(decoded)
		require.NoError(t, err)
		got[i] = string(b)
	}
	require.Equal(t, got[0], got[1])
	return got[0]
}

func TestTransferEncodings(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ encoding, text, want string }{
		{"7bit", "a=3D", "a=3D"},
		{"", "a", "a"},
		{"BASE64", "YWJj", "abc"},
		{"base64", "YW\r\nJj\r\n", "abc"},
		{"base64", "YQ==YmM=ZA==", "abcd"},
		{"base64", "YQ", "a"},
		{"base64", "YWI", "ab"},
		{"base64", "Y", ""},
		{"base64", "!Y-W\xffJ_j*", "abc"},
		{"base64", "====", ""},
		{"quoted-printable", "a=3Db=\r\nc=e4=E4", "a=bc\xe4\xe4"},
		{"quoted-printable", "a  \t\r\nb \n c ", "a\r\nb\n c"},
		{"quoted-printable", "a= \t\r\nb=\nc=", "abc"},
		{"quoted-printable", "a=XYb=4\r\n=", "a=XYb=4\r\n"},
		{"quoted-printable", "==3D= =\r\n=4", "==" + "= " + "=4"},
		{"quoted-printable", "a=\r\r\nb", "ab"},
		{"quoted-printable", "a b\tc", "a b\tc"},
	} {
		require.Equal(t, test.want, decode(t, test.encoding, test.text), "%q", test.text)
	}
	r, ok := mimeindex.NewTransferReader(strings.NewReader("x"), "x-uuencode")
	require.False(t, ok)
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "x", string(b))
	r, _ = mimeindex.NewTransferReader(iotest.ErrReader(io.ErrUnexpectedEOF), "base64")
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// TestTransferEncodingsAgree: what the standard library encodes, we decode.
func TestTransferEncodingsAgree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOf(rapid.SampledFrom([]byte("a= \t\r\n\x00\xff.z"))).Draw(t, "data")
		var qp bytes.Buffer
		w := quotedprintable.NewWriter(&qp)
		w.Binary = true
		_, _ = w.Write(data)
		require.NoError(t, w.Close())
		require.Equal(t, string(data), decode(t, "quoted-printable", qp.String()))
		require.Equal(t, string(data), decode(t, "base64", base64.StdEncoding.EncodeToString(data)))
	})
}

// TestLongBlanks: blanks at the end of a line are held back only up to a limit, and none is lost.
func TestLongBlanks(t *testing.T) {
	t.Parallel()
	blanks := strings.Repeat(" ", 5000)
	require.Equal(t, "a"+blanks+"b", decode(t, "quoted-printable", "a"+blanks+"b"))
	require.Equal(t, "a="+blanks+"b", decode(t, "quoted-printable", "a="+blanks+"b"))
}
