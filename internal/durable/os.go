package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

// ErrLocked is what TryLock returns while someone else holds the lock.
var ErrLocked = errors.New("durable: locked by another holder")

// OS returns the operating system's files.
func OS() FS { return osFS{} }

// Guarded returns the operating system's files for folders that others, who need
// not mean well, put things into: what OpenFile opens is a file, or
// ErrNotRegular; neither is a symbolic link followed, nor waited for a pipe.
// Folders on the way to a file may be links. TryLock follows no link either.
func Guarded() FS { return osFS{guarded: true} }

// ErrNotRegular is the error for what is no file, or a symbolic link.
var ErrNotRegular = errors.New("durable: not a file")

type osFS struct{ guarded bool }

func (o osFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	open := openFile
	if o.guarded {
		open = openRegular
	}
	f, err := open(name, flag, perm)
	if err != nil {
		return nil, err // not a nil *os.File in a non-nil File
	}
	return f, nil
}

func (osFS) Rename(oldName, newName string) error       { return rename(oldName, newName) }
func (osFS) Link(oldName, newName string) error         { return os.Link(oldName, newName) }
func (osFS) Remove(name string) error                   { return os.Remove(name) }
func (osFS) Mkdir(name string, perm fs.FileMode) error  { return os.Mkdir(name, perm) }
func (osFS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }
func (osFS) Stat(name string) (fs.FileInfo, error)      { return os.Stat(name) }
func (osFS) Lstat(name string) (fs.FileInfo, error)     { return os.Lstat(name) }
func (osFS) SyncDir(name string) error                  { return syncDir(name) }

func (o osFS) TryLock(name string) (io.Closer, error) {
	if o.guarded {
		return tryLock(name, noFollow)
	}
	return tryLock(name, 0)
}

func (osFS) Chtimes(name string, mtime time.Time) error {
	return os.Chtimes(name, time.Time{}, mtime)
}

func (osFS) ReadNames(name string) ([]string, error) {
	d, err := openFile(name, os.O_RDONLY|onlyFolder, 0)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}
