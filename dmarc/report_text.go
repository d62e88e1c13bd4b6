package dmarc

import (
	"bufio"
	"bytes"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// utf16Reader makes UTF-8 of UTF-16. Half of a surrogate pair becomes U+FFFD.
type utf16Reader struct {
	r         *bufio.Reader
	bigEndian bool
	pending   []byte // of buf, what has not been read yet
	buf       [utf8.UTFMax]byte
}

func (u *utf16Reader) unit() (rune, error) {
	first, err := u.r.ReadByte()
	if err != nil {
		return 0, err
	}
	second, err := u.r.ReadByte()
	if err != nil {
		return 0, unexpected(err)
	}
	if u.bigEndian {
		return rune(first)<<8 | rune(second), nil
	}
	return rune(second)<<8 | rune(first), nil
}

func (u *utf16Reader) Read(p []byte) (int, error) {
	n := 0
	for {
		k := copy(p[n:], u.pending)
		u.pending = u.pending[k:]
		if n += k; n == len(p) || n > 0 && u.r.Buffered() < 4 {
			return n, nil
		}
		c, err := u.unit()
		if err != nil {
			return n, err
		}
		if utf16.IsSurrogate(c) {
			low, err := u.r.Peek(2)
			if err == nil {
				second := rune(low[1])<<8 | rune(low[0])
				if u.bigEndian {
					second = rune(low[0])<<8 | rune(low[1])
				}
				if full := utf16.DecodeRune(c, second); full != utf8.RuneError {
					_, _ = u.r.Discard(2)
					c = full
				}
			}
		}
		u.pending = utf8.AppendRune(u.buf[:0], c)
	}
}

// encodingOf prepares a document for the scanner: it takes a byte order mark away and makes UTF-8 of UTF-16. The charset
// it gives is that of the XML declaration, for the texts. A declaration of UTF-16 in a document that is
// in bytes, as some programs write it, means nothing.
func encodingOf(r *bufio.Reader) (*bufio.Reader, string) {
	head, _ := r.Peek(sniffBytes)
	switch {
	case bytes.HasPrefix(head, []byte{0xef, 0xbb, 0xbf}):
		_, _ = r.Discard(3)
		return r, ""
	case bytes.HasPrefix(head, []byte{0xfe, 0xff}), bytes.HasPrefix(head, []byte{0xff, 0xfe}):
		_, _ = r.Discard(2)
		fallthrough
	case bytes.HasPrefix(head, []byte{0, '<'}), bytes.HasPrefix(head, []byte{'<', 0}):
		return bufio.NewReader(&utf16Reader{r: r, bigEndian: head[0] == 0xfe || head[0] == 0}), ""
	}
	charset := strings.ToLower(declaredEncoding(head))
	return r, charset
}

// c1 is what Windows-1252 has in place of the control characters from 0x80 to 0x9f.
const c1 = "\u20ac\ufffd\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\ufffd\u017d\ufffd" +
	"\ufffd\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\ufffd\u017e\u0178"

// decodeCharset makes UTF-8 of a text in ISO 8859-1 or Windows-1252, which are taken for one as everywhere on the web. The
// charset is in lower case. A text that already is UTF-8, and one in another charset, stay as they are: reports are in
// ASCII but for names, and the tables of all charsets would be a high price for those.
func decodeCharset(s, charset string) string {
	switch charset {
	case "iso-8859-1", "iso8859-1", "iso_8859-1", "latin1", "windows-1252", "cp1252":
	default:
		return s
	}
	if utf8.ValidString(s) {
		return s
	}
	table := []rune(c1)
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= 0x80 && c < 0xa0 {
			b.WriteRune(table[c-0x80])
		} else {
			b.WriteRune(rune(c))
		}
	}
	return b.String()
}

// declaredEncoding is the encoding that an XML declaration names (XML 1.0 §4.3.3).
func declaredEncoding(head []byte) string {
	head = bytes.TrimLeft(head, " \t\r\n")
	declaration, _, ok := bytes.Cut(head, []byte("?>"))
	if !ok || !bytes.HasPrefix(declaration, []byte("<?xml")) {
		return ""
	}
	_, after, _ := strings.Cut(string(declaration), "encoding")
	value, ok := strings.CutPrefix(strings.TrimSpace(after), "=")
	value = strings.TrimSpace(value)
	if !ok || value == "" {
		return ""
	}
	name, _, _ := strings.Cut(value[1:], value[:1])
	return name
}

// maxReference is how far behind a "&" its ";" is looked for.
const maxReference = 12

// unescape replaces references to characters and to the five entities that XML itself defines (XML 1.0 §4.6). All others
// stay as they are written.
func unescape(s string) string {
	if !strings.Contains(s, "&") {
		return s
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "&")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		name, _, ended := strings.Cut(after[:min(len(after), maxReference)], ";")
		if r := entity(name); ended && r >= 0 {
			b.WriteRune(r)
			s = after[len(name)+1:]
		} else {
			b.WriteByte('&')
			s = after
		}
	}
}

// entity is the character that a reference stands for; negative for none.
func entity(name string) rune {
	switch name {
	case "amp":
		return '&'
	case "lt":
		return '<'
	case "gt":
		return '>'
	case "quot":
		return '"'
	case "apos":
		return '\''
	}
	digits, ok := strings.CutPrefix(name, "#")
	if !ok {
		return -1
	}
	base := 10
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || n > utf8.MaxRune {
		return -1
	}
	return rune(n)
}
