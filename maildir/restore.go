package maildir

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

// RestoreOptions say how a backup comes back.
type RestoreOptions struct {
	// Merge puts back, as new messages, those that the account does not have any more, and the mailboxes that they need; all
	// that the account has stays. Otherwise the backup takes the place of all that the account has.
	Merge bool
}

// RestoreStats counts what came back.
type RestoreStats struct {
	// Mailboxes and Messages that came back: all of the backup or, with Merge, those that were missing.
	Mailboxes, Messages int
	// Renumbered are the mailboxes that have a new UIDVALIDITY, sorted, since the account had gone on.
	Renumbered []string
}

// Restore brings a backup that Backup made in dir back into the account of an address, which must exist for Accounts but need not
// have any mail. A message comes back with all that belongs to it.
//
// Without Merge the account is, in one step that a power cut leaves done or not begun, as it was. Its mailboxes keep their
// UIDVALIDITY and their UIDs if the account has no mail at all (then UIDNEXT is far enough up for what was given out since),
// and where no UID was given and no message expunged since the backup. Any other mailbox gets a new UIDVALIDITY, so that
// no UID gets another meaning. Modseqs never go back: unless nothing has happened since, all get new ones. Sessions that are in a mailbox of
// the account find it changed or replaced. Mail that arrives while Restore runs may be lost with all else that is replaced.
//
// With Merge a message is missing if no message of the mailbox has its file name and no other one of the account its
// content; restoring twice brings nothing twice.
//
// What was encrypted in the backup needs the keys, of an open session or Maildir.ServerKey: with Merge always, otherwise unless
// the account has no mail. Without them Restore fails with mailbox.ErrLocked. An account that is encrypted stays so,
// with its keys, and what was not encrypted in the backup is from then on; but if its keys were rotated since, it gets back those of the
// backup, with the password and the recovery key that opened it then.
//
// It fails with ErrNoBackup and ErrNoAccount; then, and after any other error, Restore can be called again.
func (m *Maildir) Restore(ctx context.Context, address, dir string, opts RestoreOptions) (RestoreStats, error) {
	stats, err := m.restore(ctx, address, dir, opts)
	if err != nil {
		return stats, fmt.Errorf("maildir: restore of %.200q from %s: %w", address, dir, err)
	}
	return stats, nil
}

func (m *Maildir) restore(ctx context.Context, address, dir string, opts RestoreOptions) (RestoreStats, error) {
	a, err := m.acquire(ctx, address)
	if err != nil {
		return RestoreStats{}, err
	}
	defer m.release(a)
	if err := apart(a.dir, dir); err != nil {
		return RestoreStats{}, err
	}
	head, err := readBackup(m.files, dir)
	if err != nil {
		return RestoreStats{}, err
	}
	lock, err := m.files.TryLock(filepath.Join(dir, backupLock))
	if err != nil {
		return RestoreStats{}, err
	}
	defer lock.Close()
	r := &restore{account: a, files: m.files, from: filepath.Join(dir, head.tree)}
	if err := a.openForSession(); err != nil && !errors.Is(err, mailbox.ErrLocked) {
		return r.stats, err
	}
	conversion, err := durable.Lock(ctx, m.files, filepath.Join(a.dir, conversionLock))
	if err != nil {
		return r.stats, err
	}
	if opts.Merge {
		err = r.merge(ctx)
	} else {
		err = r.replace(ctx)
	}
	_ = conversion.Close() // nothing was written
	a.convertInBackground()
	return r.stats, err
}

// restore is a run of Restore.
type restore struct {
	account *account
	files   durable.FS
	from    string   // the backup's tree
	back    *account // likewise, for merge
	names   []string // of the mailboxes that were or are there
	stats   RestoreStats
}

// replace puts the backup's tree in the place of the account's.
func (r *restore) replace(ctx context.Context) error {
	a := r.account
	temp := a.beside(restoringPrefix)
	if err := removeTree(r.files, temp); err != nil {
		return err
	}
	defer func() { _ = removeTree(r.files, temp) }() // it has another name if all went well
	copied := backup{account: a, files: r.files, staged: r.from}
	if err := copied.linkTree(ctx, temp); err != nil {
		return err
	}
	unlock, err := a.lockAll()
	if err != nil {
		return err
	}
	var back *account
	if err = r.keepKeys(temp); err == nil {
		back, err = r.treeAt(temp)
	}
	if err == nil {
		err = r.number(back)
	}
	if err == nil {
		err = syncTree(r.files, temp)
	}
	if err == nil {
		err = r.exchange(temp)
	}
	if err == nil {
		err = a.vault.restart()
	}
	unlock()
	a.unload()
	a.ids.set(nil)
	r.stats.Messages = copied.stats.Messages
	if err != nil {
		return err
	}
	a.changed(r.names...)
	return removeTree(r.files, a.beside(replacedPrefix))
}
