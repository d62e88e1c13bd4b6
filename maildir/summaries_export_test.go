package maildir

import "github.com/mailbricks/mailbricks/mailbox"

// KeepSummaries puts one and the same summary into the log for every message of an open mailbox.
func KeepSummaries(b mailbox.Mailbox, data []byte) error {
	s := b.(*session)
	for next := uint32(0); ; {
		var some []entry
		if err := s.f.read(func(st *state) { some = st.entries.some(next, 10_000) }); err != nil || len(some) == 0 {
			return err
		}
		list := make([]summary, len(some))
		for i := range some {
			list[i] = summary{&some[i], data}
		}
		if err := s.f.summaries.tryKeep(list, nil); err != nil {
			return err
		}
		next = some[len(some)-1].uid + 1
	}
}

// RewriteSummaries writes the log of an open mailbox anew.
func RewriteSummaries(b mailbox.Mailbox) error { return b.(*session).f.summaries.compact() }
