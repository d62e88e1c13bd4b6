package maildir

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// catchUp stages what others did to the files, and messages that this process has delivered.
func (tx *tx) catchUp(delivered []delivery) error {
	need, err := tx.needsScan(len(delivered) > 0)
	if err == nil && need == scanNew {
		need, err = tx.scanNew()
	}
	if err == nil && need == scanAll {
		err = tx.scan()
	}
	if err != nil {
		return err
	}
	added := make(map[string]bool, len(tx.added))
	for i := range tx.added {
		added[tx.added[i].base] = true
	}
	for _, d := range delivered {
		if added[d.base] || tx.knows(d.base) {
			continue
		}
		added[d.base] = true
		e := entry{base: d.base, date: d.date, size: d.size}
		e.isNew = true
		if _, err := tx.add(e); err != nil {
			return err
		}
	}
	return nil
}

// scanNeed says which files have to be looked at.
type scanNeed int

const (
	scanNone scanNeed = iota
	scanNew           // those in new
	scanAll
)

// needsScan says whether the folder is not as it was. A change of new that this process' own delivery explains is none;
// if another hides behind it, it comes to light after settleTime without more of them, or after maxUnsettled.
func (tx *tx) needsScan(ownDelivery bool) (scanNeed, error) {
	f := tx.f
	if f.rescan || tx.fresh && tx.asMarked == nil {
		return scanAll, nil
	}
	cur, err := f.fs().Stat(filepath.Join(tx.dir, "cur"))
	if err != nil {
		return scanAll, err
	}
	fresh, err := f.fs().Stat(filepath.Join(tx.dir, "new"))
	if err != nil {
		return scanAll, err
	}
	now := f.account.maildir.now()
	if m := tx.asMarked; m != nil {
		if cur.ModTime().UnixNano() != m.cur || m.inNew > 0 && fresh.ModTime().UnixNano() != m.fresh {
			return scanAll, nil
		}
		tx.files.cur = markOf(cur, now)
		return scanNew, nil
	}
	if !f.files.cur.current(cur, now) {
		return scanAll, nil
	}
	if f.files.fresh.current(fresh, now) {
		return scanNone, nil
	}
	if !ownDelivery || f.files.fresh.overdue(now) {
		return scanNew, nil
	}
	tx.files.fresh = f.files.fresh.changed(fresh, now)
	return scanNone, nil
}

// knows says whether a file name, which this process has made, is that of a message that was there before this run.
func (tx *tx) knows(base string) bool {
	if tx.st.names != nil || uint64(nameCounter(base)) <= tx.st.before {
		if _, _, ok := tx.st.placeOf(base); ok {
			return true
		}
	}
	_, doomed := tx.st.doomed[base]
	return doomed
}

// found is a file that a scan has seen.
type found struct {
	sub   string // "new" or "cur"
	name  string
	base  string
	flags flags
}

func (a *found) path() string { return filepath.Join(a.sub, a.name) }

// foundAs is the file of a message.
func foundAs(e *entry) *found {
	sub, name := filepath.Split(e.path())
	return &found{filepath.Clean(sub), name, e.base, e.flags}
}

// sight is what a look at the files has found.
type sight struct {
	tx      *tx
	offsets []int             // how many messages are before each piece of st.entries
	seen    []uint64          // a bit for each message whose file is there
	count   int               // how many bits are set
	odd     map[uint32]*found // files of messages that are not as they were, by UID
	fresh   map[string]*found // files that are no message's yet
	left    map[string]uint32 // of st.doomed
}

func (tx *tx) newSight() *sight {
	s := &sight{tx: tx, odd: map[uint32]*found{}, fresh: map[string]*found{}, left: map[string]uint32{}}
	n := 0
	for _, p := range tx.st.entries.pieces {
		s.offsets = append(s.offsets, n)
		n += len(p)
	}
	s.seen = make([]uint64, (n+63)/64)
	return s
}

func (s *sight) has(at int) bool { return s.seen[at/64]&(1<<(at%64)) != 0 }

func (s *sight) set(at int) {
	if !s.has(at) {
		s.seen[at/64] |= 1 << (at % 64)
		s.count++
	}
}

// look looks at the files in new or cur.
func (s *sight) look(sub string) error {
	if err := s.tx.looking(sub); err != nil {
		return err
	}
	names, err := s.tx.f.fs().ReadNames(filepath.Join(s.tx.dir, sub))
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, ".") {
			continue
		}
		if base, fl := splitName(name); validBase(base) {
			s.file(found{sub, name, base, fl})
		}
	}
	return nil
}

// file looks at one file. Most are as they were.
func (s *sight) file(file found) {
	tx := s.tx
	if uid, ok := tx.st.doomed[file.base]; ok {
		tx.touch(file.sub)
		if !tx.removeDoomed(&file) {
			s.left[file.base] = uid
		}
		return
	}
	if at, e, ok := s.entry(file.base); ok && e != nil && !s.has(at) && e.isNew == (file.sub == "new") && e.flags == file.flags && file.regular() {
		s.set(at)
		return
	}
	s.oddFile(&file)
}

// entry finds the message with a file name: its number, and what is known of it now; nil if it is expunged.
func (s *sight) entry(base string) (at int, e *entry, ok bool) {
	piece, i, ok := s.tx.st.placeOf(base)
	if !ok {
		return 0, nil, false
	}
	e = &s.tx.st.entries.pieces[piece][i]
	if len(s.tx.changed)+len(s.tx.removed) > 0 {
		if now, ok := s.tx.find(e.uid); ok {
			e = &now
		} else {
			e = nil
		}
	}
	return s.offsets[piece] + i, e, true
}

// oddFile looks at a file that is not as it was, or of which nothing is known.
func (s *sight) oddFile(file *found) {
	tx := s.tx
	there, err := tx.normalize(file)
	if err != nil { // a message that is known is looked for once more: vanished
		tx.f.rescan = true
		tx.f.account.maildir.logger().Warn("maildir: file cannot get a name as mail has it", "file", file.path(), "error", err)
	}
	if !there {
		return
	}
	at, e, ok := s.entry(file.base)
	switch {
	case !ok:
		s.fresh[file.base] = tx.choose(s.fresh[file.base], file, 0)
	case e == nil:
	case !s.has(at):
		s.set(at)
		s.odd[e.uid] = file
	default:
		first := s.odd[e.uid]
		if first == nil {
			first = foundAs(e)
		}
		s.odd[e.uid] = tx.choose(first, file, e.uid)
	}
}

// unseen gives the messages whose files were not there.
func (s *sight) unseen() []entry {
	var out []entry
	if s.count == s.tx.st.entries.len() {
		return nil
	}
	at := 0
	for was := range s.tx.st.entries.all() {
		if !s.has(at) {
			if e, ok := s.tx.find(was.uid); ok {
				out = append(out, e)
			}
		}
		at++
	}
	return out
}

// scan looks at all files and stages what has changed: messages that came, went, or have other flags. New comes first: a
// file that another program moves to cur meanwhile is seen once or twice, not never.
func (tx *tx) scan() (err error) {
	defer func() {
		if err != nil {
			tx.f.rescan = true
		}
	}()
	if tx.fresh { // a process before may have ended between a rename, also of an index file, and the sync of its folder
		tx.dirs[tx.dir], tx.dirs[filepath.Join(tx.dir, "cur")], tx.dirs[filepath.Join(tx.dir, "new")] = true, true, true
	}
	tx.f.rescan, tx.scanned = false, true
	s := tx.newSight()
	for _, sub := range []string{"new", "cur"} {
		if err := s.look(sub); err != nil {
			return err
		}
	}
	tx.st.doomed = s.left
	unknownFlags := make(map[uint32]bool, len(tx.unknown))
	for _, uid := range tx.unknown {
		unknownFlags[uid] = true
	}
	for _, uid := range slices.Sorted(maps.Keys(s.odd)) {
		if e, ok := tx.find(uid); ok {
			tx.compare(e, s.odd[uid], unknownFlags[uid])
		}
	}
	if err := tx.vanished(s.unseen(), unknownFlags); err != nil {
		return err
	}
	if tx.guessRecent {
		tx.recent = tx.next
		for was := range tx.st.entries.all() {
			if e, ok := tx.find(was.uid); ok && e.isNew {
				tx.recent = e.uid
				break
			}
		}
	}
	return tx.takeIn(s.fresh)
}

// scanNew looks at the files in new only: cur is as it was. It says when that is not enough.
func (tx *tx) scanNew() (scanNeed, error) {
	if len(tx.st.doomed) > 0 {
		return scanAll, nil
	}
	s := tx.newSight()
	if err := s.look("new"); err != nil {
		return scanNone, err
	}
	if tx.asMarked != nil && len(s.odd) == tx.asMarked.inNew && s.count == len(s.odd) {
		for _, uid := range slices.Sorted(maps.Keys(s.odd)) { // of which only cur and new were not known
			e, ok := tx.find(uid)
			if !ok || e.flags != s.odd[uid].flags {
				return scanAll, nil
			}
			e.isNew = true
			tx.put(e)
		}
		return scanNone, tx.takeIn(s.fresh)
	}
	if tx.asMarked != nil || len(s.odd) > 0 || s.count != tx.st.counts.inNew {
		return scanAll, nil
	}
	return scanNone, tx.takeIn(s.fresh)
}

// choose says which of two files of one name is the message with this UID: the one that is where it was.
func (tx *tx) choose(a, b *found, uid uint32) *found {
	if a == nil {
		return b
	}
	if e, ok := tx.find(uid); ok && e.path() == b.path() {
		a, b = b, a
	}
	tx.resolveDouble(b, a.path())
	return a
}

// removeDoomed removes the file of a message that is expunged.
func (tx *tx) removeDoomed(file *found) bool {
	err := tx.f.fs().Remove(filepath.Join(tx.dir, file.path()))
	if err == nil || isNotExist(err) {
		return true
	}
	tx.f.rescan = true
	tx.f.account.maildir.logger().Warn("maildir: expunged message cannot be removed", "file", file.path(), "error", err)
	return false
}

// regular says whether the name is written as this package writes it.
func (a *found) regular() bool {
	info := a.name[len(a.base):]
	return a.sub == "new" && info == "" || a.sub == "cur" && isInfo(info, a.flags)
}

// normalize gives a file whose name is written in another manner (no flags in cur, flags in new, letters in another order)
// the name under which it is looked for. It says whether the file is there and has one.
func (tx *tx) normalize(file *found) (bool, error) {
	if file.regular() {
		return true, nil
	}
	if len(file.base) > maxBase {
		return tx.shortenName(file), nil
	}
	from, name := filepath.Join(tx.dir, file.path()), *file
	name.sub, name.name = "cur", withFlags(file.base, file.flags)
	err := tx.rename(from, filepath.Join(tx.dir, name.path()))
	if errors.Is(err, fs.ErrExist) {
		if tx.sameFile(from, filepath.Join(tx.dir, name.path())) { // a power cut has left both names of a rename
			tx.touch(file.sub)
			_ = tx.f.fs().Remove(from) // if not, the next look at all files does
			*file = name
			return true, nil
		}
		name.base = tx.f.account.maildir.names.next()
		name.name = withFlags(name.base, file.flags)
		err = tx.rename(from, filepath.Join(tx.dir, name.path()))
	}
	if err != nil {
		return false, ignoreNotExist(err)
	}
	*file = name
	return true, nil
}

// rename gives a file a name that no other has, and fails with fs.ErrExist where one may have it: a rename replaces what is there.
func (tx *tx) rename(from, to string) error {
	_, err := tx.f.fs().Lstat(to)
	if err == nil && !(strings.EqualFold(from, to) && tx.sameFile(from, to)) { // which is one file where case is not told apart
		return fmt.Errorf("maildir: rename %s: %w: %s", from, fs.ErrExist, to)
	}
	if err != nil && !isNotExist(err) {
		return err
	}
	tx.touch(filepath.Base(filepath.Dir(from)))
	tx.touch(filepath.Base(filepath.Dir(to)))
	return tx.f.fs().Rename(from, to)
}

func (tx *tx) sameFile(a, b string) bool {
	info, err := tx.f.fs().Lstat(a)
	other, err2 := tx.f.fs().Lstat(b)
	return err == nil && err2 == nil && durable.SameFile(info, other)
}

// shortenName gives a file whose name has no room for flags another one. It says whether the file is there.
func (tx *tx) shortenName(file *found) bool {
	short := *file
	short.base = tx.f.account.maildir.names.shortName(file.base)
	short.sub, short.name = "cur", withFlags(short.base, short.flags)
	tx.touch(file.sub)
	tx.touch("cur")
	if tx.f.fs().Rename(filepath.Join(tx.dir, file.path()), filepath.Join(tx.dir, short.path())) != nil {
		return false
	}
	*file = short
	return true
}

// resolveDouble deals with two files of one name, the first of which is in use. They are one file if a power cut has
// left both names of a rename; else the second is a message of its own.
func (tx *tx) resolveDouble(file *found, first string) {
	path := filepath.Join(tx.dir, file.path())
	first = filepath.Join(tx.dir, first)
	info, err := tx.f.fs().Lstat(path)
	firstInfo, err2 := tx.f.fs().Lstat(first)
	if err != nil || err2 != nil || path == first {
		return
	}
	tx.touch(file.sub)
	if durable.SameFile(info, firstInfo) {
		_ = tx.f.fs().Remove(path) // if not, the next look at all files does
		return
	}
	tx.touch("cur")
	name := filepath.Join("cur", withFlags(tx.f.account.maildir.names.next(), file.flags))
	if tx.f.fs().Rename(path, filepath.Join(tx.dir, name)) == nil {
		tx.f.rescan = true
	}
}

// compare stages what is new about a known message. If its flags were never noted, they are not news.
func (tx *tx) compare(e entry, file *found, unknownFlags bool) {
	isNew := file.sub == "new"
	if e.isNew == isNew && e.flags == file.flags {
		return
	}
	was := e.flags
	e.flags = file.flags
	e.isNew = isNew
	if was == file.flags || unknownFlags {
		tx.put(e)
		return
	}
	tx.modseq++
	e.modseq = tx.modseq
	tx.noteFlags(e)
}

// vanished stages the end of messages whose files are gone. A file that is renamed while the folder is read may be missed,
// so that they are looked for once more.
func (tx *tx) vanished(missing []entry, unknownFlags map[uint32]bool) error {
	if len(missing) == 0 {
		return nil
	}
	again, err := tx.lookFor(missing)
	if err != nil {
		return err
	}
	gone, listedTwice := tx.listedTwice(missing)
	for _, e := range missing {
		if listedTwice[e.uid] {
			continue
		}
		there, file := false, again[e.base]
		if file != nil {
			if there, err = tx.normalize(file); err != nil {
				return err
			}
		}
		if there {
			tx.compare(e, file, unknownFlags[e.uid])
		} else {
			gone = append(gone, e)
		}
	}
	tx.remove(gone, 'v')
	return nil
}

// listedTwice finds messages that the uidlist has more than once, as Dovecot makes it when a file that went is put back: the
// last UID is the message's, as it is for Dovecot, and the others are gone. missing has all but one of each.
func (tx *tx) listedTwice(missing []entry) (gone []entry, uids map[uint32]bool) {
	last := map[string]uint32{}
	for _, e := range missing {
		piece, i, ok := tx.st.placeOf(e.base)
		if !ok || tx.st.entries.pieces[piece][i].uid == e.uid {
			continue
		}
		if uids == nil {
			uids = map[uint32]bool{}
		}
		before, again := last[e.base]
		if !again {
			before = tx.st.entries.pieces[piece][i].uid
		}
		last[e.base] = max(before, e.uid)
		uids[min(before, e.uid)] = true
	}
	for uid := range uids {
		if e, ok := tx.find(uid); ok {
			gone = append(gone, e)
		}
	}
	return gone, uids
}

// lookFor gives the files of messages by their names.
func (tx *tx) lookFor(missing []entry) (map[string]*found, error) {
	wanted := make(map[string]*found, len(missing))
	for i := range missing {
		wanted[missing[i].base] = nil
	}
	for _, sub := range []string{"new", "cur"} {
		names, err := tx.f.fs().ReadNames(filepath.Join(tx.dir, sub))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			base, fl := splitName(name)
			if _, ok := wanted[base]; ok {
				wanted[base] = &found{sub, name, base, fl}
			}
		}
	}
	return wanted, nil
}

// takeIn stages messages that are new, in the order in which they came.
func (tx *tx) takeIn(fresh map[string]*found) error {
	if len(fresh) == 0 {
		return nil
	}
	for _, e := range tx.added {
		delete(fresh, e.base)
	}
	files := slices.Collect(maps.Values(fresh))
	sortByName(files, func(f *found) string { return f.base })
	for _, file := range files {
		if len(file.base) > maxBase && !tx.shortenName(file) {
			continue // gone meanwhile
		}
		info, err := tx.f.fs().Lstat(filepath.Join(tx.dir, file.path()))
		if isNotExist(err) {
			continue
		}
		if errors.Is(err, syscall.EIO) { // a bad spot of the disk is one message's
			tx.f.rescan = true
			tx.f.account.maildir.logger().Warn("maildir: file cannot be looked at", "folder", tx.dir, "file", file.path(), "error", err)
			continue
		}
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			continue
		}
		tx.dirs[filepath.Join(tx.dir, file.sub)] = true // whoever put it there need not have synced it
		e := entry{base: file.base, date: info.ModTime().Unix(), size: -1, flags: file.flags}
		if e.isNew = file.sub == "new"; !e.isNew { // else it was delivered, at its date
			e.saved = tx.savedNow(e.date)
		}
		if named, ok := nameSize(e.base, 'S'); !ok || named == info.Size() { // else nothing the name says is believed
			if n, ok := crlfSize(e.base); ok {
				e.size = n
			}
		}
		if _, err := tx.add(e); err != nil {
			return err
		}
	}
	return nil
}
