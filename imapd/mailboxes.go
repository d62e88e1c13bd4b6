package imapd

import (
	"context"
	"strings"

	"github.com/mailbricks/mailbricks/mailbox"
)

// organizer is the store's ability to change its mailboxes.
func (c *conn) organizer() (mailbox.Organizer, error) {
	o, can := c.store.(mailbox.Organizer)
	if !can {
		return nil, no(codeCannot, "Mailboxes cannot be changed here")
	}
	return o, nil
}

// oneMailbox reads the only argument of a command.
func (c *conn) oneMailbox() (name string, err error) {
	if !c.dec.SP() || !c.dec.Mailbox(&name) || !c.dec.End() {
		return "", c.dec.Err()
	}
	return name, nil
}

// create is CREATE (RFC 3501 §6.3.3), with a special use (RFC 6154 §5).
func (c *conn) create(ctx context.Context) error {
	var name string
	var uses []mailbox.Use
	if !c.dec.SP() || !c.dec.Mailbox(&name) {
		return c.dec.Err()
	}
	if c.dec.Accept(' ') && !c.createParams(&uses) || !c.dec.End() {
		return c.dec.Err()
	}
	use, err := oneUse(uses)
	if err != nil {
		return err
	}
	o, err := c.organizer()
	if err != nil {
		return err
	}
	// A delimiter at the end only declares that there will be mailboxes below.
	name = strings.TrimSuffix(name, mailbox.Delimiter)
	return o.Create(ctx, name, use)
}

// createParams reads "(" "USE" SP "(" [use *(SP use)] ")" ")" (RFC 4466 §2.2, RFC 6154 §6).
func (c *conn) createParams(uses *[]mailbox.Use) bool {
	return c.dec.List(func() bool {
		var param, use string
		if !c.dec.Keyword(&param) {
			return false
		}
		if param != "USE" {
			return c.dec.Fail("unknown parameter of CREATE")
		}
		return c.dec.SP() && c.dec.List(func() bool {
			if !c.dec.Flag(&use) {
				return false
			}
			*uses = append(*uses, mailbox.Use(use))
			return true
		})
	})
}

// oneUse is the use that a mailbox is created with: at most one, and one that mailboxes can be given.
func oneUse(uses []mailbox.Use) (mailbox.Use, error) {
	if len(uses) == 0 {
		return "", nil
	}
	if len(uses) == 1 {
		for _, known := range []mailbox.Use{mailbox.UseArchive, mailbox.UseDrafts, mailbox.UseJunk, mailbox.UseSent, mailbox.UseTrash} {
			if strings.EqualFold(string(known), string(uses[0])) {
				return known, nil
			}
		}
	}
	return "", no(codeUseAttr, "Special use not supported") // RFC 6154 §3
}

// delete is DELETE (RFC 3501 §6.3.4). The mailbox that is selected is left first.
func (c *conn) delete(ctx context.Context) error {
	name, err := c.oneMailbox()
	if err != nil {
		return err
	}
	o, err := c.organizer()
	if err != nil {
		return err
	}
	if name == mailbox.Inbox {
		return no(codeCannot, "INBOX cannot be deleted")
	}
	if c.sel != nil && c.sel.name == name {
		c.deselect()
	}
	return o.Delete(ctx, name)
}

// rename is RENAME (RFC 3501 §6.3.5).
func (c *conn) rename(ctx context.Context) error {
	var from, to string
	if !c.dec.SP() || !c.dec.Mailbox(&from) || !c.dec.SP() || !c.dec.Mailbox(&to) || !c.dec.End() {
		return c.dec.Err()
	}
	o, err := c.organizer()
	if err != nil {
		return err
	}
	to = strings.TrimSuffix(to, mailbox.Delimiter)
	if err := o.Rename(ctx, from, to); err != nil {
		return err
	}
	c.renamed(from, to)
	return nil
}

// renamed keeps the name of the selected mailbox right. INBOX stays what it is.
func (c *conn) renamed(from, to string) {
	if c.sel == nil || from == mailbox.Inbox {
		return
	}
	rest, below := strings.CutPrefix(c.sel.name, from)
	if below && (rest == "" || strings.HasPrefix(rest, mailbox.Delimiter)) {
		c.sel.name = to + rest
	}
}

// subscribe is SUBSCRIBE (RFC 3501 §6.3.6).
func (c *conn) subscribe(ctx context.Context) error { return c.setSubscribed(ctx, true) }

// unsubscribe is UNSUBSCRIBE (RFC 3501 §6.3.7).
func (c *conn) unsubscribe(ctx context.Context) error { return c.setSubscribed(ctx, false) }

func (c *conn) setSubscribed(ctx context.Context, on bool) error {
	name, err := c.oneMailbox()
	if err != nil {
		return err
	}
	o, err := c.organizer()
	if err != nil {
		return err
	}
	return o.Subscribe(ctx, strings.TrimSuffix(name, mailbox.Delimiter), on)
}
