package smtpd

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/serving"
)

// minDrain is how many octets beyond the size limit are read at least, so that a client that does not look at replies before
// it is done gets to see the one that refuses it. At most that, or MaxMessageSize once more, is read; then the connection
// is closed.
const minDrain = 64 << 20

// dataCommand is DATA (RFC 5321 §4.1.1.4).
func (c *conn) dataCommand(arg string) *mailbricks.Reply {
	if reply := c.noMessage(); reply != nil {
		return reply
	}
	switch {
	case c.chunks != nil: // RFC 3030 §2
		return badSequence("DATA and BDAT do not go together")
	case c.tx.Envelope.Body == mailbricks.BodyBinary: // RFC 3030 §3
		return badSequence("BODY=BINARYMIME needs BDAT")
	case arg != "":
		return badArgument("DATA takes no argument")
	}
	tx := c.tx
	if err := c.askData(tx); err != nil {
		c.endTransaction()
		return refusal(err)
	}
	c.reply(startMessage)
	if c.end != nil { // the peer does not get it: what has come already is no message
		return nil
	}
	a := arrival{tx: tx, verb: "DATA", began: time.Now()}
	w := c.set.spool.Writer()
	var err error
	if a.size, err = c.receive(w, a.began); err == nil {
		err = c.accept(tx, w)
	} else {
		w.Abort()
	}
	c.conclude(a, err)
	return nil
}

// noMessage says why there can be no message now.
func (c *conn) noMessage() *mailbricks.Reply {
	switch none := c.tx != nil && len(c.tx.accepted) == 0; {
	case c.unopened:
		return c.behind(503, "MAIL was refused")
	case c.tx == nil:
		return badSequence("MAIL first")
	case none && c.tx.refused && c.set.LMTP: // RFC 2033 §4.2
		return c.behind(503, "No valid recipients")
	case none && c.tx.refused: // RFC 5321 §3.3
		return c.behind(554, "No valid recipients")
	case none:
		return badSequence("RCPT first")
	}
	return nil
}

// askData asks the Data checks.
func (c *conn) askData(tx *Transaction) error {
	return c.ask(Step{Phase: PhaseData, Session: c.session, Transaction: tx})
}

// arrival is a message that has arrived, or broke off.
type arrival struct {
	tx    *Transaction
	verb  string // the command that it came with
	size  int64  // octets
	began time.Time
}

// conclude ends a transaction and answers for its message; err says why it is not taken.
func (c *conn) conclude(a arrival, err error) {
	taken := c.report(a, err)
	switch {
	case c.end == nil || errors.Is(c.end, errTold): // the peer has not left
		c.answerMessage(a.verb, a.tx, err)
	case err != nil && taken == 0:
		c.refuse(PhaseMessage, nil)
	}
	c.endTransaction() // not before: the replies may have addresses in UTF-8
}

// report tells those who want to know of the outcome of a message, and counts. It gives for how many recipients it was taken.
func (c *conn) report(a arrival, err error) (taken int) {
	if t := c.set.Trace.Message; t != nil {
		t(a.tx, a.size, time.Since(a.began), err)
	}
	taken = c.taken(a.tx, err)
	c.decided(a.tx, taken, err)
	if taken > 0 && !a.tx.thrownAway() {
		c.logAccepted(a, taken)
	}
	if err == nil || taken > 0 {
		c.idleCommands, c.deferred, c.followed = 0, 0, 0
		c.session.counts.Messages++
		c.session.counts.Recipients += taken
	}
	return taken
}

// logAccepted is the line of the log for a message that was taken.
func (c *conn) logAccepted(a arrival, taken int) {
	if !c.logger.Enabled(c.ctx, slog.LevelInfo) { // what follows costs something
		return
	}
	env := a.tx.Envelope
	args := []any{
		"id", env.ID, "from", env.From, "recipients", len(env.Recipients), "size", a.size, "took", time.Since(a.began),
		"peer", c.session.Peer.Addr,
	}
	if env.Priority != nil {
		args = append(args, "priority", *env.Priority) // RFC 6710 §4.1
	}
	c.logger.Info("smtpd: message accepted", append(args, "taken", taken)...)
}

// endTransaction gives up the transaction, if there is one.
func (c *conn) endTransaction() {
	if c.chunks != nil {
		c.chunks.out.Abort()
	}
	c.tx, c.chunks, c.unopened = nil, nil, false
}

// receive reads to the end of the message, which began with its command. An error says why the message is refused; there is one
// whenever the message was not read to its end, and c.end is set as well then.
func (c *conn) receive(w *mailbricks.SpoolWriter, began time.Time) (size int64, err error) {
	scanner := dotScanner{out: &headWriter{out: w}, maxLine: c.set.maxLine}
	if c.set.BareLineEnds == RepairBareLineEnds {
		scanner.out, scanner.repair = &repairWriter{out: scanner.out}, true
	}
	received := int64(0)
	for {
		taken, done := scanner.scan(c.Buffered())
		c.Discard(taken)
		received += int64(taken)
		if scanner.err == nil && serving.Over(scanner.size, c.set.maxMessageSize) {
			scanner.err = c.tooLarge()
		}
		if done {
			break
		}
		if limit := c.set.maxMessageSize; limit > 0 && received-limit > max(limit, minDrain) { // limit may be all that an int64 holds
			scanner.err, c.end = c.tooLarge(), errTold
			break
		}
		c.widen()
		if err := c.Fill(c.dataDeadline(began, received), false); err != nil {
			return scanner.size, c.broken(err)
		}
	}
	c.shrink()
	if err := c.flaw(scanner.err, scanner.flaw); err != nil {
		return scanner.size, err
	}
	return scanner.size, nil
}

// dataDeadline is until when the next octets of a message must come.
func (c *conn) dataDeadline(began time.Time, received int64) time.Time {
	c.Grace = 0 // a shutdown waits for what is on its way
	c.Hurry = time.Time{}
	now := time.Now()
	if c.session.Peer.Identity == nil {
		c.Hurry = c.slowest(now, min(c.set.dataTime, c.set.stress.dataTime), began, received)
	}
	return c.slowest(now, c.set.dataTime, began, received)
}

// slowest is when the next octets of a message must come: after wait, or earlier when those before came too slowly.
func (c *conn) slowest(now time.Time, wait time.Duration, began time.Time, received int64) time.Time {
	deadline := now.Add(wait)
	if c.set.minDataRate > 0 {
		const most = int64(math.MaxInt64 / time.Second)
		earned := time.Duration(min(received/int64(c.set.minDataRate), most)) * time.Second
		if late := now.Sub(began) - earned; late > 0 {
			return deadline.Add(-late)
		}
	}
	return deadline
}

// broken ends the session because a message stopped short of its end: nothing that could follow may be read.
func (c *conn) broken(err error) error {
	c.end = err
	if c.Broken() || !errors.Is(err, os.ErrDeadlineExceeded) {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("smtpd: message broke off: %w", err)
	}
	c.end = errTold
	return &mailbricks.Reply{Code: 421, Enhanced: "4.4.2", Text: "The message came too slowly, closing", Err: c.timeOut(err)}
}

// flaw is why a message that was read to its end is refused.
func (c *conn) flaw(err, flaw error) error {
	if err == nil && flaw == nil {
		return nil
	}
	var tooLarge *mailbricks.Reply
	switch {
	case errors.As(err, &tooLarge): // size first: it is what the sender can mend
		return tooLarge
	case errors.Is(flaw, errLongLine):
		return &mailbricks.Reply{Code: 554, Enhanced: "5.6.0", Text: fmt.Sprintf("Message has a line longer than %d octets", c.set.maxLine), Err: flaw}
	case flaw != nil:
		return &mailbricks.Reply{Code: 550, Enhanced: "5.5.2", Text: "Message has a NUL or a line end that is not CR LF", Err: fmt.Errorf("%w: %w", errFlaw, flaw)}
	case durable.IsDiskFull(err):
		return &mailbricks.Reply{Code: 452, Enhanced: "4.3.1", Text: "Insufficient system storage", Err: err}
	}
	return err
}

// accept takes a message that has arrived past the message checks to the Handler.
func (c *conn) accept(tx *Transaction, w *mailbricks.SpoolWriter) error {
	msg, err := w.MessageWith("Received", received(tx, c.set.HideSubmitter))
	if err != nil {
		return c.flaw(err, nil)
	}
	defer msg.Close()
	if serving.Reached(hops(msg.Header())-1, c.set.maxHops) { // RFC 5321 §6.3
		return &mailbricks.Reply{Code: 554, Enhanced: "5.4.6", Text: "Too many hops, this message is looping"}
	}
	tx.arrived = true
	if tx.thrownAway() {
		return nil
	}
	return c.within(&Step{Phase: PhaseMessage, Session: c.session, Transaction: tx, Message: msg}, c.set.handlerTime)
}
