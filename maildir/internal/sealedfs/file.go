package sealedfs

import (
	"errors"
	"io"
	"io/fs"
	"sync"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/sealed"
)

// errWhole is the error of what sealed files cannot do: they are written from front to back, once, or read.
var errWhole = errors.New("sealedfs: sealed files are written from the beginning to the end")

// writer is a sealed file that is being written. Sync and Close end it.
type writer struct {
	file durable.File
	name string

	mu     sync.Mutex
	w      *sealed.Writer
	size   int64
	closed bool
}

func newWriter(file durable.File, name string, p place, s *sealed.Sealer) (*writer, error) {
	w, err := sealed.NewWriter(file, s, p.kind)
	if err != nil {
		return nil, err
	}
	return &writer{file: file, name: name, w: w}, nil
}

func (w *writer) Name() string { return w.name }

func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, fs.ErrClosed
	}
	n, err := w.w.Write(p)
	w.size += int64(n)
	return n, err
}

func (w *writer) finish() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	return w.w.Finish()
}

func (w *writer) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

func (w *writer) Sync() error {
	if err := w.finish(); err != nil {
		return err
	}
	return w.file.Sync()
}

func (w *writer) Close() error {
	err := w.finish()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return fs.ErrClosed
	}
	w.closed = true
	return errors.Join(err, w.file.Close())
}

func (w *writer) Stat() (fs.FileInfo, error) {
	was, err := w.file.Stat()
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return info{was, w.size}, nil
}

func (w *writer) Read([]byte) (int, error)          { return 0, errWhole }
func (w *writer) ReadAt([]byte, int64) (int, error) { return 0, errWhole }
func (w *writer) Truncate(int64) error              { return errWhole }

// Seek only tells where writing goes on.
func (w *writer) Seek(offset int64, whence int) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if offset != 0 || whence == io.SeekStart && w.size > 0 {
		return 0, errWhole
	}
	return w.size, nil
}

// reader is a sealed file that is read.
type reader struct {
	*sealed.Reader
	file durable.File
	name string

	mu  sync.Mutex
	pos int64
}

func (r *reader) Name() string { return r.name }

func (r *reader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := r.ReadAt(p, r.pos)
	r.pos += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func (r *reader) Seek(offset int64, whence int) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return seek(&r.pos, offset, whence, r.Size())
}

// seek moves a place in a file of this size.
func seek(pos *int64, offset int64, whence int, size int64) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += *pos
	case io.SeekEnd:
		offset += size
	}
	if offset < 0 {
		return 0, fs.ErrInvalid
	}
	*pos = offset
	return offset, nil
}

func (r *reader) Stat() (fs.FileInfo, error) {
	was, err := r.file.Stat()
	if err != nil {
		return nil, err
	}
	return info{was, r.Size()}, nil
}

func (r *reader) Close() error              { return r.file.Close() }
func (r *reader) Sync() error               { return r.file.Sync() }
func (r *reader) Write([]byte) (int, error) { return 0, errWhole }
func (r *reader) Truncate(int64) error      { return errWhole }
