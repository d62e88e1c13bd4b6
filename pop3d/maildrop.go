package pop3d

import (
	"context"
	"errors"
	"fmt"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/serving"
	"github.com/mailbricks/mailbricks/mailbox"
)

// metaBatch is how many messages the store is asked about at a time.
const metaBatch = 1000

// maildrop is the INBOX as it was at log-in (RFC 1939 §5).
type maildrop struct {
	store    mailbox.Store
	box      mailbox.Mailbox
	validity uint32
	messages []message
	count    int   // of messages not marked as deleted
	octets   int64 // of those
}

type message struct {
	size      int64
	uid       mailbox.UID
	deleted   bool
	retrieved bool
}

// openMaildrop takes the lock on a user's maildrop and looks into it. On an error nothing stays locked or open.
func (c *conn) openMaildrop(id mailbricks.Identity) error {
	if c.set.Store == nil {
		return errors.New("pop3d: no Store")
	}
	if err := c.set.home.locks.lock(id.User, c.set.LoginDelay); err != nil {
		return err
	}
	drop := &maildrop{}
	err := c.step("store", func(ctx context.Context) error {
		var err error
		if drop.store, err = c.set.Store(ctx, id); err != nil {
			return err
		}
		return drop.open(ctx, c.set.maxMessages)
	})
	if err != nil {
		c.close(drop)
		c.set.home.locks.unlock(id.User)
		return err
	}
	c.set.home.locks.loggedIn(id.User, c.set.LoginDelay)
	c.drop = drop
	return nil
}

// open reads what is in the INBOX of the store.
func (d *maildrop) open(ctx context.Context, limit int) (err error) {
	if d.box, err = d.store.Open(ctx, mailbox.Inbox); err != nil {
		return err
	}
	status, err := d.box.Status(ctx)
	if err != nil {
		return err
	}
	d.validity = status.UIDValidity
	uids, _, err := d.box.UIDs(ctx)
	if err != nil {
		return err
	}
	if serving.Over(len(uids), limit) {
		uids = uids[:limit]
	}
	d.messages = make([]message, 0, len(uids))
	for len(uids) > 0 {
		n := min(len(uids), metaBatch)
		metas, err := d.box.Messages(ctx, uids[:n])
		if err != nil {
			return err
		}
		for _, meta := range metas {
			d.messages = append(d.messages, message{uid: meta.UID, size: meta.Size})
		}
		uids = uids[n:]
	}
	d.unmark()
	return nil
}

// uniqueID is the id of message n (RFC 1939 §7: 1 to 70 characters from 0x21 to 0x7E), in the form that Dovecot gives by
// default.
func (d *maildrop) uniqueID(n int) string {
	return fmt.Sprintf("%08x%08x", uint32(d.messages[n-1].uid), d.validity)
}

// mark marks message n as deleted.
func (d *maildrop) mark(n int) {
	m := &d.messages[n-1]
	m.deleted = true
	d.count--
	d.octets -= m.size
}

// unmark takes back all marks.
func (d *maildrop) unmark() {
	d.count, d.octets = len(d.messages), 0
	for i := range d.messages {
		d.messages[i].deleted = false
		d.octets += d.messages[i].size
	}
}

// update is the UPDATE state (RFC 1939 §6): it removes what is marked. Its error is for the client and says how many
// messages could not be removed.
func (c *conn) update() error {
	var remove, seen []mailbox.UID
	for i := range c.drop.messages {
		switch m := &c.drop.messages[i]; {
		case m.deleted:
			remove = append(remove, m.uid)
		case m.retrieved && !c.set.KeepUnseen:
			seen = append(seen, m.uid)
		}
	}
	if len(seen) > 0 {
		err := c.finish(c.ctx, "flags", func(ctx context.Context) error {
			_, err := c.drop.box.SetFlags(ctx, seen, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen}})
			return err
		})
		if err != nil { // no reason to tell the client that its QUIT has failed
			c.logger.Warn("pop3d: \\Seen not set", "user", c.session.Peer.Identity.User, "err", err)
		}
	}
	left := 0
	if len(remove) > 0 {
		left = c.expunge(remove)
	}
	if t := c.set.Trace.Updated; t != nil {
		t(c.session, len(remove), left)
	}
	if left > 0 {
		return fmt.Errorf("%d of %d deleted messages not removed", left, len(remove))
	}
	return nil
}

// expunge removes messages and returns how many are still there.
func (c *conn) expunge(uids []mailbox.UID) (left int) {
	removed := 0
	err := c.finish(c.ctx, "expunge", func(ctx context.Context) error {
		gone, err := c.drop.box.Expunge(ctx, uids)
		removed = len(gone)
		return err
	})
	if err == nil && removed == len(uids) {
		return 0
	}
	left = len(uids) - removed // some may have been removed by others
	look := c.finish(c.ctx, "messages", func(ctx context.Context) error {
		there, err := c.drop.box.Messages(ctx, uids)
		if err == nil {
			left = len(there)
		}
		return err
	})
	if left > 0 {
		c.logger.Error("pop3d: messages not removed", "user", c.session.Peer.Identity.User, "left", left, "err", errors.Join(err, look))
	}
	return left
}

// closeMaildrop ends the use of the store and gives the lock back.
func (c *conn) closeMaildrop() {
	if c.drop == nil {
		return
	}
	c.close(c.drop)
	c.drop = nil
	c.set.home.locks.unlock(c.session.Peer.Identity.User)
}

// close closes what of a maildrop is open.
func (c *conn) close(d *maildrop) {
	err := c.finish(c.ctx, "close", func(context.Context) error {
		var box, store error
		if d.box != nil {
			box = d.box.Close()
		}
		if d.store != nil {
			store = d.store.Close()
		}
		return errors.Join(box, store)
	})
	if err != nil {
		c.logger.Warn("pop3d: store not closed", "err", err)
	}
}
