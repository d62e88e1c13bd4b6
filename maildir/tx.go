package maildir

import (
	"cmp"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

// tx is what one run changes. Its requests see what those before it have staged; readers see nothing of it until commit
// has everything on disk.
type tx struct {
	f   *folder
	dir string
	st  *state // what readers see, unless fresh
	// fresh: st was just read from disk and no reader has it.
	fresh bool
	// whole: the files are written anew rather than appended to.
	whole bool
	// unknown are the UIDs whose flags nobody has noted, guessRecent that nobody has noted what is recent.
	unknown     []uint32
	guessRecent bool
	noted       int       // of how many messages in st the index had flags
	asMarked    *scanMark // what st was read from is all there is to know unless the folders have changed since; nil: it is not
	scanned     bool
	told        uint64 // a modseq that was given under another UIDVALIDITY
	began       uint64 // the modseq of what was there before
	again       bool   // there was a state before st was read
	hadDoomed   bool   // files of expunged messages may have been there when st was read
	compact     bool   // write the files anew
	settle      bool   // note that all is as the files say
	facts       []summaryRecord

	changed  map[uint32]entry
	added    []entry
	removed  map[uint32]entry
	unlinks  []entry // those of them whose files are to be removed
	next     uint32
	recent   uint32
	modseq   uint64
	keywords *keywords

	list, log           []byte // lines to append
	listLines, logLines int
	unsynced            bool // log has only lines that may be lost
	dirs                map[string]bool
	touched             map[string]bool // of new and cur, those that this run has changed since it read their names
	undo                []func()
	usage               usage // what comes and goes here; other programs, and who delivers, count for themselves
	files               fileMarks
	lines               [2]int
}

func newTx(f *folder, dir string, st *state) *tx {
	tx := &tx{f: f, dir: dir, st: st, files: f.files, lines: f.lines}
	tx.reset()
	return tx
}

// reset begins with what is in st.
func (tx *tx) reset() {
	st := tx.st
	tx.next, tx.recent, tx.modseq, tx.keywords = st.next, st.recent, st.modseq, st.keywords
	tx.began = st.modseq
	tx.changed, tx.removed, tx.dirs = map[uint32]entry{}, map[uint32]entry{}, map[string]bool{}
}

// find gives a message as it is now.
func (tx *tx) find(uid uint32) (entry, bool) {
	if _, gone := tx.removed[uid]; gone {
		return entry{}, false
	}
	if e, ok := tx.changed[uid]; ok {
		return e, true
	}
	if e := tx.st.entries.find(uid); e != nil {
		return *e, true
	}
	i, ok := slices.BinarySearchFunc(tx.added, uid, func(e entry, uid uint32) int { return cmp.Compare(e.uid, uid) })
	if !ok {
		return entry{}, false
	}
	return tx.added[i], true
}

// put stages a message that find gave, changed.
func (tx *tx) put(e entry) {
	if i, ok := slices.BinarySearchFunc(tx.added, e.uid, func(e entry, uid uint32) int { return cmp.Compare(e.uid, uid) }); ok {
		tx.added[i] = e
		return
	}
	tx.changed[e.uid] = e
}

// add stages a new message: it gets its UID and modseq.
func (tx *tx) add(e entry) (uint32, error) {
	if tx.next == 1<<32-1 {
		return 0, errNoUID
	}
	tx.modseq++
	e.uid, e.modseq = tx.next, tx.modseq
	tx.next++
	tx.added = append(tx.added, e)
	l := lineOf(&e)
	tx.list = l.appendTo(tx.list)
	tx.listLines++
	if e.extra != nil {
		tx.logFlags(&e)
	}
	return e.uid, nil
}

// lineOf is what the uidlist says of a message.
func lineOf(e *entry) uidLine {
	return uidLine{uid: e.uid, base: e.base, modseq: e.modseq, date: e.date, saved: e.saved, size: e.size, flags: e.flags}
}

// savedNow is the save date of a message with this date that comes into the mailbox now.
func (tx *tx) savedNow(date int64) uint32 {
	now := tx.f.account.maildir.now().Unix()
	if now == date || now <= 0 || now > math.MaxUint32 {
		return 0
	}
	return uint32(now)
}

// noteFlags stages new flags of a message whose file has them.
func (tx *tx) noteFlags(e entry) {
	tx.put(e)
	tx.logFlags(&e)
}

func (tx *tx) logFlags(e *entry) {
	tx.log = appendFlagsLine(tx.log, e.uid, e.modseq, e.flags, e.extra.list())
	tx.logLines++
	tx.unsynced = false
}

// expunge stages the end of messages. Their files are removed after the commit.
func (tx *tx) expunge(entries []entry) {
	tx.remove(entries, 'x')
	tx.unlinks = append(tx.unlinks, entries...)
	for i := range entries {
		tx.usage.bytes -= tx.fileSize(&entries[i])
		tx.usage.messages--
	}
}

// fileSize is what a message that goes counts for the quota, found as countFolder finds it.
func (tx *tx) fileSize(e *entry) int64 {
	if n, ok := nameSize(e.base, 'S'); ok {
		return n
	}
	info, err := tx.f.fs().Lstat(e.pathIn(tx.dir))
	if err != nil {
		return 0 // gone or renamed by another program, which counts as well
	}
	return info.Size()
}

// remove stages the end of messages, with one modseq.
func (tx *tx) remove(entries []entry, kind byte) {
	if len(entries) == 0 {
		return
	}
	tx.modseq++
	uids := make([]uint32, len(entries))
	for i, e := range entries {
		uids[i] = e.uid
		e.modseq = tx.modseq
		tx.removed[e.uid] = e
	}
	slices.Sort(uids)
	tx.log = appendExpungeLine(tx.log, kind, tx.modseq, uids)
	tx.logLines++
	tx.unsynced = false
}

// withKeywords makes sure that keywords can be kept. The file is written at once: a letter without a message that uses it
// does no harm.
func (tx *tx) withKeywords(list []mailbox.Flag) error {
	kw, err := tx.keywords.with(list, tx.lettersInUse)
	if err != nil || kw == tx.keywords {
		return err
	}
	if kw.letters != tx.keywords.letters {
		path := filepath.Join(tx.dir, keywordsFile)
		if err := durable.WriteFile(tx.f.fs(), path, kw.format(), 0o600); err != nil {
			tx.f.account.maildir.distrust(tx.dir, true) // its name may be there and not on disk
			return err
		}
		if tx.files.keywords, err = statOrNil(tx.f.fs(), path); err != nil {
			return err
		}
	}
	tx.keywords = kw
	return nil
}

// lettersInUse are the letters of keywords, known or not, that messages have.
func (tx *tx) lettersInUse() flags {
	var used flags
	for i, n := range tx.st.counts.letters {
		if n > 0 {
			used |= keywordFlag(i)
		}
	}
	for _, e := range tx.changed {
		used |= e.flags
	}
	for i := range tx.added {
		used |= tx.added[i].flags
	}
	return used
}

// nothing says that there is nothing to commit.
func (tx *tx) nothing() bool {
	return !tx.fresh && !tx.whole && len(tx.list) == 0 && len(tx.log) == 0 && len(tx.dirs) == 0 &&
		len(tx.changed) == 0 && tx.keywords == tx.st.keywords
}

// commit puts everything on disk and then where readers see it. After an error nothing has happened, as far as files can
// be put back.
func (tx *tx) commit() error {
	if !tx.nothing() {
		if err := tx.write(); err != nil {
			for _, undo := range slices.Backward(tx.undo) {
				undo()
			}
			return err
		}
	}
	first, came := tx.st.next, len(tx.added)
	news := tx.publish()
	tx.unlink()
	tx.f.account.addUsage(tx.usage)
	tx.shorten()
	tx.mark()
	tx.noteSettled()
	slices.SortFunc(tx.facts, func(a, b summaryRecord) int { return cmp.Compare(a.uid, b.uid) })
	tx.f.summaries.keep(nil, tx.facts)
	if came > 0 {
		tx.f.summaries.newcomers(first, came)
	}
	if news {
		tx.f.wake()
	}
	if tx.modseq != tx.began || tx.again {
		tx.f.account.changedFolder(tx.f.folderName())
	}
	return nil
}

// write puts everything on disk.
func (tx *tx) write() error {
	syncs := make([]func() error, 0, 4)
	for dir := range tx.dirs {
		syncs = append(syncs, func() error { return tx.f.account.syncDir(dir) })
	}
	if tx.whole {
		if err := inParallel(syncs); err != nil {
			return err
		}
		tx.merge()
		return tx.writeAll()
	}
	list, err := tx.f.appendTo(filepath.Join(tx.dir, uidlistFile), tx.list)
	if err != nil {
		return err
	}
	defer list.close()
	log, err := tx.f.appendTo(filepath.Join(tx.dir, indexFile), tx.log)
	if err != nil {
		return err
	}
	defer log.close()
	if list.file != nil {
		syncs = append(syncs, list.sync)
	}
	if log.file != nil && !tx.unsynced {
		syncs = append(syncs, log.sync)
	}
	if err := inParallel(syncs); err != nil {
		return err
	}
	if len(tx.list)+len(tx.log) > 0 {
		tx.f.noted = ""
	}
	tx.lines[0] += tx.listLines
	tx.lines[1] += tx.logLines
	return tx.markFiles()
}

// logFile is an index file opened for appending; file is nil if there was nothing to append.
type logFile struct{ file durable.File }

func (l logFile) sync() error {
	if l.file == nil {
		return nil
	}
	return durable.SyncData(l.file)
}

func (l logFile) close() {
	if l.file != nil {
		_ = l.file.Close() // it was synced, or what it has may be lost
	}
}

// appendTo appends lines, not synced yet.
func (f *folder) appendTo(path string, lines []byte) (logFile, error) {
	if len(lines) == 0 {
		return logFile{}, nil
	}
	file, err := f.fs().OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return logFile{}, err
	}
	if _, err := file.Write(lines); err != nil {
		_ = file.Close()
		return logFile{}, err
	}
	return logFile{file}, nil
}

// inParallel does all and gives the first error.
func inParallel(work []func() error) error {
	if len(work) == 0 {
		return nil
	}
	errs := make(chan error, len(work))
	for _, w := range work[1:] {
		go func() { errs <- w() }()
	}
	err := work[0]()
	for range work[1:] {
		if e := <-errs; err == nil {
			err = e
		}
	}
	return err
}

// merge brings what is staged into st.
func (tx *tx) merge() {
	st := tx.st
	for _, e := range tx.changed {
		st.replace(e)
		st.noteNews(&e)
	}
	for _, e := range tx.added {
		st.add(e)
		st.noteNews(&e)
	}
	tx.mergeRemoved()
	for _, e := range tx.unlinks {
		st.doomed[e.base] = e.uid
	}
	st.next, st.recent, st.modseq, st.keywords = tx.next, tx.recent, tx.modseq, tx.keywords
	st.sortNews()
	tx.changed, tx.added, tx.removed = nil, nil, nil
}

// mergeRemoved is merge for messages that went.
func (tx *tx) mergeRemoved() {
	if len(tx.removed) == 0 {
		return
	}
	st := tx.st
	from := len(st.expunged)
	uids := make([]uint32, 0, len(tx.removed))
	for uid, e := range tx.removed {
		uids = append(uids, uid)
		st.expunged = append(st.expunged, expunged{e.modseq, uid})
		if at := st.entries.find(uid); at != nil {
			st.counts.note(at, -1)
		}
		delete(st.other, uid)
	}
	slices.Sort(uids)
	st.entries.remove(uids)
	slices.SortFunc(st.expunged[from:], func(a, b expunged) int {
		return cmp.Or(cmp.Compare(a.modseq, b.modseq), cmp.Compare(a.uid, b.uid))
	})
	st.trimExpunged()
}

// noteNews notes that a message came or changed, if it did.
func (s *state) noteNews(e *entry) {
	if e.modseq > s.modseq {
		s.news = append(s.news, expunged{e.modseq, e.uid})
	}
}

// sortNews puts what noteNews noted in order, and forgets what is too much. s.modseq is that after it.
func (s *state) sortNews() {
	byModSeq := func(a, b expunged) int { return cmp.Compare(a.modseq, b.modseq) }
	switch extra := len(s.news) - maxNews; {
	case extra > maxNews:
		s.news, s.newsBase = nil, s.modseq
	case extra > 0:
		slices.SortStableFunc(s.news, byModSeq)
		s.newsBase = s.news[extra-1].modseq
		s.news = slices.Clone(s.news[extra:])
	case !slices.IsSortedFunc(s.news, byModSeq):
		slices.SortStableFunc(s.news, byModSeq)
	}
}

// publish shows readers what was staged. It says whether there is news.
func (tx *tx) publish() bool {
	f := tx.f
	f.mu.Lock()
	defer f.mu.Unlock()
	news := tx.fresh || tx.modseq != tx.st.modseq
	tx.merge()
	for uid, l := range f.learned {
		if at := tx.st.entries.find(uid); at != nil {
			e := *at
			e.size, e.date = l.size, l.date
			tx.st.replace(e)
			tx.compact = tx.compact || l.wrong
			if !l.kept && !l.wrong {
				tx.facts = append(tx.facts, summaryRecord{e.uid, nameSum(e.base), e.size, e.date, recordFacts})
			}
		}
	}
	f.learned = map[uint32]learned{}
	for uid := range f.guesses {
		if tx.st.entries.find(uid) == nil {
			delete(f.guesses, uid)
		}
	}
	f.st = tx.st
	return news
}

// unlink removes the files of expunged messages and notes that they are gone. One that cannot be removed, or has another
// name now, is looked for with the next look at all files.
func (tx *tx) unlink() {
	f := tx.f
	if len(tx.unlinks) == 0 && !(tx.fresh && len(tx.st.doomed) == 0 && tx.hadDoomed) {
		return
	}
	for _, e := range tx.unlinks {
		tx.touch(e.sub())
		if err := f.fs().Remove(e.pathIn(tx.dir)); err != nil {
			f.rescan = true
			continue
		}
		f.newDirty = f.newDirty || e.isNew
		delete(tx.st.doomed, e.base)
	}
	if len(tx.st.doomed) > 0 {
		return
	}
	syncs := []func() error{func() error { return f.account.syncDir(filepath.Join(tx.dir, "cur")) }}
	if f.newDirty || tx.fresh {
		syncs = append(syncs, func() error { return f.account.syncDir(filepath.Join(tx.dir, "new")) })
	}
	err := inParallel(syncs)
	if err == nil {
		var log logFile
		f.newDirty = false
		if log, err = f.appendTo(filepath.Join(tx.dir, indexFile), []byte("d\n")); err == nil {
			log.close() // if the line is lost, the files are looked for once more
			tx.lines[1]++
			f.noted = ""
			err = tx.markFiles()
		}
	}
	if err != nil {
		f.account.maildir.distrust(tx.dir, true) // the line may be there in part
		f.account.maildir.logger().Warn("maildir: expunged messages are removed but not for certain", "folder", tx.dir, "error", err)
	}
}

// shorten writes the index files anew when they have grown, or do not have much that was learned.
func (tx *tx) shorten() {
	f := tx.f
	live := tx.st.entries.len()
	if tx.lines[0] <= 2*live+minRewrite && tx.lines[1] <= live+maxExpunged+minRewrite && !tx.compact {
		return
	}
	if err := tx.writeAll(); err != nil {
		f.account.maildir.distrust(tx.dir, true)
		f.account.maildir.logger().Warn("maildir: index files could not be shortened", "folder", tx.dir, "error", err)
	}
}

// noteSettled notes, if it is so, that all files were looked at, so that the next process need not. It is not synced: the
// note is as good as no note where it is lost.
func (tx *tx) noteSettled() {
	f, st := tx.f, tx.st
	if !tx.settle || f.rescan || len(st.doomed) > 0 || !f.files.cur.settled || !f.files.fresh.settled || f.files.list == nil ||
		f.account.maildir.distrusts(tx.dir) {
		return
	}
	m := scanMark{
		cur: f.files.cur.mtime.UnixNano(), fresh: f.files.fresh.mtime.UnixNano(), inNew: st.counts.inNew,
		listSize: f.files.list.Size(), listTime: f.files.list.ModTime().UnixNano(),
	}
	line := m.line()
	if line == f.noted || min(m.cur, m.fresh, m.listTime) < 0 {
		return
	}
	// What other programs did, and our own moves from new to cur, must not be undone by a power cut without a trace.
	err := inParallel([]func() error{
		func() error { return f.account.syncDir(filepath.Join(tx.dir, "cur")) },
		func() error { return f.account.syncDir(filepath.Join(tx.dir, "new")) },
	})
	if err != nil {
		return
	}
	f.newDirty = false
	log, err := f.appendTo(filepath.Join(tx.dir, indexFile), []byte(line))
	log.close()
	if err == nil {
		err = tx.markFiles()
	}
	if err != nil {
		f.account.maildir.distrust(tx.dir, true) // the line may be there in part
		return
	}
	f.noted = line
	tx.lines[1]++
	f.files, f.lines = tx.files, tx.lines
	f.mu.Lock()
	f.seen = f.files
	f.mu.Unlock()
}

// minRewrite keeps small files from being written anew all the time.
const minRewrite = 1000
