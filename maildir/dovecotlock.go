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
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// Dovecot gives UIDs, and changes dovecot-uidlist and dovecot-keywords, while it has the file dovecot-uidlist.lock, which it
// makes and removes. We take it as well where Dovecot has been at work: in a folder with its index log. So both can use one
// account at the same time, as far as messages go: deliveries, flags, copies, expunges.
const (
	dovecotLogFile  = "dovecot.index.log"
	dovecotLockFile = "dovecot-uidlist.lock"
	// dovecotLockAge is how old a lock must be to be one that a crash left behind. Dovecot itself waits two minutes, and touches
	// the file while it works.
	dovecotLockAge = 2 * time.Minute
	// dovecotLockWait is how long between two tries.
	dovecotLockWait = 10 * time.Millisecond
)

// lockOutDovecot keeps Dovecot from giving UIDs in a folder until unlock is called. The folder's own lock is held.
func (f *folder) lockOutDovecot(ctx context.Context, dir string) (unlock func(), err error) {
	if f.account.vault.layer.Load() != nil { // Dovecot cannot read what is encrypted
		return func() {}, nil
	}
	if info, err := statOrNil(f.fs(), filepath.Join(dir, dovecotLogFile)); err != nil || info == nil {
		return func() {}, err
	}
	path := filepath.Join(dir, dovecotLockFile)
	for {
		made, err := f.makeDovecotLock(path)
		if err == nil {
			return func() { f.removeDovecotLock(path, made) }, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if err := f.breakDovecotLock(path); err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("maildir: %s: %w: %w", path, durable.ErrLocked, ctx.Err())
		case <-time.After(dovecotLockWait):
		}
	}
}

// makeDovecotLock makes the file, with what Dovecot writes into it: the number of the process and the host. On a full disk, where
// messages must be removed, it stays empty.
func (f *folder) makeDovecotLock(path string) (made fs.FileInfo, err error) {
	file, err := f.fs().OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, messagePerm)
	if err != nil {
		return nil, err
	}
	names := f.account.maildir.names
	_, _ = fmt.Fprintf(file, "%d:%s", names.pid, names.host)
	made, err = file.Stat()
	_ = file.Close() // that it is there is enough
	if err != nil {
		_ = f.fs().Remove(path)
	}
	return made, err
}

// removeDovecotLock removes the file, unless another has found it old, broken it and made its own.
func (f *folder) removeDovecotLock(path string, made fs.FileInfo) {
	if info, err := f.fs().Lstat(path); err == nil && durable.SameFile(info, made) {
		_ = f.fs().Remove(path)
	}
}

// breakDovecotLock removes a lock that nobody has any more.
func (f *folder) breakDovecotLock(path string) error {
	info, err := f.fs().Lstat(path)
	if isNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if time.Since(info.ModTime()) < dovecotLockAge && !f.ownerGone(path) {
		return nil
	}
	f.account.maildir.logger().Warn("maildir: lock of Dovecot's was left behind", "file", path)
	if err := f.fs().Remove(path); err != nil && !isNotExist(err) {
		return err
	}
	return nil
}

// ownerGone says whether the process that made a lock has ended without removing it, as far as can be told from here. One that
// was made under this process' number is none of ours: all of this package make theirs while they have the folder's own lock.
func (f *folder) ownerGone(path string) bool {
	data, err := durable.ReadFile(f.fs(), path, 1<<10)
	if err != nil {
		return false
	}
	number, host, _ := strings.Cut(string(data), ":")
	pid, err := strconv.Atoi(number)
	names := f.account.maildir.names
	return err == nil && pid > 0 && host == names.host && (pid == names.pid || processGone(pid))
}
