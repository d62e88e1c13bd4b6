package maildir

import (
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"path/filepath"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/maildirpp"
	"github.com/mailbricks/mailbricks/mailbox"
)

// The rules of this file and of tx.go:
//
//   - A folder's state is read under folder.mu and changed only by run, under folder.writing and, against other processes,
//     the folder's lock file. Nothing is published (put where readers see it) before it is on disk.
//   - Those who want a change hand in a request and wait for folder.writing. Who gets it does all that are waiting, and
//     syncs once for all of them; the others find theirs done.
//   - Locks are taken in the order account.structure, folder.leaving, moving.mu, folder.writing (several: by name),
//     account.quotaMu, account.mu, folder.mu, vault.mu, Maildir.mu. While folder.mu or Maildir.mu is held no file is
//     touched; while any is held nobody reads from or writes to a caller's stream.

// lockFile is locked by whoever changes a folder.
const lockFile = "mailbricks.lock"

// lockTimeout is how long a change waits for another process.
const lockTimeout = 30 * time.Second

// entry is a message. There is one for every message of an open folder, so it is kept small: 64 octets and the name.
type entry struct {
	base   string // file name without flags
	extra  *keywordSet
	modseq uint64
	date   int64 // Unix seconds or noDate
	size   int64 // with CRLF line ends; -1: unknown
	uid    uint32
	flags  flags
	saved  uint32 // when it came into this mailbox, in Unix seconds; 0: at its date
	isNew  bool   // the file is in new; else in cur
}

// sub is the folder's folder that the message is in.
func (e *entry) sub() string {
	if e.isNew {
		return "new"
	}
	return "cur"
}

// path is where the message is, seen from the folder.
func (e *entry) path() string { return e.pathIn("") }

// pathIn is where it is in a folder, whose name is clean: nothing else is as often asked.
func (e *entry) pathIn(dir string) string {
	var buf [256]byte
	b := append(buf[:0], dir...)
	if dir != "" {
		b = append(b, filepath.Separator)
	}
	if e.isNew {
		b = append(b, "new"...)
		return string(append(append(b, filepath.Separator), e.base...))
	}
	b = append(b, "cur"...)
	b = append(append(b, filepath.Separator), e.base...)
	return string(e.flags.appendTo(append(b, maildirpp.InfoSeparator+"2,"...)))
}

// saveDate is when the message came into this mailbox; its date is known.
func (e *entry) saveDate() time.Time {
	if e.saved != 0 {
		return time.Unix(int64(e.saved), 0)
	}
	return time.Unix(e.date, 0)
}

// state is what is known of a folder.
type state struct {
	validity uint32
	guid     string
	header   string // what others have in the first line of the uidlist
	next     uint32
	modseq   uint64
	base     uint64 // what went before this modseq is forgotten
	recent   uint32
	entries  entryList
	names    *nameIndex // nil until somebody asks
	before   uint64     // while names is nil: no file is known whose name this process made after so many
	counts   counts
	news     []expunged // the UIDs that came or changed last, modseqs ascending, at most maxNews
	newsBase uint64     // news has all that happened after this modseq
	expunged []expunged // modseqs ascending, at most maxExpunged
	keywords *keywords
	other    map[uint32]string // what Dovecot notes in the uidlist and we have no use for
	doomed   map[string]uint32 // files that are expunged but could not be removed yet, with their UIDs
}

// maxExpunged is how many messages that went a folder remembers.
const maxExpunged = 10_000

// maxNews is how many changes can be told without a look at all messages.
const maxNews = 2000

// counts are kept up to date with the messages of a folder.
type counts struct {
	unseen, deleted int
	inNew           int
	unsized         int // messages whose size is not known
	sets            keywordSets
	size            int64
	letters         [maxLetters]int
}

// note counts a message, or with n = -1 no longer.
func (c *counts) note(e *entry, n int) {
	if e.flags&flagSeen == 0 {
		c.unseen += n
	}
	if e.flags&flagTrashed != 0 {
		c.deleted += n
	}
	if e.isNew {
		c.inNew += n
	}
	if e.extra != nil {
		c.sets.note(e.extra, n)
	}
	if e.size < 0 {
		c.unsized += n
	} else {
		c.size += int64(n) * e.size
	}
	for rest := uint32(e.flags) / uint32(firstKeyword); rest != 0; rest &= rest - 1 {
		c.letters[bits.TrailingZeros32(rest)] += n
	}
}

// add puts a message behind all others.
func (s *state) add(e entry) {
	e.extra = s.counts.sets.same(e.extra)
	s.entries.add(e)
	s.counts.note(&e, 1)
	s.noteName(&e)
}

// replace changes a message, if it is there.
func (s *state) replace(e entry) {
	if at := s.entries.find(e.uid); at != nil {
		e.extra = s.counts.sets.same(e.extra)
		s.counts.note(&e, 1)
		s.counts.note(at, -1)
		*at = e
	}
}

// folder is a mailbox on disk. One object serves all sessions of the process.
type folder struct {
	account *account

	writing  sync.Mutex // held by run, and by who renames or deletes the folder; it guards what follows
	files    fileMarks
	rescan   bool   // look at all files
	lines    [2]int // lines in uidlist and index, with those that are dead
	noted    string // the "s" that the index ends with
	newDirty bool   // names in new have gone since it was synced

	// leaving is held for writing by who moves messages away, and for reading by who changes their flags or removes them:
	// between its copy and its end a message stays as it is. It is taken before writing.
	leaving sync.RWMutex

	summaries *summaryLog
	packed    sync.Once // that a message is packed was logged

	mu        sync.Mutex
	name      string // folder name: ".A.B", empty for INBOX
	gone      error  // why it cannot be used any more
	refs      int
	linger    *time.Timer
	st        *state // nil until loaded
	seen      fileMarks
	queue     []*request
	delivered []delivery
	arriving  bool // a run is about to publish what was delivered
	kicked    bool
	learned   map[uint32]learned // what readers found out since the last run
	guesses   map[uint32]guess   // of messages that cannot be read
	watchers  map[*watcher]struct{}
}

// learned is what a reader had to look at a file for.
type learned struct {
	size, date int64
	wrong      bool // the size that was known was not right: the uidlist must tell
	kept       bool // the log of summaries has it
}

// request is one change that is waiting for a run.
type request struct {
	// do stages the change. If it fails, what it has staged is committed all the same: nothing, but for flags.
	do   func(*tx) error
	err  error
	done bool
}

// delivery is a message that this process has put into new.
type delivery struct {
	base string
	date int64
	size int64
}

func newFolder(a *account, name string) *folder {
	f := &folder{account: a, name: name, watchers: map[*watcher]struct{}{}, learned: map[uint32]learned{}}
	f.summaries = newSummaryLog(f)
	return f
}

func (f *folder) fs() durable.FS { return f.account.fs() }

// folderName is the folder's name now.
func (f *folder) folderName() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.name
}

// dir is the folder's path.
func (f *folder) dir() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.account.path(f.name)
}

// submit has a change done and waits for it. Nil only brings the folder up to date.
func (f *folder) submit(do func(*tx) error) error {
	r := &request{do: do}
	f.mu.Lock()
	f.queue = append(f.queue, r)
	f.mu.Unlock()
	f.writing.Lock()
	defer f.writing.Unlock()
	if !r.done { // else the run that we waited for has done it as well
		f.run()
	}
	return r.err
}

// run does all that is waiting. f.writing is held.
func (f *folder) run() {
	f.mu.Lock()
	requests, delivered, err := f.queue, f.delivered, f.gone
	f.queue, f.delivered = nil, nil
	f.arriving = len(delivered) > 0
	f.mu.Unlock()
	if err == nil {
		if err = f.runAll(requests, delivered); err != nil {
			f.rescan = true // which finds what was delivered
			f.mu.Lock()
			f.seen.unfinished = true
			f.mu.Unlock()
		}
	}
	f.mu.Lock()
	f.arriving = false
	f.mu.Unlock()
	for _, r := range requests {
		r.done = true
		if r.err == nil {
			r.err = err
		}
	}
}

func (f *folder) runAll(requests []*request, delivered []delivery) error {
	dir := f.dir()
	ctx, cancel := f.account.maildir.patience()
	defer cancel()
	lock, err := durable.Lock(ctx, f.fs(), filepath.Join(dir, lockFile))
	if err != nil {
		return f.noFolder(fmt.Errorf("maildir: %w", err))
	}
	defer lock.Close()
	unlock, err := f.lockOutDovecot(ctx, dir)
	if err != nil {
		return err
	}
	defer unlock()

	tx, err := f.begin(dir)
	if err != nil {
		return f.noFolder(err)
	}
	if err = tx.catchUp(delivered); err == nil {
		for _, r := range requests {
			if r.do != nil {
				r.err = r.do(tx)
			}
		}
		err = tx.commit()
	}
	if err != nil {
		f.account.maildir.distrust(dir, true)
	}
	return err
}

// noFolder makes an error of a folder that is no longer there the one that callers know.
func (f *folder) noFolder(err error) error {
	if _, statErr := f.fs().Stat(filepath.Join(f.dir(), "cur")); isNotExist(statErr) {
		return fmt.Errorf("%w: %w", mailbox.ErrNoMailbox, err)
	}
	return err
}

// begin starts a transaction on the state in memory or, if that is not what is on disk, on a new one.
func (f *folder) begin(dir string) (*tx, error) {
	if err := f.account.loadKeys(); err != nil { // another process may have encrypted the account
		return nil, err
	}
	f.mu.Lock()
	st := f.st
	f.mu.Unlock()
	if st == nil {
		return f.reload(dir, nil)
	}
	changed, err := f.filesChanged(dir)
	if err != nil {
		return nil, err
	}
	if changed || f.account.maildir.distrusts(dir) || st.next > lastUIDs {
		return f.reload(dir, st)
	}
	return newTx(f, dir, st), nil
}

// reload reads everything. If the mailbox is another one now, sessions that have the old one open are told.
func (f *folder) reload(dir string, old *state) (*tx, error) {
	tx, err := f.load(dir)
	if err != nil {
		return nil, err
	}
	if old != nil && tx.st.validity != old.validity {
		err = fmt.Errorf("%w: it was replaced", mailbox.ErrNoMailbox)
	} else if old != nil {
		err = tx.follow(old)
	}
	if errors.Is(err, mailbox.ErrNoMailbox) {
		f.retire(err)
		f.account.changedFolder(f.folderName())
	}
	if err != nil {
		return nil, err
	}
	tx.whole = tx.whole || f.account.maildir.distrusts(dir)
	tx.again = old != nil
	return tx, nil
}

// retire ends the use of this object.
func (f *folder) retire(why error) {
	f.account.forget(f)
	f.mu.Lock()
	f.gone = why
	f.st = nil
	f.mu.Unlock()
	f.wake()
}

// fileMarks are the files and folders by which a change from outside is noticed.
type fileMarks struct {
	list, index, keywords fs.FileInfo
	fresh, cur            dirMark
	unfinished            bool // all files have to be looked at once more
}

// sameInfo says whether a file is as it was; nil stands for no file.
func sameInfo(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && durable.SameFile(a, b)
}

// statOrNil is Stat with nil for a file that is not there.
func statOrNil(fsys durable.FS, path string) (fs.FileInfo, error) {
	info, err := fsys.Stat(path)
	if isNotExist(err) {
		return nil, nil
	}
	return info, err
}

// filesChanged says whether someone else has written the index files.
func (f *folder) filesChanged(dir string) (bool, error) {
	list, err := statOrNil(f.fs(), filepath.Join(dir, uidlistFile))
	if err != nil {
		return false, err
	}
	index, err := statOrNil(f.fs(), filepath.Join(dir, indexFile))
	if err != nil {
		return false, err
	}
	kw, err := statOrNil(f.fs(), filepath.Join(dir, keywordsFile))
	if err != nil {
		return false, err
	}
	return !sameInfo(list, f.files.list) || !sameInfo(index, f.files.index) || !sameInfo(kw, f.files.keywords), nil
}

// stale says whether anything on disk is not as it was after the last run.
func (f *folder) stale() (bool, error) {
	f.mu.Lock()
	dir, seen, ready, gone := f.account.path(f.name), f.seen, f.st != nil && len(f.delivered) == 0 && !f.arriving && !f.seen.unfinished, f.gone
	f.mu.Unlock()
	if gone != nil {
		return false, gone
	}
	if !ready {
		return true, nil
	}
	for _, d := range []struct {
		name string
		mark dirMark
	}{{"new", seen.fresh}, {"cur", seen.cur}} {
		info, err := f.fs().Stat(filepath.Join(dir, d.name))
		if err != nil {
			return true, nil // the run finds out
		}
		if !d.mark.current(info, f.account.maildir.now()) {
			return true, nil
		}
	}
	for _, file := range []struct {
		name string
		mark fs.FileInfo
	}{{uidlistFile, seen.list}, {indexFile, seen.index}} {
		info, err := statOrNil(f.fs(), filepath.Join(dir, file.name))
		if err != nil || !sameInfo(info, file.mark) {
			return true, nil
		}
	}
	return false, nil
}

// refresh brings the state up to date with what others did to the files.
func (f *folder) refresh() error {
	stale, err := f.stale()
	if err != nil || !stale {
		return err
	}
	return f.submit(nil)
}

// poll is refresh for who comes again anyway: it waits for nobody who has the folder.
func (f *folder) poll() error {
	stale, err := f.stale()
	if err != nil || !stale || !f.writing.TryLock() {
		return err
	}
	defer f.writing.Unlock()
	lock, err := f.fs().TryLock(filepath.Join(f.dir(), lockFile))
	if errors.Is(err, durable.ErrLocked) {
		return nil
	}
	if err == nil {
		_ = lock.Close() // the run takes it
	}
	return f.runFor(&request{})
}

// runFor does a request, and all that is waiting. f.writing is held.
func (f *folder) runFor(r *request) error {
	f.mu.Lock()
	f.queue = append(f.queue, r)
	f.mu.Unlock()
	f.run()
	return r.err
}

// settle keeps what the next one who opens the folder would have to find out again.
func (f *folder) settle() {
	f.mu.Lock()
	loaded := f.st != nil && f.gone == nil
	f.mu.Unlock()
	if !loaded {
		return
	}
	if err := f.submit(func(tx *tx) error {
		tx.settle = true
		return nil
	}); err != nil {
		f.account.maildir.logger().Debug("maildir: closed folder is looked at anew next time", "folder", f.dir(), "error", err)
	}
}

// deliver tells of a message that is in new. It does not wait.
func (f *folder) deliver(d delivery) {
	f.mu.Lock()
	f.delivered = append(f.delivered, d)
	start := !f.kicked
	f.kicked = true
	f.mu.Unlock()
	if start {
		f.kick()
	}
}

// kick starts a run that nobody waits for. f.kicked is set.
func (f *folder) kick() {
	f.account.maildir.background(func() {
		f.mu.Lock()
		f.kicked = false
		f.mu.Unlock()
		if err := f.submit(nil); err != nil {
			f.account.maildir.logger().Warn("maildir: delivered mail is not yet indexed", "folder", f.dir(), "error", err)
		}
	})
}
