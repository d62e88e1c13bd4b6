package maildir

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// tempAge is how long a file may stay in tmp before it counts as left behind: 36 hours, as Maildir has it.
const tempAge = 36 * time.Hour

// load reads a folder and gives a transaction with what it found. Its files have not been looked at yet.
func (f *folder) load(dir string) (*tx, error) {
	if err := f.account.complete(dir); err != nil {
		return nil, err
	}
	list, listInfo, err := f.loadList(dir)
	if err != nil {
		return nil, err
	}
	x, indexInfo, err := f.loadIndex(dir, list.validity)
	if err != nil {
		return nil, err
	}
	kw, kwInfo, err := loadKeywords(f.fs(), dir)
	if err != nil {
		return nil, err
	}
	st := &state{
		validity: list.validity, guid: list.guid, next: list.next, keywords: kw,
		entries: make([]entry, 0, len(list.lines)), doomed: map[string]uint32{}, other: map[uint32]string{},
	}
	tx := newTx(f, dir, st)
	tx.fresh = true
	tx.files = fileMarks{list: listInfo, index: indexInfo, keywords: kwInfo}
	tx.whole = list.damaged || x == nil || x.damaged
	if x == nil {
		x = &index{base: newBase(list)}
		x.modseq = x.base
		tx.guessRecent = true
		for i := range list.lines {
			list.lines[i].modseq = 0
		}
	}
	tx.lines = [2]int{len(list.lines), x.lines}
	slices.SortStableFunc(x.expunged, func(a, b expunged) int { return cmp.Compare(a.modseq, b.modseq) })
	st.base, st.modseq, st.recent, st.expunged = x.base, x.modseq, x.recent, x.expunged
	tx.fill(list, x, kw)
	tx.hadDoomed = len(st.doomed) > 0
	st.trimExpunged()
	tx.reset()
	f.cleanTemp(dir)
	return tx, nil
}

// newBase gives a modseq larger than any that anyone was told before: it is the time, which goes on faster than changes
// can be written to disk.
func newBase(list *uidlist) uint64 {
	base := uint64(time.Now().UnixMicro())
	for i := range list.lines {
		base = max(base, list.lines[i].modseq+1)
	}
	return base
}

// fill makes the entries of what the two files say.
func (tx *tx) fill(list *uidlist, x *index, kw *keywords) {
	st := tx.st
	gone := make(map[uint32]bool, len(x.expunged)) // and whether the file may still be there
	for _, e := range x.expunged {
		gone[e.uid] = false
	}
	for uid := range x.doomed {
		gone[uid] = true
	}
	extra := map[string]bool{}
	names := list.names()
	for i, l := range list.lines {
		l.base = names[i]
		if doomed, ok := gone[l.uid]; ok {
			if doomed {
				st.doomed[l.base] = l.uid
			}
			continue
		}
		e := entry{base: l.base, uid: l.uid, modseq: l.modseq, date: l.date, size: l.size, flags: l.flags}
		if named, ok := nameSize(l.base, 'W'); ok && l.size < 0 {
			e.size = named
		}
		fl, ok := x.flags[l.uid]
		if ok {
			e.modseq, e.flags = max(fl.modseq, l.modseq), fl.flags
			for i, name := range fl.keywords {
				if letter, _ := kw.find(mailbox.Flag(name)); letter >= 0 { // it has got one since
					e.flags |= keywordFlag(letter)
					fl.keywords[i] = ""
					continue
				}
				if !extra[name] {
					extra[name] = true
					kw.rest = append(kw.rest, mailbox.Flag(name))
				}
			}
			e.extra = newKeywordSet(notEmpty(fl.keywords))
		} else if l.modseq == 0 {
			tx.unknown = append(tx.unknown, l.uid) // whatever its flags are, they are not news
			tx.whole = true
		}
		if l.other != "" {
			st.other[l.uid] = strings.Clone(l.other)
		}
		st.modseq = max(st.modseq, e.modseq)
		st.entries = append(st.entries, e)
	}
	if len(tx.unknown) > 0 {
		if !tx.guessRecent {
			st.modseq++ // lines that another program has added since
		}
		for i := range st.entries {
			if st.entries[i].modseq == 0 {
				st.entries[i].modseq = st.modseq
			}
		}
	}
}

func notEmpty(names []string) []string {
	var out []string
	for _, n := range names {
		if n != "" {
			out = append(out, n)
		}
	}
	return out
}

// trimExpunged forgets what went first when it is too much.
func (s *state) trimExpunged() {
	if extra := len(s.expunged) - maxExpunged; extra > 0 {
		s.base = max(s.base, s.expunged[extra-1].modseq)
		s.expunged = append([]expunged(nil), s.expunged[extra:]...)
	}
}

// loadList reads the uidlist, or begins a new one, which is written with the first commit.
func (f *folder) loadList(dir string) (*uidlist, fs.FileInfo, error) {
	path := filepath.Join(dir, uidlistFile)
	info, err := statOrNil(f.fs(), path)
	if err != nil {
		return nil, nil, err
	}
	if info != nil {
		data, err := f.readSynced(path)
		if err != nil {
			return nil, nil, err
		}
		list, err := parseUIDList(data)
		if err == nil || errors.Is(err, errNewer) {
			return list, info, err
		}
		f.account.maildir.logger().Warn("maildir: UIDs are given anew", "file", path, "error", err)
	}
	validity, err := f.account.nextValidity()
	if err != nil {
		return nil, nil, err
	}
	return &uidlist{validity: validity, next: 1, guid: newGUID(), damaged: true}, info, nil
}

func newGUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// readSynced reads an index file and makes sure that what it has is on disk: a process before may have ended between
// writing and syncing it.
func (f *folder) readSynced(path string) ([]byte, error) {
	file, err := f.fs().OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	err = durable.SyncData(file)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, err
	}
	return durable.ReadFile(f.fs(), path, maxListSize)
}

// loadIndex reads the index; nil if there is none for this UIDVALIDITY.
func (f *folder) loadIndex(dir string, validity uint32) (*index, fs.FileInfo, error) {
	path := filepath.Join(dir, indexFile)
	info, err := statOrNil(f.fs(), path)
	if err != nil || info == nil {
		return nil, nil, err
	}
	data, err := f.readSynced(path)
	if err != nil {
		return nil, nil, err
	}
	x, err := parseIndex(data)
	switch {
	case errors.Is(err, errNewer):
		return nil, nil, err
	case err != nil:
		f.account.maildir.logger().Warn("maildir: index is begun anew", "file", path, "error", err)
		return nil, info, nil
	case x.validity != validity:
		return nil, info, nil
	}
	return x, info, nil
}

// writeAll writes both index files anew.
func (tx *tx) writeAll() error {
	f, st := tx.f, tx.st
	f.mu.Lock()
	lines := make([]uidLine, len(st.entries), len(st.entries)+len(st.doomed))
	log := appendIndexHeader(nil, st.validity, st.base)
	logLines := 0
	for i := range st.entries {
		e := &st.entries[i]
		lines[i] = uidLine{uid: e.uid, base: e.base, modseq: e.modseq, date: e.date, size: e.size, flags: e.flags, other: st.other[e.uid]}
		if e.extra != nil {
			log = appendFlagsLine(log, e.uid, e.modseq, e.flags, e.extra.list())
			logLines++
		}
	}
	f.mu.Unlock()

	// Files that are removed but not for certain would come back as new messages if their lines went.
	for _, sub := range []string{"cur", "new"} {
		if err := f.account.syncDir(filepath.Join(tx.dir, sub)); err != nil {
			return err
		}
	}
	for i := 0; i < len(st.expunged); logLines++ {
		seq, uids := st.expunged[i].modseq, []uint32(nil)
		for ; i < len(st.expunged) && st.expunged[i].modseq == seq; i++ {
			uids = append(uids, st.expunged[i].uid)
		}
		log = appendExpungeLine(log, 'v', seq, uids)
	}
	for base, uid := range st.doomed {
		lines = append(lines, uidLine{uid: uid, base: base, date: noDate, size: -1})
		log = appendExpungeLine(log, 'x', st.base, []uint32{uid})
		logLines++
	}
	slices.SortFunc(lines, func(a, b uidLine) int { return cmp.Compare(a.uid, b.uid) })
	log = appendNumberLine(log, 'r', uint64(st.recent))
	log = appendNumberLine(log, 'm', st.modseq)
	list := uidlist{validity: st.validity, next: st.next, guid: st.guid}
	data := list.header()
	for i := range lines {
		data = lines[i].appendTo(data)
	}
	// The uidlist first: it has the modseqs that the new index has no lines for any more.
	if err := durable.WriteFile(f.fs(), filepath.Join(tx.dir, uidlistFile), data, 0o600); err != nil {
		return err
	}
	if err := durable.WriteFile(f.fs(), filepath.Join(tx.dir, indexFile), log, 0o600); err != nil {
		return err
	}
	f.account.maildir.distrust(tx.dir, false)
	tx.lines = [2]int{len(lines), logLines + 2}
	return tx.markFiles()
}

// markFiles remembers the index files as they are now.
func (tx *tx) markFiles() (err error) {
	if tx.files.list, err = statOrNil(tx.f.fs(), filepath.Join(tx.dir, uidlistFile)); err != nil {
		return err
	}
	tx.files.index, err = statOrNil(tx.f.fs(), filepath.Join(tx.dir, indexFile))
	return err
}

// cleanTemp removes what was left behind in tmp long ago. What cannot be removed stays.
func (f *folder) cleanTemp(dir string) {
	tmp := filepath.Join(dir, "tmp")
	names, err := f.fs().ReadNames(tmp)
	if err != nil {
		return
	}
	for _, name := range names {
		path := filepath.Join(tmp, name)
		info, err := f.fs().Lstat(path)
		if err == nil && info.Mode().IsRegular() && f.account.maildir.now().Sub(info.ModTime()) > tempAge {
			_ = f.fs().Remove(path)
		}
	}
}
