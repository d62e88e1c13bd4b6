package wire

import (
	"strings"
)

// peek is the next octet of the line, 0 at its end.
func (d *Decoder) peek() byte {
	if d.err != nil || d.pos >= len(d.line) {
		return 0
	}
	return d.line[d.pos]
}

// Has says whether c comes next, without taking it.
func (d *Decoder) Has(c byte) bool { return d.peek() == c && c != 0 }

// HasLiteral says whether a literal comes next.
func (d *Decoder) HasLiteral() bool { return d.Has('{') }

// Accept takes c if it comes next.
func (d *Decoder) Accept(c byte) bool {
	if !d.Has(c) {
		return false
	}
	d.pos++
	return true
}

// Expect takes c, which must come next.
func (d *Decoder) Expect(c byte) bool {
	if d.err != nil {
		return false
	}
	if !d.Accept(c) {
		return d.Fail("expected %q", string(c))
	}
	return true
}

// SP takes exactly one space (RFC 3501 §9 note 2).
func (d *Decoder) SP() bool {
	if d.err != nil {
		return false
	}
	if !d.Accept(' ') {
		return d.Fail("expected a space")
	}
	return true
}

// End is the end of the command.
func (d *Decoder) End() bool {
	if d.err != nil {
		return false
	}
	if d.pos < len(d.line) {
		return d.Fail("unexpected text at the end of the command")
	}
	return true
}

// AtEnd says whether nothing is left of the command, without failing.
func (d *Decoder) AtEnd() bool { return d.err == nil && d.pos >= len(d.line) }

// run takes octets while is holds.
func (d *Decoder) run(is func(byte) bool) string {
	start := d.pos
	for d.pos < len(d.line) && is(d.line[d.pos]) {
		d.pos++
	}
	return string(d.line[start:d.pos])
}

// isAtomChar is ATOM-CHAR of RFC 3501 §9.
func isAtomChar(c byte) bool {
	if c <= ' ' || c >= 0x7f {
		return false
	}
	switch c {
	case '(', ')', '{', '%', '*', '"', '\\', ']':
		return false
	}
	return true
}

func isAStringChar(c byte) bool { return isAtomChar(c) || c == ']' }

func isTagChar(c byte) bool { return isAStringChar(c) && c != '+' }

func isListChar(c byte) bool { return isAStringChar(c) || c == '%' || c == '*' }

func (d *Decoder) word(s *string, is func(byte) bool, what string) bool {
	if d.err != nil {
		return false
	}
	w := d.run(is)
	if w == "" {
		return d.Fail("expected %s", what)
	}
	*s = w
	return true
}

// Tag is the tag of a command.
func (d *Decoder) Tag(s *string) bool { return d.word(s, isTagChar, "a tag") }

// Atom is an atom as written.
func (d *Decoder) Atom(s *string) bool { return d.word(s, isAtomChar, "an atom") }

// Keyword is an atom in upper case: a command, a search key, an option.
func (d *Decoder) Keyword(s *string) bool {
	if !d.Atom(s) {
		return false
	}
	*s = strings.ToUpper(*s)
	return true
}

// Name is a keyword made of letters, digits, "." and "-" only, such as a FETCH item in front of "[".
func (d *Decoder) Name(s *string) bool {
	if !d.word(s, isNameChar, "a name") {
		return false
	}
	*s = strings.ToUpper(*s)
	return true
}

func isNameChar(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-'
}

// String is a quoted string or a literal.
func (d *Decoder) String(s *string) bool {
	switch {
	case d.err != nil:
		return false
	case d.Has('"'):
		return d.quoted(s)
	case d.HasLiteral():
		return d.literalString(s)
	}
	return d.Fail("expected a string")
}

// AString is an atom or a string.
func (d *Decoder) AString(s *string) bool {
	if d.Has('"') || d.HasLiteral() {
		return d.String(s)
	}
	return d.word(s, isAStringChar, "an atom or a string")
}

// NString is a string or NIL, which gives ok = false.
func (d *Decoder) NString(s *string, ok *bool) bool {
	if *ok = d.Has('"') || d.HasLiteral(); *ok {
		return d.String(s)
	}
	var atom string
	if !d.Keyword(&atom) {
		return false
	}
	if atom != "NIL" {
		return d.Fail("expected a string or NIL")
	}
	*s = ""
	return true
}

// Nil is NIL and nothing else.
func (d *Decoder) Nil() bool {
	var atom string
	if !d.Keyword(&atom) {
		return false
	}
	if atom != "NIL" {
		return d.Fail("expected NIL")
	}
	return true
}

// quoted reads a quoted string. Octets above 0x7f are taken, though RFC 3501 §9 has no place for them: passwords
// and search strings come like that from many clients.
func (d *Decoder) quoted(s *string) bool {
	d.pos++ // the quote
	start := d.pos
	for ; d.pos < len(d.line); d.pos++ {
		switch c := d.line[d.pos]; {
		case c == '"':
			*s = string(d.line[start:d.pos])
			d.pos++
			return true
		case c == '\\':
			return d.quotedEscaped(s, start)
		case c == 0 || c == '\r':
			return d.Fail("control character in a quoted string")
		}
	}
	return d.Fail("quoted string without end")
}

// quotedEscaped goes on where the first backslash stands.
func (d *Decoder) quotedEscaped(s *string, start int) bool {
	b := append([]byte(nil), d.line[start:d.pos]...)
	for ; d.pos < len(d.line); d.pos++ {
		c := d.line[d.pos]
		switch c {
		case '"':
			*s = string(b)
			d.pos++
			return true
		case '\\':
			if d.pos++; d.pos == len(d.line) {
				return d.Fail("quoted string without end")
			}
			if c = d.line[d.pos]; c != '"' && c != '\\' {
				return d.Fail("invalid escape in a quoted string")
			}
		case 0, '\r':
			return d.Fail("control character in a quoted string")
		}
		b = append(b, c)
	}
	return d.Fail("quoted string without end")
}

// maxNumberDigits is enough for 2^63-1.
const maxNumberDigits = 18

// Number64 is a number of up to 63 bits (RFC 9051 §9: number64).
func (d *Decoder) Number64(n *int64) bool {
	if d.err != nil {
		return false
	}
	digits := d.run(func(c byte) bool { return c >= '0' && c <= '9' })
	if digits == "" || len(digits) > maxNumberDigits {
		return d.Fail("expected a number")
	}
	*n = 0
	for _, c := range []byte(digits) {
		*n = *n*10 + int64(c-'0')
	}
	return true
}

// Number is a number of 32 bits.
func (d *Decoder) Number(n *uint32) bool {
	var wide int64
	if !d.Number64(&wide) {
		return false
	}
	if wide > 1<<32-1 {
		return d.Fail("number is too large")
	}
	*n = uint32(wide)
	return true
}

// List is "(" [item *(SP item)] ")"; item reads one and returns false when it failed.
func (d *Decoder) List(item func() bool) bool {
	if !d.Expect('(') {
		return false
	}
	if d.Accept(')') {
		return true
	}
	for {
		if !item() {
			return false
		}
		if d.Accept(')') {
			return true
		}
		if !d.SP() {
			return false
		}
	}
}

// Flag is a flag or keyword as written; \Recent and \* are none (RFC 3501 §9).
func (d *Decoder) Flag(s *string) bool {
	system := d.Accept('\\')
	if !d.Atom(s) {
		return false
	}
	if system {
		*s = `\` + *s
		if strings.EqualFold(*s, `\Recent`) {
			return d.Fail(`\Recent cannot be set`)
		}
	}
	return true
}

// Mailbox is a mailbox name, decoded to UTF-8 as DecodeMailbox does. A name that is no modified UTF-7 fails with
// ErrMailboxName.
func (d *Decoder) Mailbox(name *string) bool {
	var s string
	if !d.AString(&s) {
		return false
	}
	decoded, err := DecodeMailbox(s)
	if err != nil {
		return d.failWith(err)
	}
	*name = decoded
	return true
}

// ListMailbox is a pattern of LIST, as written.
func (d *Decoder) ListMailbox(pattern *string) bool {
	if d.Has('"') || d.HasLiteral() {
		return d.String(pattern)
	}
	return d.word(pattern, isListChar, "a mailbox pattern")
}
