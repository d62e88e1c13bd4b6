package pop3d

import (
	"strings"

	"github.com/mailbricks/mailbricks/internal/serving"
)

// The response codes (RFC 2449 §8, RFC 3206 §4).
const (
	codeAuth  = "AUTH"        // wrong credentials
	codeInUse = "IN-USE"      // another session has the maildrop
	codeDelay = "LOGIN-DELAY" // the last log-in was a moment ago
	codeTemp  = "SYS/TEMP"    // may work later
	codePerm  = "SYS/PERM"    // will not work without someone's help
)

// maxReplyText keeps a reply line within 512 octets (RFC 2449 §4).
const maxReplyText = 480

// flushAt is how many octets of replies are kept while there is more input: those of a batch of commands go out
// together.
const flushAt = 32 << 10

// ok writes a positive reply.
func (c *conn) ok(text string) {
	c.failed = false
	c.line(strings.TrimRight("+OK "+clean(text), " "))
}

// refuse writes a negative reply with a response code, if it is not empty.
func (c *conn) refuse(code, text string) {
	c.failed = true
	if code != "" {
		text = "[" + code + "] " + text
	}
	c.line("-ERR " + clean(text))
}

// bad is a negative reply for a command that should not have been sent.
func (c *conn) bad(text string) {
	c.refuse("", text)
	if c.errors++; serving.Reached(c.errors, c.set.maxErrors) && c.end == nil {
		c.end = errTold
	}
}

// line writes a line, of a reply or of what follows it. Nothing is written any more once that has failed.
func (c *conn) line(text string) {
	if c.Broken() {
		return
	}
	c.Out = append(c.Out, text...)
	c.Out = append(c.Out, "\r\n"...)
	c.spill()
}

// spill sends what waits if it is much.
func (c *conn) spill() {
	if len(c.Out) < flushAt {
		return
	}
	if err := c.Flush(); err != nil && c.end == nil {
		c.end = err
	}
}

// clean makes text fit for a reply line: no control characters, not too long.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	return text[:min(len(text), maxReplyText)]
}
