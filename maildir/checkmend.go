package maildir

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

// renew puts a copy aside of a file that mend has written anew.
func (c *folderCheck) renew(path string) error {
	c.rewrite = true
	return c.keepCopy(path)
}

// mend does what is left to do.
func (c *folderCheck) mend(ctx context.Context) error {
	if !c.opts.Repair || c.stats.Locked {
		return nil
	}
	if len(c.lies)+len(c.drop) > 0 {
		if err := c.locked(ctx, c.rename); err != nil {
			return err
		}
	}
	if !c.rewrite && !c.again && len(c.lies)+len(c.drop) == 0 {
		return nil
	}
	err := c.renewed(c.f)
	if errors.Is(err, mailbox.ErrNoMailbox) { // it has another UIDVALIDITY now: those who have it open are told
		f := c.account.folder(c.folder)
		defer c.account.leave(f)
		err = c.renewed(f)
	}
	return err
}

// renewed has all files of a folder looked at and its index files written anew.
func (c *folderCheck) renewed(f *folder) error {
	f.writing.Lock()
	f.rescan = true
	f.writing.Unlock()
	rewrite := c.rewrite
	return f.submit(func(tx *tx) error {
		tx.compact = tx.compact || rewrite
		return nil
	})
}

// rename gives messages names that say the right lengths, and the list of UIDs the names. Each message keeps one UID.
func (c *folderCheck) rename() error {
	fsys := c.account.fs()
	path := filepath.Join(c.dir, uidlistFile)
	var list *uidlist
	data, err := durable.ReadFile(fsys, path, maxListSize)
	if err == nil {
		list, err = parseUIDList(data)
	}
	if isNotExist(err) {
		list, err = nil, nil
	}
	if err != nil {
		return err
	}
	for _, sub := range []string{"new", "cur"} {
		names, err := fsys.ReadNames(filepath.Join(c.dir, sub)) // flags may have changed since
		if err != nil {
			return err
		}
		for _, name := range names {
			base, _ := splitName(name)
			to, ok := c.lies[base]
			if !ok {
				continue
			}
			if err := fsys.Rename(filepath.Join(c.dir, sub, name), filepath.Join(c.dir, sub, to+name[len(base):])); err != nil {
				delete(c.lies, base) // it keeps the name that the list has
				c.found(Warning, filepath.Join(c.dir, sub, name), "cannot get another name: "+err.Error(), nil)
			}
		}
		if err := fsys.SyncDir(filepath.Join(c.dir, sub)); err != nil {
			return err
		}
	}
	c.touched = true
	if list == nil {
		return nil
	}
	out := list.header()
	for i := range list.lines {
		l := &list.lines[i]
		if c.drop[l.uid] {
			continue
		}
		if to, ok := c.lies[l.base]; ok {
			l.base = to
			l.size = -1 // the name has it
		}
		out = l.appendTo(out)
	}
	return durable.WriteFile(fsys, path, out, messagePerm)
}
