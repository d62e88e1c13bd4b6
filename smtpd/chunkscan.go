package smtpd

import (
	"bytes"
	"io"

	"github.com/mailbricks/mailbricks/internal/serving"
)

// chunkScanner passes a message on that comes in chunks, as it is, and looks at its lines, which may go from one chunk to the
// next. What counts for a line is what counts for DATA, but that nothing is done with dots. Of a binary message only the
// header has lines (RFC 3030 §3).
type chunkScanner struct {
	out     io.Writer // takes the message; its errors are kept
	maxLine int       // longest line, negative: none
	repair  bool      // bare line ends and NULs are no flaw
	binary  bool

	body   bool  // the header of a binary message is over
	inLine bool  // the next octet is not the first of a line
	cr     bool  // the last octet was a CR, which is not in line yet
	line   int   // octets of the current line so far
	size   int64 // octets of the message so far
	flaw   error // first flaw
	err    error // first error of out
}

// scan takes the next octets. Once a flaw or an error is known nothing is passed on any more.
func (s *chunkScanner) scan(b []byte) {
	s.size += int64(len(b))
	s.lines(b)
	s.write(b)
}

// finish ends the message. A text whose last line has no end gets one, as lines end with CRLF (RFC 3030 §2): so the next
// server would do that gets it with DATA (RFC 5321 §4.1.1.4).
func (s *chunkScanner) finish() {
	if s.cr && !s.body {
		s.found(errBareCR)
	}
	if s.inLine && !s.binary {
		s.write([]byte("\r\n"))
	}
}

func (s *chunkScanner) write(b []byte) {
	if len(b) > 0 && s.flaw == nil && s.err == nil {
		_, s.err = s.out.Write(b)
	}
}

// lines looks at the next octets line by line.
func (s *chunkScanner) lines(b []byte) {
	for len(b) > 0 && !s.body && s.flaw == nil {
		nl := bytes.IndexByte(b, '\n')
		if nl < 0 {
			s.part(b)
			return
		}
		s.part(b[:nl])
		b = b[nl+1:]
		s.endLine()
	}
}

// part looks at some of a line.
func (s *chunkScanner) part(p []byte) {
	if len(p) == 0 {
		return
	}
	s.inLine = true
	if s.cr { // no LF came behind it
		s.found(errBareCR)
		s.line++
	}
	if s.cr = p[len(p)-1] == '\r'; s.cr {
		p = p[:len(p)-1]
	}
	s.line += len(p)
	switch {
	case serving.Over(s.line, s.maxLine):
		s.flaw = errLongLine
	case bytes.IndexByte(p, '\r') >= 0:
		s.found(errBareCR)
	case bytes.IndexByte(p, 0) >= 0:
		s.found(errNUL)
	}
}

// endLine takes an LF.
func (s *chunkScanner) endLine() {
	if !s.cr {
		s.found(errBareLF)
	}
	s.body = s.binary && s.line == 0
	s.inLine, s.cr, s.line = false, false, 0
}

// found notes a flaw that repair mends.
func (s *chunkScanner) found(flaw error) {
	if s.flaw == nil && !s.repair {
		s.flaw = flaw
	}
}
