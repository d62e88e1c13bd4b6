package smtpd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/serving"
)

// errTold says that the session ended by a reply.
var errTold = errors.New("smtpd: session ended by a reply")

// conn is the engine's side of a session. It belongs to the session's goroutine, but for what LineConn lets
// others do.
type conn struct {
	serving.LineConn
	set     *settings
	session *Session
	logger  *slog.Logger
	ctx     context.Context
	place   *serving.Place
	born    time.Time

	begun bool    // the Connect checks were asked, and Disconnect was not told
	end   error   // why the session is to end; nil: it goes on
	small []byte  // the buffer for lines, while a message arrives in a larger one: wide
	wide  *[]byte // from the Server's buffers; nil: none

	tx       *Transaction // nil outside of one
	chunks   *chunks      // of tx, from its first BDAT on
	dropped  int64        // octets of chunks that were refused since the last MAIL
	asked    asked        // the command under way
	why      Outcome      // what is known of the refusal that it comes to
	extended bool         // EHLO, not HELO
	ext      Extensions   // what the Handler keeps
	refused  bool         // greeted with 554: only QUIT is served

	proxy *mailbricks.Peer // the peer itself, once it has said for whom it speaks
	anew  bool             // it has, and no EHLO came since

	latestHold time.Time // as EHLO has told it

	idleCommands, transactions int
	deferred                   int // recipients that were refused for now, since the last message that was taken

	unopened bool // MAIL was refused: what comes now may have been pipelined behind it
	followed int  // commands of that kind, since the last message that was taken
	left     bool // the peer left during a step that has then failed
}

func newConn(netConn net.Conn, set *settings) *conn {
	c := &conn{set: set}
	c.Init(netConn, set.writeTime)
	c.WriteHurry = set.stress.writeTime
	c.newSession()
	return c
}

// newSession begins a session, of the connection or of another client for which its peer speaks.
func (c *conn) newSession() {
	c.session = &Session{ID: newID(), Hostname: c.set.hostname, life: &c.set.home.life, pending: c.Pending, arrived: c.Arrived}
	c.deferred, c.followed, c.unopened = 0, 0, false
	c.logger = c.set.logger.With("session", c.session.ID)
}

// Serve runs the session.
func (c *conn) Serve(ctx context.Context, place *serving.Place) {
	c.ctx, c.place, c.born = ctx, place, time.Now()
	c.session.Peer.Addr, c.session.Peer.Local = serving.AddrPort(c.RemoteAddr()), serving.AddrPort(c.LocalAddr())
	if place.Refusal != serving.Admitted {
		c.turnAway(crowded(place.Refusal))
		return
	}
	c.logger.Debug("smtpd: connected", "peer", c.session.Peer.Addr)
	defer c.finish() // also when the engine panics, or a function that it cannot do without
	c.run()
}

// errPanic is the end of a session whose engine has panicked, or an Authenticator's Mechanisms, say.
var errPanic = errors.New("smtpd: session ended by a panic")

// finish gives up what the session has, and tells of its end.
func (c *conn) finish() {
	if c.end == nil {
		c.apologize()
	}
	c.endTransaction()
	c.disconnected()
	c.logger.Debug("smtpd: disconnected", "err", ended(c.end))
}

// apologize ends a session that cannot go on, so that the peer tries again later.
func (c *conn) apologize() {
	c.end = errPanic
	reply := &mailbricks.Reply{Code: 421, Enhanced: "4.3.0", Text: "Temporary local problem, closing", Err: errPanic}
	c.reply(reply)
	c.why = Outcome{}
	c.refuse(PhaseCommand, reply)
	_ = c.Flush() // the session is over
	c.End(true)
}

// ended is why the session ended, nil for a QUIT.
func ended(err error) error {
	if err == errQuit {
		return nil
	}
	return err
}

// turnAway tells a connection why it is not served.
func (c *conn) turnAway(reply *mailbricks.Reply) {
	c.end = errTold
	c.refuse(PhaseConnect, reply)
	if t := c.set.Trace.Refused; t != nil {
		t(c.session.Peer.Addr, reply)
	}
	if c.set.implicitTLS { // nothing can be said without a handshake, and that is not worth it
		return
	}
	c.reply(reply)
	_ = c.Flush() // it is closed anyway
}

// run goes from the greeting to the end of the session and leaves in end why it ended.
func (c *conn) run() {
	if c.set.implicitTLS && !c.handshake(PhaseConnect) {
		return
	}
	c.ext = extensionsOf(c.set.Handler)
	c.greet()
	for c.end == nil {
		line, err := c.readCommand()
		if err != nil {
			c.readFailed(err)
			break
		}
		c.command(line)
	}
	if errors.Is(c.end, errUnread) {
		c.cutOff(PhaseCommand, c.end)
	}
	c.endTransaction()
	_ = c.Flush() // the session is over; end has the reason that counts
	c.End(c.end != errQuit)
}

// greet asks the Connect checks and sends the greeting, of which it gives the code.
func (c *conn) greet() int {
	c.begun = true
	err := c.ask(Step{Phase: PhaseConnect, Session: c.session})
	if t := c.set.Trace.Connected; t != nil {
		t(c.session, err)
	}
	if err == nil {
		c.lines(220, "", []string{c.set.hostname + " " + c.greeting()})
		return 220
	}
	reply := *refusal(err)
	switch closing := closes(&reply); {
	case reply.Temporary():
		reply.Code = 421 // RFC 5321 §4.3.2: all that a greeting may say for now
	case reply.Code != 521: // RFC 7504 §3
		reply.Code = 554
		c.refused = !closing
	}
	c.reply(&reply)
	if !c.refused {
		c.end = errTold
	}
	c.refuse(PhaseConnect, &reply)
	return reply.Code
}

// errUnread is the end of a session whose peer does not read replies.
var errUnread = errors.New("smtpd: the peer does not read replies")

// unread says more of a failure to send replies.
func (c *conn) unread(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w: %w", errUnread, c.timeOut(err))
	}
	return err
}

// readFailed ends the session because of an error while it waited for a command.
func (c *conn) readFailed(err error) {
	c.end = err
	var reply *mailbricks.Reply
	switch {
	case c.Broken(): // the replies before it were not sent
		c.end = c.unread(err)
		return
	case c.chunksBroken(err):
		return
	case errors.Is(err, serving.ErrDraining):
		reply = shutdownReply(c.set.hostname)
	case errors.Is(err, os.ErrDeadlineExceeded):
		reply = &mailbricks.Reply{Code: 421, Enhanced: "4.4.2", Text: c.set.hostname + " waited too long, closing", Err: c.timeOut(err)}
	case errors.Is(err, serving.ErrLineTooLong):
		reply = lineTooLong(c.Buffered(), err)
	default:
		return // the peer has left
	}
	c.reply(reply)
	c.why = Outcome{}
	c.asked.forget()
	if c.tx != nil || !errors.Is(err, serving.ErrDraining) { // nothing is refused to a session that does nothing
		c.refuse(PhaseCommand, reply)
	}
}

// lineTooLong is the reply to a line that begins so and is beyond what can be read.
func lineTooLong(line []byte, err error) *mailbricks.Reply {
	const auth = "AUTH "
	if len(line) >= len(auth) && strings.EqualFold(string(line[:len(auth)]), auth) {
		return authTooLong(err)
	}
	return &mailbricks.Reply{Code: 500, Enhanced: "5.5.2", Text: "Line too long", Err: err}
}
