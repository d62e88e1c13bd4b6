package mailboxtest

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

// BenchmarkMessages is how many messages the mailbox of Benchmark has.
const BenchmarkMessages = 2000

// Benchmark reports how fast the store does what a server asks of it most, each as a benchmark of its own, on a mailbox of
// BenchmarkMessages messages of 4,000 octets. Where one call is for many messages, ns/message is reported as well. A store's own
// benchmark calls it:
//
//	func BenchmarkStore(b *testing.B) { mailboxtest.Benchmark(b, backend) }
func Benchmark(b *testing.B, backend Backend) {
	b.Helper()
	for _, one := range []struct {
		name string
		run  func(*bench)
	}{
		{"Append", benchAppend},
		{"Open", benchOpen},
		{"Status", benchStatus},
		{"List", benchList},
		{"Summaries", benchSummaries},
		{"Read", benchRead},
		{"SetFlags", benchSetFlags},
		{"SetFlagsOfAll", benchSetFlagsOfAll},
		{"Changes", benchChanges},
		{"Copy", benchCopy},
		{"Expunge", benchExpunge},
	} {
		b.Run(one.name, func(b *testing.B) {
			w := newWorld(b, backend).begin()
			one.run(&bench{b, w, w.open(mailbox.Inbox)})
		})
	}
}

// bench is what a benchmark works with.
type bench struct {
	b     *testing.B
	w     *world
	inbox box
}

// benchText is the message.
func benchText() string {
	return "From: joe@example.com\r\nTo: ann@example.com\r\nSubject: a message\r\nDate: Tue, 1 Jul 2003 10:52:37 +0200\r\n" +
		"Message-ID: <1@example.com>\r\nContent-Type: text/plain\r\n\r\n" + strings.Repeat("0123456789abcdef0123456789abcdef\r\n", 112)
}

// fill makes the mailbox and starts the clock.
func (s *bench) fill() []mailbox.UID {
	text := benchText()
	for n := range BenchmarkMessages {
		s.inbox.append(text, []mailbox.Flag{mailbox.Seen, mailbox.Flagged, "Kw"}[:n%4]...)
	}
	uids := s.inbox.uids()
	s.b.ReportAllocs()
	s.b.ResetTimer()
	return uids
}

// perMessage reports the time for one of n messages.
func (s *bench) perMessage(n int) {
	s.b.ReportMetric(float64(s.b.Elapsed().Nanoseconds())/float64(s.b.N)/float64(n), "ns/message")
}

func benchAppend(s *bench) {
	text := benchText()
	s.b.SetBytes(int64(len(text)))
	s.b.ReportAllocs()
	for s.b.Loop() {
		s.inbox.append(text)
	}
}

// benchOpen opens the mailbox in a session of its own and learns what there is. Nobody else has it open, and where the store
// can restart, it has just done so.
func benchOpen(s *bench) {
	s.fill()
	require.NoError(s.w, s.inbox.Close())
	for s.b.Loop() {
		s.b.StopTimer()
		s.w.restart()
		s.b.StartTimer()
		m, err := s.w.store.Open(s.w.ctx, mailbox.Inbox)
		require.NoError(s.w, err)
		uids, _, err := m.UIDs(s.w.ctx)
		require.NoError(s.w, err)
		require.Len(s.w, uids, BenchmarkMessages)
		require.NoError(s.w, m.Close())
	}
}

func benchStatus(s *bench) {
	s.fill()
	for s.b.Loop() {
		s.inbox.status()
	}
}

func benchList(s *bench) {
	uids := s.fill()
	for s.b.Loop() {
		metas, err := s.inbox.Messages(s.w.ctx, uids)
		require.NoError(s.w, err)
		require.Len(s.w, metas, len(uids))
	}
	s.perMessage(len(uids))
}

func benchSummaries(s *bench) {
	summarizer, ok := s.inbox.Mailbox.(mailbox.Summarizer)
	if !ok {
		s.b.Skip("the mailbox is no mailbox.Summarizer")
	}
	uids := s.fill()
	for s.b.Loop() {
		all, err := summarizer.Summaries(s.w.ctx, uids)
		require.NoError(s.w, err)
		require.Len(s.w, all, len(uids))
	}
	s.perMessage(len(uids))
}

func benchRead(s *bench) {
	uids := s.fill()
	s.b.SetBytes(int64(len(benchText())))
	n := 0
	for s.b.Loop() {
		c, err := s.inbox.Content(s.w.ctx, uids[n%len(uids)])
		require.NoError(s.w, err)
		_, err = io.Copy(io.Discard, io.NewSectionReader(c, 0, c.Size()))
		require.NoError(s.w, err)
		require.NoError(s.w, c.Close())
		n++
	}
}

// benchSetFlags sets and takes off a flag of one message after the other.
func benchSetFlags(s *bench) {
	uids := s.fill()
	n := 0
	for s.b.Loop() {
		s.toggle(uids[n%len(uids):][:1], n/len(uids))
		n++
	}
}

func benchSetFlagsOfAll(s *bench) {
	uids := s.fill()
	n := 0
	for s.b.Loop() {
		s.toggle(uids, n)
		n++
	}
	s.perMessage(len(uids))
}

func (s *bench) toggle(uids []mailbox.UID, n int) {
	change := mailbox.FlagChange{Op: mailbox.AddFlags + mailbox.FlagOp(n%2), Flags: []mailbox.Flag{mailbox.Answered}}
	metas, err := s.inbox.SetFlags(s.w.ctx, uids, change)
	require.NoError(s.w, err)
	require.Len(s.w, metas, len(uids))
}

// benchChanges asks what happened since ten messages changed.
func benchChanges(s *bench) {
	uids := s.fill()
	seq := s.inbox.modseq()
	s.toggle(uids[len(uids)/2:][:10], 0)
	for s.b.Loop() {
		require.Len(s.w, s.inbox.changes(seq).Changed, 10)
	}
}

func benchCopy(s *bench) {
	uids := s.fill()[:100]
	for s.b.Loop() {
		copied, err := s.inbox.Copy(s.w.ctx, uids, mailbox.Inbox)
		require.NoError(s.w, err)
		s.b.StopTimer()
		s.inbox.expunge(copied.Dest...)
		s.b.StartTimer()
	}
	s.perMessage(len(uids))
}

// benchExpunge expunges messages; the clock stands still while their copies are made.
func benchExpunge(s *bench) {
	uids := s.fill()[:100]
	for s.b.Loop() {
		s.b.StopTimer()
		copied, err := s.inbox.Copy(s.w.ctx, uids, mailbox.Inbox)
		require.NoError(s.w, err)
		s.b.StartTimer()
		require.Len(s.w, s.inbox.expunge(copied.Dest...), len(uids))
	}
	s.perMessage(len(uids))
}
