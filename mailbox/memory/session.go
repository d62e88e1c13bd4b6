package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/mailbricks/mailbricks/mailbox"
)

// session is a mailbox that a session has opened.
type session struct {
	*box
	closed   bool                  // under account.mu
	watching map[*watcher]struct{} // under account.mu: ends at Close
}

var _ interface {
	mailbox.Mailbox
	mailbox.Watcher
	mailbox.RecentKeeper
	mailbox.Summarizer
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
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	s.closed = true
	for w := range s.watching {
		delete(s.watchers, w)
	}
	s.watching = nil
	return nil
}

func (s *session) Status(context.Context) (mailbox.Status, error) {
	if err := s.lock(); err != nil {
		return mailbox.Status{}, err
	}
	defer s.unlock()
	st := mailbox.Status{ID: s.id(), UIDValidity: s.validity, UIDNext: s.next, ModSeq: s.modseq, Messages: len(s.messages)}
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
	now := time.Now().Round(0) // without the monotonic clock: dates are compared
	date := opts.InternalDate
	if date.IsZero() {
		date = now
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
	uid := s.add(&message{flags: flags, date: date.Truncate(time.Second), saved: now, content: data})
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
	picked := s.pick(uids)
	if change.Flags = flags; change.Op != mailbox.RemoveFlags && len(picked) > 0 {
		if change.Flags, err = s.intern(flags); err != nil {
			return nil, err
		}
	}
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
