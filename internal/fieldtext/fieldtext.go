// Package fieldtext puts text that came from outside into structured header fields, and finds its way in those.
package fieldtext

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean makes one line of at most most octets. UTF-8 stays (RFC 6532 §3); what is no printable character, and all white
// space but " ", becomes "?". So a value cannot end its field or hide in it.
func Clean(s string, most int) string {
	s = s[:min(len(s), most)]
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return strings.Map(printable, s)
		}
	}
	return s
}

func printable(r rune) rune {
	if r == utf8.RuneError || r != ' ' && (!unicode.IsGraphic(r) || unicode.Is(unicode.Z, r)) {
		return '?'
	}
	return r
}

// IsToken says whether s may stand as a value without quotes: token of RFC 2045 §5.1, with UTF-8 (RFC 6532).
func IsToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !IsTokenRune(r) })
}

// IsTokenRune says whether a token may have this rune.
func IsTokenRune(r rune) bool {
	switch r {
	case '(', ')', '<', '>', '@', ',', ';', ':', '\\', '"', '/', '[', ']', '?', '=', 0x7f:
		return false
	}
	return r > ' '
}

// Quote makes a quoted-string (RFC 5322 §3.2.4) of clean text.
func Quote(s string) string { return `"` + escape(s, `\"`) + `"` }

// Comment makes a comment (RFC 5322 §3.2.2) of clean text.
func Comment(s string) string { return "(" + escape(s, `\()`) + ")" }

// CommentEnd is the length of the comment that s begins with, which may have others in it (RFC 5322 §3.2.2); 0 when it does
// not end.
func CommentEnd(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// escape makes quoted pairs of the special characters (RFC 5322 §3.2.1).
func escape(s, special string) string {
	if !strings.ContainsAny(s, special) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte(special, s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
