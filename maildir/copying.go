package maildir

import (
	"context"
	"errors"
	"fmt"

	"github.com/mailbricks/mailbricks/mailbox"
)

// Copy implements mailbox.Copier.
func (s *session) Copy(ctx context.Context, uids []mailbox.UID, dest string) (mailbox.Copied, error) {
	return s.transfer(ctx, uids, dest, false)
}

// Move implements mailbox.Copier. The messages are in the destination before they go from here; where that is interrupted, they
// go at the next start (moves.go).
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
	t, err := s.stageAll(to, uids)
	if err != nil {
		return mailbox.Copied{}, err
	}
	out := mailbox.Copied{}
	if err := to.read(func(st *state) { out.UIDValidity = st.validity }); err != nil {
		return out, discardAll(a, t.messages, err)
	}
	if len(t.messages) == 0 {
		return out, nil
	}
	if move {
		return s.finishMove(to, t, out)
	}
	var more usage
	for _, m := range t.messages {
		more = more.plus(usage{m.size, 1})
	}
	free, err := a.reserve(more)
	if err != nil {
		return out, discardAll(a, t.messages, err)
	}
	defer free()
	return s.placeIn(to, t, out)
}

// placeIn puts staged messages into their new mailbox.
func (s *session) placeIn(to *folder, t transferred, out mailbox.Copied) (mailbox.Copied, error) {
	placed, err := to.place(t.messages)
	if err != nil {
		return out, err
	}
	out.Source = t.from
	for _, uid := range placed {
		out.Dest = append(out.Dest, mailbox.UID(uid))
	}
	s.carry(to, out.Source, out.Dest)
	return out, nil
}

// finishMove puts staged messages into their new mailbox and takes them out of this one.
func (s *session) finishMove(to *folder, t transferred, out mailbox.Copied) (mailbox.Copied, error) {
	a := s.f.account
	end, err := s.beginMove(t)
	if err != nil {
		return out, discardAll(a, t.messages, fmt.Errorf("maildir: move: %w", err))
	}
	placed, err := s.placeIn(to, t, out)
	if err != nil {
		return out, errors.Join(err, end(false))
	}
	_, err = s.f.expunge(t.from)
	if errors.Is(err, mailbox.ErrNoMailbox) { // it has gone meanwhile, with what was moved
		err = nil
	}
	if endErr := end(err == nil); err != nil && endErr != nil {
		return out, errors.Join(err, endErr)
	} // else end has done what expunge could not
	return placed, nil
}

// beginMove notes what is being moved from here.
func (s *session) beginMove(t transferred) (end func(gone bool) error, err error) {
	folder, err := s.f.account.diskName(s.f.folderName())
	if err != nil {
		return nil, err
	}
	names := make([]moved, len(t.messages))
	for i, m := range t.messages {
		names[i] = moved{folder, t.bases[i], m.base}
	}
	return s.f.account.beginMove(names)
}

func discardAll(a *account, messages []*staged, err error) error {
	for _, m := range messages {
		m.discard(a.fs())
	}
	return err
}

// transferred is what is on its way to another mailbox.
type transferred struct {
	messages []*staged
	from     []mailbox.UID
	bases    []string // the names of their files here, without flags
}

// stageAll gives every message that is still there a second name in the tmp of another folder.
func (s *session) stageAll(to *folder, uids []mailbox.UID) (transferred, error) {
	var t transferred
	entries, kw, err := s.entries(uids)
	if err != nil {
		return t, err
	}
	a := s.f.account
	for i := range entries {
		e := &entries[i]
		if e.date == noDate {
			if err := s.learn(e); err != nil && !errors.Is(err, mailbox.ErrExpunged) {
				return t, discardAll(a, t.messages, err)
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
			return t, discardAll(a, t.messages, err)
		}
		msg.flags = kw.decode(e.flags, e.extra)
		t.messages = append(t.messages, msg)
		t.from = append(t.from, mailbox.UID(e.uid))
		t.bases = append(t.bases, e.base)
	}
	return t, nil
}
