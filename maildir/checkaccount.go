package maildir

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/maildirpp"
	"github.com/mailbricks/mailbricks/internal/sealed"
	"github.com/mailbricks/mailbricks/mailbox"
)

// keptFile is a small file of lines.
type keptFile struct {
	path  string
	limit int64
	head  int // lines that are no entries
	// count gives how many entries can be read.
	count func(data []byte) (int, error)
	// mend writes what can be read.
	mend func(data []byte) error
}

// checkKept looks at a small file: every line must be one that is understood.
func (c *check) checkKept(k keptFile) error {
	data, err := durable.ReadFile(c.account.fs(), k.path, k.limit)
	switch {
	case isNotExist(err) || errors.Is(err, mailbox.ErrLocked):
		return nil
	case errors.Is(err, durable.ErrTooLarge):
		c.found(Damage, k.path, fmt.Sprintf("has more than %d octets", k.limit), nil)
		return nil
	case errors.Is(err, sealed.ErrDamaged) || errors.Is(err, sealed.ErrNoKey):
		c.found(Damage, k.path, "cannot be decrypted: "+err.Error(), func() error { return c.dropUnreadable(k.path) })
		return nil
	case err != nil:
		c.found(Damage, k.path, "cannot be read: "+err.Error(), nil)
		return nil
	}
	n, err := k.count(data)
	if errors.Is(err, errNewer) {
		c.found(Warning, k.path, "is from a newer version of this program", nil)
		return nil
	}
	lines := 0
	for line := range bytes.Lines(data) {
		if len(bytes.TrimSpace(line)) > 0 {
			lines++
		}
	}
	what := ""
	switch {
	case err != nil:
		what = "cannot be read: " + err.Error()
	case n < lines-k.head:
		what = fmt.Sprintf("has %d lines that cannot be read", lines-k.head-n)
	case len(data) > 0 && data[len(data)-1] != '\n' && lines > k.head:
		what = "ends in the middle of a line"
	default:
		return nil
	}
	c.found(Damage, k.path, what, func() error {
		unlock, err := c.account.lockStructure()
		if err != nil {
			return err
		}
		defer unlock()
		if err := c.keepCopy(k.path); err != nil {
			return err
		}
		return k.mend(data)
	})
	return nil
}

// dropUnreadable puts a file of an encrypted account aside that is not what this program has written, so that a new one can be
// made: another program has written to it, or it was damaged.
func (c *check) dropUnreadable(path string) error {
	unlock, err := c.account.lockStructure()
	if err != nil {
		return err
	}
	defer unlock()
	return c.putAside(path)
}

// checkAccount looks at the files of the account as a whole and at what stands beside its mailboxes.
func (c *check) checkAccount() error {
	a := c.account
	for _, k := range c.accountFiles() {
		if err := c.checkKept(k); err != nil {
			return err
		}
	}
	if err := c.checkValidity(); err != nil {
		return err
	}
	entries, err := a.fs().ReadDir(a.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(a.dir, e.Name())
		switch {
		case !e.IsDir() || !strings.HasPrefix(e.Name(), "."):
		case strings.HasPrefix(e.Name(), hiddenPrefix):
			if e.Name() != stagedBackup {
				c.found(Note, path, "is what was left of a mailbox that was made or deleted", func() error { return durable.RemoveTree(a.fs(), path) })
			}
		default:
			c.checkDir(e.Name())
		}
	}
	return nil
}

// checkDir looks whether a folder below the account is a mailbox.
func (c *check) checkDir(name string) {
	a := c.account
	if _, ok := mailboxName(name); !ok {
		c.found(Warning, a.path(name), "has a name that no mailbox can have", nil)
		return
	}
	ok, err := a.isFolder(name)
	if err != nil || ok {
		return
	}
	what := "has no folder cur, so that it is no mailbox"
	if info, err := statOrNil(a.fs(), filepath.Join(a.path(name), "new")); err != nil || info == nil {
		c.found(Note, a.path(name), what, nil) // something else
		return
	}
	c.found(Damage, a.path(name), what, func() error { return c.makeDir(filepath.Join(a.path(name), "cur")) })
}

func (c *check) makeDir(dir string) error {
	if err := c.account.fs().Mkdir(dir, folderPerm); err != nil {
		return err
	}
	return c.account.fs().SyncDir(filepath.Dir(dir))
}

// accountFiles are the small files of the account.
func (c *check) accountFiles() []keptFile {
	a := c.account
	write := func(path string, data []byte) error { return durable.WriteFile(a.fs(), path, data, messagePerm) }
	subscriptions := filepath.Join(a.dir, maildirpp.SubscriptionsFile)
	return []keptFile{
		{path: subscriptions, limit: maxSubscriptionsFile, head: 0,
			count: func(data []byte) (int, error) {
				names, err := parseSubscriptions(data)
				if bytes.HasPrefix(data, []byte("V\t")) {
					return len(names) + 1, err
				}
				return len(names), err
			},
			mend: func(data []byte) error {
				names, err := parseSubscriptions(data)
				if err != nil {
					return err
				}
				return write(subscriptions, maildirpp.FormatSubscriptions(names))
			}},
		{path: filepath.Join(a.dir, useFileName), limit: maxUseFile, head: 1,
			count: func(data []byte) (int, error) {
				u, err := parseUses(data)
				n := 0
				for _, folders := range u.folders {
					n += len(folders)
				}
				return n, err
			},
			mend: func(data []byte) error {
				u, err := parseUses(data)
				if err != nil {
					return err
				}
				return a.writeUses(u)
			}},
		c.annotationsOf(filepath.Join(a.dir, accountAnnotationFile)),
		{path: filepath.Join(a.dir, idFileName), limit: maxIDFile, head: 1,
			count: func(data []byte) (int, error) {
				owners, err := parseIDs(string(data))
				return len(owners), err
			},
			mend: func(data []byte) error {
				owners, err := parseIDs(string(data))
				if err != nil {
					return err
				}
				a.ids.set(nil)
				return a.writeIDs(owners)
			}},
	}
}

func (c *check) annotationsOf(path string) keptFile {
	return keptFile{path: path, limit: maxAnnotationFile, head: 1,
		count: func(data []byte) (int, error) {
			values, err := parseAnnotations(filepath.Base(path), string(data))
			return len(values), err
		},
		mend: func(data []byte) error {
			values, err := parseAnnotations(filepath.Base(path), string(data))
			if err != nil {
				return err
			}
			return c.account.writeAnnotations(path, values)
		}}
}

// parseUses reads the file of special uses.
func parseUses(data []byte) (*useFile, error) {
	u := &useFile{folders: map[mailbox.Use][]string{}}
	return u, u.parse(string(data))
}

// checkValidity looks at the last UIDVALIDITY.
func (c *check) checkValidity() error {
	a := c.account
	path := filepath.Join(a.dir, validityFile)
	data, err := durable.ReadFile(a.fs(), path, 64)
	if isNotExist(err) {
		return nil
	}
	if err == nil {
		_, err = strconv.ParseUint(strings.TrimSpace(string(data)), 16, 32)
	}
	if err != nil {
		c.found(Damage, path, "cannot be read: "+err.Error(), func() error {
			if err := c.keepCopy(path); err != nil {
				return err
			}
			if err := a.fs().Remove(path); err != nil { // or else it may be too large to be read
				return err
			}
			_, err := a.nextValidity()
			return err
		})
	}
	return nil
}

// checkSize compares maildirsize with what there is.
func (c *check) checkSize() error {
	a := c.account
	a.quotaMu.Lock()
	defer a.quotaMu.Unlock()
	path := filepath.Join(a.dir, sizeFile)
	data, err := durable.ReadFile(a.fs(), path, 2*maxSizeFile)
	if isNotExist(err) {
		return nil
	}
	if !a.limited() {
		if c.opts.Rebuild || c.touched { // it is nobody's business here, and would be wrong
			return a.fs().Remove(path)
		}
		return nil
	}
	if c.opts.Rebuild || c.touched {
		_, err := a.count()
		return err
	}
	if err != nil {
		c.found(Warning, path, "cannot be read: "+err.Error(), nil)
		return nil
	}
	said, ok := parseSize(string(data), a.limit())
	if !ok { // it was made for another quota, say: whoever asks counts anew
		return nil
	}
	is, err := a.countFiles()
	if err != nil {
		return err
	}
	again, err := durable.ReadFile(a.fs(), path, 2*maxSizeFile)
	if said != is && err == nil && bytes.Equal(data, again) {
		c.found(Warning, path, fmt.Sprintf("says %d octets in %d messages, but it is %d in %d", said.bytes, said.messages, is.bytes, is.messages),
			func() error {
				_, err := a.count()
				return err
			})
	}
	return nil
}
