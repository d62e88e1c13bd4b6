package mailboxtest

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks/mailbox"
)

// This file has what can happen in a history: each action does something by one of the sessions, and to the model.

// who draws the session that acts.
func (m *model) who(t *rapid.T) *modelSession {
	return m.sessions[rapid.IntRange(0, modelSessions-1).Draw(t, "session")]
}

// pick draws a mailbox.
func (m *model) pick(t *rapid.T, label string) *modelBox {
	return m.boxes[rapid.SampledFrom(slices.Sorted(maps.Keys(m.boxes))).Draw(t, label)]
}

// names that mailboxes may get.
func names() []string {
	return []string{"t-a", "t-a/b", "t-a/b/c", "t-a/d", "t-e", "t-e/ü & co", "t-a.b"}
}

func drawName(t *rapid.T, label string) string { return rapid.SampledFrom(names()).Draw(t, label) }

// some picks UIDs, most of which exist.
func (b *modelBox) some(t *rapid.T) []mailbox.UID {
	var out []mailbox.UID
	for _, uid := range append(slices.Sorted(maps.Keys(b.messages)), b.last+1) {
		if rapid.Bool().Draw(t, "pick") {
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

// came notes a message that was given a UID.
func (b *modelBox) came(t *rapid.T, uid mailbox.UID, msg modelMessage) {
	require.Greater(t, uid, b.last, "UIDs ascend in %s", b.name)
	require.GreaterOrEqual(t, uid, b.next, "UIDs come from UIDNEXT on in %s", b.name)
	msg.changed = true
	b.last, b.changed = uid, true
	b.messages[uid] = &msg
}

func (m *model) append(t *rapid.T) {
	s, b := m.who(t), m.pick(t, "into")
	msg := modelMessage{
		text:  message(rapid.IntRange(0, 1000).Draw(t, "text")),
		flags: someFlags(t),
		date:  testDate.Add(time.Duration(rapid.IntRange(0, 1e6).Draw(t, "date")) * time.Second),
	}
	uid, err := m.view(t, s, b).Append(m.ctx(), strings.NewReader(msg.text), mailbox.AppendOptions{
		Flags: msg.flags, InternalDate: msg.date, Size: int64(len(msg.text)),
	})
	if !m.fits(1) {
		require.ErrorIs(t, err, mailbox.ErrQuota)
		return
	}
	require.NoError(t, err)
	b.came(t, uid, msg)
}

func (m *model) flags(t *rapid.T) {
	s, b := m.who(t), m.pick(t, "in")
	uids := b.some(t)
	change := mailbox.FlagChange{
		Op:    rapid.SampledFrom([]mailbox.FlagOp{mailbox.ReplaceFlags, mailbox.AddFlags, mailbox.RemoveFlags}).Draw(t, "op"),
		Flags: someFlags(t),
	}
	if there := b.there(uids); len(there) > 0 && rapid.IntRange(0, 2).Draw(t, "unchanged since") == 0 {
		change.UnchangedSince = b.messages[rapid.SampledFrom(there).Draw(t, "as old as")].modseq
	}
	metas, err := m.view(t, s, b).SetFlags(m.ctx(), uids, change)
	require.NoError(t, err)
	there := b.there(uids)
	require.Len(t, metas, len(there))
	for i, uid := range there {
		msg := b.messages[uid]
		if change.UnchangedSince == 0 || msg.modseq <= change.UnchangedSince {
			if after := change.Apply(msg.flags); !sameSet(after, msg.flags) {
				msg.flags, msg.changed, b.changed = after, true, true
			}
		}
		require.Equal(t, uid, metas[i].UID)
		require.True(t, sameSet(msg.flags, metas[i].Flags), "%s UID %d has flags %v, not %v", b.name, uid, metas[i].Flags, msg.flags)
	}
}

func (m *model) expunge(t *rapid.T) {
	s, b := m.who(t), m.pick(t, "in")
	uids := b.some(t)
	gone, err := m.view(t, s, b).Expunge(m.ctx(), uids)
	require.NoError(t, err)
	require.ElementsMatch(t, b.there(uids), gone)
	b.went(gone)
}

// went notes that messages are gone.
func (b *modelBox) went(uids []mailbox.UID) {
	for _, uid := range uids {
		delete(b.messages, uid)
		b.changed = true
	}
}

func (m *model) put(t *rapid.T, move bool) {
	s, from, to := m.who(t), m.pick(t, "from"), m.pick(t, "to")
	uids := from.some(t)
	view := m.view(t, s, from)
	do := view.Copy
	if move {
		do = view.Move
	}
	if rapid.IntRange(0, 9).Draw(t, "to nowhere") == 0 {
		_, err := do(m.ctx(), uids, "t-nowhere")
		require.ErrorIs(t, err, mailbox.ErrNoMailbox)
		return
	}
	copied, err := do(m.ctx(), uids, to.name)
	there := from.there(uids)
	if !move && len(there) > 0 && !m.fits(len(there)) {
		require.ErrorIs(t, err, mailbox.ErrQuota)
		return
	}
	require.NoError(t, err)
	require.Equal(t, to.validity, copied.UIDValidity)
	require.Equal(t, there, append([]mailbox.UID(nil), copied.Source...))
	require.Len(t, copied.Dest, len(copied.Source))
	for i, uid := range copied.Dest {
		to.came(t, uid, *from.messages[copied.Source[i]])
	}
	if move {
		from.went(copied.Source)
	}
}

// reopen has a session close a mailbox, or end and begin again.
func (m *model) reopen(t *rapid.T) {
	s, b := m.who(t), m.pick(t, "of")
	if open := s.open[b]; open != nil {
		require.NoError(t, open.Close())
		delete(s.open, b)
	}
	if rapid.Bool().Draw(t, "whole session") {
		m.close(t, s)
		store, err := m.account.Open()
		require.NoError(t, err)
		s.store = store
	}
}

func (m *model) close(t *rapid.T, s *modelSession) {
	for b, open := range s.open {
		require.NoError(t, open.Close())
		delete(s.open, b)
	}
	require.NoError(t, s.store.Close())
}

func (m *model) restart(t *rapid.T) {
	for _, s := range m.sessions {
		m.close(t, s)
	}
	require.NoError(t, m.account.Restart())
	m.loose = true
	m.begin(t)
}

// crash cuts the power.
func (m *model) crash(t *rapid.T) {
	require.NoError(t, m.account.Crash(rapid.Uint64Range(0, 20).Draw(t, "what is kept")))
	m.end()
	m.loose, m.lazy = true, m.w.backend.LazyFlags
	m.begin(t)
}

func (m *model) create(t *rapid.T) {
	s, name := m.who(t), drawName(t, "name")
	err := s.store.(mailbox.Organizer).Create(m.ctx(), name, "")
	if m.boxes[name] != nil {
		require.ErrorIs(t, err, mailbox.ErrExists)
		return
	}
	require.NoError(t, err)
	m.levels(t, name)
	m.found(t, name)
}

// levels takes in the mailboxes that the store has made above another.
func (m *model) levels(t *rapid.T, name string) {
	infos, err := m.sessions[0].store.List(m.ctx())
	require.NoError(t, err)
	for _, level := range mailbox.Above(name) {
		if m.boxes[level] == nil && slices.ContainsFunc(infos, func(i mailbox.Info) bool { return i.Name == level && !i.NoSelect }) {
			m.found(t, level)
		}
	}
}

func (m *model) delete(t *rapid.T) {
	s, name := m.who(t), drawName(t, "name")
	err := s.store.(mailbox.Organizer).Delete(m.ctx(), name)
	b := m.boxes[name]
	if b == nil {
		require.True(t, isOneOf(err, []error{mailbox.ErrNoMailbox, mailbox.ErrNotAllowed}), "%v", err)
		return
	}
	require.NoError(t, err)
	delete(m.boxes, name)
	for _, s := range m.sessions {
		if open := s.open[b]; open != nil {
			_, err := open.Status(m.ctx())
			require.ErrorIs(t, err, mailbox.ErrNoMailbox)
			require.NoError(t, open.Close())
			delete(s.open, b)
		}
		delete(s.known, b)
	}
}

func (m *model) rename(t *rapid.T) {
	s, to := m.who(t), drawName(t, "to")
	from := rapid.SampledFrom(append(names(), mailbox.Inbox)).Draw(t, "from")
	moves, refused := m.plan(from, to)
	if moves == nil && refused == nil {
		t.Skip("not said what becomes of it")
	}
	err := s.store.(mailbox.Organizer).Rename(m.ctx(), from, to)
	if refused != nil {
		require.True(t, isOneOf(err, refused), "%s to %s: %v, not one of %v", from, to, err, refused)
		return
	}
	require.NoError(t, err, "%s to %s", from, to)
	if from == mailbox.Inbox {
		m.levels(t, to)
		m.emptied(t, to)
		return
	}
	moved := map[string]*modelBox{}
	for old, name := range moves {
		moved[name] = m.boxes[old]
		delete(m.boxes, old)
	}
	maps.Copy(m.boxes, moved)
	for name, b := range moved {
		m.name(t, b, name)
		m.renamed(t, b)
	}
	m.levels(t, to)
}

// plan says which mailboxes a rename gives which names, or with which errors it fails; neither: the contract does not say.
func (m *model) plan(from, to string) (moves map[string]string, refused []error) {
	if m.boxes[to] != nil {
		refused = append(refused, mailbox.ErrExists)
	}
	if from == mailbox.Inbox {
		return map[string]string{}, refused
	}
	moves = map[string]string{}
	for name := range m.boxes {
		if name == from || mailbox.IsBelow(name, from) {
			moves[name] = to + name[len(from):]
		}
	}
	if len(moves) == 0 {
		return nil, append(refused, mailbox.ErrNoMailbox)
	}
	if mailbox.IsBelow(to, from) {
		return nil, append(refused, mailbox.ErrNotAllowed)
	}
	for _, name := range moves {
		if _, goes := moves[name]; goes && from != to {
			return nil, nil
		}
		if m.boxes[name] != nil {
			refused = append(refused, mailbox.ErrExists)
		}
	}
	return moves, refused
}

// emptied notes that the messages of INBOX were moved into a new mailbox, in their order.
func (m *model) emptied(t *rapid.T, to string) {
	inbox := m.boxes[mailbox.Inbox]
	b := &modelBox{name: to, messages: map[mailbox.UID]*modelMessage{}}
	m.boxes[to] = b
	view := m.view(t, m.sessions[0], b)
	st, err := view.Status(m.ctx())
	require.NoError(t, err)
	b.validity, b.id = st.UIDValidity, st.ID
	m.name(t, b, to)
	uids, _, err := view.UIDs(m.ctx())
	require.NoError(t, err)
	old := slices.Sorted(maps.Keys(inbox.messages))
	require.Len(t, uids, len(old))
	for i, uid := range uids {
		b.came(t, uid, *inbox.messages[old[i]])
	}
	b.next = st.UIDNext
	if len(old) == 0 {
		b.seq = st.ModSeq
	}
	inbox.went(old)
}

func (m *model) subscribe(t *rapid.T) {
	s, name, on := m.who(t), drawName(t, "name"), rapid.Bool().Draw(t, "on")
	require.NoError(t, s.store.(mailbox.Organizer).Subscribe(m.ctx(), name, on))
	if on {
		m.subscribed[name] = true
	} else {
		delete(m.subscribed, name)
	}
}

func (m *model) annotate(t *rapid.T) {
	s, note := m.who(t), rapid.SampledFrom([]string{"", "red", "blue"}).Draw(t, "note")
	change := mailbox.Annotation{Entry: comment}
	if note != "" {
		change.Value = []byte(note)
	}
	name := rapid.SampledFrom(append(slices.Sorted(maps.Keys(m.boxes)), "")).Draw(t, "of")
	require.NoError(t, s.store.(mailbox.Annotator).Annotate(m.ctx(), name, []mailbox.Annotation{change}))
	if name == "" {
		m.note = note
	} else {
		m.boxes[name].note = note
	}
}
