package mailboxtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/mailbricks/mailbricks/mailbox"
)

// replica is what a client knows that follows a mailbox by its changes alone.
type replica struct {
	seq      mailbox.ModSeq
	last     mailbox.UID // the largest it was told of
	messages map[mailbox.UID]mailbox.Meta
	// tooOld counts how often it had to look at everything.
	tooOld int
}

func newReplica() *replica { return &replica{messages: map[mailbox.UID]mailbox.Meta{}} }

// follow brings it up to date, and fails if what it is told cannot be.
func (r *replica) follow(ctx context.Context, b mailbox.Reader) error {
	c, err := b.Changes(ctx, r.seq)
	if errors.Is(err, mailbox.ErrTooOld) {
		return r.look(ctx, b)
	}
	if err != nil {
		return err
	}
	if c.ModSeq < r.seq {
		return fmt.Errorf("modseq went back from %d to %d", r.seq, c.ModSeq)
	}
	last := r.last
	for i, m := range c.Changed {
		_, known := r.messages[m.UID]
		switch {
		case i > 0 && m.UID <= c.Changed[i-1].UID:
			return fmt.Errorf("UID %d comes after %d in Changed", m.UID, c.Changed[i-1].UID)
		case m.ModSeq <= r.seq:
			return fmt.Errorf("UID %d has modseq %d and is not news after %d", m.UID, m.ModSeq, r.seq)
		case m.ModSeq > c.ModSeq:
			return fmt.Errorf("UID %d has modseq %d, which is after %d", m.UID, m.ModSeq, c.ModSeq)
		case !known && m.UID <= r.last:
			return fmt.Errorf("UID %d is new and not larger than %d, which was known", m.UID, r.last)
		}
		r.messages[m.UID] = m
		last = max(last, m.UID)
	}
	for i, uid := range c.Expunged {
		if i > 0 && uid <= c.Expunged[i-1] {
			return fmt.Errorf("UID %d comes after %d in Expunged", uid, c.Expunged[i-1])
		}
		delete(r.messages, uid)
		last = max(last, uid)
	}
	r.seq, r.last = c.ModSeq, last
	return nil
}

// look looks at everything, as a client does whose last look was too long ago.
func (r *replica) look(ctx context.Context, b mailbox.Reader) error {
	r.tooOld++
	uids, seq, err := b.UIDs(ctx)
	if err != nil {
		return err
	}
	if seq < r.seq {
		return fmt.Errorf("modseq went back from %d to %d", r.seq, seq)
	}
	metas, err := b.Messages(ctx, uids)
	if err != nil {
		return err
	}
	clear(r.messages)
	for _, m := range metas {
		r.messages[m.UID] = m
		r.last = max(r.last, m.UID)
	}
	r.seq = seq
	return nil
}

// uids has what it knows of, ascending.
func (r *replica) uids() []mailbox.UID { return slices.Sorted(maps.Keys(r.messages)) }

// differs says how it differs from what the mailbox holds; empty: it does not.
func (r *replica) differs(metas []mailbox.Meta) string {
	if len(metas) != len(r.messages) {
		return fmt.Sprintf("%d messages are known by the changes, %d are there", len(r.messages), len(metas))
	}
	for _, m := range metas {
		known, ok := r.messages[m.UID]
		switch {
		case !ok:
			return fmt.Sprintf("UID %d is there and no change told of it", m.UID)
		case known.ModSeq != m.ModSeq || !sameSet(known.Flags, m.Flags):
			return fmt.Sprintf("UID %d has flags %v and modseq %d, by its changes %v and %d", m.UID, m.Flags, m.ModSeq,
				known.Flags, known.ModSeq)
		}
	}
	return ""
}

// sameSet compares flags without doubles, in any order.
func sameSet(a, b []mailbox.Flag) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(f mailbox.Flag) bool { return !mailbox.HasFlag(b, f) })
}
