package maildir

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// A backup is a folder with these files:
//
//	mailbricks-backup        its name and version, then lines "address <address>", "mail <folder>", "taken <RFC 3339>", and
//	                         "mailboxes <number>" and "messages <number>", by which a copy that is not whole is noticed
//	mailbricks-backup.lock   locked by who writes or reads the backup
//	mail-<number>            the account's tree, as it was: a Maildir++ that any program reads
//
// The folder that the file names is the backup; others are of runs that were interrupted, and the next run removes them.
const (
	backupFile    = "mailbricks-backup"
	backupVersion = "1"
	backupLock    = "mailbricks-backup.lock"
	backupTree    = "mail-"
	maxBackupFile = 64 << 10
)

// stagedBackup is where a backup is put together, in the account's folder, so that files get a second name there.
const stagedBackup = hiddenPrefix + "mailbricks-backup"

// ErrNoBackup: there is no backup in a folder.
var ErrNoBackup = errors.New("maildir: no backup here")

// ErrDamagedBackup: a backup has fewer mailboxes or messages than it had when it was made.
var ErrDamagedBackup = errors.New("maildir: backup is not whole")

// ErrOtherAccount: the backup in a folder is of another account.
var ErrOtherAccount = errors.New("maildir: backup of another account")

// BackupOptions are for Backup. The zero value is good.
type BackupOptions struct {
	// Progress is told now and then, while messages are copied to another file system, how many of how many are there; nil:
	// nobody is.
	Progress func(done, total int)
	// Unreadable is told of each file that cannot be read, and why; nil: nobody is.
	Unreadable func(path string, err error)
}

// BackupStats counts what is in a backup.
type BackupStats struct {
	// Mailboxes and Messages that it has.
	Mailboxes, Messages int
	// Copied are messages whose octets were copied, since they could not be linked: 0 within one file system.
	Copied int
	// Unreadable are files of the account that cannot be read. The backup has those messages that the earlier one had.
	Unreadable int
}

// Backup puts a copy of an account into the folder dir, which is made if need be, and takes the place of an earlier backup
// of this account there. The account can be used meanwhile: all its mailboxes are as they were at one moment, with their UIDs,
// flags, keywords and modseqs, and wait only while the names of their files are compared. It waits until files are converted (see
// FinishEncryption). Messages are linked, not copied, where dir is
// in the same file system (so that they need no space until they are deleted), and else copied unless the earlier backup has
// them. Files that are written to are always copied; what can be made anew from the others is left out. Encrypted mail stays so.
// Folders in the account that are no mailboxes, such as the user's home with Sieve scripts, are copied, too; symbolic links are not.
//
// The backup is there, on disk, when Backup returns nil; until then the earlier one is. dir must not be in the account's folder,
// nor that in dir, nor dir in Root. Where single files
// cannot be read, the backup is made with all others and Backup fails with ErrUnreadable. It fails with ErrNoAccount, and with durable locks held by another backup of this account or in dir.
func (m *Maildir) Backup(ctx context.Context, address, dir string, opts BackupOptions) (BackupStats, error) {
	a, err := m.acquire(ctx, address)
	if err != nil {
		return BackupStats{}, err
	}
	defer m.release(a)
	b := newBackup(a, filepath.Join(a.dir, stagedBackup))
	b.dir, b.opts = dir, opts
	defer b.copies.Close()
	b.skip = map[string]bool{}
	stats, err := b.run(ctx, address)
	if err == nil {
		err = stats.failed()
	}
	if err != nil {
		return stats, fmt.Errorf("maildir: backup of %.200q to %s: %w", address, dir, err)
	}
	return stats, nil
}

// backup is a run of Backup.
type backup struct {
	account *account
	files   durable.FS // the account's files as they lie on disk, encrypted or not
	staged  string     // folder
	dir     string
	opts    BackupOptions
	copies  copier
	stats   BackupStats
	done    int             // messages that copyTree has seen to
	old     string          // tree of the earlier backup; empty: none
	skip    map[string]bool // files that cannot be read; nil: there must not be any
}

func newBackup(a *account, staged string) *backup {
	files := a.maildir.files
	return &backup{account: a, files: files, staged: staged, copies: copier{durable.Batch{FS: files, Dir: filepath.Dir(a.dir)}}}
}

func (b *backup) run(ctx context.Context, address string) (BackupStats, error) {
	a, dir := b.account, b.dir
	if err := errors.Join(apart(a.dir, dir), a.maildir.outside(dir)); err != nil {
		return b.stats, err
	}
	if err := durable.MkdirAll(b.files, dir, folderPerm); err != nil {
		return b.stats, err
	}
	own, err := b.files.TryLock(filepath.Join(a.dir, backupLock))
	if err != nil {
		return b.stats, err
	}
	defer own.Close()
	conversion, err := durable.Lock(ctx, b.files, filepath.Join(a.dir, conversionLock)) // files keep their names and get other contents
	if err != nil {
		return b.stats, err
	}
	defer conversion.Close()
	lock, err := b.files.TryLock(filepath.Join(dir, backupLock))
	if err != nil {
		return b.stats, err
	}
	defer lock.Close()
	before, err := readBackup(b.files, dir)
	if err != nil && !errors.Is(err, ErrNoBackup) {
		return b.stats, err
	}
	if strings.ContainsFunc(address, func(r rune) bool { return r < ' ' }) {
		return b.stats, fmt.Errorf("%w: %.100q", errAddress, address)
	}
	if before.address != "" && !strings.EqualFold(before.address, address) {
		return b.stats, fmt.Errorf("%w: of %.200q", ErrOtherAccount, before.address)
	}
	if before.tree != "" {
		b.old = filepath.Join(dir, before.tree)
	}
	defer func() { _ = durable.RemoveTree(b.files, b.staged) }() // it is gone if all went well, and if it stays the next run removes it
	if err := b.stage(ctx); err != nil {
		return b.stats, err
	}
	tree, err := b.place(ctx, before)
	if err != nil {
		return b.stats, err
	}
	head := backupHead{address: address, tree: tree, taken: a.maildir.now(), mailboxes: b.stats.Mailboxes, messages: b.stats.Messages}
	if err := head.write(b.files, dir); err != nil {
		return b.stats, err
	}
	b.removeOthers(tree)
	return b.stats, nil
}

// apart fails if one folder is within the other.
func apart(account, dir string) error {
	for _, path := range []*string{&account, &dir} {
		var err error
		if *path, err = realPath(*path); err != nil {
			return err
		}
	}
	if strings.HasPrefix(account, dir) || strings.HasPrefix(dir, account) {
		return errors.New("the backup and the account would be one within the other")
	}
	return nil
}

// outside fails if a folder is within Root, where it might be taken for an account's or lie in one.
func (m *Maildir) outside(dir string) error {
	if m.Root == "" {
		return nil
	}
	root, err := realPath(m.Root)
	if err == nil {
		dir, err = realPath(dir)
	}
	if err != nil || filepath.Dir(root) == root { // all is within the root of a file system
		return err
	}
	if strings.HasPrefix(dir, root) {
		return errors.New("the backup would be within the folder of the accounts")
	}
	return nil
}

// realPath is a whole path without symbolic links, as far as it exists, with a separator behind it.
func realPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := ""
	for at := abs; ; at = filepath.Dir(at) {
		if real, err := filepath.EvalSymlinks(at); err == nil {
			abs = filepath.Join(real, rest)
			break
		}
		if at == filepath.Dir(at) {
			break
		}
		rest = filepath.Join(filepath.Base(at), rest)
	}
	if !strings.HasSuffix(abs, string(filepath.Separator)) {
		abs += string(filepath.Separator)
	}
	return abs, nil
}
