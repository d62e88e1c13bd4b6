package maildir

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// purgedPrefix is of folders beside the accounts' that are on their way out; no account's name begins like this.
const purgedPrefix = "..purged-"

// Purge removes the mail of an address, at AccountPath under Root, that has no account any more. Sessions that are still
// in it find its mailboxes gone. When Purge returns nil, a power cut does not bring the mail back; when it was interrupted,
// what is left goes with the next Purge of the address. It does nothing where there is no mail.
func (m *Maildir) Purge(ctx context.Context, address string) error {
	m.init()
	path, err := AccountPath(address)
	if err != nil {
		return err
	}
	dir := filepath.Join(m.Root, path)
	hidden := filepath.Join(filepath.Dir(dir), purgedPrefix+filepath.Base(dir))
	gone := &account{maildir: m, dir: dir}
	if err := gone.removeTree(hidden); err != nil && !isNotExist(err) {
		return fmt.Errorf("maildir: purge %.200q: %w", address, err)
	}
	for _, prefix := range []string{restoredPrefix, restoringPrefix, replacedPrefix} { // of a Restore that was interrupted
		if err := durable.RemoveTree(m.files, gone.beside(prefix)); err != nil {
			return fmt.Errorf("maildir: purge %.200q: %w", address, err)
		}
	}
	if err := m.hide(ctx, dir, hidden); err != nil {
		if isNotExist(err) {
			return nil
		}
		return fmt.Errorf("maildir: purge %.200q: %w", address, err)
	}
	err = gone.removeTree(hidden)
	if err == nil {
		err = m.syncDir(filepath.Dir(dir)) // or else a power cut brings the folder back, though under its other name
	}
	if err != nil {
		return fmt.Errorf("maildir: purge %.200q: %w", address, err)
	}
	return nil
}

// hide takes an account's folder out of its place, for good.
func (m *Maildir) hide(ctx context.Context, dir, hidden string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := m.files.Rename(dir, hidden); err != nil {
		return err
	}
	m.mu.Lock()
	a := m.accounts[dir]
	if a != nil {
		a.refs++
	}
	delete(m.ready, dir)
	m.mu.Unlock()
	if a != nil {
		a.unload()
		m.release(a)
	}
	return m.syncDir(filepath.Dir(dir))
}
