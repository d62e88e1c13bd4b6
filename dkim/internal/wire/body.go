package wire

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"slices"
)

// Whole is the body length of a signature without l=.
const Whole int64 = -1

// BodyHash is the SHA-256 of a canonical body or of its beginning, known once its Body is closed.
type BodyHash struct {
	// Sum is the hash; nil when the body is shorter than what was to be hashed.
	Sum []byte
	// Beyond is how many octets of the canonical body the hash does not cover.
	Beyond int64

	length int64
}

// Body hashes the body of a message that comes in pieces. However many hashes are asked for, it goes over the body at
// most twice, once for each canonicalization: a shorter length is a stop on the way. Its memory does not grow with the
// body.
type Body struct {
	simple, relaxed *stream
}

// Hash asks for the hash of the first length octets of the canonical body, or of the Whole of it. It must be called
// before the first Write.
func (b *Body) Hash(relaxed bool, length int64) *BodyHash {
	s := &b.simple
	if relaxed {
		s = &b.relaxed
	}
	if *s == nil {
		*s = &stream{relaxed: relaxed, hash: sha256.New(), out: make([]byte, 0, outSize)}
	}
	return (*s).want(length)
}

// Write takes the next piece of the body. It does not fail.
func (b *Body) Write(p []byte) {
	if b.simple != nil {
		b.simple.write(p)
	}
	if b.relaxed != nil {
		b.relaxed.write(p)
	}
}

// Close ends the body and fills in the hashes.
func (b *Body) Close() {
	if b.simple != nil {
		b.simple.close()
	}
	if b.relaxed != nil {
		b.relaxed.close()
	}
}

// outSize is how many canonical octets are gathered before they are hashed.
const outSize = 4096

// stream is one canonicalization of a body on its way into one hash.
type stream struct {
	relaxed bool
	hash    hash.Hash
	whole   *BodyHash
	stops   []*BodyHash // with l=, shortest first, not reached yet
	reached []*BodyHash
	total   int64 // canonical octets that left out

	out    []byte
	blank  int64 // line ends not written yet: those at the end of the body are ignored
	spaces bool  // white space not written yet: that at the end of a line is ignored
	cr     bool  // the last octet was a CR and may belong to a line end
}

func (s *stream) want(length int64) *BodyHash {
	if length == Whole {
		if s.whole == nil {
			s.whole = &BodyHash{length: Whole}
		}
		return s.whole
	}
	i, found := slices.BinarySearchFunc(s.stops, length, func(h *BodyHash, n int64) int {
		switch {
		case h.length < n:
			return -1
		case h.length > n:
			return 1
		}
		return 0
	})
	if !found {
		s.stops = slices.Insert(s.stops, i, &BodyHash{length: length})
	}
	return s.stops[i]
}

func (s *stream) write(p []byte) {
	if s.cr && len(p) > 0 {
		s.cr = false
		if p[0] != '\n' {
			s.text([]byte{'\r'})
		}
	}
	for len(p) > 0 {
		nl := bytes.IndexByte(p, '\n')
		if nl < 0 {
			if n := len(p) - 1; p[n] == '\r' {
				s.cr = true
				p = p[:n]
			}
			s.text(p)
			return
		}
		line := p[:nl]
		if nl > 0 && line[nl-1] == '\r' {
			line = line[:nl-1]
		}
		s.text(line)
		s.spaces = false
		s.blank++
		p = p[nl+1:]
	}
}

// text takes a piece of a line.
func (s *stream) text(p []byte) {
	if !s.relaxed {
		if len(p) > 0 {
			s.lineEnds()
			s.emit(p)
		}
		return
	}
	for len(p) > 0 {
		if isBlank(p[0]) {
			s.spaces = true
			p = p[1:]
			continue
		}
		n := reduced(p)
		s.lineEnds()
		if s.spaces {
			s.spaces = false
			s.emitString(" ")
		}
		s.emit(p[:n])
		p = p[n:]
	}
}

// reduced is the length of the beginning of p that relaxing does not change: single spaces between text.
func reduced(p []byte) int {
	n := 0
	for i, c := range p {
		switch {
		case c == '\t', c == ' ' && i > n:
			return n
		case c != ' ':
			n = i + 1
		}
	}
	return n
}

// lineEnds writes the line ends that turned out not to be at the end of the body.
func (s *stream) lineEnds() {
	for ; s.blank > 0; s.blank-- {
		s.emitString("\r\n")
	}
}

func (s *stream) emit(p []byte) {
	if len(s.out)+len(p) > cap(s.out) {
		s.empty()
		if len(p) > cap(s.out)/2 {
			s.flush(p)
			return
		}
	}
	s.out = append(s.out, p...)
}

// emitString is emit for what is short and must not become garbage for every line.
func (s *stream) emitString(p string) {
	if len(s.out)+len(p) > cap(s.out) {
		s.empty()
	}
	s.out = append(s.out, p...)
}

func (s *stream) empty() {
	s.flush(s.out)
	s.out = s.out[:0]
}

// flush hashes canonical octets, taking the hash at each stop on the way.
func (s *stream) flush(p []byte) {
	for len(s.stops) > 0 && s.stops[0].length <= s.total+int64(len(p)) {
		stop := s.stops[0]
		n := stop.length - s.total
		s.hash.Write(p[:n])
		s.total += n
		p = p[n:]
		stop.Sum = s.hash.Sum(nil)
		s.stops, s.reached = s.stops[1:], append(s.reached, stop)
	}
	if s.whole != nil || len(s.stops) > 0 {
		s.hash.Write(p)
	}
	s.total += int64(len(p))
}

func (s *stream) close() {
	if s.cr {
		s.cr = false
		s.text([]byte{'\r'})
	}
	if !s.relaxed || s.total > 0 || len(s.out) > 0 { // RFC 6376 §3.4.3: also an empty body; §3.4.4: not an empty one
		s.emitString("\r\n")
	}
	s.empty()
	s.flush(nil) // a stop at 0 in an empty body
	for _, h := range s.reached {
		h.Beyond = s.total - h.length
	}
	if s.whole != nil {
		s.whole.Sum = s.hash.Sum(nil)
	}
}
