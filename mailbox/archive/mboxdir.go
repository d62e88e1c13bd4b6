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
	"github.com/mailbricks/mailbricks/mailbox"
)

// mboxSuffix ends the names of the files in a folder of mboxes.
const mboxSuffix = ".mbox"

// mboxDirWriter writes a file for each mailbox.
type mboxDirWriter struct {
	fsys durable.FS
	dir  string
	file durable.File // nil: none is open
	mbox Writer
}

func (w *mboxDirWriter) Write(ctx context.Context, e Entry) (bool, error) {
	if e.Mailbox != nil {
		if err := w.close(); err != nil {
			return false, err
		}
		path := filepath.Join(w.dir, fileName(e.Mailbox.Name)+mboxSuffix)
		file, err := w.fsys.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return false, err
		}
		w.file, w.mbox = file, NewMboxWriter(file)
	}
	if e.Account != nil {
		return true, nil
	}
	if w.mbox == nil {
		return false, fmt.Errorf("%w: message without a mailbox", ErrFormat)
	}
	return w.mbox.Write(ctx, e)
}

// close finishes the file that is open.
func (w *mboxDirWriter) close() error {
	if w.file == nil {
		return nil
	}
	err := w.mbox.Finish()
	if err == nil {
		err = w.file.Sync()
	}
	if closeErr := w.file.Close(); err == nil {
		err = closeErr
	}
	w.file, w.mbox = nil, nil
	return err
}

func (w *mboxDirWriter) finish() error { return w.close() }

func (w *mboxDirWriter) abort() {
	if w.file != nil {
		_ = w.file.Close()
		w.file = nil
	}
}

// mboxDirReader reads the files of a folder, one after the other.
type mboxDirReader struct {
	fsys  durable.FS
	dir   string
	opts  Options
	names []string // still to come
	open  Reader   // nil: none
}

func openMboxDir(fsys durable.FS, dir string, opts Options) (Reader, error) {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	r := &mboxDirReader{fsys: fsys, dir: dir, opts: opts}
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasSuffix(e.Name(), mboxSuffix) {
			r.names = append(r.names, e.Name())
		}
	}
	if len(r.names) == 0 {
		return nil, fmt.Errorf("%w: no file NAME%s in %s", ErrFormat, mboxSuffix, dir)
	}
	slices.Sort(r.names)
	return r, nil
}

// Next implements Reader.
func (r *mboxDirReader) Next(ctx context.Context) (Entry, error) {
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
		if len(r.names) == 0 {
			return Entry{}, io.EOF
		}
		name := r.names[0]
		r.names = r.names[1:]
		opts := r.opts
		opts.Mailbox = mailboxOf(strings.TrimSuffix(name, mboxSuffix))
		if _, err := mailbox.CleanName(opts.Mailbox); err != nil {
			return Entry{}, fmt.Errorf("archive: %.200q: %w", name, err)
		}
		var err error
		if r.open, err = open(r.fsys, filepath.Join(r.dir, name), Mbox, opts); err != nil {
			r.open = nil
			return Entry{}, err
		}
	}
}

// Close implements Reader.
func (r *mboxDirReader) Close() error {
	if r.open == nil {
		return nil
	}
	open := r.open
	r.open = nil
	return open.Close()
}
