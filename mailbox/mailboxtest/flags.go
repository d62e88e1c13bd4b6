package mailboxtest

import (
	"errors"
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

func testFlags(w *world) {
	w.begin()
	b, other := w.open(mailbox.Inbox), w.openIn(w.session(), mailbox.Inbox)
	uid, untouched := b.append(message(1)), b.append(message(2), mailbox.Draft)
	seq := b.modseq()
	all := []mailbox.Flag{mailbox.Seen, mailbox.Answered, mailbox.Flagged, mailbox.Deleted, mailbox.Draft}

	m := b.setFlags(uid, mailbox.AddFlags, all...)
	sameFlags(w, all, m.Flags)
	require.Greater(w, m.ModSeq, seq)
	require.Equal(w, m, other.meta(uid), "every session sees it")
	m = b.setFlags(uid, mailbox.RemoveFlags, mailbox.Draft, mailbox.Seen)
	sameFlags(w, []mailbox.Flag{mailbox.Answered, mailbox.Flagged, mailbox.Deleted}, m.Flags)
	m = b.setFlags(uid, mailbox.ReplaceFlags, `\SEEN`, `\seen`, "Kw")
	sameFlags(w, []mailbox.Flag{mailbox.Seen, "Kw"}, m.Flags)

	// What changes nothing has no modseq.
	seq = b.modseq()
	for _, same := range []mailbox.Meta{
		b.setFlags(uid, mailbox.AddFlags, mailbox.Seen),
		b.setFlags(uid, mailbox.RemoveFlags, mailbox.Deleted, "Never-seen"),
		b.setFlags(uid, mailbox.ReplaceFlags, "Kw", mailbox.Seen),
		b.setFlags(uid, mailbox.AddFlags),
	} {
		sameModSeq(w, m.ModSeq, same.ModSeq, "a change that leaves the flags as they are gives the message no new modseq")
	}
	sameModSeq(w, seq, b.modseq(), "a change that leaves the flags as they are gives the mailbox no new modseq")

	m = b.setFlags(uid, mailbox.ReplaceFlags)
	require.Empty(w, m.Flags)
	sameFlags(w, []mailbox.Flag{mailbox.Draft}, b.meta(untouched).Flags)
	require.Equal(w, message(1), b.text(uid))

	seq = b.modseq()
	for _, bad := range []mailbox.Flag{`\Recent`, `\Other`, "", "a b", "a(b", "a*", "a\"", "\x01", "a]", "ä"} {
		_, err := b.SetFlags(w.ctx, []mailbox.UID{uid}, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{"fine", bad}})
		require.ErrorIs(w, err, mailbox.ErrFlags, "%q", bad)
	}
	sameModSeq(w, seq, b.modseq(), "flags that are refused change nothing")

	// Many at once: all are told, in order.
	uids := []mailbox.UID{uid, untouched}
	for n := range 20 {
		uids = append(uids, b.append(message(n)))
	}
	metas, err := b.SetFlags(w.ctx, uids, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Flagged}})
	require.NoError(w, err)
	require.Len(w, metas, len(uids))
	for i, m := range metas {
		require.Equal(w, uids[i], m.UID)
		require.True(w, mailbox.HasFlag(m.Flags, mailbox.Flagged))
		require.Greater(w, m.ModSeq, seq)
	}
}

func testKeywords(w *world) {
	w.begin()
	b := w.open(mailbox.Inbox)
	uid := b.append(message(1), "$Forwarded", "NonJunk")
	m := b.setFlags(uid, mailbox.AddFlags, "NONJUNK", "nonjunk")
	sameFlags(w, []mailbox.Flag{"$Forwarded", "NonJunk"}, m.Flags)
	second := b.append(message(2), "nonjunk")
	sameFlags(w, []mailbox.Flag{"NonJunk"}, b.meta(second).Flags)
	m = b.setFlags(second, mailbox.RemoveFlags, "nOnJunk")
	require.Empty(w, m.Flags)

	var many []mailbox.Flag
	for n := range 60 {
		many = append(many, mailbox.Flag(fmt.Sprintf("kw-%d", n)))
	}
	m = b.setFlags(uid, mailbox.ReplaceFlags, many...)
	sameFlags(w, many, m.Flags)
	sameFlags(w, many, b.status().Keywords)
	m = b.setFlags(uid, mailbox.RemoveFlags, many[:57]...)
	sameFlags(w, many[57:], m.Flags)
	odd := []mailbox.Flag{"a.b/c", "a:2,S", "~", "..", "x,y", "#'!$&+-;<=>?@^_`|}~[", "0", "a"}
	m = b.setFlags(uid, mailbox.ReplaceFlags, odd...)
	sameFlags(w, odd, m.Flags)

	copied, err := b.Copy(w.ctx, []mailbox.UID{uid}, mailbox.Inbox)
	require.NoError(w, err)
	sameFlags(w, odd, b.meta(copied.Dest[0]).Flags)
	w.restart()
	sameFlags(w, odd, w.open(mailbox.Inbox).meta(uid).Flags)
}

func testUnchangedSince(w *world) {
	w.begin()
	b := w.open(mailbox.Inbox)
	old, young := b.append(message(1)), b.append(message(2))
	seq := b.modseq()
	changed := b.setFlags(young, mailbox.AddFlags, mailbox.Flagged)
	change := mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen}, UnchangedSince: seq}
	metas, err := b.SetFlags(w.ctx, []mailbox.UID{old, young}, change)
	require.NoError(w, err)
	require.Len(w, metas, 2, "those left alone are told as well")
	require.False(w, change.Refused(metas[0]))
	require.True(w, change.Refused(metas[1]))
	sameFlags(w, []mailbox.Flag{mailbox.Seen}, metas[0].Flags)
	require.Equal(w, changed, metas[1])
	require.Equal(w, changed, b.meta(young))

	metas, err = b.SetFlags(w.ctx, []mailbox.UID{young}, mailbox.FlagChange{
		Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen}, UnchangedSince: changed.ModSeq,
	})
	require.NoError(w, err)
	sameFlags(w, []mailbox.Flag{mailbox.Seen, mailbox.Flagged}, metas[0].Flags)
}

func testChanges(w *world) {
	w.begin()
	b := w.open(mailbox.Inbox)
	start := b.modseq()
	first, second := b.append(message(1)), b.append(message(2))
	appended := b.modseq()
	b.setFlags(first, mailbox.AddFlags, mailbox.Seen)
	flagged := b.modseq()
	b.expunge(second)
	third := b.append(message(3))
	end := b.modseq()
	require.Less(w, start, appended)
	require.Less(w, appended, flagged)
	require.Less(w, flagged, end)

	uidsOf := func(c mailbox.Changes) []mailbox.UID {
		var out []mailbox.UID
		for _, m := range c.Changed {
			require.Equal(w, b.meta(m.UID), m)
			require.LessOrEqual(w, m.ModSeq, c.ModSeq)
			out = append(out, m.UID)
		}
		return out
	}
	for _, c := range []struct {
		since             mailbox.ModSeq
		changed, expunged []mailbox.UID
	}{
		{start, []mailbox.UID{first, third}, []mailbox.UID{second}},
		{appended, []mailbox.UID{first, third}, []mailbox.UID{second}},
		{flagged, []mailbox.UID{third}, []mailbox.UID{second}},
		{end, nil, nil},
	} {
		got := b.changes(c.since)
		sameModSeq(w, end, got.ModSeq, "Changes tells up to the modseq of UIDs")
		require.Equal(w, c.changed, uidsOf(got), "since %d", c.since)
		require.ElementsMatch(w, c.expunged, got.Expunged, "since %d", c.since)
	}
}

func testRecent(w *world) {
	w.begin()
	b := w.open(mailbox.Inbox)
	keeper, ok := b.Mailbox.(mailbox.RecentKeeper)
	if !ok {
		w.Skip("the mailbox is no mailbox.RecentKeeper")
	}
	other := w.openIn(w.session(), mailbox.Inbox).Mailbox.(mailbox.RecentKeeper)
	first := b.append(message(1))
	b.append(message(2))
	require.Equal(w, 2, b.status().Recent)
	from, err := keeper.TakeRecent(w.ctx)
	require.NoError(w, err)
	require.LessOrEqual(w, from, first)
	require.Zero(w, b.status().Recent)
	from, err = other.TakeRecent(w.ctx)
	require.NoError(w, err)
	require.Greater(w, from, first+1, "only one session is told")
	third := b.append(message(3))
	require.Equal(w, 1, b.status().Recent)
	w.restart()
	b = w.open(mailbox.Inbox)
	from, err = b.Mailbox.(mailbox.RecentKeeper).TakeRecent(w.ctx)
	require.NoError(w, err)
	require.Equal(w, third, from)
}

// testChangesOfMany is about what QRESYNC (RFC 7162 §3.2) asks for: all that happened since a modseq, each message once, with
// the state that it has now.
func testChangesOfMany(w *world) {
	w.begin()
	b := w.open(mailbox.Inbox)
	empty := b.modseq()
	var uids []mailbox.UID
	for n := range 12 {
		uids = append(uids, b.append(message(n)))
	}
	all := b.changes(empty)
	sameModSeq(w, b.modseq(), all.ModSeq, "Changes tells up to the modseq of UIDs")
	require.Len(w, all.Changed, len(uids))
	ever, err := b.Changes(w.ctx, 0)
	if !errors.Is(err, mailbox.ErrTooOld) { // since 0: everything, if the store knows
		require.NoError(w, err)
		require.Equal(w, all.Changed, ever.Changed)
	}

	seq := b.modseq()
	some := []mailbox.UID{uids[1], uids[4], uids[9]}
	metas, err := b.SetFlags(w.ctx, some, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen, "Kw"}})
	require.NoError(w, err)
	require.Equal(w, metas, b.changes(seq).Changed, "the messages whose flags changed and no others")
	require.Empty(w, b.changes(seq).Expunged)
	flagged := b.modseq()

	// One that changed and went is only told as gone, one that changed twice once.
	b.setFlags(uids[4], mailbox.RemoveFlags, "Kw")
	b.setFlags(uids[4], mailbox.AddFlags, mailbox.Flagged)
	b.setFlags(uids[5], mailbox.AddFlags, mailbox.Flagged)
	require.Equal(w, []mailbox.UID{uids[2], uids[5], uids[7]}, b.expunge(uids[7], uids[2], uids[7], uids[5]))
	moved, err := b.Move(w.ctx, uids[9:10], mailbox.Inbox)
	require.NoError(w, err)
	passing := b.append(message(20))
	b.expunge(passing)

	for _, since := range []mailbox.ModSeq{seq, flagged} {
		c := b.changes(since)
		var changed []mailbox.UID
		for _, m := range c.Changed {
			require.Equal(w, b.meta(m.UID), m)
			require.Greater(w, m.ModSeq, since)
			changed = append(changed, m.UID)
		}
		want := []mailbox.UID{uids[1], uids[4], moved.Dest[0]}
		if since == flagged {
			want = want[1:]
		}
		require.Equal(w, want, changed, "since %d", since)
		var gone []mailbox.UID
		for _, uid := range c.Expunged {
			if uid != passing { // whose coming nobody saw
				gone = append(gone, uid)
			}
		}
		require.Equal(w, []mailbox.UID{uids[2], uids[5], uids[7], uids[9]}, gone, "since %d", since)
	}
	end := b.modseq()
	require.Equal(w, mailbox.Changes{ModSeq: end}, emptied(b.changes(end)))
	require.Empty(w, b.changes(end+100).Changed, "since what has not been yet")
}

// emptied has nil for empty lists.
func emptied(c mailbox.Changes) mailbox.Changes {
	if len(c.Changed) == 0 {
		c.Changed = nil
	}
	if len(c.Expunged) == 0 {
		c.Expunged = nil
	}
	return c
}
