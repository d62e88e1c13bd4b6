package archive

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// spoolMemory is how much of a message is kept in memory; the rest goes into a file.
const spoolMemory = 1 << 20

// spool keeps a message until it is known whole. It has to be closed.
type spool struct {
	dir  string // of the file
	max  int64  // the most that may be written
	size int64

	memory bytes.Buffer
	file   *os.File
	named  bool // file still has its name
}

func (s *spool) Write(p []byte) (int, error) {
	if int64(len(p)) > s.max-s.size {
		return 0, fmt.Errorf("%w: message has more than %d octets", ErrTooLarge, s.max)
	}
	s.size += int64(len(p))
	if s.file == nil && s.memory.Len()+len(p) <= spoolMemory {
		return s.memory.Write(p)
	}
	if s.file == nil {
		file, err := os.CreateTemp(s.dir, "mailbricks-archive-*")
		if err != nil {
			return 0, fmt.Errorf("archive: %w", err)
		}
		s.file, s.named = file, os.Remove(file.Name()) != nil // where that cannot be done yet, Close does
	}
	return s.file.Write(p)
}

// reader reads it from the beginning.
func (s *spool) reader() io.Reader {
	memory := bytes.NewReader(s.memory.Bytes())
	if s.file == nil {
		return memory
	}
	return io.MultiReader(memory, io.NewSectionReader(s.file, 0, s.size-int64(s.memory.Len())))
}

// reset empties it.
func (s *spool) reset() {
	s.Close()
	s.size = 0
	if s.memory.Cap() > spoolMemory {
		s.memory = bytes.Buffer{}
	}
	s.memory.Reset()
}

// Close removes the file.
func (s *spool) Close() {
	if s.file != nil {
		_ = s.file.Close()
		if s.named {
			_ = os.Remove(s.file.Name())
		}
		s.file = nil
	}
}
