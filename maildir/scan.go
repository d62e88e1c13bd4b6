package maildir

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// catchUp stages what others did to the files, and messages that this process has delivered.
func (tx *tx) catchUp(delivered []delivery) error {
	need, err := tx.needsScan(len(delivered) > 0)
	if err != nil {
		return err
	}
	if need {
		if err := tx.scan(); err != nil {
			return err
		}
	}
	for _, d := range delivered {
		if tx.knows(d.base) {
			continue
		}
		e := entry{base: d.base, date: d.date, size: d.size}
		e.isNew = true
		if _, err := tx.add(e); err != nil {
			return err
		}
	}
	return nil
}

// needsScan says whether the folder is not as it was. A change of new that this process' own delivery explains is none;
// if another hides behind it, it comes to light when settleTime is over.
func (tx *tx) needsScan(ownDelivery bool) (bool, error) {
	f := tx.f
	if tx.fresh || f.rescan {
		return true, nil
	}
	cur, err := f.fs().Stat(filepath.Join(tx.dir, "cur"))
	if err != nil {
		return false, err
	}
	fresh, err := f.fs().Stat(filepath.Join(tx.dir, "new"))
	if err != nil {
		return false, err
	}
	now := f.account.maildir.now()
	return !f.files.cur.current(cur, now) || !ownDelivery && !f.files.fresh.current(fresh, now), nil
}

// knows says whether a file name is that of a message. New ones are at the end.
func (tx *tx) knows(base string) bool {
	same := func(e entry) bool { return e.base == base }
	if slices.ContainsFunc(tx.added, same) {
		return true
	}
	for i := len(tx.st.entries) - 1; i >= 0; i-- {
		if tx.st.entries[i].base == base {
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

// readFiles lists the messages' files. New comes first: a file that another program moves to cur meanwhile is seen once or
// twice, not never.
func (tx *tx) readFiles() ([]found, error) {
	var out []found
	for _, sub := range []string{"new", "cur"} {
		names, err := tx.f.fs().ReadNames(filepath.Join(tx.dir, sub))
		if err != nil {
			return nil, err
		}
		out = slices.Grow(out, len(names))
		for _, name := range names {
			if strings.HasPrefix(name, ".") {
				continue
			}
			base, fl := splitName(name)
			if validBase(base) {
				out = append(out, found{sub, name, base, fl})
			}
		}
	}
	return out, nil
}

// scan looks at all files and stages what has changed: messages that came, went, or have other flags.
func (tx *tx) scan() error {
	tx.f.rescan, tx.scanned = false, true
	files, err := tx.readFiles()
	if err != nil {
		return err
	}
	known, fresh := tx.sort(files)
	if err := tx.compareAll(known); err != nil {
		return err
	}
	if tx.guessRecent {
		tx.recent = tx.next
		for i, file := range known {
			if file != nil && file.sub == "new" {
				tx.recent = tx.st.entries[i].uid
				break
			}
		}
	}
	return tx.takeIn(fresh)
}

// sort finds for each message its file, and the files that are no message's yet. It removes the files of those that are
// expunged.
func (tx *tx) sort(files []found) (known []*found, fresh map[string]*found) {
	st := tx.st
	index := make(map[string]int, len(st.entries))
	for i := range st.entries {
		index[st.entries[i].base] = i
	}
	known, fresh = make([]*found, len(st.entries)), map[string]*found{}
	left := map[string]uint32{} // of the doomed
	for i := range files {
		file := &files[i]
		if uid, ok := st.doomed[file.base]; ok {
			if !tx.removeDoomed(file) {
				left[file.base] = uid
			}
			continue
		}
		if !tx.normalize(file) {
			continue
		}
		if at, ok := index[file.base]; ok {
			if !tx.isRemoved(st.entries[at].uid) {
				known[at] = tx.choose(known[at], file, st.entries[at].uid)
			}
		} else {
			fresh[file.base] = tx.choose(fresh[file.base], file, 0)
		}
	}
	st.doomed = left
	return known, fresh
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

// compareAll stages what is new about the known messages, given their files.
func (tx *tx) compareAll(files []*found) error {
	unknownFlags := make(map[uint32]bool, len(tx.unknown))
	for _, uid := range tx.unknown {
		unknownFlags[uid] = true
	}
	var missing []entry
	for i, file := range files {
		e, ok := tx.find(tx.st.entries[i].uid)
		switch {
		case !ok:
		case file != nil:
			tx.compare(e, file, unknownFlags[e.uid])
		default:
			missing = append(missing, e)
		}
	}
	return tx.vanished(missing, unknownFlags)
}

func (tx *tx) isRemoved(uid uint32) bool {
	_, gone := tx.removed[uid]
	return gone
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

// normalize gives a file whose name is written in another manner (no flags in cur, flags in new, letters in another order)
// the name under which it is looked for. It says whether the file is there.
func (tx *tx) normalize(file *found) bool {
	info := file.name[len(file.base):]
	if file.sub == "new" && info == "" || file.sub == "cur" && isInfo(info, file.flags) {
		return true
	}
	want := withFlags(file.base, file.flags)
	from, to := filepath.Join(tx.dir, file.path()), filepath.Join(tx.dir, "cur", want)
	if _, err := tx.f.fs().Lstat(to); err == nil {
		file.base = tx.f.account.maildir.names.next()
		want = withFlags(file.base, file.flags)
		to = filepath.Join(tx.dir, "cur", want)
	}
	if err := tx.f.fs().Rename(from, to); err != nil {
		return false
	}
	file.sub, file.name = "cur", want
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
	if durable.SameFile(info, firstInfo) {
		_ = tx.f.fs().Remove(path) // if not, the next look at all files does
		return
	}
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
	files, err := tx.readFiles()
	if err != nil {
		return err
	}
	again := make(map[string]*found, len(files))
	for i := range files {
		again[files[i].base] = &files[i]
	}
	var gone []entry
	for _, e := range missing {
		if file := again[e.base]; file != nil && tx.normalize(file) {
			tx.compare(e, file, unknownFlags[e.uid])
		} else {
			gone = append(gone, e)
		}
	}
	tx.remove(gone, 'v')
	return nil
}

// takeIn stages messages that are new, in the order in which they came.
func (tx *tx) takeIn(fresh map[string]*found) error {
	files := make([]*found, 0, len(fresh))
	for _, file := range fresh {
		if !slices.ContainsFunc(tx.added, func(e entry) bool { return e.base == file.base }) {
			files = append(files, file)
		}
	}
	slices.SortFunc(files, func(a, b *found) int { return nameOrder(a.base, b.base) })
	for _, file := range files {
		info, err := tx.f.fs().Lstat(filepath.Join(tx.dir, file.path()))
		if isNotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			continue
		}
		e := entry{base: file.base, date: info.ModTime().Unix(), size: -1, flags: file.flags}
		e.isNew = file.sub == "new"
		if named, ok := nameSize(e.base, 'S'); !ok || named == info.Size() { // else nothing the name says is believed
			if n, ok := nameSize(e.base, 'W'); ok {
				e.size = n
			}
		}
		if _, err := tx.add(e); err != nil {
			return err
		}
	}
	return nil
}
