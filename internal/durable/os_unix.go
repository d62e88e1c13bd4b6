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
	fd, err := open(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

func open(name string, flag int, perm fs.FileMode) (fd int, err error) {
	for {
		fd, err := syscall.Open(name, flag|syscall.O_CLOEXEC, uint32(perm.Perm()))
		switch err {
		case nil:
			return fd, nil
		case syscall.EINTR: // on some network file systems
		default:
			return -1, &os.PathError{Op: "open", Path: name, Err: err}
		}
	}
}

const (
	noFollow   = syscall.O_NOFOLLOW
	onlyFolder = syscall.O_DIRECTORY // or else the system waits for who writes to a pipe of this name
)

// openRegular is openFile for what is a file. One that is made with O_EXCL is.
func openRegular(name string, flag int, perm fs.FileMode) (*os.File, error) {
	if flag&os.O_EXCL != 0 && flag&os.O_CREATE != 0 {
		return openFile(name, flag, perm)
	}
	fd, err := open(name, flag|noFollow|syscall.O_NONBLOCK, perm)
	if err != nil {
		if isOdd(name) {
			err = &os.PathError{Op: "open", Path: name, Err: ErrNotRegular}
		}
		return nil, err
	}
	var stat syscall.Stat_t
	if err = syscall.Fstat(fd, &stat); err == nil && uint32(stat.Mode)&syscall.S_IFMT != syscall.S_IFREG {
		err = ErrNotRegular
	}
	if err == nil {
		err = syscall.SetNonblock(fd, false) // which says nothing for files, but has package os try to poll them
	}
	if err != nil {
		_ = syscall.Close(fd)
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// isOdd says why a file could not be opened: systems have different errors for links, pipes and folders.
func isOdd(name string) bool {
	info, err := os.Lstat(name)
	return err == nil && !info.Mode().IsRegular()
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
