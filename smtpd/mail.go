package smtpd

import (
	"fmt"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/serving"
)

// mail is MAIL (RFC 5321 §4.1.1.2), for startMail.
func (c *conn) mail(arg string) *mailbricks.Reply {
	if reply := c.mayMail(); reply != nil {
		return reply
	}
	rest, found := cutKeyword(arg, "FROM:")
	if !found {
		return badArgument("Syntax: MAIL FROM:<address> [parameters]")
	}
	path, words, reply := splitPath(rest)
	if reply != nil {
		return reply
	}
	var tx opened
	env := &tx.env
	env.ID, env.Received = newID(), time.Now()
	if reply := c.mailParameters(env, words); reply != nil {
		return reply
	}
	if env.From, reply = c.reversePath(path, env.SMTPUTF8); reply != nil {
		return reply
	}
	env.Quarantine = c.session.quarantine()
	env.Peer = c.session.Peer
	env.Peer.Protocol = c.protocol(env.SMTPUTF8)
	asked := env.Priority
	c.lowerPriority(env)
	if reply := c.begin(tx.open(c.session)); reply != nil {
		return reply
	}
	return senderOk(env, asked)
}

// opened is a transaction in one piece, with room for the one recipient that most have.
type opened struct {
	tx       Transaction
	env      mailbricks.Envelope
	rcpts    [1]mailbricks.Recipient
	accepted [1]accepted
}

// open puts the transaction together.
func (o *opened) open(s *Session) *Transaction {
	o.env.Recipients = o.rcpts[:0]
	o.tx.Session, o.tx.Envelope, o.tx.discard, o.tx.accepted = s, &o.env, s.discard(), o.accepted[:0]
	return &o.tx
}

// mayMail says why there can be no MAIL now.
func (c *conn) mayMail() *mailbricks.Reply {
	switch {
	case c.session.Peer.Hello == "" || c.anew:
		return badSequence("EHLO first")
	case c.tx != nil && (c.chunks == nil || !c.chunks.failed):
		return badSequence("A mail transaction is open already")
	case c.set.RequireAuth && c.session.Peer.Identity == nil && c.session.Peer.TLS == nil && !c.set.AllowInsecureAuth:
		return misuse(530, "5.7.0", "STARTTLS and authentication required") // RFC 3207 §4, RFC 4954 §6
	case c.set.RequireAuth && c.session.Peer.Identity == nil:
		return misuse(530, "5.7.0", "Authentication required")
	case c.set.Handler == nil:
		return &mailbricks.Reply{Code: 451, Enhanced: "4.3.5", Text: "This server takes no mail yet"}
	case c.Draining():
		return shutdownReply(c.set.hostname)
	}
	return nil
}

// begin asks the Mail checks and opens the transaction, or says why not.
func (c *conn) begin(tx *Transaction) *mailbricks.Reply {
	if c.transactions++; serving.Over(c.transactions, c.set.maxTransactions) {
		return &mailbricks.Reply{Code: 421, Enhanced: "4.7.0", Text: "Too many messages in one session, closing"}
	}
	c.endTransaction() // of which a chunk has failed
	c.tx, c.dropped = tx, 0
	err := c.ask(Step{Phase: PhaseMail, Session: c.session, Transaction: tx})
	if from := tx.Envelope.From; err == nil && from != "" && !strings.Contains(from, "@") {
		err = &mailbricks.Reply{Code: 501, Enhanced: "5.1.7", Text: fmt.Sprintf("<%s>: sender address has no domain", from)}
	}
	if t := c.set.Trace.Mail; t != nil {
		t(tx, err)
	}
	if err != nil {
		reply := refusal(err)
		c.endTransaction()
		return reply
	}
	return nil
}

// reversePath checks the address of MAIL; the null reverse-path is "".
func (c *conn) reversePath(path string, smtputf8 bool) (string, *mailbricks.Reply) {
	if path == "" {
		return "", nil
	}
	from, err := c.senderMailbox(path)
	if err != nil {
		return "", misuse(501, "5.1.7", fmt.Sprintf("Sender address: %v", err))
	}
	if !smtputf8 && !isASCII(from) {
		return "", misuse(550, "5.6.7", "Sender address needs SMTPUTF8") // RFC 6531 §3.5
	}
	return from, nil
}

// senderMailbox is parsePath for the address of a sender.
func (c *conn) senderMailbox(path string) (string, error) {
	from, err := parsePath(path, c.set.maxLocal)
	if err == errUnqualified && c.set.UnqualifiedSenders && c.session.Peer.Identity != nil {
		err = nil
	}
	return from, err
}

// rcpt is RCPT (RFC 5321 §4.1.1.3), for startRcpt.
func (c *conn) rcpt(arg string) *mailbricks.Reply {
	switch {
	case c.unopened:
		return c.behind(503, "MAIL was refused")
	case c.tx == nil:
		return badSequence("MAIL first")
	case c.chunks != nil:
		return badSequence("Not after BDAT") // RFC 3030 §2: all RCPTs come before it
	}
	rest, found := cutKeyword(arg, "TO:")
	if !found {
		return badArgument("Syntax: RCPT TO:<address>")
	}
	path, words, reply := splitPath(rest)
	if reply != nil {
		return reply
	}
	address, err := parsePath(path, c.set.maxLocal)
	if err == errUnqualified && strings.EqualFold(address, "postmaster") { // RFC 5321 §4.5.1
		err = nil
	}
	switch {
	case err != nil:
		return misuse(501, "5.1.3", fmt.Sprintf("Recipient address: %v", err))
	case !c.tx.Envelope.SMTPUTF8 && !isASCII(address):
		return misuse(553, "5.6.7", "Recipient address needs SMTPUTF8") // RFC 6531 §3.5
	case serving.Reached(len(c.tx.accepted), c.set.maxRecipients):
		return c.tooManyRecipients()
	}
	rcpt := mailbricks.Recipient{Address: address}
	if reply := c.rcptParameters(&rcpt, words); reply != nil {
		return reply
	}
	return c.addRecipient(rcpt)
}

// maxSurplus is how many recipients beyond MaxRecipients a transaction may try before each counts as an error: a client that
// sends all of them before it looks at replies is no enemy.
const maxSurplus = 1000

// tooManyRecipients answers a recipient beyond MaxRecipients.
func (c *conn) tooManyRecipients() *mailbricks.Reply {
	reply := &mailbricks.Reply{Code: 452, Enhanced: "4.5.3", Text: "Too many recipients, please send another message for the rest"}
	if c.tx.surplus++; c.tx.surplus > maxSurplus {
		reply.Err = errProtocol
	}
	return reply
}

// addRecipient asks the Rcpt checks.
func (c *conn) addRecipient(rcpt mailbricks.Recipient) *mailbricks.Reply {
	tx := c.tx
	given := rcpt.Address
	var err error
	if c.anyone(PhaseRcpt) {
		asked := rcpt
		err = c.ask(Step{Phase: PhaseRcpt, Session: c.session, Transaction: tx, Recipient: &asked})
		rcpt = asked
	}
	if t := c.set.Trace.Rcpt; t != nil {
		t(tx, rcpt, err)
	}
	if discarded := isDiscard(err); err == nil || discarded {
		tx.accepted = append(tx.accepted, accepted{address: given, discarded: discarded})
		if !discarded {
			tx.Envelope.Recipients = append(tx.Envelope.Recipients, rcpt)
		}
		return recipientFits
	}
	return c.refuseRecipient(refusal(err))
}

// refuseRecipient counts a recipient that is refused, and gives the reply to it.
func (c *conn) refuseRecipient(reply *mailbricks.Reply) *mailbricks.Reply {
	counts := &c.session.counts
	if !reply.Temporary() {
		if counts.BadRecipients++; serving.Reached(counts.BadRecipients, c.maxBadRecipients()) {
			return &mailbricks.Reply{Code: 421, Enhanced: "4.7.0", Text: "Too many refused recipients, closing"}
		}
		return reply
	}
	counts.DeferredRecipients++
	if c.deferred++; serving.Reached(c.deferred, c.maxDeferred()) {
		return &mailbricks.Reply{Code: 421, Enhanced: "4.7.0", Text: "Too many recipients without a message, closing"}
	}
	return reply
}

// cutKeyword cuts "FROM:" or "TO:" off, in any case; a blank behind it, which RFC 5321 §3.3 forbids, is let pass.
func cutKeyword(arg, keyword string) (rest string, found bool) {
	if len(arg) < len(keyword) || !strings.EqualFold(arg[:len(keyword)], keyword) {
		return "", false
	}
	return strings.TrimLeft(arg[len(keyword):], " "), true
}
