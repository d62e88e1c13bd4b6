package maildir

import (
	"context"
	"errors"
	"sync"

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
	mailbox.Summarizer
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
