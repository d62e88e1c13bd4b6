package mailboxtest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

// tick is how long a clock of seconds takes to move on, and a little more.
const tick = 3 * time.Second

// later appends messages until one is saved after a date.
func (b box) later(date time.Time) mailbox.Meta {
	b.w.Helper()
	for end := time.Now().Add(tick); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		uid := b.append(message(1))
		m := b.meta(uid)
		if m.SaveDate.After(date) {
			return m
		}
		b.expunge(uid)
	}
	b.w.Fatalf("no message is saved later than %v", date)
	return mailbox.Meta{}
}

// testSaveDates is about RFC 8514 §2: the save date says when a message came into this mailbox.
func testSaveDates(w *world) {
	w.begin()
	b := w.open(mailbox.Inbox)
	start := time.Now()
	uid := b.append(message(1), "Kw")
	old := b.meta(uid)
	if old.SaveDate.IsZero() {
		w.Skip("the store does not know save dates")
	}
	require.WithinDuration(w, start, old.SaveDate, 10*time.Second, "not its internal date")
	require.True(w, testDate.Equal(old.InternalDate))
	now := b.later(old.SaveDate)

	// The save date of what stays is as it was.
	b.setFlags(uid, mailbox.AddFlags, mailbox.Seen)
	require.True(w, old.SaveDate.Equal(b.meta(uid).SaveDate), "flags do not save a message")
	copied, err := b.Copy(w.ctx, []mailbox.UID{uid}, mailbox.Inbox)
	require.NoError(w, err)
	require.True(w, old.SaveDate.Equal(b.meta(uid).SaveDate), "being copied does not save a message")
	within, err := b.Move(w.ctx, copied.Dest, mailbox.Inbox)
	require.NoError(w, err)

	check := func(name string, uid mailbox.UID) {
		w.Helper()
		m := w.open(name).meta(uid)
		require.False(w, m.SaveDate.Before(now.SaveDate), "saved at %v, when it was put there after %v", m.SaveDate, now.SaveDate)
		require.True(w, testDate.Equal(m.InternalDate), "the internal date goes with the message")
	}
	check(mailbox.Inbox, within.Dest[0])
	if _, ok := w.store.(mailbox.Organizer); ok {
		w.create("t-a")
		copied, err = b.Copy(w.ctx, []mailbox.UID{uid}, "t-a")
		require.NoError(w, err)
		moved, err := b.Move(w.ctx, within.Dest, "t-a")
		require.NoError(w, err)
		check("t-a", copied.Dest[0])
		check("t-a", moved.Dest[0])
		saved := w.open("t-a").meta(copied.Dest[0]).SaveDate
		require.NoError(w, w.organizer().Rename(w.ctx, "t-a", "t-b"))
		require.True(w, saved.Equal(w.open("t-b").meta(copied.Dest[0]).SaveDate), "a rename saves nothing")
	}
	w.restart()
	require.True(w, old.SaveDate.Equal(w.open(mailbox.Inbox).meta(uid).SaveDate), "the same after a restart")
}
