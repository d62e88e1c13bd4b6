package maildir

import (
	"path/filepath"

	"github.com/mailbricks/mailbricks/internal/durable"
)

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

// exchange puts a tree that is on disk in the account's place. From the first rename on the account is the restored one: who
// opens it next goes on where this ended.
func (r *restore) exchange(temp string) error {
	a := r.account
	if err := durable.RemoveTree(r.files, a.beside(replacedPrefix)); err != nil {
		return err
	}
	if err := r.files.Rename(temp, a.beside(restoredPrefix)); err != nil {
		return err
	}
	err := r.files.SyncDir(filepath.Dir(a.dir))
	if err == nil {
		err = a.finishRestore()
	}
	if err != nil {
		a.maildir.unready(a.dir)
	}
	return err
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
		if err := durable.RemoveTree(fsys, a.beside(replacedPrefix)); err != nil {
			return err
		}
		if err := fsys.Rename(a.dir, a.beside(replacedPrefix)); err != nil {
			return err
		}
	}
	if err := a.keepArrivals(a.beside(replacedPrefix), restored); err != nil {
		return err
	}
	if err := fsys.Rename(restored, a.dir); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(a.dir))
}

// removeReplaced removes the tree that a restored one has replaced, if an interrupted Restore has left it.
func (a *account) removeReplaced() {
	fsys, replaced := a.maildir.files, a.beside(replacedPrefix)
	for _, dir := range []string{replaced, filepath.Join(a.dir, "cur")} {
		if info, err := statOrNil(fsys, dir); err != nil || info == nil {
			return
		}
	}
	err := fsys.SyncDir(filepath.Dir(a.dir)) // the account is there for certain
	if err == nil {
		err = ignoreNotExist(durable.RemoveTree(fsys, replaced)) // Restore may be doing that as well
	}
	if err != nil {
		a.maildir.logger().Warn("maildir: what was replaced is still on disk", "folder", replaced, "error", err)
	}
}
