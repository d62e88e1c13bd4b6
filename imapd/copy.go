package imapd

import (
	"context"
	"strconv"

	"github.com/mailbricks/mailbricks/imapd/internal/wire"
	"github.com/mailbricks/mailbricks/mailbox"
)

// copyCommand is COPY and UID COPY (RFC 3501 §6.4.7, §6.4.8).
func (c *conn) copyCommand(ctx context.Context) error {
	uids, dest, err := c.copyArguments()
	if err != nil || len(uids) == 0 {
		return err
	}
	copied, err := c.sel.box.Copy(ctx, uids, dest)
	if err != nil {
		return toDestination(dest, err)
	}
	if len(copied.Source) == 0 {
		return c.nothingLeft()
	}
	return ok(copyUID(copied), "COPY completed")
}

// move is MOVE and UID MOVE (RFC 6851).
func (c *conn) move(ctx context.Context) error {
	uids, dest, err := c.copyArguments()
	if err != nil {
		return err
	}
	if c.sel.readOnly {
		return no(codeReadOnly, "Mailbox is read-only")
	}
	if len(uids) == 0 {
		return nil
	}
	moved, err := c.sel.box.Move(ctx, uids, dest)
	if err != nil {
		return toDestination(dest, err)
	}
	if len(moved.Source) == 0 {
		return c.nothingLeft()
	}
	// RFC 6851 §4.3: COPYUID comes in front of the EXPUNGE responses, which the sync at the end sends.
	c.status("*", ok(copyUID(moved), "Moved"))
	return nil
}

// copyArguments reads sequence-set SP mailbox and finds the messages. Numbers of messages that are gone are refused
// before anything is copied (RFC 2180 §4.4.1).
func (c *conn) copyArguments() (uids []mailbox.UID, dest string, err error) {
	var set wire.NumSet
	if !c.dec.SP() || !c.dec.NumSet(&set) || !c.dec.SP() || !c.dec.Mailbox(&dest) || !c.dec.End() {
		return nil, "", c.dec.Err()
	}
	spans, err := c.messages(set)
	if err != nil {
		return nil, "", err
	}
	if !c.uidMode {
		if err := c.syncOrLeave(false); err != nil {
			return nil, "", err
		}
		if c.sel.goneIn(spans) {
			return nil, "", no(codeExpungeIssued, "Some messages are gone")
		}
	}
	return c.sel.collect(spans), dest, nil
}

// nothingLeft answers when all the messages went between finding and copying them.
func (c *conn) nothingLeft() error {
	if c.uidMode { // RFC 3501 §6.4.8
		return ok(codeExpungeIssued, "The messages are gone")
	}
	return no(codeExpungeIssued, "The messages are gone")
}

// copyUID is the response code of RFC 4315 §3.
func copyUID(copied mailbox.Copied) string {
	b := append([]byte("COPYUID "), strconv.FormatUint(uint64(copied.UIDValidity), 10)...)
	for _, uids := range [][]mailbox.UID{copied.Source, copied.Dest} {
		var set wire.NumSet
		for _, uid := range uids {
			set.Add(uint32(uid))
		}
		b = set.Append(append(b, ' '))
	}
	return string(b)
}
