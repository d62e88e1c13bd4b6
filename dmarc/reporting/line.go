package reporting

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// Files have durable's records. One that cannot be read is left out: a power cut may have torn it, or a disk may have lost it.

const (
	// maxLine is the most octets that a line has. What is longer was not written by this package.
	maxLine = 256 << 10
	// maxFormatLine is the same for the first line.
	maxFormatLine = 64
)

// appendLine appends v as a record that readLines takes. The types of this package always have a JSON form.
func appendLine(buf []byte, v any) ([]byte, error) {
	longer, err := durable.AppendRecord(buf, v)
	if err == nil && len(longer)-len(buf) > maxLine+len("\n") {
		err = fmt.Errorf("%w: line too long", durable.ErrCorrupt)
	}
	if err != nil {
		return buf, err
	}
	return longer, nil
}

// readLine reads a line of at most limit octets and gives it without its line feed. A longer one is skipped and, like one
// without a line feed, durable.ErrCorrupt; io.EOF says that there is none.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := r.ReadSlice('\n')
		if long = long || len(line)+len(part) > limit+1; !long {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(part) == 0 && len(line) == 0 && !long:
			return nil, io.EOF
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("%w: cut off", durable.ErrCorrupt)
		case err != nil:
			return nil, err
		case long:
			return nil, fmt.Errorf("%w: line too long", durable.ErrCorrupt)
		}
		return line[:len(line)-1], nil
	}
}

// readLines calls line for each line below the first, and skipped counts those that could not be read. The error is
// ErrVersion, or the reader's.
func readLines(f io.Reader, format string, version int, line func([]byte) error) (skipped int, err error) {
	r := bufio.NewReaderSize(f, 64<<10)
	first, err := readLine(r, maxFormatLine)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, durable.ErrCorrupt):
		skipped++ // the lines below have checksums of their own
	case err != nil:
		return 0, err
	default:
		if err := durable.CheckFormat(first, format, version); errors.Is(err, ErrVersion) {
			return 0, err
		} else if err != nil {
			skipped++
		}
	}
	for {
		text, err := readLine(r, maxLine)
		if errors.Is(err, io.EOF) {
			return skipped, nil
		}
		if err == nil {
			err = line(text)
		}
		if errors.Is(err, durable.ErrCorrupt) {
			skipped++
			continue
		}
		if err != nil {
			return skipped, err
		}
	}
}
