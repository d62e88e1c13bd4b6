package mimeindex

import (
	"bytes"
	"io"
)

// scanner cuts a stream into lines. A line that does not fit the buffer comes in pieces.
type scanner struct {
	r        io.Reader
	buf      []byte
	pos, end int
	err      error // what the reader said last, io.EOF included
	inLine   bool  // the next piece goes on with the line of the one before
}

// maxEmptyReads is how often a reader may return nothing before io.ErrNoProgress, as in bufio.
const maxEmptyReads = 100

// next returns a line with its LF, or a piece of one, or what stands behind the last LF; nil at the end. first says that the
// piece starts a line. The bytes are valid until the next call.
func (s *scanner) next() (piece []byte, first bool) {
	searched := 0
	for {
		if i := bytes.IndexByte(s.buf[s.pos+searched:s.end], '\n'); i >= 0 {
			return s.take(searched+i+1, false)
		}
		searched = s.end - s.pos
		if searched == bufferSize {
			n := searched
			if s.buf[s.end-1] == '\r' { // a CRLF is never cut in two
				n--
			}
			return s.take(n, true)
		}
		if s.err != nil {
			return s.take(searched, true)
		}
		s.fill()
	}
}

func (s *scanner) take(n int, inLine bool) ([]byte, bool) {
	if n == 0 {
		return nil, false
	}
	piece, first := s.buf[s.pos:s.pos+n], !s.inLine
	s.pos += n
	s.inLine = inLine
	return piece, first
}

// fill moves what is left to the front and reads behind it. The buffer grows while the reader fills it.
func (s *scanner) fill() {
	to := s.buf
	if s.end == len(s.buf) && s.end < bufferSize {
		to = make([]byte, min(max(2*s.end, firstBuffer), bufferSize))
	}
	s.end = copy(to, s.buf[s.pos:s.end])
	s.buf, s.pos = to, 0
	for range maxEmptyReads {
		n, err := s.r.Read(s.buf[s.end:])
		s.end += n
		if err != nil {
			s.err = err
			return
		}
		if n > 0 {
			return
		}
	}
	s.err = io.ErrNoProgress
}
