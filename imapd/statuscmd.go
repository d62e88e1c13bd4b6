package imapd

import (
	"context"
	"errors"
	"slices"

	"github.com/mailbricks/mailbricks/mailbox"
)

// statusCommand is STATUS (RFC 3501 §6.3.10).
func (c *conn) statusCommand(ctx context.Context) error {
	var name string
	var items []string
	if !c.dec.SP() || !c.dec.Mailbox(&name) || !c.dec.SP() || !c.statusItems(&items) || !c.dec.End() {
		return c.dec.Err()
	}
	status, err := c.statusOf(ctx, name)
	if err != nil {
		return err
	}
	c.writeStatus(name, items, status)
	return nil
}

// statusItems reads the list of items; extensions add theirs here and in writeStatus.
func (c *conn) statusItems(items *[]string) bool {
	if !c.dec.List(func() bool {
		var item string
		if !c.dec.Keyword(&item) {
			return false
		}
		switch item {
		case "MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN":
		case "SIZE": // RFC 8438
		case "APPENDLIMIT": // RFC 7889 §3.2
		default:
			return c.dec.Fail("unknown STATUS item")
		}
		if !slices.Contains(*items, item) {
			*items = append(*items, item)
		}
		return true
	}) {
		return false
	}
	if len(*items) == 0 {
		return c.dec.Fail("expected a STATUS item")
	}
	return true
}

// statusOf counts in a mailbox without selecting it.
func (c *conn) statusOf(ctx context.Context, name string) (mailbox.Status, error) {
	box, err := c.store.Open(ctx, name)
	if err != nil {
		return mailbox.Status{}, err
	}
	status, err := box.Status(ctx)
	return status, errors.Join(err, box.Close())
}

func (c *conn) writeStatus(name string, items []string, s mailbox.Status) {
	c.enc.Raw("* STATUS ").Mailbox(name).Raw(" (")
	for i, item := range items {
		if i > 0 {
			c.enc.SP()
		}
		c.enc.Raw(item).SP()
		switch item {
		case "MESSAGES":
			c.enc.Number(int64(s.Messages))
		case "RECENT":
			c.enc.Number(int64(s.Recent))
		case "UIDNEXT":
			c.enc.Number(int64(s.UIDNext))
		case "UIDVALIDITY":
			c.enc.Number(int64(s.UIDValidity))
		case "UNSEEN":
			c.enc.Number(int64(s.Unseen))
		case "SIZE":
			c.enc.Number(s.Size)
		case "APPENDLIMIT":
			if c.set.maxAppend < 0 {
				c.enc.Raw("NIL")
			} else {
				c.enc.Number(c.set.maxAppend)
			}
		}
	}
	c.enc.Raw(")\r\n")
}
