package maildir

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/sealed"
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
	list, err := f.openList(dir)
	if err != nil {
		return nil, err
	}
	defer list.close()
	tx, err := f.loadWith(dir, list)
	if errors.Is(err, errNoUID) || errors.Is(err, errNoModSeq) {
		f.account.maildir.logger().Warn("maildir: UIDs are given anew", "folder", dir, "error", err)
		if err := list.renew(f); err != nil {
			return nil, err
		}
		tx, err = f.loadWith(dir, list)
	}
	if err != nil {
		return nil, err
	}
	f.cleanTemp(dir)
	return tx, nil
}

// loadWith is load with an open uidlist.
func (f *folder) loadWith(dir string, list *listFile) (*tx, error) {
	before := f.account.maildir.names.counter.Load()
	x, index, err := f.loadIndex(dir, list.list.validity)
	if err != nil {
		return nil, err
	}
	defer index.close()
	kw, kwInfo, err := loadKeywords(f.fs(), dir)
	if err != nil {
		return nil, err
	}
	tx := newTx(f, dir, &state{before: before, keywords: kw, doomed: map[string]uint32{}, other: map[uint32]string{}})
	tx.fresh = true
	tx.files = fileMarks{list: list.info, index: index.info, keywords: kwInfo}
	tx.told = index.modseq
	if err := tx.fill(list, x); err != nil {
		return nil, err
	}
	if index.info == nil {
		if err := tx.takeDovecotKeywords(); err != nil {
			return nil, err
		}
	}
	f.noted = ""
	if x != nil && tx.trusts(x.mark) {
		tx.asMarked, f.noted = x.mark, x.mark.line()
		return tx, nil
	}
	// A process before may have ended between writing and syncing them.
	return tx, inParallel([]func() error{list.sync, index.sync})
}

// trusts says whether a mark tells that all files are as st has them, if the folders have not changed since.
func (tx *tx) trusts(m *scanMark) bool {
	list := tx.files.list
	return m != nil && list != nil && !tx.whole && len(tx.unknown) == 0 && !tx.hadDoomed && !tx.f.account.maildir.distrusts(tx.dir) &&
		m.listSize == list.Size() && m.listTime == list.ModTime().UnixNano()
}

// lostMargin is how far above all modseqs that are known those are that are given after the index or a part of it was lost:
// more than there can be changes between two times that the uidlist is written anew.
const lostMargin = 1 << 32

// newBase gives a modseq larger than any that anyone was told before, given the largest that is known: it is the time,
// which goes on faster than changes can be written to disk, unless the clock was set back.
func newBase(now time.Time, largest uint64) uint64 {
	base := uint64(1)
	if micros := now.UnixMicro(); micros > 0 && micros <= maxModSeq/2 {
		base = uint64(micros)
	}
	if largest > 0 {
		base = max(base, largest+lostMargin)
	}
	return base
}

// fill makes the entries of what the two files say; x is nil if the index was lost.
func (tx *tx) fill(list *listFile, x *index) error {
	st, lost := tx.st, x == nil
	if lost {
		x = &index{}
		tx.guessRecent = true
	}
	gone := make(map[uint32]bool, len(x.expunged)) // and whether the file may still be there
	for _, e := range x.expunged {
		gone[e.uid] = false
	}
	for uid := range x.doomed {
		gone[uid] = true
	}
	largest := max(list.list.modseq, x.modseq)
	if tx.told <= lastModSeq {
		largest = max(largest, tx.told)
	}
	extra := map[string]bool{}
	var l uidLine
	for list.next(&l) {
		tx.lines[0]++
		largest = max(largest, l.modseq)
		if doomed, ok := gone[l.uid]; ok {
			if doomed {
				st.doomed[l.base] = l.uid
			}
			continue
		}
		tx.fillOne(&l, x, extra, lost)
	}
	head, err := list.finish()
	if err != nil {
		return err
	}
	next := x.nextUID(head.next)
	if next > lastUIDs {
		return errNoUID
	}
	short := list.info != nil && x.isShort(list.info.Size(), tx.noted)
	if lost || x.broken || head.broken || next > head.next || short && !tx.f.inMemory() {
		// What is missing may have told of larger modseqs.
		x.base = newBase(tx.f.account.maildir.now(), largest)
		x.modseq = x.base
	}
	tx.whole = head.damaged || next > head.next || short || lost || x.damaged || x.old || x.recent > next || len(tx.unknown) > 0
	tx.lines[1] = x.lines
	tx.hadDoomed = len(st.doomed) > 0
	slices.SortStableFunc(x.expunged, func(a, b expunged) int { return cmp.Compare(a.modseq, b.modseq) })
	st.validity, st.guid, st.header, st.next = head.validity, head.guid, head.other, next
	st.base, st.recent, st.expunged = x.base, min(x.recent, next), x.expunged
	st.modseq = max(st.modseq, x.modseq)
	st.expunged = slices.DeleteFunc(st.expunged, func(e expunged) bool { return e.uid >= next }) // nobody was told of them
	tx.fillUnknown()
	if st.modseq > lastModSeq {
		return errNoModSeq
	}
	st.trimExpunged()
	st.newsBase = st.modseq
	tx.reset()
	return nil
}

// fillOne makes the entry of a line.
func (tx *tx) fillOne(l *uidLine, x *index, extra map[string]bool, lost bool) {
	st := tx.st
	e := entry{base: l.base, uid: l.uid, modseq: l.modseq, date: l.date, saved: l.saved, size: l.size, flags: l.flags}
	if l.modseq == 0 && l.saved == 0 { // of another program; nobody knows since when
		e.saved = tx.savedNow(l.date)
	}
	if l.size < 0 {
		if named, ok := crlfSize(l.base); ok {
			e.size = named
		}
	}
	fl, ok := x.flags[l.uid]
	if ok {
		tx.noted++
		e.modseq, e.flags = max(fl.modseq, l.modseq), fl.flags
		e.extra = tx.fillKeywords(&e, fl.keywords, extra)
	}
	if lost || x.broken || e.modseq == 0 {
		e.modseq = 0
		tx.unknown = append(tx.unknown, l.uid) // whatever its flags are, they are not news
	}
	if l.other != "" {
		st.other[l.uid] = l.other
	}
	st.modseq = max(st.modseq, e.modseq)
	st.add(e)
}

var errNoModSeq = errors.New("maildir: mailbox has no modseq left")

// uidMargin is how far the index may be ahead of the uidlist. What says more is damaged.
const uidMargin = 1 << 24

// lastUIDs is the next UID from which on all are given anew, under another UIDVALIDITY: what is left is for one run.
const lastUIDs = math.MaxUint32 - uidMargin

// nextUID is the next UID, given what the uidlist says of it: the index tells where lines of that have been lost.
func (x *index) nextUID(next uint32) uint32 {
	for _, least := range []uint64{uint64(x.largest) + 1, uint64(x.recent)} {
		if least < math.MaxUint32 && least-uint64(next) <= uidMargin {
			next = max(next, uint32(least))
		}
	}
	return next
}

// fillKeywords gives a message its keywords without letters.
func (tx *tx) fillKeywords(e *entry, names []string, extra map[string]bool) *keywordSet {
	kw := tx.st.keywords
	for i, name := range names {
		if letter, _ := kw.find(mailbox.Flag(name)); letter >= 0 { // it has got one since
			e.flags |= keywordFlag(letter)
			names[i] = ""
			continue
		}
		if !extra[name] {
			extra[name] = true
			kw.rest = append(kw.rest, mailbox.Flag(name))
		}
	}
	return newKeywordSet(notEmpty(names))
}

// fillUnknown gives messages whose modseq nobody has noted the newest.
func (tx *tx) fillUnknown() {
	st := tx.st
	if len(tx.unknown) == 0 {
		return
	}
	if !tx.guessRecent {
		st.modseq++ // lines that another program has added since
	}
	for e := range st.entries.all() {
		if e.modseq == 0 {
			e.modseq = st.modseq
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

// listFile is an open uidlist, or one that is begun anew and is written with the first commit.
type listFile struct {
	*uidReader
	logFile
	path string
	info fs.FileInfo
}

// openList opens the uidlist.
func (f *folder) openList(dir string) (*listFile, error) {
	out := &listFile{path: filepath.Join(dir, uidlistFile)}
	info, err := statOrNil(f.fs(), out.path)
	if err != nil {
		return nil, err
	}
	if info == nil {
		return out, out.renew(f)
	}
	out.info = info
	if info.Size() > maxListSize {
		return nil, fmt.Errorf("maildir: %s: %w", out.path, durable.ErrTooLarge)
	}
	if out.file, err = f.fs().OpenFile(out.path, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	out.uidReader, err = newUIDReader(out.file)
	if err == nil {
		return out, nil
	}
	if errors.Is(err, errNewer) || !errors.Is(err, errNoList) {
		out.close()
		return nil, err
	}
	f.account.maildir.logger().Warn("maildir: UIDs are given anew", "file", out.path, "error", err)
	err = out.renew(f)
	return out, err
}

// renew begins a new uidlist.
func (l *listFile) renew(f *folder) error {
	l.close()
	l.file = nil
	validity, err := f.account.validityAbove(f.account.validityOfIndex(filepath.Dir(l.path)))
	if err != nil {
		return err
	}
	l.uidReader = &uidReader{list: &uidlist{validity: validity, next: 1, guid: newGUID(), damaged: true}, end: true}
	return nil
}

func newGUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// indexReader is an open index.
type indexReader struct {
	logFile
	info   fs.FileInfo
	modseq uint64 // the largest of an index that is for another UIDVALIDITY
}

// loadIndex reads the index; nil if there is none for this UIDVALIDITY.
func (f *folder) loadIndex(dir string, validity uint32) (*index, indexReader, error) {
	path := filepath.Join(dir, indexFile)
	info, err := statOrNil(f.fs(), path)
	if err != nil || info == nil {
		return nil, indexReader{}, err
	}
	out := indexReader{info: info}
	if out.file, err = f.fs().OpenFile(path, os.O_RDWR, 0); err != nil {
		return nil, indexReader{}, err
	}
	data, err := durable.ReadFile(f.fs(), path, maxListSize)
	if errors.Is(err, sealed.ErrDamaged) {
		f.account.maildir.logger().Warn("maildir: index is begun anew", "file", path, "error", err)
		return nil, out, nil
	}
	if err != nil {
		out.close()
		return nil, indexReader{}, err
	}
	x, err := parseIndex(data)
	switch {
	case errors.Is(err, errNewer):
		out.close()
		return nil, indexReader{}, err
	case err != nil:
		f.account.maildir.logger().Warn("maildir: index is begun anew", "file", path, "error", err)
		return nil, out, nil
	case x.validity != validity:
		out.modseq = x.modseq
		return nil, out, nil
	}
	return x, out, nil
}

// writeAll writes both index files anew.
func (tx *tx) writeAll() error {
	f := tx.f
	// Files that are removed but not for certain would come back as new messages if their lines went.
	for _, sub := range []string{"cur", "new"} {
		if err := f.account.syncDir(filepath.Join(tx.dir, sub)); err != nil {
			return err
		}
	}
	list, lines := tx.formatList()
	log, logLines := tx.formatIndex()
	log = append(log, (&scanMark{listSize: int64(len(list))}).line()...) // see index.listed
	logLines++
	// The uidlist first: it has the modseqs that the new index has no lines for any more.
	if err := durable.WriteFile(f.fs(), filepath.Join(tx.dir, uidlistFile), list, 0o600); err != nil {
		return err
	}
	if err := durable.WriteFile(f.fs(), filepath.Join(tx.dir, indexFile), log, 0o600); err != nil {
		return err
	}
	f.account.maildir.distrust(tx.dir, false)
	tx.lines, f.noted = [2]int{lines, logLines}, ""
	return tx.markFiles()
}

// formatList writes the uidlist anew.
func (tx *tx) formatList() (data []byte, lines int) {
	st := tx.st
	list := uidlist{validity: st.validity, next: st.next, guid: st.guid, modseq: st.modseq, other: st.header}
	data = append(make([]byte, 0, st.entries.len()*lineSize+lineSize), list.header()...)
	var doomed []uidLine
	for base, uid := range st.doomed {
		doomed = append(doomed, uidLine{uid: uid, base: base, date: noDate, size: -1})
	}
	slices.SortFunc(doomed, func(a, b uidLine) int { return cmp.Compare(a.uid, b.uid) })
	lines = len(doomed) + st.entries.len()
	for e := range st.entries.all() {
		for len(doomed) > 0 && doomed[0].uid < e.uid {
			data = doomed[0].appendTo(data)
			doomed = doomed[1:]
		}
		l := lineOf(e)
		if len(st.other) > 0 {
			l.other = st.other[e.uid]
		}
		data = l.appendTo(data)
	}
	for i := range doomed {
		data = doomed[i].appendTo(data)
	}
	return data, lines
}

// lineSize is about how long a line of the uidlist is.
const lineSize = 128

// formatIndex writes the index anew.
func (tx *tx) formatIndex() (log []byte, lines int) {
	st := tx.st
	log = appendIndexHeader(nil, st.validity, st.base)
	if len(st.counts.sets.uses) > 0 {
		for e := range st.entries.all() {
			if e.extra != nil {
				log = appendFlagsLine(log, e.uid, e.modseq, e.flags, e.extra.list())
				lines++
			}
		}
	}
	for i := 0; i < len(st.expunged); lines++ {
		seq, uids := st.expunged[i].modseq, []uint32(nil)
		for ; i < len(st.expunged) && st.expunged[i].modseq == seq; i++ {
			uids = append(uids, st.expunged[i].uid)
		}
		log = appendExpungeLine(log, 'v', seq, uids)
	}
	for _, uid := range st.doomed {
		log = appendExpungeLine(log, 'x', st.base, []uint32{uid})
		lines++
	}
	log = appendNumberLine(log, 'r', uint64(st.recent))
	log = appendNumberLine(log, 'm', st.modseq)
	return log, lines + 2
}

// markFiles remembers the index files as they are now.
func (tx *tx) markFiles() (err error) {
	if tx.files.list, err = statOrNil(tx.f.fs(), filepath.Join(tx.dir, uidlistFile)); err != nil {
		return err
	}
	tx.files.index, err = statOrNil(tx.f.fs(), filepath.Join(tx.dir, indexFile))
	return err
}

// cleanTemp removes what was left behind long ago: messages in tmp, and index files that were not finished. What cannot be
// removed stays.
func (f *folder) cleanTemp(dir string) {
	f.removeOld(filepath.Join(dir, "tmp"), func(string) bool { return true })
	f.removeOld(dir, durable.IsTemp)
}

func (f *folder) removeOld(dir string, which func(name string) bool) {
	names, err := f.fs().ReadNames(dir)
	if err != nil {
		return
	}
	for _, name := range names {
		if !which(name) {
			continue
		}
		path := filepath.Join(dir, name)
		info, err := f.fs().Lstat(path)
		if err == nil && info.Mode().IsRegular() && leftBehind(info, f.account.maildir.now()) {
			_ = f.fs().Remove(path)
		}
	}
}

// leftBehind says whether a file in tmp is older than tempAge. A message that is copied, or appended with a date, has an old time
// while it is written: what its name says of the time counts as well.
func leftBehind(info fs.FileInfo, now time.Time) bool {
	named := now.Sub(time.Unix(nameSeconds(info.Name()), 0)) // many years where the name does not tell
	return now.Sub(info.ModTime()) > tempAge && (named > tempAge || named < -tempAge)
}
