package mailbricks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// Defaults of a Spool.
const (
	// DefaultSpoolThreshold is the size in octets above which a body goes to a file.
	DefaultSpoolThreshold = 256 << 10
	// DefaultMaxHeader is the largest header block taken, in octets.
	DefaultMaxHeader = 1 << 20
)

// ErrHeaderTooLarge is the error of a message whose header block is longer than Spool.MaxHeader.
var ErrHeaderTooLarge = &Reply{Code: 552, Enhanced: "5.3.4", Text: "Message header is too large"}

// Spool is where the bodies of large messages wait, unsynced, until a store or queue has written them where they
// belong. The zero value works, with the system's folder for temporary files.
type Spool struct {
	// Dir is the folder for spool files; it should be on the file system of the stores. Empty: os.TempDir.
	Dir string
	// Threshold is the size in octets above which a message goes to a file; 0: DefaultSpoolThreshold.
	Threshold int64
	// MaxHeader is the largest header block taken, in octets; 0: DefaultMaxHeader.
	MaxHeader int
}

// Read makes a Message of all that r gives.
func (s *Spool) Read(r io.Reader) (*Message, error) {
	w := s.Writer()
	if _, err := io.Copy(w, r); err != nil {
		w.Abort()
		return nil, err
	}
	return w.Message()
}

// Open makes a Message of size octets that stay where they are and must not change; only the header is read now. close,
// unless nil, is called when the message and its clones are closed, or when Open fails.
func (s *Spool) Open(at io.ReaderAt, size int64, close func() error) (*Message, error) {
	header, err := s.readHeader(at, size)
	if err != nil {
		if close != nil {
			err = errors.Join(err, close())
		}
		return nil, err
	}
	rest := size - int64(len(header))
	return &Message{header: header, tail: newTail(io.NewSectionReader(at, int64(len(header)), rest), rest, close)}, nil
}

// firstRead is how many octets Open reads at first to find the end of the header; then twice as many, and so on.
const firstRead = 4 << 10

func (s *Spool) readHeader(at io.ReaderAt, size int64) ([]byte, error) {
	limit := int64(s.MaxHeader)
	if limit <= 0 {
		limit = DefaultMaxHeader
	}
	for n := int64(firstRead); ; n *= 2 {
		start := make([]byte, min(n, size))
		if read, err := at.ReadAt(start, 0); read < len(start) {
			return nil, fmt.Errorf("mailbricks: spool: %w", errors.Join(io.ErrUnexpectedEOF, err))
		}
		end := headerEnd(start)
		switch {
		case int64(end) > limit:
			return nil, ErrHeaderTooLarge
		case end < len(start) || n >= size:
			return bytes.Clone(start[:end]), nil
		}
	}
}

// Writer begins a message that is written piece by piece.
func (s *Spool) Writer() *SpoolWriter {
	w := &SpoolWriter{dir: s.Dir, threshold: s.Threshold, maxHeader: s.MaxHeader}
	if w.threshold <= 0 {
		w.threshold = DefaultSpoolThreshold
	}
	if w.maxHeader <= 0 {
		w.maxHeader = DefaultMaxHeader
	}
	return w
}

// SpoolWriter takes a message piece by piece. It holds at most Spool.Threshold octets and, above that, the header.
// One of Message and Abort must be called.
type SpoolWriter struct {
	dir       string
	threshold int64
	maxHeader int

	mem  []byte   // all so far, or the header once there is a file
	file *os.File // what is behind the header
	size int64    // octets in file
	err  error
}

// Write takes the next piece. An error stays: the message is lost.
func (w *SpoolWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if w.file == nil && int64(len(w.mem)+len(p)) <= w.threshold {
		w.mem = append(w.mem, p...)
		return len(p), nil
	}
	if w.err = w.toFile(p); w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// toFile writes p behind what was written, opening the file once the end of the header is known.
func (w *SpoolWriter) toFile(p []byte) error {
	if w.file == nil {
		w.mem = append(w.mem, p...)
		end := headerEnd(w.mem)
		if end > w.maxHeader {
			return ErrHeaderTooLarge
		}
		if end == len(w.mem) { // no blank line so far: still all header
			return nil
		}
		f, err := createSpoolFile(w.dir)
		if err != nil {
			return fmt.Errorf("mailbricks: spool: %w", err)
		}
		w.file = f
		p = w.mem[end:]
		w.mem = w.mem[:end:end]
	}
	n, err := w.file.Write(p)
	w.size += int64(n)
	if err != nil {
		return fmt.Errorf("mailbricks: spool: %w", err)
	}
	return nil
}

// Size is the number of octets written.
func (w *SpoolWriter) Size() int64 { return int64(len(w.mem)) + w.size }

// Message ends the message and gives it. It fails if a Write failed or the header is too large.
func (w *SpoolWriter) Message() (*Message, error) {
	if w.err == nil && w.file == nil && headerEnd(w.mem) > w.maxHeader {
		w.err = ErrHeaderTooLarge
	}
	if w.err != nil {
		w.Abort()
		return nil, w.err
	}
	if w.file == nil {
		return NewMessage(w.mem), nil
	}
	file := w.file
	w.file, w.err = nil, errors.New("mailbricks: spool: message was already taken")
	return &Message{
		header: bytes.Clone(w.mem),
		tail:   newTail(file, w.size, func() error { return removeSpoolFile(file) }),
	}, nil
}

// Abort gives up the message and its file.
func (w *SpoolWriter) Abort() {
	if w.file != nil {
		_ = removeSpoolFile(w.file) // nobody is left to tell; the file is a temporary one
		w.file = nil
	}
	if w.err == nil {
		w.err = errors.New("mailbricks: spool: message was given up")
	}
}
