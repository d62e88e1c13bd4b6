//go:build unix

package durable

import (
	"io/fs"
	"os"
	"syscall"
)

// openFile is os.OpenFile for files and folders, without the five calls by which the runtime finds out that it cannot poll
// them. Of perm only the permissions count.
func openFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	for {
		fd, err := syscall.Open(name, flag|syscall.O_CLOEXEC, uint32(perm.Perm()))
		switch err {
		case nil:
			return os.NewFile(uintptr(fd), name), nil
		case syscall.EINTR: // on some network file systems
		default:
			return nil, &os.PathError{Op: "open", Path: name, Err: err}
		}
	}
}

// rename is os.Rename without its look at what has the new name: only a folder there makes a difference, which the system
// refuses to replace by a file as well.
func rename(oldName, newName string) error {
	for {
		switch err := syscall.Rename(oldName, newName); err {
		case nil:
			return nil
		case syscall.EINTR:
		default:
			return &os.LinkError{Op: "rename", Old: oldName, New: newName, Err: err}
		}
	}
}
