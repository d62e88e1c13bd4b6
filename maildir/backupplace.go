package maildir

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// removeOthers removes trees that are not the backup, and what is left of files that were not finished.
func (b *backup) removeOthers(tree string) {
	names, err := b.files.ReadNames(b.dir)
	if err != nil {
		return // the next run tries again
	}
	for _, name := range names {
		if durable.IsTemp(name) && strings.HasPrefix(name, backupFile+".") {
			_ = b.files.Remove(filepath.Join(b.dir, name))
		}
		if _, ok := treeNumber(name); !ok || name == tree {
			continue
		}
		if err := durable.RemoveTree(b.files, filepath.Join(b.dir, name)); err != nil {
			b.account.maildir.logger().Warn("maildir: old backup is still there", "folder", filepath.Join(b.dir, name), "error", err)
		}
	}
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
	if err := b.copies.Finish(); err != nil {
		return "", err
	}
	if err := b.files.Rename(b.staged, to); err != nil {
		b.copies.Dir = b.dir
		if err := errors.Join(b.copyTree(ctx, to), b.copies.Finish()); err != nil {
			_ = durable.RemoveTree(b.files, to)
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
	return syncOthers(fsys, root)
}

// makeFolders makes the folders of the staged tree in another place, and says which they are.
func (b *backup) makeFolders(to string) (folders []string, err error) {
	if folders, err = rawFolders(b.files, b.staged); err != nil {
		return nil, err
	}
	dirs := []string{to}
	for _, folder := range folders {
		if folder != "" {
			dirs = append(dirs, filepath.Join(to, folder))
		}
		for _, sub := range []string{"tmp", "new", "cur"} {
			dirs = append(dirs, filepath.Join(to, folder, sub))
		}
	}
	for _, dir := range dirs {
		if err := b.files.Mkdir(dir, folderPerm); err != nil {
			return nil, err
		}
	}
	return folders, nil
}

// copyTree copies the staged tree to another file system, but for the messages that the backup before has.
func (b *backup) copyTree(ctx context.Context, to string) error {
	folders, err := b.makeFolders(to)
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if err := b.copyFiles(filepath.Join(b.staged, folder), filepath.Join(to, folder)); err != nil {
			return err
		}
		if err := b.copyMessages(ctx, folder, to); err != nil {
			return err
		}
	}
	return b.copyOthers(ctx, b.staged, to, b.old)
}

// copyMessages copies the messages of a folder.
func (b *backup) copyMessages(ctx context.Context, folder, to string) error {
	had, err := b.had(folder)
	if err != nil {
		return err
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
			from, old, target := filepath.Join(b.staged, path), had[base], filepath.Join(to, path)
			copied, err := b.copyUnlessHad(from, old, target)
			if err != nil {
				copied = false
				there, err := b.instead(from, old, target, err)
				if err != nil {
					return err
				}
				if !there {
					b.stats.Messages--
				}
			}
			if copied {
				b.stats.Copied++
			}
			b.tell()
		}
	}
	return nil
}

// tell tells how many messages have been copied.
func (b *backup) tell() {
	b.done++
	if b.opts.Progress != nil && (b.done%progressEvery == 0 || b.done == b.stats.Messages) {
		b.opts.Progress(b.done, b.stats.Messages)
	}
}

// copyUnlessHad copies a file or, where it is the same, links that of the backup before.
func (b *backup) copyUnlessHad(from, old, to string) (copied bool, err error) {
	info, err := b.files.Lstat(from)
	if err != nil {
		return false, err
	}
	if old != "" {
		was, err := b.files.Lstat(old)
		if err == nil && was.Mode().IsRegular() && was.Size() == info.Size() && was.ModTime().Equal(info.ModTime()) {
			same, err := b.sameStart(from, old)
			if err != nil {
				return false, err
			}
			if same && b.files.Link(old, to) == nil {
				return false, nil
			}
		}
	}
	return true, b.copies.copy(from, to, info)
}

// sealedStart is how much of two sealed files tells whether they are one: more than their headers.
const sealedStart = 4096

// sameStart says whether two files of an encrypted account begin with the same octets: after a rotation of its keys they have
// the same names, sizes and dates, and others.
func (b *backup) sameStart(one, two string) (bool, error) {
	if !b.account.vault.encrypted() {
		return true, nil
	}
	var starts [2][]byte
	for i, path := range []string{one, two} {
		f, err := b.files.OpenFile(path, os.O_RDONLY, 0)
		if err != nil {
			return false, err
		}
		starts[i], err = io.ReadAll(io.LimitReader(f, sealedStart))
		if err := errors.Join(err, f.Close()); err != nil {
			return false, err
		}
	}
	return bytes.Equal(starts[0], starts[1]), nil
}
