package smtpd

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks"
)

const (
	// maxReplyLine is the longest reply line in octets, with code and CRLF (RFC 5321 §4.5.3.1.5).
	maxReplyLine = 512
	// maxReplyLines is how many lines a reply may have; what a check says beyond that is cut off.
	maxReplyLines = 20
	// maxOut is how many octets of replies wait before they are sent although more commands have arrived.
	maxOut = 4 << 10
)

// errProtocol is the cause of the replies that say that the client misused the protocol: those that MaxErrors counts.
var errProtocol = errors.New("smtpd: protocol error")

// misuse is the reply to a command that is unknown, malformed or out of order.
func misuse(code int, enhanced, text string) *mailbricks.Reply {
	return &mailbricks.Reply{Code: code, Enhanced: enhanced, Text: text, Err: errProtocol}
}

// badSequence is the reply to a command at the wrong time.
func badSequence(text string) *mailbricks.Reply { return misuse(503, "5.5.1", text) }

// badArgument is the reply to arguments that do not parse.
func badArgument(text string) *mailbricks.Reply { return misuse(501, "5.5.4", text) }

// The replies to what goes as it should, which are given most. Nobody changes a reply.
var (
	senderFits    = ok("2.1.0", "Sender ok")
	recipientFits = ok("2.1.5", "Recipient ok")
	startMessage  = &mailbricks.Reply{Code: 354, Text: "End the message with a line of one dot"}
)

// ok is a positive reply.
func ok(enhanced, text string) *mailbricks.Reply {
	return &mailbricks.Reply{Code: 250, Enhanced: enhanced, Text: text}
}

// refusal is the reply for the error of a check or Handler. One whose code is no refusal is a bug of theirs, and a message
// is never accepted because of it.
func refusal(err error) *mailbricks.Reply {
	if v, ok := verdictOf(err); ok && v.Action == ClosePeer {
		return closing(v)
	}
	reply := mailbricks.ReplyTo(err)
	if reply.Code < 400 || reply.Code > 599 {
		return &mailbricks.Reply{Code: 451, Enhanced: "4.3.0", Text: "Temporary local problem, please try again later", Err: err}
	}
	return reply
}

// closing is the reply with which Close ends a session.
func closing(v *Verdict) *mailbricks.Reply {
	reply := mailbricks.Reply{Code: 421, Enhanced: "4.7.0", Text: "Closing connection"}
	if given, ok := errors.AsType[*mailbricks.Reply](v.Err); ok && given.Code >= 400 && given.Code <= 599 {
		reply = *given
	}
	reply.Err = v
	return &reply
}

// closes says whether the session ends with a reply.
func closes(r *mailbricks.Reply) bool {
	v, ok := verdictOf(r.Err)
	return r.Code == 421 || ok && v.Action == ClosePeer
}

// reply queues a reply with its enhanced code on each line (RFC 2034 §4).
func (c *conn) reply(r *mailbricks.Reply) {
	enhanced := ""
	if r.Code/100 != 3 { // intermediate replies have none
		enhanced = enhancedCode(r)
	}
	if isPlain(r.Text) && replyOverhead(enhanced)+len(r.Text) <= maxReplyLine { // nearly all of them
		c.line(r.Code, ' ', enhanced, r.Text)
		return
	}
	c.lines(r.Code, enhanced, r.Lines())
}

// lines queues a reply line by line; enhanced may be empty.
func (c *conn) lines(code int, enhanced string, lines []string) {
	var folded []string
	for _, line := range lines {
		folded = append(folded, fold(c.printable(line), maxReplyLine-replyOverhead(enhanced))...)
	}
	folded = folded[:min(len(folded), maxReplyLines)]
	for i, line := range folded {
		separator := byte('-')
		if i == len(folded)-1 {
			separator = ' '
		}
		c.line(code, separator, enhanced, line)
	}
}

// replyOverhead is how many octets a reply line has beside its text.
func replyOverhead(enhanced string) int {
	overhead := len("250 \r\n")
	if enhanced != "" {
		overhead += len(enhanced) + 1
	}
	return overhead
}

// line queues one line, whose text is fit for the wire.
func (c *conn) line(code int, separator byte, enhanced, text string) {
	out := append(c.Out, byte('0'+code/100%10), byte('0'+code/10%10), byte('0'+code%10), separator)
	if enhanced != "" {
		out = append(out, enhanced...)
		out = append(out, ' ')
	}
	out = append(out, text...)
	c.Out = append(out, "\r\n"...)
	if len(c.Out) > maxOut {
		if err := c.Flush(); err != nil && c.end == nil {
			c.end = c.unread(err)
		}
	}
}

// isPlain says whether text is fit for the wire as one line: printable US-ASCII without blanks around it.
func isPlain(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return text == "" || text[0] != ' ' && text[len(text)-1] != ' '
}

// printable makes text fit for the wire: no control characters, and UTF-8 only within a transaction that asked for it
// (RFC 6531 §3.7.4).
func (c *conn) printable(text string) string {
	allowUTF8 := c.tx != nil && c.tx.Envelope.SMTPUTF8
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r == 0x7f:
			return ' '
		case r >= utf8.RuneSelf && (!allowUTF8 || r == utf8.RuneError || r < 0xa0):
			return '?'
		}
		return r
	}, text)
}

// fold cuts a line into pieces of at most size octets, at blanks where there are any.
func fold(line string, size int) []string {
	var pieces []string
	for len(line) > size {
		cut := strings.LastIndexByte(line[:size+1], ' ')
		if cut <= 0 {
			cut = size
			for cut > 0 && !utf8.RuneStart(line[cut]) {
				cut--
			}
		}
		pieces = append(pieces, line[:cut])
		line = strings.TrimLeft(line[cut:], " ")
	}
	return append(pieces, line)
}

// enhancedCode is the enhanced status code of r, if it is one that fits the reply code, and the general one of its class
// otherwise (RFC 2034 §4, RFC 3463 §2).
func enhancedCode(r *mailbricks.Reply) string {
	if given := r.EnhancedCode(); isEnhanced(given) && int(given[0]-'0') == r.Code/100 {
		return given
	}
	return fmt.Sprintf("%d.0.0", r.Code/100)
}

// isEnhanced says whether s is a digit and two numbers of one to three digits (RFC 3463 §2).
func isEnhanced(s string) bool {
	if len(s) < 2 || !isDigit(s[0]) || s[1] != '.' {
		return false
	}
	subject, detail, _ := strings.Cut(s[2:], ".")
	return isShortNumber(subject) && isShortNumber(detail)
}

func isShortNumber(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 3
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }
