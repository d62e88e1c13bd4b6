package memory

import (
	"context"
	"fmt"
	"slices"

	"github.com/mailbricks/mailbricks/mailbox"
)

func (s *store) Create(_ context.Context, name string, use mailbox.Use) error {
	name, err := mailbox.CleanName(name)
	if err != nil {
		return err
	}
	if use != "" && !slices.Contains(uses(), use) {
		return fmt.Errorf("%w: unknown use %.20q", mailbox.ErrNotAllowed, use)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.boxes[name] != nil {
		return fmt.Errorf("%w: %q", mailbox.ErrExists, name)
	}
	if len(s.boxes) >= MaxMailboxes {
		return errFull
	}
	b := s.newBox(name)
	if use != "" {
		b.uses = []mailbox.Use{use}
	}
	return nil
}

func uses() []mailbox.Use {
	return []mailbox.Use{mailbox.UseAll, mailbox.UseArchive, mailbox.UseDrafts, mailbox.UseFlagged,
		mailbox.UseJunk, mailbox.UseSent, mailbox.UseTrash}
}

func (s *store) Delete(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.find(name)
	if err != nil {
		if clean, nameErr := mailbox.CleanName(name); nameErr == nil && s.hasBelow(clean) {
			return fmt.Errorf("%w: %q has mailboxes below it", mailbox.ErrNotAllowed, clean)
		}
		return err
	}
	if b == s.boxes[mailbox.Inbox] {
		return fmt.Errorf("%w: INBOX cannot be deleted", mailbox.ErrNotAllowed)
	}
	delete(s.boxes, b.name)
	b.gone = true
	for _, m := range b.messages {
		s.count(m, -1)
	}
	b.messages = nil
	b.wake()
	return nil
}

func (s *store) Rename(_ context.Context, from, to string) error {
	from, err := mailbox.CleanName(from)
	if err != nil {
		return fmt.Errorf("%w (%w)", mailbox.ErrNoMailbox, err)
	}
	if to, err = mailbox.CleanName(to); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.boxes[to] != nil {
		return fmt.Errorf("%w: %q", mailbox.ErrExists, to)
	}
	if from == mailbox.Inbox {
		if len(s.boxes) >= MaxMailboxes {
			return errFull
		}
		moveAll(s.boxes[mailbox.Inbox], s.newBox(to))
		return nil
	}
	if s.boxes[from] == nil && !s.hasBelow(from) {
		return fmt.Errorf("%w: %q", mailbox.ErrNoMailbox, from)
	}
	if mailbox.IsBelow(to, from) {
		return fmt.Errorf("%w: %q is below %q", mailbox.ErrNotAllowed, to, from)
	}
	moved := map[string]*box{}
	for name, b := range s.boxes {
		if name != from && !mailbox.IsBelow(name, from) {
			continue
		}
		target, err := mailbox.CleanName(to + name[len(from):])
		if err != nil {
			return err
		}
		if s.boxes[target] != nil {
			return fmt.Errorf("%w: %q", mailbox.ErrExists, target)
		}
		moved[target] = b
	}
	for _, b := range moved {
		delete(s.boxes, b.name)
	}
	for target, b := range moved {
		s.changed(b.name, target)
		b.name, s.boxes[target] = target, b
	}
	return nil
}

func (s *store) Subscribe(_ context.Context, name string, on bool) error {
	name, err := mailbox.CleanName(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !on:
		delete(s.subscribed, name)
	case len(s.subscribed) >= MaxMailboxes:
		return errFull
	default:
		s.subscribed[name] = true
	}
	s.changed(name)
	return nil
}
