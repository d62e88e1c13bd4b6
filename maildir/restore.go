package maildir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

// RestoreOptions say how a backup comes back.
type RestoreOptions struct {
	// From is the address of which the backup must be; empty: that of the account.
	From string
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
// the account find it changed or replaced. What was delivered or stored since Restore began stays, in a mailbox that the backup
// has not in INBOX; so does what is no mailbox, such as the user's home, unless the backup has it.
//
// A backup that has fewer messages or mailboxes than when it was made fails with ErrDamagedBackup: without Merge nothing is
// changed then, with Merge what is there has come back.
//
// With Merge, messages of the backup that cannot be read are left out, and Restore fails with ErrUnreadable when all others have come
// back. A message is missing if no message of the mailbox has its file name and no other one of the account its
// content; restoring twice brings nothing twice.
//
// What was encrypted in the backup needs the keys, of an open session or Maildir.ServerKey: with Merge always, otherwise unless
// the account has no mail. Without them Restore fails with mailbox.ErrLocked. An account that is encrypted stays so,
// with its keys, and what was not encrypted in the backup is from then on; but if its keys were rotated since, it gets back those of the
// backup, with the password and the recovery key that opened it then, and what came since Restore began is lost.
//
// It fails with ErrNoBackup, ErrOtherAccount and ErrNoAccount; then, and after any other error, Restore can be called again.
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
	if want := cmp.Or(opts.From, address); !strings.EqualFold(head.address, want) {
		return RestoreStats{}, fmt.Errorf("%w: of %.200q", ErrOtherAccount, head.address)
	}
	lock, err := m.files.TryLock(filepath.Join(dir, backupLock))
	if err != nil {
		return RestoreStats{}, err
	}
	defer lock.Close()
	r := &restore{account: a, files: m.files, head: head, from: filepath.Join(dir, head.tree)}
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
	head    backupHead
	from    string   // the backup's tree
	back    *account // likewise, for merge
	names   []string // of the mailboxes that were or are there

	unreadable int // messages of the backup, for merge
	stats      RestoreStats
}

// replace puts the backup's tree in the place of the account's.
func (r *restore) replace(ctx context.Context) error {
	a := r.account
	began := a.maildir.names.next()
	temp := a.beside(restoringPrefix)
	if err := durable.RemoveTree(r.files, temp); err != nil {
		return err
	}
	defer func() { _ = durable.RemoveTree(r.files, temp) }() // it has another name if all went well
	if err := r.copyTo(ctx, temp); err != nil {
		return err
	}
	unlock, err := a.lockAll()
	if err != nil {
		return err
	}
	err = r.adapt(temp, began)
	if err == nil {
		err = r.exchange(temp)
	}
	if err == nil {
		err = a.vault.restart()
	}
	if err == nil {
		err = a.finishMoves() // those that went on when the backup was taken
	}
	unlock()
	a.unload()
	a.ids.set(nil)
	if err != nil {
		return err
	}
	a.changed(r.names...)
	return ignoreNotExist(durable.RemoveTree(r.files, a.beside(replacedPrefix)))
}

// copyTo makes a tree of the backup, and of what the account has beside mail and the backup has not.
func (r *restore) copyTo(ctx context.Context, temp string) error {
	b := newBackup(r.account, r.from)
	defer b.copies.Close()
	if err := b.linkTree(ctx, temp); err != nil {
		return err
	}
	r.stats.Mailboxes, r.stats.Messages = b.stats.Mailboxes, b.stats.Messages
	if err := r.head.whole(b.stats.Mailboxes, b.stats.Messages); err != nil {
		r.stats = RestoreStats{}
		return err
	}
	return errors.Join(b.copyOthers(ctx, r.account.dir, temp, ""), b.copies.Finish())
}

// adapt makes the tree one that can take the account's place, and has it on disk. The account is locked.
func (r *restore) adapt(temp, began string) error {
	readable, err := r.keepKeys(temp)
	if err != nil {
		return err
	}
	back, err := r.treeAt(temp)
	if err != nil {
		return err
	}
	if err := r.number(back); err != nil {
		return err
	}
	if readable {
		if err := writeArrivals(r.files, temp, began); err != nil {
			return err
		}
	}
	return syncTree(r.files, temp)
}
