package maildir

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/sealed"
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

// Folders beside an account's that Restore makes; the rest of their names is the account's.
const (
	restoringPrefix = "..restoring-" // not complete
	restoredPrefix  = "..restored-"  // complete, and on disk: it takes the account's place, whatever happens
	replacedPrefix  = "..replaced-"  // what was in its place, on the way out
)

// beside is one of these folders.
func (a *account) beside(prefix string) string {
	return filepath.Join(filepath.Dir(a.dir), prefix+filepath.Base(a.dir))
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

// linkTree is copyTree with links where that is possible.
func (b *backup) linkTree(ctx context.Context, to string) error {
	if err := b.files.Mkdir(to, folderPerm); err != nil {
		return err
	}
	folders, err := rawFolders(b.files, b.staged)
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if folder != "" {
			if err := b.files.Mkdir(filepath.Join(to, folder), folderPerm); err != nil {
				return err
			}
		}
		if err := b.copyFiles(filepath.Join(b.staged, folder), filepath.Join(to, folder)); err != nil {
			return err
		}
		for _, sub := range []string{"tmp", "new", "cur"} {
			if err := b.linkNames(ctx, filepath.Join(folder, sub), to); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *backup) linkNames(ctx context.Context, sub, to string) error {
	if err := b.files.Mkdir(filepath.Join(to, sub), folderPerm); err != nil {
		return err
	}
	names, err := b.files.ReadNames(filepath.Join(b.staged, sub))
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		from := filepath.Join(b.staged, sub, name)
		info, err := b.files.Lstat(from)
		if err == nil && !info.Mode().IsRegular() {
			continue
		}
		if err == nil {
			_, err = linkOrCopy(b.files, from, filepath.Join(to, sub, name), info)
		}
		if err != nil {
			return err
		}
		b.stats.Messages++
	}
	return nil
}

// exchange puts a tree that is on disk in the account's place. From the first rename on the account is the restored one: who
// opens it next goes on where this ended.
func (r *restore) exchange(temp string) error {
	a := r.account
	if err := removeTree(r.files, a.beside(replacedPrefix)); err != nil {
		return err
	}
	if err := r.files.Rename(temp, a.beside(restoredPrefix)); err != nil {
		return err
	}
	if err := r.files.SyncDir(filepath.Dir(a.dir)); err != nil {
		return err
	}
	return a.finishRestore()
}

// finishRestore puts a restored tree in the account's place, if there is one.
func (a *account) finishRestore() error {
	fsys, restored := a.maildir.files, a.beside(restoredPrefix)
	info, err := statOrNil(fsys, restored)
	if err != nil || info == nil {
		return err
	}
	if err := fsys.Rename(a.dir, a.beside(replacedPrefix)); err != nil && !isNotExist(err) {
		// What was replaced by a restore before may still be there.
		if err := removeTree(fsys, a.beside(replacedPrefix)); err != nil {
			return err
		}
		if err := fsys.Rename(a.dir, a.beside(replacedPrefix)); err != nil {
			return err
		}
	}
	if err := fsys.Rename(restored, a.dir); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(a.dir))
}

// restoreMargin is how far UIDNEXT goes up where nobody knows which UIDs were given since the backup.
const restoreMargin = 100_000

// number sees to it that no UID of the restored tree has another meaning than in the account that it replaces, and that no modseq
// goes back. The account is locked.
func (r *restore) number(back *account) error {
	a := r.account
	used, err := a.countFiles()
	if err != nil {
		return err
	}
	folders, err := rawFolders(back.fs(), back.dir)
	if err != nil {
		return err
	}
	r.stats.Mailboxes = len(folders)
	before, err := rawFolders(a.fs(), a.dir)
	if err != nil {
		return err
	}
	for _, folder := range before {
		r.names = append(r.names, nameOf(folder))
	}
	if err := r.keepValidity(back); err != nil {
		return err
	}
	for _, folder := range folders {
		r.names = append(r.names, nameOf(folder))
		if err := r.numberFolder(back, folder, used.messages == 0); err != nil {
			return err
		}
	}
	slices.Sort(r.stats.Renumbered)
	return nil
}

// nameOf is the mailbox that a folder is, or the folder's name if it is none.
func nameOf(folder string) string {
	if folder == "" {
		return mailbox.Inbox
	}
	if name, ok := mailboxName(folder); ok {
		return name
	}
	return folder
}

// keepValidity makes the last UIDVALIDITY of the restored tree the larger one of both.
func (r *restore) keepValidity(back *account) error {
	var last uint64
	for _, a := range []*account{r.account, back} {
		data, err := durable.ReadFile(a.fs(), filepath.Join(a.dir, validityFile), 64)
		if err != nil && !isNotExist(err) {
			return err
		}
		if n, err := strconv.ParseUint(strings.TrimSpace(string(data)), 16, 32); err == nil {
			last = max(last, n)
		}
	}
	if last == 0 {
		return nil
	}
	return back.writeValidity(uint32(last))
}

// writeValidity notes which UIDVALIDITY was the last.
func (a *account) writeValidity(last uint32) error {
	text := fmt.Sprintf("%0*x", validityDigits, last)
	if err := durable.WriteFile(a.fs(), filepath.Join(a.dir, validityFile), []byte(text), messagePerm); err != nil {
		return err
	}
	a.renameValidity(text)
	return nil
}

// numbering is what a folder says of its UIDs.
type numbering struct {
	list  *uidlist // nil: none that can be read
	index *index   // nil: likewise
	uids  map[uint32]bool
	last  uint64 // modseq
	// locked: there is an index that cannot be read without the keys.
	locked bool
}

// readNumbers reads the two files of a folder that may not be there.
func (a *account) readNumbers(folder string) (numbering, error) {
	fsys, dir := a.fs(), a.path(folder)
	n := numbering{uids: map[uint32]bool{}}
	data, err := durable.ReadFile(fsys, filepath.Join(dir, uidlistFile), maxListSize)
	if isNotExist(err) {
		return n, nil
	}
	if err != nil {
		return n, err
	}
	if n.list, err = parseUIDList(data); errors.Is(err, errNewer) {
		return n, err
	} else if err != nil {
		n.list = nil
		return n, nil
	}
	for _, l := range n.list.lines {
		n.uids[l.uid] = true
		n.last = max(n.last, l.modseq)
	}
	data, err = durable.ReadFile(fsys, filepath.Join(dir, indexFile), maxListSize)
	if errors.Is(err, mailbox.ErrLocked) {
		n.locked = true
		return n, nil
	}
	if err != nil && !isNotExist(err) && !errors.Is(err, sealed.ErrDamaged) {
		return n, err
	}
	if err == nil {
		if n.index, err = parseIndex(data); errors.Is(err, errNewer) {
			return n, err
		} else if err != nil || n.index.validity != n.list.validity {
			n.index = nil
			return n, nil
		}
		n.last = max(n.last, n.index.modseq)
		for _, e := range n.index.expunged {
			delete(n.uids, e.uid)
		}
	}
	return n, nil
}

// numberFolder numbers one folder. empty says that the account has no mail.
func (r *restore) numberFolder(back *account, folder string, empty bool) error {
	was, err := back.readNumbers(folder)
	if err != nil || was.list == nil { // without a list it gets a new UIDVALIDITY when it is opened
		return err
	}
	now, err := r.account.readNumbers(folder)
	if err != nil {
		return err
	}
	switch {
	case empty && (now.list == nil || now.list.validity != was.list.validity || now.list.next < was.list.next):
		was.list.next = uint32(min(uint64(was.list.next)+restoreMargin, 1<<32-2))
		if was.locked { // the modseqs are in what cannot be read
			return was.writeList(back.fs(), back.path(folder))
		}
	case was.locked || now.locked:
		return mailbox.ErrLocked
	case now.list == nil || now.list.validity != was.list.validity || now.list.next != was.list.next || !was.within(now):
		if was.list.validity, err = r.account.nextValidity(); err == nil {
			err = back.writeValidity(was.list.validity)
		}
		if err != nil {
			return err
		}
		r.stats.Renumbered = append(r.stats.Renumbered, nameOf(folder))
	case now.last == was.last && now.index != nil && was.index != nil:
		return nil // nothing has happened since
	}
	return was.write(back.fs(), back.path(folder), max(uint64(time.Now().UnixMicro()), was.last+1, now.last+1))
}

// within says whether other has all of these UIDs.
func (n numbering) within(other numbering) bool {
	for uid := range n.uids {
		if !other.uids[uid] {
			return false
		}
	}
	return true
}

// writeList writes the list.
func (n numbering) writeList(fsys durable.FS, dir string) error {
	data := n.list.header()
	for i := range n.list.lines {
		data = n.list.lines[i].appendTo(data)
	}
	return durable.WriteFile(fsys, filepath.Join(dir, uidlistFile), data, messagePerm)
}

// write writes both files with modseqs from base on.
func (n numbering) write(fsys durable.FS, dir string, base uint64) error {
	for i := range n.list.lines {
		if l := &n.list.lines[i]; l.modseq != 0 {
			l.modseq = base
		}
	}
	if err := n.writeList(fsys, dir); err != nil {
		return err
	}
	if n.index == nil {
		if err := fsys.Remove(filepath.Join(dir, indexFile)); err != nil && !isNotExist(err) {
			return err
		}
		return nil
	}
	log := appendIndexHeader(nil, n.list.validity, base)
	var doomed []uint32
	for _, l := range n.list.lines { // in this order, so that a tree always gets the same files
		if f, ok := n.index.flags[l.uid]; ok && n.uids[l.uid] {
			log = appendFlagsLine(log, l.uid, base, f.flags, f.keywords)
		}
		if !n.uids[l.uid] {
			doomed = append(doomed, l.uid)
		}
	}
	if len(doomed) > 0 {
		log = appendExpungeLine(log, 'x', base, doomed)
	}
	log = appendNumberLine(log, 'r', uint64(n.index.recent))
	log = appendNumberLine(log, 'm', base)
	return durable.WriteFile(fsys, filepath.Join(dir, indexFile), log, messagePerm)
}
