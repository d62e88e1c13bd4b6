package dmarc

import (
	"strings"

	"github.com/mailbricks/mailbricks/internal/fieldtext"
)

// token is a lexical token of an address list (RFC 5322 §3.2).
type token struct {
	kind byte // one of <>@,:;. itself, 'a' atom, 'q' quoted string, 'l' domain literal
	text string
	gap  bool // white space or a comment stands in front of it
}

// tokenize cuts a field value into tokens. It takes everything; ok is false for what no reading of the grammar allows:
// control characters, and strings, comments and literals that do not end.
func tokenize(s string) (tokens []token, ok bool) {
	ok = true
	gap := false
	for i := 0; i < len(s); {
		t := token{kind: s[i], gap: gap}
		gap = false
		switch c := s[i]; c {
		case ' ', '\t', '\r', '\n':
			i, gap = i+1, true
			continue
		case '(':
			end, closed := skipComment(s, i)
			i, gap, ok = end, true, ok && closed
			continue
		case '"':
			text, end, closed := quoted(s, i+1, '"')
			t.kind, t.text, i, ok = 'q', text, end, ok && closed
		case '[':
			text, end, closed := quoted(s, i+1, ']')
			t.kind, t.text, i, ok = 'l', text, end, ok && closed
		case '<', '>', '@', ',', ':', ';', '.':
			t.text, i = s[i:i+1], i+1
		case ')', ']', '\\':
			i, ok = i+1, false
			continue
		default:
			n := i
			for n < len(s) && strings.IndexByte(" \t\r\n()<>[]:;@\\,.\"", s[n]) < 0 {
				ok = ok && s[n] > ' ' && s[n] != 0x7f
				n++
			}
			t.kind, t.text, i = 'a', s[i:n], n
		}
		tokens = append(tokens, t)
	}
	return tokens, ok
}

// skipComment gives the end of the comment at s[i], all of s where it has none.
func skipComment(s string, i int) (end int, closed bool) {
	if n := fieldtext.CommentEnd(s[i:]); n > 0 {
		return i + n, true
	}
	return len(s), false
}

// quoted reads up to an unquoted closing character and undoes quoted pairs.
func quoted(s string, i int, closing byte) (text string, end int, closed bool) {
	var b strings.Builder
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c == closing:
			return b.String(), i + 1, true
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case c != '\r' && c != '\n':
			b.WriteByte(c)
		}
	}
	return b.String(), len(s), false
}
