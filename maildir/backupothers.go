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

// What an account's folder has beside mailboxes, such as the user's home, Sieve scripts or what Check has put aside, goes into
// backups and comes back from them. Its files may be written to in place, so that they are always copied.

// isIndex says whether a folder is the index of a search engine of Dovecot's, which can be made anew.
func isIndex(name string) bool {
	return name == "xapian-indexes" || name == "lucene-indexes" || strings.HasPrefix(name, "fts-")
}

// otherDirs lists the folders in one of an account that are no mailboxes and not Maildir's own; mailboxes are those of the account.
func otherDirs(fsys durable.FS, dir string, mailboxes []string) ([]string, error) {
	entries, err := fsys.ReadDir(dir)
	if isNotExist(err) {
		return nil, nil
	}
	var out []string
	for _, e := range entries {
		name := e.Name()
		own := name == "tmp" || name == "new" || name == "cur" || strings.HasPrefix(name, hiddenPrefix) || slices.Contains(mailboxes, name)
		if e.IsDir() && !own && !isIndex(name) {
			out = append(out, name)
		}
	}
	return out, err
}

// eachOther calls do with each folder of a tree that is no mailbox's, as seen from root.
func eachOther(fsys durable.FS, root string, do func(dir string) error) error {
	folders, err := rawFolders(fsys, root)
	if err != nil {
		return err
	}
	for _, folder := range folders {
		names, err := otherDirs(fsys, filepath.Join(root, folder), folders)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := do(filepath.Join(folder, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyOthers copies what is no mailbox from one tree to another, where its mailboxes are, and leaves what is there as it is.
// Files that the tree old has are linked; it may be empty.
func (b *backup) copyOthers(ctx context.Context, from, to, old string) error {
	return eachOther(b.files, from, func(dir string) error {
		if info, err := statOrNil(b.files, filepath.Join(to, filepath.Dir(dir))); err != nil || info == nil {
			return err // the mailbox came meanwhile
		}
		if old == "" {
			return b.copyDir(ctx, filepath.Join(from, dir), filepath.Join(to, dir), "")
		}
		return b.copyDir(ctx, filepath.Join(from, dir), filepath.Join(to, dir), filepath.Join(old, dir))
	})
}

// copyDir copies a folder with all folders and files in it.
func (b *backup) copyDir(ctx context.Context, from, to, old string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := b.files.ReadDir(from)
	if isNotExist(err) {
		return nil
	}
	if b.skip != nil && unreadable(err) {
		b.unreadable(from, err)
		return nil
	}
	if err == nil {
		err = b.files.Mkdir(to, folderPerm)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, e := range entries {
		was := ""
		if old != "" {
			was = filepath.Join(old, e.Name())
		}
		source, target := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		switch {
		case e.IsDir() && !isIndex(e.Name()):
			err = b.copyDir(ctx, source, target, was)
		case e.Type().IsRegular():
			if _, err = b.copyUnlessHad(source, was, target); err != nil && !isNotExist(err) && !errors.Is(err, fs.ErrExist) {
				_, err = b.instead(source, was, target, err)
			}
		}
		if err != nil && !isNotExist(err) && !errors.Is(err, fs.ErrExist) { // gone, or there already
			return err
		}
	}
	return nil
}

// syncOthers syncs the names in the folders of a tree that are no mailboxes.
func syncOthers(fsys durable.FS, root string) error {
	return eachOther(fsys, root, func(dir string) error { return syncDeep(fsys, filepath.Join(root, dir)) })
}

// syncDeep syncs the names in a folder and in those below it.
func syncDeep(fsys durable.FS, dir string) error {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := syncDeep(fsys, filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return fsys.SyncDir(dir)
}
