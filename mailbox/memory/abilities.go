package memory

import (
	"bytes"
	"context"
	"fmt"

	"github.com/mailbricks/mailbricks/mailbox"
)

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

// Summaries implements mailbox.Summarizer. A summary is made when it is first asked for, outside the lock.
func (s *session) Summaries(_ context.Context, uids []mailbox.UID) ([]mailbox.Summary, error) {
	if err := s.lock(); err != nil {
		return nil, err
	}
	picked := s.pick(uids)
	out := make([]mailbox.Summary, len(picked))
	for i, m := range picked {
		out[i] = mailbox.Summary{UID: m.uid, Data: m.summary}
	}
	s.unlock()
	for i, m := range picked {
		if out[i].Data != nil {
			continue
		}
		data, err := mailbox.Summarize(bytes.NewReader(m.content))
		if err != nil {
			return nil, fmt.Errorf("memory: %w", err)
		}
		out[i].Data = data
	}
	s.account.mu.Lock()
	defer s.unlock()
	for i, m := range picked {
		m.summary = out[i].Data
	}
	return out, nil
}
