package mailboxtest

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks/mailbox"
)

// testModel does what comes to mind, in two mailboxes, and compares with a model after each step.
func testModel(w *world) {
	rapid.Check(w.T, func(t *rapid.T) {
		m := &model{w: w, account: w.backend.New(w.T, mailbox.Limit{})}
		if m.account.Close != nil {
			defer m.account.Close()
		}
		m.start(t)
		defer func() { m.stop(t) }()
		t.Repeat(map[string]func(*rapid.T){
			"":        m.check,
			"append":  m.append,
			"flags":   m.flags,
			"expunge": m.expunge,
			"copy":    func(t *rapid.T) { m.put(t, false) },
			"move":    func(t *rapid.T) { m.put(t, true) },
			"restart": m.restart,
			"delete":  m.delete,
		})
	})
}

type model struct {
	w       *world
	account Account
	store   mailbox.Store
	boxes   map[string]*modelBox
}

// modelBox is what a mailbox has to hold.
type modelBox struct {
	mailbox.Mailbox
	name     string
	validity uint32
	last     mailbox.UID // the largest that was given
	seq      mailbox.ModSeq
	messages map[mailbox.UID]modelMessage
	replica  replica
}

type modelMessage struct {
	text  string
	flags []mailbox.Flag
}

func (m *model) ctx() context.Context { return m.w.ctx }

// start begins the session and opens both mailboxes. INBOX alone if the store cannot make another.
func (m *model) start(t *rapid.T) {
	var err error
	m.store, err = m.account.Open()
	require.NoError(t, err)
	names := []string{mailbox.Inbox}
	if o, ok := m.store.(mailbox.Organizer); ok {
		names = append(names, "t-second/level")
		if m.boxes == nil {
			require.NoError(t, o.Create(m.ctx(), names[1], ""))
		}
	}
	if m.boxes == nil {
		m.boxes = map[string]*modelBox{}
	}
	for _, name := range names {
		m.open(t, name)
	}
}

func (m *model) open(t *rapid.T, name string) {
	b := m.boxes[name]
	if b == nil {
		b = &modelBox{
			name:     name,
			messages: map[mailbox.UID]modelMessage{},
			replica:  replica{messages: map[mailbox.UID]mailbox.Meta{}},
		}
		m.boxes[name] = b
	}
	var err error
	b.Mailbox, err = m.store.Open(m.ctx(), name)
	require.NoError(t, err)
	st, err := b.Status(m.ctx())
	require.NoError(t, err)
	if b.validity != 0 {
		require.Equal(t, b.validity, st.UIDValidity)
	}
	b.validity = st.UIDValidity
}

func (m *model) stop(t *rapid.T) {
	for _, b := range m.boxes {
		require.NoError(t, b.Close())
	}
	require.NoError(t, m.store.Close())
}

func (m *model) restart(t *rapid.T) {
	if m.account.Restart == nil {
		t.Skip("cannot")
	}
	m.stop(t)
	require.NoError(t, m.account.Restart())
	m.start(t)
}

// delete removes the second mailbox and makes it again.
func (m *model) delete(t *rapid.T) {
	o, ok := m.store.(mailbox.Organizer)
	if !ok || rapid.IntRange(0, 4).Draw(t, "rarely") > 0 {
		t.Skip("not now")
	}
	const name = "t-second/level"
	old := m.boxes[name]
	require.NoError(t, o.Delete(m.ctx(), name))
	_, err := old.Status(m.ctx())
	require.ErrorIs(t, err, mailbox.ErrNoMailbox)
	require.NoError(t, old.Close())
	delete(m.boxes, name)
	require.NoError(t, o.Create(m.ctx(), name, ""))
	m.open(t, name)
	require.NotEqual(t, old.validity, m.boxes[name].validity)
}

func (m *model) pick(t *rapid.T, label string) *modelBox {
	return m.boxes[rapid.SampledFrom(slices.Sorted(maps.Keys(m.boxes))).Draw(t, label)]
}

// some picks UIDs, most of which exist.
func (b *modelBox) some(t *rapid.T) []mailbox.UID {
	var out []mailbox.UID
	for uid := mailbox.UID(1); uid <= b.last+1; uid++ {
		if _, ok := b.messages[uid]; (ok || uid == b.last+1) && rapid.Bool().Draw(t, "pick") {
			out = append(out, uid)
		}
	}
	return out
}

func (b *modelBox) there(uids []mailbox.UID) []mailbox.UID {
	var out []mailbox.UID
	for _, uid := range uids {
		if _, ok := b.messages[uid]; ok {
			out = append(out, uid)
		}
	}
	return out
}

func someFlags(t *rapid.T) []mailbox.Flag {
	return rapid.SliceOfNDistinct(rapid.SampledFrom([]mailbox.Flag{
		mailbox.Seen, mailbox.Answered, mailbox.Flagged, mailbox.Deleted, mailbox.Draft, "Kw", "$Other", "third",
	}), 0, 4, rapid.ID).Draw(t, "flags")
}

func (b *modelBox) put(t *rapid.T, uid mailbox.UID, msg modelMessage) {
	require.Greater(t, uid, b.last, "UIDs ascend")
	b.last = uid
	b.messages[uid] = msg
}

func (m *model) append(t *rapid.T) {
	b := m.pick(t, "into")
	msg := modelMessage{message(rapid.IntRange(0, 1000).Draw(t, "text")), someFlags(t)}
	uid, err := b.Append(m.ctx(), strings.NewReader(msg.text), mailbox.AppendOptions{Flags: msg.flags, Size: int64(len(msg.text))})
	require.NoError(t, err)
	b.put(t, uid, msg)
}

func (m *model) flags(t *rapid.T) {
	b := m.pick(t, "in")
	uids := b.some(t)
	change := mailbox.FlagChange{
		Op:    rapid.SampledFrom([]mailbox.FlagOp{mailbox.ReplaceFlags, mailbox.AddFlags, mailbox.RemoveFlags}).Draw(t, "op"),
		Flags: someFlags(t),
	}
	metas, err := b.SetFlags(m.ctx(), uids, change)
	require.NoError(t, err)
	there := b.there(uids)
	require.Len(t, metas, len(there))
	for i, uid := range there {
		msg := b.messages[uid]
		msg.flags = change.Apply(msg.flags)
		b.messages[uid] = msg
		require.Equal(t, uid, metas[i].UID)
		require.ElementsMatch(t, msg.flags, metas[i].Flags)
	}
}

func (m *model) expunge(t *rapid.T) {
	b := m.pick(t, "in")
	uids := b.some(t)
	gone, err := b.Expunge(m.ctx(), uids)
	require.NoError(t, err)
	require.ElementsMatch(t, b.there(uids), gone)
	for _, uid := range gone {
		delete(b.messages, uid)
	}
}

func (m *model) put(t *rapid.T, move bool) {
	from, to := m.pick(t, "from"), m.pick(t, "to")
	uids := from.some(t)
	do := from.Copy
	if move {
		do = from.Move
	}
	copied, err := do(m.ctx(), uids, to.name)
	require.NoError(t, err)
	require.Equal(t, to.validity, copied.UIDValidity)
	require.ElementsMatch(t, from.there(uids), copied.Source)
	require.Len(t, copied.Dest, len(copied.Source))
	require.True(t, slices.IsSorted(copied.Source))
	for i, uid := range copied.Dest {
		to.put(t, uid, from.messages[copied.Source[i]])
		if move {
			delete(from.messages, copied.Source[i])
		}
	}
}

// check compares everything.
func (m *model) check(t *rapid.T) {
	for _, b := range m.boxes {
		uids, seq, err := b.UIDs(m.ctx())
		require.NoError(t, err)
		want := slices.Sorted(maps.Keys(b.messages))
		require.ElementsMatch(t, want, uids, b.name)
		require.True(t, slices.IsSorted(uids))
		require.GreaterOrEqual(t, seq, b.seq, "a modseq never goes back")
		b.seq = seq
		metas, err := b.Messages(m.ctx(), want)
		require.NoError(t, err)
		require.Len(t, metas, len(want))
		st, err := b.Status(m.ctx())
		require.NoError(t, err)
		unseen, size := 0, int64(0)
		for i, uid := range want {
			msg := b.messages[uid]
			require.Equal(t, uid, metas[i].UID)
			require.ElementsMatch(t, msg.flags, metas[i].Flags, "%s UID %d", b.name, uid)
			require.EqualValues(t, len(msg.text), metas[i].Size)
			require.LessOrEqual(t, metas[i].ModSeq, seq)
			size += metas[i].Size
			if !mailbox.HasFlag(msg.flags, mailbox.Seen) {
				unseen++
			}
		}
		require.Equal(t, len(want), st.Messages)
		require.Equal(t, unseen, st.Unseen)
		require.Equal(t, size, st.Size)
		require.Greater(t, st.UIDNext, b.last)
		if len(want) > 0 {
			m.readOne(t, b, want[len(want)/2])
		}
		require.NoError(t, b.replica.follow(m.w, b.Mailbox))
		require.ElementsMatch(t, want, slices.Collect(maps.Keys(b.replica.messages)), "by its changes")
		for _, meta := range metas {
			require.Equal(t, meta.ModSeq, b.replica.messages[meta.UID].ModSeq)
			require.ElementsMatch(t, meta.Flags, b.replica.messages[meta.UID].Flags)
		}
	}
}

func (m *model) readOne(t *rapid.T, b *modelBox, uid mailbox.UID) {
	c, err := b.Content(m.ctx(), uid)
	require.NoError(t, err)
	defer c.Close()
	data, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
	require.NoError(t, err)
	require.Equal(t, b.messages[uid].text, string(data))
}
