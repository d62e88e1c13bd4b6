package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// dirWriter writes an archive that is a folder.
type dirWriter interface {
	Write(ctx context.Context, e Entry) (bool, error)
	// finish ends it; abort ends what is open.
	finish() error
	abort()
}

// treeWriter makes the folder beside its place, and moves it there at the end.
type treeWriter struct {
	dirWriter
	fsys       durable.FS
	path, temp string
	done       bool
}

func createDir(fsys durable.FS, path string, format func(dir string) dirWriter) (Writer, error) {
	if names, err := fsys.ReadNames(path); err == nil && len(names) > 0 {
		return nil, fmt.Errorf("%w: %s, and it is not empty", ErrExists, path)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("archive: %w", err)
	}
	w := &treeWriter{fsys: fsys, path: path, temp: path + partial}
	err := durable.RemoveTree(fsys, w.temp) // left by one that was interrupted
	if err == nil {
		err = fsys.Mkdir(w.temp, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	w.dirWriter = format(w.temp)
	return w, nil
}

// Finish implements Writer.
func (w *treeWriter) Finish() error {
	if w.done {
		return nil
	}
	err := w.finish()
	if err == nil {
		err = w.fsys.SyncDir(w.temp)
	}
	if err == nil {
		if err = w.fsys.Remove(w.path); errors.Is(err, fs.ErrNotExist) { // it is empty
			err = nil
		}
	}
	if err == nil {
		err = w.fsys.Rename(w.temp, w.path)
	}
	if err == nil {
		w.done = true
		err = w.fsys.SyncDir(filepath.Dir(w.path))
	}
	if err != nil {
		return fmt.Errorf("archive: %s: %w", w.path, err)
	}
	return nil
}

// Close implements Writer.
func (w *treeWriter) Close() error {
	if w.done {
		return nil
	}
	w.done = true
	w.abort()
	return durable.RemoveTree(w.fsys, w.temp)
}
