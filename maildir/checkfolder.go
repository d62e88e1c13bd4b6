package maildir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
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

// renew puts a copy aside of a file that mend has written anew.
func (c *folderCheck) renew(path string) error {
	c.rewrite = true
	return c.keepCopy(path)
}

// message looks at one message.
func (c *folderCheck) message(f *found) error {
	path := filepath.Join(c.dir, f.path())
	info, err := c.account.fs().Lstat(path)
	if isNotExist(err) || errors.Is(err, mailbox.ErrLocked) {
		return nil // renamed or gone meanwhile, or not to be read
	}
	if err != nil {
		c.found(Damage, path, "cannot be read: "+err.Error(), nil)
		return nil
	}
	if !info.Mode().IsRegular() {
		what := "is no file"
		if info.Mode()&fs.ModeSymlink != 0 {
			what = "is a symbolic link, which is not followed"
		}
		c.foreign(path, what)
		return nil
	}
	c.checkMode(path, info)
	size, bare, err := c.readAll(path)
	switch {
	case isNotExist(err) || errors.Is(err, mailbox.ErrLocked):
		return nil
	case errors.Is(err, os.ErrPermission):
		c.found(Damage, path, "cannot be read: "+err.Error(), nil)
		return nil
	case err != nil:
		c.found(Damage, path, "cannot be read to its end: "+err.Error(), nil)
		return nil
	}
	named, ok := nameSize(f.base, 'S')
	crlf, hasCRLF := nameSize(f.base, 'W')
	switch {
	case ok && named > size:
		c.lie(f, Damage, size, bare, fmt.Sprintf("has %d octets, fewer than the %d that its name says: it was cut off", size, named))
	case ok && named != size:
		c.lie(f, Warning, size, bare, fmt.Sprintf("has %d octets, but its name says %d", size, named))
	case hasCRLF && crlf != size+bare:
		c.lie(f, Warning, size, bare, fmt.Sprintf("has %d octets with CRLF line ends, but its name says %d", size+bare, crlf))
	case size == 0:
		c.found(Note, path, "is empty", nil)
	}
	return nil
}

// lie tells of a name that says a wrong length.
func (c *folderCheck) lie(f *found, severity Severity, size, bare int64, what string) {
	if c.double[f.base] {
		return // one of them gets another name, which says nothing of its length
	}
	stem, _, _ := strings.Cut(f.base, ",")
	c.lies[f.base] = withSizes(stem, size, size+bare) + otherParts(f.base)
	c.found(severity, filepath.Join(c.dir, f.path()), what, c.later)
}

// otherParts is what a name has behind its first comma besides sizes.
func otherParts(base string) string {
	var out string
	_, rest, _ := strings.Cut(base, ",")
	for part := range strings.SplitSeq(rest, ",") {
		if part != "" && !strings.HasPrefix(part, "S=") && !strings.HasPrefix(part, "W=") {
			out += "," + part
		}
	}
	return out
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
				return err
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
