package mimeindex

import "strings"

// lexer reads structured header values (RFC 5322 §3.2, RFC 2045 §5.1). It never fails: each method takes what fits
// and says whether something did.
type lexer struct {
	s string
	i int
	// open is set once a quoted string has no end: then none behind it has one either, and looking again would take
	// quadratic time.
	open bool
}

func (l *lexer) done() bool { return l.i >= len(l.s) }

// peek is the next octet, 0 at the end.
func (l *lexer) peek() byte {
	if l.done() {
		return 0
	}
	return l.s[l.i]
}

// accept takes the octet c if it is next.
func (l *lexer) accept(c byte) bool {
	if l.done() || l.s[l.i] != c {
		return false
	}
	l.i++
	return true
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// skipCFWS passes white space and comments; the text of the last comment is returned, ok if there was one.
func (l *lexer) skipCFWS() (comment string, ok bool) {
	for !l.done() {
		switch {
		case isSpace(l.s[l.i]):
			l.i++
		case l.s[l.i] == '(':
			comment, ok = l.comment(), true
		default:
			return comment, ok
		}
	}
	return comment, ok
}

// comment takes a comment, whose end may be missing, and returns what is inside the parentheses. Nested comments stay
// as they are, quoted pairs lose their backslash.
func (l *lexer) comment() string {
	var b strings.Builder
	depth := 1
	for l.i++; !l.done(); l.i++ {
		c := l.s[l.i]
		switch c {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				l.i++
				return strings.TrimSpace(b.String())
			}
		case '\\':
			if l.i+1 < len(l.s) {
				l.i++
				c = l.s[l.i]
			}
		}
		b.WriteByte(c)
	}
	return strings.TrimSpace(b.String())
}

// quoted takes a quoted string. Without closing quote, it is not ok and nothing is taken.
func (l *lexer) quoted() (value string, ok bool) {
	if l.open {
		return "", false
	}
	for j := l.i + 1; j < len(l.s); j++ {
		switch l.s[j] {
		case '"':
			value = l.s[l.i+1 : j]
			l.i = j + 1
			return unquote(value), true
		case '\\':
			j++
		}
	}
	l.open = true
	return "", false
}

// unquote removes the backslashes of quoted pairs.
func unquote(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// token takes a token of RFC 2045 §5.1; octets above 127 count as letters.
func (l *lexer) token() string {
	start := l.i
	for !l.done() && isToken(l.s[l.i]) {
		l.i++
	}
	return l.s[start:l.i]
}

func isToken(c byte) bool {
	return c > ' ' && c != 0x7f && strings.IndexByte(`()<>@,;:\"/[]?=`, c) < 0
}

// until takes everything before the first octet that stop has.
func (l *lexer) until(stop string) string {
	start := l.i
	if n := strings.IndexAny(l.s[l.i:], stop); n >= 0 {
		l.i += n
	} else {
		l.i = len(l.s)
	}
	return l.s[start:l.i]
}
