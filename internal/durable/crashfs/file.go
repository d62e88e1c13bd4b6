package crashfs

import (
	"io"
	"io/fs"
	"os"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// file is an open file.
type file struct {
	fs     *FS
	name   string
	node   *node
	flag   int
	pos    int64 // under fs.mu
	closed bool  // under fs.mu
}

var _ durable.File = (*file)(nil)

func (h *file) Name() string { return h.name }

// do is FS.do for a handle that must be open.
func (h *file) do(kind string, work func() error, half func()) error {
	return h.fs.do(kind, h.name, func() error {
		if h.closed {
			return fs.ErrClosed
		}
		return work()
	}, half)
}

// Read implements durable.File.
func (h *file) Read(p []byte) (int, error) {
	var n int
	err := h.do("read", func() error {
		var err error
		n, err = h.readAt(p, h.pos)
		h.pos += int64(n)
		if n > 0 {
			err = nil
		}
		return err
	}, nil)
	return n, err
}

// ReadAt implements durable.File.
func (h *file) ReadAt(p []byte, off int64) (int, error) {
	var n int
	err := h.do("read", func() error {
		var err error
		n, err = h.readAt(p, off)
		return err
	}, nil)
	return n, err
}

func (h *file) readAt(p []byte, off int64) (int, error) {
	switch {
	case h.flag&os.O_WRONLY != 0:
		return 0, fs.ErrPermission
	case h.node.dir:
		return 0, errIsDir
	case off < 0:
		return 0, fs.ErrInvalid
	case off >= int64(len(h.node.data)):
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n := copy(p, h.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Write implements durable.File.
func (h *file) Write(p []byte) (int, error) {
	n := 0
	write := func(p []byte) error {
		if h.flag&(os.O_WRONLY|os.O_RDWR) == 0 {
			return fs.ErrPermission
		}
		if h.flag&os.O_APPEND != 0 {
			h.pos = int64(len(h.node.data))
		}
		if len(p) > 0 {
			h.fs.write(h.node, change{off: h.pos, data: append([]byte(nil), p...)})
		}
		h.pos += int64(len(p))
		n = len(p)
		return nil
	}
	err := h.do("write", func() error { return write(p) }, func() { _ = write(p[:len(p)/2]) })
	return n, err
}

// Truncate implements durable.File.
func (h *file) Truncate(size int64) error {
	return h.do("truncate", func() error {
		if h.flag&(os.O_WRONLY|os.O_RDWR) == 0 || size < 0 {
			return fs.ErrInvalid
		}
		h.fs.write(h.node, change{off: size, resize: true})
		return nil
	}, nil)
}

// write changes contents, not yet on disk.
func (f *FS) write(n *node, c change) {
	n.data = c.apply(n.data, len(c.data))
	n.writes = append(n.writes, c)
	n.mtime = f.now
}

// Sync implements durable.File.
func (h *file) Sync() error {
	return h.do("sync", func() error {
		if h.node.dir {
			h.node.syncNames()
			return nil
		}
		h.node.sync()
		return nil
	}, func() {
		for i := range h.node.writes {
			h.node.writes[i].suspect = true
		}
	})
}

// Seek implements durable.File.
func (h *file) Seek(offset int64, whence int) (int64, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += h.pos
	case io.SeekEnd:
		offset += int64(len(h.node.data))
	}
	if offset < 0 {
		return 0, &fs.PathError{Op: "seek", Path: h.name, Err: fs.ErrInvalid}
	}
	h.pos = offset
	return offset, nil
}

// Stat implements durable.File.
func (h *file) Stat() (fs.FileInfo, error) {
	var out fs.FileInfo
	err := h.do("stat", func() error {
		out = h.node.info(h.name)
		return nil
	}, nil)
	return out, err
}

// Close implements durable.File. It syncs nothing.
func (h *file) Close() error {
	return h.do("close", func() error {
		h.closed = true
		return nil
	}, nil)
}
