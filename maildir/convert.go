package maildir

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/sealed"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir/internal/sealedfs"
)

// Turning encryption on and off and changing keys all come to this: every file is looked at, and what is not kept as new files
// are is copied and the copy put in its place. A tree with both is used as it is meanwhile, and a run that was interrupted
// is begun again.
const (
	conversionLock = "mailbricks-conversion.lock"
	// conversionBatch is how many messages are copied before they are put in place, while the mailbox waits.
	conversionBatch = 64
	// conversionSettle is how long after a run files may still come that were begun before it.
	conversionSettle = 2 * time.Second
	// conversionPoll is how often who waits for a run asks.
	conversionPoll = 100 * time.Millisecond
	// conversionRuns bounds how often all files are looked at: someone else puts new ones there all the time.
	conversionRuns = 20
)

// conversion is one look at all files.
type conversion struct {
	*account
	layer   *sealedfs.FS
	began   *sealed.KeyFile // when it began
	changed int             // files that were, or are to be looked at again
	failed  int             // files and mailboxes that cannot be converted
	cause   error           // of the first of them
}

// convertInBackground does what is left to do.
func (a *account) convertInBackground() {
	m := a.maildir
	if !a.vault.unfinished() || m.noBackground {
		return
	}
	m.mu.Lock()
	a.refs++
	m.mu.Unlock()
	started := m.background(func() {
		defer m.release(a)
		err := a.convert(m.stopping)
		if err != nil && m.stopping.Err() == nil && !errors.Is(err, durable.ErrLocked) {
			m.logger().Warn("maildir: files of an account are not all converted; it is tried again when it is opened", "folder", a.dir, "error", err)
		}
	})
	if !started {
		m.release(a)
	}
}

// finishConversion does what is left to do, or waits for who does.
func (a *account) finishConversion(ctx context.Context, progress func(Encryption)) error {
	if progress == nil {
		progress = func(Encryption) {}
	}
	done := make(chan struct{})
	told := make(chan struct{})
	go func() {
		defer close(told)
		ticker := time.NewTicker(conversionPoll)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				progress(a.vault.status())
			}
		}
	}()
	err := a.convertOrWait(ctx)
	close(done)
	<-told
	progress(a.vault.status())
	return err
}

func (a *account) convertOrWait(ctx context.Context) error {
	for {
		if err := a.loadKeys(); err != nil {
			return err
		}
		if !a.vault.unfinished() && !a.vault.status().Working {
			return nil
		}
		err := a.convert(ctx)
		if err != nil && !errors.Is(err, durable.ErrLocked) {
			return err
		}
		if err == nil { // though the keys may have changed in its last moment
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(conversionPoll):
		}
	}
}

// convert looks at all files until none is to be converted. It fails with durable.ErrLocked if somebody else does.
func (a *account) convert(ctx context.Context) error {
	lock, err := a.maildir.files.TryLock(filepath.Join(a.dir, conversionLock))
	if err != nil {
		return err
	}
	defer lock.Close()
	layer := a.vault.layer.Load()
	if layer == nil || !a.vault.unfinished() {
		return nil
	}
	if err := a.startProgress(); err != nil {
		return err
	}
	defer a.vault.endProgress()
	for run := 1; run <= conversionRuns; run++ {
		if err := a.loadKeys(); err != nil {
			return err
		}
		c := &conversion{account: a, layer: layer, began: a.vault.keyFile()}
		if c.began == nil { // another process has turned encryption off
			return nil
		}
		if err := c.all(ctx, run == 1); err != nil {
			return err
		}
		if c.failed > 0 {
			return fmt.Errorf("maildir: %d files could not be converted, the first: %w", c.failed, c.cause)
		}
		if c.changed == 0 && run > 1 {
			if err := c.converted(); !errors.Is(err, errKeysChanged) {
				return err
			}
		}
		if err := a.maildir.settle(ctx); err != nil {
			return err
		}
	}
	return errors.New("maildir: files that are not encrypted, or not with these keys, come all the time")
}

// settle waits until what was begun before has come.
func (m *Maildir) settle(ctx context.Context) error {
	if m.noBackground {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(conversionSettle):
		return nil
	}
}

// startProgress counts the files.
func (a *account) startProgress() error {
	folders, err := a.list()
	if err != nil {
		return err
	}
	total := 0
	for _, folder := range append([]string{""}, mapValues(folders)...) {
		for _, sub := range []string{"", "new", "cur"} {
			names, err := a.fs().ReadNames(filepath.Join(a.path(folder), sub))
			if err != nil && !isNotExist(err) && !isBadFolder(err) {
				return err
			}
			total += len(names)
		}
	}
	v := &a.vault
	v.mu.Lock()
	defer v.mu.Unlock()
	v.converting, v.progress = true, Encryption{Total: total}
	return nil
}

func mapValues(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

func (v *vault) endProgress() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.converting = false
}

// advance counts files that were looked at in the first run.
func (c *conversion) advance(done int) {
	v := &c.vault
	v.mu.Lock()
	defer v.mu.Unlock()
	v.progress.Done = min(v.progress.Done+done, v.progress.Total)
	v.progress.Failed = c.failed
}

// all looks at all files.
func (c *conversion) all(ctx context.Context, first bool) error {
	folders, err := c.list()
	if err != nil {
		return err
	}
	inbox := c.folder("")
	defer c.leave(inbox)
	if err := inbox.submit(nil); err != nil && !errors.Is(err, mailbox.ErrNoMailbox) { // while what Dovecot has of keywords is still there
		return err
	}
	if err := c.smallFiles(ctx, inbox, func(do func() error) error {
		unlock, err := c.lockStructure()
		if err != nil {
			return err
		}
		defer unlock()
		return inbox.submit(func(*tx) error { return do() })
	}); err != nil {
		return err
	}
	for _, folder := range append([]string{""}, mapValues(folders)...) {
		err := c.mailbox(ctx, folder, first)
		if isBadFolder(err) {
			c.fail(c.path(folder), err)
		} else if err != nil && !errors.Is(err, mailbox.ErrNoMailbox) {
			return err
		}
	}
	return nil
}

// mailbox looks at a mailbox.
func (c *conversion) mailbox(ctx context.Context, folder string, first bool) error {
	if folder != "" {
		if err := c.rename(folder); err != nil {
			return err
		}
	}
	f := c.folder(folder)
	defer c.leave(f)
	if err := f.submit(nil); err != nil {
		return err
	}
	if folder != "" {
		if err := c.smallFiles(ctx, f, func(do func() error) error {
			return f.submit(func(*tx) error { return do() })
		}); err != nil {
			return err
		}
	}
	for _, sub := range []string{"new", "cur"} {
		if err := c.messages(ctx, f, sub, first); err != nil {
			return err
		}
	}
	return nil
}

// rename gives a mailbox's folder the name on disk that it should have.
func (c *conversion) rename(folder string) error {
	unlock, err := c.lockStructure()
	if err != nil {
		return err
	}
	defer unlock()
	f := c.folder(folder)
	defer c.leave(f)
	f.writing.Lock()
	defer f.writing.Unlock()
	if err := c.layer.Settle(folder); err != nil && !isNotExist(err) {
		return err
	}
	u, err := c.loadUses()
	if err == nil {
		c.noteRoles(u)
	}
	return err
}

// smallFiles looks at the files of a folder that are no messages. lock runs what changes one, so that nobody else does.
func (c *conversion) smallFiles(ctx context.Context, f *folder, lock func(func() error) error) error {
	dir := f.dir()
	names, err := c.fs().ReadNames(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		path := filepath.Join(dir, name)
		switch {
		case isDovecots(name):
			err = c.drop(path)
		case isDerived(name):
			err = c.derived(f, path)
		default:
			err = c.small(path, lock)
		}
		if err != nil && !isNotExist(err) {
			c.fail(path, err)
		}
		c.advance(1)
	}
	return c.syncDir(dir)
}

// isDovecots says which files are what Dovecot keeps of headers and names, and makes again when they are missing.
func isDovecots(name string) bool {
	for _, prefix := range []string{"dovecot.index", "dovecot.list.index", "dovecot.mailbox.log"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// derived converts a file of the log of summaries, which has a lock of its own. One that is damaged is made again.
func (c *conversion) derived(f *folder, path string) error {
	unlock, err := f.summaries.lock()
	if err != nil {
		return err
	}
	defer unlock()
	err = c.small(path, func(do func() error) error { return do() })
	if errors.Is(err, sealed.ErrDamaged) || errors.Is(err, sealed.ErrNoKey) {
		return c.fs().Remove(path)
	}
	return err
}

// drop removes a file that can be made again.
func (c *conversion) drop(path string) error {
	needs, err := c.layer.Needs(path)
	if err != nil || !needs {
		return err
	}
	c.changed++
	return c.fs().Remove(path)
}

// small converts a small file.
func (c *conversion) small(path string, lock func(func() error) error) error {
	needs, err := c.layer.Needs(path)
	if err != nil || !needs {
		return err
	}
	c.changed++
	return lock(func() error {
		temp := path + "." + rand.Text() + ".tmp"
		was, err := c.layer.Copy(path, temp)
		if err != nil {
			return err
		}
		_, err = c.layer.Swap(temp, path, was)
		return err
	})
}

// fail notes a file, or a mailbox, that cannot be converted.
func (c *conversion) fail(path string, err error) {
	if c.failed++; c.cause == nil {
		c.cause = err
	}
	c.maildir.logger().Warn("maildir: file cannot be converted", "file", path, "error", err)
}

// copied is a message that has a copy.
type copied struct {
	temp, path string
	was        fs.FileInfo
}

// messages looks at the messages of a folder.
func (c *conversion) messages(ctx context.Context, f *folder, sub string, first bool) error {
	names, err := c.fs().ReadNames(filepath.Join(f.dir(), sub))
	if err != nil {
		return f.noFolder(err)
	}
	for len(names) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(len(names), conversionBatch)
		if err := c.batch(f, sub, names[:n]); err != nil {
			return err
		}
		names = names[n:]
		if first {
			c.advance(n)
		}
	}
	return nil
}

// batch converts some messages.
func (c *conversion) batch(f *folder, sub string, names []string) error {
	dir := f.dir()
	var batch []copied
	for _, name := range names {
		path := filepath.Join(dir, sub, name)
		needs, err := c.layer.Needs(path)
		var was fs.FileInfo
		temp := filepath.Join(dir, "tmp", c.maildir.names.next())
		if err == nil && needs {
			c.changed++
			was, err = c.layer.Copy(path, temp)
		}
		switch {
		case isNotExist(err): // it has another name now, or is gone
			c.changed++
		case isBadMessage(err):
			c.fail(path, err)
		case err != nil:
			c.discard(batch)
			return err
		case needs:
			batch = append(batch, copied{temp, path, was})
		}
	}
	if len(batch) == 0 {
		return nil
	}
	err := f.submit(func(*tx) error {
		for i, b := range batch {
			if _, err := c.layer.Swap(b.temp, b.path, b.was); err != nil {
				c.discard(batch[i+1:])
				return err
			}
		}
		return c.syncDir(filepath.Join(dir, sub))
	})
	return err
}

func (c *conversion) discard(batch []copied) {
	for _, b := range batch {
		_ = c.fs().Remove(b.temp)
	}
}

// converted ends what was going on: all files are as they should be by the key file that there was when the run began.
func (c *conversion) converted() error {
	if c.began.State() == sealed.Opening {
		return c.removeKeys()
	}
	c.nameAside()
	return c.changeKeys(func(k *sealed.Keys) error {
		if !c.began.Same(c.vault.keyFile()) {
			return errKeysChanged
		}
		k.SetState(sealed.Sealed)
		return nil
	})
}

// nameAside tells of files that stay as they were: nobody knows what those are that a repair has put aside.
func (c *conversion) nameAside() {
	path := filepath.Join(c.dir, asideFolder)
	if info, err := statOrNil(c.maildir.files, path); err != nil || info != nil {
		c.maildir.logger().Warn("maildir: what a repair has put aside is not encrypted; remove it when nobody needs it", "folder", path, "error", err)
	}
}

// removeKeys ends encryption: no file needs the keys any more.
func (c *conversion) removeKeys() error {
	unlock, err := c.lockStructure()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := c.diskKeys(); err != nil {
		return err
	}
	if !c.began.Same(c.vault.keyFile()) {
		return errKeysChanged
	}
	for _, name := range []string{roleFileName, keyFileName} { // one after the other, also on disk: see checkNone
		if err := c.maildir.files.Remove(filepath.Join(c.dir, name)); err != nil && !isNotExist(err) {
			return err
		}
		if err := c.syncDir(c.dir); err != nil {
			return err
		}
	}
	return c.loadKeys()
}
