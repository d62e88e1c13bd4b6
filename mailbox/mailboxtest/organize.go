package mailboxtest

import (
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

// list gives what List says of the names that the tests use.
func (w *world) list() map[string]mailbox.Info {
	w.Helper()
	infos, err := w.store.List(w.ctx)
	require.NoError(w, err)
	out := map[string]mailbox.Info{}
	for _, i := range infos {
		require.NotContains(w, out, i.Name, "listed twice")
		if strings.HasPrefix(i.Name, "t-") || i.Name == mailbox.Inbox {
			out[i.Name] = i
		}
	}
	return out
}

func (w *world) create(names ...string) {
	w.Helper()
	for _, name := range names {
		require.NoError(w, w.organizer().Create(w.ctx, name, ""), name)
	}
}

func testCreate(w *world) {
	w.begin()
	o := w.organizer()
	w.create("t-a", "t-b/c/d")
	require.ErrorIs(w, o.Create(w.ctx, "t-a", ""), mailbox.ErrExists)
	require.ErrorIs(w, o.Create(w.ctx, "inbox", ""), mailbox.ErrExists)
	l := w.list()
	require.Equal(w, mailbox.Info{Name: "t-a", ID: l["t-a"].ID}, l["t-a"])
	require.Equal(w, mailbox.Info{Name: "t-b/c/d", ID: l["t-b/c/d"].ID}, l["t-b/c/d"])
	for _, level := range []string{"t-b", "t-b/c"} { // made by the store, or not
		require.Contains(w, l, level)
		_, err := w.store.Open(w.ctx, level)
		if l[level].NoSelect {
			require.ErrorIs(w, err, mailbox.ErrNoMailbox)
			require.NoError(w, o.Create(w.ctx, level, ""), "a level may become a mailbox")
		} else {
			require.NoError(w, err)
		}
		require.False(w, w.list()[level].NoSelect)
	}
	w.create("t-a/below", "INBOX/t-below")
	w.open("t-a/below").append(message(1))
	require.Empty(w, w.open("t-a").uids())
	require.Equal(w, w.open("inbox/t-below").status(), w.open("INBOX/t-below").status(), "INBOX in any case")
	seen := map[uint32]string{}
	for _, name := range []string{"t-a", "t-a/below", "t-b/c/d", mailbox.Inbox} {
		st := w.open(name).status()
		require.NotZero(w, st.UIDValidity)
		seen[st.UIDValidity] = name
	}
	w.restart()
	require.Contains(w, w.list(), "t-a/below")
}

func testNames(w *world) {
	w.begin()
	o := w.organizer()
	for _, bad := range []string{
		"", "/", "/t-a", "t-a/", "t-a//b", "t-\x00", "t-a\nb", "t-a\rb", "t-\x7f", "t-\xff", "t-a/\x1b[2J", "t-\u0085",
		"t-" + strings.Repeat("x", 1000), "t-" + strings.Repeat("/x", 400),
	} {
		require.ErrorIs(w, o.Create(w.ctx, bad, ""), mailbox.ErrName, "%q", bad)
		require.Error(w, o.Rename(w.ctx, mailbox.Inbox, bad), "%q", bad)
		require.Error(w, o.Delete(w.ctx, bad), "%q", bad)
	}
	good := []string{
		"t-.", "t-..", "t-a.b", "t-a/.hidden", "t-a/..", "t-a/.", "t-~root", "t-a&b", "t-&-", "t-&AOQ-", "t-with space", "t- ",
		"t-Entwürfe", "t-日本語", "t-😀", "t-a\\b", "t-a:b", "t-a%b", "t-%2e", "t-*", "t-\"q\"", "t-{5}", "t-a|b", "t-#x", "t-new", "t-cur/tmp",
		"t-A", "t-a", "t-" + strings.Repeat("y", 150),
	}
	for i, name := range good {
		err := o.Create(w.ctx, name, "")
		require.NoError(w, err, "%q", name)
		w.open(name).append(message(i))
	}
	w.restart()
	l := w.list()
	for i, name := range good {
		require.Contains(w, l, name)
		b := w.open(name)
		uids := b.uids()
		require.Len(w, uids, 1, "%q is a mailbox of its own", name)
		require.Equal(w, message(i), b.text(uids[0]), "%q", name)
	}
	require.Empty(w, w.open(mailbox.Inbox).uids())
}

func testDelete(w *world) {
	w.begin()
	o := w.organizer()
	w.create("t-a", "t-a/below", "t-b")
	w.open("t-a/below").append(message(1))
	w.open("t-a").append(message(2))
	validity := w.open("t-a").status().UIDValidity

	require.NoError(w, o.Delete(w.ctx, "t-a"))
	_, err := w.store.Open(w.ctx, "t-a")
	require.ErrorIs(w, err, mailbox.ErrNoMailbox)
	require.True(w, w.list()["t-a"].NoSelect, "the level stays while there is something below (RFC 3501 §6.3.4)")
	require.Len(w, w.open("t-a/below").uids(), 1)
	require.Error(w, o.Delete(w.ctx, "t-a"), "a level alone cannot be deleted")

	w.create("t-a")
	b := w.open("t-a")
	require.Empty(w, b.uids())
	require.NotEqual(w, validity, b.status().UIDValidity, "a new mailbox is not mistaken for the old one")

	require.NoError(w, o.Delete(w.ctx, "t-a/below"))
	require.NoError(w, o.Delete(w.ctx, "t-a"))
	require.NotContains(w, w.list(), "t-a")
	require.ErrorIs(w, o.Delete(w.ctx, "t-a"), mailbox.ErrNoMailbox)
	require.ErrorIs(w, o.Delete(w.ctx, mailbox.Inbox), mailbox.ErrNotAllowed)
	require.ErrorIs(w, o.Delete(w.ctx, "iNBOX"), mailbox.ErrNotAllowed)
	w.restart()
	require.NotContains(w, w.list(), "t-a")
	require.Contains(w, w.list(), "t-b")
}

func testDeleteWhileOpen(w *world) {
	w.begin()
	o := w.organizer()
	w.create("t-a")
	b := w.open("t-a")
	uid := b.append(message(1))
	c, err := b.Content(w.ctx, uid)
	require.NoError(w, err)
	require.NoError(w, o.Delete(w.ctx, "t-a"))
	checkReader(w, c, message(1))
	require.NoError(w, c.Close())
	_, err = b.Status(w.ctx)
	require.ErrorIs(w, err, mailbox.ErrNoMailbox)
	_, err = b.Append(w.ctx, strings.NewReader("x"), mailbox.AppendOptions{Size: 1})
	require.ErrorIs(w, err, mailbox.ErrNoMailbox)
	_, err = b.Content(w.ctx, uid)
	require.Error(w, err)
	_, err = b.Move(w.ctx, []mailbox.UID{uid}, mailbox.Inbox)
	require.Error(w, err)
	w.create("t-a")
	_, err = b.Status(w.ctx)
	require.ErrorIs(w, err, mailbox.ErrNoMailbox, "the new mailbox is another one")
	require.Empty(w, w.open("t-a").uids())
}

func testRename(w *world) {
	w.begin()
	o := w.organizer()
	w.create("t-a", "t-a/b", "t-a/b/c", "t-ab", "t-other")
	uid := w.open("t-a").append(message(1), mailbox.Seen)
	below := w.open("t-a/b/c").append(message(2))
	before, belowBefore := w.open("t-a").status(), w.open("t-a/b/c").status()
	open := w.open("t-a")

	require.NoError(w, o.Rename(w.ctx, "t-a", "t-new/place"))
	l := w.list()
	for _, name := range []string{"t-new/place", "t-new/place/b", "t-new/place/b/c", "t-ab"} {
		require.Contains(w, l, name)
	}
	for _, name := range []string{"t-a", "t-a/b", "t-a/b/c"} {
		require.NotContains(w, l, name)
		_, err := w.store.Open(w.ctx, name)
		require.ErrorIs(w, err, mailbox.ErrNoMailbox)
	}
	moved := w.open("t-new/place")
	require.Equal(w, before.UIDValidity, moved.status().UIDValidity)
	require.Equal(w, []mailbox.UID{uid}, moved.uids())
	require.Equal(w, message(1), moved.text(uid))
	require.Equal(w, belowBefore.UIDValidity, w.open("t-new/place/b/c").status().UIDValidity)
	require.Equal(w, message(2), w.open("t-new/place/b/c").text(below))
	if _, err := open.Status(w.ctx); err == nil { // whoever has it open goes on with it, or is told that it is gone
		require.Equal(w, []mailbox.UID{uid}, open.uids())
		require.Equal(w, message(1), open.text(uid))
	} else {
		require.ErrorIs(w, err, mailbox.ErrNoMailbox)
	}

	require.ErrorIs(w, o.Rename(w.ctx, "t-none", "t-x"), mailbox.ErrNoMailbox)
	require.ErrorIs(w, o.Rename(w.ctx, "t-ab", "t-other"), mailbox.ErrExists)
	require.ErrorIs(w, o.Rename(w.ctx, "t-ab", "t-ab"), mailbox.ErrExists)
	require.ErrorIs(w, o.Rename(w.ctx, "t-ab", "inbox"), mailbox.ErrExists)
	require.ErrorIs(w, o.Rename(w.ctx, "t-new/place", "t-new/place/deeper"), mailbox.ErrNotAllowed)
	w.create("t-other/b")
	require.NoError(w, o.Delete(w.ctx, "t-other"))
	require.ErrorIs(w, o.Rename(w.ctx, "t-new/place", "t-other"), mailbox.ErrExists, "one below is in the way")
	require.Equal(w, []mailbox.UID{uid}, w.open("t-new/place").uids())
	require.NoError(w, o.Rename(w.ctx, "t-new", "t-up"), "a level without a mailbox")
	w.restart()
	require.Equal(w, message(1), w.open("t-up/place").text(uid))
	require.Equal(w, message(2), w.open("t-up/place/b/c").text(below))
}

func testRenameInbox(w *world) {
	w.begin()
	o := w.organizer()
	w.create("INBOX/t-below")
	inbox := w.open(mailbox.Inbox)
	inbox.append(message(1), mailbox.Flagged, "Kw")
	gone := inbox.append(message(2))
	inbox.expunge(gone)
	before := inbox.status()
	seq := inbox.modseq()
	require.NoError(w, o.Rename(w.ctx, "inbox", "t-old"))

	after := w.open(mailbox.Inbox)
	require.Empty(w, after.uids())
	require.Equal(w, before.UIDValidity, after.status().UIDValidity)
	require.Greater(w, after.append(message(3)), gone)
	require.Equal(w, before.Messages, len(after.changes(seq).Expunged))
	old := w.open("t-old")
	uids := old.uids()
	require.Len(w, uids, 1)
	require.Equal(w, message(1), old.text(uids[0]))
	sameFlags(w, []mailbox.Flag{mailbox.Flagged, "Kw"}, old.meta(uids[0]).Flags)
	infos, err := w.store.List(w.ctx)
	require.NoError(w, err)
	var names []string
	for _, i := range infos {
		names = append(names, i.Name)
	}
	require.Contains(w, names, "INBOX/t-below", "what is below INBOX stays (RFC 3501 §6.3.5)")
	require.ErrorIs(w, o.Rename(w.ctx, mailbox.Inbox, "t-old"), mailbox.ErrExists)
}

func testSubscriptions(w *world) {
	w.begin()
	o := w.organizer()
	w.create("t-a", "t-b/ü")
	for _, name := range []string{"t-a", "t-b/ü", "t-gone", "t-gone/below", mailbox.Inbox} {
		require.NoError(w, o.Subscribe(w.ctx, name, true), name)
		require.NoError(w, o.Subscribe(w.ctx, name, true), "twice")
	}
	check := func() {
		w.Helper()
		l := w.list()
		require.True(w, l["t-a"].Subscribed)
		require.True(w, l["t-b/ü"].Subscribed)
		require.True(w, l[mailbox.Inbox].Subscribed)
		require.False(w, l["t-b"].Subscribed)
		require.Equal(w, mailbox.Info{Name: "t-gone", Subscribed: true, NonExistent: true}, l["t-gone"])
		require.Equal(w, mailbox.Info{Name: "t-gone/below", Subscribed: true, NonExistent: true}, l["t-gone/below"])
	}
	check()
	require.NoError(w, o.Subscribe(w.ctx, "t-not", false))
	w.restart()
	check()
	o = w.organizer()
	require.NoError(w, o.Subscribe(w.ctx, "t-gone", false))
	require.NoError(w, o.Subscribe(w.ctx, "t-a", false))
	require.NoError(w, o.Delete(w.ctx, "t-b/ü"))
	l := w.list()
	require.NotContains(w, l, "t-gone")
	require.False(w, l["t-a"].Subscribed)
	require.True(w, l["t-b/ü"].NonExistent, "deleting does not unsubscribe (RFC 3501 §6.3.6)")
	require.ErrorIs(w, o.Subscribe(w.ctx, "t-\n", true), mailbox.ErrName)
}

func testSpecialUse(w *world) {
	w.begin()
	o := w.organizer()
	require.NoError(w, o.Create(w.ctx, "t-spam", mailbox.UseJunk))
	require.NoError(w, o.Create(w.ctx, "t-sent", mailbox.UseSent))
	w.create("t-plain")
	require.Equal(w, []mailbox.Use{mailbox.UseJunk}, w.list()["t-spam"].Uses)
	require.Empty(w, w.list()["t-plain"].Uses)
	require.ErrorIs(w, o.Create(w.ctx, "t-odd", `\Imaginary`), mailbox.ErrNotAllowed)
	require.NotContains(w, w.list(), "t-odd")
	if err := o.Create(w.ctx, "t-sent-too", mailbox.UseSent); err == nil { // RFC 6154 §3: both have it
		require.Equal(w, []mailbox.Use{mailbox.UseSent}, w.list()["t-sent-too"].Uses)
	} else { // or it is refused
		require.ErrorIs(w, err, mailbox.ErrNotAllowed)
		require.NotContains(w, w.list(), "t-sent-too")
	}
	w.restart()
	require.Equal(w, []mailbox.Use{mailbox.UseSent}, w.list()["t-sent"].Uses, "no other mailbox takes it away")
	require.NoError(w, w.organizer().Delete(w.ctx, "t-sent"))
	w.create("t-sent")
	require.Empty(w, w.list()["t-sent"].Uses, "the new mailbox has not the use of the old one")
}
