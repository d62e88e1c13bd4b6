package gosmtp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// Identifier is a session of a backend that can tell who has logged in. Without it the name is taken from what the client
// sent, for the mechanisms that go-sasl has, and is as the client wrote it; it is both Login and User of the identity, as
// nobody here knows whether the backend has looked at whom else the client asked to act for (RFC 4616 §2).
type Identifier interface {
	// Identity is asked once an exchange has ended well.
	Identity() mailbricks.Identity
}

// Mechanisms are those that the backend's session with this peer has named at EHLO. Sessions are told apart by
// both ends of their connections. Those whose peers have no address, as of Unix sockets, are all one here, and so are those of
// one client for which XCLIENT gave an ADDR but no PORT: they are offered what the last one's session has named. What a
// session may use is asked of its own backend all the same.
func (a *adapter) Mechanisms(peer mailbricks.Peer) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.offers[ends{peer.Addr, peer.Local}]; s != nil {
		return s.mechanisms
	}
	return nil
}

// askMechanisms asks the backend for the mechanisms that it has now.
func (s *session) askMechanisms() (names []string, err error) {
	if s.in == nil {
		return nil, nil
	}
	backend, ok := s.in.backend.(smtp.AuthSession)
	if !ok {
		return nil, nil
	}
	err = s.call("AuthMechanisms", func(smtp.Session) error {
		for _, name := range backend.AuthMechanisms() {
			names = append(names, strings.ToUpper(name))
		}
		return nil
	})
	return names, err
}

// Start begins an exchange. What the backend replies to that is left to the first step of the exchange to tell.
func (a *adapter) Start(ctx context.Context, mechanism string, _ mailbricks.Peer) (mailbricks.Exchange, error) {
	peer, ok := smtpd.SessionFrom(ctx)
	if !ok {
		return nil, errNoSession
	}
	s := a.session(peer)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &exchange{session: s, mechanism: mechanism}
	var names []string
	if names, e.refused = s.askMechanisms(); e.refused == nil {
		if !slices.Contains(names, mechanism) {
			return nil, fmt.Errorf("gosmtp: the backend does not offer %s", mechanism)
		}
		e.refused = s.call("Auth", func(b smtp.Session) (err error) {
			e.server, err = b.(smtp.AuthSession).Auth(mechanism)
			return err
		})
	}
	switch {
	case errors.Is(e.refused, smtp.ErrAuthUnknownMechanism):
		return nil, e.refused
	case e.refused == nil && e.server == nil:
		e.refused = errors.New("gosmtp: the backend gave no SASL server")
	}
	if e.refused != nil && !decided(e.refused) {
		e.refused = fmt.Errorf("%w: %w", mailbricks.ErrTemporary, e.refused)
	}
	e.refused = closing(e.refused)
	return e, nil
}

// exchange is one run of a mechanism of the backend's.
type exchange struct {
	*session
	mechanism string
	server    sasl.Server
	refused   error // what the backend said instead
	responses []string
}

// Next does one step.
func (e *exchange) Next(_ context.Context, response []byte) (challenge []byte, id *mailbricks.Identity, err error) {
	if e.refused != nil {
		return nil, nil, e.refused
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if response != nil {
		e.responses = append(e.responses, string(response))
	}
	done := false
	err = e.call("SASL", func(smtp.Session) (err error) {
		if challenge, done, err = e.server.Next(response); err == nil && done {
			id = e.identity()
		}
		return err
	})
	switch {
	case err == nil && done && id != nil:
		return nil, id, nil
	case err == nil && challenge == nil:
		return []byte{}, nil, nil
	case err == nil:
		return challenge, nil, nil
	case decided(err) || errors.Is(err, sasl.ErrUnexpectedClientResponse):
		return nil, nil, closing(err)
	}
	return nil, nil, fmt.Errorf("%w: %w", mailbricks.ErrAuth, err)
}

// closing makes a 421 of a verdict that ends the session: a log-in can end it in no other way. Other errors stay as they are.
func closing(err error) error {
	v, ok := errors.AsType[*smtpd.Verdict](err)
	if !ok || v.Action != smtpd.ClosePeer {
		return err
	}
	reply := &mailbricks.Reply{Code: 421, Enhanced: "4.7.0", Text: "Closing connection", Err: v}
	if given, ok := errors.AsType[*mailbricks.Reply](v.Err); ok {
		reply.Text = given.Text
		if given.Code == 421 {
			reply.Enhanced = given.Enhanced
		}
	}
	return reply
}

// decided says whether the engine knows what to make of an error of a log-in.
func decided(err error) bool {
	if _, ok := errors.AsType[*mailbricks.Reply](err); ok {
		return true
	}
	if _, ok := errors.AsType[*smtpd.Verdict](err); ok {
		return true
	}
	return errors.Is(err, mailbricks.ErrAuth) || errors.Is(err, mailbricks.ErrTemporary) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// identity is who has logged in.
func (e *exchange) identity() *mailbricks.Identity {
	if backend, ok := e.in.backend.(Identifier); ok {
		id := backend.Identity()
		return &id
	}
	return named(e.mechanism, e.responses)
}

// named is who the client says that it is, which the backend has believed. The names are empty for a mechanism that is not
// known.
func named(mechanism string, responses []string) *mailbricks.Identity {
	id := new(mailbricks.Identity)
	if len(responses) == 0 {
		return id
	}
	first, last := responses[0], responses[len(responses)-1]
	switch mechanism {
	case sasl.Plain: // RFC 4616 §2
		if parts := strings.SplitN(last, "\x00", 3); len(parts) == 3 {
			id.Login = parts[1]
		}
	case sasl.Login:
		id.Login = first
	case sasl.External: // RFC 4422 appendix A
		id.Login = last
	case sasl.Anonymous: // RFC 4505 §2: what the client sends is no name
		id.Login = "anonymous"
	case sasl.OAuthBearer: // RFC 7628 §3.1
		for _, part := range strings.Split(first, ",") {
			if name, ok := strings.CutPrefix(part, "a="); ok {
				id.Login = strings.NewReplacer("=2C", ",", "=3D", "=").Replace(name)
			}
		}
	}
	if strings.ContainsFunc(id.Login, isControl) {
		return new(mailbricks.Identity)
	}
	id.User = id.Login
	return id
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
