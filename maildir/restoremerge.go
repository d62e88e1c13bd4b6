package maildir

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

// restoreBatch is how many messages come back in one change of a mailbox.
const restoreBatch = 200

// lost is a message of the backup that its mailbox does not have.
type lost struct {
	folder string
	path   string // file
	base   string
	flags  flags
	info   fs.FileInfo
	found  bool // elsewhere in the account
}

// merge puts back what is missing.
func (r *restore) merge(ctx context.Context) error {
	if r.account.vault.locked() {
		return mailbox.ErrLocked
	}
	back, err := r.treeAt(r.from)
	if err != nil {
		return err
	}
	if back.vault.locked() {
		return mailbox.ErrLocked
	}
	r.back = back
	folders, err := rawFolders(back.fs(), back.dir)
	if err != nil {
		return err
	}
	var missing []*lost
	known := map[string]bool{} // files of the account that are messages of the backup
	messages := 0
	for _, folder := range folders {
		for _, sub := range []string{"new", "cur"} {
			names, err := back.fs().ReadNames(filepath.Join(r.from, folder, sub))
			if err != nil && !isNotExist(err) {
				return err
			}
			messages += len(names)
		}
		more, err := r.missing(folder, known)
		if err != nil {
			return err
		}
		missing = append(missing, more...)
	}
	if err := r.lookElsewhere(ctx, missing, known); err != nil {
		return err
	}
	byFolder := map[string][]*lost{}
	for _, l := range missing {
		if !l.found {
			byFolder[l.folder] = append(byFolder[l.folder], l)
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(byFolder)) {
		if err := r.putBack(ctx, folder, byFolder[folder]); err != nil {
			return err
		}
	}
	if r.unreadable > 0 {
		return fmt.Errorf("%w: %d", ErrUnreadable, r.unreadable)
	}
	return r.head.whole(len(folders), messages)
}

// stem is a file's name without what says how long it is: that may be mended.
func stem(base string) string {
	stem, _, _ := strings.Cut(base, ",")
	return stem
}

// messageFiles gives the paths of a folder's messages by their stems, as seen from root.
func messageFiles(fsys durable.FS, root, folder string) (map[string]string, error) {
	out := map[string]string{}
	for _, sub := range []string{"new", "cur"} {
		names, err := fsys.ReadNames(filepath.Join(root, folder, sub))
		if err != nil && !isNotExist(err) {
			return nil, err
		}
		for _, name := range names {
			if base, _ := splitName(name); validBase(base) {
				out[stem(base)] = filepath.Join(folder, sub, name)
			}
		}
	}
	return out, nil
}

// missing are the messages of a folder of the backup whose names the account's does not have.
func (r *restore) missing(folder string, known map[string]bool) ([]*lost, error) {
	there, err := messageFiles(r.account.fs(), r.account.dir, folder)
	if err != nil {
		return nil, err
	}
	backed, err := messageFiles(r.back.fs(), r.from, folder)
	if err != nil {
		return nil, err
	}
	var out []*lost
	for stem, path := range backed {
		if at, ok := there[stem]; ok {
			known[at] = true
			continue
		}
		info, err := r.back.fs().Lstat(filepath.Join(r.from, path))
		if err != nil {
			return nil, err
		}
		base, fl := splitName(filepath.Base(path))
		out = append(out, &lost{folder: folder, path: filepath.Join(r.from, path), base: base, flags: fl, info: info})
	}
	slices.SortFunc(out, func(a, b *lost) int { return nameOrder(a.base, b.base) })
	return out, nil
}

// lookElsewhere finds messages that were moved to another mailbox: each file of the account stands for one at most.
func (r *restore) lookElsewhere(ctx context.Context, missing []*lost, known map[string]bool) error {
	bySize := map[int64][]*lost{}
	for _, l := range missing {
		bySize[l.info.Size()] = append(bySize[l.info.Size()], l)
	}
	if len(missing) == 0 {
		return nil
	}
	folders, err := rawFolders(r.account.fs(), r.account.dir)
	if err != nil {
		return err
	}
	for _, folder := range folders {
		files, err := messageFiles(r.account.fs(), r.account.dir, folder)
		if err != nil {
			return err
		}
		for _, path := range files {
			if err := ctx.Err(); err != nil {
				return err
			}
			if known[path] {
				continue
			}
			if err := r.recognize(filepath.Join(r.account.dir, path), bySize); err != nil && !isNotExist(err) {
				return err
			}
		}
	}
	return nil
}

// recognize marks the missing message that a file of the account is, if it is one.
func (r *restore) recognize(path string, bySize map[int64][]*lost) error {
	info, err := r.account.fs().Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	var sum []byte
	for _, l := range bySize[info.Size()] {
		if l.found {
			continue
		}
		if durable.SameFile(info, l.info) {
			l.found = true
			return nil
		}
		if sum == nil {
			if sum, err = fileHash(r.account.fs(), path); isBadMessage(err) { // it stands for no message
				return nil
			} else if err != nil {
				return err
			}
		}
		other, err := fileHash(r.back.fs(), l.path)
		if isBadMessage(err) { // putBatch tells of it
			continue
		}
		if err != nil {
			return err
		}
		if slices.Equal(sum, other) {
			l.found = true
			return nil
		}
	}
	return nil
}

func fileHash(fsys durable.FS, path string) ([]byte, error) {
	f, err := fsys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return nil, err
	}
	return hash.Sum(nil), nil
}

// putBack puts messages into a mailbox, which is made if it is gone.
func (r *restore) putBack(ctx context.Context, folder string, messages []*lost) error {
	name := mailbox.Inbox
	if folder != "" {
		var ok bool
		if name, ok = mailboxName(folder); !ok {
			return fmt.Errorf("%w: folder %.100q", mailbox.ErrName, folder)
		}
	}
	f, err := r.openOrMake(name)
	if err != nil {
		return err
	}
	defer r.account.leave(f)
	back, err := r.back.readNumbers(folder)
	if err != nil {
		return err
	}
	kw, _, err := loadKeywords(r.back.fs(), filepath.Join(r.from, folder))
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(messages, restoreBatch) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.putBatch(f, batch, back, kw); err != nil {
			return err
		}
	}
	return nil
}

// openOrMake opens a mailbox.
func (r *restore) openOrMake(name string) (*folder, error) {
	a := r.account
	f, err := a.open(name)
	if !errors.Is(err, mailbox.ErrNoMailbox) {
		return f, err
	}
	unlock, err := a.lockStructure()
	if err != nil {
		return nil, err
	}
	err = a.create(name, "")
	unlock()
	if err != nil && !errors.Is(err, mailbox.ErrExists) {
		return nil, err
	}
	r.stats.Mailboxes++
	return a.open(name)
}

// putBatch puts some messages into a mailbox: all or none of those that can be read.
func (r *restore) putBatch(to *folder, messages []*lost, back numbering, kw *keywords) error {
	dates := map[string]int64{}
	words := map[string][]mailbox.Flag{}
	if back.list != nil {
		for _, l := range back.list.lines {
			dates[l.base] = l.date
			if back.index != nil {
				for _, word := range back.index.flags[l.uid].keywords {
					words[l.base] = append(words[l.base], mailbox.Flag(word))
				}
			}
		}
	}
	a := r.account
	var staged []*staged
	for _, l := range messages {
		e := entry{base: l.base, date: l.info.ModTime().Unix(), size: -1}
		if date, ok := dates[l.base]; ok && date != noDate {
			e.date = date
		}
		if named, ok := nameSize(l.base, 'S'); !ok || named == l.info.Size() {
			if n, ok := crlfSize(l.base); ok {
				e.size = n
			}
		}
		s, err := r.stage(l.path, &e, to.dir())
		if err != nil && r.isUnreadable(l.path) {
			a.maildir.logger().Warn("maildir: message of a backup cannot be read", "file", l.path, "error", err)
			r.unreadable++
			continue
		}
		if err != nil {
			return discardAll(a, staged, err)
		}
		s.flags = append(kw.decode(l.flags, nil), words[l.base]...)
		staged = append(staged, s)
	}
	placed, err := to.place(staged)
	r.stats.Messages += len(placed)
	return err
}

// isUnreadable says whether it is the backup's file that is bad.
func (r *restore) isUnreadable(path string) bool {
	_, err := fileHash(r.back.fs(), path)
	return isBadMessage(err)
}

// stage puts a message of the backup into the tmp of a folder.
func (r *restore) stage(path string, e *entry, dir string) (*staged, error) {
	a := r.account
	if !a.vault.encrypted() && !r.back.vault.encrypted() {
		return a.stageLink(path, e, dir)
	}
	f, err := r.back.fs().OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := a.stage(dir, time.Unix(e.date, 0), e.size, func(w io.Writer) error {
		_, err := io.Copy(w, f)
		return err
	})
	if err != nil {
		return nil, err
	}
	return a.stagedCopy(s, e.base)
}
