package maildir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// A backup is a folder with these files:
//
//	mailbricks-backup        its name and version, then lines "address <address>", "mail <folder>" and "taken <RFC 3339>"
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

// BackupStats counts what is in a backup.
type BackupStats struct {
	// Mailboxes and Messages that it has.
	Mailboxes, Messages int
	// Copied are messages whose octets were copied, since they could not be linked: 0 within one file system.
	Copied int
}

// Backup puts a copy of an account into the folder dir, which is made if need be, and takes the place of an earlier backup
// of this account there. The account can be used meanwhile: all its mailboxes are as they were at one moment, with their UIDs,
// flags, keywords and modseqs, and wait only while the names of their files are compared. It waits until files are converted (see
// FinishEncryption). Messages are linked, not copied, where dir is
// in the same file system (so that they need no space until they are deleted), and else copied unless the earlier backup has
// them. Files that are written to are always copied; what can be made anew from the others is left out. Encrypted mail stays so.
//
// The backup is there, on disk, when Backup returns nil; until then the earlier one is. dir must not be in the account's folder,
// nor that in dir. It fails with ErrNoAccount, and with durable locks held by another backup of this account or in dir.
func (m *Maildir) Backup(ctx context.Context, address, dir string) (BackupStats, error) {
	a, err := m.acquire(ctx, address)
	if err != nil {
		return BackupStats{}, err
	}
	defer m.release(a)
	stats, err := a.backup(ctx, address, dir)
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
	stats   BackupStats
}

func (a *account) backup(ctx context.Context, address, dir string) (BackupStats, error) {
	b := &backup{account: a, files: a.maildir.files, staged: filepath.Join(a.dir, stagedBackup), dir: dir}
	if err := apart(a.dir, dir); err != nil {
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
		return b.stats, fmt.Errorf("it has the backup of %.200q", before.address)
	}
	defer func() { _ = removeTree(b.files, b.staged) }() // it is gone if all went well, and if it stays the next run removes it
	if err := b.stage(ctx); err != nil {
		return b.stats, err
	}
	tree, err := b.place(ctx, before)
	if err != nil {
		return b.stats, err
	}
	head := backupHead{address: address, tree: tree, taken: a.maildir.now()}
	if err := head.write(b.files, dir); err != nil {
		return b.stats, err
	}
	b.removeOthers(tree)
	return b.stats, nil
}

// apart fails if one folder is within the other.
func apart(account, dir string) error {
	for _, path := range []*string{&account, &dir} {
		abs, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		if real, err := filepath.EvalSymlinks(abs); err == nil {
			abs = real
		}
		*path = abs + string(filepath.Separator)
	}
	if strings.HasPrefix(account, dir) || strings.HasPrefix(dir, account) {
		return errors.New("the backup and the account would be one within the other")
	}
	return nil
}

// backupHead is what the file says.
type backupHead struct {
	address, tree string
	taken         time.Time
}

// readBackup reads the file; ErrNoBackup if there is none.
func readBackup(fsys durable.FS, dir string) (backupHead, error) {
	data, err := durable.ReadFile(fsys, filepath.Join(dir, backupFile), maxBackupFile)
	if isNotExist(err) {
		return backupHead{}, fmt.Errorf("%w: %s", ErrNoBackup, dir)
	}
	if err != nil {
		return backupHead{}, err
	}
	var head backupHead
	first, rest, _ := strings.Cut(string(data), "\n")
	name, version, _ := strings.Cut(first, " ")
	switch {
	case name != backupFile:
		return head, fmt.Errorf("%w: %s is damaged", ErrNoBackup, filepath.Join(dir, backupFile))
	case version != backupVersion:
		return head, fmt.Errorf("%w: backup of version %.20q", errNewer, version)
	}
	for line := range strings.SplitSeq(rest, "\n") {
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "address":
			head.address = value
		case "mail":
			head.tree = value
		case "taken":
			head.taken, _ = time.Parse(time.RFC3339, value) // only for people
		}
	}
	if _, ok := treeNumber(head.tree); !ok {
		return head, fmt.Errorf("%w: %s is damaged", ErrNoBackup, filepath.Join(dir, backupFile))
	}
	return head, nil
}

func (h backupHead) write(fsys durable.FS, dir string) error {
	text := fmt.Sprintf("%s %s\naddress %s\nmail %s\ntaken %s\n", backupFile, backupVersion, h.address, h.tree, h.taken.UTC().Format(time.RFC3339))
	return durable.WriteFile(fsys, filepath.Join(dir, backupFile), []byte(text), messagePerm)
}

// treeNumber is the number in the name of a tree.
func treeNumber(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, backupTree)
	n, err := strconv.ParseUint(digits, 10, 63)
	return n, ok && err == nil && name == backupTree+strconv.FormatUint(n, 10)
}

// removeOthers removes trees that are not the backup.
func (b *backup) removeOthers(tree string) {
	names, err := b.files.ReadNames(b.dir)
	if err != nil {
		return // the next run tries again
	}
	for _, name := range names {
		if _, ok := treeNumber(name); !ok || name == tree {
			continue
		}
		if err := removeTree(b.files, filepath.Join(b.dir, name)); err != nil {
			b.account.maildir.logger().Warn("maildir: old backup is still there", "folder", filepath.Join(b.dir, name), "error", err)
		}
	}
}

// removeTree removes a folder with all in it; it does nothing if there is none.
func removeTree(fsys durable.FS, dir string) error {
	entries, err := fsys.ReadDir(dir)
	if isNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			err = removeTree(fsys, path)
		} else {
			err = fsys.Remove(path)
		}
		if err != nil && !isNotExist(err) {
			return err
		}
	}
	return fsys.Remove(dir)
}

// stage puts the account together beside it: first all messages that are there, while others work, then, with all
// mailboxes locked, what has changed since, and the files that are written to.
func (b *backup) stage(ctx context.Context) error {
	if err := removeTree(b.files, b.staged); err != nil {
		return err
	}
	if err := b.files.Mkdir(b.staged, folderPerm); err != nil {
		return err
	}
	folders, err := rawFolders(b.files, b.account.dir)
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if err := b.stageFolder(ctx, folder); err != nil {
			return err
		}
	}
	unlock, err := b.account.lockAll()
	if err != nil {
		return err
	}
	defer unlock()
	now, err := rawFolders(b.files, b.account.dir)
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if !slices.Contains(now, folder) {
			if err := removeTree(b.files, filepath.Join(b.staged, folder)); err != nil {
				return err
			}
		}
	}
	for _, folder := range now {
		if err := b.settleFolder(ctx, folder); err != nil {
			return err
		}
	}
	b.stats.Mailboxes = len(now)
	return nil
}

// rawFolders lists the folders of a tree that are mailboxes, INBOX's as "", sorted.
func rawFolders(fsys durable.FS, root string) ([]string, error) {
	entries, err := fsys.ReadDir(root)
	if err != nil {
		return nil, err
	}
	folders := []string{""}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), ".") || strings.HasPrefix(e.Name(), hiddenPrefix) {
			continue
		}
		info, err := statOrNil(fsys, filepath.Join(root, e.Name(), "cur"))
		if err != nil {
			return nil, err
		}
		if info != nil && info.IsDir() {
			folders = append(folders, e.Name())
		}
	}
	return folders, nil
}

// lockAll keeps this process from changing anything of the account, but for deliveries, and others from changing the list of
// folders.
func (a *account) lockAll() (unlock func(), err error) {
	unlockStructure, err := a.lockStructure()
	if err != nil {
		return nil, err
	}
	names, err := rawFolders(a.fs(), a.dir)
	if err != nil {
		unlockStructure()
		return nil, err
	}
	var locked []*folder
	for _, name := range names { // in the order of names
		f := a.folder(name)
		f.writing.Lock()
		locked = append(locked, f)
	}
	return func() {
		for _, f := range locked {
			f.writing.Unlock()
			a.leave(f)
		}
		unlockStructure()
	}, nil
}

// stageFolder gives the messages of a folder second names. What is renamed or removed meanwhile is seen to later.
func (b *backup) stageFolder(ctx context.Context, folder string) error {
	to := filepath.Join(b.staged, folder)
	if folder != "" {
		if err := b.files.Mkdir(to, folderPerm); err != nil {
			return err
		}
	}
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := b.files.Mkdir(filepath.Join(to, sub), folderPerm); err != nil {
			return err
		}
		if sub == "tmp" {
			continue
		}
		names, err := b.files.ReadNames(filepath.Join(b.account.path(folder), sub))
		if isNotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := b.stageFile(ctx, filepath.Join(folder, sub, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// stageFile stages a message; one that is gone is left out.
func (b *backup) stageFile(ctx context.Context, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	from, to := filepath.Join(b.account.dir, path), filepath.Join(b.staged, path)
	info, err := b.files.Lstat(from)
	if isNotExist(err) || err == nil && !info.Mode().IsRegular() {
		return nil
	}
	if err != nil {
		return err
	}
	copied, err := linkOrCopy(b.files, from, to, info)
	if isNotExist(err) {
		return nil
	}
	if copied {
		b.stats.Copied++
	}
	return err
}

// linkOrCopy gives a file one more name or, where that is not possible, makes a copy.
func linkOrCopy(fsys durable.FS, from, to string, info fs.FileInfo) (copied bool, err error) {
	err = fsys.Link(from, to)
	if err == nil || isNotExist(err) || errors.Is(err, fs.ErrExist) {
		return false, err
	}
	return true, copyFile(fsys, from, to, info)
}

// copyFile copies a file, which is on disk then, though not its name. The copy has the same date.
func copyFile(fsys durable.FS, from, to string, info fs.FileInfo) error {
	in, err := fsys.OpenFile(from, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := fsys.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, messagePerm)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, in)
	if err == nil && n < info.Size() {
		err = fmt.Errorf("%s: %w", from, io.ErrUnexpectedEOF)
	}
	if err == nil {
		err = fsys.Chtimes(to, info.ModTime())
	}
	if err == nil {
		err = out.Sync()
	}
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = fsys.Remove(to)
	}
	return err
}

// settleFolder makes a staged folder the same as the account's, which is locked.
func (b *backup) settleFolder(ctx context.Context, folder string) error {
	dir, to := b.account.path(folder), filepath.Join(b.staged, folder)
	lockCtx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	lock, err := durable.Lock(lockCtx, b.files, filepath.Join(dir, lockFile))
	if err != nil {
		return err
	}
	defer lock.Close()
	if info, err := statOrNil(b.files, to); err != nil {
		return err
	} else if info == nil { // it is new
		if err := b.stageFolder(ctx, folder); err != nil {
			return err
		}
	}
	for _, sub := range []string{"new", "cur"} {
		if err := b.settleNames(ctx, filepath.Join(folder, sub)); err != nil {
			return err
		}
	}
	return b.copyFiles(dir, to)
}

// settleNames makes the names in a staged folder those of the account's.
func (b *backup) settleNames(ctx context.Context, sub string) error {
	names, err := b.files.ReadNames(filepath.Join(b.account.dir, sub))
	if err != nil && !isNotExist(err) {
		return err
	}
	have, err := b.files.ReadNames(filepath.Join(b.staged, sub))
	if err != nil {
		return err
	}
	slices.Sort(names)
	slices.Sort(have)
	for _, name := range have {
		if _, ok := slices.BinarySearch(names, name); !ok {
			if err := b.files.Remove(filepath.Join(b.staged, sub, name)); err != nil {
				return err
			}
		}
	}
	for _, name := range names {
		if _, ok := slices.BinarySearch(have, name); !ok {
			if err := b.stageFile(ctx, filepath.Join(sub, name)); err != nil {
				return err
			}
		}
	}
	now, err := b.files.ReadNames(filepath.Join(b.staged, sub))
	b.stats.Messages += len(now)
	return err
}

// copyFiles copies the files beside the messages.
func (b *backup) copyFiles(from, to string) error {
	entries, err := b.files.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !inBackup(e.Name()) {
			continue
		}
		path := filepath.Join(from, e.Name())
		info, err := b.files.Lstat(path)
		if isNotExist(err) {
			continue
		}
		if err == nil {
			err = copyFile(b.files, path, filepath.Join(to, e.Name()), info)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// inBackup says whether a file beside the messages belongs in a backup: not locks, files that are not finished, and what is
// made from the others.
func inBackup(name string) bool {
	return !strings.HasSuffix(name, ".lock") && !strings.HasSuffix(name, ".tmp") && name != sizeFile &&
		!strings.HasPrefix(name, "dovecot.index") && !isDerived(name)
}

// place brings the staged tree into the backup's folder, durably, and gives its name there.
func (b *backup) place(ctx context.Context, before backupHead) (string, error) {
	last, _ := treeNumber(before.tree)
	names, err := b.files.ReadNames(b.dir)
	if err != nil {
		return "", err
	}
	for _, name := range names {
		if n, ok := treeNumber(name); ok {
			last = max(last, n)
		}
	}
	tree := backupTree + strconv.FormatUint(last+1, 10)
	to := filepath.Join(b.dir, tree)
	if err := b.files.Rename(b.staged, to); err != nil {
		old := ""
		if before.tree != "" {
			old = filepath.Join(b.dir, before.tree)
		}
		if err := b.copyTree(ctx, old, to); err != nil {
			_ = removeTree(b.files, to)
			return "", err
		}
	}
	if err := syncTree(b.files, to); err != nil {
		return "", err
	}
	// Both, as a power cut could leave both names of the tree, the old one of which is that of what may be removed.
	if err := b.files.SyncDir(b.dir); err != nil {
		return "", err
	}
	return tree, b.files.SyncDir(b.account.dir)
}

// syncTree syncs the names in the folders of a Maildir tree.
func syncTree(fsys durable.FS, root string) error {
	folders, err := rawFolders(fsys, root)
	if err != nil {
		return err
	}
	for _, folder := range folders {
		for _, sub := range []string{"new", "cur", "tmp", ""} {
			if err := fsys.SyncDir(filepath.Join(root, folder, sub)); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyTree copies the staged tree to another file system, but for the messages that the backup before has.
func (b *backup) copyTree(ctx context.Context, old, to string) error {
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
		for _, sub := range []string{"tmp", "new", "cur"} {
			if err := b.files.Mkdir(filepath.Join(to, folder, sub), folderPerm); err != nil {
				return err
			}
		}
		if err := b.copyFiles(filepath.Join(b.staged, folder), filepath.Join(to, folder)); err != nil {
			return err
		}
		if err := b.copyMessages(ctx, folder, old, to); err != nil {
			return err
		}
	}
	return nil
}

// copyMessages copies the messages of a folder.
func (b *backup) copyMessages(ctx context.Context, folder, old, to string) error {
	had := map[string]string{} // paths in the backup before, by file names without flags
	for _, sub := range []string{"new", "cur"} {
		if old == "" {
			break
		}
		names, err := b.files.ReadNames(filepath.Join(old, folder, sub))
		if err != nil && !isNotExist(err) {
			return err
		}
		for _, name := range names {
			base, _ := splitName(name)
			had[base] = filepath.Join(old, folder, sub, name)
		}
	}
	for _, sub := range []string{"new", "cur"} {
		names, err := b.files.ReadNames(filepath.Join(b.staged, folder, sub))
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return err
			}
			path := filepath.Join(folder, sub, name)
			base, _ := splitName(name)
			if err := b.copyMessage(filepath.Join(b.staged, path), had[base], filepath.Join(to, path)); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyMessage copies a message or, where it is the same, links that of the backup before.
func (b *backup) copyMessage(from, old, to string) error {
	info, err := b.files.Lstat(from)
	if err != nil {
		return err
	}
	if old != "" {
		was, err := b.files.Lstat(old)
		if err == nil && was.Mode().IsRegular() && was.Size() == info.Size() && was.ModTime().Equal(info.ModTime()) && b.files.Link(old, to) == nil {
			return nil
		}
	}
	b.stats.Copied++
	return copyFile(b.files, from, to, info)
}

// derivedPrefix begins the names of files that can be made anew from others.
const derivedPrefix = "mailbricks-summaries"

func isDerived(name string) bool {
	return strings.HasPrefix(name, derivedPrefix) && !strings.HasSuffix(name, ".lock")
}
