package sealedfs

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/sealed"
)

// Mode is what an FS works with. It is replaced as a whole, never changed.
type Mode struct {
	// Sealer writes new files; nil: they are plain.
	Sealer *sealed.Sealer
	// Keyring opens files; nil: it is locked.
	Keyring *sealed.Keyring
	// Names is the secret that folders' names are hidden with; nil: it is locked.
	Names []byte
	// Whole says that all files were sealed: a plain message that is not as long as its name says is a damaged one.
	Whole bool
}

// FS is the file layer of one account. New makes one.
type FS struct {
	under   durable.FS
	root    string
	locked  error
	mode    atomic.Pointer[Mode]
	refresh func() error // nil: nothing

	// moving is held for reading by what uses a path, so that a folder does not get another name on disk meanwhile.
	moving sync.RWMutex

	mu      sync.Mutex
	hidden  map[string]bool     // folders on disk that are known to have hidden names
	names   map[string]string   // of folders by those on disk
	writers map[string]made     // sealed files that were made here and have not got their last name, by path on disk
	logs    map[string]logCache // by path on disk
	sizes   map[string]sizeCache
}

// Bounds of what an FS remembers.
const (
	maxNames   = 20_000
	maxWriters = 10_000
	maxLogs    = 256
	maxSizes   = 1024
)

// New makes the layer over the folder root of under. locked is the error of what cannot be done without the keys.
func New(under durable.FS, root string, locked error) *FS {
	f := &FS{under: under, root: filepath.Clean(root), locked: locked,
		hidden: map[string]bool{}, names: map[string]string{}, writers: map[string]made{},
		logs: map[string]logCache{}, sizes: map[string]sizeCache{}}
	f.mode.Store(&Mode{})
	return f
}

var _ durable.FS = (*FS)(nil)

// SetMode has all calls from now on work so.
func (f *FS) SetMode(m Mode) { f.mode.Store(&m) }

// Refresh has refresh called before a message gets its last name: it sets the mode anew if another process has changed keys.
// It is called before the layer is used.
func (f *FS) Refresh(refresh func() error) { f.refresh = refresh }

// Lock forgets what is secret, when nobody uses the layer any more.
func (f *FS) Lock() {
	m := f.mode.Load()
	f.mode.Store(&Mode{Sealer: m.Sealer, Whole: m.Whole})
	clear(m.Names)
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.names)
	clear(f.hidden)
	clear(f.logs)
}

// place is a path on disk, and what it is.
type place struct {
	path string
	kind string // of a file; empty: a folder, or a file that stays plain
	log  bool
	// folder is the name of the mailbox's folder, if this is that; dir is the folder on disk that it is in.
	folder string
	// temp: a file that gets its name later.
	temp bool
}

// at runs work with the place of a path, and once more if it turns out that another process has renamed its folder.
func (f *FS) at(path string, work func(p place) error) error {
	f.moving.RLock()
	defer f.moving.RUnlock()
	p, err := f.place(path)
	if err != nil {
		return err
	}
	if err = work(p); !isNotExist(err) {
		return err
	}
	f.forget(p.path)
	if again, placeErr := f.place(path); placeErr == nil && again.path != p.path {
		return work(again)
	}
	return err
}

// OpenFile implements durable.FS.
func (f *FS) OpenFile(name string, flag int, perm fs.FileMode) (file durable.File, err error) {
	err = f.at(name, func(p place) (err error) {
		file, err = f.open(name, p, flag, perm)
		return err
	})
	if err != nil {
		return nil, err
	}
	return file, nil
}

// Link implements durable.FS. A file of another account cannot be linked: its keys are others.
func (f *FS) Link(oldName, newName string) error {
	if !f.within(oldName) {
		return &os.LinkError{Op: "link", Old: oldName, New: newName, Err: errForeign}
	}
	return f.at(oldName, func(from place) error {
		to, err := f.place(newName)
		if err != nil {
			return err
		}
		if err := f.finish(from.path); err != nil {
			return err
		}
		return f.under.Link(from.path, to.path)
	})
}

// Remove implements durable.FS.
func (f *FS) Remove(name string) error {
	return f.at(name, func(p place) error {
		err := f.under.Remove(p.path)
		f.forget(p.path)
		return err
	})
}

// Mkdir implements durable.FS.
func (f *FS) Mkdir(name string, perm fs.FileMode) error {
	return f.at(name, func(p place) error {
		if err := f.under.Mkdir(p.path, perm); err != nil || p.folder == "" || !isHidden(filepath.Base(p.path)) {
			return err
		}
		return f.noteNames(p.path, p.folder)
	})
}

// ReadDir implements durable.FS. Folders of mailboxes have their names.
func (f *FS) ReadDir(name string) (entries []fs.DirEntry, err error) {
	err = f.at(name, func(p place) error {
		entries, err = f.under.ReadDir(p.path)
		if err != nil || p.path != f.root {
			return err
		}
		list := make([]string, len(entries))
		for i, e := range entries {
			list[i] = e.Name()
		}
		if list, err = f.show(list); err != nil {
			return err
		}
		kept := entries[:0]
		for i, e := range entries {
			if list[i] == "" {
				continue
			}
			if list[i] != e.Name() {
				e = entry{e, list[i]}
			}
			kept = append(kept, e)
		}
		entries = kept
		return nil
	})
	return entries, err
}

// ReadNames implements durable.FS.
func (f *FS) ReadNames(name string) (names []string, err error) {
	err = f.at(name, func(p place) error {
		names, err = f.under.ReadNames(p.path)
		if err != nil || p.path != f.root {
			return err
		}
		shown, err := f.show(names)
		if err != nil {
			return err
		}
		kept := names[:0]
		for _, n := range shown {
			if n != "" {
				kept = append(kept, n)
			}
		}
		names = kept
		return nil
	})
	return names, err
}

// Stat implements durable.FS. The size is that of the plain text.
func (f *FS) Stat(name string) (fs.FileInfo, error) { return f.stat(name, f.under.Stat) }

// Lstat implements durable.FS.
func (f *FS) Lstat(name string) (fs.FileInfo, error) { return f.stat(name, f.under.Lstat) }

func (f *FS) stat(name string, stat func(string) (fs.FileInfo, error)) (info fs.FileInfo, err error) {
	err = f.at(name, func(p place) error {
		if info, err = stat(p.path); err != nil || p.kind == "" || !info.Mode().IsRegular() {
			return err
		}
		info, err = f.sized(p, info)
		return err
	})
	return info, err
}

// Chtimes implements durable.FS. A sealed file that is being written is finished: what would be written at its end changes
// the time.
func (f *FS) Chtimes(name string, mtime time.Time) error {
	return f.at(name, func(p place) error {
		if err := f.finish(p.path); err != nil {
			return err
		}
		return f.under.Chtimes(p.path, mtime)
	})
}

// SyncDir implements durable.FS.
func (f *FS) SyncDir(name string) error {
	return f.at(name, func(p place) error { return f.under.SyncDir(p.path) })
}

// WithPath calls work with the path that a name has on disk.
func (f *FS) WithPath(name string, work func(path string) error) error {
	return f.at(name, func(p place) error { return work(p.path) })
}

// TryLock implements durable.FS.
func (f *FS) TryLock(name string) (lock closer, err error) {
	err = f.at(name, func(p place) error {
		lock, err = f.under.TryLock(p.path)
		return err
	})
	return lock, err
}

// entry is a folder that is shown with another name.
type entry struct {
	fs.DirEntry
	name string
}

func (e entry) Name() string { return e.name }

// info is a sealed file with the size of its plain text.
type info struct {
	fs.FileInfo
	size int64
}

func (i info) Size() int64 { return i.size }

// Under gives durable.SameFile what the system says.
func (i info) Under() fs.FileInfo { return i.FileInfo }

// within says whether a path is the root or lies in it.
func (f *FS) within(path string) bool {
	path = filepath.Clean(path)
	return path == f.root || strings.HasPrefix(path, f.root) && len(path) > len(f.root) && os.IsPathSeparator(path[len(f.root)])
}
