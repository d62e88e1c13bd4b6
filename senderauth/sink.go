package senderauth

import (
	"bytes"
	"io"
	"sync"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/arc"
)

// bufferSize is the size of the pieces in which a message is read, in octets.
const bufferSize = 32 << 10

// sink is where a message goes: one pass over it serves both verifiers.
type sink struct {
	dkim    *dkim.Verifier
	arc     *arc.Verifier // nil: not wanted
	buffers *sync.Pool
}

// Write never fails, as the verifiers do not.
func (s sink) Write(p []byte) (int, error) {
	if s.arc != nil {
		if n, err := s.arc.Write(p); err != nil {
			return n, err
		}
	}
	return s.dkim.Write(p)
}

// ReadFrom reads r through a buffer that is used again.
func (s sink) ReadFrom(r io.Reader) (total int64, err error) {
	buf, ok := s.buffers.Get().(*[bufferSize]byte)
	if !ok {
		buf = new([bufferSize]byte)
	}
	defer s.buffers.Put(buf)
	for {
		n, err := r.Read(buf[:])
		total += int64(n)
		if _, failed := s.Write(buf[:n]); failed != nil {
			return total, failed
		}
		switch err {
		case nil:
		case io.EOF:
			return total, nil
		default:
			return total, err
		}
	}
}

// mayHaveChain says whether a header may have ARC fields, without a close look. One that cannot be told apart from the
// body may have anything.
func mayHaveChain(header []byte) bool {
	if len(header) == 0 {
		return true
	}
	for line := range bytes.Lines(header) {
		if len(line) > 3 && line[0]|0x20 == 'a' && line[1]|0x20 == 'r' && line[2]|0x20 == 'c' {
			return true
		}
	}
	return false
}
