package wire

import (
	"encoding/base64"
	"strings"
)

// maxColumn is how long the lines of a field get where words allow it (RFC 5322 §2.1.1 says 78).
const maxColumn = 76

// Folder writes a signature field in folded lines. The zero value is empty.
type Folder struct {
	text   strings.Builder
	column int
}

// Word adds what must stay together, behind a space or a fold.
func (f *Folder) Word(s string) { f.piece(s, f.text.Len() > 0) }

// List adds a tag with a list that may be folded between its items: name=a:b:c;
func (f *Folder) List(name string, items []string) {
	for i, item := range items {
		if i == 0 {
			item = name + "=" + item
		}
		if i < len(items)-1 {
			item += ":"
		} else {
			item += ";"
		}
		f.piece(item, i == 0)
	}
}

// Base64 adds octets in as many lines as they need.
func (f *Folder) Base64(p []byte) {
	s := base64.StdEncoding.EncodeToString(p)
	for s != "" {
		n := min(len(s), max(maxColumn-f.column, 0))
		if n == 0 {
			f.fold()
			continue
		}
		f.text.WriteString(s[:n])
		f.column += n
		s = s[n:]
	}
}

// String is the field as far as it is written, without a line end behind it.
func (f *Folder) String() string { return f.text.String() }

// piece adds what may stand behind a fold, and else behind a space if asked for.
func (f *Folder) piece(s string, space bool) {
	switch {
	case f.column+1+len(s) > maxColumn && f.text.Len() > 0:
		f.fold()
	case space:
		f.text.WriteByte(' ')
		f.column++
	}
	f.text.WriteString(s)
	f.column += len(s)
}

func (f *Folder) fold() {
	f.text.WriteString("\r\n\t")
	f.column = 8 // where a TAB leads
}
