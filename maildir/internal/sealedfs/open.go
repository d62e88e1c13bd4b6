package sealedfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/sealed"
)

// open opens a file where it is. f.moving is held.
func (f *FS) open(name string, p place, flag int, perm fs.FileMode) (durable.File, error) {
	if p.kind == "" {
		return f.under.OpenFile(p.path, flag, perm)
	}
	if flag&os.O_CREATE != 0 && flag&(os.O_EXCL|os.O_TRUNC) == 0 {
		file, err := f.openOld(name, p, flag&^os.O_CREATE)
		if !isNotExist(err) {
			return file, err
		}
	}
	if flag&(os.O_CREATE|os.O_TRUNC) != 0 {
		return f.create(name, p, flag, perm)
	}
	return f.openOld(name, p, flag)
}

// create begins a file.
func (f *FS) create(name string, p place, flag int, perm fs.FileMode) (durable.File, error) {
	mode := f.mode.Load()
	if mode.Sealer == nil {
		return f.under.OpenFile(p.path, flag, perm)
	}
	if p.log {
		flag = flag&^os.O_WRONLY | os.O_RDWR | os.O_APPEND
	}
	file, err := f.under.OpenFile(p.path, flag, perm)
	if err != nil {
		return nil, err
	}
	f.forgetFile(p.path)
	if p.log {
		key, header, err := sealed.NewLog(mode.Sealer, p.kind)
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		l := &log{f: f, file: file, name: name, path: p.path, key: key, header: header, known: true}
		f.noteWriter(p.path, made{by: mode.Sealer.ID()})
		return l, nil
	}
	w, err := newWriter(file, name, p, mode.Sealer)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	f.noteWriter(p.path, made{mode.Sealer.ID(), w})
	return w, nil
}

// made is a sealed file that was made here.
type made struct {
	by sealed.ID
	w  *writer // nil: a log
}

// noteWriter remembers that the file at a path on disk is sealed.
func (f *FS) noteWriter(path string, m made) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.writers) >= maxWriters {
		for path, m := range f.writers {
			if m.w == nil || m.w.isClosed() {
				delete(f.writers, path) // it is looked at when it gets its name
			}
		}
	}
	f.writers[path] = m
}

// madeBy says for which key the file at a path on disk was sealed, if it was here.
func (f *FS) madeBy(path string) (id sealed.ID, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, ok := f.writers[path]
	return m.by, ok
}

// finish ends a sealed file that is being written.
func (f *FS) finish(path string) error {
	f.mu.Lock()
	w := f.writers[path].w
	f.mu.Unlock()
	if w == nil {
		return nil
	}
	return w.finish()
}

// openOld opens a file that is there, sealed or not.
func (f *FS) openOld(name string, p place, flag int) (durable.File, error) {
	how := os.O_RDONLY
	if p.log && flag&(os.O_WRONLY|os.O_RDWR) != 0 {
		how = os.O_RDWR | os.O_APPEND
	}
	file, err := f.under.OpenFile(p.path, how, 0)
	if err != nil {
		return nil, err
	}
	form, _, err := f.form(filepath.Base(p.path), p, file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if form == sealed.Plain {
		if err := f.checkPlain(p, file); err != nil {
			return nil, errors.Join(err, file.Close())
		}
		if flag == how {
			return file, nil
		}
		if err := file.Close(); err != nil {
			return nil, err
		}
		return f.under.OpenFile(p.path, flag, 0)
	}
	out, err := f.openSealed(name, p, file, form)
	if err != nil {
		return nil, errors.Join(&fs.PathError{Op: "open", Path: p.path, Err: err}, file.Close())
	}
	return out, nil
}

// checkPlain fails for what is no plain message, though it does not look like a sealed one any more.
func (f *FS) checkPlain(p place, file durable.File) error {
	if !f.mode.Load().Whole || p.kind != messageKind || p.temp {
		return nil
	}
	named, ok := namedSize(filepath.Base(p.path))
	if !ok {
		return nil
	}
	info, err := file.Stat()
	if err != nil || info.Size() == named {
		return err
	}
	return &fs.PathError{Op: "open", Path: p.path, Err: fmt.Errorf("%w: it is in the clear and %d octets long, not %d", sealed.ErrDamaged, info.Size(), named)}
}

// namedSize is the size that a message's name tells (S=).
func namedSize(base string) (int64, bool) {
	_, rest, ok := strings.Cut(base, ",S=")
	if end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		rest = rest[:end]
	}
	n, err := strconv.ParseInt(rest, 10, 63)
	return n, ok && err == nil
}

// openSealed opens what is in a sealed file.
func (f *FS) openSealed(name string, p place, file durable.File, form sealed.Form) (durable.File, error) {
	keys := f.mode.Load().Keyring
	if keys == nil {
		return nil, f.locked
	}
	if (form == sealed.Log) != p.log {
		return nil, fmt.Errorf("%w: a log for a file, or the other way round", sealed.ErrDamaged)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if p.log {
		return f.openLog(name, p, file, info)
	}
	r, err := sealed.NewReader(file, info.Size(), keys, p.kind)
	if err != nil {
		return nil, err
	}
	return &reader{Reader: r, file: file, name: name}, nil
}

// IsSealed says whether a file on disk looks like a sealed one, of any version and also if it is damaged.
func IsSealed(disk durable.FS, path string) (bool, error) {
	file, err := disk.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	defer file.Close()
	form, _, err := peek(file)
	if errors.Is(err, sealed.ErrNewer) || errors.Is(err, sealed.ErrDamaged) {
		return true, nil
	}
	return form != sealed.Plain, err
}

// form is peek for a file that has a name. A message that is as long as its name says is plain, whatever it begins with, as a
// sealed one is longer; but where all are sealed it is one that was cut.
func (f *FS) form(base string, p place, file durable.File) (sealed.Form, sealed.ID, error) {
	form, id, err := peek(file)
	if form == sealed.Plain && err == nil || p.kind != messageKind {
		return form, id, err
	}
	if named, ok := namedSize(base); ok && !f.mode.Load().Whole {
		if info, statErr := file.Stat(); statErr == nil && info.Size() == named {
			return sealed.Plain, sealed.ID{}, nil
		}
	}
	if !errors.Is(err, sealed.ErrNewer) && !errors.Is(err, sealed.ErrDamaged) {
		return form, id, err
	}
	if _, ours := f.madeBy(p.path); p.temp && !ours { // what is written now is of this version
		return sealed.Plain, sealed.ID{}, nil
	}
	return form, id, err
}

// peek looks at what an open file is.
func peek(file durable.File) (sealed.Form, sealed.ID, error) {
	var first [sealed.PeekSize]byte
	n, err := file.ReadAt(first[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		info, statErr := file.Stat()
		if statErr == nil && !info.Mode().IsRegular() {
			return sealed.Plain, sealed.ID{}, nil
		}
		return sealed.Plain, sealed.ID{}, err
	}
	return sealed.Peek(first[:n])
}

// sizeCache is the size of what is in a file, as long as the file is the same.
type sizeCache struct {
	info fs.FileInfo
	size int64
}

// sameFile says whether a file is as it was.
func sameFile(a, b fs.FileInfo) bool {
	return a != nil && b != nil && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && durable.SameFile(a, b)
}

// isUnreadable says whether an error is about one message, which is not being written: it is damaged or of a newer version, may not
// be read, or the disk has a bad spot.
func isUnreadable(p place, err error) bool {
	if p.kind != messageKind || p.temp {
		return false
	}
	for _, bad := range []error{sealed.ErrDamaged, sealed.ErrNewer, fs.ErrPermission, syscall.EIO} {
		if errors.Is(err, bad) {
			return true
		}
	}
	return false
}

// sized gives what Stat says of a file that may be sealed. A message that cannot be read has the size it has on disk, so that there
// can be told of it; who opens it gets the error.
func (f *FS) sized(p place, was fs.FileInfo) (fs.FileInfo, error) {
	f.mu.Lock()
	known, ok := f.sizes[p.path]
	if l, found := f.logs[p.path]; found && !ok {
		known, ok = sizeCache{l.info, l.state.Size()}, true
	}
	f.mu.Unlock()
	if !ok || !sameFile(known.info, was) {
		size, err := f.size(p, was)
		if isUnreadable(p, err) {
			return was, nil
		}
		if err != nil {
			return nil, err
		}
		known = sizeCache{was, size}
		if p.kind != messageKind {
			f.mu.Lock()
			if len(f.sizes) >= maxSizes {
				clear(f.sizes)
			}
			f.sizes[p.path] = known
			f.mu.Unlock()
		}
	}
	if known.size == was.Size() {
		return was, nil
	}
	return info{was, known.size}, nil
}

// size gives the size of what is in a file. It needs no keys.
func (f *FS) size(p place, was fs.FileInfo) (int64, error) {
	if was.Size() < int64(sealed.HeaderSize) {
		return was.Size(), nil
	}
	if err := f.finish(p.path); err != nil {
		return 0, err
	}
	file, err := f.under.OpenFile(p.path, os.O_RDONLY, 0)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	form, _, err := f.form(filepath.Base(p.path), p, file)
	switch {
	case err != nil:
		return 0, err
	case form == sealed.Plain:
		return was.Size(), nil
	case form == sealed.Log:
		l, err := sealed.ScanLog(file, was.Size(), nil)
		if err != nil {
			return 0, err
		}
		return l.End().Size(), nil
	}
	if size := sealed.Size(was.Size()); size >= 0 {
		return size, nil
	}
	return was.Size(), nil // damaged: who reads it finds out
}
