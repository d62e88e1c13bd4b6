package relay

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks"
)

const (
	// blockSize is how much of a message is written under one time-out.
	blockSize = 32 << 10
	// maxTransaction is the most recipients of one transaction; RFC 5321 §4.5.3.1.8 has every server take 100.
	maxTransaction = 100
	// maxLateReply is how long a server may take to say why it closes the connection in the middle of a message.
	maxLateReply = 2 * time.Second
)

// errNotSent is the outcome of a recipient for whom nothing has been tried yet. It is seen by nobody.
var errNotSent = errors.New("relay: not sent yet")

// transaction is one MAIL, RCPT…, DATA.
type transaction struct {
	*session
	env *mailbricks.Envelope
	msg *mailbricks.Message
	at  []int     // indexes of recipients in env
	out []Outcome // the envelope's; those of at are filled in

	utf8    bool     // says SMTPUTF8
	wire    []string // forward-paths as they are sent, for at
	taken   []int    // of at, recipients that the server took
	later   []int    // of at, recipients for which it wants another transaction
	started bool     // a reply of the server's has been read
	broken  bool     // the session cannot be used any more
}

// outcome makes an outcome with what is known of the session.
func (t *transaction) outcome(err error, r *reply) Outcome {
	o := Outcome{Err: err, Host: t.host, Addr: t.addr, TLS: t.tls}
	if r != nil {
		o.Reply = r.String()
	}
	return o
}

// fail gives the same outcome to recipients.
func (t *transaction) fail(at []int, err error, r *reply) {
	for _, i := range at {
		t.out[i] = t.outcome(err, r)
	}
}

// lose gives the recipients that have no outcome yet that of a broken connection.
func (t *transaction) lose(at []int, err error) {
	t.broken = true
	t.fail(at, err, nil)
}

// run makes the transaction for t.at.
func (t *transaction) run() {
	t.sent++
	if !t.prepare() {
		return
	}
	var accepted bool
	if t.offers("PIPELINING") {
		accepted = t.pipelined()
	} else {
		accepted = t.stepwise()
	}
	if accepted {
		t.content()
	}
}

// prepare checks what can be checked before anything is said, and drops the recipients that fail.
func (t *transaction) prepare() bool {
	if max := t.maxSize(); max > 0 && t.msg.Size() > max { // RFC 1870 §6.2
		t.fail(t.at, permanent(552, "5.3.4", fmt.Sprintf("Message of %d octets is larger than the %d that %s takes", t.msg.Size(), max, t.host)), nil)
		return false
	}
	if t.env.RequireTLS && !t.offers("REQUIRETLS") { // RFC 8689 §4.2.1
		t.fail(t.at, permanent(550, "5.7.30", "REQUIRETLS support required, which "+t.host+" lacks"), nil)
		return false
	}
	needed := t.env.SMTPUTF8 && !isASCII(string(t.msg.Header()))
	if needed && !t.offers("SMTPUTF8") { // RFC 6531 §3.5
		t.fail(t.at, permanent(550, "5.6.9", "Message has a header in UTF-8, which "+t.host+" does not take"), nil)
		return false
	}
	t.utf8 = needed
	return t.preparePaths()
}

// preparePaths decides how addresses are sent: in UTF-8 where the server takes it, with domains in A-labels otherwise.
func (t *transaction) preparePaths() bool {
	plain := func(path string) bool { return path == "" || isASCII(path) }
	any := !plain(t.env.From)
	for _, i := range t.at {
		any = any || !plain(t.env.Recipients[i].Address)
	}
	if any && t.offers("SMTPUTF8") {
		t.utf8 = true
	}
	if _, ok := t.path(t.env.From); !ok {
		t.fail(t.at, permanent(550, "5.6.7", "Sender address needs UTF-8, which "+t.host+" does not take"), nil)
		return false
	}
	at := t.at
	t.at = nil
	for _, i := range at {
		path, ok := t.path(t.env.Recipients[i].Address)
		switch {
		case !ok:
			t.fail([]int{i}, permanent(550, "5.6.7", "Address needs UTF-8, which "+t.host+" does not take"), nil)
		case !validRecipient(path):
			t.fail([]int{i}, errBadRcpt, nil)
		default:
			t.at = append(t.at, i)
			t.wire = append(t.wire, path)
		}
	}
	if t.env.From != "" && !validPath(t.env.From) {
		t.fail(t.at, errBadSender, nil)
		return false
	}
	return len(t.at) > 0
}

func (t *transaction) path(address string) (string, bool) {
	if t.utf8 || address == "" {
		return address, true
	}
	return asciiPath(address)
}

// mailLine is the MAIL command with the parameters that the server knows.
func (t *transaction) mailLine() string {
	from, _ := t.path(t.env.From)
	var b strings.Builder
	b.WriteString("MAIL FROM:<" + from + ">")
	if t.offers("SIZE") {
		b.WriteString(" SIZE=" + strconv.FormatInt(t.msg.Size(), 10))
	}
	if t.offers("8BITMIME") && t.env.Body != mailbricks.Body7Bit {
		b.WriteString(" BODY=8BITMIME")
	}
	if t.utf8 {
		b.WriteString(" SMTPUTF8")
	}
	if t.env.RequireTLS {
		b.WriteString(" REQUIRETLS")
	}
	if t.offers("DSN") {
		if t.env.Return == mailbricks.ReturnFull || t.env.Return == mailbricks.ReturnHeaders {
			b.WriteString(" RET=" + string(t.env.Return))
		}
		if id := t.env.EnvelopeID; id != "" && len(id) <= 100 && isASCII(id) {
			b.WriteString(" ENVID=" + xtext(id))
		}
	}
	if p := t.env.Priority; p != nil && *p >= -9 && *p <= 9 && t.offers("MT-PRIORITY") {
		b.WriteString(" MT-PRIORITY=" + strconv.Itoa(*p))
	}
	return b.String()
}

// rcptLine is the RCPT command of the k-th of at.
func (t *transaction) rcptLine(k int) string {
	rcpt := t.env.Recipients[t.at[k]]
	line := "RCPT TO:<" + t.wire[k] + ">"
	if !t.offers("DSN") {
		return line
	}
	if words := notifyWords(rcpt.Notify); words != "" {
		line += " NOTIFY=" + words
	}
	if kind, address, ok := strings.Cut(rcpt.OriginalRecipient, ";"); ok && validAtoms(kind, "()<>[]:;@\\,\"=+") && isASCII(rcpt.OriginalRecipient) && len(address) <= maxPath {
		line += " ORCPT=" + kind + ";" + xtext(address)
	}
	return line
}

// notifyWords is the value of NOTIFY (RFC 3461 §4.1); empty: not given.
func notifyWords(n mailbricks.Notify) string {
	if n&mailbricks.NotifyNever != 0 {
		return "NEVER"
	}
	var words []string
	for _, w := range []struct {
		bit  mailbricks.Notify
		word string
	}{{mailbricks.NotifySuccess, "SUCCESS"}, {mailbricks.NotifyFailure, "FAILURE"}, {mailbricks.NotifyDelay, "DELAY"}} {
		if n&w.bit != 0 {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, ",")
}

// stepwise says MAIL, each RCPT and DATA one after the other. It is true when the server waits for the message.
func (t *transaction) stepwise() bool {
	r, err := t.command(t.times.Command, t.mailLine())
	if err != nil {
		t.lose(t.at, err)
		return false
	}
	t.started = true
	if !t.mailReply(r) {
		return false
	}
	for k, i := range t.at {
		r, err := t.command(t.times.Command, t.rcptLine(k))
		if err != nil {
			t.lose(append(t.taken, t.at[k:]...), err)
			return false
		}
		t.rcptReply(i, r)
	}
	if len(t.taken) == 0 {
		return t.reset()
	}
	if r, err = t.command(t.times.Data, "DATA"); err != nil {
		t.lose(t.taken, err)
		return false
	}
	return t.dataReply(r)
}

// pipelined says all of that at once and reads the replies (RFC 2920 §3.1).
func (t *transaction) pipelined() bool {
	t.deadline(t.times.Command)
	err := t.writeLine(t.mailLine())
	for k := range t.at {
		if err == nil {
			err = t.writeLine(t.rcptLine(k))
		}
	}
	if err == nil {
		err = t.writeLine("DATA")
	}
	if err == nil {
		err = t.lost(t.bw.Flush())
	}
	if err != nil {
		t.lose(t.at, err)
		return false
	}
	r, err := t.read(t.times.Command)
	if err != nil {
		t.lose(t.at, err)
		return false
	}
	t.started = true
	mailed := t.mailReply(r)
	for k, i := range t.at {
		r, err := t.read(t.times.Command)
		if err != nil {
			if mailed {
				t.lose(append(t.taken, t.at[k:]...), err)
			}
			t.broken = true
			return false
		}
		if mailed {
			t.rcptReply(i, r)
		}
	}
	if r, err = t.read(t.times.Data); err != nil {
		t.lose(t.taken, err)
		return false
	}
	if len(t.taken) == 0 {
		return t.unwanted(r)
	}
	return t.dataReply(r)
}

// unwanted ends a transaction without recipients whose DATA has been sent already: a server that still says 354 gets an
// empty message (RFC 2920 §3.1).
func (t *transaction) unwanted(r *reply) bool {
	if r.class() == 3 {
		if _, err := t.command(t.times.Dot, "."); err != nil {
			t.broken = true
			return false
		}
	}
	return t.reset()
}

// reset clears the server's mind after a transaction without a message. It is always false.
func (t *transaction) reset() bool {
	if t.broken {
		return false
	}
	if r, err := t.command(t.times.Command, "RSET"); err != nil || r.class() != 2 {
		t.broken = true
	}
	return false
}

// mailReply takes the reply to MAIL.
func (t *transaction) mailReply(r *reply) bool {
	if r.class() == 2 {
		return true
	}
	t.fail(t.at, r.failure(), r)
	t.broken = t.broken || r.code == 421
	if !t.offers("PIPELINING") {
		t.reset()
	}
	return false
}

// rcptReply takes the reply to RCPT.
func (t *transaction) rcptReply(i int, r *reply) {
	switch {
	case r.class() == 2:
		t.taken = append(t.taken, i)
		t.out[i] = t.outcome(errNotSent, nil)
	case (r.code == 452 || r.code == 552) && len(t.taken) > 0: // too many for one transaction (RFC 5321 §4.5.3.1.10)
		t.later = append(t.later, i)
		err := r.failure().(*mailbricks.Reply) // of class 4 or 5, thus a Reply
		t.out[i] = t.outcome(temporary("4.5.3", err.Text, err), r)
	default:
		t.fail([]int{i}, r.failure(), r)
		t.broken = t.broken || r.code == 421
	}
}

// dataReply takes the reply to DATA.
func (t *transaction) dataReply(r *reply) bool {
	if r.code == 354 {
		return true
	}
	t.fail(t.taken, r.failure(), r)
	t.broken = t.broken || r.code == 421 || r.class() < 4
	return t.reset()
}

// content sends the message and files what the server says to it.
func (t *transaction) content() {
	body := &dotWriter{w: t.bw}
	if _, err := t.msg.WriteTo(&blockWriter{t.session, body}); err != nil {
		t.cutShort(err)
		return
	}
	body.finish()
	if err := BeforeDot(t.ctx, t.taken); err != nil {
		t.lose(t.taken, err)
		return
	}
	t.deadline(t.times.Block)
	_, err := t.bw.WriteString(".\r\n")
	if err == nil {
		err = t.bw.Flush()
	}
	var r *reply
	if err == nil {
		r, err = t.read(t.times.Dot)
	} else {
		err = t.lost(err)
	}
	if err != nil { // RFC 1047: nobody knows
		t.broken = true
		for _, i := range t.taken {
			o := t.outcome(err, nil)
			o.Unknown = true
			t.out[i] = o
		}
		return
	}
	if r.class() == 2 {
		t.fail(t.taken, nil, r)
		return
	}
	t.fail(t.taken, r.failure(), r)
	t.broken = r.code == 421 || r.class() == 3
}

// cutShort files a message that could not be sent to its end. A server that closes often says why.
func (t *transaction) cutShort(err error) {
	if r, readErr := t.read(maxLateReply); readErr == nil && r.class() >= 4 {
		t.broken = true
		t.fail(t.taken, r.failure(), r)
		return
	}
	t.lose(t.taken, t.lost(err))
}

// blockWriter gives each block of the message its time.
type blockWriter struct {
	s *session
	w *dotWriter
}

// Write implements io.Writer.
func (b *blockWriter) Write(p []byte) (int, error) {
	written := 0
	for block := range slices.Chunk(p, blockSize) {
		b.s.deadline(b.s.times.Block)
		n, err := b.w.Write(block)
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}
