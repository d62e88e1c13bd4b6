package wire

import (
	"strings"
	"unicode/utf8"
)

// Clean makes text of a message fit for logs and header fields: valid UTF-8 with spaces for control characters and for
// what Unicode takes for line ends.
func Clean(s string) string {
	if isPrintable(s) {
		return s
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "?")
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s)
}

// isPrintable says whether s is all of printable ASCII, as nearly everything is.
func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
