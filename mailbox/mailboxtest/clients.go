package mailboxtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

// testClients has many clients at work on one mailbox at the same time, each with a session and a view of its own that it keeps
// up to date by the changes alone. A ledger that all of them share notes what each was told:
//
//   - A UID is given once and goes once; the messages that are there at the end are those that came and did not go, each with
//     the text that it came with.
//   - Each flag of each message is changed by one client only, its owner, so that everybody knows at the end who is right. Some
//     of the changes replace all flags of a message at once, with UnchangedSince, which must not undo anybody else's.
//   - A change that begins after another was acknowledged has the larger modseq.
//   - At the end every client's view equals the mailbox, and so does that of one who looks only when woken.
func testClients(w *world) {
	w.begin()
	l := newLedger(w.backend.Clients)
	left := atomic.Int64{}
	left.Store(int64(w.backend.Operations))
	clients := make([]*client, w.backend.Clients)
	for i := range clients {
		clients[i] = &client{
			id: i, ledger: l, box: w.openIn(w.session(), mailbox.Inbox).Mailbox, known: newReplica(),
			random: rand.New(rand.NewPCG(uint64(i), 5)), mine: map[slot]bool{},
		}
	}
	stopSleeper := w.sleeper()
	var wg sync.WaitGroup
	errs := make([]error, len(clients))
	for i, c := range clients {
		wg.Go(func() {
			for errs[i] == nil && left.Add(-1) >= 0 {
				errs[i] = c.step(w.ctx)
			}
		})
	}
	wg.Wait()
	for i, err := range errs {
		require.NoError(w, err, "client %d", i)
	}
	b := w.open(mailbox.Inbox)
	l.settle(w, b, clients)
	stopSleeper(b)
	w.restart()
	l.settle(w, w.open(mailbox.Inbox), nil)
}

// sleeper lets one more client follow the mailbox only when it is woken. What it gives requires that it knows everything soon.
func (w *world) sleeper() func(b box) {
	view := w.openIn(w.session(), mailbox.Inbox)
	watcher, ok := view.Mailbox.(mailbox.Watcher)
	if !ok {
		return func(box) {}
	}
	wake, look, end := make(chan struct{}, 1), make(chan chan string), make(chan struct{})
	var metas []mailbox.Meta // what there is in the end; not nil once look was used
	stop := watcher.Watch(wake)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r := newReplica()
		var err error
		for {
			select {
			case <-wake:
				if err == nil {
					err = r.follow(w.ctx, view.Mailbox)
				}
			case answer := <-look:
				if err != nil {
					answer <- err.Error()
				} else {
					answer <- r.differs(metas)
				}
			case <-end:
				return
			}
		}
	}()
	w.Cleanup(func() {
		stop()
		close(end)
		<-done
	})
	return func(b box) {
		var err error
		metas, err = b.Messages(w.ctx, b.uids())
		require.NoError(w, err)
		answer := make(chan string)
		for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
			look <- answer
			what := <-answer
			if what == "" {
				return
			}
			require.Less(w, time.Since(began), wakeTime, "one who waits for wake-ups: %s", what)
		}
	}
}

// slot is a flag of a message.
type slot struct {
	uid  mailbox.UID
	flag int
}

// slots are the flags that clients use: enough keywords that a store which has letters for them runs out of letters.
func slots() []mailbox.Flag {
	out := []mailbox.Flag{mailbox.Seen, mailbox.Answered, mailbox.Flagged, mailbox.Deleted, mailbox.Draft}
	for n := range 27 {
		out = append(out, mailbox.Flag(fmt.Sprintf("$kw%d", n)))
	}
	return out
}

// client is one of many. Everything in it is its own.
type client struct {
	id     int
	ledger *ledger
	box    mailbox.Mailbox
	known  *replica
	uids   []mailbox.UID // of known
	random *rand.Rand
	mine   map[slot]bool // what it has set, of the slots that are its own
}

// crowd is about how many messages the clients keep in the mailbox.
const crowd = 300

// favourites is how many of them everybody works on.
const favourites = 8

// step does one operation.
func (c *client) step(ctx context.Context) error {
	if c.known.seq == 0 || c.random.IntN(8) == 0 {
		return c.follow(ctx)
	}
	n := c.random.IntN(100)
	switch {
	case len(c.uids) == 0 || n < 24 && len(c.uids) < crowd:
		return c.append(ctx)
	case n < 75:
		return c.flag(ctx)
	case n < 80:
		return c.put(ctx, c.box.Copy, false)
	case n < 85:
		return c.put(ctx, c.box.Move, true)
	case n < 90:
		return c.read(ctx)
	}
	return c.expunge(ctx)
}

func (c *client) follow(ctx context.Context) error {
	if err := c.known.follow(ctx, c.box); err != nil {
		return err
	}
	c.uids = c.known.uids()
	c.ledger.reached(c.known.seq)
	return nil
}

// pick picks a message, often one of the oldest, which others pick as well.
func (c *client) pick() mailbox.UID {
	if c.random.IntN(3) == 0 {
		return c.uids[c.random.IntN(min(len(c.uids), favourites))]
	}
	return c.uids[c.random.IntN(len(c.uids))]
}

func (c *client) append(ctx context.Context) error {
	var flags []mailbox.Flag
	for n := range slots() {
		if c.random.IntN(6) == 0 {
			flags = append(flags, slots()[n])
		}
	}
	before := c.ledger.modseq()
	text := c.ledger.text()
	uid, err := c.box.Append(ctx, strings.NewReader(text), mailbox.AppendOptions{Size: int64(len(text)), Flags: flags})
	if err != nil {
		return fmt.Errorf("append: %w", err)
	}
	if err := c.ledger.came(uid, birth{text: text, flags: flags, known: true}); err != nil {
		return err
	}
	metas, err := c.box.Messages(ctx, []mailbox.UID{uid})
	if err != nil {
		return fmt.Errorf("messages: %w", err)
	}
	if len(metas) == 0 {
		return nil // another was quick to expunge it
	}
	return c.ledger.grew("append", before, metas[0])
}

// flag changes one of its flags of a message that has one.
func (c *client) flag(ctx context.Context) error {
	clients := c.ledger.clients
	for range 40 {
		uid := c.pick()
		n := (c.id - int(uid)%clients + clients) % clients // the slots n, n+clients, … of this message are its own
		if n >= len(slots()) {
			continue
		}
		if more := (len(slots()) - 1 - n) / clients; more > 0 {
			n += clients * c.random.IntN(more+1)
		}
		return c.toggle(ctx, slot{uid, n})
	}
	return c.follow(ctx)
}

// toggle changes a flag that is its own: alone, or all flags of the message at once as it was when the client last looked, which
// has to be refused if anybody has changed it since.
func (c *client) toggle(ctx context.Context, s slot) error {
	flag := slots()[s.flag]
	metas, err := c.box.Messages(ctx, []mailbox.UID{s.uid})
	if err != nil || len(metas) == 0 {
		return c.missed(s.uid, err)
	}
	from := metas[0]
	if was, ok := c.mine[s]; ok && was != mailbox.HasFlag(from.Flags, flag) {
		return fmt.Errorf("UID %d has flags %v, and the owner of %s had set it to %v", s.uid, from.Flags, flag, was)
	}
	replace, outdated := c.random.IntN(3) == 0, false
	if replace && c.random.IntN(2) == 0 {
		from = c.known.messages[s.uid]
		outdated = from.ModSeq < metas[0].ModSeq
	}
	is, known := c.mine[s]
	if !known { // nobody has changed it yet
		is = mailbox.HasFlag(from.Flags, flag)
	}
	want := !mailbox.HasFlag(from.Flags, flag)
	change := mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{flag}}
	if !want {
		change.Op = mailbox.RemoveFlags
	}
	if replace {
		change.Flags = change.Apply(from.Flags)
		change.Op, change.UnchangedSince = mailbox.ReplaceFlags, from.ModSeq
	}
	before := c.ledger.modseq()
	after, err := c.box.SetFlags(ctx, []mailbox.UID{s.uid}, change)
	if err != nil || len(after) == 0 {
		return c.missed(s.uid, err)
	}
	now := mailbox.HasFlag(after[0].Flags, flag)
	c.mine[s] = now
	switch {
	case !replace && now != want:
		return fmt.Errorf("UID %d: %s was set to %v and is %v", s.uid, flag, want, now)
	case now == want && want != is && outdated:
		return fmt.Errorf("UID %d: flags were set unless it had changed since %d, and it had at %d", s.uid, from.ModSeq, metas[0].ModSeq)
	case now == want && want != is:
		return c.ledger.grew("flags", before, after[0])
	case now != is:
		return fmt.Errorf("UID %d: %s was %v and is %v, when nobody had asked for that", s.uid, flag, is, now)
	case after[0].ModSeq <= change.UnchangedSince:
		return fmt.Errorf("UID %d was refused as changed since %d, and has modseq %d", s.uid, change.UnchangedSince, after[0].ModSeq)
	}
	return nil // it was changed by another
}

// missed notes that a message is gone, if that is all.
func (c *client) missed(uid mailbox.UID, err error) error {
	if err == nil || errors.Is(err, mailbox.ErrExpunged) {
		c.ledger.missed(uid)
		return nil
	}
	return err
}

func (c *client) expunge(ctx context.Context) error {
	uids := []mailbox.UID{c.pick()}
	if c.random.IntN(4) == 0 {
		uids = append(uids, c.pick(), c.pick())
		slices.Sort(uids)
		uids = slices.Compact(uids)
	}
	gone, err := c.box.Expunge(ctx, uids)
	if err != nil {
		return fmt.Errorf("expunge: %w", err)
	}
	for _, uid := range gone {
		if !slices.Contains(uids, uid) {
			return fmt.Errorf("expunged UID %d in place of one of %v", uid, uids)
		}
	}
	return c.ledger.went(gone)
}

func (c *client) put(ctx context.Context, do func(context.Context, []mailbox.UID, string) (mailbox.Copied, error), move bool) error {
	uid := c.pick()
	copied, err := do(ctx, []mailbox.UID{uid}, mailbox.Inbox)
	if err != nil {
		return fmt.Errorf("copy or move: %w", err)
	}
	if len(copied.Source) != len(copied.Dest) || len(copied.Source) > 0 && copied.Source[0] != uid {
		return fmt.Errorf("copied %v to %v, not %d", copied.Source, copied.Dest, uid)
	}
	for _, dest := range copied.Dest {
		if err := c.ledger.copied(uid, dest); err != nil {
			return err
		}
	}
	if move {
		return c.ledger.went(copied.Source)
	}
	return nil
}

func (c *client) read(ctx context.Context) error {
	uid := c.pick()
	text, err := readAll(ctx, c.box, uid)
	if err != nil {
		return c.missed(uid, err)
	}
	return c.ledger.reads(uid, text)
}

// readAll reads a message.
func readAll(ctx context.Context, b mailbox.Reader, uid mailbox.UID) (string, error) {
	content, err := b.Content(ctx, uid)
	if err != nil {
		return "", err
	}
	defer content.Close()
	data, err := io.ReadAll(io.NewSectionReader(content, 0, content.Size()))
	return string(data), err
}
