package maildir

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"sync"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

// openContent opens a message and finds out its size with CRLF line ends. known is what is believed, or -1.
func openContent(fsys durable.FS, path string, known int64) (mailbox.Content, error) {
	f, err := fsys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("maildir: %s: %w", path, durable.ErrNotRegular)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	base, _ := splitName(filepath.Base(path))
	if named, ok := nameSize(base, 'S'); ok && named == info.Size() && known == named {
		return &plainContent{f, known}, nil // as the name says: no line feed without a carriage return
	}
	c := &crlfContent{file: f, length: info.Size()}
	if err := c.index(); err != nil {
		_ = f.Close()
		return nil, err
	}
	if c.size == c.length {
		return &plainContent{f, c.size}, nil
	}
	return c, nil
}

// plainContent is a file that has CRLF line ends.
type plainContent struct {
	durable.File
	size int64
}

// Size implements mailbox.Content.
func (c *plainContent) Size() int64 { return c.size }

// ReadAt implements io.ReaderAt, within the size that was told.
func (c *plainContent) ReadAt(p []byte, off int64) (int, error) {
	if off >= c.size {
		return 0, io.EOF
	}
	short := false
	if rest := c.size - off; int64(len(p)) > rest {
		p, short = p[:rest], true
	}
	n, err := c.File.ReadAt(p, off)
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

// crlfContent shows a file with bare LF line ends as one with CRLF. It remembers where each piece of the file begins in
// what it shows: 8 octets for 16 KiB.
type crlfContent struct {
	file   durable.File
	length int64 // of the file
	size   int64 // of what is shown
	marks  []int64

	mu  sync.Mutex
	buf []byte // under mu: kept from call to call
}

const crlfPiece = 16 << 10

// index reads the file once.
func (c *crlfContent) index() error {
	buf := make([]byte, crlfPiece)
	cr := false
	for off := int64(0); off < c.length; off += crlfPiece {
		c.marks = append(c.marks, c.size)
		n, err := c.file.ReadAt(buf[:min(crlfPiece, c.length-off)], off)
		if err != nil && err != io.EOF {
			return err
		}
		if int64(n) < min(crlfPiece, c.length-off) {
			return io.ErrUnexpectedEOF
		}
		c.size += int64(n + countBare(buf[:n], &cr))
	}
	return nil
}

// Size implements mailbox.Content.
func (c *crlfContent) Size() int64 { return c.size }

// Close implements mailbox.Content.
func (c *crlfContent) Close() error { return c.file.Close() }

// ReadAt implements io.ReaderAt.
func (c *crlfContent) ReadAt(p []byte, off int64) (int, error) {
	if off >= c.size {
		return 0, io.EOF
	}
	var buf []byte
	if c.mu.TryLock() {
		defer c.mu.Unlock()
		if c.buf == nil {
			c.buf = make([]byte, crlfPiece+1)
		}
		buf = c.buf
	} else {
		buf = make([]byte, crlfPiece+1)
	}
	piece := sort.Search(len(c.marks), func(i int) bool { return c.marks[i] > off }) - 1
	out := crlfWriter{p: p, skip: off - c.marks[piece]}
	for at := int64(piece) * crlfPiece; at < c.length && !out.full(); at += crlfPiece {
		need := out.skip + int64(len(p)-out.n) // never more octets of the file than of what is shown
		if err := c.readPiece(buf, at, min(crlfPiece, c.length-at, need)); err != nil {
			return out.n, err
		}
		out.write(buf[1:1+min(crlfPiece, c.length-at, need)], buf[0] == '\r')
	}
	if !out.full() || off+int64(len(p)) > c.size {
		return out.n, io.EOF
	}
	return out.n, nil
}

// readPiece reads n octets of the file behind buf[0], which becomes the octet in front of them.
func (c *crlfContent) readPiece(buf []byte, at, n int64) error {
	buf[0] = 0
	into := buf[1 : 1+n]
	if at > 0 {
		at, into = at-1, buf[:1+n]
	}
	got, err := c.file.ReadAt(into, at)
	if got == len(into) {
		return nil
	}
	if err == io.EOF { // the file has become shorter
		err = io.ErrUnexpectedEOF
	}
	return err
}

// crlfWriter fills p with CRLF for LF, after skipping some octets.
type crlfWriter struct {
	p    []byte
	n    int
	skip int64
}

func (w *crlfWriter) full() bool { return w.n == len(w.p) }

// write takes the next piece; cr says that a carriage return was in front of it.
func (w *crlfWriter) write(data []byte, cr bool) {
	for len(data) > 0 && !w.full() {
		nl := bytes.IndexByte(data, '\n')
		if nl < 0 {
			w.put(data)
			return
		}
		w.put(data[:nl])
		if nl > 0 {
			cr = data[nl-1] == '\r'
		}
		if !cr {
			w.put([]byte{'\r'})
		}
		w.put(data[nl : nl+1])
		data, cr = data[nl+1:], false
	}
}

func (w *crlfWriter) put(data []byte) {
	if skip := min(w.skip, int64(len(data))); skip > 0 {
		w.skip -= skip
		data = data[skip:]
	}
	w.n += copy(w.p[w.n:], data)
}
