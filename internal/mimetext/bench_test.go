package mimetext_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/internal/mimeindex"
	"github.com/mailbricks/mailbricks/internal/mimetext"
)

func BenchmarkText(b *testing.B) {
	body := bytes.Repeat([]byte(strings.Repeat("QUJD", 19)+"\r\n"), 1<<20/78)
	part := &mimeindex.Part{Encoding: "base64", Params: []mimeindex.Param{{Name: "charset", Value: "utf-8"}}}
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		m := mimetext.NewMatcher("needle")
		if _, err := io.Copy(m, mimetext.NewReader(part, bytes.NewReader(body))); err != nil {
			b.Fatal(err)
		}
	}
}
