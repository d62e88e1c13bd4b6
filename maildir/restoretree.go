package maildir

import (
	"context"
	"path/filepath"
)

// linkTree is copyTree with links where that is possible.
func (b *backup) linkTree(ctx context.Context, to string) error {
	folders, err := b.makeFolders(to)
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if err := b.copyFiles(filepath.Join(b.staged, folder), filepath.Join(to, folder)); err != nil {
			return err
		}
		for _, sub := range []string{"tmp", "new", "cur"} {
			if err := b.linkNames(ctx, filepath.Join(folder, sub), to); err != nil {
				return err
			}
		}
	}
	b.stats.Mailboxes = len(folders)
	return b.copyOthers(ctx, b.staged, to, "")
}

func (b *backup) linkNames(ctx context.Context, sub, to string) error {
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
			_, err = b.copies.linkOrCopy(from, filepath.Join(to, sub, name), info)
		}
		if err != nil {
			return err
		}
		b.stats.Messages++
	}
	return nil
}
