package gosmtp

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"

	"github.com/emersion/go-smtp"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/serving"
	"github.com/mailbricks/mailbricks/smtpd"
)

// ends are the two ends of a connection.
type ends struct{ remote, local netip.AddrPort }

// session is a connection on its way to the backend. Its lock keeps the backend's methods from running at the same time.
type session struct {
	a    *adapter
	peer *smtpd.Session

	mu    sync.Mutex
	in    *standIn // nil: the backend has no session
	told  *told    // the transaction that the backend is in; nil: none
	ended bool

	at         ends // where it is in offers; guarded by the adapter's lock, as is the next
	mechanisms []string
}

// told is what the backend was told of a transaction.
type told struct {
	id, from string
	rcpts    []string
}

// sessionKey is where the session is kept in that of the engine.
type sessionKey struct{ *adapter }

// session gives that of a connection; it is made when it is first asked for.
func (a *adapter) session(peer *smtpd.Session) *session {
	key := sessionKey{a}
	if s, ok := peer.Value(key).(*session); ok {
		return s
	}
	s := &session{a: a, peer: peer}
	peer.Set(key, s)
	return s
}

// around asks the checks behind this one, and then the backend.
func (a *adapter) around(ctx context.Context, step *smtpd.Step, next func(context.Context) error) error {
	if err := next(ctx); err != nil {
		return err
	}
	switch step.Phase {
	case smtpd.PhaseHello, smtpd.PhaseMail, smtpd.PhaseRcpt:
	default:
		return nil
	}
	s := a.session(step.Session)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch step.Phase {
	case smtpd.PhaseHello:
		return s.hello()
	case smtpd.PhaseMail:
		return s.mail(step.Transaction.Envelope)
	default:
		return s.rcpt(step.Transaction.Envelope, step.Recipient)
	}
}

// disconnect ends the session.
func (a *adapter) disconnect(_ context.Context, peer *smtpd.Session) {
	s := a.session(peer)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end()
	s.ended = true
	s.offer(nil)
}

// hello opens the session, or tells the backend that the client begins anew (RFC 5321 §4.1.4).
func (s *session) hello() error {
	if s.in == nil || s.in.tls != s.peer.Peer.TLS {
		s.end() // RFC 3207 §4.2: it was for the connection without TLS
		if err := s.open(); err != nil {
			return err
		}
	} else {
		s.told = nil
		if err := s.lost(s.in.greet(s.peer.Peer.Hello)); err != nil {
			return err
		}
	}
	names, err := s.askMechanisms()
	if err != nil {
		return err
	}
	s.offer(names)
	return nil
}

// offer notes which mechanisms the EHLO reply has, to be found by the connection's ends; those of a session that has ended are
// forgotten.
func (s *session) offer(mechanisms []string) {
	s.a.mu.Lock()
	defer s.a.mu.Unlock()
	if s.a.offers[s.at] == s {
		delete(s.a.offers, s.at)
	}
	if s.ended {
		return
	}
	s.at, s.mechanisms = ends{s.peer.Peer.Addr, s.peer.Peer.Local}, mechanisms
	s.a.offers[s.at] = s
}

// open makes sure that the backend has a session.
func (s *session) open() error {
	if s.in != nil {
		return nil
	}
	if s.ended {
		return errNoSession
	}
	in, err := s.a.stand(s.peer)
	if err != nil {
		return err
	}
	s.in = in
	return nil
}

// end takes the session from the backend.
func (s *session) end() {
	if s.in == nil {
		return
	}
	s.in.end()
	s.in, s.told = nil, nil
}

// call calls a method of the backend's.
func (s *session) call(name string, f func(smtp.Session) error) error {
	if err := s.open(); err != nil {
		return err
	}
	if s.in.isClosed() { // in between
		return s.lost(s.in.asked(nil))
	}
	_ = s.in.written()
	err := serving.Guard(s.a.log(), "gosmtp: "+name, func() error { return f(s.in.backend) })
	return s.lost(s.in.asked(err))
}

// lost ends the session if the backend has closed the connection or panicked, so that it is not asked any more, whatever
// becomes of err.
func (s *session) lost(err error) error {
	if _, panicked := errors.AsType[*serving.Panic](err); panicked || s.in.isClosed() {
		s.end()
	}
	return err
}

// reset ends the transaction that the backend is in.
func (s *session) reset() error {
	if s.told == nil || s.in == nil {
		return nil
	}
	s.told = nil
	return s.call("Reset", func(b smtp.Session) error { b.Reset(); return nil })
}

// mail begins a transaction with the backend. One that the client left is reset first.
func (s *session) mail(env *mailbricks.Envelope) error {
	if err := s.reset(); err != nil {
		return err
	}
	s.told = &told{from: env.From}
	err := s.call("Mail", func(b smtp.Session) error { return b.Mail(env.From, mailOptions(env)) })
	if err == nil { // otherwise Reset will tell the backend that this is over
		s.told.id = env.ID
	}
	return err
}

// rcpt tells the backend of a recipient.
func (s *session) rcpt(env *mailbricks.Envelope, rcpt *mailbricks.Recipient) error {
	if s.told == nil || s.told.id != env.ID { // a check has let MAIL pass without asking further
		if err := s.mail(env); err != nil {
			return err
		}
	}
	err := s.call("Rcpt", func(b smtp.Session) error { return b.Rcpt(rcpt.Address, rcptOptions(env, rcpt)) })
	if err == nil {
		s.told.rcpts = append(s.told.rcpts, rcpt.Address)
	}
	return err
}

// agree makes the backend's transaction that of env, which checks may have changed since it was told of it. It gives what the
// backend says of each recipient, or nil if it has agreed to all of them.
func (s *session) agree(env *mailbricks.Envelope) (mailbricks.Results, error) {
	addresses := make([]string, len(env.Recipients))
	for i, rcpt := range env.Recipients {
		addresses[i] = rcpt.Address
	}
	if t := s.told; t != nil && s.in != nil && t.id == env.ID && t.from == env.From && slices.Equal(t.rcpts, addresses) {
		return nil, nil
	}
	if err := s.mail(env); err != nil {
		return nil, err
	}
	results := make(mailbricks.Results, len(env.Recipients))
	for i := range env.Recipients {
		results[i] = s.rcpt(env, &env.Recipients[i])
		if s.in == nil { // the backend has closed the connection
			return nil, results[i]
		}
	}
	if results.Err() == nil {
		return nil, nil
	}
	return results, nil
}
