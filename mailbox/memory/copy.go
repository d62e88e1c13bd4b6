package memory

import (
	"context"
	"slices"
	"time"

	"github.com/mailbricks/mailbricks/mailbox"
)

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
	now := time.Now().Round(0)
	for i, m := range picked {
		c := *m
		c.saved = now
		size += int64(len(m.content))
		copies[i] = &c
	}
	if !move && !s.account.fits(size, len(picked)) {
		return mailbox.Copied{}, mailbox.ErrQuota
	}
	if err := to.internAll(copies); err != nil {
		return mailbox.Copied{}, err
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

// moveAll puts every message of one mailbox into another that is empty.
func moveAll(from, to *box) {
	gone := slices.Clone(from.messages)
	copies := make([]*message, len(gone))
	now := time.Now().Round(0)
	for i, m := range gone {
		c := *m
		c.saved = now
		copies[i] = &c
	}
	_ = to.internAll(copies) // an empty mailbox takes as many as from has
	for _, c := range copies {
		to.add(c)
		to.account.count(c, -1)
	}
	from.remove(gone)
	from.wake()
	to.wake()
}
