package durable

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

// A file of records begins with a line that has the name and the version of its format. Each record is one line,
//
//	CRC JSON
//
// CRC being the CRC-32C of JSON in eight hexadecimal digits: a power cut may tear a line, a disk may lose it.

// What is wrong with a file's lines.
var (
	// ErrCorrupt says that a line is not what was written.
	ErrCorrupt = errors.New("unreadable")
	// ErrNewer says that a newer version has written the file, which this one would misread.
	ErrNewer = errors.New("written by a newer version")
)

// castagnoli is the polynomial of CRC-32C, which processors compute themselves.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendRecord appends v as a record with its line feed. It fails for what has no JSON form.
func AppendRecord(buf []byte, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return buf, err
	}
	buf = fmt.Appendf(buf, "%08x ", crc32.Checksum(text, castagnoli))
	buf = append(buf, text...)
	return append(buf, '\n'), nil
}

// ParseRecord reads a record, without its line feed, into v. Its error is ErrCorrupt.
func ParseRecord(line []byte, v any) error {
	sum, text, ok := bytes.Cut(line, []byte(" "))
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if !ok || len(sum) != 8 || err != nil || uint32(want) != crc32.Checksum(text, castagnoli) {
		return fmt.Errorf("%w: checksum", ErrCorrupt)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}

// CheckFormat reads the first line of a file, without its line feed: "format version". Its errors are ErrCorrupt for
// another format and ErrNewer for a version above the one given.
func CheckFormat(line []byte, format string, version int) error {
	name, number, _ := strings.Cut(string(line), " ")
	n, err := strconv.Atoi(number)
	switch {
	case name != format || err != nil || n < 1:
		return fmt.Errorf("%w: no %s", ErrCorrupt, format)
	case n > version:
		return fmt.Errorf("%w: %s %d", ErrNewer, format, n)
	}
	return nil
}
