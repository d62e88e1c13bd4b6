package smtpd

import (
	"github.com/mailbricks/mailbricks"
)

// accepted is a recipient whose RCPT was successful.
type accepted struct {
	address   string // as the client gave it
	discarded bool   // by a check: it is not in the envelope
}

// greeting is the protocol's name behind the server's in the greeting.
func (c *conn) greeting() string {
	if c.set.LMTP {
		return "LMTP"
	}
	return "ESMTP"
}

// otherProtocol answers the hello of the protocol that this server does not speak. RFC 2033 §4.1 wants 500 for EHLO and HELO,
// so that a client that is set up for the wrong one finds out.
func (c *conn) otherProtocol() *mailbricks.Reply {
	if c.set.LMTP {
		return misuse(500, "5.5.1", "This is LMTP: say LHLO")
	}
	return misuse(500, "5.5.1", "This is SMTP: say EHLO")
}

// answerMessage answers for a message, of which err is the outcome: with one reply, of LMTP with one for each successful RCPT
// in their order (RFC 2033 §4.2 and §4.3).
func (c *conn) answerMessage(verb string, tx *Transaction, err error) {
	if !c.set.LMTP || c.end != nil { // the end of the session is one answer to all that was asked
		c.answer(verb, c.outcome(tx, err))
		return
	}
	results := c.results(tx, err)
	for i, rcpt := range tx.accepted {
		if results[i] != nil {
			c.why.Recipient, c.why.Err = rcpt.address, results[i]
		}
		c.answer(verb, c.recipientOutcome(tx, rcpt, results[i]))
	}
}

// taken is for how many recipients a message was taken.
func (c *conn) taken(tx *Transaction, err error) int {
	rcpts := tx.Envelope.Recipients
	if err != nil && !c.set.LMTP { // then it was refused, whatever the Handler has done for some
		return 0
	}
	if err == nil {
		return len(rcpts)
	}
	n := 0
	for _, err := range mailbricks.ResultsOf(err, len(rcpts)) {
		if err == nil {
			n++
		}
	}
	return n
}

// outcome is the reply for a whole message.
func (c *conn) outcome(tx *Transaction, err error) *mailbricks.Reply {
	if err != nil {
		return refusal(err)
	}
	return ok("2.0.0", "Ok: queued as "+tx.Envelope.ID)
}

// recipientOutcome is the reply for one recipient.
func (c *conn) recipientOutcome(tx *Transaction, rcpt accepted, err error) *mailbricks.Reply {
	reply := *c.outcome(tx, err)
	reply.Text = name(mailbricks.Recipient{Address: rcpt.address}, reply.Text)
	return &reply
}

// results has an outcome for each successful RCPT. Those in the envelope are in the same order, unless a check has changed their
// number: then there is one outcome for all of them. What is thrown away is taken, but a message that has not come as far as the
// Message checks is refused for all.
func (c *conn) results(tx *Transaction, err error) mailbricks.Results {
	results := make(mailbricks.Results, len(tx.accepted))
	if err != nil && !tx.arrived {
		for i := range results {
			results[i] = err
		}
		return results
	}
	kept := 0
	for _, rcpt := range tx.accepted {
		if !rcpt.discarded {
			kept++
		}
	}
	rcpts := tx.Envelope.Recipients
	if kept != len(rcpts) {
		err = single(err, rcpts)
	}
	outcomes := mailbricks.ResultsOf(err, kept)
	for i, rcpt := range tx.accepted {
		if !rcpt.discarded {
			results[i], outcomes = outcomes[0], outcomes[1:]
		}
	}
	return results
}
