package maildir

import (
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

// account is the mail of one account, shared by its sessions and deliveries.
type account struct {
	maildir *Maildir
	dir     string
	refs    int // under maildir.mu; folders in memory count as well
	vault   vault

	structure sync.Mutex // held by who makes, renames or removes folders, or writes the account's own files

	mu      sync.Mutex
	folders map[string]*folder // in memory, by folder name

	quota    atomic.Pointer[mailbox.Limit] // nil: none; it is not under quotaMu, as who logs in must not wait for a count
	quotaMu  sync.Mutex                    // held by who counts the mail, or reads or writes the count
	reserved usage                         // under quotaMu: on the way in

	ids      ids
	watching watching
	moving   moving
}

// Files of the account as a whole, in INBOX's folder.
const (
	structureLock  = "mailbricks-account.lock"
	validityLock   = "mailbricks-validity.lock"
	validityFile   = "dovecot-uidvalidity" // the last UIDVALIDITY given, in hexadecimal
	maildirFolder  = "maildirfolder"       // marks a folder below (Maildir++)
	hiddenPrefix   = ".."                  // of folders that are no mailboxes yet or any more
	folderPerm     = 0o700
	messagePerm    = 0o600
	validityDigits = 8
)

// path is the path of a folder.
func (a *account) path(name string) string {
	if name == "" {
		return a.dir
	}
	return filepath.Join(a.dir, name)
}

// fs is the layer that all files of the account are used through.
func (a *account) fs() durable.FS {
	if layer := a.vault.layer.Load(); layer != nil {
		return layer
	}
	return a.maildir.files
}

// syncDir returns when the names in a folder of the account, or in one above it, are on disk. Who waits for the same folder
// shares one sync.
func (a *account) syncDir(dir string) error {
	if layer := a.vault.layer.Load(); layer != nil {
		return layer.WithPath(dir, a.maildir.syncDir)
	}
	return a.maildir.syncDir(dir)
}

// make makes what is missing of an account.
func (a *account) make() error {
	a.structure.Lock()
	defer a.structure.Unlock()
	if err := a.finishRestore(); err != nil {
		return err
	}
	a.removeReplaced()
	if err := a.checkLayout(); err != nil {
		return err
	}
	if err := durable.MkdirAll(a.fs(), a.dir, folderPerm); err != nil {
		return err
	}
	lock, err := a.lockFile(structureLock)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := a.finishRename(); err != nil {
		return err
	}
	if err := a.finishMoves(); err != nil {
		return err
	}
	info, err := statOrNil(a.fs(), filepath.Join(a.dir, "cur"))
	if err != nil {
		return err
	}
	err = a.welcome(info == nil)
	if err != nil && info == nil {
		return err
	}
	if err != nil { // mail is more than its folders, which are tried again by the next process
		a.maildir.logger().Warn("maildir: account does not have all folders", "folder", a.dir, "error", err)
	}
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := a.fs().Mkdir(filepath.Join(a.dir, sub), folderPerm); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	a.removeHidden()
	a.dropSize()
	return a.syncChain()
}

// welcome makes the folders that every account has, once: the file of special uses says that it was done, and that what is
// missing was removed by the user. A tree that came from another program has what it lacks made, and nothing else changed.
func (a *account) welcome(isNew bool) error {
	info, err := statOrNil(a.fs(), filepath.Join(a.dir, useFileName))
	if err != nil || info != nil {
		return err
	}
	had, err := a.loadUses()
	if err != nil {
		return err
	}
	folders, err := a.list()
	if err != nil {
		return err
	}
	for _, d := range a.maildir.Folders {
		name, err := mailbox.CleanName(d.Name)
		if err != nil {
			return err
		}
		if _, exists := folders[name]; !isNew && (exists || d.Use != "" && len(had.of(d.Use)) > 0) {
			continue
		}
		// In this order, so that a folder that a crash leaves without the other is done again.
		if err := a.subscribe(name, true); err != nil {
			return err
		}
		if err := a.create(name, ""); err != nil && !errors.Is(err, mailbox.ErrExists) {
			return err
		}
	}
	uses, err := a.loadUses()
	if err != nil {
		return err
	}
	return a.writeUses(uses)
}

// complete makes what another program has left out of a mailbox's folder. Without cur there is no mailbox.
func (a *account) complete(dir string) error {
	if _, err := a.fs().Stat(filepath.Join(dir, "cur")); err != nil {
		return err
	}
	for _, sub := range []string{"new", "tmp"} {
		path := filepath.Join(dir, sub)
		if info, err := statOrNil(a.fs(), path); err != nil || info != nil {
			continue // who reads it finds out
		}
		if err := a.fs().Mkdir(path, folderPerm); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// syncChain syncs the account's folder and those above it up to the root: a process before may have ended between making
// one and syncing its name.
func (a *account) syncChain() error {
	root := filepath.Clean(a.maildir.Root)
	for dir := a.dir; ; dir = filepath.Dir(dir) {
		if err := a.syncDir(dir); err != nil {
			return err
		}
		rel, err := filepath.Rel(root, dir)
		if err != nil || rel == "." || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return nil
		}
	}
}

// removeHidden removes folders that were not finished or not removed to the end. What stays is tried again next time.
func (a *account) removeHidden() {
	entries, err := a.fs().ReadDir(a.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), hiddenPrefix+"mailbricks-") {
			continue
		}
		if err := a.removeUnused(e.Name()); err != nil {
			a.maildir.logger().Warn("maildir: removed mailbox is still on disk", "folder", e.Name(), "error", err)
		}
	}
}

// removeUnused removes a hidden folder, unless it is one where a backup is being put together.
func (a *account) removeUnused(name string) error {
	if name == stagedBackup {
		lock, err := a.fs().TryLock(filepath.Join(a.dir, backupLock))
		if errors.Is(err, durable.ErrLocked) {
			return nil
		}
		if err != nil {
			return err
		}
		defer lock.Close()
	}
	return a.removeTree(filepath.Join(a.dir, name))
}

// removeTree removes a mailbox's folder with all in it; of a symbolic link only the link.
func (a *account) removeTree(dir string) error {
	info, err := a.fs().Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return a.fs().Remove(dir)
	}
	return durable.RemoveTree(a.fs(), dir)
}

// folder gives a folder in memory, with one more user; it is not loaded yet.
func (a *account) folder(name string) *folder {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.folders[name]
	if f == nil {
		f = newFolder(a, name)
		a.folders[name] = f
		a.maildir.mu.Lock()
		a.refs++
		a.maildir.mu.Unlock()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refs++
	if f.linger != nil {
		f.linger.Stop()
		f.linger = nil
	}
	return f
}

// loaded gives a folder if it is in memory.
func (a *account) loaded(name string) *folder {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.folders[name]
}

// leave gives a folder back. It stays in memory for a while.
func (a *account) leave(f *folder) {
	wait := a.maildir.linger()
	f.mu.Lock()
	f.refs--
	idle := f.refs == 0
	if idle && wait > 0 && f.gone == nil {
		a.dropAfter(f, wait)
		idle = false
	}
	f.mu.Unlock()
	if idle {
		a.drop(f)
	}
}

// dropAfter has a folder be dropped. f.mu is held.
func (a *account) dropAfter(f *folder, wait time.Duration) {
	f.linger = time.AfterFunc(wait, func() { a.maildir.background(func() { a.drop(f) }) })
}

// leaveLater is leave for a folder that nobody uses but for deliveries.
func (a *account) leaveLater(f *folder) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refs == 0 && f.gone == nil {
		a.dropAfter(f, max(a.maildir.linger(), settleTime))
	}
}

// drop takes a folder out of memory unless it is used again.
func (a *account) drop(f *folder) {
	f.mu.Lock()
	busy := f.refs > 0
	f.mu.Unlock()
	if busy {
		return
	}
	f.settle()
	a.mu.Lock()
	f.mu.Lock()
	busy = f.refs > 0 || len(f.delivered) > 0
	f.mu.Unlock()
	if !busy {
		a.forgetLocked(f)
	}
	a.mu.Unlock()
	if busy { // what was delivered meanwhile is indexed first
		a.leaveLater(f)
	}
}

// forget takes a folder out of memory; those who have it go on with it as far as they can.
func (a *account) forget(f *folder) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forgetLocked(f)
}

func (a *account) forgetLocked(f *folder) {
	for name, other := range a.folders {
		if other == f {
			delete(a.folders, name)
			a.maildir.release(a)
		}
	}
}

// unload takes all folders out of memory.
func (a *account) unload() {
	a.mu.Lock()
	folders := slices.Collect(maps.Values(a.folders))
	a.mu.Unlock()
	for _, f := range folders {
		f.settle()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, f := range a.folders {
		f.mu.Lock()
		if f.linger != nil {
			f.linger.Stop()
		}
		f.mu.Unlock()
		delete(a.folders, name)
		a.maildir.release(a)
	}
}
