package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/maildirpp"
	"github.com/mailbricks/mailbricks/mailbox"
)

// mboxTreeReader reads the mbox files of a folder, one after the other.
type mboxTreeReader struct {
	fsys  durable.FS
	opts  Options
	files []mboxFile // still to come
	open  Reader     // nil: none
}

// mboxFile is a file of the mailbox of a name.
type mboxFile struct{ path, name string }

// Endings of names in folders of mboxes: of folders below a mailbox in Thunderbird, and the file of a folder NAME.mbox of
// Apple Mail's.
const (
	sbdSuffix = ".sbd"
	appleFile = "mbox"
)

func openMboxTree(fsys durable.FS, dir string, opts Options) (Reader, error) {
	r := &mboxTreeReader{fsys: fsys, opts: opts}
	if err := r.find(dir, nil); err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	if len(r.files) == 0 {
		return nil, fmt.Errorf("%w: no mbox file in %s", ErrFormat, dir)
	}
	slices.SortStableFunc(r.files, func(a, b mboxFile) int { return strings.Compare(a.name, b.name) })
	return r, nil
}

// find looks for mboxes in a folder, whose mailboxes stand below some levels. Hidden ones and symbolic links are passed over.
func (r *mboxTreeReader) find(dir string, levels []string) error {
	entries, err := r.fsys.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, path := e.Name(), filepath.Join(dir, e.Name())
		own, isOwn := strings.CutSuffix(name, mboxSuffix)
		switch {
		case strings.HasPrefix(name, "."):
		case e.Type().IsRegular() && isOwn:
			r.add(path, levels, mailboxOf(own))
		case e.Type().IsRegular():
			is, err := beginsWith(r.fsys, path, fromPrefix)
			if err != nil {
				return err
			}
			if is {
				r.add(path, levels, maildirpp.DecodeLevel(name))
			}
		case e.IsDir() && isOwn && r.isFile(filepath.Join(path, appleFile)):
			r.add(filepath.Join(path, appleFile), levels, own)
		case e.IsDir() && len(levels) < mailbox.MaxLevels:
			if err := r.find(path, append(slices.Clone(levels), maildirpp.DecodeLevel(strings.TrimSuffix(name, sbdSuffix)))); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *mboxTreeReader) add(path string, levels []string, name string) {
	r.files = append(r.files, mboxFile{path, strings.Join(append(slices.Clone(levels), name), mailbox.Delimiter)})
}

func (r *mboxTreeReader) isFile(path string) bool {
	info, err := r.fsys.Lstat(path)
	return err == nil && info.Mode().IsRegular()
}

// beginsWith says whether a file begins with a text.
func beginsWith(fsys durable.FS, path, text string) (bool, error) {
	file, err := fsys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	defer file.Close()
	start := make([]byte, len(text))
	n, err := io.ReadFull(file, start)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return string(start[:n]) == text, err
}

// Next implements Reader.
func (r *mboxTreeReader) Next(ctx context.Context) (Entry, error) {
	for {
		if r.open != nil {
			e, err := r.open.Next(ctx)
			if !errors.Is(err, io.EOF) {
				return e, err
			}
			if err := r.Close(); err != nil {
				return Entry{}, err
			}
		}
		if len(r.files) == 0 {
			return Entry{}, io.EOF
		}
		f := r.files[0]
		r.files = r.files[1:]
		opts := r.opts
		opts.Mailbox = f.name
		if _, err := mailbox.CleanName(f.name); err != nil {
			return Entry{}, fmt.Errorf("archive: %.200q: %w", f.path, err)
		}
		var err error
		if r.open, err = open(r.fsys, f.path, Mbox, opts); err != nil {
			r.open = nil
			return Entry{}, err
		}
	}
}

// Close implements Reader.
func (r *mboxTreeReader) Close() error {
	if r.open == nil {
		return nil
	}
	open := r.open
	r.open = nil
	return open.Close()
}
