package imapd

import (
	"context"

	"github.com/mailbricks/mailbricks/internal/mimeindex"
	"github.com/mailbricks/mailbricks/mailbox"
)

// summaryChunk is how many summaries a store is asked for at a time. Most are some 500 octets long, none is longer than
// mailbox.MaxSummary.
const summaryChunk = 100

// summarizer is the mailbox's ability to summarize messages, nil if it has none.
func (s *selected) summarizer() mailbox.Summarizer {
	can, _ := s.box.(mailbox.Summarizer)
	return can
}

// summaries are those of some messages, with ascending UIDs.
type summaries []mailbox.Summary

// summaries asks the store for those of messages with these ascending UIDs. What it cannot give is found in the messages
// themselves.
func (c *conn) summaries(ctx context.Context, uids []mailbox.UID) summaries {
	list, err := c.sel.summarizer().Summaries(ctx, uids)
	if err != nil {
		c.log.Debug("imapd: no summaries", "mailbox", c.sel.name, "err", err)
		return nil
	}
	return list
}

// of gives the summary of a message and leaves out those before it: messages are asked for in the order of their UIDs.
func (s *summaries) of(uid mailbox.UID) []byte {
	for len(*s) > 0 && (*s)[0].UID < uid {
		*s = (*s)[1:]
	}
	if len(*s) == 0 || (*s)[0].UID != uid {
		return nil
	}
	return (*s)[0].Data
}

// summarize gives a message its summary. One that cannot be read, or is that of a message of another size, is no use.
func (m *message) summarize(data []byte, size int64) {
	if data == nil {
		return
	}
	sum, err := mimeindex.ReadSummary(data)
	m.sum, m.summarized = sum, err == nil && sum.Size == size
}

// withoutSummary runs read, and once more without the summary if that turns out to be of no use.
func (m *message) withoutSummary(read func() error) error {
	err := read()
	if err == mimeindex.ErrSummary {
		m.summarized, m.root = false, nil
		err = read()
	}
	return err
}

// listed says whether a section may be all in a summary.
func (s *section) listed() bool {
	return len(s.path) == 0 && s.names != nil && !s.not && s.names.Listed()
}
