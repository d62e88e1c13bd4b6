package maildir

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

// progressEvery is after how many messages Progress is told.
const progressEvery = 100

// folderCheck is what Check does with one folder.
type folderCheck struct {
	*check
	folder string
	dir    string
	f      *folder

	files   []found           // messages
	lies    map[string]string // base names that say a wrong length, and what they should be
	double  map[string]bool   // base names that two files have
	taken   map[string]bool   // base names that files have or are to get
	drop    map[uint32]bool   // UIDs of messages that have another one, too
	rewrite bool              // uidlist and index are to be written anew
	again   bool              // all files are to be looked at
}

func (c *check) checkFolder(ctx context.Context, folder string) error {
	a := c.account
	fc := &folderCheck{check: c, folder: folder, dir: a.path(folder), f: a.folder(folder), lies: map[string]string{}, double: map[string]bool{}, drop: map[uint32]bool{}}
	defer a.leave(fc.f)
	if err := fc.names(ctx); err != nil {
		return err
	}
	for i := range fc.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fc.message(&fc.files[i]); err != nil {
			return err
		}
		c.stats.Messages++
		if c.opts.Progress != nil && (c.stats.Messages%progressEvery == 0 || i == len(fc.files)-1) {
			c.total = max(c.total, c.stats.Messages)
			c.opts.Progress(c.stats.Messages, c.total)
		}
	}
	return fc.mend(ctx)
}

// locked does something while nobody else changes the folder.
func (c *folderCheck) locked(ctx context.Context, work func() error) error {
	c.f.writing.Lock()
	defer c.f.writing.Unlock()
	if _, err := c.account.fs().Stat(c.dir); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	lock, err := durable.Lock(ctx, c.account.fs(), filepath.Join(c.dir, lockFile))
	if err != nil {
		return err
	}
	defer lock.Close()
	return work()
}

// names looks at the folder's own files and the names of its messages.
func (c *folderCheck) names(ctx context.Context) error {
	return c.locked(ctx, func() error {
		if info, err := c.account.fs().Stat(c.dir); err == nil && c.folder != "" {
			c.checkMode(c.dir, info)
		}
		for _, sub := range []string{"tmp", "new", "cur"} {
			if err := c.sub(sub); err != nil {
				return err
			}
		}
		c.takenNames()
		c.doubles()
		c.uidlist()
		c.index()
		if err := c.checkKept(c.keywordsFile()); err != nil {
			return err
		}
		return c.checkKept(c.annotationsOf(filepath.Join(c.dir, annotationFile)))
	})
}

// keywordsFile is the file of keywords.
func (c *folderCheck) keywordsFile() keptFile {
	path := filepath.Join(c.dir, keywordsFile)
	return keptFile{path: path, limit: maxKeywordsFile,
		count: func(data []byte) (int, error) {
			n := 0
			for _, name := range parseKeywords(data).letters {
				if name != "" {
					n++
				}
			}
			return n, nil
		},
		mend: func(data []byte) error {
			return durable.WriteFile(c.account.fs(), path, parseKeywords(data).format(), messagePerm)
		}}
}

// sub looks at one of the three folders.
func (c *folderCheck) sub(sub string) error {
	fsys, dir := c.account.fs(), filepath.Join(c.dir, sub)
	info, err := fsys.Lstat(dir)
	if isNotExist(err) {
		c.found(Damage, dir, "is missing", func() error { return c.makeDir(dir) })
		return nil
	}
	if err != nil {
		return err
	}
	c.checkMode(dir, info)
	names, err := fsys.ReadNames(dir)
	if err != nil {
		c.found(Damage, dir, "cannot be read: "+err.Error(), nil)
		return nil
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if sub == "tmp" {
			c.temp(path)
			continue
		}
		base, fl := splitName(name)
		if strings.HasPrefix(name, ".") || !validBase(base) {
			c.foreign(path, "is no message: no message has such a name")
			continue
		}
		c.files = append(c.files, found{sub: sub, name: name, base: base, flags: fl})
	}
	return nil
}

// foreign tells of something that does not belong where it is.
func (c *folderCheck) foreign(path, what string) {
	c.found(Warning, path, what, func() error { return c.putAside(path) })
}

// temp looks at a file in tmp.
func (c *folderCheck) temp(path string) {
	info, err := c.account.fs().Lstat(path)
	if err != nil {
		return // finished meanwhile
	}
	if !info.Mode().IsRegular() {
		c.foreign(path, "is no file")
		return
	}
	if c.isOld(info) {
		c.found(Note, path, fmt.Sprintf("was left by a delivery that did not end, %s ago", c.age(info)), func() error { return c.account.fs().Remove(path) })
	}
}

// takenNames notes the names that no other file may get.
func (c *folderCheck) takenNames() {
	c.taken = make(map[string]bool, len(c.files))
	for i := range c.files {
		c.taken[c.files[i].base] = true
	}
}

// doubles looks for files of one name.
func (c *folderCheck) doubles() {
	seen := make(map[string]int, len(c.files))
	for i := range c.files {
		f := &c.files[i]
		first, double := seen[f.base]
		if !double {
			seen[f.base] = i
			continue
		}
		c.again, c.double[f.base] = true, true
		c.found(Warning, filepath.Join(c.dir, f.path()), "has the same name as "+c.files[first].path(), c.later)
	}
}

// later stands for what mend does for all findings of a kind.
func (c *folderCheck) later() error { return nil }

// uidlist looks at the list of UIDs.
func (c *folderCheck) uidlist() {
	path := filepath.Join(c.dir, uidlistFile)
	data, err := durable.ReadFile(c.account.fs(), path, maxListSize)
	if isNotExist(err) {
		return // it is made when the mailbox is opened
	}
	if err != nil {
		c.found(Damage, path, "cannot be read: "+err.Error(), nil)
		return
	}
	list, err := parseUIDList(data)
	switch {
	case errors.Is(err, errNewer):
		c.found(Warning, path, "is from a newer version of this program", nil)
		return
	case err != nil:
		c.found(Damage, path, "cannot be read, so that the mailbox gets a new UIDVALIDITY: "+err.Error(), func() error { return c.renew(path) })
		return
	case list.damaged:
		c.found(Damage, path, "has lines that cannot be read: their messages get new UIDs", func() error { return c.renew(path) })
	}
	uids := make(map[string]uint32, len(list.lines))
	for _, l := range list.lines {
		if other, double := uids[l.base]; double {
			c.drop[other] = true
			c.found(Warning, path, fmt.Sprintf("gives UID %d and UID %d to one message", other, l.uid), c.later)
		}
		uids[l.base] = l.uid
	}
}

// index looks at the index.
func (c *folderCheck) index() {
	path := filepath.Join(c.dir, indexFile)
	data, err := durable.ReadFile(c.account.fs(), path, maxListSize)
	if isNotExist(err) || errors.Is(err, mailbox.ErrLocked) {
		return
	}
	if err != nil {
		c.found(Damage, path, "cannot be read: "+err.Error(), nil)
		return
	}
	x, err := parseIndex(data)
	switch {
	case errors.Is(err, errNewer):
		c.found(Warning, path, "is from a newer version of this program", nil)
	case err != nil:
		c.found(Damage, path, "cannot be read: "+err.Error(), func() error { return c.renew(path) })
	case x.damaged:
		c.found(Damage, path, "is damaged behind line "+strconv.Itoa(x.lines+1), func() error { return c.renew(path) })
	}
}
