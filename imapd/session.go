package imapd

import (
	"context"
	"log/slog"
	"slices"
	"strings"
)

// capability is CAPABILITY (RFC 3501 §6.1.1).
func (c *conn) capability(context.Context) error {
	if !c.dec.End() {
		return c.dec.Err()
	}
	c.enc.Raw("* CAPABILITY ").Raw(c.capabilities()).CRLF()
	return nil
}

// noop is NOOP and CHECK (RFC 3501 §6.1.2, §6.4.1): what happened is told by the end of every command.
func (c *conn) noop(context.Context) error {
	if !c.dec.End() {
		return c.dec.Err()
	}
	return nil
}

// logout is LOGOUT (RFC 3501 §6.1.3).
func (c *conn) logout(context.Context) error {
	if !c.dec.End() {
		return c.dec.Err()
	}
	c.status("*", &reply{kind: "BYE", text: "Logging out"})
	c.after = func() error {
		c.saidBye = c.enc.Flush() == nil
		return errBye
	}
	return nil
}

// enable is ENABLE (RFC 5161). No extension that we have needs it; those asked for that are unknown are ignored (§3.1).
func (c *conn) enable(context.Context) error {
	var name string
	if !c.dec.SP() || !c.dec.Atom(&name) {
		return c.dec.Err()
	}
	for c.dec.Accept(' ') {
		if !c.dec.Atom(&name) {
			return c.dec.Err()
		}
	}
	if !c.dec.End() {
		return c.dec.Err()
	}
	c.enc.Raw("* ENABLED\r\n")
	return nil
}

// namespace is NAMESPACE (RFC 2342): all mailboxes are the user's own.
func (c *conn) namespace(context.Context) error {
	if !c.dec.End() {
		return c.dec.Err()
	}
	c.enc.Raw("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n")
	return nil
}

// The limits of RFC 2971 §3.3: how many fields an ID command has, and how long they are in octets.
const (
	maxIDFields = 30
	maxIDValue  = 1024
)

// idCommand is ID (RFC 2971). What the client says of itself goes to the log only.
func (c *conn) idCommand(context.Context) error {
	if !c.dec.SP() {
		return c.dec.Err()
	}
	var fields []any
	if c.dec.Has('(') {
		if !c.dec.List(func() bool { return c.idField(&fields) }) {
			return c.dec.Err()
		}
	} else if !c.dec.Nil() {
		return c.dec.Err()
	}
	if !c.dec.End() {
		return c.dec.Err()
	}
	c.log.Debug("imapd: client", slog.Group("id", fields...))
	c.writeID()
	return nil
}

// idField reads a name and a value.
func (c *conn) idField(fields *[]any) bool {
	var name, value string
	var valid bool
	if !c.dec.String(&name) || !c.dec.SP() || !c.dec.NString(&value, &valid) {
		return false
	}
	if len(*fields)/2 >= maxIDFields || len(value) > maxIDValue {
		return c.dec.Fail("too much of an ID")
	}
	*fields = append(*fields, cleanID(name), cleanID(value))
	return true
}

// cleanID makes a client's words fit for a log.
func cleanID(s string) string { return strings.ToValidUTF8(strings.Map(printable, s), "?") }

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return '?'
	}
	return r
}

func (c *conn) writeID() {
	names := make([]string, 0, len(c.set.id))
	for name := range c.set.id {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) == 0 {
		c.enc.Raw("* ID NIL\r\n")
		return
	}
	c.enc.Raw("* ID (")
	for i, name := range names {
		if i > 0 {
			c.enc.SP()
		}
		c.enc.String(name).SP().String(c.set.id[name])
	}
	c.enc.Raw(")\r\n")
}
