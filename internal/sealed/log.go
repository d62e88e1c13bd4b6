package sealed

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"

	"golang.org/x/crypto/chacha20poly1305"
)

// A frame is its length, the same with all bits turned round, a nonce and the sealed text with its tag.
const (
	frameHead = 4
	frameMore = frameHead + chacha20poly1305.NonceSizeX + tagSize // octets of a frame that are not plain text
	// MaxFrame is how many octets of plain text a frame holds at most.
	MaxFrame = 16 << 10
)

// LogState is where a log ends: all that is needed to append to it.
type LogState struct {
	frames int64
	size   int64 // of the plain text
	tag    [tagSize]byte
}

// Size is the length of the plain text in octets.
func (s LogState) Size() int64 { return s.size }

// End is the length that the file has with it, in octets: what is behind is a torn frame.
func (s LogState) End() int64 { return int64(HeaderSize) + s.size + s.frames*frameMore }

// LogKey seals frames of one log, and opens them.
type LogKey struct{ aead cipher.AEAD }

// NewLog begins a log of a kind: header is what the file begins with.
func NewLog(s *Sealer, kind string) (l *LogKey, header []byte, err error) {
	header, key, err := s.begin(logMagic, kind)
	if err != nil {
		return nil, nil, err
	}
	defer clear(key)
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, nil, fmt.Errorf("sealed: %w", err)
	}
	return &LogKey{aead}, header, nil
}

// OpenLog opens a log of a kind.
func OpenLog(r io.ReaderAt, keys *Keyring, kind string) (*LogKey, error) {
	aead, err := openHeader(r, logMagic, keys, kind)
	if err != nil {
		return nil, err
	}
	return &LogKey{aead}, nil
}

// Append gives the frames for p, which go to the end that s says, and the end after them.
func (l *LogKey) Append(s LogState, p []byte) ([]byte, LogState) {
	out := make([]byte, 0, len(p)+frameMore*(len(p)/MaxFrame+1))
	for len(p) > 0 {
		n := min(len(p), MaxFrame)
		out = binary.BigEndian.AppendUint16(out, uint16(n))
		out = binary.BigEndian.AppendUint16(out, ^uint16(n))
		var nonce [chacha20poly1305.NonceSizeX]byte
		_, _ = rand.Read(nonce[:]) // never fails
		out = append(out, nonce[:]...)
		out = l.aead.Seal(out, nonce[:], p[:n], s.bound(n))
		copy(s.tag[:], out[len(out)-tagSize:])
		s.frames++
		s.size += int64(n)
		p = p[n:]
	}
	return out, s
}

// bound is what a frame of n octets at this end is authenticated with.
func (s *LogState) bound(n int) []byte {
	out := make([]byte, 0, 8+8+tagSize)
	out = binary.BigEndian.AppendUint64(out, uint64(s.frames))
	out = binary.BigEndian.AppendUint64(out, uint64(n))
	return append(out, s.tag[:]...)
}

// LogReader reads a log. It remembers where each frame begins, 8 octets, and one frame. It is for one goroutine at a time.
type LogReader struct {
	r      io.ReaderAt
	l      *LogKey
	starts []int64 // in the plain text
	end    LogState
	// broken is the error of a log that goes on behind a damaged frame.
	broken error

	have  int // the frame that plain is of; -1: none
	plain []byte
	buf   []byte
}

// ScanLog finds the frames of a log that is fileSize octets long on disk, and gives its end. It reads their lengths and opens
// the last one, which is left out when it does not open: a power cut has torn it. l may be nil: then the last frame is
// believed.
func ScanLog(r io.ReaderAt, fileSize int64, l *LogKey) (*LogReader, error) {
	s := &LogReader{r: r, l: l, have: -1}
	return s, s.Extend(fileSize)
}

// Extend finds the frames that a log has got since, which is fileSize octets long on disk now. A log that has become shorter is
// read anew.
func (s *LogReader) Extend(fileSize int64) error {
	s.broken = nil
	if fileSize < s.end.End() {
		s.starts, s.end, s.have = nil, LogState{}, -1
	}
	in := &window{r: s.r, end: fileSize}
	at, size, more := s.end.End(), s.end.size, false
	for at < fileSize {
		head, err := in.at(at, frameHead)
		if err != nil {
			return err
		}
		n, ok := frameLength(head)
		if !ok {
			torn, err := in.torn(at, head)
			if err != nil {
				return err
			}
			if !torn {
				s.broken = fmt.Errorf("%w: frame %d of a log", ErrDamaged, len(s.starts)+1)
			}
			break
		}
		if at+int64(n)+frameMore > fileSize {
			break
		}
		s.starts = append(s.starts, size)
		at += int64(n) + frameMore
		size += int64(n)
		more = true
	}
	if !more {
		return nil
	}
	s.end = LogState{frames: int64(len(s.starts)), size: size}
	return s.settle()
}

// Broken is the error of a log that goes on behind a damaged frame, or nil.
func (s *LogReader) Broken() error { return s.broken }

// Cut says how to cut a log to size octets of plain text: it ends at before, and then come these octets.
func (s *LogReader) Cut(size int64) (before LogState, rest []byte, err error) {
	frame := sort.Search(len(s.starts), func(i int) bool { return s.starts[i] > size }) - 1
	if size >= s.end.size {
		return s.end, nil, nil
	}
	if frame < 0 {
		return LogState{}, nil, nil
	}
	before = LogState{frames: int64(frame), size: s.starts[frame]}
	rest = make([]byte, size-before.size)
	if n, err := s.ReadAt(rest, before.size); n < len(rest) {
		return before, nil, err
	}
	if frame == 0 {
		return before, rest, nil
	}
	if n, err := s.r.ReadAt(before.tag[:], before.End()-tagSize); n < tagSize {
		return before, nil, shortRead(err)
	}
	return before, rest, nil
}

func frameLength(head []byte) (n int, ok bool) {
	if len(head) < frameHead {
		return 0, false
	}
	length := binary.BigEndian.Uint16(head)
	return int(length), length == ^binary.BigEndian.Uint16(head[2:]) && length > 0 && length <= MaxFrame
}

// settle reads the tag of the last frame, and leaves that out if it does not open.
func (s *LogReader) settle() error {
	if s.l != nil && len(s.starts) > 0 && s.broken == nil {
		err := s.load(len(s.starts) - 1)
		if err != nil && !errors.Is(err, ErrDamaged) {
			return err
		}
		if err != nil {
			s.end.size = s.starts[len(s.starts)-1]
			s.starts = s.starts[:len(s.starts)-1]
			s.end.frames--
		}
	}
	if s.end.frames == 0 {
		return nil
	}
	if n, err := s.r.ReadAt(s.end.tag[:], s.end.End()-tagSize); n < tagSize {
		return shortRead(err)
	}
	return nil
}

// End is where the log ends.
func (s *LogReader) End() LogState { return s.end }

// ReadAt implements io.ReaderAt on the plain text. Its end is io.EOF, or ErrDamaged where the log goes on behind a frame that
// is damaged.
func (s *LogReader) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		at := off + int64(n)
		if at >= s.end.size {
			if s.broken != nil {
				return n, s.broken
			}
			return n, io.EOF
		}
		frame := sort.Search(len(s.starts), func(i int) bool { return s.starts[i] > at }) - 1
		if err := s.load(frame); err != nil {
			return n, err
		}
		n += copy(p[n:], s.plain[at-s.starts[frame]:])
	}
	return n, nil
}

// load opens a frame.
func (s *LogReader) load(frame int) error {
	if s.have == frame {
		return nil
	}
	s.have = -1
	next := s.end.size
	if frame+1 < len(s.starts) {
		next = s.starts[frame+1]
	}
	before := LogState{frames: int64(frame), size: s.starts[frame]}
	n, from := int(next-before.size), before.End()
	if frame > 0 {
		from -= tagSize // that of the frame before
	}
	length := int(before.End()-from) + n + frameMore
	if cap(s.buf) < length {
		s.buf = make([]byte, length)
	}
	buf := s.buf[:length]
	if got, err := s.r.ReadAt(buf, from); got < length {
		return shortRead(err)
	}
	if frame > 0 {
		copy(before.tag[:], buf)
		buf = buf[tagSize:]
	}
	if got, ok := frameLength(buf[:frameHead]); !ok || got != n {
		return fmt.Errorf("%w: frame %d of a log", ErrDamaged, frame+1)
	}
	nonce, text := buf[frameHead:frameHead+chacha20poly1305.NonceSizeX], buf[frameHead+chacha20poly1305.NonceSizeX:]
	plain, err := s.l.aead.Open(text[:0], nonce, text, before.bound(n))
	if err != nil {
		return fmt.Errorf("%w: frame %d of a log", ErrDamaged, frame+1)
	}
	s.plain, s.have = plain, frame
	return nil
}

// windowSize is how much of a log is read at once to find its frames.
const windowSize = 64 << 10

// window reads a file from front to back.
type window struct {
	r    io.ReaderAt
	end  int64
	from int64
	buf  []byte
}

// at gives n octets at a place, fewer at the end of the file.
func (w *window) at(off int64, n int) ([]byte, error) {
	n = int(min(int64(n), w.end-off))
	if off < w.from || off+int64(n) > w.from+int64(len(w.buf)) {
		if w.buf == nil {
			w.buf = make([]byte, windowSize)
		}
		w.buf = w.buf[:min(windowSize, w.end-off)]
		w.from = off
		if got, err := w.r.ReadAt(w.buf, off); got < len(w.buf) {
			return nil, shortRead(err)
		}
	}
	return w.buf[off-w.from:][:n], nil
}

// torn says whether what is no frame is the end that a power cut has left: not all of a head, or nothing but zeros.
func (w *window) torn(off int64, head []byte) (bool, error) {
	if len(head) < frameHead {
		return true, nil
	}
	zeros := make([]byte, windowSize)
	for off < w.end {
		part, err := w.at(off, int(min(windowSize, w.end-off)))
		if err != nil {
			return false, err
		}
		if !bytes.Equal(part, zeros[:len(part)]) {
			return false, nil
		}
		off += int64(len(part))
	}
	return true, nil
}
