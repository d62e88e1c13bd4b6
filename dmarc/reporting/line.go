package reporting

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
)

// Every file begins with a line that has the name and the version of its format. Each line below is
//
//	CRC JSON
//
// CRC is the CRC-32C of JSON in eight hexadecimal digits. A line that cannot be read is left out: a power cut may have torn
// it, or a disk may have lost it.

const (
	// maxLine is the most octets that a line has. What is longer was not written by this package.
	maxLine = 256 << 10
	// maxFormatLine is the same for the first line.
	maxFormatLine = 64
)

// errCorrupt says that something is not what this package wrote.
var errCorrupt = errors.New("unreadable")

// castagnoli is the polynomial of CRC-32C, which processors compute themselves.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendLine appends v as a line. The types of this package always have a JSON form.
func appendLine(buf []byte, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return buf, err
	}
	if len(text)+len("01234567 ") > maxLine {
		return buf, fmt.Errorf("%w: line too long", errCorrupt)
	}
	buf = fmt.Appendf(buf, "%08x ", crc32.Checksum(text, castagnoli))
	buf = append(buf, text...)
	return append(buf, '\n'), nil
}

// parseLine reads such a line, without its line feed, into v.
func parseLine(line []byte, v any) error {
	sum, text, ok := bytes.Cut(line, []byte(" "))
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if !ok || len(sum) != 8 || err != nil || uint32(want) != crc32.Checksum(text, castagnoli) {
		return fmt.Errorf("%w: checksum", errCorrupt)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%w: %w", errCorrupt, err)
	}
	return nil
}

// readLine reads a line of at most limit octets and gives it without its line feed. A longer one is skipped and, like one
// without a line feed, errCorrupt; io.EOF says that there is none.
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
			return nil, fmt.Errorf("%w: cut off", errCorrupt)
		case err != nil:
			return nil, err
		case long:
			return nil, fmt.Errorf("%w: line too long", errCorrupt)
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
	case errors.Is(err, io.EOF), errors.Is(err, errCorrupt):
		skipped++ // the lines below have checksums of their own
	case err != nil:
		return 0, err
	default:
		if err := checkFormat(first, format, version); errors.Is(err, ErrVersion) {
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
		if errors.Is(err, errCorrupt) {
			skipped++
			continue
		}
		if err != nil {
			return skipped, err
		}
	}
}

// checkFormat reads the first line of a file.
func checkFormat(line []byte, format string, version int) error {
	name, number, _ := strings.Cut(string(line), " ")
	n, err := strconv.Atoi(number)
	switch {
	case name != format || err != nil || n < 1:
		return fmt.Errorf("%w: no %s", errCorrupt, format)
	case n > version:
		return fmt.Errorf("%w: %s %d", ErrVersion, format, n)
	}
	return nil
}
