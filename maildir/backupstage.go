package maildir

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// stage puts the account together beside it: first all messages that are there, while others work, then, with all
// mailboxes locked, what has changed since, and the files that are written to.
func (b *backup) stage(ctx context.Context) error {
	if err := durable.RemoveTree(b.files, b.staged); err != nil {
		return err
	}
	if err := b.files.Mkdir(b.staged, folderPerm); err != nil {
		return err
	}
	folders, err := rawFolders(b.files, b.account.dir)
	if err != nil {
		return err
	}
	b.account.takeDovecotKeywords(ctx, folders)
	for _, folder := range folders {
		if err := b.stageFolder(ctx, folder); err != nil {
			return err
		}
	}
	if err := b.copyOthers(ctx, b.account.dir, b.staged, ""); err != nil {
		return err
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
			if err := durable.RemoveTree(b.files, filepath.Join(b.staged, folder)); err != nil {
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
		if err != nil && !errors.Is(err, fs.ErrPermission) { // else what is in it fails alone
			return nil, err
		}
		if err != nil || info != nil && info.IsDir() {
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
	if err == nil {
		var copied bool
		if copied, err = b.copies.linkOrCopy(from, to, info); err == nil && copied {
			b.stats.Copied++
		}
	}
	if err == nil || isNotExist(err) {
		return nil
	}
	had, hadErr := b.had(filepath.Dir(filepath.Dir(path)))
	if hadErr != nil {
		return hadErr
	}
	base, _ := splitName(filepath.Base(path))
	_, err = b.instead(from, had[base], to, err)
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
			err = b.copies.copy(path, filepath.Join(to, e.Name()), info)
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

// derivedPrefix begins the names of files that can be made anew from others.
const derivedPrefix = "mailbricks-summaries"

func isDerived(name string) bool {
	return strings.HasPrefix(name, derivedPrefix) && !strings.HasSuffix(name, ".lock")
}
