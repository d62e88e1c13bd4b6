//go:build !unix

package durable

import (
	"io/fs"
	"os"
)

func openFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, perm)
}

func rename(oldName, newName string) error { return os.Rename(oldName, newName) }
