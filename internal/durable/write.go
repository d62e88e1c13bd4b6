package durable

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// tempSuffix ends the name of a file that WriteFile has not finished.
const tempSuffix = ".tmp"

// WriteFile replaces the contents of the file name, or makes it, in one step:
// whoever reads it, also after a power cut, sees the old contents or the new
// ones, and when WriteFile has returned nil the new ones are on disk. It writes
// a file of its own in the same folder (NAME.RANDOM.tmp), which CleanTemps finds
// if the process ends in between.
func WriteFile(fsys FS, name string, data []byte, perm fs.FileMode) error {
	err := replaceFile(fsys, name, data, perm)
	if err == nil {
		err = fsys.SyncDir(filepath.Dir(name))
	}
	if err != nil {
		return fmt.Errorf("durable: write %s: %w", name, err)
	}
	return nil
}

// ReplaceFile is WriteFile for one of several files in a folder: the contents are on disk when it returns nil, the name is
// once the caller has synced the folder.
func ReplaceFile(fsys FS, name string, data []byte, perm fs.FileMode) error {
	if err := replaceFile(fsys, name, data, perm); err != nil {
		return fmt.Errorf("durable: write %s: %w", name, err)
	}
	return nil
}

func replaceFile(fsys FS, name string, data []byte, perm fs.FileMode) error {
	temp := name + "." + rand.Text() + tempSuffix
	f, err := fsys.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = fsys.Rename(temp, name)
	}
	if err != nil {
		_ = fsys.Remove(temp) // the first error is the one that tells
	}
	return err
}

// IsTemp says whether a file's name, without its folder, is one that WriteFile gives a file it has not finished.
func IsTemp(name string) bool {
	name, ok := strings.CutSuffix(name, tempSuffix)
	dot := strings.LastIndexByte(name, '.')
	if !ok || dot < 1 || len(name)-dot-1 != len(rand.Text()) {
		return false
	}
	return strings.Trim(name[dot+1:], "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// CleanTemps removes from a folder what interrupted calls of WriteFile left
// there: files whose names end in .tmp and that were not written to since
// before. Nobody may be within WriteFile for longer than that.
func CleanTemps(fsys FS, dir string, before time.Time) error {
	names, err := fsys.ReadNames(dir)
	if err != nil {
		return fmt.Errorf("durable: clean %s: %w", dir, err)
	}
	var errs []error
	for _, n := range names {
		if !strings.HasSuffix(n, tempSuffix) {
			continue
		}
		path := filepath.Join(dir, n)
		info, err := fsys.Lstat(path)
		if err == nil && info.Mode().IsRegular() && info.ModTime().Before(before) {
			err = fsys.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("durable: clean %s: %w", path, err))
		}
	}
	return errors.Join(errs...)
}

// ReadFile returns the contents of a file. It fails rather than return more
// than limit bytes; a limit of zero or less is none.
func ReadFile(fsys FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if limit > 0 && info.Size() > limit {
		return nil, fmt.Errorf("durable: read %s: %w", name, ErrTooLarge)
	}
	buf := make([]byte, 0, info.Size()+1) // one more, so that the end is seen without growing
	for {
		n, err := f.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if limit > 0 && int64(len(buf)) > limit {
			return nil, fmt.Errorf("durable: read %s: %w", name, ErrTooLarge)
		}
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, fmt.Errorf("durable: read %s: %w", name, err)
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
	}
}

// ErrTooLarge is what ReadFile returns for a file above the limit.
var ErrTooLarge = errors.New("file is larger than allowed")

// MkdirAll makes a folder and those above it that are missing, and returns when
// their names are on disk. A folder that is there already is not an error (and
// not synced again); a file in its place is.
func MkdirAll(fsys FS, dir string, perm fs.FileMode) error {
	dir = filepath.Clean(dir)
	if info, err := fsys.Stat(dir); err == nil {
		if info.IsDir() {
			return nil
		}
		return fmt.Errorf("durable: make folder %s: %w", dir, fs.ErrExist)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("durable: make folder %s: %w", dir, err)
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := MkdirAll(fsys, parent, perm); err != nil {
			return err
		}
	}
	if err := fsys.Mkdir(dir, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("durable: make folder %s: %w", dir, err)
	}
	if err := fsys.SyncDir(parent); err != nil {
		return fmt.Errorf("durable: make folder %s: %w", dir, err)
	}
	return nil
}
