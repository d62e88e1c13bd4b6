package wire

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

// BufferSize is the size of an Encoder's buffer, in octets: what one write to the network has at most.
const BufferSize = 32 << 10

// maxQuoted is the longest string that is quoted rather than sent as a literal, in octets: RFC 2683 §3.2.1.5 advises
// to keep lines short.
const maxQuoted = 1000

// Buffers are the buffers of many Encoders, most of which have nothing to send at any time.
type Buffers struct{ pool sync.Pool }

func (b *Buffers) get() []byte {
	if buf, ok := b.pool.Get().(*[]byte); ok {
		return (*buf)[:0]
	}
	return make([]byte, 0, BufferSize)
}

func (b *Buffers) put(buf []byte) { b.pool.Put(&buf) }

// Encoder writes responses. The first error of the connection stays and is given by Flush and Err; what is written after
// it is lost.
type Encoder struct {
	w       io.Writer
	buffers *Buffers
	buf     []byte // nil while there is nothing to send
	err     error
}

// NewEncoder writes to w.
func NewEncoder(w io.Writer, buffers *Buffers) *Encoder { return &Encoder{w: w, buffers: buffers} }

// Err is the error of the connection.
func (e *Encoder) Err() error { return e.err }

// Flush sends everything.
func (e *Encoder) Flush() error {
	e.send()
	if e.buf != nil {
		e.buffers.put(e.buf)
		e.buf = nil
	}
	return e.err
}

func (e *Encoder) send() {
	if len(e.buf) > 0 && e.err == nil {
		_, e.err = e.w.Write(e.buf)
	}
	e.buf = e.buf[:0]
}

// room makes room for n octets, at most BufferSize.
func (e *Encoder) room(n int) {
	if e.buf == nil {
		e.buf = e.buffers.get()
	}
	if len(e.buf)+n > cap(e.buf) {
		e.send()
	}
}

// Raw writes s as it is: the fixed words of a response.
func (e *Encoder) Raw(s string) *Encoder {
	for len(s) > 0 {
		e.room(1)
		n := min(len(s), cap(e.buf)-len(e.buf))
		e.buf = append(e.buf, s[:n]...)
		s = s[n:]
	}
	return e
}

// Write writes p as it is.
func (e *Encoder) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		e.room(1)
		k := min(len(p), cap(e.buf)-len(e.buf))
		e.buf = append(e.buf, p[:k]...)
		p = p[k:]
	}
	if e.err != nil {
		return 0, e.err
	}
	return n, nil
}

// SP writes a space.
func (e *Encoder) SP() *Encoder { return e.Raw(" ") }

// CRLF ends a line.
func (e *Encoder) CRLF() *Encoder { return e.Raw("\r\n") }

// Number writes a number.
func (e *Encoder) Number(n int64) *Encoder {
	e.room(20)
	e.buf = strconv.AppendInt(e.buf, n, 10)
	return e
}

// NumSet writes a sequence set.
func (e *Encoder) NumSet(s NumSet) *Encoder {
	for i, r := range s {
		if i > 0 {
			e.Raw(",")
		}
		e.room(2 * 11)
		e.buf = NumSet{r}.Append(e.buf)
	}
	return e
}

// String writes s as a quoted string, or as a literal where it has to be one. NUL, which neither can hold, is left out.
func (e *Encoder) String(s string) *Encoder {
	if isQuotable(s) {
		return e.quoted(s)
	}
	s = strings.ReplaceAll(s, "\x00", "")
	return e.LiteralHeader(int64(len(s))).Raw(s)
}

// LiteralHeader announces a literal of n octets, which the caller writes next.
func (e *Encoder) LiteralHeader(n int64) *Encoder { return e.Raw("{").Number(n).Raw("}\r\n") }

// AString writes s as an atom if it can be one, else as a string.
func (e *Encoder) AString(s string) *Encoder {
	if isPlain(s, isAStringChar) && !strings.EqualFold(s, "NIL") {
		return e.Raw(s)
	}
	return e.String(s)
}

// Mailbox writes a mailbox name (UTF-8) in modified UTF-7.
func (e *Encoder) Mailbox(name string) *Encoder { return e.AString(EncodeMailbox(name)) }

// Flag writes a flag. What is no flag is left out of the wire by writing it as "?"; no store should have it.
func (e *Encoder) Flag(f string) *Encoder {
	name := strings.TrimPrefix(f, `\`)
	if !isPlain(name, isAtomChar) {
		return e.Raw("?")
	}
	return e.Raw(f)
}

// DateTime writes t as a date-time, in its own time zone.
func (e *Encoder) DateTime(t time.Time) *Encoder {
	if y := t.Year(); y < 0 || y > 9999 { // RFC 3501 §9: 4DIGIT
		t = time.Unix(0, 0).UTC()
	}
	return e.Raw(`"`).Raw(t.Format(dateTimeLayout)).Raw(`"`)
}

// Text writes human-readable text; control characters and what is no ASCII become "?".
func (e *Encoder) Text(s string) *Encoder { return e.Raw(CleanText(s)) }

// CleanText is s fit for resp-text (RFC 3501 §9).
func CleanText(s string) string {
	clean := func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}
	return strings.Map(clean, s)
}

func isPlain(s string, is func(byte) bool) bool {
	for i := range len(s) {
		if !is(s[i]) {
			return false
		}
	}
	return s != ""
}

// isQuotable: TEXT-CHAR without the end of a line, and short.
func isQuotable(s string) bool {
	if len(s) > maxQuoted {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c == 0 || c == '\r' || c == '\n' || c >= 0x80 {
			return false
		}
	}
	return true
}

func (e *Encoder) quoted(s string) *Encoder {
	e.Raw(`"`)
	for {
		n := strings.IndexAny(s, `"\`)
		if n < 0 {
			return e.Raw(s).Raw(`"`)
		}
		e.Raw(s[:n]).Raw(`\`).Raw(s[n : n+1])
		s = s[n+1:]
	}
}

// Copy writes n octets of r at off, which are a literal's, read straight into the buffer. NUL, which no literal may have
// (RFC 3501 §9: CHAR8), becomes the octet 0x80, as in other servers, so that sizes stay. When r cannot give them, the octets that were
// promised cannot be sent and the connection is lost: the error stays.
func (e *Encoder) Copy(r io.ReaderAt, off, n int64) error {
	for n > 0 && e.err == nil {
		e.room(1)
		free := e.buf[len(e.buf):cap(e.buf)]
		if int64(len(free)) > n {
			free = free[:n]
		}
		got, err := r.ReadAt(free, off)
		withoutNUL(free[:got])
		e.buf = e.buf[:len(e.buf)+got]
		off, n = off+int64(got), n-int64(got)
		if got < len(free) {
			e.err = fmt.Errorf("wire: message content ended early: %w", noEOF(errOr(err)))
		}
	}
	return e.err
}

// withoutNUL replaces each NUL.
func withoutNUL(p []byte) {
	for i := bytes.IndexByte(p, 0); i >= 0; i = bytes.IndexByte(p, 0) {
		p[i] = 0x80
		p = p[i+1:]
	}
}

func errOr(err error) error {
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}
