package wire

import (
	"bytes"
	"io"
)

// Literal announces octets behind the end of a line (RFC 3501 §4.3).
type Literal struct {
	Size int64
	// NonSync: the peer sends without waiting (RFC 7888).
	NonSync bool
}

// maxLiteralDigits is enough for 2^63-1.
const maxLiteralDigits = 18

// parseLiteral reads "{" number ["+"] "}" that ends the line.
func parseLiteral(b []byte) (lit Literal, ok bool) {
	if len(b) < 3 || b[0] != '{' || b[len(b)-1] != '}' {
		return lit, false
	}
	digits := b[1 : len(b)-1]
	if digits[len(digits)-1] == '+' {
		lit.NonSync = true
		digits = digits[:len(digits)-1]
	}
	if len(digits) == 0 || len(digits) > maxLiteralDigits {
		return lit, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return lit, false
		}
		lit.Size = lit.Size*10 + int64(c-'0')
	}
	return lit, true
}

// trailingLiteral is the literal that a line announces at its end, whatever else it says.
func trailingLiteral(line []byte) (Literal, bool) {
	start := bytes.LastIndexByte(line, '{')
	if start < 0 {
		return Literal{}, false
	}
	return parseLiteral(line[start:])
}

// AnnouncedLiteral reads the announcement of a literal, which ends the line, and leaves its octets to OpenLiteral. The
// literal counts as refused until then.
func (d *Decoder) AnnouncedLiteral(lit *Literal) bool {
	if d.err != nil {
		return false
	}
	l, ok := parseLiteral(d.line[d.pos:])
	if !ok {
		return d.Fail("expected a literal at the end of the line")
	}
	d.pos = len(d.line)
	d.pending, d.hasPending = l, true
	*lit = l
	return true
}

// OpenLiteral lets the peer send the announced literal and gives a reader of exactly its octets: their end before that
// is io.ErrUnexpectedEOF. All of it must be read before the decoder goes on, with EndLiteral.
func (d *Decoder) OpenLiteral() (io.Reader, error) {
	lit := d.pending
	d.hasPending = false
	if !lit.NonSync {
		if err := d.goAhead(); err != nil {
			return nil, d.fatal(err)
		}
	}
	return &literalReader{d: d, left: lit.Size}, nil
}

// EndLiteral reads what the caller left of the literal, and the line that follows it.
func (d *Decoder) EndLiteral(r io.Reader) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return d.fatal(err)
	}
	return d.nextLine()
}

type literalReader struct {
	d    *Decoder
	left int64
}

func (l *literalReader) Read(p []byte) (int, error) {
	if l.d.broken != nil {
		return 0, l.d.broken
	}
	if l.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > l.left {
		p = p[:l.left]
	}
	n, err := l.d.br.Read(p)
	l.left -= int64(n)
	if err != nil && l.left > 0 {
		return n, l.d.fatal(noEOF(err))
	}
	return n, nil
}

// literalString reads a literal into memory.
func (d *Decoder) literalString(s *string) bool {
	var lit Literal
	if !d.AnnouncedLiteral(&lit) {
		return false
	}
	if lit.Size > int64(d.limits.Literal) || int64(d.used)+lit.Size > int64(d.limits.Command) {
		return d.failWith(ErrLiteralTooBig)
	}
	r, err := d.OpenLiteral()
	if err != nil {
		return false
	}
	buf := make([]byte, lit.Size)
	if _, err := io.ReadFull(r, buf); err != nil {
		return d.failWith(noEOF(err))
	}
	d.used += len(buf)
	if d.nextLine() != nil {
		return false
	}
	if bytes.IndexByte(buf, 0) >= 0 {
		return d.Fail("NUL in a literal") // RFC 3501 §9: CHAR8
	}
	*s = string(buf)
	return true
}
