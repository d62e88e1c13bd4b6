package mailbricks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
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

	memory [3]sync.Pool // *[]byte by their class
	files  sync.Pool    // *os.File without a name; whichever is not used for a while is closed with the garbage
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

// Messages are in memory that is used again, of one of these sizes in octets or, above them, of the threshold; a threshold
// above maxMemory is for those who mean to have messages in memory of their own.
const (
	smallMemory  = 4 << 10
	middleMemory = 32 << 10
	maxMemory    = 4 << 20
)

// memoryFor gives memory for n octets, which must not be more than threshold; nil: append does.
func (s *Spool) memoryFor(n int, threshold int64) *[]byte {
	class, size := 0, int64(smallMemory)
	switch {
	case n > middleMemory:
		class, size = 2, threshold
	case n > smallMemory:
		class, size = 1, middleMemory
	}
	if size > maxMemory {
		return nil
	}
	if b, ok := s.memory[class].Get().(*[]byte); ok && cap(*b) >= n {
		return b
	}
	return new(make([]byte, 0, size))
}

// giveBack takes memory back that nobody uses any more; nil is none.
func (s *Spool) giveBack(b *[]byte) {
	switch {
	case b == nil:
	case cap(*b) == smallMemory:
		s.memory[0].Put(b)
	case cap(*b) == middleMemory:
		s.memory[1].Put(b)
	default:
		s.memory[2].Put(b)
	}
}

// maxKeptFile is the largest file in octets that is used again for another message: to write over what is there costs half of
// what new blocks cost.
const maxKeptFile = 2 << 20

// takeFile gives a file whose content does not matter.
func (s *Spool) takeFile() (*os.File, error) {
	if f, ok := s.files.Get().(*os.File); ok {
		return f, nil
	}
	return createSpoolFile(s.Dir)
}

// giveFile takes back a file in which n octets are in use.
func (s *Spool) giveFile(f *os.File, n int64) error {
	if !spoolFilesHaveNames && n <= maxKeptFile {
		s.files.Put(f)
		return nil
	}
	return removeSpoolFile(f)
}

// Writer begins a message that is written piece by piece.
func (s *Spool) Writer() *SpoolWriter {
	w := &SpoolWriter{spool: s, threshold: s.Threshold, maxHeader: s.MaxHeader}
	if w.threshold <= 0 {
		w.threshold = DefaultSpoolThreshold
	}
	if w.maxHeader <= 0 {
		w.maxHeader = DefaultMaxHeader
	}
	return w
}

// SpoolWriter takes a message piece by piece. Of the message it holds at most Spool.Threshold octets in memory and, above
// that, the header. The memory is taken in steps (4 KiB, 32 KiB, the threshold), so it may be larger than what it holds.
// One of Message, MessageWith and Abort must be called.
type SpoolWriter struct {
	spool     *Spool
	threshold int64
	maxHeader int

	mem      []byte   // all so far, or the header once there is a file
	memory   *[]byte  // where mem is, if it is the Spool's
	searched int      // octets of mem in which the header does not end
	file     *os.File // what is behind the header
	size     int64    // octets in file
	err      error
}

// Write takes the next piece. An error stays: the message is lost.
func (w *SpoolWriter) Write(p []byte) (int, error) {
	switch {
	case w.err != nil:
	case w.file != nil:
		w.err = w.toFile(p)
	case int64(len(w.mem)+len(p)) <= w.threshold:
		w.hold(p)
	default:
		w.err = w.overflow(p)
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// hold keeps p in memory.
func (w *SpoolWriter) hold(p []byte) {
	if need := len(w.mem) + len(p); need > cap(w.mem) {
		if memory := w.spool.memoryFor(need, w.threshold); memory != nil {
			w.mem = append((*memory)[:0], w.mem...)
			w.spool.giveBack(w.memory)
			w.memory = memory
		}
	}
	w.mem = append(w.mem, p...)
}

// leaveMemory gives the Spool its memory back; what is kept of mem is elsewhere.
func (w *SpoolWriter) leaveMemory() {
	w.spool.giveBack(w.memory)
	w.memory = nil
}

// overflow takes the piece that is too much for memory: it opens the file once the end of the header is known.
func (w *SpoolWriter) overflow(p []byte) error {
	end, known := w.headerEnd()
	if !known { // no blank line so far: still all header
		w.mem = append(w.mem, p...)
		p = nil
		end, known = w.headerEnd()
	}
	switch {
	case end > w.maxHeader:
		return ErrHeaderTooLarge
	case !known:
		return nil
	}
	f, err := w.spool.takeFile()
	if err != nil {
		return fmt.Errorf("mailbricks: spool: %w", err)
	}
	w.file = f
	body := w.mem[end:]
	w.mem = bytes.Clone(w.mem[:end])
	defer w.leaveMemory()
	if err := w.toFile(body); err != nil {
		return err
	}
	return w.toFile(p)
}

// headerEnd is headerEnd of mem, and whether what follows cannot change it.
func (w *SpoolWriter) headerEnd() (end int, known bool) {
	if !headless(w.mem) {
		end, w.searched = fieldsEnd(w.mem, w.searched)
	}
	return end, end < len(w.mem)
}

func (w *SpoolWriter) toFile(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	n, err := w.file.WriteAt(p, w.size)
	w.size += int64(n)
	if err != nil {
		return fmt.Errorf("mailbricks: spool: %w", err)
	}
	return nil
}

// Size is the number of octets written.
func (w *SpoolWriter) Size() int64 { return int64(len(w.mem)) + w.size }

// Message ends the message and gives it. It fails if a Write failed or the header is too large.
func (w *SpoolWriter) Message() (*Message, error) { return w.message("", "") }

// MessageWith is Message with a field in front, as [Message.Prepend] puts it there, but without a copy of the header.
func (w *SpoolWriter) MessageWith(name, value string) (*Message, error) {
	return w.message(name, value)
}

// message is Message, and with a name MessageWith.
func (w *SpoolWriter) message(name, value string) (*Message, error) {
	end := len(w.mem)
	if w.file == nil {
		end = headerEnd(w.mem)
	}
	if w.err == nil && end > w.maxHeader {
		w.err = ErrHeaderTooLarge
	}
	if w.err != nil {
		w.Abort()
		return nil, w.err
	}
	msg := w.take(end)
	header := w.mem[:end]
	w.mem, w.memory, w.file, w.err = nil, nil, nil, errTaken
	if name == "" {
		msg.header = bytes.Clone(header) // others may keep pieces of it
		return msg, nil
	}
	if end == 0 {
		msg.needHeader()
	}
	b := make([]byte, 0, fieldRoom(name, value)+end)
	msg.header = append(appendField(b, name, value), header...)
	return msg, nil
}

// take makes the message, whose header ends there in mem, without it.
func (w *SpoolWriter) take(end int) *Message {
	if w.file == nil {
		msg := inMemory(nil, w.mem[end:])
		msg.tail.spool, msg.tail.memory = w.spool, w.memory
		return msg
	}
	spool, file, size := w.spool, w.file, w.size
	return &Message{tail: newTail(file, size, func() error { return spool.giveFile(file, size) })}
}

// What a SpoolWriter says after its end.
var (
	errTaken   = errors.New("mailbricks: spool: message was already taken")
	errGivenUp = errors.New("mailbricks: spool: message was given up")
)

// Abort gives up the message and its file.
func (w *SpoolWriter) Abort() {
	if w.file != nil {
		_ = removeSpoolFile(w.file) // nobody is left to tell; the file is a temporary one, and perhaps broken
		w.file = nil
	}
	w.leaveMemory()
	w.mem = nil
	if w.err == nil {
		w.err = errGivenUp
	}
}
