package wire

import (
	"bytes"
	"errors"
)

// ErrHeaderTooLarge says that a message's header is longer than the limit.
var ErrHeaderTooLarge = errors.New("header too large")

// Splitter finds the end of the header in a message that comes in pieces. It holds the header, never the body.
type Splitter struct {
	// Limit is how many octets the header may have. It must be set.
	Limit int

	buf  []byte
	line int // where in buf the line begins that is being read
	done bool
}

// Feed takes the next piece of the message and returns what of it belongs to the body. It fails with ErrHeaderTooLarge
// once and then takes everything for body.
func (s *Splitter) Feed(p []byte) (body []byte, err error) {
	for !s.done {
		nl := bytes.IndexByte(p, '\n')
		end := nl + 1
		if nl < 0 {
			end = len(p)
		}
		if len(s.buf)+end > s.Limit+len("\r\n") { // the blank line does not count
			return nil, s.tooLarge()
		}
		s.buf = append(s.buf, p[:end]...)
		p = p[end:]
		if nl < 0 {
			return nil, nil
		}
		if line := s.buf[s.line:]; len(line) == 1 || (len(line) == 2 && line[0] == '\r') {
			s.done, s.buf = true, s.buf[:s.line]
			break
		}
		if s.line = len(s.buf); s.line > s.Limit {
			return nil, s.tooLarge()
		}
	}
	return p, nil
}

func (s *Splitter) tooLarge() error {
	s.done, s.buf = true, nil
	return ErrHeaderTooLarge
}

// Done says whether the blank line behind the header was seen (or given up waiting for).
func (s *Splitter) Done() bool { return s.done }

// Header is the header block without the blank line; when Done is false, all that was fed.
func (s *Splitter) Header() Header { return s.buf }
