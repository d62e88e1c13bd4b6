package maildir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks/mailbox"
)

// session is a mailbox that a session has open.
type session struct {
	f *folder

	mu     sync.Mutex
	closed bool
	stops  map[*watcher]struct{}
}

var _ interface {
	mailbox.Mailbox
	mailbox.Watcher
	mailbox.RecentKeeper
} = (*session)(nil)

var errMailboxClosed = errors.New("maildir: mailbox is closed")

// use says whether the mailbox can be used.
func (s *session) use(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errMailboxClosed
	}
	return nil
}

// current is use, and brings the folder up to date.
func (s *session) current(ctx context.Context) error {
	if err := s.use(ctx); err != nil {
		return err
	}
	return s.f.refresh()
}

// Close implements mailbox.Mailbox.
func (s *session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	for w := range s.stops {
		s.f.unwatch(w)
	}
	s.f.account.leave(s.f)
	return nil
}

// read calls fn with the state, which must not be kept.
func (f *folder) read(fn func(st *state)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone != nil {
		return f.gone
	}
	fn(f.st)
	return nil
}

// Status implements mailbox.Reader.
func (s *session) Status(ctx context.Context) (mailbox.Status, error) {
	if err := s.current(ctx); err != nil {
		return mailbox.Status{}, err
	}
	if err := s.learnSizes(); err != nil {
		return mailbox.Status{}, err
	}
	var out mailbox.Status
	err := s.f.read(func(st *state) {
		out = mailbox.Status{
			UIDValidity: st.validity,
			UIDNext:     mailbox.UID(st.next),
			ModSeq:      mailbox.ModSeq(st.modseq),
			Messages:    len(st.entries),
		}
		var all flags
		rest := map[*keywordSet]bool{}
		for i := range st.entries {
			e := &st.entries[i]
			all |= e.flags
			if e.flags&flagSeen == 0 {
				out.Unseen++
			}
			if e.flags&flagTrashed != 0 {
				out.Deleted++
			}
			if e.uid >= st.recent {
				out.Recent++
			}
			if e.extra != nil {
				rest[e.extra] = true
			}
			out.Size += max(s.f.learnedOf(*e).size, 0)
		}
		out.Keywords = keywordsOf(st.keywords, all, rest)
	})
	return out, err
}

func keywordsOf(k *keywords, all flags, rest map[*keywordSet]bool) []mailbox.Flag {
	var names []string
	for set := range rest {
		names = append(names, set.list()...)
	}
	var out []mailbox.Flag
	for _, f := range k.decode(all, newKeywordSet(names)) {
		if !f.System() {
			out = append(out, f)
		}
	}
	return out
}

// learnedOf is a message with what readers have found out about it. Call it with f.mu held.
func (f *folder) learnedOf(e entry) entry {
	if l, ok := f.learned[e.uid]; ok {
		e.size, e.date = l.size, l.date
	}
	return e
}

// UIDs implements mailbox.Reader.
func (s *session) UIDs(ctx context.Context) ([]mailbox.UID, mailbox.ModSeq, error) {
	if err := s.current(ctx); err != nil {
		return nil, 0, err
	}
	var uids []mailbox.UID
	var seq mailbox.ModSeq
	err := s.f.read(func(st *state) {
		uids = make([]mailbox.UID, len(st.entries))
		for i := range st.entries {
			uids[i] = mailbox.UID(st.entries[i].uid)
		}
		seq = mailbox.ModSeq(st.modseq)
	})
	return uids, seq, err
}

// Changes implements mailbox.Reader.
func (s *session) Changes(ctx context.Context, since mailbox.ModSeq) (mailbox.Changes, error) {
	if err := s.current(ctx); err != nil {
		return mailbox.Changes{}, err
	}
	var out mailbox.Changes
	var changed []entry
	var kw *keywords
	tooOld := false
	err := s.f.read(func(st *state) {
		tooOld = uint64(since) < st.base
		out.ModSeq, kw = mailbox.ModSeq(st.modseq), st.keywords
		if tooOld || uint64(since) >= st.modseq {
			return
		}
		for i := range st.entries {
			if st.entries[i].modseq > uint64(since) {
				changed = append(changed, s.f.learnedOf(st.entries[i]))
			}
		}
		for _, e := range slices.Backward(st.expunged) {
			if e.modseq <= uint64(since) {
				break
			}
			out.Expunged = append(out.Expunged, mailbox.UID(e.uid))
		}
	})
	if err == nil && tooOld {
		err = mailbox.ErrTooOld
	}
	if err != nil {
		return mailbox.Changes{}, err
	}
	slices.Sort(out.Expunged)
	out.Expunged = slices.Compact(out.Expunged)
	out.Changed, err = s.metas(changed, kw)
	return out, err
}

// Messages implements mailbox.Reader.
func (s *session) Messages(ctx context.Context, uids []mailbox.UID) ([]mailbox.Meta, error) {
	if err := s.use(ctx); err != nil {
		return nil, err
	}
	entries, kw, err := s.entries(uids)
	if err != nil {
		return nil, err
	}
	return s.metas(entries, kw)
}

// entries gives the messages with these UIDs that are there, ascending.
func (s *session) entries(uids []mailbox.UID) ([]entry, *keywords, error) {
	sorted := uids
	if !slices.IsSorted(sorted) {
		sorted = slices.Sorted(slices.Values(uids))
	}
	var kw *keywords
	out := make([]entry, 0, len(uids))
	err := s.f.read(func(st *state) {
		kw = st.keywords
		for i, uid := range sorted {
			if i > 0 && sorted[i-1] == uid {
				continue
			}
			if at, ok := st.find(uint32(uid)); ok {
				out = append(out, s.f.learnedOf(st.entries[at]))
			}
		}
	})
	return out, kw, err
}

// metas makes what callers see, looking at files for what is not known yet. Messages whose files are gone are left out.
func (s *session) metas(entries []entry, kw *keywords) ([]mailbox.Meta, error) {
	out := make([]mailbox.Meta, 0, len(entries))
	cache := map[flags][]mailbox.Flag{} // most messages have the same few flags
	for i := range entries {
		e := &entries[i]
		if e.size < 0 || e.date == noDate {
			if err := s.learn(e); err != nil {
				if errors.Is(err, mailbox.ErrExpunged) {
					continue
				}
				return nil, err
			}
		}
		list, ok := cache[e.flags]
		if !ok || e.extra != nil {
			list = kw.decode(e.flags, e.extra)
			if e.extra == nil {
				cache[e.flags] = list
			}
		}
		out = append(out, mailbox.Meta{
			UID: mailbox.UID(e.uid), ModSeq: mailbox.ModSeq(e.modseq), Flags: list,
			InternalDate: time.Unix(e.date, 0), Size: e.size,
		})
	}
	return out, nil
}

// learnSizes finds out the sizes that names do not tell.
func (s *session) learnSizes() error {
	var missing []entry
	if err := s.f.read(func(st *state) {
		for i := range st.entries {
			if st.entries[i].size < 0 {
				if e := s.f.learnedOf(st.entries[i]); e.size < 0 {
					missing = append(missing, e)
				}
			}
		}
	}); err != nil {
		return err
	}
	for i := range missing {
		if err := s.learn(&missing[i]); err != nil && !errors.Is(err, mailbox.ErrExpunged) {
			return err
		}
	}
	return nil
}

// learn looks at the file of a message for its size and date.
func (s *session) learn(e *entry) error {
	l := learned{e.size, e.date}
	if err := s.withFile(e, func(path string) error {
		info, err := s.f.fs().Lstat(path)
		if err != nil {
			return err
		}
		if l.date == noDate {
			l.date = info.ModTime().Unix()
		}
		if l.size >= 0 {
			return nil
		}
		c, err := openContent(s.f.fs(), path, -1)
		if err != nil {
			return err
		}
		l.size = c.Size()
		return c.Close()
	}); err != nil {
		return err
	}
	e.size, e.date = l.size, l.date
	s.f.note(e.uid, l)
	return nil
}

// note keeps what was learned for the next run, and starts one when it is much.
func (f *folder) note(uid uint32, l learned) {
	f.mu.Lock()
	f.learned[uid] = l
	start := len(f.learned) > minRewrite && !f.kicked
	f.kicked = f.kicked || start
	f.mu.Unlock()
	if start {
		f.kick()
	}
}

// withFile calls fn with the path of a message, e, which is brought up to date if it has changed. A file that has got
// another name is looked for; mailbox.ErrExpunged if it is gone.
func (s *session) withFile(e *entry, fn func(path string) error) error {
	for try := 0; ; try++ {
		err := fn(filepath.Join(s.f.dir(), e.path()))
		if !isNotExist(err) {
			return err
		}
		if try > 0 { // else it may have been renamed by us meanwhile
			if err := s.f.submit((*tx).rescan); err != nil {
				return err
			}
		}
		now, _, err := s.entries([]mailbox.UID{mailbox.UID(e.uid)})
		if err != nil {
			return err
		}
		if len(now) == 0 || try == maxTries {
			return fmt.Errorf("%w: UID %d", mailbox.ErrExpunged, e.uid)
		}
		*e = now[0]
	}
}

// maxTries is how often a file that another program keeps renaming is looked for.
const maxTries = 4

// rescan looks at all files, once in a run.
func (tx *tx) rescan() error {
	if tx.scanned {
		return nil
	}
	return tx.scan()
}

// Content implements mailbox.Reader.
func (s *session) Content(ctx context.Context, uid mailbox.UID) (mailbox.Content, error) {
	if err := s.use(ctx); err != nil {
		return nil, err
	}
	entries, _, err := s.entries([]mailbox.UID{uid})
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("%w: UID %d", mailbox.ErrExpunged, uid)
	}
	e := &entries[0]
	var c mailbox.Content
	err = s.withFile(e, func(path string) error {
		c, err = openContent(s.f.fs(), path, e.size)
		if err == nil && c.Size() != e.size {
			s.f.note(e.uid, learned{c.Size(), e.date}) // the name was wrong
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// errSize says that Append got another number of octets than it was told.
var errSize = errors.New("maildir: message is not as long as declared")

// Append implements mailbox.Writer.
func (s *session) Append(ctx context.Context, r io.Reader, opts mailbox.AppendOptions) (mailbox.UID, error) {
	if err := s.use(ctx); err != nil {
		return 0, err
	}
	list, err := mailbox.CleanFlags(opts.Flags)
	if err != nil {
		return 0, err
	}
	a := s.f.account
	if err := s.f.read(func(*state) {}); err != nil {
		return 0, err
	}
	if opts.Size >= 0 {
		free, err := a.reserve(opts.Size)
		if err != nil {
			return 0, err
		}
		defer free()
	}
	msg, err := a.maildir.stage(s.f.dir(), opts.InternalDate, opts.Size, func(w io.Writer) error {
		return copySized(w, r, opts.Size, a.limit())
	})
	if err != nil {
		return 0, s.f.noFolder(err)
	}
	if opts.Size < 0 {
		free, err := a.reserve(msg.size)
		if err != nil {
			msg.discard(a.fs())
			return 0, err
		}
		defer free()
	}
	msg.flags = list
	uids, err := s.f.place([]*staged{msg})
	if err != nil {
		return 0, err
	}
	return mailbox.UID(uids[0]), nil
}

// copySized copies a message of a declared size, or of any (negative) up to limit if that is not 0.
func copySized(w io.Writer, r io.Reader, size, limit int64) error {
	switch {
	case size >= 0:
		r = io.LimitReader(r, size+1)
	case limit > 0:
		r = io.LimitReader(r, limit+1)
	}
	n, err := io.Copy(w, r)
	if err != nil {
		return fmt.Errorf("maildir: append: %w", err)
	}
	if size >= 0 && n != size {
		return errSize
	}
	return nil
}

// place puts staged messages into the mailbox: all or none.
func (f *folder) place(messages []*staged) ([]uint32, error) {
	var uids []uint32
	err := f.submit(func(tx *tx) (err error) {
		uids, err = tx.place(messages)
		return err
	})
	if err != nil {
		for _, s := range messages {
			s.discard(f.fs())
		}
		return nil, err
	}
	return uids, nil
}

// SetFlags implements mailbox.Writer.
func (s *session) SetFlags(ctx context.Context, uids []mailbox.UID, change mailbox.FlagChange) ([]mailbox.Meta, error) {
	if err := s.use(ctx); err != nil {
		return nil, err
	}
	list, err := mailbox.CleanFlags(change.Flags)
	if err != nil {
		return nil, err
	}
	change.Flags = list
	var entries []entry
	var kw *keywords
	if err := s.f.submit(func(tx *tx) (err error) {
		entries, err = tx.setFlags(uids, change)
		kw = tx.keywords
		return err
	}); err != nil {
		return nil, err
	}
	return s.metas(entries, kw)
}

// Expunge implements mailbox.Writer.
func (s *session) Expunge(ctx context.Context, uids []mailbox.UID) ([]mailbox.UID, error) {
	if err := s.use(ctx); err != nil {
		return nil, err
	}
	return s.f.expunge(uids)
}

func (f *folder) expunge(uids []mailbox.UID) ([]mailbox.UID, error) {
	var out []mailbox.UID
	err := f.submit(func(tx *tx) error {
		var gone []entry
		for _, uid := range slices.Compact(slices.Sorted(slices.Values(uids))) {
			if e, ok := tx.find(uint32(uid)); ok {
				gone = append(gone, e)
				out = append(out, uid)
			}
		}
		tx.expunge(gone)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// TakeRecent implements mailbox.RecentKeeper.
func (s *session) TakeRecent(ctx context.Context) (mailbox.UID, error) {
	if err := s.current(ctx); err != nil {
		return 0, err
	}
	var first uint32
	fresh := false
	if err := s.f.read(func(st *state) {
		first = st.recent
		fresh = st.recent < st.next
	}); err != nil {
		return 0, err
	}
	if !fresh {
		return mailbox.UID(first), nil
	}
	err := s.f.submit(func(tx *tx) error {
		first = tx.takeRecent()
		return nil
	})
	return mailbox.UID(first), err
}
