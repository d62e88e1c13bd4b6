package mailboxtest

import (
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

func testQuota(w *world) {
	if w.backend.NoQuota {
		w.Skip("the store has no quotas")
	}
	text := message(6)
	size := int64(len(text))
	w.beginLimit(mailbox.Limit{Octets: 3*size + 1})
	b := w.open(mailbox.Inbox)
	first, second := b.append(text), b.append(text)
	_, err := b.Copy(w.ctx, []mailbox.UID{first, second}, mailbox.Inbox)
	require.ErrorIs(w, err, mailbox.ErrQuota)
	require.Equal(w, []mailbox.UID{first, second}, b.uids(), "all or none")
	third := b.append(text)
	before := b.status()
	for _, opts := range []mailbox.AppendOptions{{Size: size}, {Size: -1}} {
		_, err = b.Append(w.ctx, strings.NewReader(text), opts)
		require.ErrorIs(w, err, mailbox.ErrQuota)
	}
	_, err = b.Append(w.ctx, strings.NewReader("never read whole"), mailbox.AppendOptions{Size: 1 << 50})
	require.ErrorIs(w, err, mailbox.ErrQuota)
	after := b.status()
	before.UIDNext = after.UIDNext // it may have been given away
	require.Equal(w, before, after, "what is refused changes nothing")
	moved, err := b.Move(w.ctx, []mailbox.UID{first}, mailbox.Inbox)
	require.NoError(w, err, "moving needs no room")
	require.Len(w, b.uids(), 3)

	b.expunge(second, third)
	b.append(text)
	_, err = b.Copy(w.ctx, moved.Dest, mailbox.Inbox)
	require.NoError(w, err)
	_, err = b.Append(w.ctx, strings.NewReader(text), mailbox.AppendOptions{Size: size})
	require.ErrorIs(w, err, mailbox.ErrQuota)
}

// testQuotaOfMessages has a limit of their number, over several mailboxes.
func testQuotaOfMessages(w *world) {
	if w.backend.NoQuota {
		w.Skip("the store has no quotas")
	}
	w.beginLimit(mailbox.Limit{Messages: 3})
	o := w.organizer()
	w.create("t-a")
	b, a := w.open(mailbox.Inbox), w.open("t-a")
	uids := []mailbox.UID{b.append(message(1)), b.append(message(2))}
	full := func() {
		w.Helper()
		_, err := b.Append(w.ctx, strings.NewReader("x"), mailbox.AppendOptions{Size: 1})
		require.ErrorIs(w, err, mailbox.ErrQuota)
	}
	_, err := b.Copy(w.ctx, uids, "t-a")
	require.ErrorIs(w, err, mailbox.ErrQuota, "room for one, not for two")
	require.Empty(w, a.uids(), "all or none")
	copied, err := b.Copy(w.ctx, uids[:1], "t-a")
	require.NoError(w, err)
	full()
	_, err = b.Move(w.ctx, uids, "t-a")
	require.NoError(w, err, "moving needs no room")
	full()
	a.expunge(copied.Dest...)
	a.append(message(3))
	full()
	require.NoError(w, o.Delete(w.ctx, "t-a"))
	for range 3 {
		b.append(message(4))
	}
	full()
}

// testQuotaUsed is about what QuotaKeeper tells.
func testQuotaUsed(w *world) {
	limit := mailbox.Limit{Octets: 1 << 30, Messages: 100}
	if w.backend.NoQuota {
		limit = mailbox.Limit{}
	}
	w.beginLimit(limit)
	if _, ok := w.store.(mailbox.QuotaKeeper); !ok {
		w.Skip("the store is no mailbox.QuotaKeeper")
	}
	used := func() mailbox.Usage {
		w.Helper()
		q, err := w.store.(mailbox.QuotaKeeper).Quota(w.ctx)
		require.NoError(w, err)
		require.Equal(w, limit, q.Limit)
		return q.Used
	}
	require.Zero(w, used())
	b := w.open(mailbox.Inbox)
	first := b.append(message(6))
	one := used()
	require.EqualValues(w, 1, one.Messages)
	require.Positive(w, one.Octets)
	times := func(n int64) mailbox.Usage { return mailbox.Usage{Octets: n * one.Octets, Messages: n * one.Messages} }

	second := b.append(message(6))
	require.Equal(w, times(2), used())
	copied, err := b.Copy(w.ctx, []mailbox.UID{first, second}, mailbox.Inbox)
	require.NoError(w, err)
	require.Equal(w, times(4), used())
	_, err = b.Move(w.ctx, []mailbox.UID{first}, mailbox.Inbox)
	require.NoError(w, err)
	require.Equal(w, times(4), used(), "moving changes nothing")
	b.setFlags(second, mailbox.AddFlags, mailbox.Deleted)
	require.Equal(w, times(4), used(), "what is only marked as deleted counts")
	b.expunge(copied.Dest...)
	b.expunge(copied.Dest...)
	require.Equal(w, times(2), used(), "expunging gives back, once")
	_, err = b.Append(w.ctx, strings.NewReader("x"), mailbox.AppendOptions{Size: 2})
	require.Error(w, err)
	require.Equal(w, times(2), used(), "what was not stored does not count")
	w.restart()
	require.Equal(w, times(2), used())

	o := w.organizer()
	b = w.open(mailbox.Inbox)
	w.create("t-a", "t-a/b")
	uids := b.uids()
	_, err = b.Copy(w.ctx, uids, "t-a/b")
	require.NoError(w, err)
	_, err = b.Move(w.ctx, uids[:1], "t-a")
	require.NoError(w, err)
	require.Equal(w, times(4), used(), "all mailboxes count")
	require.NoError(w, o.Rename(w.ctx, "t-a", "t-b"))
	require.NoError(w, o.Rename(w.ctx, mailbox.Inbox, "t-inbox"))
	require.Equal(w, times(4), used())
	require.NoError(w, o.Delete(w.ctx, "t-b/b"))
	require.Equal(w, times(2), used(), "deleting a mailbox gives back")
}
