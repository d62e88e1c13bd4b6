package dmarc

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// cleanText makes any bytes a text that XML, HTML, a terminal and a log can take: valid UTF-8 on one line, without white
// space at its ends, at most MaxReportText bytes long. White space of any kind becomes a blank; control characters, those
// that turn the direction of writing, and what XML 1.0 §2.2 does not allow become U+FFFD.
func cleanText(s string) string {
	if s = cut(s, MaxReportText); !isPlain(s) {
		s = cut(strings.Map(cleanRune, s), MaxReportText)
	}
	return strings.Trim(s, " ")
}

func cleanRune(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == 0xfffe, r == 0xffff:
		return utf8.RuneError
	}
	return r
}

// isPlain says whether s is printable ASCII, as nearly every text in a report is.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// cut shortens s to n bytes or a little less, so that no character is cut in two.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for i := n; i > n-utf8.UTFMax; i-- {
		if utf8.RuneStart(s[i]) {
			return s[:i]
		}
	}
	return s[:n]
}
