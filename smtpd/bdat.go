package smtpd

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/serving"
)

// chunks is a message that comes by BDAT (RFC 3030 §2); nil while a transaction has had none.
type chunks struct {
	out      *mailbricks.SpoolWriter
	scanner  chunkScanner
	began    time.Time         // the first chunk
	received int64             // octets of the chunks that were taken
	failed   bool              // a chunk was refused: only RSET, EHLO and another MAIL are left
	refusal  *mailbricks.Reply // of that chunk
}

// bdat is BDAT (RFC 3030 §2). The octets of a chunk that is refused are read and dropped before the reply, so that none of
// them is taken for a command. Where the end of a chunk is not known, or lies too far away, the session ends.
func (c *conn) bdat(arg string) *mailbricks.Reply {
	size, last, reply := parseChunk(arg)
	if reply != nil {
		c.end = errTold
		return reply
	}
	if reply = c.mayChunk(); reply == nil {
		reply = c.beginChunks()
	}
	if reply == nil && tooMuch(c.chunks.received, size, c.set.maxMessageSize) {
		reply = c.tooLarge()
		c.report(c.chunked(), reply)
	}
	if reply != nil {
		return c.refuseChunk(c.dropChunk(size, reply), last)
	}
	return c.takeChunk(size, last)
}

// parseChunk gives the arguments of BDAT. When that fails nobody knows what follows.
func parseChunk(arg string) (size int64, last bool, reply *mailbricks.Reply) {
	number, mark, last := strings.Cut(arg, " ")
	if number == "" || strings.Trim(number, "0123456789") != "" || last && !strings.EqualFold(mark, "LAST") {
		return 0, false, misuse(501, "5.5.4", "Syntax: BDAT size [LAST]; closing")
	}
	size, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return 0, false, &mailbricks.Reply{Code: 552, Enhanced: "5.3.4", Text: "No chunk can be that large; closing", Err: err}
	}
	return size, last, nil
}

// tooMuch says whether size octets after those received are beyond limit; a negative limit is all that can be counted.
func tooMuch(received, size, limit int64) bool {
	if limit < 0 {
		limit = math.MaxInt64
	}
	return size > limit-received
}

// mayChunk says why there can be no chunk now.
func (c *conn) mayChunk() *mailbricks.Reply {
	switch {
	case !c.extended: // which HELO does not offer
		return badSequence("EHLO first")
	case c.chunks != nil && c.chunks.failed:
		return c.follows(c.chunks.refusal)
	}
	return c.noMessage()
}

// beginChunks prepares for the first chunk of a message. The Data checks are asked then.
func (c *conn) beginChunks() *mailbricks.Reply {
	if c.chunks != nil {
		return nil
	}
	m := &chunks{out: c.set.spool.Writer()}
	m.scanner = chunkScanner{out: &headWriter{out: m.out}, maxLine: c.set.maxLine}
	switch {
	case c.tx.Envelope.Body == mailbricks.BodyBinary:
		m.scanner.binary = true
	case c.set.BareLineEnds == RepairBareLineEnds:
		m.scanner.out, m.scanner.repair = &repairWriter{out: m.scanner.out}, true
	}
	c.chunks = m
	var err error
	c.ahead(func() { err = c.askData(c.tx) }) // a chunk follows its command at once
	m.began = time.Now()
	if err != nil {
		return refusal(err)
	}
	return nil
}

// chunksBroken ends the session and answers for a message if err is why its next chunk did not come.
func (c *conn) chunksBroken(err error) bool {
	if c.chunks == nil || c.chunks.failed || errors.Is(err, serving.ErrDraining) || errors.Is(err, serving.ErrLineTooLong) {
		return false
	}
	c.why = Outcome{}
	c.conclude(c.chunked(), c.broken(err))
	return true
}

// ahead asks checks at a step before which the peer may have sent more already: it is not shown as pending.
func (c *conn) ahead(ask func()) {
	s := c.session
	pending, arrived := s.pending, s.arrived
	defer func() { s.pending, s.arrived = pending, arrived }()
	s.pending, s.arrived = nil, nil
	ask()
}

// takeChunk reads a chunk, and with the last one takes the message to its end.
func (c *conn) takeChunk(size int64, last bool) *mailbricks.Reply {
	m := c.chunks
	err := c.readChunk(size, m.began, m.received, m.scanner.scan)
	if err == nil {
		m.received += size
		if last {
			m.scanner.finish()
		}
		err = c.flaw(m.scanner.err, m.scanner.flaw)
	}
	if err == nil && last {
		err = c.accept(c.tx, m.out)
	}
	if last || c.end != nil {
		c.conclude(c.chunked(), err)
		return nil
	}
	if err != nil {
		c.report(c.chunked(), err)
		return c.refuseChunk(refusal(err), last)
	}
	if size == 0 {
		if reply := c.idle(); reply != nil {
			return reply
		}
	}
	return ok("2.0.0", fmt.Sprintf("Ok: %d octets received", size))
}

// chunked is the message so far.
func (c *conn) chunked() arrival {
	return arrival{tx: c.tx, verb: "BDAT", size: c.chunks.scanner.size, began: c.chunks.began}
}

// refuseChunk answers for a chunk that was not taken, and fails the transaction.
func (c *conn) refuseChunk(reply *mailbricks.Reply, last bool) *mailbricks.Reply {
	switch {
	case c.end != nil && !errors.Is(c.end, errTold): // the peer has left
		return nil
	case c.tx == nil:
		return reply
	case last: // the answer to the message, which in LMTP may be no reply at all: RFC 2033 §4.3
		c.answerMessage("BDAT", c.tx, reply)
		c.endTransaction()
		return nil
	}
	if c.chunks == nil { // there were no recipients
		c.chunks = &chunks{out: c.set.spool.Writer()}
	}
	if !c.chunks.failed {
		// Chunks that follow get the same reply: the client may have sent them before it saw the first one, may look at the last
		// one only, and is to try again if that was temporary.
		again := *reply
		again.Err = errBehind
		c.chunks.failed, c.chunks.refusal = true, &again
	}
	c.chunks.out.Abort()
	return reply
}

// dropChunk reads a chunk that is refused, and gives the reply to it. When it is too large for that the session ends.
func (c *conn) dropChunk(size int64, reply *mailbricks.Reply) *mailbricks.Reply {
	limit := min(max(c.set.maxMessageSize, 0), math.MaxInt64/4) // so that nothing below overflows
	room := limit + max(limit, minDrain) - c.dropped
	if c.chunks != nil {
		room -= c.chunks.received
	}
	if size > room {
		c.end = errTold
		return reply
	}
	c.dropped += size
	if err := c.readChunk(size, time.Now(), 0, func([]byte) {}); err != nil {
		return refusal(err)
	}
	return reply
}

// readChunk hands the octets of a chunk to take, piece by piece. began and received are those of the message before it. When
// an error comes c.end is set.
func (c *conn) readChunk(size int64, began time.Time, received int64, take func([]byte)) error {
	for end := received + size; received < end; {
		if c.Pending() == 0 {
			c.widen()
			if err := c.Fill(c.dataDeadline(began, received), false); err != nil {
				return c.broken(err)
			}
		}
		piece := c.Buffered()
		piece = piece[:min(int64(len(piece)), end-received)]
		take(piece)
		c.Discard(len(piece))
		received += int64(len(piece))
	}
	c.shrink()
	return nil
}
