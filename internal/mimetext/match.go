package mimetext

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Matcher looks for a substring in UTF-8 text that is written to it piece by piece, under the collation
// i;unicode-casemap (RFC 5051): without regard to case, and with composed and decomposed characters alike. Its memory is that of
// the needle and of one piece.
type Matcher struct {
	needle  []byte // folded
	window  []byte // folded text whose end may start a match
	partial []byte // start of a character whose rest is not there yet
	found   bool
}

// NewMatcher looks for needle. An empty one is in any text.
func NewMatcher(needle string) *Matcher {
	folded, _ := appendFold(nil, []byte(needle), true)
	return &Matcher{needle: folded, found: len(folded) == 0}
}

// Write takes the next piece of text. It never fails, and does nothing once the needle has been found.
func (m *Matcher) Write(p []byte) (int, error) {
	n := len(p)
	if m.found {
		return n, nil
	}
	if len(m.partial) > 0 {
		p = append(m.partial, p...)
	}
	folded, rest := appendFold(m.window, p, false)
	m.partial = append(m.partial[:0:0], rest...)
	m.search(folded)
	return n, nil
}

// Found says whether the needle was in what has been written.
func (m *Matcher) Found() bool {
	if !m.found && len(m.partial) > 0 {
		folded, _ := appendFold(m.window, m.partial, true)
		return bytes.Contains(folded, m.needle)
	}
	return m.found
}

// Reset forgets the text, so that the next piece starts another.
func (m *Matcher) Reset() {
	m.found, m.window, m.partial = len(m.needle) == 0, m.window[:0], nil
}

func (m *Matcher) search(folded []byte) {
	m.found = bytes.Contains(folded, m.needle)
	keep := min(len(folded), len(m.needle)-1)
	m.window = folded[:copy(folded, folded[len(folded)-keep:])]
}

// Contains says whether text has needle in it, as a [Matcher] sees it.
func Contains(text, needle string) bool {
	m := NewMatcher(needle)
	_, _ = m.Write([]byte(text)) // never fails
	return m.Found()
}

// Fold is the sort key of i;unicode-casemap (RFC 5051 §2): texts that are equal under it have the same key, and
// keys compare as the texts do.
func Fold(s string) string {
	folded, _ := appendFold(nil, []byte(s), true)
	return string(folded)
}

// appendFold appends text as i;unicode-casemap compares it. Unless end is set, the octets of a character that is not
// all there are returned as rest. Octets that are no UTF-8 stay as they are.
func appendFold(dst, src []byte, end bool) (folded, rest []byte) {
	for len(src) > 0 {
		if c := src[0]; c < utf8.RuneSelf {
			if c >= 'a' && c <= 'z' {
				c -= 'a' - 'A'
			}
			dst = append(dst, c)
			src = src[1:]
			continue
		}
		r, n := utf8.DecodeRune(src)
		if r == utf8.RuneError && n == 1 {
			if !end && !utf8.FullRune(src) {
				return dst, src
			}
			dst = append(dst, src[0])
			src = src[1:]
			continue
		}
		dst = appendFoldRune(dst, r)
		src = src[n:]
	}
	return dst, nil
}

// appendFoldRune maps to title case and decomposes (RFC 5051 §2 steps 1 and 2).
func appendFoldRune(dst []byte, r rune) []byte {
	r = unicode.ToTitle(r)
	if r >= 0xac00 && r <= 0xd7a3 { // Hangul syllables decompose by rule (Unicode §3.12)
		const vowels, trailers = 21, 28
		s := r - 0xac00
		dst = utf8.AppendRune(dst, 0x1100+s/(vowels*trailers))
		dst = utf8.AppendRune(dst, 0x1161+s%(vowels*trailers)/trailers)
		if t := s % trailers; t > 0 {
			dst = utf8.AppendRune(dst, 0x11a7+t)
		}
		return dst
	}
	var buf [utf8.UTFMax]byte
	b := buf[:utf8.EncodeRune(buf[:], r)]
	if d := norm.NFKD.Properties(b).Decomposition(); d != nil {
		return append(dst, d...)
	}
	return append(dst, b...)
}
