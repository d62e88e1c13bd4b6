package maildir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// copier copies files; they are on disk when its Batch has finished.
type copier struct{ durable.Batch }

// linkOrCopy gives a file one more name or, where that is not possible, makes a copy.
func (c *copier) linkOrCopy(from, to string, info fs.FileInfo) (copied bool, err error) {
	err = c.FS.Link(from, to)
	if err == nil || isNotExist(err) || errors.Is(err, fs.ErrExist) {
		return false, err
	}
	return true, c.copy(from, to, info)
}

// copyFile copies a file, which is on disk then, though not its name. The copy has the same date.
func copyFile(fsys durable.FS, from, to string, info fs.FileInfo) error {
	c := copier{durable.Batch{FS: fsys, Dir: filepath.Dir(to)}}
	return errors.Join(c.copy(from, to, info), c.Finish())
}

// copy makes a copy with the same date. Its name is not on disk.
func (c *copier) copy(from, to string, info fs.FileInfo) error {
	fsys := c.FS
	in, err := fsys.OpenFile(from, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := fsys.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, messagePerm)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, in)
	if err == nil && n < info.Size() {
		err = fmt.Errorf("%s: %w", from, io.ErrUnexpectedEOF)
	}
	if err == nil {
		err = fsys.Chtimes(to, info.ModTime())
	}
	if err == nil {
		err = c.Sync(out)
	}
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = fsys.Remove(to)
	}
	return err
}
