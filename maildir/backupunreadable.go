package maildir

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrUnreadable: a backup was made, or put back with Merge, but some files could not be read.
var ErrUnreadable = errors.New("maildir: files cannot be read")

// instead does what can be done where from could not be copied to to: if that is because from cannot be read, the file is taken
// from the earlier backup, where it is old, or left out. Any other cause is returned.
func (b *backup) instead(from, old, to string, cause error) (there bool, err error) {
	if b.skip == nil || !b.isUnreadable(from) {
		return false, cause
	}
	b.unreadable(from, cause)
	if old == "" || b.isUnreadable(old) {
		return false, nil
	}
	info, err := b.files.Lstat(old)
	if err == nil {
		_, err = b.copies.linkOrCopy(old, to, info)
	}
	return err == nil, err
}

// isUnreadable says whether a file is there but cannot be read to its end.
func (b *backup) isUnreadable(path string) bool {
	f, err := b.files.OpenFile(path, os.O_RDONLY, 0)
	if err == nil {
		var info os.FileInfo
		var n int64
		if info, err = f.Stat(); err == nil {
			n, err = io.Copy(io.Discard, f)
		}
		if err == nil && n < info.Size() {
			err = io.ErrUnexpectedEOF
		}
		_ = f.Close()
	}
	return unreadable(err)
}

// unreadable says whether an error is of one file, rather than of all.
func unreadable(err error) bool {
	return err != nil && !isNotExist(err) && !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) && !errors.Is(err, syscall.ENOMEM)
}

// unreadable tells, once, of a file of the account that cannot be read.
func (b *backup) unreadable(path string, err error) {
	if rel, inStaged := strings.CutPrefix(path, b.staged+string(filepath.Separator)); inStaged {
		path = filepath.Join(b.account.dir, rel)
	}
	base, _ := splitName(path) // flags may change meanwhile
	if b.skip[base] {
		return
	}
	b.skip[base] = true
	b.stats.Unreadable++
	if b.opts.Unreadable != nil {
		b.opts.Unreadable(path, err)
	}
}

// failed is what Backup returns when a backup was made.
func (s BackupStats) failed() error {
	if s.Unreadable == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d", ErrUnreadable, s.Unreadable)
}

// had gives the paths of a folder's messages in the backup before, by file names without flags.
func (b *backup) had(folder string) (map[string]string, error) {
	had := map[string]string{}
	for _, sub := range []string{"new", "cur"} {
		if b.old == "" {
			break
		}
		names, err := b.files.ReadNames(filepath.Join(b.old, folder, sub))
		if err != nil && !isNotExist(err) {
			return nil, err
		}
		for _, name := range names {
			base, _ := splitName(name)
			had[base] = filepath.Join(b.old, folder, sub, name)
		}
	}
	return had, nil
}
