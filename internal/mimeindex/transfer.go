package mimeindex

import (
	"io"
	"strings"
)

// decodeBuffer is how much a decoding reader reads at once; it keeps about twice as much.
const decodeBuffer = 8 << 10

// NewTransferReader decodes a body from its Content-Transfer-Encoding (RFC 2045 §6). Bodies in base64 and
// quoted-printable are decoded as far as they make sense and what does not is passed over, so that the only errors
// are r's. It is not ok if the encoding is unknown; the bytes are then given as they are.
func NewTransferReader(r io.Reader, encoding string) (decoded io.Reader, ok bool) {
	switch strings.ToLower(encoding) {
	case "base64":
		d := &base64Decoder{}
		return &decodingReader{r: r, decode: d.decode}, true
	case "quoted-printable":
		d := &qpDecoder{}
		return &decodingReader{r: r, decode: d.decode}, true
	case "", "7bit", "8bit", "binary":
		return r, true
	}
	return r, false
}

// CRLFReader repairs line ends: an LF without CR in front of it gets one.
func CRLFReader(r io.Reader) io.Reader {
	var last byte
	return &decodingReader{r: r, decode: func(dst, src []byte, _ bool) []byte {
		for _, c := range src {
			if c == '\n' && last != '\r' {
				dst = append(dst, '\r')
			}
			dst = append(dst, c)
			last = c
		}
		return dst
	}}
}

// decodingReader reads through a decode function, which appends what it makes of src, the last time with end set.
type decodingReader struct {
	r      io.Reader
	decode func(dst, src []byte, end bool) []byte

	in, out []byte
	pos     int
	err     error
}

func (d *decodingReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for d.pos == len(d.out) {
		if d.err != nil {
			return 0, d.err
		}
		if d.in == nil {
			d.in = make([]byte, decodeBuffer)
		}
		var n int
		n, d.err = d.r.Read(d.in)
		d.out, d.pos = d.decode(d.out[:0], d.in[:n], d.err == io.EOF), 0
	}
	n := copy(p, d.out[d.pos:])
	d.pos += n
	return n, nil
}

// base64Decoder decodes RFC 2045 §6.8. Octets outside the alphabet are passed over, also those that a broken line or a signature of
// a mailing list added; padding ends a group wherever it stands, so that joined encodings decode as well.
type base64Decoder struct {
	bits  uint32
	count int // sextets in bits
}

func (b *base64Decoder) decode(dst, src []byte, end bool) []byte {
	for _, c := range src {
		v := base64Value(c)
		if v > 63 {
			if c == '=' {
				dst = b.flush(dst)
			}
			continue
		}
		b.bits = b.bits<<6 | uint32(v)
		if b.count++; b.count == 4 {
			dst = append(dst, byte(b.bits>>16), byte(b.bits>>8), byte(b.bits))
			b.bits, b.count = 0, 0
		}
	}
	if end {
		dst = b.flush(dst)
	}
	return dst
}

// flush ends a group that is not full.
func (b *base64Decoder) flush(dst []byte) []byte {
	switch b.count {
	case 2:
		dst = append(dst, byte(b.bits>>4))
	case 3:
		dst = append(dst, byte(b.bits>>10), byte(b.bits>>2))
	}
	b.bits, b.count = 0, 0
	return dst
}

func base64Value(c byte) byte {
	switch {
	case c >= 'A' && c <= 'Z':
		return c - 'A'
	case c >= 'a' && c <= 'z':
		return c - 'a' + 26
	case c >= '0' && c <= '9':
		return c - '0' + 52
	case c == '+':
		return 62
	case c == '/':
		return 63
	}
	return 0xff
}

// qpDecoder decodes RFC 2045 §6.7. What is no valid escape stays as it is.
type qpDecoder struct {
	held []byte // an escape or blanks that may end the line, not decided yet
}

// maxHeldBlanks is how many blanks at the end of a line are removed (RFC 2045 §6.7 rule 3); a line has 76 octets.
const maxHeldBlanks = 1000

func (q *qpDecoder) decode(dst, src []byte, end bool) []byte {
	for _, c := range src {
		dst = q.octet(dst, c)
	}
	if end {
		if len(q.held) > 0 && q.held[0] == '=' && len(strings.TrimRight(string(q.held), " \t\r")) > 1 {
			dst = append(dst, q.held...)
		}
		q.held = q.held[:0]
	}
	return dst
}

func (q *qpDecoder) octet(dst []byte, c byte) []byte {
	if len(q.held) == 0 {
		if c != '=' && c != ' ' && c != '\t' {
			return append(dst, c)
		}
		q.held = append(q.held, c)
		return dst
	}
	switch {
	case q.held[0] != '=': // blanks
		switch {
		case c == '\r' || c == '\n':
			q.held = q.held[:0]
			return append(dst, c)
		case (c == ' ' || c == '\t') && len(q.held) < maxHeldBlanks:
			q.held = append(q.held, c)
			return dst
		}
	case c == '\n': // a soft line break
		if isBlank(q.held[1:]) {
			q.held = q.held[:0]
			return dst
		}
	case (c == ' ' || c == '\t' || c == '\r') && isBlank(q.held[1:]) && len(q.held) < maxHeldBlanks:
		q.held = append(q.held, c)
		return dst
	case hexValue(c) <= 15 && len(q.held) == 1:
		q.held = append(q.held, c)
		return dst
	case hexValue(c) <= 15 && len(q.held) == 2 && hexValue(q.held[1]) <= 15:
		dst = append(dst, hexValue(q.held[1])<<4|hexValue(c))
		q.held = q.held[:0]
		return dst
	}
	dst = append(dst, q.held...)
	q.held = q.held[:0]
	return q.octet(dst, c)
}

func isBlank(b []byte) bool {
	for _, c := range b {
		if c != ' ' && c != '\t' && c != '\r' {
			return false
		}
	}
	return true
}

func hexValue(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}
