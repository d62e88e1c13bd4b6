package pop3d

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/internal/serving"
)

// The longest command lines in octets, with their CRLF. AUTH may have serving.MaxLine.
const (
	maxLine = 255 // RFC 2449 §4: what a server must take
	// maxLogin is that of USER and PASS: an argument may have 1,024 octets, since a password that IMAP and SMTP take must
	// do here, too, and an address has up to 320 (RFC 5321 §4.5.3.1).
	maxLogin = len("PASS ") + 1024 + len("\r\n")
)

// longest is the longest line of a command.
func longest(name string) int {
	switch name {
	case "AUTH":
		return serving.MaxLine
	case "USER", "PASS":
		return maxLogin
	}
	return maxLine
}

// verb is a command: its handler gets what stands behind the verb.
type verb struct {
	run func(c *conn, arg string)
	// before and after say whether it may be used before and after log-in (RFC 1939 §4 and §5).
	before, after bool
	// args says whether it takes an argument: never, if it wants, always.
	args arity
}

type arity int

const (
	noArgument arity = iota
	anArgument
	someArgument
)

// verbOf finds a command; nil is none.
func verbOf(name string) *verb {
	switch name {
	case "CAPA":
		return &verb{run: (*conn).capa, before: true, after: true}
	case "STLS":
		return &verb{run: (*conn).stls, before: true}
	case "USER":
		return &verb{run: (*conn).userName, before: true, args: anArgument}
	case "PASS":
		return &verb{run: (*conn).pass, before: true, args: anArgument}
	case "AUTH":
		return &verb{run: (*conn).auth, before: true, args: someArgument}
	case "QUIT":
		return &verb{run: (*conn).quit, before: true, after: true}
	case "STAT":
		return &verb{run: (*conn).stat, after: true}
	case "LIST":
		return &verb{run: (*conn).list, after: true, args: someArgument}
	case "UIDL":
		return &verb{run: (*conn).uidl, after: true, args: someArgument}
	case "RETR":
		return &verb{run: (*conn).retr, after: true, args: anArgument}
	case "TOP":
		return &verb{run: (*conn).top, after: true, args: anArgument}
	case "DELE":
		return &verb{run: (*conn).dele, after: true, args: anArgument}
	case "RSET":
		return &verb{run: (*conn).rset, after: true}
	case "NOOP":
		return &verb{run: (*conn).noop, after: true}
	}
	return nil
}

// command answers one line.
func (c *conn) command(line []byte) {
	text := strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")
	name, arg, hasArg := strings.Cut(text, " ")
	name = strings.ToUpper(name)
	c.failed = false
	c.dispatch(name, arg, hasArg, len(line))
	if name != "USER" {
		c.user = "" // PASS comes right after USER (RFC 1939 §7)
	}
	if t := c.set.Trace.Command; t != nil {
		if verbOf(name) == nil {
			name = "UNKNOWN"
		}
		t(c.session, name, !c.failed)
	}
}

func (c *conn) dispatch(name, arg string, hasArg bool, length int) {
	v := verbOf(name)
	switch {
	case v == nil:
		c.bad("Unknown command")
	case length > longest(name):
		c.bad("Command line too long")
	case c.drop == nil && !v.before:
		c.bad("Log in first")
	case c.drop != nil && !v.after:
		c.bad("You have logged in already")
	case v.args == noArgument && strings.TrimSpace(arg) != "":
		c.bad(name + " takes no argument")
	case v.args == anArgument && (!hasArg || arg == ""):
		c.bad(name + " needs an argument")
	default:
		v.run(c, arg)
	}
}

// capa is CAPA (RFC 2449 §5): what can be used in the state that the session is in.
func (c *conn) capa(string) {
	c.ok("Capability list follows")
	c.line("TOP")
	c.line("UIDL")
	c.line("RESP-CODES")
	c.line("AUTH-RESP-CODE")
	c.line("PIPELINING")
	c.line("EXPIRE NEVER")
	if c.set.LoginDelay > 0 {
		c.line(fmt.Sprintf("LOGIN-DELAY %d", (c.set.LoginDelay+time.Second-1)/time.Second))
	}
	if c.drop == nil {
		mechanisms := c.mechanisms()
		if offers(mechanisms, plain) {
			c.line("USER")
		}
		if len(mechanisms) > 0 {
			c.line("SASL " + clean(strings.Join(mechanisms, " ")))
		}
		if c.set.TLSConfig != nil && c.session.Peer.TLS == nil {
			c.line("STLS")
		}
	}
	c.line("IMPLEMENTATION mailbricks")
	c.line(".")
}

// quit is QUIT: after log-in it enters the UPDATE state (RFC 1939 §6).
func (c *conn) quit(string) {
	if c.drop != nil {
		left := c.update()
		c.closeMaildrop()
		if left != nil {
			c.refuse(codeTemp, left.Error())
			c.end = errQuit
			return
		}
	}
	c.ok("Bye")
	c.end = errQuit
}

// stat is STAT (RFC 1939 §5).
func (c *conn) stat(string) {
	c.ok(fmt.Sprintf("%d %d", c.drop.count, c.drop.octets))
}

// list is LIST (RFC 1939 §5).
func (c *conn) list(arg string) {
	if arg != "" {
		if n, ok := c.message(arg); ok {
			c.ok(fmt.Sprintf("%d %d", n, c.drop.messages[n-1].size))
		}
		return
	}
	c.ok(fmt.Sprintf("%d messages (%d octets)", c.drop.count, c.drop.octets))
	for i := range c.drop.messages {
		if m := &c.drop.messages[i]; !m.deleted {
			c.line(strconv.Itoa(i+1) + " " + strconv.FormatInt(m.size, 10))
		}
	}
	c.line(".")
}

// uidl is UIDL (RFC 1939 §7).
func (c *conn) uidl(arg string) {
	if arg != "" {
		if n, ok := c.message(arg); ok {
			c.ok(strconv.Itoa(n) + " " + c.drop.uniqueID(n))
		}
		return
	}
	c.ok("Unique ids follow")
	for i := range c.drop.messages {
		if !c.drop.messages[i].deleted {
			c.line(strconv.Itoa(i+1) + " " + c.drop.uniqueID(i+1))
		}
	}
	c.line(".")
}

// dele is DELE (RFC 1939 §5).
func (c *conn) dele(arg string) {
	if n, ok := c.message(arg); ok {
		c.drop.mark(n)
		c.ok("Message " + strconv.Itoa(n) + " deleted")
	}
}

// rset is RSET (RFC 1939 §5).
func (c *conn) rset(string) {
	c.drop.unmark()
	c.maildrop()
}

// maildrop says what is in the maildrop.
func (c *conn) maildrop() {
	c.ok(fmt.Sprintf("Maildrop has %d messages (%d octets)", c.drop.count, c.drop.octets))
}

// noop is NOOP (RFC 1939 §5).
func (c *conn) noop(string) { c.ok("") }

// message finds the message whose number is arg and that is not marked as deleted; otherwise the reply is written.
func (c *conn) message(arg string) (n int, ok bool) {
	n, err := parseNumber(strings.TrimRight(arg, " "))
	switch {
	case err != nil:
		c.bad("Not a message number")
	case n < 1 || n > len(c.drop.messages):
		c.refuse("", "No such message")
	case c.drop.messages[n-1].deleted:
		c.refuse("", "Message "+strconv.Itoa(n)+" is deleted")
	default:
		return n, true
	}
	return 0, false
}

// maxDigits is how long a number may be.
const maxDigits = 9

var errNumber = errors.New("pop3d: not a number")

// parseNumber reads digits and nothing else.
func parseNumber(s string) (int, error) {
	if s == "" || len(s) > maxDigits || strings.Trim(s, "0123456789") != "" {
		return 0, errNumber
	}
	return strconv.Atoi(s)
}
