package smtpd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/saslline"
	"github.com/mailbricks/mailbricks/internal/serving"
)

// mechanisms are those on offer now.
func (c *conn) mechanisms() []string {
	if c.set.Auth == nil || c.session.Peer.TLS == nil && !c.set.AllowInsecureAuth {
		return nil
	}
	return c.set.Auth.Mechanisms(c.session.Peer)
}

// auth is AUTH (RFC 4954 §4).
func (c *conn) auth(arg string) *mailbricks.Reply {
	mechanism, initial, hasInitial := strings.Cut(arg, " ")
	mechanism = strings.ToUpper(mechanism)
	switch {
	case c.set.Auth == nil:
		return badSequence("AUTH is not available here")
	case c.session.Peer.Hello == "" || !c.extended:
		return badSequence("EHLO first")
	case c.session.Peer.Identity != nil:
		return badSequence("You have logged in already")
	case c.tx != nil:
		return badSequence("Not within a mail transaction")
	case c.session.Peer.TLS == nil && !c.set.AllowInsecureAuth:
		return misuse(538, "5.7.11", "Encryption required, use STARTTLS first")
	case mechanism == "" || strings.Contains(initial, " "):
		return badArgument("Syntax: AUTH mechanism [initial-response]")
	}
	first, err := saslline.Initial(initial, hasInitial)
	if err != nil {
		return c.authDone(mechanism, nil, err)
	}
	exchange, err := c.startExchange(mechanism)
	if err != nil {
		c.because("AUTH", fmt.Errorf("mechanism %.40q: %w", mechanism, err))
		return startReply(err)
	}
	id, err := c.exchange(exchange, first)
	if c.end != nil {
		return nil
	}
	return c.authDone(mechanism, id, err)
}

// startReply is the reply for a mechanism that is not to be had.
func startReply(err error) *mailbricks.Reply {
	_, isReply := errors.AsType[*mailbricks.Reply](err)
	switch {
	case asksToClose(err):
		return refusal(err)
	case isReply:
		reply := *refusal(err)
		if !reply.Temporary() {
			reply.Err = errors.Join(errProtocol, reply.Err)
		}
		return &reply
	case passes(err):
		return authLater()
	}
	return misuse(504, "5.5.4", "Unrecognized authentication mechanism")
}

// startExchange begins the exchange, if the Authenticator lets the client have the mechanism.
func (c *conn) startExchange(mechanism string) (exchange mailbricks.Exchange, err error) {
	err = c.runStep("smtpd: auth", c.set.checkTime, func(ctx context.Context) (err error) {
		exchange, err = c.set.Auth.Start(ctx, mechanism, c.session.Peer)
		return err
	})
	if err == nil && exchange == nil {
		err = fmt.Errorf("smtpd: Authenticator gave no exchange: %w", mailbricks.ErrTemporary)
	}
	return exchange, err
}

// exchange goes through challenges and responses to the identity or an error. When the connection breaks c.end is set.
func (c *conn) exchange(exchange mailbricks.Exchange, first []byte) (*mailbricks.Identity, error) {
	return saslline.Exchange(first, func(response []byte) (challenge []byte, id *mailbricks.Identity, err error) {
		err = c.runStep("smtpd: auth", c.set.checkTime, func(ctx context.Context) (err error) {
			challenge, id, err = exchange.Next(ctx, response)
			return err
		})
		return challenge, id, err
	}, c.challenge)
}

// challenge sends a challenge and waits for the line that answers.
func (c *conn) challenge(challenge string) (string, error) {
	c.Out = append(c.Out, "334 "+challenge+"\r\n"...)
	now := time.Now()
	c.waitForCommand(now)
	line, err := c.waitForLine(now.Add(c.set.commandTime), true)
	if errors.Is(err, serving.ErrLineTooLong) {
		c.end = err
		reply := authTooLong(err)
		c.reply(reply)
		c.refuse(PhaseAuth, reply)
		return "", err
	}
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

// authTooLong is the reply to a line of AUTH beyond serving.MaxLine (RFC 4954 §4).
func authTooLong(err error) *mailbricks.Reply {
	return &mailbricks.Reply{Code: 500, Enhanced: "5.5.6", Text: "Authentication exchange line is too long", Err: err}
}

// authDone takes the outcome of an exchange and gives the reply (RFC 4954 §4 and §6).
func (c *conn) authDone(mechanism string, id *mailbricks.Identity, err error) *mailbricks.Reply {
	if t := c.set.Trace.Auth; t != nil && err != nil {
		t(c.session, mechanism, err)
	}
	if err == nil {
		c.session.Peer.Identity = id
		c.session.Peer.Protocol = c.protocol(false)
		c.place.Leave()
		c.logger.Info("smtpd: logged in", "login", id.Login, "mechanism", mechanism, "peer", c.session.Peer.Addr)
		if t := c.set.Trace.Auth; t != nil {
			t(c.session, mechanism, nil)
		}
		return &mailbricks.Reply{Code: 235, Enhanced: "2.7.0", Text: "Authentication successful"}
	}
	c.because("AUTH", fmt.Errorf("mechanism %.40q: %w", mechanism, err))
	reply := authReply(err)
	failed := reply.Code/100 == 5 || asksToClose(err) && errors.Is(err, mailbricks.ErrAuth)
	if failed && !errors.Is(reply.Err, errProtocol) {
		if c.session.counts.AuthFailures++; serving.Reached(c.session.counts.AuthFailures, c.maxAuthFailures()) {
			return &mailbricks.Reply{Code: 421, Enhanced: "4.7.0", Text: "Too many failed log-ins, closing"}
		}
	}
	return reply
}

// authReply is the reply for an exchange that failed. What is wrong with the exchange itself is misuse, and no failed log-in.
func authReply(err error) *mailbricks.Reply {
	reply, isReply := errors.AsType[*mailbricks.Reply](err)
	switch {
	case asksToClose(err):
		return refusal(err)
	case isReply:
		return refusal(reply)
	case errors.Is(err, mailbricks.ErrAuth):
		return &mailbricks.Reply{Code: 535, Enhanced: "5.7.8", Text: "Authentication failed"}
	case errors.Is(err, saslline.ErrCancelled):
		return misuse(501, "5.7.0", "Authentication cancelled")
	case errors.Is(err, saslline.ErrBase64):
		return misuse(501, "5.5.2", "Response is not base64")
	case passes(err):
		return authLater()
	}
	return misuse(501, "5.5.2", "Malformed authentication response")
}

// authLater is the reply to a log-in that cannot be decided on.
func authLater() *mailbricks.Reply {
	return &mailbricks.Reply{Code: 454, Enhanced: "4.7.0", Text: "Temporary authentication failure"}
}

// passes says whether err says nothing about the client: it is a failure of this side, which may pass.
func passes(err error) bool {
	_, isPanic := errors.AsType[*serving.Panic](err)
	return isPanic || errors.Is(err, mailbricks.ErrTemporary) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// asksToClose says whether err is the verdict that ends a session.
func asksToClose(err error) bool {
	v, ok := verdictOf(err)
	return ok && v.Action == ClosePeer
}
