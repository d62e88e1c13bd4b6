package maildir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/mailbricks/mailbricks/mailbox"
)

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
		free, err := a.reserve(usage{opts.Size, 1})
		if err != nil {
			return 0, err
		}
		defer free()
	}
	msg, err := a.stage(s.f.dir(), opts.InternalDate, opts.Size, func(w io.Writer) error {
		return copySized(w, r, opts.Size, a.limit().Octets)
	})
	if err != nil {
		return 0, s.f.noFolder(err)
	}
	if opts.Size < 0 {
		free, err := a.reserve(usage{msg.size, 1})
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
	s.f.leaving.RLock()
	defer s.f.leaving.RUnlock()
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
	s.f.leaving.RLock()
	defer s.f.leaving.RUnlock()
	return s.f.expunge(uids)
}

// expunge removes messages. Who calls it holds leaving.
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
