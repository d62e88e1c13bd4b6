package statelog

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// load tells Restore of what is in the file.
func (l *Log[R]) load() error {
	f, err := l.FS.OpenFile(l.Name, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	bad, err := l.read(f)
	if bad > 0 {
		l.Logger.Warn("statelog: lines cannot be read and are left out", "file", l.Name, "lines", bad)
	}
	return err
}

// read tells Restore of the records in r and counts the lines that are none.
func (l *Log[R]) read(r io.Reader) (bad int, err error) {
	lines := bufio.NewReaderSize(r, MaxLine)
	for first := true; ; first = false {
		line, whole, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			return bad, nil
		}
		if err != nil {
			return bad, err
		}
		if first {
			err := durable.CheckFormat(line, l.Format, l.Version)
			if err != nil && (errors.Is(err, durable.ErrNewer) || whole || !l.begins(line)) {
				return bad, err // what somebody else keeps there would be lost when the file is written anew
			}
			if !whole {
				bad++
			}
			continue
		}
		var record R
		if !whole || durable.ParseRecord(line, &record) != nil {
			bad++
			continue
		}
		l.Restore(record)
	}
}

// begins says whether a line that is not whole is the beginning of our first one. One that is too long is not.
func (l *Log[R]) begins(line []byte) bool {
	return len(line) > 0 && strings.HasPrefix(l.Format+" ", string(line))
}

// readLine gives the next line without its line feed; whole is false for one that is too long or has no line feed.
func readLine(r *bufio.Reader) (line []byte, whole bool, err error) {
	line, err = r.ReadSlice('\n')
	switch {
	case err == nil:
		return bytes.TrimSuffix(line, []byte("\n")), true, nil
	case errors.Is(err, bufio.ErrBufferFull):
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, false, err
		}
		return nil, false, nil
	case errors.Is(err, io.EOF) && len(line) > 0:
		return line, false, nil
	}
	return nil, false, err
}
