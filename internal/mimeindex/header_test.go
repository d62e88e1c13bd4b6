package mimeindex_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/mimeindex"
)

func TestHeader(t *testing.T) {
	t.Parallel()
	h := mimeindex.Header(crlf("From x\nSubject:  a\n  b\nno colon\n more\n : x\nsubject : c\nX: \n\ty  \n\nTo: body"))
	var names []string
	var raw []byte
	for f := range h.Fields() {
		names = append(names, f.Name)
		raw = append(raw, f.Raw...)
	}
	require.Equal(t, []string{"", "Subject", "", "subject", "X"}, names)
	require.Equal(t, string(h[:len(h)-len("\r\nTo: body")]), string(raw), "no byte is lost")

	value, ok := h.Get("SUBJECT")
	require.True(t, ok)
	require.Equal(t, "a  b", value)
	value, _ = h.Get("x")
	require.Equal(t, "y  ", value)
	_, ok = h.Get("To")
	require.False(t, ok)
	_, ok = h.Get("")
	require.False(t, ok)
	require.Equal(t, []string{"a  b", "c"}, slices.Collect(h.Values("Subject")))
	for range h.Values("subject") {
		break
	}

	require.Equal(t, "Subject:  a\r\n  b\r\nsubject : c\r\n\r\n", string(h.Subset(mimeindex.NewNames("sUbject", "y"), false)))
	require.Equal(t, "From x\r\nno colon\r\n more\r\n : x\r\nX: \r\n\ty  \r\n\r\n", string(h.Subset(mimeindex.NewNames("Subject"), true)))
	require.Equal(t, "\r\n", string(h.Subset(mimeindex.NewNames("To", ""), false)))
	require.Equal(t, "A: b\r\n\r\n", string(mimeindex.Header("A: b").Subset(mimeindex.NewNames("a"), false)), "a header without end")
	require.Equal(t, "\r\n", string(mimeindex.Header("").Subset(mimeindex.NewNames(), true)))
}
