package imapd

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/mailbricks/mailbricks/imapd/internal/wire"
	"github.com/mailbricks/mailbricks/mailbox"
)

// systemFlags are the flags that every mailbox has.
func systemFlags() []mailbox.Flag {
	return []mailbox.Flag{mailbox.Answered, mailbox.Flagged, mailbox.Deleted, mailbox.Seen, mailbox.Draft}
}

// selectCommand is SELECT (RFC 3501 §6.3.1).
func (c *conn) selectCommand(ctx context.Context) error { return c.open(ctx, false) }

// examine is EXAMINE (RFC 3501 §6.3.2).
func (c *conn) examine(ctx context.Context) error { return c.open(ctx, true) }

func (c *conn) open(ctx context.Context, readOnly bool) error {
	name, err := c.oneMailbox()
	if errors.Is(err, wire.ErrMailboxName) {
		c.deselect()
	}
	if err != nil {
		return err
	}
	c.deselect() // RFC 3501 §6.3.1: also if the new one cannot be selected
	box, err := c.store.Open(ctx, name)
	if err != nil {
		return err
	}
	sel := &selected{name: name, box: box, readOnly: readOnly}
	status, firstUnseen, err := sel.load(ctx)
	if err != nil {
		_ = box.Close() // the failure to open it says it all
		return err
	}
	c.sel = sel
	c.writeSelected(status, firstUnseen)
	if readOnly {
		return ok(codeReadOnly, "EXAMINE completed")
	}
	return ok(codeReadWrite, "SELECT completed")
}

// load learns what is in the mailbox.
func (s *selected) load(ctx context.Context) (status mailbox.Status, firstUnseen int, err error) {
	// UIDNEXT is asked for before the UIDs, so that it cannot promise the client to have seen a message that it is not
	// told of.
	if status, err = s.box.Status(ctx); err != nil {
		return status, 0, err
	}
	firstRecent, err := s.takeRecent(ctx)
	if err != nil {
		return status, 0, err
	}
	if s.uids, s.modseq, err = s.box.UIDs(ctx); err != nil {
		return status, 0, err
	}
	s.uids = slices.Clone(s.uids) // ours to change
	if n := len(s.uids); n > 0 {
		s.last = s.uids[n-1]
	}
	status.UIDNext = max(status.UIDNext, s.last+1)
	s.last = status.UIDNext - 1
	s.keywords = status.Keywords[:min(len(status.Keywords), maxKeywords):min(len(status.Keywords), maxKeywords)]
	if _, keeps := s.box.(mailbox.RecentKeeper); keeps && s.readOnly && min(status.Recent, len(s.uids)) > 0 {
		firstRecent = s.uids[max(0, len(s.uids)-status.Recent)]
	}
	s.addRecent(firstRecent)
	s.toldRecent = s.countRecent()
	if status.Unseen > 0 {
		firstUnseen, err = s.firstUnseen(ctx)
	}
	return status, firstUnseen, err
}

// takeRecent takes the recent messages for this session; 0 stands for none.
func (s *selected) takeRecent(ctx context.Context) (mailbox.UID, error) {
	keeper, can := s.box.(mailbox.RecentKeeper)
	if !can || s.readOnly {
		return 0, nil
	}
	return keeper.TakeRecent(ctx)
}

// firstUnseen is the sequence number of the first message without \Seen, 0 if there is none.
func (s *selected) firstUnseen(ctx context.Context) (int, error) {
	for chunk := range slices.Chunk(s.uids, metaChunk) {
		metas, err := s.box.Messages(ctx, chunk)
		if err != nil {
			return 0, err
		}
		for _, m := range metas {
			if !mailbox.HasFlag(m.Flags, mailbox.Seen) {
				return s.seq(m.UID), nil
			}
		}
	}
	return 0, nil
}

func (c *conn) writeSelected(status mailbox.Status, firstUnseen int) {
	sel := c.sel
	c.writeFlagLists()
	c.enc.Raw("* ").Number(int64(len(sel.uids))).Raw(" EXISTS\r\n")
	c.enc.Raw("* ").Number(int64(sel.toldRecent)).Raw(" RECENT\r\n")
	if firstUnseen > 0 {
		c.status("*", ok("UNSEEN "+strconv.Itoa(firstUnseen), "First unseen"))
	}
	c.status("*", ok("UIDVALIDITY "+strconv.FormatUint(uint64(status.UIDValidity), 10), "UIDs valid"))
	c.status("*", ok("UIDNEXT "+strconv.FormatUint(uint64(status.UIDNext), 10), "Predicted next UID"))
}

// writeFlagLists sends FLAGS and PERMANENTFLAGS.
func (c *conn) writeFlagLists() {
	flags := append(systemFlags(), c.sel.keywords...)
	c.enc.Raw("* FLAGS (")
	c.flagNames(flags)
	c.enc.Raw(")\r\n* OK [PERMANENTFLAGS (")
	if !c.sel.readOnly {
		c.flagNames(flags)
		c.enc.Raw(` \*`)
	}
	c.enc.Raw(")] Flags permitted\r\n")
}

func (c *conn) flagNames(flags []mailbox.Flag) {
	for i, f := range flags {
		if i > 0 {
			c.enc.SP()
		}
		c.enc.Flag(string(f))
	}
}

// deselect leaves the selected mailbox, if there is one.
func (c *conn) deselect() {
	sel := c.sel
	if sel == nil {
		return
	}
	c.sel = nil
	if err := sel.box.Close(); err != nil {
		c.log.Warn("imapd: closing a mailbox failed", "mailbox", sel.name, "err", err)
	}
}

// closeCommand is CLOSE (RFC 3501 §6.4.2): it expunges without a word, except in a read-only session.
func (c *conn) closeCommand(ctx context.Context) error {
	if !c.dec.End() {
		return c.dec.Err()
	}
	if !c.sel.readOnly {
		if err := c.expungeDeleted(ctx, c.sel.uids); err != nil {
			return err
		}
	}
	c.deselect()
	return nil
}

// unselect is UNSELECT (RFC 3691).
func (c *conn) unselect(context.Context) error {
	if !c.dec.End() {
		return c.dec.Err()
	}
	c.deselect()
	return nil
}
