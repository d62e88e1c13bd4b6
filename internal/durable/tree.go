package durable

import (
	"errors"
	"io/fs"
	"path/filepath"
)

// RemoveTree removes a folder with all in it; it does nothing if there is none,
// and a file that somebody else removes meanwhile is no error. What it leaves
// after an error, it removes when called again.
func RemoveTree(fsys FS, dir string) error {
	entries, err := fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			err = RemoveTree(fsys, path)
		} else {
			err = fsys.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return fsys.Remove(dir)
}
