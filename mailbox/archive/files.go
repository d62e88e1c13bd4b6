package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// Format is a form of archive.
type Format string

// The formats.
const (
	// Mbox is a file of one mailbox, or a folder of such files.
	Mbox Format = "mbox"
	// Maildir is a Maildir++ tree.
	Maildir Format = "maildir"
	// Tar is a tar of the account.
	Tar Format = "tar"
)

// CreateOptions are for Create.
type CreateOptions struct {
	Format Format
	// OneMailbox makes an mbox a file of one mailbox rather than a folder of such files.
	OneMailbox bool
	// Compress has a tar compressed with gzip; it is, too, if its path ends in .gz or .tgz.
	Compress bool
}

// Create makes an archive at a path. It is there, whole, when Finish has returned nil, and until then something beside it whose
// name ends in .partial; if writing fails nothing stays. A file of the name is replaced; a folder must not be there, unless it is
// empty: ErrExists. What Finish has made is on disk.
func Create(path string, opts CreateOptions) (Writer, error) {
	return create(durable.OS(), path, opts)
}

func create(fsys durable.FS, path string, opts CreateOptions) (Writer, error) {
	path = filepath.Clean(path)
	switch {
	case opts.Format == Tar:
		compress := opts.Compress || strings.HasSuffix(path, ".gz") || strings.HasSuffix(path, ".tgz")
		return createFile(fsys, path, func(w io.Writer) Writer { return NewTarWriter(w, compress) })
	case opts.Format == Mbox && opts.OneMailbox:
		return createFile(fsys, path, NewMboxWriter)
	case opts.Format == Mbox:
		return createDir(fsys, path, func(dir string) dirWriter { return &mboxDirWriter{fsys: fsys, dir: dir} })
	case opts.Format == Maildir:
		return createDir(fsys, path, func(dir string) dirWriter { return newMaildirWriter(fsys, dir) })
	}
	return nil, fmt.Errorf("%w: there is no format %.20q", ErrFormat, opts.Format)
}

// partial ends the name of what is not finished.
const partial = ".partial"

// fileWriter writes an archive that is one file.
type fileWriter struct {
	Writer
	fsys       durable.FS
	path, temp string
	file       durable.File // nil: finished or closed
}

func createFile(fsys durable.FS, path string, format func(io.Writer) Writer) (Writer, error) {
	if info, err := fsys.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s, and it is no file", ErrExists, path)
	}
	w := &fileWriter{fsys: fsys, path: path, temp: path + partial}
	var err error
	if err = fsys.Remove(w.temp); err == nil || errors.Is(err, fs.ErrNotExist) { // left by one that was interrupted
		w.file, err = fsys.OpenFile(w.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	w.Writer = format(w.file)
	return w, nil
}

// Finish implements Writer.
func (w *fileWriter) Finish() error {
	if w.file == nil {
		return nil
	}
	err := w.Writer.Finish()
	if err == nil {
		err = w.file.Sync()
	}
	if closeErr := w.file.Close(); err == nil {
		err = closeErr
	}
	w.file = nil
	if err == nil {
		err = w.fsys.Rename(w.temp, w.path)
	}
	if err == nil {
		err = w.fsys.SyncDir(filepath.Dir(w.path))
	} else {
		_ = w.fsys.Remove(w.temp) // the first error tells
	}
	if err != nil {
		return fmt.Errorf("archive: %s: %w", w.path, err)
	}
	return nil
}

// Close implements Writer.
func (w *fileWriter) Close() error {
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return errors.Join(err, w.fsys.Remove(w.temp), w.Writer.Close())
}

// Detect says what an archive at a path looks like: a folder is a Maildir if it has a folder cur, or one of the folders in it
// whose names begin with a dot has, and otherwise of mbox files; a file that begins with "From " is an mbox, any other a tar.
func Detect(path string) (Format, error) { return detect(durable.OS(), path) }

func detect(fsys durable.FS, path string) (Format, error) {
	info, err := fsys.Stat(path)
	if err != nil {
		return "", fmt.Errorf("archive: %w", err)
	}
	if info.IsDir() {
		if _, err := openMaildir(fsys, path, Options{}); errors.Is(err, ErrFormat) {
			return Mbox, nil
		} else if err != nil {
			return "", err
		}
		return Maildir, nil
	}
	is, err := beginsWith(fsys, path, fromPrefix)
	if err != nil {
		return "", fmt.Errorf("archive: %w", err)
	}
	if is {
		return Mbox, nil
	}
	return Tar, nil
}

// Open opens an archive at a path. An empty format is the one that Detect finds, and an unknown one gives ErrFormat. An mbox may be a file or a folder: files NAME.mbox in it are mailboxes, with names as Create
// writes them, and so are others that begin with "From ", those in folders below it, where ".sbd" at the end of a folder's name
// does not count (Thunderbird), and the files NAME.mbox/mbox of Apple Mail. Hidden files are passed over.
func Open(path string, format Format, opts Options) (Reader, error) {
	return open(durable.OS(), path, format, opts)
}

func open(fsys durable.FS, path string, format Format, opts Options) (Reader, error) {
	info, err := fsys.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	if format == "" {
		if format, err = detect(fsys, path); err != nil {
			return nil, err
		}
	}
	switch {
	case format == Maildir && info.IsDir():
		return openMaildir(fsys, path, opts)
	case format == Maildir:
		return nil, fmt.Errorf("%w: %s is no folder", ErrFormat, path)
	case format == Mbox && info.IsDir():
		return openMboxTree(fsys, path, opts)
	case format != Mbox && format != Tar:
		return nil, fmt.Errorf("%w: there is no format %.20q", ErrFormat, format)
	case info.IsDir():
		return nil, fmt.Errorf("%w: %s is a folder", ErrFormat, path)
	}
	file, err := fsys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	if format == Tar {
		return &fileReader{NewTarReader(file, opts), file}, nil
	}
	return &fileReader{NewMboxReader(file, opts), file}, nil
}

// fileReader is a Reader that closes its file.
type fileReader struct {
	Reader
	file io.Closer
}

// Close implements Reader.
func (r *fileReader) Close() error { return errors.Join(r.Reader.Close(), r.file.Close()) }
