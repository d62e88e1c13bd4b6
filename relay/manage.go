package relay

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Entry is a message in the queue, as an administrator sees it.
type Entry struct {
	// ID is its name in the queue, EnvelopeID that of the transaction in which it came.
	ID         string `json:"id"`
	EnvelopeID string `json:"envelope_id,omitempty"`
	// Key is what Send was given with Key.
	Key string `json:"key,omitempty"`
	// From is the envelope sender; empty for the null sender.
	From string `json:"from"`
	// Size is that of the message in octets.
	Size int64 `json:"size"`
	// Queued is when it was stored, Expires when it is tried the last time.
	Queued  time.Time `json:"queued,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
	// Held says that nothing is tried until Release.
	Held bool `json:"held"`
	// Removed says that it was removed while an attempt, or a notification, was under way; it is gone when that ends.
	Removed bool `json:"removed,omitempty"`
	// Next is when something is due next; zero when nothing is, or it runs now.
	Next time.Time `json:"next,omitzero"`
	// Recipients are in the order of the envelope.
	Recipients []EntryRecipient `json:"recipients"`
}

// EntryRecipient is where a recipient of an Entry stands.
type EntryRecipient struct {
	// Address is the recipient's.
	Address string `json:"address"`
	// State is the last thing that happened to it.
	State Kind `json:"state"`
	// Since is when that happened.
	Since time.Time `json:"since"`
	// Held says that this recipient waits for Release (see Options.HoldUnknown).
	Held bool `json:"held,omitempty"`
	// Attempts counts the attempts; Last is when the last one began, Next when the next one is due.
	Attempts int       `json:"attempts"`
	Last     time.Time `json:"last,omitzero"`
	Next     time.Time `json:"next,omitzero"`
	// The rest tells the last outcome, see Event.
	Code   int    `json:"code,omitempty"`
	Status string `json:"status,omitempty"`
	Text   string `json:"text,omitempty"`
	Host   string `json:"host,omitempty"`
	Addr   string `json:"addr,omitempty"`
	Reply  string `json:"reply,omitempty"`
	TLS    string `json:"tls,omitempty"`
}

// view is the entry for others. q.mu is held.
func (q *Queue) view(e *entry) Entry {
	v := Entry{
		ID: e.id, EnvelopeID: e.envID, Key: e.key, From: e.from, Size: e.size, Queued: e.created, Expires: e.expires,
		Held: e.held, Removed: e.removed, Next: q.nextIn(e),
	}
	for i := range e.rcpts {
		ev, r := q.event(e, i), &e.rcpts[i]
		v.Recipients = append(v.Recipients, EntryRecipient{
			Address: r.address, State: r.Kind, Since: r.When, Held: r.Held && r.pending(), Attempts: r.Attempts,
			Last: r.Last, Next: ev.Next, Code: r.Code, Status: r.Status, Text: r.Text, Host: r.Host, Addr: r.Addr,
			Reply: r.Reply, TLS: r.TLS,
		})
	}
	return v
}

// nextIn is when something is due next in an entry; zero when nothing is, or it runs now. q.mu is held.
func (q *Queue) nextIn(e *entry) time.Time {
	if e.removed || e.unheard {
		return time.Time{}
	}
	next, now := e.tellDue(), wallNow()
	for i := range e.rcpts {
		r := &e.rcpts[i]
		at := q.nextOf(e, r)
		if r.job != nil && (r.job.state == running || !at.After(now)) {
			continue
		}
		next = sooner(next, at)
	}
	return next
}

// List gives the messages in the queue, oldest first.
func (q *Queue) List(ctx context.Context) ([]Entry, error) {
	if err := q.enter(ctx); err != nil {
		return nil, err
	}
	defer q.leave()
	q.mu.Lock()
	list := make([]Entry, 0, len(q.entries))
	for _, e := range q.entries {
		list = append(list, q.view(e))
	}
	q.mu.Unlock()
	slices.SortFunc(list, func(a, b Entry) int {
		if c := a.Queued.Compare(b.Queued); c != 0 {
			return c
		}
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return list, nil
}

// Show gives one message: one in the queue, or one that was given to Send, has ended and is still remembered (its Size
// and times are zero then). ErrNotFound otherwise.
func (q *Queue) Show(ctx context.Context, id string) (Entry, error) {
	if err := q.enter(ctx); err != nil {
		return Entry{}, err
	}
	defer q.leave()
	e := q.find(id)
	if e == nil {
		return Entry{}, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.view(e), nil
}

// Retry makes the waiting recipients of these messages due now; without an ID, those of all. Held ones stay held. It
// leaves nothing on disk: after a restart the schedule holds again.
func (q *Queue) Retry(ctx context.Context, ids ...string) error {
	if err := q.enter(ctx); err != nil {
		return err
	}
	defer q.leave()
	now := wallNow()
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, id := range ids {
		if e := q.entries[id]; e == nil || e.removed {
			return fmt.Errorf("%w: %s", ErrNotFound, id)
		}
	}
	for _, id := range ids {
		q.retry(q.entries[id], now)
	}
	if len(ids) == 0 {
		for _, e := range q.entries {
			q.retry(e, now)
		}
	}
	q.poke()
	return nil
}

// retry makes what waits due. q.mu is held.
func (q *Queue) retry(e *entry, now time.Time) {
	e.tellAt = time.Time{}
	for i := range e.rcpts {
		r := &e.rcpts[i]
		if d := q.dests[r.dest]; d != nil {
			d.rest, d.shut = time.Time{}, false
		}
		if r.pending() && !r.Open {
			r.Next = now
		}
	}
	q.schedule(e)
}

// Hold keeps a message from being tried until Release. An attempt that runs comes to its end.
func (q *Queue) Hold(ctx context.Context, id string) error {
	return q.change(ctx, id, func(e *entry, _ time.Time) []int {
		held := true
		e.held = true
		q.journal.add(change{ID: e.id, Held: &held})
		return pendingOf(e)
	}, Held)
}

// Release ends Hold, and the hold of recipients whose outcome is unknown. What waited is due at once, and the lifetime
// lasts for one attempt at least.
func (q *Queue) Release(ctx context.Context, id string) error {
	return q.change(ctx, id, func(e *entry, now time.Time) []int {
		held := false
		e.held = false
		q.journal.add(change{ID: e.id, Held: &held})
		picks := pendingOf(e)
		for _, i := range picks {
			e.rcpts[i].Held, e.rcpts[i].Next = false, now
			if j := e.rcpts[i].job; j != nil {
				j.released = true
			}
		}
		return picks
	}, Released)
}

// Remove takes a message out of the queue. Nobody is told. An attempt that has come to the final dot still delivers; until
// a running attempt ends, List has the message with Entry.Removed, and no method but Show and Events finds it.
//
// When the disk fails, Remove returns that failure; the message is out of the queue all the same, but may come back with
// the next start if the disk cannot be written to until then. On a full disk, removing a large message makes room.
func (q *Queue) Remove(ctx context.Context, id string) error {
	return q.change(ctx, id, func(e *entry, now time.Time) []int {
		picks := pendingOf(e)
		e.removed = true
		q.withdraw(e, now)
		return picks
	}, Removed)
}

func pendingOf(e *entry) (picks []int) {
	for i := range e.rcpts {
		if e.rcpts[i].pending() {
			picks = append(picks, i)
		}
	}
	return picks
}

// change changes a message that is in the queue: do says which recipients it has changed and kind, unless empty, what
// event that is for them. What it did is on disk when change returns nil.
func (q *Queue) change(ctx context.Context, id string, do func(e *entry, now time.Time) []int, kind Kind) error {
	if err := q.enter(ctx); err != nil {
		return err
	}
	defer q.leave()
	now := wallNow()
	var events []Event
	q.mu.Lock()
	e := q.entries[id]
	if e == nil || e.removed {
		q.mu.Unlock()
		return fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	picks := do(e, now)
	if kind != "" {
		for _, i := range picks {
			events = append(events, q.note(e, i, kind, now))
		}
	}
	if len(picks) > 0 {
		q.record(e, picks...)
	}
	ended := q.finish(e)
	q.schedule(e)
	q.mu.Unlock()

	err := q.journal.commit()
	if err != nil && ended {
		err = q.makeRoom(e)
	}
	if err != nil {
		return err
	}
	if ended {
		q.discard(e.id)
	}
	q.logOutcomes(events)
	q.tell(events)
	return nil
}

// makeRoom removes the file of a message whose end could not be noted, as on a full disk, and tries to note it again.
func (q *Queue) makeRoom(e *entry) error {
	q.discard(e.id)
	synced := q.dirs.Sync(q.messages()) == nil
	err := q.journal.commit()
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, there := q.leaving[e.id]; !there && synced && e.size > maxLoose {
		return nil // it was never in a journal, so its file was all that could bring it back
	}
	return err
}
