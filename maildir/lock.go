package maildir

import (
	"context"
	"errors"
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

// renameFolder gives a mailbox's folder another name while no other process is at work in it: what that does would get into a
// folder that has the old name next. Where the folder cannot be locked, as on a full disk, it is renamed all the same.
func (a *account) renameFolder(from, to string) error {
	lock, err := a.lockFile(filepath.Join(from, lockFile))
	if errors.Is(err, durable.ErrLocked) {
		return err
	}
	if err == nil && lockedFoldersMove {
		defer lock.Close()
	} else if err == nil {
		_ = lock.Close() // what was going on is over at least
	}
	return a.fs().Rename(a.path(from), a.path(to))
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
