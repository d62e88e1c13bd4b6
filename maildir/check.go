package maildir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

// Severity says how bad a finding is.
type Severity int

// The severities, the least first.
const (
	// Note is what does no harm, such as a file that an interrupted delivery left.
	Note Severity = iota
	// Warning is what does not keep this package from anything, but may keep other programs, or gets worse.
	Warning
	// Damage is that mail, or what is known of it, cannot be read or is lost.
	Damage
)

// String is the severity in a word.
func (s Severity) String() string {
	switch s {
	case Note:
		return "note"
	case Warning:
		return "warning"
	}
	return "damage"
}

// Finding is something that is not as it should be.
type Finding struct {
	Severity Severity
	// Path is the file or folder.
	Path string
	// What says for people what is wrong.
	What string
	// Mended says that it is in order now.
	Mended bool
}

// CheckOptions say what Check does.
type CheckOptions struct {
	// Repair mends what can be mended without loss. No message is deleted; what is not understood is moved into the folder
	// mailbricks-aside of the account.
	Repair bool
	// Rebuild throws away what can be made anew from the messages, and makes it. It includes no Repair.
	Rebuild bool
	// Found is told of each finding; nil: nobody is.
	Found func(Finding)
	// Progress is told how many of how many messages were looked at, now and then; nil: nobody is. The total may change while it runs.
	Progress func(done, total int)
}

// CheckStats counts what Check has seen.
type CheckStats struct {
	Mailboxes, Messages int
	// Findings are those that are left, Mended those that are no more.
	Findings, Mended int
	// Notes are the findings that are left and do no harm.
	Notes int
	// Locked says that the account is encrypted and was not open: what is in its files was not looked at.
	Locked bool
}

// Check looks at all that an account has on disk: whether each message can be read and is as long as its name says, whether
// the files that say what its UID and its keywords are can be read and agree with it, and whether there is anything that does not belong there. It
// reads every message once. Without Repair and Rebuild nothing is changed. The account can be used meanwhile: a mailbox waits
// only while the names of its files are looked at, and while it is mended. Of an encrypted account that no session and no
// Maildir.ServerKey opens, only what needs no keys is looked at.
//
// Mending gives a message that has a wrong length in its name another file name and the same UID; if a power cut comes in
// between, it may get a new UID. A list of UIDs that cannot be read at all is put aside, and the mailbox gets a new UIDVALIDITY.
func (m *Maildir) Check(ctx context.Context, address string, opts CheckOptions) (CheckStats, error) {
	attach := m.acquire
	if !opts.Repair && !opts.Rebuild {
		attach = func(ctx context.Context, address string) (*account, error) {
			a, _, err := m.attach(ctx, address)
			return a, err
		}
	}
	a, err := attach(ctx, address)
	if err != nil {
		return CheckStats{}, err
	}
	defer m.release(a)
	if err := a.openForSession(); err != nil && !errors.Is(err, mailbox.ErrLocked) {
		return CheckStats{}, err
	}
	c := &check{account: a, opts: opts}
	c.stats.Locked = a.vault.locked()
	if err := c.run(ctx); err != nil {
		return c.stats, fmt.Errorf("maildir: check of %.200q: %w", address, err)
	}
	return c.stats, nil
}

// asideFolder is where what is not understood is moved.
const asideFolder = "mailbricks-aside"

// check is a run of Check.
type check struct {
	account *account
	opts    CheckOptions
	stats   CheckStats

	total   int    // messages
	aside   string // folder for what is moved; empty: none yet
	touched bool   // files were moved or renamed: the quota is counted anew
}

// found tells of a finding. With Repair, mend is done first, unless it is nil.
func (c *check) found(severity Severity, path, what string, mend func() error) {
	f := Finding{Severity: severity, Path: path, What: what}
	if c.opts.Repair && mend != nil {
		if err := mend(); err != nil {
			f.What += fmt.Sprintf(" (it cannot be mended: %v)", err)
		} else {
			f.Mended = true
		}
	}
	if f.Mended {
		c.stats.Mended++
	} else {
		c.stats.Findings++
		if severity == Note {
			c.stats.Notes++
		}
	}
	if c.opts.Found != nil {
		c.opts.Found(f)
	}
}

func (c *check) run(ctx context.Context) error {
	a := c.account
	info, err := statOrNil(a.fs(), a.dir)
	if err != nil {
		return err
	}
	if info == nil { // it has had no mail yet
		return nil
	}
	c.checkMode(a.dir, info)
	if err := c.checkAccount(); err != nil {
		return err
	}
	folders, err := rawFolders(a.fs(), a.dir)
	if err != nil {
		return err
	}
	for _, folder := range folders {
		for _, sub := range []string{"new", "cur"} {
			names, err := a.fs().ReadNames(filepath.Join(a.path(folder), sub))
			if err != nil && !isNotExist(err) && !isBadFolder(err) {
				return err
			}
			c.total += len(names)
		}
	}
	for _, folder := range folders {
		c.stats.Mailboxes++
		err := c.checkFolder(ctx, folder)
		if err == nil && c.opts.Rebuild {
			err = c.rebuildFolder(ctx, folder)
		}
		if isNotExist(err) { // the mailbox went meanwhile
			if _, statErr := a.fs().Stat(a.path(folder)); isNotExist(statErr) {
				continue
			}
		}
		if isBadFolder(err) { // the others are looked at all the same
			c.found(Damage, a.path(folder), "cannot be looked at: "+err.Error(), nil)
			continue
		}
		if err != nil {
			return err
		}
	}
	return c.checkSize()
}

// putAside moves a file or folder out of the way.
func (c *check) putAside(path string) error {
	fsys := c.account.fs()
	if c.aside == "" {
		dir := filepath.Join(c.account.dir, asideFolder, c.account.maildir.now().UTC().Format("20060102T150405.000000"))
		if err := durable.MkdirAll(fsys, dir, folderPerm); err != nil {
			return err
		}
		c.aside = dir
	}
	rel, err := filepath.Rel(c.account.dir, path)
	if err != nil {
		return err
	}
	name := strings.ReplaceAll(rel, string(filepath.Separator), "%2F")
	if len(name) > maxFileName {
		name = c.account.maildir.names.next()
	}
	c.touched = true
	if err := fsys.Rename(path, filepath.Join(c.aside, name)); err != nil {
		return err
	}
	// First the new name, so that one of them is always there.
	return errors.Join(fsys.SyncDir(c.aside), fsys.SyncDir(filepath.Dir(path)))
}

// keepCopy puts a copy of a file aside that is about to be written anew.
func (c *check) keepCopy(path string) error {
	fsys := c.account.fs()
	info, err := fsys.Lstat(path)
	if isNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	copied := path + ".aside" // beside it, and then away as all else
	if err := fsys.Remove(copied); err != nil && !isNotExist(err) {
		return err
	}
	if err := copyFile(fsys, path, copied, info); err != nil {
		return err
	}
	return c.putAside(copied)
}

// checkMode looks at the rights of a file or folder.
func (c *check) checkMode(path string, info fs.FileInfo) {
	need := fs.FileMode(0o600)
	if info.IsDir() {
		need = 0o700
	}
	mode := info.Mode().Perm()
	if owner, ok := ownedByOther(info); ok {
		c.found(Warning, path, fmt.Sprintf("belongs to user %d", owner), nil)
		return
	}
	if !hasModes {
		return
	}
	if mode&need != need {
		c.found(Damage, path, fmt.Sprintf("cannot be read and written: its mode is %v", mode), func() error { return c.chmod(path, mode|need) })
	}
	if info.IsDir() && mode&0o007 != 0 {
		c.found(Warning, path, fmt.Sprintf("is open to all users: its mode is %v", mode), func() error { return c.chmod(path, (mode|need)&^0o007) })
	}
}

func (c *check) chmod(path string, mode fs.FileMode) error {
	if files := c.account.maildir.files; files != durable.OS() && files != durable.Guarded() { // there is no other way to say it
		return errors.ErrUnsupported
	}
	if layer := c.account.vault.layer.Load(); layer != nil {
		return layer.WithPath(path, func(path string) error { return os.Chmod(path, mode) })
	}
	return os.Chmod(path, mode)
}

// readAll reads a file to its end, and counts octets and line feeds without a carriage return.
func (c *check) readAll(path string) (size, bare int64, err error) {
	f, err := c.account.fs().OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	count := &lineCounter{w: io.Discard}
	_, err = io.Copy(count, f)
	return count.size, count.bare, err
}

// rebuildFolder makes anew what is derived.
func (c *check) rebuildFolder(ctx context.Context, folder string) error {
	a := c.account
	entries, err := a.fs().ReadDir(a.path(folder))
	if err != nil {
		return err
	}
	f := a.folder(folder)
	defer a.leave(f)
	f.writing.Lock()
	for _, e := range entries {
		if isDerived(e.Name()) {
			if err = a.fs().Remove(filepath.Join(a.path(folder), e.Name())); err != nil && !isNotExist(err) {
				f.writing.Unlock()
				return err
			}
		}
	}
	f.rescan = true
	f.writing.Unlock()
	if err := f.submit(func(tx *tx) error { tx.compact = true; return nil }); err != nil && !errors.Is(err, mailbox.ErrLocked) {
		return err
	}
	return c.rebuildSummaries(ctx, folder)
}

// rebuildSummaries has the summaries of all messages made.
func (c *check) rebuildSummaries(ctx context.Context, folder string) error {
	name := nameOf(folder)
	if _, ok := mailboxName(folder); !ok && folder != "" || c.account.vault.locked() {
		return nil
	}
	s := &store{account: c.account}
	box, err := s.Open(ctx, name)
	if err != nil {
		return err
	}
	defer box.Close()
	summarizer, ok := box.(mailbox.Summarizer)
	if !ok {
		return nil
	}
	uids, _, err := box.UIDs(ctx)
	if err != nil {
		return err
	}
	const batch = 200
	for len(uids) > 0 {
		n := min(batch, len(uids))
		if _, err := summarizer.Summaries(ctx, uids[:n]); err != nil && !errors.Is(err, mailbox.ErrLocked) {
			return err
		}
		uids = uids[n:]
	}
	return nil
}

// isOld says whether a file in tmp was left behind.
func (c *check) isOld(info fs.FileInfo) bool {
	return leftBehind(info, c.account.maildir.now())
}

// age is how old something is, for people.
func (c *check) age(info fs.FileInfo) time.Duration {
	return c.account.maildir.now().Sub(info.ModTime()).Round(time.Hour)
}
