package archive

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mailbricks/mailbricks/internal/durable"
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
