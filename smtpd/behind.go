package smtpd

import (
	"errors"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/serving"
)

// errBehind is the cause of the refusal of a command that only follows from one that was told of: what a client has
// pipelined (RFC 2920) behind a MAIL that was refused, or behind recipients of which none was taken, is no fault of its own.
var errBehind = errors.New("smtpd: behind a refusal")

// startMail is MAIL, with a note for the commands behind it if it is refused.
func (c *conn) startMail(arg string) *mailbricks.Reply {
	before := c.transactions
	reply := c.mail(arg)
	if reply.Code >= 400 && c.transactions == before && !closes(reply) && !errors.Is(reply.Err, errProtocol) { // nothing else counts it
		if tooMany := c.idle(); tooMany != nil {
			reply = tooMany
		}
	}
	if reply.Code >= 400 && (c.tx == nil || c.chunks != nil && c.chunks.failed) {
		c.unopened, c.dropped = true, 0
	}
	return reply
}

// startRcpt is RCPT, with a note for a message that comes although all its recipients are refused.
func (c *conn) startRcpt(arg string) *mailbricks.Reply {
	reply := c.rcpt(arg)
	if c.tx != nil && reply.Code >= 400 {
		c.tx.refused = true
	}
	return reply
}

// behind is a refusal for what follows from another, until there have been too many.
func (c *conn) behind(code int, text string) *mailbricks.Reply {
	return c.follows(&mailbricks.Reply{Code: code, Enhanced: "5.5.1", Text: text, Err: errBehind})
}

// follows is behind with a reply, whose Err is errBehind.
func (c *conn) follows(reply *mailbricks.Reply) *mailbricks.Reply {
	if c.followed++; serving.Over(c.followed, c.maxFollowed()) {
		return &mailbricks.Reply{Code: 421, Enhanced: "4.7.0", Text: "Too many commands without a message, closing"}
	}
	return reply
}

// maxFollowed is how many commands behind refusals there may be before a message is taken: a client can send all recipients
// of a message before it sees that its MAIL was refused.
func (c *conn) maxFollowed() int {
	return c.budget(max(c.set.maxRecipients, 0)+maxSurplus, c.set.stress.maxDeferred)
}

// untold says whether a reply is to a command that nobody need know of: it goes on to be the answer to one that was told of.
func (c *conn) untold(reply *mailbricks.Reply) bool {
	return c.end == nil && errors.Is(reply.Err, errBehind)
}
