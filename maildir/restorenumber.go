package maildir

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/sealed"
	"github.com/mailbricks/mailbricks/mailbox"
)

// restoreMargin is how far UIDNEXT goes up where nobody knows which UIDs were given since the backup.
const restoreMargin = 100_000

// number sees to it that no UID of the restored tree has another meaning than in the account that it replaces, and that no modseq
// goes back. The account is locked.
func (r *restore) number(back *account) error {
	a := r.account
	used, err := a.countFiles()
	if err != nil {
		return err
	}
	folders, err := rawFolders(back.fs(), back.dir)
	if err != nil {
		return err
	}
	before, err := rawFolders(a.fs(), a.dir)
	if err != nil {
		return err
	}
	for _, folder := range before {
		r.names = append(r.names, nameOf(folder))
	}
	if err := r.keepValidity(back); err != nil {
		return err
	}
	for _, folder := range folders {
		r.names = append(r.names, nameOf(folder))
		if err := r.numberFolder(back, folder, used.messages == 0); err != nil {
			return err
		}
	}
	slices.Sort(r.stats.Renumbered)
	return nil
}

// nameOf is the mailbox that a folder is, or the folder's name if it is none.
func nameOf(folder string) string {
	if folder == "" {
		return mailbox.Inbox
	}
	if name, ok := mailboxName(folder); ok {
		return name
	}
	return folder
}

// keepValidity makes the last UIDVALIDITY of the restored tree the larger one of both.
func (r *restore) keepValidity(back *account) error {
	var last uint64
	for _, a := range []*account{r.account, back} {
		data, err := durable.ReadFile(a.fs(), filepath.Join(a.dir, validityFile), 64)
		if err != nil && !isNotExist(err) {
			return err
		}
		if n, err := strconv.ParseUint(strings.TrimSpace(string(data)), 16, 32); err == nil {
			last = max(last, n)
		}
	}
	if last == 0 {
		return nil
	}
	return back.writeValidity(uint32(last))
}

// writeValidity notes which UIDVALIDITY was the last.
func (a *account) writeValidity(last uint32) error {
	text := fmt.Sprintf("%0*x", validityDigits, last)
	if err := durable.WriteFile(a.fs(), filepath.Join(a.dir, validityFile), []byte(text), messagePerm); err != nil {
		return err
	}
	a.renameValidity(text)
	return nil
}

// numbering is what a folder says of its UIDs.
type numbering struct {
	list  *uidlist // nil: none that can be read
	index *index   // nil: likewise
	uids  map[uint32]bool
	last  uint64 // modseq
	// locked: there is an index that cannot be read without the keys.
	locked bool
}

// readNumbers reads the two files of a folder that may not be there.
func (a *account) readNumbers(folder string) (numbering, error) {
	fsys, dir := a.fs(), a.path(folder)
	n := numbering{uids: map[uint32]bool{}}
	data, err := durable.ReadFile(fsys, filepath.Join(dir, uidlistFile), maxListSize)
	if isNotExist(err) {
		return n, nil
	}
	if err != nil {
		return n, err
	}
	if n.list, err = parseUIDList(data); errors.Is(err, errNewer) {
		return n, err
	} else if err != nil {
		n.list = nil
		return n, nil
	}
	for _, l := range n.list.lines {
		n.uids[l.uid] = true
		n.last = max(n.last, l.modseq)
	}
	data, err = durable.ReadFile(fsys, filepath.Join(dir, indexFile), maxListSize)
	if errors.Is(err, mailbox.ErrLocked) {
		n.locked = true
		return n, nil
	}
	if err != nil && !isNotExist(err) && !errors.Is(err, sealed.ErrDamaged) {
		return n, err
	}
	if err == nil {
		if n.index, err = parseIndex(data); errors.Is(err, errNewer) {
			return n, err
		} else if err != nil || n.index.validity != n.list.validity {
			n.index = nil
			return n, nil
		}
		n.last = max(n.last, n.index.modseq)
		for _, e := range n.index.expunged {
			delete(n.uids, e.uid)
		}
	}
	return n, nil
}

// numberFolder numbers one folder. empty says that the account has no mail.
func (r *restore) numberFolder(back *account, folder string, empty bool) error {
	was, err := back.readNumbers(folder)
	if err != nil || was.list == nil { // without a list it gets a new UIDVALIDITY when it is opened
		return err
	}
	now, err := r.account.readNumbers(folder)
	if err != nil {
		return err
	}
	switch {
	case empty && (now.list == nil || now.list.validity != was.list.validity || now.list.next < was.list.next):
		was.list.next = uint32(min(uint64(was.list.next)+restoreMargin, 1<<32-2))
		if was.locked { // the modseqs are in what cannot be read
			return was.writeList(back.fs(), back.path(folder))
		}
	case was.locked || now.locked:
		return mailbox.ErrLocked
	case now.list == nil || now.list.validity != was.list.validity || now.list.next != was.list.next || !was.within(now):
		if was.list.validity, err = r.account.nextValidity(); err == nil {
			err = back.writeValidity(was.list.validity)
		}
		if err != nil {
			return err
		}
		r.stats.Renumbered = append(r.stats.Renumbered, nameOf(folder))
	case now.last == was.last && now.index != nil && was.index != nil:
		return nil // nothing has happened since
	}
	return was.write(back.fs(), back.path(folder), max(uint64(time.Now().UnixMicro()), was.last+1, now.last+1))
}

// within says whether other has all of these UIDs.
func (n numbering) within(other numbering) bool {
	for uid := range n.uids {
		if !other.uids[uid] {
			return false
		}
	}
	return true
}

// writeList writes the list.
func (n numbering) writeList(fsys durable.FS, dir string) error {
	data := n.list.header()
	for i := range n.list.lines {
		data = n.list.lines[i].appendTo(data)
	}
	return durable.WriteFile(fsys, filepath.Join(dir, uidlistFile), data, messagePerm)
}

// write writes both files with modseqs from base on.
func (n numbering) write(fsys durable.FS, dir string, base uint64) error {
	for i := range n.list.lines {
		if l := &n.list.lines[i]; l.modseq != 0 {
			l.modseq = base
		}
	}
	if err := n.writeList(fsys, dir); err != nil {
		return err
	}
	if n.index == nil {
		if err := fsys.Remove(filepath.Join(dir, indexFile)); err != nil && !isNotExist(err) {
			return err
		}
		return nil
	}
	log := appendIndexHeader(nil, n.list.validity, base)
	var doomed []uint32
	for _, l := range n.list.lines { // in this order, so that a tree always gets the same files
		if f, ok := n.index.flags[l.uid]; ok && n.uids[l.uid] {
			log = appendFlagsLine(log, l.uid, base, f.flags, f.keywords)
		}
		if !n.uids[l.uid] {
			doomed = append(doomed, l.uid)
		}
	}
	if len(doomed) > 0 {
		log = appendExpungeLine(log, 'x', base, doomed)
	}
	log = appendNumberLine(log, 'r', uint64(n.index.recent))
	log = appendNumberLine(log, 'm', base)
	return durable.WriteFile(fsys, filepath.Join(dir, indexFile), log, messagePerm)
}
