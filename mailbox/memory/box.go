package memory

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks/mailbox"
)

// box is a mailbox. What is in it is under account.mu.
type box struct {
	account  *Account
	validity uint32
	uses     []mailbox.Use
	gone     bool

	messages []*message // UIDs ascending
	next     mailbox.UID
	modseq   mailbox.ModSeq
	recent   mailbox.UID             // from here on no session was told
	keywords map[string]mailbox.Flag // lower case to the form that came first
	expunged []expunged              // modseqs ascending
	tooOld   mailbox.ModSeq          // what went up to here is forgotten
	watchers map[*watcher]struct{}
}

type message struct {
	uid     mailbox.UID
	modseq  mailbox.ModSeq
	flags   []mailbox.Flag // replaced, never changed
	date    time.Time
	content []byte // never changed
}

type expunged struct {
	uid    mailbox.UID
	modseq mailbox.ModSeq
}

type watcher struct{ wake chan<- struct{} }

// wake tells those who watch.
func (b *box) wake() {
	for w := range b.watchers {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

func (m *message) meta() mailbox.Meta {
	return mailbox.Meta{UID: m.uid, ModSeq: m.modseq, Flags: m.flags, InternalDate: m.date, Size: int64(len(m.content))}
}

// add gives a message the next UID. Its flags have been through intern.
func (b *box) add(m *message) mailbox.UID {
	b.modseq++
	m.uid, m.modseq = b.next, b.modseq
	b.next++
	b.messages = append(b.messages, m)
	b.account.count(m, 1)
	return m.uid
}

// intern gives flags in the form in which each first came to this mailbox.
func (b *box) intern(flags []mailbox.Flag) ([]mailbox.Flag, error) {
	out := make([]mailbox.Flag, len(flags))
	fresh := map[string]mailbox.Flag{}
	for i, f := range flags {
		key := strings.ToLower(string(f))
		known, ok := b.keywords[key]
		switch {
		case f.System():
			known = f
		case !ok:
			known, fresh[key] = f, f
		}
		out[i] = known
	}
	if len(b.keywords)+len(fresh) > MaxKeywords {
		return nil, fmt.Errorf("%w: more than %d keywords", mailbox.ErrFlags, MaxKeywords)
	}
	for key, f := range fresh {
		b.keywords[key] = f
	}
	return out, nil
}

// find gives the index of a message, or where it would be.
func (b *box) find(uid mailbox.UID) (int, bool) {
	return slices.BinarySearchFunc(b.messages, uid, func(m *message, uid mailbox.UID) int { return cmp.Compare(m.uid, uid) })
}

// pick gives the messages with these UIDs that are there, ascending.
func (b *box) pick(uids []mailbox.UID) []*message {
	var out []*message
	for _, uid := range slices.Compact(slices.Sorted(slices.Values(uids))) {
		if i, ok := b.find(uid); ok {
			out = append(out, b.messages[i])
		}
	}
	return out
}

// remove takes messages out. The account's use is the caller's to settle.
func (b *box) remove(gone []*message) {
	if len(gone) == 0 {
		return
	}
	b.modseq++
	set := make(map[*message]bool, len(gone))
	for _, m := range gone {
		set[m] = true
		b.expunged = append(b.expunged, expunged{m.uid, b.modseq})
	}
	b.messages = slices.DeleteFunc(b.messages, func(m *message) bool { return set[m] })
	if extra := len(b.expunged) - MaxExpunged; extra > 0 {
		b.tooOld = b.expunged[extra-1].modseq
		b.expunged = slices.Clone(b.expunged[extra:])
	}
}

// moveAll puts every message of one mailbox into another that is empty.
func moveAll(from, to *box) {
	gone := slices.Clone(from.messages)
	for _, m := range gone {
		c := *m
		c.flags, _ = to.intern(m.flags) // an empty mailbox takes as many as from has
		to.add(&c)
		to.account.count(&c, -1)
	}
	from.remove(gone)
	from.wake()
	to.wake()
}

// session is a mailbox that a session has opened.
type session struct {
	*box
	closed bool     // under account.mu
	stops  sync.Map // func() → struct{}: watches to end at Close
}

var _ interface {
	mailbox.Mailbox
	mailbox.Watcher
	mailbox.RecentKeeper
} = (*session)(nil)

var errClosed = errors.New("memory: mailbox is closed")

// lock takes the account's lock if the mailbox can be used.
func (s *session) lock() error {
	s.account.mu.Lock()
	switch {
	case s.closed:
		s.account.mu.Unlock()
		return errClosed
	case s.gone:
		s.account.mu.Unlock()
		return fmt.Errorf("%w: it was deleted", mailbox.ErrNoMailbox)
	}
	return nil
}

func (s *session) unlock() { s.account.mu.Unlock() }

func (s *session) Close() error {
	s.stops.Range(func(stop, _ any) bool {
		(*stop.(*func()))()
		return true
	})
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	s.closed = true
	return nil
}

func (s *session) Status(context.Context) (mailbox.Status, error) {
	if err := s.lock(); err != nil {
		return mailbox.Status{}, err
	}
	defer s.unlock()
	st := mailbox.Status{UIDValidity: s.validity, UIDNext: s.next, ModSeq: s.modseq, Messages: len(s.messages)}
	for _, m := range s.messages {
		if !mailbox.HasFlag(m.flags, mailbox.Seen) {
			st.Unseen++
		}
		if mailbox.HasFlag(m.flags, mailbox.Deleted) {
			st.Deleted++
		}
		if m.uid >= s.recent {
			st.Recent++
		}
		st.Size += int64(len(m.content))
		for _, f := range m.flags {
			if !f.System() && !slices.Contains(st.Keywords, f) {
				st.Keywords = append(st.Keywords, f)
			}
		}
	}
	return st, nil
}

func (s *session) UIDs(context.Context) ([]mailbox.UID, mailbox.ModSeq, error) {
	if err := s.lock(); err != nil {
		return nil, 0, err
	}
	defer s.unlock()
	uids := make([]mailbox.UID, len(s.messages))
	for i, m := range s.messages {
		uids[i] = m.uid
	}
	return uids, s.modseq, nil
}

func (s *session) Changes(_ context.Context, since mailbox.ModSeq) (mailbox.Changes, error) {
	if err := s.lock(); err != nil {
		return mailbox.Changes{}, err
	}
	defer s.unlock()
	if since < s.tooOld {
		return mailbox.Changes{}, mailbox.ErrTooOld
	}
	c := mailbox.Changes{ModSeq: s.modseq}
	for _, m := range s.messages {
		if m.modseq > since {
			c.Changed = append(c.Changed, m.meta())
		}
	}
	for _, e := range slices.Backward(s.expunged) {
		if e.modseq <= since {
			break
		}
		c.Expunged = append(c.Expunged, e.uid)
	}
	slices.Sort(c.Expunged)
	return c, nil
}

func (s *session) Messages(_ context.Context, uids []mailbox.UID) ([]mailbox.Meta, error) {
	if err := s.lock(); err != nil {
		return nil, err
	}
	defer s.unlock()
	return metas(s.pick(uids)), nil
}

func metas(messages []*message) []mailbox.Meta {
	out := make([]mailbox.Meta, len(messages))
	for i, m := range messages {
		out[i] = m.meta()
	}
	return out
}

func (s *session) Content(_ context.Context, uid mailbox.UID) (mailbox.Content, error) {
	if err := s.lock(); err != nil {
		return nil, err
	}
	defer s.unlock()
	i, ok := s.find(uid)
	if !ok {
		return nil, fmt.Errorf("%w: UID %d", mailbox.ErrExpunged, uid)
	}
	return content{bytes.NewReader(s.messages[i].content)}, nil
}

type content struct{ *bytes.Reader }

func (content) Close() error { return nil }

// errSize says that Append got another number of octets than it was told.
var errSize = errors.New("memory: message is not as long as declared")

func (s *session) Append(_ context.Context, r io.Reader, opts mailbox.AppendOptions) (mailbox.UID, error) {
	flags, err := mailbox.CleanFlags(opts.Flags)
	if err != nil {
		return 0, err
	}
	if err := s.roomFor(max(opts.Size, 0)); err != nil {
		return 0, err
	}
	data, err := s.readAll(r, opts.Size)
	if err != nil {
		return 0, err
	}
	date := opts.InternalDate
	if date.IsZero() {
		date = time.Now()
	}
	if err := s.lock(); err != nil {
		return 0, err
	}
	defer s.unlock()
	if !s.account.fits(int64(len(data)), 1) {
		return 0, mailbox.ErrQuota
	}
	if flags, err = s.intern(flags); err != nil {
		return 0, err
	}
	uid := s.add(&message{flags: flags, date: date.Truncate(time.Second), content: data})
	s.wake()
	return uid, nil
}

// roomFor fails early when size more octets are too many.
func (s *session) roomFor(size int64) error {
	if err := s.lock(); err != nil {
		return err
	}
	defer s.unlock()
	if !s.account.fits(size, 1) {
		return mailbox.ErrQuota
	}
	return nil
}

// readAll reads a message of a declared size, or of any within the quota.
func (s *session) readAll(r io.Reader, size int64) ([]byte, error) {
	switch {
	case size >= 0:
		r = io.LimitReader(r, size+1)
	case s.account.limit.Octets > 0:
		r = io.LimitReader(r, s.account.limit.Octets+1)
	}
	data, err := io.ReadAll(r)
	switch {
	case err != nil:
		return nil, fmt.Errorf("memory: append: %w", err)
	case size >= 0 && int64(len(data)) != size:
		return nil, errSize
	}
	return data, nil
}

func (s *session) SetFlags(_ context.Context, uids []mailbox.UID, change mailbox.FlagChange) ([]mailbox.Meta, error) {
	flags, err := mailbox.CleanFlags(change.Flags)
	if err != nil {
		return nil, err
	}
	if err := s.lock(); err != nil {
		return nil, err
	}
	defer s.unlock()
	if change.Flags = flags; change.Op != mailbox.RemoveFlags {
		if change.Flags, err = s.intern(flags); err != nil {
			return nil, err
		}
	}
	picked := s.pick(uids)
	seq := s.modseq + 1
	for _, m := range picked {
		if change.UnchangedSince != 0 && m.modseq > change.UnchangedSince {
			continue
		}
		if flags := change.Apply(m.flags); !sameFlags(flags, m.flags) {
			m.flags, m.modseq, s.modseq = flags, seq, seq
		}
	}
	if s.modseq == seq {
		s.wake()
	}
	return metas(picked), nil
}

// sameFlags compares sets without doubles.
func sameFlags(a, b []mailbox.Flag) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(f mailbox.Flag) bool { return !mailbox.HasFlag(b, f) })
}

func (s *session) Expunge(_ context.Context, uids []mailbox.UID) ([]mailbox.UID, error) {
	if err := s.lock(); err != nil {
		return nil, err
	}
	defer s.unlock()
	picked := s.pick(uids)
	out := make([]mailbox.UID, len(picked))
	for i, m := range picked {
		out[i] = m.uid
		s.account.count(m, -1)
	}
	s.remove(picked)
	if len(picked) > 0 {
		s.wake()
	}
	return out, nil
}

func (s *session) Copy(_ context.Context, uids []mailbox.UID, dest string) (mailbox.Copied, error) {
	return s.put(uids, dest, false)
}

func (s *session) Move(_ context.Context, uids []mailbox.UID, dest string) (mailbox.Copied, error) {
	return s.put(uids, dest, true)
}

// put copies or moves: all that are there or, on an error, none.
func (s *session) put(uids []mailbox.UID, dest string, move bool) (mailbox.Copied, error) {
	if err := s.lock(); err != nil {
		return mailbox.Copied{}, err
	}
	defer s.unlock()
	to, err := s.account.find(dest)
	if err != nil {
		return mailbox.Copied{}, err
	}
	picked := s.pick(uids)
	var size int64
	copies := make([]*message, len(picked))
	for i, m := range picked {
		c := *m
		if c.flags, err = to.intern(m.flags); err != nil {
			return mailbox.Copied{}, err
		}
		size += int64(len(m.content))
		copies[i] = &c
	}
	if !move && !s.account.fits(size, len(picked)) {
		return mailbox.Copied{}, mailbox.ErrQuota
	}
	out := mailbox.Copied{UIDValidity: to.validity}
	for i, c := range copies {
		out.Source = append(out.Source, picked[i].uid)
		out.Dest = append(out.Dest, to.add(c))
	}
	if len(copies) == 0 {
		return out, nil
	}
	if move {
		s.remove(picked)
		for _, m := range picked {
			s.account.count(m, -1)
		}
		s.wake()
	}
	to.wake()
	return out, nil
}

// Watch implements mailbox.Watcher.
func (s *session) Watch(wake chan<- struct{}) func() {
	w := &watcher{wake}
	s.account.mu.Lock()
	if s.watchers == nil {
		s.watchers = map[*watcher]struct{}{}
	}
	s.watchers[w] = struct{}{}
	s.account.mu.Unlock()
	var stop func()
	stop = func() {
		s.account.mu.Lock()
		defer s.account.mu.Unlock()
		delete(s.watchers, w)
		s.stops.Delete(&stop)
	}
	s.stops.Store(&stop, struct{}{})
	return stop
}

// TakeRecent implements mailbox.RecentKeeper.
func (s *session) TakeRecent(context.Context) (mailbox.UID, error) {
	if err := s.lock(); err != nil {
		return 0, err
	}
	defer s.unlock()
	first := s.recent
	s.recent = s.next
	return first, nil
}
