package mimeindex

import (
	"bytes"
	"io"
)

// lineCutter cuts what comes in blocks into lines. A line that does not fit the buffer comes in pieces.
type lineCutter struct {
	inLine bool // the next piece goes on with the line of the one before
}

// feed hands the lines of a block to take, with their LF; first says that a piece starts a line. It gives how many octets it
// took: what is left is less than bufferSize, part of a line, and must come again in front of the next block. At the end
// nothing is left.
func (s *lineCutter) feed(block []byte, end bool, take func(piece []byte, first bool)) (n int) {
	give := func(length int, inLine bool) {
		first := !s.inLine
		s.inLine = inLine
		take(block[n:n+length], first)
		n += length
	}
	for n < len(block) {
		rest := block[n:min(len(block), n+bufferSize)]
		switch i := bytes.IndexByte(rest, '\n'); {
		case i >= 0:
			give(i+1, false)
		case len(rest) == bufferSize && rest[len(rest)-1] == '\r': // a CRLF is never cut in two
			give(len(rest)-1, true)
		case len(rest) == bufferSize || end:
			give(len(rest), true)
		default:
			return n
		}
	}
	return n
}

// blockReader reads a stream into a buffer, in which what is left of the last block stands before the next one. The buffer
// grows while the reader fills it.
type blockReader struct {
	r        io.Reader
	buf      []byte
	pos, end int
	err      error // what the reader said last, io.EOF included
}

// maxEmptyReads is how often a reader may return nothing before io.ErrNoProgress, as in bufio.
const maxEmptyReads = 100

// fill moves what is left to the front and reads behind it.
func (s *blockReader) fill() {
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

// readInto parses what r gives. The error is always r's.
func readInto(p *parser, r io.Reader) error {
	s := blockReader{r: r}
	for s.err == nil {
		s.fill()
		s.pos += p.feed(s.buf[s.pos:s.end], s.err != nil, p.line)
	}
	if s.err != io.EOF {
		return s.err
	}
	return nil
}

// blockWriter parses what is written to it, and holds the line that has not ended.
type blockWriter struct {
	p    *parser
	held []byte
}

func (w *blockWriter) write(b []byte) {
	for len(w.held) > 0 && len(b) > 0 {
		n := bytes.IndexByte(b, '\n') + 1
		if n == 0 {
			n = len(b)
		}
		n = min(n, bufferSize-len(w.held))
		w.held = append(w.held, b[:n]...)
		b = b[n:]
		taken := w.p.feed(w.held, false, w.p.line)
		w.held = w.held[:copy(w.held, w.held[taken:])]
	}
	w.held = append(w.held, b[w.p.feed(b, false, w.p.line):]...)
}

// end parses what is held.
func (w *blockWriter) end() {
	w.p.feed(w.held, true, w.p.line)
	w.held = nil
}
