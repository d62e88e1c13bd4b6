package imapd

import (
	"context"
	"slices"

	"github.com/mailbricks/mailbricks/imapd/internal/wire"
	"github.com/mailbricks/mailbricks/mailbox"
)

// expunge is EXPUNGE (RFC 3501 §6.4.3). The EXPUNGE responses come from the sync at the end of the command.
func (c *conn) expunge(ctx context.Context) error {
	if !c.dec.End() {
		return c.dec.Err()
	}
	if c.sel.readOnly {
		return no(codeReadOnly, "Mailbox is read-only")
	}
	return c.expungeDeleted(ctx, c.sel.uids)
}

// uidExpunge is UID EXPUNGE (RFC 4315 §2.1).
func (c *conn) uidExpunge(ctx context.Context) error {
	var set wire.NumSet
	if !c.dec.SP() || !c.dec.NumSet(&set) || !c.dec.End() {
		return c.dec.Err()
	}
	if c.sel.readOnly {
		return no(codeReadOnly, "Mailbox is read-only")
	}
	return c.expungeDeleted(ctx, c.sel.collect(c.sel.byUID(set)))
}

// expungeDeleted removes those of the messages that have \Deleted. Messages that the client has not been told of stay.
func (c *conn) expungeDeleted(ctx context.Context, uids []mailbox.UID) error {
	box := c.sel.box
	status, err := box.Status(ctx)
	if err != nil || status.Deleted == 0 {
		return err
	}
	var deleted []mailbox.UID
	for chunk := range slices.Chunk(uids, metaChunk) {
		metas, err := box.Messages(ctx, chunk)
		if err != nil {
			return err
		}
		for _, m := range metas {
			if mailbox.HasFlag(m.Flags, mailbox.Deleted) {
				deleted = append(deleted, m.UID)
			}
		}
	}
	if len(deleted) == 0 {
		return nil
	}
	_, err = box.Expunge(ctx, deleted)
	return err
}
