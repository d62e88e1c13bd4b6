package mimeindex_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/mimeindex"
)

// node is an element of the structure files of mime4j: message and body-part hold a header and one of body, multipart and message;
// multipart holds body-part.
type node struct {
	XMLName  xml.Name
	Children []node `xml:",any"`
	Text     string `xml:",chardata"`
}

func (n node) child(name string) (node, bool) {
	for _, c := range n.Children {
		if c.XMLName.Local == name {
			return c, true
		}
	}
	return node{}, false
}

// shape writes the structure that mime4j expects: the leaves' sizes in octets between brackets.
func (n node) shape(b *strings.Builder) {
	if m, ok := n.child("multipart"); ok {
		b.WriteString("multipart(")
		for _, c := range m.Children {
			if c.XMLName.Local == "body-part" {
				c.shape(b)
			}
		}
		b.WriteString(")")
		return
	}
	if m, ok := n.child("message"); ok {
		b.WriteString("message(")
		m.shape(b)
		b.WriteString(")")
		return
	}
	body, _ := n.child("body")
	fmt.Fprintf(b, "[%d]", len(strings.TrimPrefix(body.Text, "\n")))
}

// shapeOf writes ours in the same words, with the sizes that the parts have with LF line ends.
func shapeOf(p *mimeindex.Part, b *strings.Builder) {
	switch inner := p.Message(); {
	case inner != nil:
		b.WriteString("message(")
		shapeOf(inner, b)
		b.WriteString(")")
	case p.Is("multipart", ""):
		b.WriteString("multipart(")
		for _, child := range p.Children {
			shapeOf(child, b)
		}
		b.WriteString(")")
	default:
		fmt.Fprintf(b, "[%d]", p.BodySize()-p.BodyLines())
	}
}

// otherwise are the messages of which we say something else than mime4j, as Dovecot does.
var otherwise = map[string]string{
	// A line without colon stays in the header, which the first empty line ends (RFC 5322 §2.1); mime4j starts the body there.
	"malformedHeaderStartsBody-noheader":   "[0]",
	"malformedHeaderStartsBody-nocrlfcrlf": "[10]",
	// RFC 2046 §5.2.1 forbids base64 for message/rfc822, and IMAP's sections are the bytes as they stand; mime4j decodes.
	"base64encoded-rfc822message":        "message([0])",
	"base64encoded-rfc822message-nested": "message([0])",
	"bad-newlines-multiple-parts-base64": "message([0])",
	"multi-2gifs-base64":                 "message([0])",
}

func TestMime4jStructure(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(suite(t, "mime/mime4j"), "*.msg"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".msg")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			message, err := os.ReadFile(file)
			require.NoError(t, err)
			want, differs := otherwise[name]
			if !differs {
				want = mime4jShape(t, strings.TrimSuffix(file, ".msg")+".xml")
			}
			want = strings.ReplaceAll(want, "multipart()", "multipart([0])") // IMAP has no multipart without parts
			var got strings.Builder
			shapeOf(parse(t, toCRLF(message)), &got)
			require.Equal(t, want, got.String())
		})
	}
}

func mime4jShape(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	for i := range b { // some are no UTF-8; only sizes count
		b[i] = min(b[i], 0x7f)
	}
	var root node
	dec := xml.NewDecoder(bytes.NewReader(b))
	dec.Strict = false
	require.NoError(t, dec.Decode(&root))
	var want strings.Builder
	root.shape(&want)
	return want.String()
}
