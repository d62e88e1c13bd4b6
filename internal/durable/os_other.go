//go:build !unix

package durable

import (
	"io/fs"
	"os"
)

func openFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, perm)
}

const (
	noFollow   = 0
	onlyFolder = 0
)

// openRegular is openFile for what is a file.
func openRegular(name string, flag int, perm fs.FileMode) (*os.File, error) {
	info, err := os.Lstat(name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, &os.PathError{Op: "open", Path: name, Err: ErrNotRegular}
	}
	return openFile(name, flag, perm)
}

func rename(oldName, newName string) error { return os.Rename(oldName, newName) }
