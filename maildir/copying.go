package maildir

import (
	"context"
	"errors"

	"github.com/mailbricks/mailbricks/mailbox"
)

// Copy implements mailbox.Copier.
func (s *session) Copy(ctx context.Context, uids []mailbox.UID, dest string) (mailbox.Copied, error) {
	return s.transfer(ctx, uids, dest, false)
}

// Move implements mailbox.Copier. The messages are in the destination before they go from here: a power cut in between
// leaves them in both.
func (s *session) Move(ctx context.Context, uids []mailbox.UID, dest string) (mailbox.Copied, error) {
	return s.transfer(ctx, uids, dest, true)
}

func (s *session) transfer(ctx context.Context, uids []mailbox.UID, dest string, move bool) (mailbox.Copied, error) {
	if err := s.use(ctx); err != nil {
		return mailbox.Copied{}, err
	}
	a := s.f.account
	to, err := a.open(dest)
	if err != nil {
		return mailbox.Copied{}, err
	}
	defer a.leave(to)
	if move { // of two who move or remove a message at the same time one does, and no flag that is set meanwhile is lost
		s.f.leaving.Lock()
		defer s.f.leaving.Unlock()
	}
	messages, from, err := s.stageAll(to, uids)
	if err != nil {
		return mailbox.Copied{}, err
	}
	out := mailbox.Copied{}
	if err := to.read(func(st *state) { out.UIDValidity = st.validity }); err != nil {
		return out, discardAll(a, messages, err)
	}
	if len(messages) == 0 {
		return out, nil
	}
	if !move {
		var more usage
		for _, m := range messages {
			more = more.plus(usage{m.size, 1})
		}
		free, err := a.reserve(more)
		if err != nil {
			return out, discardAll(a, messages, err)
		}
		defer free()
	}
	placed, err := to.place(messages)
	if err != nil {
		return out, err
	}
	out.Source = from
	for _, uid := range placed {
		out.Dest = append(out.Dest, mailbox.UID(uid))
	}
	s.carry(to, out.Source, out.Dest)
	if move {
		if _, err := s.f.expunge(out.Source); err != nil {
			_, undoErr := to.expunge(out.Dest)
			return mailbox.Copied{}, errors.Join(err, undoErr)
		}
	}
	return out, nil
}

func discardAll(a *account, messages []*staged, err error) error {
	for _, m := range messages {
		m.discard(a.fs())
	}
	return err
}

// stageAll gives every message that is still there a second name in the tmp of another folder.
func (s *session) stageAll(to *folder, uids []mailbox.UID) ([]*staged, []mailbox.UID, error) {
	entries, kw, err := s.entries(uids)
	if err != nil {
		return nil, nil, err
	}
	a := s.f.account
	var messages []*staged
	var from []mailbox.UID
	for i := range entries {
		e := &entries[i]
		if e.date == noDate {
			if err := s.learn(e); err != nil && !errors.Is(err, mailbox.ErrExpunged) {
				return nil, nil, discardAll(a, messages, err)
			}
		}
		var msg *staged
		err := s.withFile(e, func(path string) (err error) {
			msg, err = a.stageLink(path, e, to.dir())
			return err
		})
		if err != nil {
			err = to.noFolder(err) // it may be the destination that is gone
		}
		if errors.Is(err, mailbox.ErrExpunged) && !errors.Is(err, mailbox.ErrNoMailbox) {
			continue
		}
		if err != nil {
			return nil, nil, discardAll(a, messages, err)
		}
		msg.flags = kw.decode(e.flags, e.extra)
		messages = append(messages, msg)
		from = append(from, mailbox.UID(e.uid))
	}
	return messages, from, nil
}
