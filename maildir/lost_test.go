package maildir_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// seen is what a client was told of a mailbox.
type seen struct {
	status mailbox.Status
	texts  map[mailbox.UID]string
	metas  map[mailbox.UID]mailbox.Meta
}

// look tells everything of a mailbox.
func look(t *testing.T, b mailbox.Mailbox) seen {
	t.Helper()
	out := seen{texts: map[mailbox.UID]string{}, metas: map[mailbox.UID]mailbox.Meta{}}
	uids := uidsOf(t, b)
	var err error
	out.status, err = b.Status(t.Context())
	require.NoError(t, err)
	metas, err := b.Messages(t.Context(), uids)
	require.NoError(t, err)
	require.Len(t, metas, len(uids))
	for _, m := range metas {
		out.texts[m.UID], out.metas[m.UID] = text(t, b, m.UID), m
		require.LessOrEqual(t, m.ModSeq, out.status.ModSeq)
		require.Positive(t, m.ModSeq)
	}
	return out
}

// lostWorld is an account at a certain time.
type lostWorld struct {
	root string
	now  time.Time
}

func (w *lostWorld) dir(names ...string) string {
	return filepath.Join(append([]string{w.root, "example.com", "ann"}, names...)...)
}

// session runs a process.
func (w *lostWorld) session(t *testing.T, do func(b mailbox.Mailbox)) {
	t.Helper()
	m := newMaildir(t, w.root, 0)
	maildir.SetClock(m, func() time.Time { return w.now })
	s, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
	require.NoError(t, err)
	b, err := s.Open(t.Context(), mailbox.Inbox)
	require.NoError(t, err)
	do(b)
	require.NoError(t, b.Close())
	require.NoError(t, s.Close())
	require.NoError(t, m.Close())
}

// TestLostFilesAndJumpingClocks removes the files that a mailbox has beside its messages, at any time of day: a modseq and a
// UIDVALIDITY never go back, a UID never means another message, and dates stay.
func TestLostFilesAndJumpingClocks(t *testing.T) {
	t.Parallel()
	files := map[string][]string{
		"nothing": nil, "index": {"mailbricks-index"}, "uidlist": {"dovecot-uidlist"}, "validity": {"dovecot-uidvalidity"},
		"index and uidlist":    {"mailbricks-index", "dovecot-uidlist"},
		"index and validity":   {"mailbricks-index", "dovecot-uidvalidity"},
		"uidlist and validity": {"dovecot-uidlist", "dovecot-uidvalidity"},
		"all three":            {"mailbricks-index", "dovecot-uidlist", "dovecot-uidvalidity"},
	}
	clocks := map[string]time.Duration{
		"as it was": 0, "an hour back": -time.Hour, "ten years back": -87_600 * time.Hour, "before 1970": -100 * 8766 * time.Hour,
		"a century ahead": 100 * 8766 * time.Hour, "as far ahead as can be": 290 * 8766 * time.Hour,
	}
	for lost, names := range files {
		for clock, jump := range clocks {
			t.Run(lost+" is lost, the clock is "+clock, func(t *testing.T) {
				t.Parallel()
				testLost(t, names, jump)
			})
		}
	}
}

func testLost(t *testing.T, lost []string, jump time.Duration) {
	w := &lostWorld{root: t.TempDir(), now: time.Now()}
	var before seen
	w.session(t, func(b mailbox.Mailbox) {
		for n := range 5 {
			text := fmt.Sprintf("message %d\r\n", n)
			_, err := b.Append(t.Context(), strings.NewReader(text), mailbox.AppendOptions{
				Size: int64(len(text)), Flags: []mailbox.Flag{"Kw"}, InternalDate: time.Unix(1_000_000_000+int64(n), 0),
			})
			require.NoError(t, err)
		}
		_, err := b.SetFlags(t.Context(), []mailbox.UID{2}, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen}})
		require.NoError(t, err)
		_, err = b.Expunge(t.Context(), []mailbox.UID{3, 5})
		require.NoError(t, err)
		before = look(t, b)
	})
	for _, name := range lost {
		require.NoError(t, os.Remove(w.dir(name)))
	}
	w.now = w.now.Add(jump)
	var after seen
	w.session(t, func(b mailbox.Mailbox) {
		now := look(t, b)
		checkSeen(t, before, now)
		uid := appendTo(t, b, "new\r\n")
		require.GreaterOrEqual(t, uid, now.status.UIDNext)
		if now.status.UIDValidity == before.status.UIDValidity {
			require.NotContains(t, []mailbox.UID{3, 5}, uid, "the UID was another message's")
		}
		_, err := b.SetFlags(t.Context(), []mailbox.UID{uid}, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen}})
		require.NoError(t, err)
		after = look(t, b)
		require.Greater(t, after.status.ModSeq, now.status.ModSeq)
	})
	w.now = w.now.Add(-jump) // and set right again
	w.session(t, func(b mailbox.Mailbox) {
		again := look(t, b)
		require.Equal(t, after.status.UIDValidity, again.status.UIDValidity)
		checkSeen(t, after, again)
		_, err := b.Expunge(t.Context(), uidsOf(t, b)[:1])
		require.NoError(t, err)
		status, err := b.Status(t.Context())
		require.NoError(t, err)
		require.Greater(t, status.ModSeq, again.status.ModSeq)
	})
}

// checkSeen compares what a client knows with what there is now.
func checkSeen(t *testing.T, before, now seen) {
	t.Helper()
	dates := func(s seen) map[string][2]int64 {
		out := map[string][2]int64{}
		for uid, m := range s.metas {
			out[s.texts[uid]] = [2]int64{m.InternalDate.Unix(), m.Size}
		}
		return out
	}
	require.Equal(t, dates(before), dates(now))
	if now.status.UIDValidity != before.status.UIDValidity {
		require.Greater(t, now.status.UIDValidity, before.status.UIDValidity)
		return
	}
	require.Equal(t, before.texts, now.texts, "UIDs keep their meaning")
	require.GreaterOrEqual(t, now.status.ModSeq, before.status.ModSeq)
	require.GreaterOrEqual(t, now.status.UIDNext, before.status.UIDNext)
	for uid, m := range now.metas {
		require.GreaterOrEqual(t, m.ModSeq, before.metas[uid].ModSeq)
		require.ElementsMatch(t, before.metas[uid].Flags, m.Flags)
		require.Equal(t, before.metas[uid].SaveDate.Unix(), m.SaveDate.Unix())
	}
}

// What is told under one clock goes on under another.
func TestClockJumpsWhileOpen(t *testing.T) {
	t.Parallel()
	w := &lostWorld{root: t.TempDir(), now: time.Now()}
	start := w.now
	w.session(t, func(b mailbox.Mailbox) {
		last := look(t, b)
		for n, jump := range []time.Duration{0, -time.Hour, 2_000_000 * time.Hour, -900_000 * time.Hour, time.Minute} {
			w.now = start.Add(jump)
			uid := appendTo(t, b, fmt.Sprintf("message %d\r\n", n))
			now := look(t, b)
			require.Equal(t, last.status.UIDValidity, now.status.UIDValidity)
			require.Equal(t, last.status.UIDNext, uid)
			require.Equal(t, last.status.ModSeq+1, now.status.ModSeq)
			require.WithinDuration(t, w.now, now.metas[uid].InternalDate, 2*time.Second)
			c, err := b.Changes(t.Context(), last.status.ModSeq)
			require.NoError(t, err)
			require.Len(t, c.Changed, 1)
			last = now
		}
	})
}

// Lines of the uidlist are lost, at its end where nothing behind tells of them: no UID is given to another message.
func TestShortenedUIDList(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(data []byte) []byte{
		"two lines are gone":       func(data []byte) []byte { return cutLines(data, 2) },
		"two lines cannot be read": func(data []byte) []byte { return append(cutLines(data, 2), "bad\nbad\n"...) },
		"all lines are gone":       func(data []byte) []byte { return cutLines(data, 4) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &lostWorld{root: t.TempDir(), now: time.Now()}
			var before seen
			w.session(t, func(b mailbox.Mailbox) {
				for n := range 4 {
					appendTo(t, b, fmt.Sprintf("message %d\r\n", n))
				}
				_, err := b.(mailbox.RecentKeeper).TakeRecent(t.Context()) // as SELECT does
				require.NoError(t, err)
				before = look(t, b)
			})
			data, err := os.ReadFile(w.dir("dovecot-uidlist"))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(w.dir("dovecot-uidlist"), spoil(data), 0o600))
			w.session(t, func(b mailbox.Mailbox) {
				now := look(t, b)
				require.Len(t, now.texts, 4)
				for uid, text := range now.texts {
					if was, ok := before.texts[uid]; ok && now.status.UIDValidity == before.status.UIDValidity {
						require.Equal(t, was, text, "UID %d", uid)
					}
				}
				require.Greater(t, now.status.ModSeq, before.status.ModSeq)
			})
		})
	}
}

// cutLines takes lines off the end.
func cutLines(data []byte, n int) []byte {
	lines := 0
	for at := len(data) - 1; at > 0; at-- {
		if data[at-1] == '\n' {
			if lines++; lines == n {
				return data[:at:at]
			}
		}
	}
	return data[:0]
}

// A line in the middle of the index is damaged: those behind it, which are not believed, may have told of larger modseqs.
func TestDamageWithinTheIndex(t *testing.T) {
	t.Parallel()
	w := &lostWorld{root: t.TempDir(), now: time.Now()}
	var before seen
	set := func(t *testing.T, b mailbox.Mailbox, uid mailbox.UID, op mailbox.FlagOp) {
		_, err := b.SetFlags(t.Context(), []mailbox.UID{uid}, mailbox.FlagChange{Op: op, Flags: []mailbox.Flag{mailbox.Seen}})
		require.NoError(t, err)
	}
	w.session(t, func(b mailbox.Mailbox) {
		appendTo(t, b, "one\r\n")
		appendTo(t, b, "two\r\n")
		for range 10 {
			set(t, b, 1, mailbox.AddFlags)
			set(t, b, 1, mailbox.RemoveFlags)
		}
		before = look(t, b)
	})
	data, err := os.ReadFile(w.dir("mailbricks-index"))
	require.NoError(t, err)
	for at := range data {
		if string(data[at:min(at+4, len(data))]) == "f 1 " {
			data[at] ^= 0x40
			break
		}
	}
	require.NoError(t, os.WriteFile(w.dir("mailbricks-index"), data, 0o600))
	w.now = w.now.Add(-time.Hour)
	w.session(t, func(b mailbox.Mailbox) {
		now := look(t, b)
		require.Equal(t, before.texts, now.texts)
		require.Greater(t, now.status.ModSeq, before.status.ModSeq)
		for uid, m := range now.metas {
			require.Greater(t, m.ModSeq, before.status.ModSeq, "UID %d: nobody knows what happened to it", uid)
		}
	})
}

// A mailbox that is made again has a larger UIDVALIDITY, whatever the clock says and whichever files tell of the last one.
func TestValidityOfMailboxesThatAreMadeAgain(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		for _, jump := range []time.Duration{0, -200_000 * time.Hour, -600_000 * time.Hour, 2_000_000 * time.Hour} {
			root, now := t.TempDir(), time.Now()
			last := uint32(0)
			for n := range 4 {
				m := newMaildir(t, root, 0)
				maildir.SetClock(m, func() time.Time { return now })
				s, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
				require.NoError(t, err)
				name := fmt.Sprint("box", n%2)
				if n > 1 {
					require.NoError(t, s.(mailbox.Organizer).Delete(t.Context(), name))
				}
				require.NoError(t, s.(mailbox.Organizer).Create(t.Context(), name, ""))
				b, err := s.Open(t.Context(), name)
				require.NoError(t, err)
				validity := look(t, b).status.UIDValidity
				require.Greater(t, validity, last)
				last = validity
				require.NoError(t, b.Close())
				require.NoError(t, s.Close())
				require.NoError(t, m.Close())
				if lost {
					require.NoError(t, os.Remove(filepath.Join(root, "example.com", "ann", "dovecot-uidvalidity")))
				}
				now = now.Add(jump)
			}
		}
	}
}
