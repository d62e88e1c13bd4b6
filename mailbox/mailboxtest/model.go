package mailboxtest

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks/mailbox"
)

// testModel does what comes to mind, by several sessions in several mailboxes, and compares what each session sees with a
// model after each step.
func testModel(w *world) { checkModel(w, w.backend.New, false) }

// testCrash is testModel with power cuts between the steps: what was acknowledged is there after each.
func testCrash(w *world) {
	if a := w.backend.NewCrashing(w.TB, mailbox.Limit{}); a.Crash == nil {
		w.Skip("the backend cannot cut the power")
	} else if a.Close != nil {
		a.Close()
	}
	checkModel(w, w.backend.NewCrashing, true)
}

func checkModel(w *world, newAccount func(testing.TB, mailbox.Limit) Account, crashes bool) {
	runs, failed := 0, false
	for runs < w.backend.Histories && !w.Failed() { // how many histories rapid plays at a time is a flag of its own
		rapid.Check(w.TB, func(t *rapid.T) {
			if runs++; runs > w.backend.Histories && !failed {
				return
			}
			passed := false
			defer func() { failed = failed || !passed }() // it is played again, to make it smaller
			playHistory(w, t, newAccount, crashes)
			passed = true
		})
	}
}

// playHistory is one run of the state machine.
func playHistory(w *world, t *rapid.T, newAccount func(testing.TB, mailbox.Limit) Account, crashes bool) {
	m := &model{w: w, boxes: map[string]*modelBox{}, subscribed: map[string]bool{}, validities: map[validity]*modelBox{}}
	if !w.backend.NoQuota && rapid.IntRange(0, 3).Draw(t, "has quota") == 0 {
		m.limit = mailbox.Limit{Messages: rapid.Int64Range(2, 8).Draw(t, "messages")}
	}
	m.account = newAccount(w.TB, m.limit)
	if m.account.Close != nil {
		defer m.account.Close()
	}
	m.begin(t)
	defer m.end()
	actions := map[string]func(*rapid.T){
		"":        m.check,
		"append":  m.append,
		"flags":   m.flags,
		"expunge": m.expunge,
		"copy":    func(t *rapid.T) { m.put(t, false) },
		"move":    func(t *rapid.T) { m.put(t, true) },
		"close":   m.reopen,
	}
	if _, ok := m.sessions[0].store.(mailbox.Organizer); ok {
		actions["create"], actions["rename"], actions["delete"] = m.create, m.rename, m.delete
		actions["subscribe"] = m.subscribe
	}
	if _, ok := m.sessions[0].store.(mailbox.Annotator); ok {
		actions["annotate"] = m.annotate
	}
	if m.account.Restart != nil {
		actions["restart"] = m.restart
	}
	if crashes {
		actions["crash"] = m.crash
	}
	t.Repeat(actions)
}

// modelSessions is how many sessions there are at the same time.
const modelSessions = 3

// model is what an account has to hold, and those who look at it.
type model struct {
	w        *world
	account  Account
	limit    mailbox.Limit
	sessions []*modelSession

	boxes      map[string]*modelBox
	subscribed map[string]bool
	note       string                 // the annotation of the account
	validities map[validity]*modelBox // every mailbox that there was
	step       int
	loose      bool // a restart or power cut may have raised modseqs, and lost flags if those are lazy
	lazy       bool
}

// validity is what names a mailbox for a client.
type validity struct {
	name  string
	value uint32
}

// modelBox is what a mailbox has to hold.
type modelBox struct {
	name     string
	validity uint32
	id       string
	last     mailbox.UID // the largest that was given
	next     mailbox.UID // the last UIDNEXT that was told
	seq      mailbox.ModSeq
	changed  bool // since the last look
	note     string
	messages map[mailbox.UID]*modelMessage
}

type modelMessage struct {
	text    string
	flags   []mailbox.Flag
	date    time.Time
	modseq  mailbox.ModSeq
	changed bool // it has a modseq that nobody has looked at
}

// modelSession is one session and the mailboxes that it has open.
type modelSession struct {
	store mailbox.Store
	open  map[*modelBox]mailbox.Mailbox
	known map[*modelBox]*replica
}

func (m *model) ctx() context.Context { return m.w.ctx }

// begin begins the sessions. What their users know stays.
func (m *model) begin(t *rapid.T) {
	for i := range modelSessions {
		s, err := m.account.Open()
		require.NoError(t, err)
		if len(m.sessions) <= i {
			m.sessions = append(m.sessions, &modelSession{known: map[*modelBox]*replica{}})
		}
		m.sessions[i].store, m.sessions[i].open = s, map[*modelBox]mailbox.Mailbox{}
	}
	if m.boxes[mailbox.Inbox] == nil {
		m.found(t, mailbox.Inbox)
	}
}

// end ends the sessions, whatever that gives.
func (m *model) end() {
	for _, s := range m.sessions {
		for _, b := range s.open {
			_ = b.Close()
		}
		_ = s.store.Close()
	}
}

// found takes in a mailbox that has just been made and must be empty.
func (m *model) found(t *rapid.T, name string) *modelBox {
	b := &modelBox{name: name, messages: map[mailbox.UID]*modelMessage{}}
	m.boxes[name] = b
	st, err := m.view(t, m.sessions[0], b).Status(m.ctx())
	require.NoError(t, err)
	require.Zero(t, st.Messages)
	b.validity, b.id, b.next, b.seq = st.UIDValidity, st.ID, st.UIDNext, st.ModSeq
	m.name(t, b, name)
	return b
}

// name gives a mailbox a name, under which no other one had its UIDVALIDITY.
func (m *model) name(t *rapid.T, b *modelBox, name string) {
	b.name = name
	key := validity{name, b.validity}
	if other := m.validities[key]; other != nil {
		require.Same(t, other, b, "UIDVALIDITY %d of %s was that of another mailbox", b.validity, name)
	}
	for _, other := range m.validities {
		require.True(t, other == b || b.id == "" || other.id != b.id, "the id %s was that of another mailbox", b.id)
	}
	m.validities[key] = b
}

// view gives the mailbox as a session has it open, and opens it if it has not.
func (m *model) view(t *rapid.T, s *modelSession, b *modelBox) mailbox.Mailbox {
	if open := s.open[b]; open != nil {
		return open
	}
	open, err := s.store.Open(m.ctx(), b.name)
	require.NoError(t, err, b.name)
	s.open[b] = open
	if s.known[b] == nil {
		s.known[b] = newReplica()
	}
	return open
}

// renamed closes what cannot be used any more under the new name.
func (m *model) renamed(t *rapid.T, b *modelBox) {
	for _, s := range m.sessions {
		open := s.open[b]
		if open == nil {
			continue
		}
		if _, err := open.Status(m.ctx()); err != nil { // whoever has it open goes on with it, or is told that it is gone
			require.ErrorIs(t, err, mailbox.ErrNoMailbox)
			require.NoError(t, open.Close())
			delete(s.open, b)
		}
	}
}

// total is how many messages there are.
func (m *model) total() int {
	n := 0
	for _, b := range m.boxes {
		n += len(b.messages)
	}
	return n
}

// fits says whether there is room for so many more.
func (m *model) fits(more int) bool {
	return m.limit.Allows(mailbox.Usage{Messages: int64(m.total() + more)})
}

// check compares everything: what each session knows by the changes, and what one of them, in turns, finds when it looks at
// everything.
func (m *model) check(t *rapid.T) {
	m.step++
	for _, name := range slices.Sorted(maps.Keys(m.boxes)) {
		m.checkBox(t, m.boxes[name])
	}
	m.checkList(t, m.sessions[m.step%modelSessions].store)
	m.checkAbilities(t, m.sessions[m.step%modelSessions].store)
	m.loose, m.lazy = false, false
}

func (m *model) checkBox(t *rapid.T, b *modelBox) {
	turn := m.sessions[m.step%modelSessions]
	view := m.view(t, turn, b)
	uids, seq, err := view.UIDs(m.ctx())
	require.NoError(t, err)
	want := slices.Sorted(maps.Keys(b.messages))
	require.Equal(t, want, append([]mailbox.UID(nil), uids...), "%s", b.name)
	if b.changed {
		require.Greater(t, seq, b.seq, "%s: every change has a larger modseq", b.name)
	} else if !m.loose {
		sameModSeq(t, b.seq, seq, b.name+": nothing has happened")
	}
	require.GreaterOrEqual(t, seq, b.seq, "%s: a modseq never goes back", b.name)
	metas, err := view.Messages(m.ctx(), want)
	require.NoError(t, err)
	require.Len(t, metas, len(want))
	st, err := view.Status(m.ctx())
	require.NoError(t, err)
	count := mailbox.Status{ID: b.id, UIDValidity: b.validity, UIDNext: st.UIDNext, ModSeq: seq, Messages: len(want),
		Recent: st.Recent, Keywords: st.Keywords}
	for i, uid := range want {
		m.checkMessage(t, b, uid, metas[i], seq)
		count.Size += metas[i].Size
		if !mailbox.HasFlag(metas[i].Flags, mailbox.Seen) {
			count.Unseen++
		}
		if mailbox.HasFlag(metas[i].Flags, mailbox.Deleted) {
			count.Deleted++
		}
		for _, f := range metas[i].Flags {
			require.True(t, f.System() || mailbox.HasFlag(st.Keywords, f), "keyword %s is not told", f)
		}
	}
	require.Equal(t, count, st, "%s", b.name)
	require.Greater(t, st.UIDNext, b.last, "%s", b.name)
	require.GreaterOrEqual(t, st.UIDNext, b.next, "%s: UIDNEXT never goes back", b.name)
	b.seq, b.next, b.changed = seq, st.UIDNext, false
	if len(want) > 0 {
		m.readOne(t, view, b, want[m.step%len(want)])
	}
	for i, s := range m.sessions {
		known := s.known[b]
		view := m.view(t, s, b)
		if known == nil {
			known = s.known[b]
		}
		require.NoError(t, known.follow(m.ctx(), view), "%s by session %d", b.name, i)
		require.Empty(t, known.differs(metas), "%s by session %d", b.name, i)
	}
}

func (m *model) checkMessage(t *rapid.T, b *modelBox, uid mailbox.UID, meta mailbox.Meta, seq mailbox.ModSeq) {
	msg := b.messages[uid]
	require.Equal(t, uid, meta.UID)
	if m.lazy {
		msg.flags = meta.Flags
	}
	require.True(t, sameSet(msg.flags, meta.Flags), "%s UID %d has flags %v, not %v", b.name, uid, meta.Flags, msg.flags)
	require.EqualValues(t, len(msg.text), meta.Size)
	require.True(t, msg.date.Equal(meta.InternalDate), "%s UID %d has date %v, not %v", b.name, uid, meta.InternalDate, msg.date)
	require.LessOrEqual(t, meta.ModSeq, seq)
	switch {
	case msg.changed:
		require.Greater(t, meta.ModSeq, b.seq, "%s UID %d changed and has no new modseq", b.name, uid)
	case m.loose:
		require.GreaterOrEqual(t, meta.ModSeq, msg.modseq, "%s UID %d", b.name, uid)
	default:
		sameModSeq(t, msg.modseq, meta.ModSeq, b.name+": a message did not change (UID "+strconv.Itoa(int(uid))+")")
	}
	msg.modseq, msg.changed = meta.ModSeq, false
}

func (m *model) readOne(t *rapid.T, view mailbox.Mailbox, b *modelBox, uid mailbox.UID) {
	c, err := view.Content(m.ctx(), uid)
	require.NoError(t, err)
	defer c.Close()
	data, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
	require.NoError(t, err)
	require.Equal(t, b.messages[uid].text, string(data))
}

// checkList compares the names.
func (m *model) checkList(t *rapid.T, s mailbox.Store) {
	infos, err := s.List(m.ctx())
	require.NoError(t, err)
	got := map[string]mailbox.Info{}
	for _, i := range infos {
		require.NotContains(t, got, i.Name, "listed twice")
		i.Uses = nil
		got[i.Name] = i
	}
	want := map[string]mailbox.Info{}
	for name, b := range m.boxes {
		want[name] = mailbox.Info{Name: name, ID: b.id}
		for _, level := range mailbox.Above(name) {
			if m.boxes[level] == nil {
				want[level] = mailbox.Info{Name: level, NoSelect: true}
			}
		}
	}
	for name := range m.subscribed {
		info, ok := want[name]
		if !ok {
			info = mailbox.Info{Name: name, NonExistent: true}
		}
		info.Subscribed = true
		want[name] = info
	}
	for name := range got {
		_, ours := want[name]
		if !ours && !strings.HasPrefix(name, "t-") {
			delete(got, name) // the backend's own
		}
	}
	if inbox := got[mailbox.Inbox]; inbox.Subscribed && !m.subscribed[mailbox.Inbox] {
		inbox.Subscribed = false // a new account may have it so
		got[mailbox.Inbox] = inbox
	}
	require.Equal(t, want, got)
}

// checkAbilities compares what not every store has.
func (m *model) checkAbilities(t *rapid.T, s mailbox.Store) {
	if q, ok := s.(mailbox.QuotaKeeper); ok && (!m.w.backend.NoQuota) {
		quota, err := q.Quota(m.ctx())
		require.NoError(t, err)
		require.Equal(t, m.limit, quota.Limit)
		require.EqualValues(t, m.total(), quota.Used.Messages)
		require.Equal(t, m.total() == 0, quota.Used.Octets == 0)
	}
	a, ok := s.(mailbox.Annotator)
	if !ok {
		return
	}
	compare := func(name, note string) {
		got, err := a.Annotations(m.ctx(), name)
		require.NoError(t, err)
		var value string
		for _, one := range got {
			require.Equal(t, comment, one.Entry)
			value = string(one.Value)
		}
		require.Equal(t, note, value, "annotation of %q", name)
	}
	compare("", m.note)
	for name, b := range m.boxes {
		compare(name, b.note)
	}
}

// isOneOf says whether an error is one of several.
func isOneOf(err error, kinds []error) bool {
	return slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
}
