package smtpd

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/serving"
)

// errQuit says that the session ended by QUIT.
var errQuit = errors.New("smtpd: QUIT")

// The longest command lines in octets, with their CRLF. Those of AUTH may have serving.MaxLine.
const (
	maxLine     = 512  // RFC 5321 §4.5.3.1.4
	maxPathLine = 2048 // MAIL and RCPT: 512 and what extensions add (RFC 5321 §4.5.3.1.4)
)

// readCommand waits for the next command line.
func (c *conn) readCommand() ([]byte, error) {
	if c.tx == nil && c.Draining() {
		return nil, serving.ErrDraining
	}
	now := time.Now()
	if c.chunks == nil && now.Before(c.born.Add(c.set.sessionTime)) {
		if line := c.NextLine(); line != nil { // without a deadline to compute
			return line, nil
		}
	}
	deadline := c.commandDeadline(now)
	if !now.Before(deadline) { // SessionTimeout is over, also when there is input that came before
		return nil, os.ErrDeadlineExceeded
	}
	return c.waitForLine(deadline, c.tx == nil)
}

// commandDeadline is until when the next command line must come.
func (c *conn) commandDeadline(now time.Time) time.Time {
	if c.chunks != nil && !c.chunks.failed { // within a message
		deadline := c.dataDeadline(c.chunks.began, c.chunks.received)
		c.Grace = c.set.shutdownGrace
		return deadline
	}
	c.waitForCommand(now)
	deadline := now.Add(c.set.commandTime)
	if c.refused {
		deadline = now.Add(refusedTime)
	}
	if end := c.born.Add(c.set.sessionTime); end.Before(deadline) {
		deadline = end
	}
	return deadline
}

// refusedTime is how long a session that was refused in the greeting may take for its QUIT.
const refusedTime = 30 * time.Second

// command runs one command line and queues its reply.
func (c *conn) command(line []byte) {
	c.why = Outcome{}
	verb, arg, reply := parseCommand(line)
	lost := verb != "BDAT" && mayBeBDAT(line) // nobody knows what follows
	if reply != nil {
		c.asked.noteLine(line)
	} else {
		c.asked.note(verb, arg)
		reply = c.dispatch(verb, arg)
	}
	if lost && c.end == nil {
		c.end = errTold
	}
	if reply == nil { // the command has answered for itself, or the session is over
		return
	}
	if !isKnown(verb) {
		verb = "UNKNOWN"
	}
	c.answer(verb, reply)
}

// isKnown says whether a verb is one that is served, or known for not being served: what peers make up has no place in metrics.
func isKnown(verb string) bool {
	switch verb {
	case "EHLO", "HELO", "LHLO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", "VRFY", "HELP", "STARTTLS", "AUTH", "XCLIENT",
		"EXPN", "ETRN", "TURN", "ATRN", "SEND", "SOML", "SAML", "BURL", "XFORWARD", "VERB", "ONEX":
		return true
	}
	return false
}

// answer queues the reply to a command, unless the session has run into a limit, and ends the session where the reply
// says so.
func (c *conn) answer(verb string, reply *mailbricks.Reply) {
	if errors.Is(reply.Err, errProtocol) {
		if c.session.counts.Errors++; serving.Reached(c.session.counts.Errors, c.maxErrors()) {
			c.because(verb, reply)
			reply = tooManyErrors()
		}
	}
	if closes(reply) && c.end == nil {
		c.end = errTold
	}
	c.reply(reply)
	if reply.Code >= 400 && !c.untold(reply) {
		c.refuse(phaseOf(verb), reply)
		c.countFlaw(reply)
	}
	if c.logger.Enabled(c.ctx, slog.LevelDebug) {
		c.logger.Debug("smtpd: command", "verb", verb, "code", reply.Code)
	}
	if t := c.set.Trace.Command; t != nil {
		t(c.session, verb, reply.Code)
	}
}

// parseCommand cuts a command line into its verb and what follows. A line that is none gives a reply.
func parseCommand(line []byte) (verb, arg string, reply *mailbricks.Reply) {
	verb = "UNKNOWN"
	body, crlf := bytes.CutSuffix(line, []byte("\r\n"))
	if !crlf {
		return verb, "", misuse(500, "5.5.2", "Lines must end with CR LF")
	}
	for _, b := range body {
		if b < ' ' && b != '\t' || b == 0x7f {
			return verb, "", misuse(500, "5.5.2", "Control characters are not allowed in commands")
		}
	}
	// RFC 5321 §4.1.1: white space at the end is tolerated.
	text := strings.TrimRight(string(body), " \t")
	word, rest, _ := strings.Cut(text, " ")
	word = strings.ToUpper(word)
	longest := maxLine
	switch word {
	case "AUTH":
		longest = serving.MaxLine
	case "MAIL", "RCPT":
		longest = maxPathLine
	}
	if len(line) > longest {
		return verb, "", misuse(500, "5.5.2", "Line too long") // RFC 5321 §4.5.3.1.10
	}
	return word, rest, nil
}

// mayBeBDAT says whether a line that did not parse as BDAT may have been meant as that.
func mayBeBDAT(line []byte) bool {
	const verb = "BDAT"
	line = bytes.TrimLeft(line, " \t")
	return len(line) > len(verb) && strings.EqualFold(string(line[:len(verb)]), verb) && !isAlnum(line[len(verb)])
}

// dispatch runs one command. It returns nil when there is nothing left to answer.
func (c *conn) dispatch(verb, arg string) *mailbricks.Reply {
	if reply := c.webBrowser(verb); reply != nil {
		return reply
	}
	if c.refused && verb != "QUIT" {
		return badSequence("No service here, see the greeting") // RFC 5321 §3.1
	}
	switch verb {
	case "MAIL", "RCPT", "DATA", "BDAT", "STARTTLS", "QUIT":
	default:
		if reply := c.idle(); reply != nil {
			return reply
		}
	}
	switch verb {
	case "EHLO", "HELO", "LHLO":
		if c.set.LMTP != (verb == "LHLO") {
			return c.otherProtocol()
		}
		return c.hello(verb, arg)
	case "MAIL":
		return c.startMail(arg)
	case "RCPT":
		return c.startRcpt(arg)
	case "DATA":
		return c.dataCommand(arg)
	case "BDAT":
		return c.bdat(arg)
	case "XCLIENT":
		return c.xclient(arg)
	case "RSET":
		return c.rset(arg)
	case "NOOP":
		return ok("2.0.0", "Ok")
	case "QUIT":
		return c.quit(arg)
	case "VRFY":
		return c.vrfy(arg)
	case "HELP":
		return &mailbricks.Reply{Code: 214, Enhanced: "2.0.0", Text: "See RFC 5321"}
	case "STARTTLS":
		return c.startTLS(arg)
	case "AUTH":
		return c.auth(arg)
	}
	return c.notServed(verb)
}

// idle counts a command that brings no message nearer.
func (c *conn) idle() *mailbricks.Reply {
	if c.idleCommands++; serving.Over(c.idleCommands, c.maxIdleCommands()) {
		return &mailbricks.Reply{Code: 421, Enhanced: "4.7.0", Text: "Too many commands without a message, closing"}
	}
	return nil
}

// notServed answers the commands that are known for not being served, and all others.
func (c *conn) notServed(verb string) *mailbricks.Reply {
	switch verb {
	case "EXPN", "ETRN", "TURN", "ATRN", "SEND", "SOML", "SAML", "BURL", "XFORWARD", "VERB", "ONEX":
		return misuse(502, "5.5.1", "Command not implemented")
	}
	return misuse(500, "5.5.1", "Unknown command")
}

// webBrowser ends a session with a web browser that was talked into this (ALPACA): what follows are lines that others chose.
func (c *conn) webBrowser(verb string) *mailbricks.Reply {
	switch verb {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PRI":
		c.end = errTold
		return misuse(502, "5.7.0", "This is a mail server, not a web server")
	}
	return nil
}

// hello is EHLO and HELO (RFC 5321 §4.1.1.1), or LHLO (RFC 2033 §4.1).
func (c *conn) hello(verb, arg string) *mailbricks.Reply {
	name, _, _ := strings.Cut(strings.TrimLeft(arg, " "), " ") // older clients add words of explanation: RFC 5321 §4.1.1.1
	name, known := c.helloName(name)
	if !known {
		return badArgument(verb + " needs a domain name or an address literal")
	}
	if err := c.begins(verb, name); err != nil {
		return refusal(err)
	}
	lines := []string{c.set.hostname} // without an enhanced code: RFC 5321 §4.1.1.1 wants the name first
	if c.extended {
		c.latestHold = time.Now().UTC().Add(time.Duration(c.maxHold()) * time.Second).Truncate(time.Second)
		lines = append(lines, c.offers()...)
	}
	c.lines(250, "", lines)
	if t := c.set.Trace.Command; t != nil {
		t(c.session, verb, 250)
	}
	return nil
}

// begins asks the Hello checks, and begins the session anew by the name if they let it. If not, all is as it was before: RFC 5321
// §4.1.4.
func (c *conn) begins(verb, name string) error {
	s := c.session
	hello, protocol, atHello := s.Peer.Hello, s.Peer.Protocol, s.atHello
	extended, anew, tx, chunks := c.extended, c.anew, c.tx, c.chunks
	s.Peer.Hello, s.atHello = name, standing{}
	c.extended, c.anew, c.tx, c.chunks = verb != "HELO", false, nil, nil
	s.Peer.Protocol = c.protocol(false)
	err := c.ask(Step{Phase: PhaseHello, Session: s})
	if t := c.set.Trace.Hello; t != nil {
		t(s, err)
	}
	c.tx, c.chunks = tx, chunks
	if err != nil {
		s.Peer.Hello, s.Peer.Protocol, s.atHello = hello, protocol, atHello
		c.extended, c.anew = extended, anew
		return err
	}
	c.endTransaction()
	return nil
}

// helloName gives the name of EHLO as it is kept, if it can be taken. Who must log in, and clients that a proxy has let in, may be
// called as people call their computers: what is behind the name does not count for them.
func (c *conn) helloName(name string) (string, bool) {
	if validHello(name) {
		return name, true
	}
	if !c.set.RequireAuth && c.proxy == nil {
		return "", false
	}
	return anyHello(name)
}

// protocol is the word for Received's with clause (RFC 3848, RFC 6531 §4.3).
func (c *conn) protocol(smtputf8 bool) string {
	word := "ESMTP"
	switch {
	case !c.extended:
		return "SMTP"
	case c.set.LMTP && smtputf8:
		word = "UTF8LMTP"
	case c.set.LMTP:
		word = "LMTP"
	case smtputf8:
		word = "UTF8SMTP"
	}
	if c.session.Peer.TLS != nil {
		word += "S"
	}
	if c.session.Peer.Identity != nil {
		word += "A"
	}
	return word
}

func (c *conn) rset(arg string) *mailbricks.Reply {
	if arg != "" {
		return badArgument("RSET takes no argument")
	}
	c.endTransaction()
	return ok("2.0.0", "Ok")
}

func (c *conn) quit(arg string) *mailbricks.Reply {
	if arg != "" {
		return badArgument("QUIT takes no argument")
	}
	c.end = errQuit
	return &mailbricks.Reply{Code: 221, Enhanced: "2.0.0", Text: c.set.hostname + " closing connection"}
}

// vrfy tells nobody who has an account here (RFC 5321 §7.3).
func (c *conn) vrfy(arg string) *mailbricks.Reply {
	if arg == "" {
		return badArgument("VRFY needs a name")
	}
	return &mailbricks.Reply{Code: 252, Enhanced: "2.0.0", Text: "Cannot verify users, but will take mail for those who exist"}
}
