package maildir

import (
	"context"
	"io"
	"path/filepath"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// patience ends when another process has been waited for long enough, or with Close.
func (m *Maildir) patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(m.stopping, lockTimeout)
}

// lockFile takes one of the account's lock files.
func (a *account) lockFile(name string) (io.Closer, error) {
	ctx, cancel := a.maildir.patience()
	defer cancel()
	return durable.Lock(ctx, a.fs(), filepath.Join(a.dir, name))
}

// lockStructure keeps all others, in this process and elsewhere, from making, renaming and removing folders.
func (a *account) lockStructure() (unlock func(), err error) {
	a.structure.Lock()
	lock, err := a.lockFile(structureLock)
	if err != nil {
		a.structure.Unlock()
		return nil, err
	}
	unlock = func() {
		_ = lock.Close()
		a.structure.Unlock()
	}
	if err := a.finishRename(); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}
