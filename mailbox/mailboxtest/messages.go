package mailboxtest

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

func testInbox(w *world) {
	w.begin()
	infos, err := w.store.List(w.ctx)
	require.NoError(w, err)
	require.True(w, slices.ContainsFunc(infos, func(i mailbox.Info) bool {
		return i.Name == mailbox.Inbox && !i.NoSelect && !i.NonExistent
	}), "INBOX is listed")
	for _, name := range []string{"INBOX", "inbox", "InBox"} {
		st := w.open(name).status()
		require.NotZero(w, st.UIDValidity)
		require.NotZero(w, st.UIDNext)
		require.NotZero(w, st.ModSeq, "RFC 7162: at least 1")
		require.Zero(w, st.Messages+st.Unseen+st.Deleted+st.Recent+int(st.Size)+len(st.Keywords))
	}
	require.Empty(w, w.open(mailbox.Inbox).uids())
	_, err = w.store.Open(w.ctx, "t-none")
	require.ErrorIs(w, err, mailbox.ErrNoMailbox)
	for _, name := range []string{"", "/", "a//b", "..", "../INBOX", "a/../../b", "\x00", "a\nb"} {
		_, err = w.store.Open(w.ctx, name)
		require.ErrorIs(w, err, mailbox.ErrNoMailbox, "%q", name)
	}
}

func testAppend(w *world) {
	w.begin()
	b := w.open(mailbox.Inbox)
	before := b.status()
	text := message(1)
	uid := b.append(text, mailbox.Seen, mailbox.Flagged, "$Label")
	require.GreaterOrEqual(w, uid, before.UIDNext)
	m := b.meta(uid)
	sameFlags(w, []mailbox.Flag{mailbox.Seen, mailbox.Flagged, "$Label"}, m.Flags)
	require.True(w, testDate.Equal(m.InternalDate), "got %v", m.InternalDate)
	require.EqualValues(w, len(text), m.Size)
	require.Greater(w, m.ModSeq, before.ModSeq)
	require.Equal(w, text, b.text(uid))
	st := b.status()
	require.Greater(w, st.UIDNext, uid)
	require.Equal(w, before.UIDValidity, st.UIDValidity)
	require.Equal(w, 1, st.Messages)
	require.Zero(w, st.Unseen)
	require.EqualValues(w, len(text), st.Size)
	require.Equal(w, []mailbox.Flag{"$Label"}, st.Keywords)
	require.GreaterOrEqual(w, st.ModSeq, m.ModSeq)

	// Without options: no flags, now, any size.
	start := time.Now()
	uid, err := b.Append(w.ctx, strings.NewReader(text), mailbox.AppendOptions{Size: -1})
	require.NoError(w, err)
	m = b.meta(uid)
	require.Empty(w, m.Flags)
	require.WithinDuration(w, start, m.InternalDate, 10*time.Second)
	require.Zero(w, m.InternalDate.Nanosecond(), "dates have whole seconds")
	require.Equal(w, text, b.text(uid))
	require.Equal(w, 1, b.status().Unseen)

	// Dates before 1970 and in another zone.
	for _, date := range []time.Time{
		time.Date(1969, 7, 20, 20, 17, 40, 0, time.UTC),
		time.Date(2031, 1, 2, 3, 4, 5, 0, time.FixedZone("", -11*3600)),
	} {
		uid, err := b.Append(w.ctx, strings.NewReader(text), mailbox.AppendOptions{InternalDate: date, Size: int64(len(text))})
		require.NoError(w, err)
		require.True(w, date.Equal(b.meta(uid).InternalDate), "%v", date)
	}
	exact := testDate.Add(123456789)
	uid, err = b.Append(w.ctx, strings.NewReader(text), mailbox.AppendOptions{InternalDate: exact, Size: int64(len(text))})
	require.NoError(w, err)
	m = b.meta(uid)
	require.Zero(w, m.InternalDate.Nanosecond(), "dates have whole seconds")
	require.WithinDuration(w, exact, m.InternalDate, time.Second)
}

func testAppendRefused(w *world) {
	w.begin()
	b := w.open(mailbox.Inbox)
	b.append(message(0))
	before, seq := b.status(), b.modseq()
	text := message(3)
	size := int64(len(text))
	broken := errors.New("connection is gone")
	for what, try := range map[string]struct {
		r    io.Reader
		opts mailbox.AppendOptions
		want error
	}{
		"short":              {strings.NewReader(text), mailbox.AppendOptions{Size: size + 1}, nil},
		"long":               {strings.NewReader(text), mailbox.AppendOptions{Size: size - 1}, nil},
		"reader fails":       {io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)), mailbox.AppendOptions{Size: -1}, broken},
		"fails at the end":   {io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)), mailbox.AppendOptions{Size: size + 9}, broken},
		"unknown flag":       {strings.NewReader(text), mailbox.AppendOptions{Flags: []mailbox.Flag{`\Imaginary`}, Size: size}, mailbox.ErrFlags},
		"keyword is no atom": {strings.NewReader(text), mailbox.AppendOptions{Flags: []mailbox.Flag{"a b"}, Size: size}, mailbox.ErrFlags},
	} {
		uid, err := b.Append(w.ctx, try.r, try.opts)
		require.Error(w, err, what)
		require.Zero(w, uid, what)
		if try.want != nil {
			require.ErrorIs(w, err, try.want, what)
		}
	}
	after := b.status()
	before.UIDNext = after.UIDNext // it may have been given away
	require.Equal(w, before, after)
	require.Empty(w, b.changes(seq).Changed)
}

func testContents(w *world) {
	w.begin()
	b := w.open(mailbox.Inbox)
	for what, text := range map[string]string{
		"one octet":        "x",
		"no end of line":   "Subject: x\r\n\r\nno end",
		"blank lines":      "\r\n\r\n\r\n",
		"dots":             "\r\n.\r\n..\r\n.\r\n",
		"eight bit":        "Subject: \xc3\xa4\r\n\r\n\xff\xfe\x80\r\n",
		"NUL and controls": "A: b\r\n\r\n\x00\x01\x1b\x7f\r\n",
		"long line":        "A: " + strings.Repeat("y", 300_000) + "\r\n",
		"From line":        "From bob Mon Jan 1\r\n\r\nFrom x\r\n",
		"large":            "A: b\r\n\r\n" + strings.Repeat("0123456789abcdef0123456789\r\n", 40_000),
	} {
		uid, err := b.Append(w.ctx, iotest.OneByteReader(strings.NewReader(text[:1])), mailbox.AppendOptions{Size: 1})
		require.NoError(w, err)
		require.Equal(w, text[:1], b.text(uid))
		uid = b.append(text)
		require.EqualValues(w, len(text), b.meta(uid).Size, what)
		c, err := b.Content(w.ctx, uid)
		require.NoError(w, err)
		checkReader(w, c, text)
		require.NoError(w, c.Close())
	}
}

func testUIDs(w *world) {
	w.begin()
	b := w.open(mailbox.Inbox)
	var uids []mailbox.UID
	for n := range 5 {
		uids = append(uids, b.append(message(n)))
	}
	require.True(w, slices.IsSorted(uids))
	require.Len(w, slices.Compact(slices.Clone(uids)), 5)
	require.Equal(w, uids, b.uids())
	next := b.status().UIDNext
	require.Greater(w, next, uids[4])

	require.Equal(w, uids[3:], b.expunge(uids[3], uids[4]))
	require.GreaterOrEqual(w, b.status().UIDNext, next, "UIDNext never goes back")
	after := b.append(message(9))
	require.GreaterOrEqual(w, after, next, "a UID is never used again")
	require.Equal(w, append(uids[:3:3], after), b.uids())

	metas, err := b.Messages(w.ctx, []mailbox.UID{uids[0], uids[2], uids[3], after, after + 1000})
	require.NoError(w, err)
	var got []mailbox.UID
	for _, m := range metas {
		got = append(got, m.UID)
	}
	require.Equal(w, []mailbox.UID{uids[0], uids[2], after}, got)
	metas, err = b.Messages(w.ctx, nil)
	require.NoError(w, err)
	require.Empty(w, metas)
}

func testExpunge(w *world) {
	w.begin()
	b, other := w.open(mailbox.Inbox), w.openIn(w.session(), mailbox.Inbox)
	first, second := b.append(message(1)), b.append(message(2), mailbox.Deleted)
	require.Equal(w, 1, b.status().Deleted)
	seq := b.modseq()
	open, err := other.Content(w.ctx, second)
	require.NoError(w, err)

	require.Equal(w, []mailbox.UID{second}, b.expunge(second, second+100))
	require.Equal(w, []mailbox.UID{first}, other.uids())
	require.Greater(w, b.modseq(), seq)
	require.Equal(w, []mailbox.UID{second}, b.changes(seq).Expunged)
	require.Empty(w, b.changes(seq).Changed)
	_, err = other.Content(w.ctx, second)
	require.ErrorIs(w, err, mailbox.ErrExpunged)
	_, err = other.Content(w.ctx, second+100)
	require.ErrorIs(w, err, mailbox.ErrExpunged)
	checkReader(w, open, message(2)) // what is open stays readable
	require.NoError(w, open.Close())

	seq = b.modseq()
	require.Empty(w, b.expunge(second))
	require.Empty(w, b.expunge())
	sameModSeq(w, seq, b.modseq(), "what changes nothing gives no modseq")
	metas, err := b.SetFlags(w.ctx, []mailbox.UID{first, second}, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen}})
	require.NoError(w, err)
	require.Len(w, metas, 1)
}

func testVanished(w *world) {
	w.begin()
	if w.account.Lose == nil {
		w.Skip("the backend cannot lose contents")
	}
	b := w.open(mailbox.Inbox)
	first, second := b.append(message(1)), b.append(message(2))
	require.NoError(w, w.account.Lose(mailbox.Inbox, first))
	_, err := b.Content(w.ctx, first)
	require.ErrorIs(w, err, mailbox.ErrExpunged)
	require.Equal(w, message(2), b.text(second))
	copied, err := b.Copy(w.ctx, []mailbox.UID{first, second}, mailbox.Inbox)
	require.NoError(w, err)
	require.Equal(w, []mailbox.UID{second}, copied.Source)
	_, err = b.Expunge(w.ctx, []mailbox.UID{first})
	require.NoError(w, err)
	require.Equal(w, append([]mailbox.UID{second}, copied.Dest...), b.uids())
}
