package mailboxtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

// testCrashAtWork cuts the power while clients are at work, again and again on the same account. What they were told is there
// afterwards; of what they were not told the answer, all or nothing is.
func testCrashAtWork(w *world) {
	w.account = w.backend.NewCrashing(w.TB, mailbox.Limit{})
	if w.account.Close != nil {
		w.Cleanup(w.account.Close)
	}
	if w.account.Crash == nil {
		w.Skip("the backend cannot cut the power")
	}
	random := rand.New(rand.NewPCG(3, 4))
	var err error
	w.store, err = w.account.Open()
	require.NoError(w, err)
	boxes := []string{mailbox.Inbox}
	if _, ok := w.store.(mailbox.Organizer); ok {
		boxes = append(boxes, "t-other")
		w.create(boxes[1:]...)
	}
	c := &crashed{w: w, boxes: map[string]*crashedBox{}}
	for _, name := range boxes {
		b, err := w.store.Open(w.ctx, name)
		require.NoError(w, err)
		st, err := b.Status(w.ctx)
		require.NoError(w, err)
		require.NoError(w, b.Close())
		c.boxes[name] = &crashedBox{validity: st.UIDValidity, known: newReplica(), there: map[mailbox.UID]told{}, gone: map[mailbox.UID]bool{}}
	}
	require.NoError(w, w.store.Close())
	for range w.backend.Crashes {
		c.round(random)
	}
}

// crashWorkers is how many clients are at work when the power is cut.
const crashWorkers = 4

// crashCrowd is about how many messages each of them keeps in a mailbox.
const crashCrowd = 8

// crashed is what all clients together were told over several power cuts.
type crashed struct {
	w     *world
	boxes map[string]*crashedBox
	texts atomic.Int64
}

type crashedBox struct {
	validity uint32
	seq      mailbox.ModSeq
	last     mailbox.UID
	known    *replica
	there    map[mailbox.UID]told
	gone     map[mailbox.UID]bool
}

// told is what is known of a message.
type told struct {
	text  string
	flags []mailbox.Flag
}

// worker is one client until a power cut. It touches only messages of its own, so that what it was told last is so.
type worker struct {
	crashed *crashed
	random  *rand.Rand
	store   mailbox.Store
	open    map[string]mailbox.Mailbox
	mine    map[string]map[mailbox.UID]told
	gone    map[string][]mailbox.UID
	seq     map[string]mailbox.ModSeq
	last    map[string]mailbox.UID
	asked   *asked // what was asked for last, if no answer came
	err     error
}

// asked is what a client has asked for.
type asked struct {
	does string
	box  string
	uid  mailbox.UID
	to   string // where a new message may be
	told        // what the message has afterwards
}

// round has clients work until the power is cut, and looks at what is there afterwards.
func (c *crashed) round(random *rand.Rand) {
	c.w.Helper()
	limit := int64(5 + random.IntN(60)) // so many answers come before the cut
	var answers atomic.Int64
	cut := make(chan struct{})
	var once sync.Once
	workers := make([]*worker, crashWorkers)
	var wg sync.WaitGroup
	for i := range workers {
		workers[i] = c.worker(i, random.Uint64())
		wg.Go(func() {
			for workers[i].err == nil {
				workers[i].step(c.w.ctx)
				if answers.Add(1) >= limit {
					once.Do(func() { close(cut) })
				}
			}
			once.Do(func() { close(cut) })
		})
	}
	select {
	case <-cut:
	case <-c.w.ctx.Done():
	}
	require.NoError(c.w, c.w.account.Crash(random.Uint64N(20)))
	wg.Wait()
	for _, k := range workers {
		for _, b := range k.open {
			_ = b.Close()
		}
		_ = k.store.Close()
	}
	c.check(workers)
}

// worker begins a client with its share of the messages.
func (c *crashed) worker(n int, seed uint64) *worker {
	c.w.Helper()
	k := &worker{
		crashed: c, random: rand.New(rand.NewPCG(seed, 0)),
		open: map[string]mailbox.Mailbox{}, mine: map[string]map[mailbox.UID]told{}, gone: map[string][]mailbox.UID{},
		seq: map[string]mailbox.ModSeq{}, last: map[string]mailbox.UID{},
	}
	s, err := c.w.account.Open()
	require.NoError(c.w, err)
	k.store = s
	for name, b := range c.boxes {
		k.open[name], err = s.Open(c.w.ctx, name)
		require.NoError(c.w, err)
		k.mine[name] = map[mailbox.UID]told{}
		for uid, m := range b.there {
			if int(uid)%crashWorkers == n {
				k.mine[name][uid] = m
			}
		}
	}
	return k
}

// step does one operation and notes the answer.
func (k *worker) step(ctx context.Context) {
	names := slices.Sorted(maps.Keys(k.open))
	name := names[k.random.IntN(len(names))]
	to := names[k.random.IntN(len(names))]
	uids := slices.Sorted(maps.Keys(k.mine[name]))
	var uid mailbox.UID
	if len(uids) > 0 {
		uid = uids[k.random.IntN(len(uids))]
	}
	switch n := k.random.IntN(100); {
	case len(uids) >= crashCrowd && n < 45:
		k.err = k.expunge(ctx, name, uid)
	case uid == 0 || n < 35:
		k.err = k.append(ctx, name)
	case n < 60:
		k.err = k.flag(ctx, name, uid)
	case n < 70:
		k.err = k.put(ctx, name, uid, to, false)
	case n < 80:
		k.err = k.put(ctx, name, uid, to, true)
	case n < 90:
		k.err = k.expunge(ctx, name, uid)
	default:
		_, seq, err := k.open[name].UIDs(ctx)
		if err == nil {
			k.seq[name] = max(k.seq[name], seq)
		}
		k.err = err
	}
	if k.err == nil {
		k.asked = nil
	}
}

func (k *worker) append(ctx context.Context, name string) error {
	n := k.crashed.texts.Add(1)
	text := message(int(n))
	var flags []mailbox.Flag
	if n%2 == 0 {
		flags = []mailbox.Flag{mailbox.Seen, "Kw"}
	}
	k.asked = &asked{does: "append", to: name, told: told{text, flags}}
	uid, err := k.open[name].Append(ctx, strings.NewReader(text), mailbox.AppendOptions{Size: int64(len(text)), Flags: flags})
	if err == nil {
		k.came(name, uid, told{text, flags})
	}
	return err
}

func (k *worker) came(name string, uid mailbox.UID, m told) {
	k.mine[name][uid] = m
	k.last[name] = max(k.last[name], uid)
}

func (k *worker) flag(ctx context.Context, name string, uid mailbox.UID) error {
	m := k.mine[name][uid]
	flag := []mailbox.Flag{mailbox.Seen, mailbox.Flagged, "Kw", "Other"}[k.random.IntN(4)]
	change := mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{flag}}
	if mailbox.HasFlag(m.flags, flag) {
		change.Op = mailbox.RemoveFlags
	}
	after := change.Apply(m.flags)
	k.asked = &asked{does: "flags", box: name, uid: uid, told: told{m.text, after}}
	metas, err := k.open[name].SetFlags(ctx, []mailbox.UID{uid}, change)
	if err != nil {
		return err
	}
	if len(metas) != 1 || !sameSet(metas[0].Flags, after) {
		return fmt.Errorf("%w: flags %v gave %v", errWrong, after, metas)
	}
	k.mine[name][uid] = told{m.text, after}
	k.seq[name] = max(k.seq[name], metas[0].ModSeq)
	return nil
}

func (k *worker) put(ctx context.Context, name string, uid mailbox.UID, to string, move bool) error {
	m := k.mine[name][uid]
	do := k.open[name].Copy
	k.asked = &asked{does: "copy", box: name, uid: uid, to: to, told: m}
	if move {
		do, k.asked.does = k.open[name].Move, "move"
	}
	copied, err := do(ctx, []mailbox.UID{uid}, to)
	if err != nil {
		return err
	}
	if len(copied.Dest) != 1 {
		return fmt.Errorf("%w: UID %d gave %v", errWrong, uid, copied)
	}
	k.came(to, copied.Dest[0], m)
	if move {
		delete(k.mine[name], uid)
		k.gone[name] = append(k.gone[name], uid)
	}
	return nil
}

func (k *worker) expunge(ctx context.Context, name string, uid mailbox.UID) error {
	k.asked = &asked{does: "expunge", box: name, uid: uid, told: k.mine[name][uid]}
	gone, err := k.open[name].Expunge(ctx, []mailbox.UID{uid})
	if err != nil {
		return err
	}
	if len(gone) != 1 {
		return fmt.Errorf("%w: UID %d was expunged as %v", errWrong, uid, gone)
	}
	delete(k.mine[name], uid)
	k.gone[name] = append(k.gone[name], uid)
	return nil
}

// errWrong is an answer that no power cut explains.
var errWrong = errors.New("mailboxtest: wrong answer")

// check compares what there is after the power cut with what the clients were told.
func (c *crashed) check(workers []*worker) {
	w := c.w
	w.Helper()
	var open []*asked
	for _, k := range workers {
		require.NotErrorIs(w, k.err, errWrong)
		if k.asked != nil {
			open = append(open, k.asked)
		}
		for name, b := range c.boxes {
			maps.Copy(b.there, k.mine[name])
			for _, uid := range k.gone[name] {
				delete(b.there, uid)
				b.gone[uid] = true
			}
			b.seq, b.last = max(b.seq, k.seq[name]), max(b.last, k.last[name])
		}
	}
	s, err := w.account.Open()
	require.NoError(w, err)
	defer s.Close()
	more := map[string]int{} // how many of a text there are more than was told
	for name, b := range c.boxes {
		m, err := s.Open(w.ctx, name)
		require.NoError(w, err)
		b.check(box{m, w}, name, open, more)
		require.NoError(w, m.Close())
	}
	for text, n := range more {
		low, high := 0, 0
		for _, a := range open {
			if a.text != text {
				continue
			}
			switch a.does {
			case "append", "copy":
				high++
			case "expunge":
				low--
			}
		}
		require.True(w, low <= n && n <= high, "%d of %.30q too many or too few", n, text)
	}
}

// check compares one mailbox, and takes what there is for what was told from then on.
func (b *crashedBox) check(view box, name string, open []*asked, more map[string]int) {
	w := view.w
	w.Helper()
	st := view.status()
	require.Equal(w, b.validity, st.UIDValidity)
	require.GreaterOrEqual(w, st.ModSeq, b.seq, "a modseq never goes back")
	require.Greater(w, st.UIDNext, b.last, "nor does UIDNEXT")
	metas, err := view.Messages(w.ctx, view.uids())
	require.NoError(w, err)
	now := map[mailbox.UID]told{}
	for _, m := range metas {
		text := view.text(m.UID)
		more[text]++
		now[m.UID] = told{text, m.Flags}
		require.False(w, b.gone[m.UID], "UID %d of %s is back", m.UID, name)
		was, known := b.there[m.UID]
		possible := slices.ContainsFunc(open, func(a *asked) bool {
			mine := !known && a.to == name || known && a.does == "flags" && a.box == name && a.uid == m.UID
			return mine && a.text == text && (sameSet(a.flags, m.Flags) || w.backend.LazyFlags)
		})
		if !known {
			require.True(w, possible, "UID %d of %s with %v and %.30q is not what anybody asked for", m.UID, name, m.Flags, text)
			continue
		}
		require.Equal(w, was.text, text, "UID %d of %s has another meaning", m.UID, name)
		require.True(w, possible || sameSet(was.flags, m.Flags) || w.backend.LazyFlags,
			"UID %d of %s has flags %v, not %v", m.UID, name, m.Flags, was.flags)
	}
	for uid, was := range b.there {
		more[was.text]--
		_, there := now[uid]
		require.True(w, there || slices.ContainsFunc(open, func(a *asked) bool {
			return a.box == name && a.uid == uid && (a.does == "expunge" || a.does == "move")
		}), "UID %d of %s is lost", uid, name)
		if !there {
			b.gone[uid] = true
		}
		b.last = max(b.last, uid)
	}
	require.NoError(w, b.known.follow(w.ctx, view.Mailbox))
	require.Empty(w, b.known.differs(metas), "who followed %s from before the power cut", name)
	b.there, b.seq = now, st.ModSeq
	for uid := range now {
		b.last = max(b.last, uid)
	}
}
