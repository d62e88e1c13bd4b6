package imapd

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/mailbricks/mailbricks/mailbox"
)

// metaChunk is how many messages a store is asked about at a time.
const metaChunk = 500

// maxKeywords is how many keywords of a mailbox are listed in FLAGS; clients see others all the same.
const maxKeywords = 500

// sync asks the store what happened and tells the client. EXPUNGE responses are sent only if expunge is set.
func (c *conn) sync(ctx context.Context, expunge bool) error {
	changes, err := c.changes(ctx)
	if err != nil {
		return err
	}
	sel := c.sel
	fresh := sel.newUIDs(changes.Changed)
	if len(fresh) > 0 {
		if changes, fresh, err = c.takeRecent(ctx, changes); err != nil {
			return err
		}
	}
	sel.modseq = changes.ModSeq
	sel.markGone(changes.Expunged)
	known := changes.Changed
	if n := len(fresh); n > 0 {
		known = known[:len(known)-n]
	}
	if expunge {
		sel.removeGone(func(seq int) { c.enc.Raw("* ").Number(int64(seq)).Raw(" EXPUNGE\r\n") })
	}
	c.tellNew(fresh)
	c.tellFlags(known)
	return nil
}

// newUIDs are the messages of changes that are not in the view yet: those with larger UIDs than it ever had.
func (s *selected) newUIDs(changed []mailbox.Meta) []mailbox.UID {
	from, _ := slices.BinarySearchFunc(changed, s.last+1, func(m mailbox.Meta, uid mailbox.UID) int {
		return cmp.Compare(m.UID, uid)
	})
	fresh := make([]mailbox.UID, 0, len(changed)-from)
	for _, m := range changed[from:] {
		fresh = append(fresh, m.UID)
	}
	return fresh
}

// takeRecent makes new messages this session's recent ones. It asks for changes once more after that, so that no message
// is taken without being seen: it would be recent for nobody.
func (c *conn) takeRecent(ctx context.Context, changes mailbox.Changes) (mailbox.Changes, []mailbox.UID, error) {
	sel := c.sel
	keeper, can := sel.box.(mailbox.RecentKeeper)
	if !can {
		return changes, sel.newUIDs(changes.Changed), nil
	}
	first := sel.last + 1 // in a read-only session they stay recent for the next one, too
	if !sel.readOnly {
		var err error
		if first, err = keeper.TakeRecent(ctx); err != nil {
			return changes, nil, err
		}
	}
	changes, err := c.changes(ctx)
	if err != nil {
		return changes, nil, err
	}
	fresh := sel.newUIDs(changes.Changed)
	if len(fresh) > 0 {
		old := sel.last
		sel.last = fresh[len(fresh)-1]
		sel.addRecent(max(first, old+1))
		sel.last = old
	}
	return changes, fresh, nil
}

// tellNew adds messages to the view and says how many there are now.
func (c *conn) tellNew(fresh []mailbox.UID) {
	sel := c.sel
	if len(fresh) > 0 {
		sel.add(fresh)
		c.enc.Raw("* ").Number(int64(len(sel.uids))).Raw(" EXISTS\r\n")
	}
	if recent := sel.countRecent(); recent != sel.toldRecent || len(fresh) > 0 {
		sel.toldRecent = recent
		c.enc.Raw("* ").Number(int64(recent)).Raw(" RECENT\r\n")
	}
}

// tellFlags sends the flags of messages that the client knows, unless this command has shown them already.
func (c *conn) tellFlags(changed []mailbox.Meta) {
	sel := c.sel
	for _, m := range changed {
		seq := sel.seq(m.UID)
		if seq == 0 || sel.isGone(m.UID) || sel.knows(m) {
			continue
		}
		c.writeFlags(seq, m)
	}
}

// writeFlags sends a FETCH response with the flags of a message.
func (c *conn) writeFlags(seq int, m mailbox.Meta) {
	c.announceKeywords(m.Flags)
	c.enc.Raw("* ").Number(int64(seq)).Raw(" FETCH (")
	if c.uidMode {
		c.enc.Raw("UID ").Number(int64(m.UID)).SP()
	}
	c.flags(m).Raw(")\r\n")
}

// announceKeywords sends FLAGS and PERMANENTFLAGS again when there is a keyword that they did not have.
func (c *conn) announceKeywords(flags []mailbox.Flag) {
	sel := c.sel
	fresh := false
	for _, f := range flags {
		if !f.System() && len(sel.keywords) < maxKeywords && !mailbox.HasFlag(sel.keywords, f) {
			sel.keywords = append(sel.keywords, f)
			fresh = true
		}
	}
	if fresh {
		c.writeFlagLists()
	}
}

// changes are the changes since the view's modseq.
func (c *conn) changes(ctx context.Context) (mailbox.Changes, error) {
	changes, err := c.sel.box.Changes(ctx, c.sel.modseq)
	if errors.Is(err, mailbox.ErrTooOld) {
		return c.compare(ctx)
	}
	return changes, err
}

// compare finds out what happened without a change log.
func (c *conn) compare(ctx context.Context) (mailbox.Changes, error) {
	sel := c.sel
	uids, modseq, err := sel.box.UIDs(ctx)
	if err != nil {
		return mailbox.Changes{}, err
	}
	changes := mailbox.Changes{ModSeq: modseq}
	for _, uid := range sel.uids {
		if _, there := slices.BinarySearch(uids, uid); !there {
			changes.Expunged = append(changes.Expunged, uid)
		}
	}
	for chunk := range slices.Chunk(uids, metaChunk) {
		metas, err := sel.box.Messages(ctx, chunk)
		if err != nil {
			return mailbox.Changes{}, err
		}
		for _, m := range metas {
			if m.ModSeq > sel.modseq || m.UID > sel.last {
				changes.Changed = append(changes.Changed, m)
			}
		}
	}
	return changes, nil
}
