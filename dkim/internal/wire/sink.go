package wire

import (
	"crypto/sha256"
	"hash"
	"slices"
)

const (
	// gatherSize is how many canonical octets are gathered before they are hashed.
	gatherSize = 4096
	// directSize is the length from which octets are hashed where they are.
	directSize = 512
)

// sink hashes canonical octets, whole and up to each of some lengths, in one go.
type sink struct {
	hash    hash.Hash
	whole   *BodyHash
	stops   []*BodyHash // with l=, shortest first, not reached yet
	reached []*BodyHash
	total   int64 // canonical octets that left gathered
	hashed  int64 // of these went into hash

	gathered []byte
}

func (s *sink) want(length int64) *BodyHash {
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

// emit takes the next canonical octets.
func (s *sink) emit(p []byte) {
	if len(s.gathered)+len(p) > gatherSize || len(p) >= directSize {
		s.flush(s.gathered)
		s.gathered = s.gathered[:0]
		if len(p) >= directSize {
			s.flush(p)
			return
		}
	}
	s.gathered = append(s.gathered, p...)
}

// emitLine is emit with a line end behind it.
func (s *sink) emitLine(p []byte) {
	if len(s.gathered)+len(p)+len(lineEnd) <= gatherSize {
		s.gathered = append(s.gathered, p...)
		s.gathered = append(s.gathered, '\r', '\n')
		return
	}
	s.emit(p)
	s.emit(lineEnd)
}

// flush hashes octets, taking the hash at each stop on the way.
func (s *sink) flush(p []byte) {
	for len(s.stops) > 0 && s.stops[0].length <= s.total+int64(len(p)) {
		stop := s.stops[0]
		n := stop.length - s.total
		s.update(p[:n])
		s.total += n
		p = p[n:]
		stop.Sum = s.hash.Sum(nil)
		s.stops, s.reached = s.stops[1:], append(s.reached, stop)
	}
	if s.whole != nil || len(s.stops) > 0 {
		s.update(p)
	}
	s.total += int64(len(p))
}

func (s *sink) update(p []byte) {
	s.hash.Write(p)
	s.hashed += int64(len(p))
}

// empty says whether nothing was emitted.
func (s *sink) empty() bool { return s.total == 0 && len(s.gathered) == 0 }

// finish fills in the hashes.
func (s *sink) finish() {
	s.flush(s.gathered)
	s.gathered = nil
	for _, h := range s.reached {
		h.Beyond = s.total - h.length
	}
	if s.whole != nil {
		s.whole.Sum = s.hash.Sum(nil)
	}
}

func newSink() sink { return sink{hash: sha256.New(), gathered: make([]byte, 0, gatherSize)} }
