package archive

import (
	"bufio"
	"io"
)

// crlfReader gives CRLF for each LF that has no CR in front.
type crlfReader struct {
	in   *bufio.Reader
	rest []byte // still to be given
	buf  []byte // kept from call to call
	cr   bool   // the last octet was a carriage return
}

func newCRLF(r io.Reader) io.Reader { return &crlfReader{in: bufio.NewReaderSize(r, bufferSize)} }

func (c *crlfReader) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		line, err := c.in.ReadSlice('\n')
		if len(line) == 0 {
			return 0, err
		}
		n := len(line)
		bare := line[n-1] == '\n' && (n > 1 && line[n-2] != '\r' || n == 1 && !c.cr)
		c.cr = line[n-1] == '\r'
		c.rest = line
		if bare {
			c.buf = append(append(c.buf[:0], line[:n-1]...), "\r\n"...)
			c.rest = c.buf
		}
		if err == bufio.ErrBufferFull || err == io.EOF {
			err = nil // the next call says so
		}
		if err != nil {
			return 0, err
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}
