package submission

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// Senders says who may send as whom.
type Senders interface {
	// MaySendAs says whether the user may put address, which is a well-formed mailbox, into the envelope, From or Sender. An
	// error counts as a temporary failure.
	MaySendAs(ctx context.Context, id mailbricks.Identity, address string) (bool, error)
}

// Check makes users send as themselves only, as the package comment says.
func Check(senders Senders) smtpd.Check {
	c := checker{senders}
	return smtpd.Check{Name: "submission", Mail: c.mail, Message: c.message}
}

type checker struct{ senders Senders }

// mail checks the envelope sender.
func (c checker) mail(ctx context.Context, tx *smtpd.Transaction) error {
	id := tx.Session.Peer.Identity
	env := tx.Envelope
	switch {
	case id == nil, env.From == "":
		return nil
	case !strings.Contains(env.From, "@"):
		env.From = own(*id)
		return nil
	}
	return c.grant(ctx, *id, env.From, "Sender address")
}

// grant refuses an address that the user must not send as.
func (c checker) grant(ctx context.Context, id mailbricks.Identity, address, what string) error {
	may, err := c.senders.MaySendAs(ctx, id, address)
	if err != nil {
		return fmt.Errorf("submission: may %s send as %s: %w", own(id), address, err)
	}
	if !may {
		return &mailbricks.Reply{Code: 553, Enhanced: "5.7.1", Text: fmt.Sprintf("<%s>: %s rejected: not owned by user %s", address, what, own(id))}
	}
	return nil
}

// own is the user's own address.
func own(id mailbricks.Identity) string {
	if id.User != "" {
		return id.User
	}
	return id.Login
}

// message checks the header and completes it.
func (c checker) message(ctx context.Context, tx *smtpd.Transaction, msg *mailbricks.Message) error {
	id := tx.Session.Peer.Identity
	if id == nil {
		return nil
	}
	msg.Remove(func(f mailbricks.Field) bool { return f.Is("Bcc") || f.Is("Resent-Bcc") })
	authors, err := c.originator(ctx, tx, msg, "From")
	if err != nil {
		return err
	}
	senders, err := c.originator(ctx, tx, msg, "Sender")
	switch {
	case err != nil:
		return err
	case senders > 1:
		return &mailbricks.Reply{Code: 554, Enhanced: "5.6.0", Text: "Sender holds more than one address"}
	case authors == 0:
		put(msg, "From", "<"+own(*id)+">")
	case authors > 1 && senders == 0:
		put(msg, "Sender", "<"+own(*id)+">")
	}
	if msg.Get("Date") == "" {
		put(msg, "Date", tx.Envelope.Received.Format(time.RFC1123Z))
	}
	if msg.Get("Message-ID") == "" {
		put(msg, "Message-ID", "<"+rand.Text()+"@"+tx.Session.Hostname+">")
	}
	return nil
}

// originator checks one of the fields that say whose message it is, and gives the number of its mailboxes.
func (c checker) originator(ctx context.Context, tx *smtpd.Transaction, msg *mailbricks.Message, name string) (int, error) {
	values := msg.Values(name)
	if len(values) > 1 { // RFC 5322 §3.6: readers differ in which one they show
		return 0, &mailbricks.Reply{Code: 554, Enhanced: "5.6.0", Text: "Message has more than one " + name + " field"}
	}
	if len(values) == 0 {
		return 0, nil
	}
	id := *tx.Session.Peer.Identity
	list, err := parseMailboxes(values[0], own(id))
	if err != nil {
		return 0, &mailbricks.Reply{Code: 554, Enhanced: "5.6.0", Text: name + " field: " + err.Error()}
	}
	for _, m := range list {
		if m.address == own(id) {
			continue
		}
		if err := c.grant(ctx, id, m.address, name+" address"); err != nil {
			return 0, err
		}
	}
	switch {
	case len(list) == 0: // an empty field
		msg.Remove(func(f mailbricks.Field) bool { return f.Is(name) })
	case !sameToEverybody(values[0], list):
		msg.Set(name, format(list, tx.Envelope.SMTPUTF8))
	}
	return len(list), nil
}

// put adds a field that is missing, also in place of an empty one: behind the others, but in front of them where the
// header has a line that is no field, since readers may take that for the end of the header.
func put(msg *mailbricks.Message, name, value string) {
	msg.Remove(func(f mailbricks.Field) bool { return f.Is(name) })
	for f := range msg.Fields() {
		if f.Name == "" {
			msg.Prepend(name, value)
			return
		}
	}
	msg.Append(name, value)
}
