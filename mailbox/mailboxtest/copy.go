package mailboxtest

import (
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

func testCopy(w *world) {
	w.begin()
	require.NoError(w, w.organizer().Create(w.ctx, "t-dest", ""))
	b, dest := w.open(mailbox.Inbox), w.open("t-dest")
	dest.append(message(9))
	uids := []mailbox.UID{b.append(message(1), mailbox.Seen, "Kw"), b.append(message(2)), b.append(message(3), mailbox.Deleted)}
	b.expunge(uids[1])
	seq, destSeq := b.modseq(), dest.modseq()

	copied, err := b.Copy(w.ctx, uids, "t-dest")
	require.NoError(w, err)
	require.Equal(w, dest.status().UIDValidity, copied.UIDValidity)
	require.Equal(w, []mailbox.UID{uids[0], uids[2]}, copied.Source)
	require.Len(w, copied.Dest, 2)
	require.True(w, slices.IsSorted(copied.Dest))
	for i, uid := range copied.Dest {
		from, to := b.meta(copied.Source[i]), dest.meta(uid)
		sameFlags(w, from.Flags, to.Flags)
		require.True(w, from.InternalDate.Equal(to.InternalDate))
		require.Equal(w, b.text(from.UID), dest.text(uid))
	}
	sameModSeq(w, seq, b.modseq(), "the source of a copy does not change")
	require.Len(w, dest.changes(destSeq).Changed, 2)

	// A change of the copy leaves the original alone.
	dest.setFlags(copied.Dest[0], mailbox.ReplaceFlags, mailbox.Answered)
	dest.expunge(copied.Dest[1])
	sameFlags(w, []mailbox.Flag{mailbox.Seen, "Kw"}, b.meta(uids[0]).Flags)
	require.Equal(w, message(3), b.text(uids[2]))

	for _, move := range []func() (mailbox.Copied, error){
		func() (mailbox.Copied, error) { return b.Copy(w.ctx, uids, "t-none") },
		func() (mailbox.Copied, error) { return b.Move(w.ctx, uids, "t-none") },
	} {
		_, err = move()
		require.ErrorIs(w, err, mailbox.ErrNoMailbox)
	}
	require.Equal(w, []mailbox.UID{uids[0], uids[2]}, b.uids())

	copied, err = b.Copy(w.ctx, []mailbox.UID{uids[1]}, "t-dest")
	require.NoError(w, err)
	require.Empty(w, copied.Dest)
	copied, err = b.Copy(w.ctx, []mailbox.UID{uids[0]}, mailbox.Inbox)
	require.NoError(w, err)
	require.Equal(w, message(1), b.text(copied.Dest[0]))
	require.Len(w, b.uids(), 3)
	copied, err = dest.Copy(w.ctx, dest.uids(), "inBox")
	require.NoError(w, err, "INBOX in any case")
	require.NotEmpty(w, copied.Dest)
	require.Len(w, b.uids(), 3+len(copied.Dest))
}

func testMove(w *world) {
	w.begin()
	require.NoError(w, w.organizer().Create(w.ctx, "t-dest", ""))
	b, dest := w.open(mailbox.Inbox), w.open("t-dest")
	uids := []mailbox.UID{b.append(message(1), mailbox.Seen, "Kw"), b.append(message(2)), b.append(message(3), mailbox.Flagged)}
	before := b.meta(uids[0])
	open, err := b.Content(w.ctx, uids[0])
	require.NoError(w, err)
	seq := b.modseq()

	moved, err := b.Move(w.ctx, []mailbox.UID{uids[0], uids[2], uids[2] + 50}, "t-dest")
	require.NoError(w, err)
	require.Equal(w, dest.status().UIDValidity, moved.UIDValidity)
	require.Equal(w, []mailbox.UID{uids[0], uids[2]}, moved.Source)
	require.Equal(w, dest.uids(), moved.Dest)
	require.Equal(w, uids[1:2], b.uids())
	require.Equal(w, moved.Source, b.changes(seq).Expunged)
	after := dest.meta(moved.Dest[0])
	sameFlags(w, before.Flags, after.Flags)
	require.True(w, before.InternalDate.Equal(after.InternalDate))
	require.Equal(w, message(1), dest.text(moved.Dest[0]))
	require.Equal(w, message(3), dest.text(moved.Dest[1]))
	_, err = b.Content(w.ctx, uids[0])
	require.ErrorIs(w, err, mailbox.ErrExpunged)
	checkReader(w, open, message(1))
	require.NoError(w, open.Close())

	w.restart()
	b, dest = w.open(mailbox.Inbox), w.open("t-dest")
	require.Equal(w, uids[1:2], b.uids())
	require.Equal(w, moved.Dest, dest.uids())
	require.Equal(w, message(3), dest.text(moved.Dest[1]))
	_, err = dest.Move(w.ctx, moved.Dest, "inbox")
	require.NoError(w, err, "INBOX in any case")
	require.Empty(w, dest.uids())
	require.Len(w, b.uids(), 3)
}

func testMoveWithin(w *world) {
	w.begin()
	b := w.open(mailbox.Inbox)
	uids := []mailbox.UID{b.append(message(1), "Kw"), b.append(message(2))}
	seq, next := b.modseq(), b.status().UIDNext
	moved, err := b.Move(w.ctx, uids[:1], mailbox.Inbox)
	require.NoError(w, err)
	require.Equal(w, uids[:1], moved.Source)
	require.GreaterOrEqual(w, moved.Dest[0], next)
	require.Equal(w, []mailbox.UID{uids[1], moved.Dest[0]}, b.uids())
	c := b.changes(seq)
	require.Equal(w, uids[:1], c.Expunged)
	require.Len(w, c.Changed, 1)
	require.Equal(w, message(1), b.text(moved.Dest[0]))
	sameFlags(w, []mailbox.Flag{"Kw"}, b.meta(moved.Dest[0]).Flags)
}
