package crashfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// ErrCrashed is what every call returns once the FS has stopped.
var ErrCrashed = errors.New("crashfs: the machine has stopped")

// Op is one call, as Fail's function and Log see it.
type Op struct {
	// N numbers the calls that change something, from 1; 0 for the others.
	N int
	// Kind is open, read, write, sync, truncate, close, rename, link, remove,
	// mkdir, readdir, stat, chtimes, syncdir or lock. An open that makes or
	// empties a file is create.
	Kind string
	// Name is the file or folder; the old name of a rename or link.
	Name string
}

// String is the call in one line.
func (op Op) String() string { return fmt.Sprintf("%d %s %s", op.N, op.Kind, op.Name) }

// changes reports whether calls of this kind are counted.
func (op Op) changes() bool {
	switch op.Kind {
	case "create", "write", "sync", "truncate", "rename", "link", "remove", "mkdir", "chtimes", "syncdir":
		return true
	}
	return false
}

// FS is a file system in memory. It starts with the root folder "/" alone;
// names without a leading slash start there too. The zero value is not usable.
type FS struct {
	mu      sync.Mutex
	root    *node
	nextID  int
	now     time.Time
	locks   map[string]bool
	log     []Op
	calls   int
	stopped bool

	before int // stop instead of this call
	after  int // stop when this call is done
	fail   func(Op) error
}

// epoch is the time that a new FS shows: long past, so that nothing which is
// compared with the real time counts as new.
var epoch = time.Date(2020, time.January, 1, 0, 0, 0, 0, time.UTC)

// New returns an empty file system.
func New() *FS {
	return &FS{root: newDir(1, 0o755, epoch), nextID: 2, now: epoch, locks: map[string]bool{}}
}

// CrashBefore stops the machine instead of the n-th call that changes
// something, counted from the start of the FS.
func (f *FS) CrashBefore(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = n
}

// CrashAfter stops the machine when the n-th call that changes something has
// done its work but before its caller is told: that call returns ErrCrashed.
func (f *FS) CrashAfter(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after = n
}

// Crash stops the machine now.
func (f *FS) Crash() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
}

// Crashed reports whether the machine has stopped.
func (f *FS) Crashed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stopped
}

// Fail has fn asked before every call, also those that only read; an error that
// it returns is the call's result. A write that fails has written its first
// half, a sync that fails may have synced nothing. Fn must not use the FS. Nil
// ends it.
func (f *FS) Fail(fn func(Op) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fn
}

// FailCall makes the n-th call that changes something, counted from the start
// of the FS, fail with err (syscall.ENOSPC, syscall.EIO).
func (f *FS) FailCall(n int, err error) {
	f.Fail(func(op Op) error {
		if op.N == n {
			return err
		}
		return nil
	})
}

// Calls is the number of calls so far that change something.
func (f *FS) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// Log has those calls in order.
func (f *FS) Log() []Op {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Op(nil), f.log...)
}

// do runs one call under the lock: counted, failed or stopped as planned. half,
// if not nil, is what a failing call does all the same.
func (f *FS) do(kind, name string, work func() error, half func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return &fs.PathError{Op: kind, Path: name, Err: ErrCrashed}
	}
	op := Op{Kind: kind, Name: name}
	if op.changes() {
		f.calls++
		op.N = f.calls
		f.log = append(f.log, op)
		f.now = f.now.Add(time.Millisecond)
		if f.before == op.N {
			f.stopped = true
			return &fs.PathError{Op: kind, Path: name, Err: ErrCrashed}
		}
	}
	if f.fail != nil {
		if err := f.fail(op); err != nil {
			if half != nil {
				half()
			}
			return &fs.PathError{Op: kind, Path: name, Err: err}
		}
	}
	err := work()
	if op.N > 0 && f.after == op.N {
		f.stopped = true
		return &fs.PathError{Op: kind, Path: name, Err: ErrCrashed}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return &fs.PathError{Op: kind, Path: name, Err: err}
	}
	return err
}

func clean(name string) string {
	if isClean(name) {
		return name
	}
	return path.Clean("/" + filepath.ToSlash(name))
}

// isClean says, of most names that are clean, that they are.
func isClean(name string) bool {
	if len(name) < 2 || name[0] != '/' || name[len(name)-1] == '/' || filepath.Separator != '/' {
		return false
	}
	for i := 1; i < len(name); i++ { // a part that begins with two dots need not be "..", and is left to path.Clean
		if name[i-1] == '/' && (name[i] == '/' || name[i] == '.' && (i+1 == len(name) || name[i+1] == '/' || name[i+1] == '.')) {
			return false
		}
	}
	return true
}

// find gives the node of a name.
func (f *FS) find(name string) (*node, error) {
	n := f.root
	for part := range strings.SplitSeq(strings.TrimPrefix(clean(name), "/"), "/") {
		if part == "" {
			continue
		}
		if !n.dir {
			return nil, errNotDir
		}
		next := n.names[part]
		if next == nil {
			return nil, fs.ErrNotExist
		}
		n = next
	}
	return n, nil
}

var (
	errNotDir   = errors.New("not a directory")
	errIsDir    = errors.New("is a directory")
	errNotEmpty = errors.New("directory not empty")
)

// parent gives the folder that a name is in, and its last part.
func (f *FS) parent(name string) (*node, string, error) {
	dir, base := path.Split(clean(name))
	n, err := f.find(dir)
	if err != nil {
		return nil, "", err
	}
	if !n.dir || base == "" {
		return nil, "", errNotDir
	}
	return n, base, nil
}

// change makes a change of names, not yet on disk.
func (f *FS) change(dir *node, r *renaming) {
	r.apply(dir.names)
	dir.renames = append(dir.renames, r)
	dir.mtime = f.now
}

// OpenFile implements durable.FS.
func (f *FS) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	kind := "open"
	if flag&os.O_TRUNC != 0 || flag&os.O_CREATE != 0 && !f.exists(name) {
		kind = "create"
	}
	var h *file
	err := f.do(kind, name, func() error {
		dir, base, err := f.parent(name)
		if err != nil {
			if base == "" && clean(name) == "/" {
				return errIsDir
			}
			return err
		}
		n := dir.names[base]
		switch {
		case n == nil && flag&os.O_CREATE == 0:
			return fs.ErrNotExist
		case n == nil:
			n = &node{id: f.nextID, mode: perm.Perm(), mtime: f.now}
			f.nextID++
			f.change(dir, &renaming{set: base, setNode: n})
		case flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL:
			return fs.ErrExist
		case n.dir && flag&(os.O_WRONLY|os.O_RDWR) != 0:
			return errIsDir
		case flag&os.O_TRUNC != 0 && len(n.data) > 0:
			f.write(n, change{resize: true})
		}
		h = &file{fs: f, name: name, node: n, flag: flag}
		return nil
	}, nil)
	if err != nil {
		return nil, err
	}
	return h, nil
}

func (f *FS) exists(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.find(name)
	return err == nil
}

// Rename implements durable.FS.
func (f *FS) Rename(oldName, newName string) error {
	return f.do("rename", oldName, func() error {
		from, oldBase, err := f.parent(oldName)
		if err != nil {
			return err
		}
		to, newBase, err := f.parent(newName)
		if err != nil {
			return err
		}
		n, over := from.names[oldBase], to.names[newBase]
		switch {
		case n == nil:
			return fs.ErrNotExist
		case n == over:
			return nil // POSIX: two names of one file stay as they are
		case n.dir && strings.HasPrefix(clean(newName)+"/", clean(oldName)+"/"):
			return fs.ErrInvalid
		case over != nil && over.dir && !n.dir:
			return errIsDir
		case over != nil && !over.dir && n.dir:
			return errNotDir
		case over != nil && over.dir && len(over.names) > 0:
			return errNotEmpty
		}
		if from == to {
			f.change(from, &renaming{del: oldBase, delNode: n, set: newBase, setNode: n})
			return nil
		}
		gone := &renaming{del: oldBase, delNode: n, needs: &renaming{set: newBase, setNode: n}}
		f.change(to, gone.needs)
		f.change(from, gone)
		return nil
	}, nil)
}

// Link implements durable.FS.
func (f *FS) Link(oldName, newName string) error {
	return f.do("link", oldName, func() error {
		n, err := f.find(oldName)
		if err != nil {
			return err
		}
		to, base, err := f.parent(newName)
		switch {
		case err != nil:
			return err
		case n.dir:
			return errIsDir
		case to.names[base] != nil:
			return fs.ErrExist
		}
		f.change(to, &renaming{set: base, setNode: n})
		return nil
	}, nil)
}

// Remove implements durable.FS.
func (f *FS) Remove(name string) error {
	return f.do("remove", name, func() error {
		dir, base, err := f.parent(name)
		if err != nil {
			return err
		}
		n := dir.names[base]
		switch {
		case n == nil:
			return fs.ErrNotExist
		case n.dir && len(n.names) > 0:
			return errNotEmpty
		}
		f.change(dir, &renaming{del: base, delNode: n})
		return nil
	}, nil)
}

// Mkdir implements durable.FS.
func (f *FS) Mkdir(name string, perm fs.FileMode) error {
	return f.do("mkdir", name, func() error {
		dir, base, err := f.parent(name)
		if err != nil {
			if clean(name) == "/" {
				return fs.ErrExist
			}
			return err
		}
		if dir.names[base] != nil {
			return fs.ErrExist
		}
		n := newDir(f.nextID, perm.Perm(), f.now)
		f.nextID++
		f.change(dir, &renaming{set: base, setNode: n})
		return nil
	}, nil)
}

// ReadDir implements durable.FS.
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	var out []fs.DirEntry
	err := f.do("readdir", name, func() error {
		n, err := f.find(name)
		if err != nil {
			return err
		}
		if !n.dir {
			return errNotDir
		}
		for _, base := range n.sortedNames() {
			out = append(out, n.names[base].info(base))
		}
		return nil
	}, nil)
	return out, err
}

// ReadNames implements durable.FS.
func (f *FS) ReadNames(name string) ([]string, error) {
	entries, err := f.ReadDir(name)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// Stat implements durable.FS.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	var out fs.FileInfo
	err := f.do("stat", name, func() error {
		n, err := f.find(name)
		if err != nil {
			return err
		}
		out = n.info(clean(name))
		return nil
	}, nil)
	return out, err
}

// Lstat implements durable.FS. There are no symbolic links here.
func (f *FS) Lstat(name string) (fs.FileInfo, error) { return f.Stat(name) }

// Chtimes implements durable.FS.
func (f *FS) Chtimes(name string, mtime time.Time) error {
	return f.do("chtimes", name, func() error {
		n, err := f.find(name)
		if err != nil {
			return err
		}
		n.mtime = mtime
		return nil
	}, nil)
}

// SyncDir implements durable.FS.
func (f *FS) SyncDir(name string) error {
	return f.do("syncdir", name, func() error {
		n, err := f.find(name)
		if err != nil {
			return err
		}
		if !n.dir {
			return errNotDir
		}
		n.syncNames()
		return nil
	}, nil)
}

// Settle puts the names in a folder on disk as SyncDir does, but is no call and works after a crash as well: a test says
// with it that their loss makes no difference and need not be tried (a folder of temporary files). A file that was renamed
// to another folder still has its old name in the states in which it has not got the new one.
func (f *FS) Settle(dir string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n, err := f.find(dir); err == nil && n.dir {
		n.syncNames()
	}
}

// TryLock implements durable.FS. Locks are not counted: they leave nothing.
func (f *FS) TryLock(name string) (io.Closer, error) {
	key := clean(name)
	h, err := f.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	err = f.do("lock", name, func() error {
		if f.locks[key] {
			return durable.ErrLocked
		}
		f.locks[key] = true
		return nil
	}, nil)
	if err != nil {
		return nil, err
	}
	return &lock{f, key}, nil
}

type lock struct {
	fs   *FS
	name string
}

func (l *lock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	delete(l.fs.locks, l.name)
	return nil
}
