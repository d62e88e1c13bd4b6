package pop3d

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/saslline"
	"github.com/mailbricks/mailbricks/internal/serving"
	"github.com/mailbricks/mailbricks/mailbox"
)

// plain is the mechanism that USER and PASS stand for.
const plain = "PLAIN"

// Outcomes of a log-in that are neither the Exchange's nor the client's doing.
var (
	errNotOneStep  = errors.New("pop3d: PLAIN asks for more than a password")
	errNoMechanism = errors.New("pop3d: no such mechanism")
)

// mechanisms are those on offer now.
func (c *conn) mechanisms() []string {
	if c.set.Auth == nil || c.set.Store == nil || c.session.Peer.TLS == nil && !c.set.AllowInsecureAuth {
		return nil
	}
	return c.set.Auth.Mechanisms(c.session.Peer)
}

func offers(mechanisms []string, name string) bool {
	return slices.ContainsFunc(mechanisms, func(m string) bool { return strings.EqualFold(m, name) })
}

// mayLogIn says whether the session may log in by a mechanism, or writes the reply that says why not.
func (c *conn) mayLogIn(mechanism string) bool {
	switch mechanisms := c.mechanisms(); {
	case offers(mechanisms, mechanism):
		return true
	case c.set.Auth != nil && c.session.Peer.TLS == nil && !c.set.AllowInsecureAuth:
		c.bad("Encryption required, use STLS first")
	case mechanism == plain && len(mechanisms) == 0:
		c.bad("Log-in is not available here")
	default:
		c.bad("Unknown authentication mechanism")
	}
	return false
}

// userName is USER (RFC 1939 §7). Whether there is such a user only PASS will tell.
func (c *conn) userName(name string) {
	if !c.mayLogIn(plain) {
		return
	}
	c.user = name
	c.ok("Send your password")
}

// pass is PASS (RFC 1939 §7). Everything behind the verb is the password, blanks included.
func (c *conn) pass(password string) {
	switch {
	case !c.mayLogIn(plain):
		return
	case c.user == "":
		c.bad("USER first")
		return
	case strings.Contains(c.user+password, "\x00"): // what separates the fields in RFC 4616
		c.bad("NUL in user or password")
		return
	}
	exchange, err := c.startExchange(plain)
	if err != nil {
		c.loginDone("PASS", nil, err)
		return
	}
	challenge, id, err := c.next(exchange, []byte("\x00"+c.user+"\x00"+password))
	if err == nil && (id == nil || challenge != nil) {
		err = errors.Join(errNotOneStep, mailbricks.ErrTemporary)
	}
	c.loginDone("PASS", id, err)
}

// auth is AUTH (RFC 5034 §4). Without an argument it lists the mechanisms, as clients from before CAPA expect.
func (c *conn) auth(arg string) {
	mechanism, initial, hasInitial := strings.Cut(arg, " ")
	mechanism = strings.ToUpper(mechanism)
	if mechanism == "" {
		c.ok("Mechanisms follow")
		for _, m := range c.mechanisms() {
			c.line(clean(m))
		}
		c.line(".")
		return
	}
	if !c.mayLogIn(mechanism) {
		return
	}
	first, err := saslline.Initial(initial, hasInitial)
	if err != nil {
		c.loginDone(mechanism, nil, err)
		return
	}
	exchange, err := c.startExchange(mechanism)
	if err != nil {
		c.loginDone(mechanism, nil, err)
		return
	}
	id, err := c.exchange(exchange, first)
	if c.end == nil {
		c.loginDone(mechanism, id, err)
	}
}

func (c *conn) startExchange(mechanism string) (exchange mailbricks.Exchange, err error) {
	err = c.step("auth", func(ctx context.Context) (err error) {
		exchange, err = c.set.Auth.Start(ctx, mechanism, c.session.Peer)
		return err
	})
	if err == nil && exchange == nil {
		err = errNoMechanism
	}
	return exchange, err
}

func (c *conn) next(exchange mailbricks.Exchange, response []byte) (challenge []byte, id *mailbricks.Identity, err error) {
	err = c.step("auth", func(ctx context.Context) (err error) {
		challenge, id, err = exchange.Next(ctx, response)
		return err
	})
	return challenge, id, err
}

// exchange goes through challenges and responses to the identity or an error. When the connection breaks c.end is set.
func (c *conn) exchange(exchange mailbricks.Exchange, first []byte) (*mailbricks.Identity, error) {
	return saslline.Exchange(first, func(response []byte) ([]byte, *mailbricks.Identity, error) {
		return c.next(exchange, response)
	}, c.challenge)
}

// challenge sends a challenge and waits for the line that answers.
func (c *conn) challenge(challenge string) (string, error) {
	c.line("+ " + challenge)
	line, err := c.ReadLine(c.deadline(), true)
	if err != nil {
		c.readFailed(err)
		return "", err
	}
	text, crlf := strings.CutSuffix(string(line), "\r\n")
	if !crlf {
		return "", saslline.ErrBase64
	}
	return text, nil
}

// loginDone takes the outcome of a log-in, opens the maildrop and writes the reply.
func (c *conn) loginDone(mechanism string, id *mailbricks.Identity, err error) {
	known := err == nil
	if known {
		err = c.openMaildrop(*id)
	}
	if err == nil {
		c.session.Peer.Identity = id
		c.place.Leave()
		c.logger.Info("pop3d: logged in", "user", id.User, "login", id.Login, "mechanism", mechanism, "peer", c.session.Peer.Addr)
	} else {
		c.logger.Info("pop3d: log-in failed", "mechanism", mechanism, "peer", c.session.Peer.Addr, "err", err)
	}
	if t := c.set.Trace.Auth; t != nil {
		t(c.session, mechanism, err)
	}
	if err != nil {
		code, text := loginReply(err, known)
		c.refuse(code, text)
		c.countFailure(code)
		return
	}
	if t := c.set.Trace.Opened; t != nil {
		t(c.session, c.drop.count, c.drop.octets)
	}
	c.maildrop()
}

// countFailure ends a session with too many log-ins that failed: of a user who is known they count as errors.
func (c *conn) countFailure(code string) {
	n, most := &c.errors, c.set.maxErrors
	if code == codeAuth || code == "" {
		n, most = &c.authFailures, c.set.maxAuthFailures
	}
	if *n++; serving.Reached(*n, most) {
		c.end = errTold
	}
}

// loginReply is the reply for a log-in that failed. known says that it was not for want of the right credentials.
func loginReply(err error, known bool) (code, text string) {
	reply, isReply := errors.AsType[*mailbricks.Reply](err)
	switch {
	case errors.Is(err, errInUse):
		return codeInUse, "Another session has this mailbox open"
	case errors.Is(err, errTooSoon):
		return codeDelay, "Please wait before you log in again"
	case errors.Is(err, mailbricks.ErrAuth):
		return codeAuth, "Authentication failed"
	case known && errors.Is(err, mailbox.ErrLocked): // RFC 3206 §4: it takes somebody's help
		return codePerm, "Your mail is encrypted and this log-in does not open it: log in with your password (USER and PASS or PLAIN, over TLS) or ask your administrator"
	case isReply && reply.Temporary():
		return codeTemp, reply.Lines()[0]
	case isReply && known:
		return codePerm, reply.Lines()[0]
	case isReply:
		return codeAuth, reply.Lines()[0]
	case errors.Is(err, saslline.ErrCancelled):
		return "", "Authentication cancelled"
	case errors.Is(err, saslline.ErrBase64):
		return "", "Response is not base64"
	case known, isTemporary(err):
		return codeTemp, "Temporary failure, please try again later"
	}
	return "", "Malformed authentication response"
}

// isTemporary says whether an exchange failed for a reason that is not the client's.
func isTemporary(err error) bool {
	_, panicked := errors.AsType[*serving.Panic](err)
	return panicked || errors.Is(err, mailbricks.ErrTemporary) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, context.Canceled) || errors.Is(err, errNoMechanism)
}
