package sealedfs

import (
	"errors"
	"io"
	"io/fs"
	"sync"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/sealed"
)

// logCache is where a log ends, as long as it is the same.
type logCache struct {
	info  fs.FileInfo
	state sealed.LogState
	key   *sealed.LogKey
}

// log is an open sealed log. What is written goes to its end.
type log struct {
	f    *FS
	file durable.File
	name string
	path string // on disk, when it was opened
	key  *sealed.LogKey

	mu     sync.Mutex
	header []byte // not written yet
	state  sealed.LogState
	known  bool // state is where the log ends
	reader *sealed.LogReader
	pos    int64
	err    error // of a write that may have left anything
}

// openLog opens a log that is there.
func (f *FS) openLog(name string, p place, file durable.File, info fs.FileInfo) (*log, error) {
	f.mu.Lock()
	cached, ok := f.logs[p.path]
	f.mu.Unlock()
	l := &log{f: f, file: file, name: name, path: p.path}
	if ok && sameFile(cached.info, info) {
		l.key, l.state, l.known = cached.key, cached.state, true
		return l, nil
	}
	keys := f.mode.Load().Keyring
	if keys == nil {
		return nil, f.locked
	}
	var err error
	l.key, err = sealed.OpenLog(file, keys, p.kind)
	return l, err
}

func (l *log) Name() string { return l.name }

// scan brings the reader up to date with the file.
func (l *log) scan() error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	if l.reader != nil {
		err = l.reader.Extend(info.Size())
	} else {
		l.reader, err = sealed.ScanLog(l.file, info.Size(), l.key)
	}
	if err != nil {
		l.reader = nil
		return err
	}
	l.state, l.known = l.reader.End(), true
	l.remember()
	return nil
}

// remember keeps where the log ends for who opens it next.
func (l *log) remember() {
	info, err := l.file.Stat()
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	if err != nil || info.Size() != l.state.End() {
		delete(l.f.logs, l.path)
		return
	}
	if len(l.f.logs) >= maxLogs {
		clear(l.f.logs)
	}
	l.f.logs[l.path] = logCache{info, l.state, l.key}
}

// writeHeader writes the header of a new log, with what comes behind it.
func (l *log) writeHeader(more []byte) error {
	if l.header == nil && len(more) == 0 {
		return nil
	}
	data := append(l.header, more...)
	if _, err := l.file.Write(data); err != nil {
		l.err = err
		l.f.forgetFile(l.path)
		return err
	}
	l.header = nil
	return nil
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.atEnd(); err != nil {
		return 0, err
	}
	frames, state := l.key.Append(l.state, p)
	if err := l.writeHeader(frames); err != nil {
		return 0, err
	}
	l.state = state
	l.remember()
	return len(p), nil
}

// atEnd makes sure that state is the end of the file, and cuts off what a power cut has torn.
func (l *log) atEnd() error {
	if l.err != nil || l.header != nil {
		return l.err
	}
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	if l.known && info.Size() == l.state.End() {
		return nil
	}
	if err := l.scan(); err != nil {
		return err
	}
	if err := l.reader.Broken(); err != nil {
		return err // nobody could read what comes behind it
	}
	if info.Size() > l.state.End() {
		return l.file.Truncate(l.state.End())
	}
	return nil
}

func (l *log) ReadAt(p []byte, off int64) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.readAt(p, off)
}

func (l *log) readAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	if err := l.writeHeader(nil); err != nil {
		return 0, err
	}
	if l.reader == nil || off+int64(len(p)) > l.reader.End().Size() {
		if err := l.scan(); err != nil {
			return 0, err
		}
	}
	return l.reader.ReadAt(p, off)
}

func (l *log) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.readAt(p, l.pos)
	l.pos += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func (l *log) Seek(offset int64, whence int) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size, err := l.size()
	if err != nil {
		return 0, err
	}
	return seek(&l.pos, offset, whence, size)
}

// size is the length of the plain text.
func (l *log) size() (int64, error) {
	info, err := l.file.Stat()
	if err != nil {
		return 0, err
	}
	if l.header == nil && (!l.known || info.Size() != l.state.End()) {
		if err := l.scan(); err != nil {
			return 0, err
		}
	}
	return l.state.Size(), nil
}

func (l *log) Stat() (fs.FileInfo, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was, err := l.file.Stat()
	if err != nil {
		return nil, err
	}
	size, err := l.size()
	if err != nil {
		return nil, err
	}
	return info{was, size}, nil
}

func (l *log) Sync() error {
	l.mu.Lock()
	err := l.writeHeader(nil)
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return durable.SyncData(l.file)
}

func (l *log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	if l.err == nil {
		err = l.writeHeader(nil)
	}
	return errors.Join(err, l.file.Close())
}

// Truncate implements durable.File. It makes no log longer.
func (l *log) Truncate(size int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.header != nil {
		return nil
	}
	if err := l.scan(); err != nil {
		return err
	}
	if size < 0 || size > l.state.Size() {
		return fs.ErrInvalid
	}
	if size == l.state.Size() && l.reader.Broken() == nil {
		return nil
	}
	before, rest, err := l.reader.Cut(size)
	if err != nil {
		return err
	}
	l.reader, l.known = nil, false
	l.f.forgetFile(l.path)
	if err := l.file.Truncate(before.End()); err != nil {
		return err
	}
	l.state, l.known = before, true
	if len(rest) == 0 {
		return nil
	}
	frames, state := l.key.Append(before, rest)
	if err := l.writeHeader(frames); err != nil {
		return err
	}
	l.state = state
	return nil
}
