package durable

import (
	"io"
	"io/fs"
	"os"
	"time"
)

// File is an open file. *os.File implements it.
type File interface {
	io.Reader
	io.ReaderAt
	io.Writer
	io.Seeker
	io.Closer

	// Name is the name the file was opened with.
	Name() string
	// Stat describes the open file, also when its name is gone.
	Stat() (fs.FileInfo, error)
	// Sync returns when all that was written is on disk.
	Sync() error
	// Truncate sets the length in bytes.
	Truncate(size int64) error
}

// FS is a file system as a store uses it. Names are the operating system's
// (package path/filepath); errors satisfy errors.Is with fs.ErrNotExist,
// fs.ErrExist and the like. All methods may be called at the same time.
type FS interface {
	// OpenFile is os.OpenFile.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// Rename gives a file or folder a new name, replacing a file that has it.
	Rename(oldName, newName string) error
	// Link gives a file a further name; fs.ErrExist if that name is taken.
	// Some file systems have no links: the caller needs another way then.
	Link(oldName, newName string) error
	// Remove takes away a name, or an empty folder.
	Remove(name string) error
	// Mkdir makes one folder.
	Mkdir(name string, perm fs.FileMode) error
	// ReadDir lists a folder, sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	// ReadNames lists the names in a folder in no particular order: cheaper
	// than ReadDir for folders of many thousand files.
	ReadNames(name string) ([]string, error)
	// Stat describes what a name stands for, following symbolic links.
	Stat(name string) (fs.FileInfo, error)
	// Lstat is Stat without following a symbolic link.
	Lstat(name string) (fs.FileInfo, error)
	// Chtimes sets the time of the last modification.
	Chtimes(name string, mtime time.Time) error
	// SyncDir returns when the names in a folder are on disk.
	SyncDir(name string) error
	// TryLock takes an exclusive lock that ends with Close or with the
	// process. It makes the file name if there is none and never removes it.
	// ErrLocked if another holder, in this process or another, has it.
	TryLock(name string) (io.Closer, error)
}

// SameFile reports whether two descriptions from the same FS are of one file,
// whatever its name. It is os.SameFile for every FS: one that lies over another
// gives what that says by a method Under() fs.FileInfo.
func SameFile(a, b fs.FileInfo) bool {
	a, b = under(a), under(b)
	return os.SameFile(a, b) || a.Sys() != nil && a.Sys() == b.Sys()
}

func under(info fs.FileInfo) fs.FileInfo {
	for {
		over, ok := info.(interface{ Under() fs.FileInfo })
		if !ok {
			return info
		}
		info = over.Under()
	}
}
