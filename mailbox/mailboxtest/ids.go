package mailboxtest

import (
	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

// idOf gives a mailbox's id as Status and List say it.
func (w *world) idOf(name string) string {
	w.Helper()
	id := w.open(name).status().ID
	require.True(w, mailbox.ValidID(id), "%q", id)
	require.Equal(w, id, w.list()[name].ID, "List and Status say the same of %s", name)
	return id
}

// testIDs is about RFC 8474 §4.
func testIDs(w *world) {
	w.begin()
	if w.open(mailbox.Inbox).status().ID == "" {
		w.Skip("the mailboxes have no ids")
	}
	o := w.organizer()
	w.create("t-a", "t-a/b", "t-c")
	inbox := w.idOf(mailbox.Inbox)
	a, b, c := w.idOf("t-a"), w.idOf("t-a/b"), w.idOf("t-c")
	seen := map[string]bool{}
	fresh := func(id string) {
		w.Helper()
		require.False(w, seen[id], "%s is the id of another mailbox", id)
		seen[id] = true
	}
	for _, id := range []string{inbox, a, b, c} {
		fresh(id)
	}
	w.open("t-a").append(message(1))
	require.Equal(w, a, w.idOf("t-a"), "whatever comes into it")

	require.NoError(w, o.Rename(w.ctx, "t-a", "t-new"))
	require.Equal(w, a, w.idOf("t-new"), "the same through a rename (RFC 8474 §4.3)")
	require.Equal(w, b, w.idOf("t-new/b"))
	w.create("t-a")
	again := w.idOf("t-a")
	fresh(again)

	require.NoError(w, o.Delete(w.ctx, "t-c"))
	w.create("t-c")
	other := w.idOf("t-c")
	fresh(other)
	require.NoError(w, o.Rename(w.ctx, "t-c", "t-d"))
	require.NoError(w, o.Rename(w.ctx, "t-a", "t-c"))
	require.Equal(w, again, w.idOf("t-c"), "an id goes with its mailbox, not with the name")

	w.open(mailbox.Inbox).append(message(2))
	require.NoError(w, o.Rename(w.ctx, mailbox.Inbox, "t-old"))
	require.Equal(w, inbox, w.idOf(mailbox.Inbox), "INBOX stays what it is")
	old := w.idOf("t-old")
	fresh(old)

	w.restart()
	for name, id := range map[string]string{
		mailbox.Inbox: inbox, "t-new": a, "t-new/b": b, "t-c": again, "t-d": other, "t-old": old,
	} {
		require.Equal(w, id, w.idOf(name), name)
	}
}

// testValidities is about RFC 3501 §2.3.1.1: the name of a mailbox, its UIDVALIDITY and a UID mean one message for ever.
func testValidities(w *world) {
	w.begin()
	o := w.organizer()
	last := map[string]uint32{}
	look := func(name string) uint32 {
		w.Helper()
		b := w.open(name)
		st := b.status()
		require.Greater(w, st.UIDValidity, last[name], "another mailbox called %s", name)
		require.GreaterOrEqual(w, b.append(message(1)), st.UIDNext)
		last[name] = st.UIDValidity
		return st.UIDValidity
	}
	for range 3 {
		w.create("t-a")
		look("t-a")
		require.NoError(w, o.Delete(w.ctx, "t-a"))
	}
	w.restart()
	o = w.organizer()
	w.create("t-a", "t-b")
	look("t-a")
	b := look("t-b")
	require.NoError(w, o.Delete(w.ctx, "t-a"))
	require.NoError(w, o.Rename(w.ctx, "t-b", "t-a"))
	require.Equal(w, b, w.open("t-a").status().UIDValidity, "a rename keeps the UIDs")
	require.NotEqual(w, last["t-a"], b, "the old one of this name had another")
	w.create("t-b")
	look("t-b")
	require.NoError(w, o.Rename(w.ctx, mailbox.Inbox, "t-inbox"))
	look("t-inbox")
	require.NoError(w, o.Delete(w.ctx, "t-inbox"))
	require.NoError(w, o.Rename(w.ctx, mailbox.Inbox, "t-inbox"))
	look("t-inbox")
}
