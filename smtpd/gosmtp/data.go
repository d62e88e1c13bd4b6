package gosmtp

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/emersion/go-smtp"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// errAfter says that a backend reads a message after it has returned.
var errAfter = errors.New("gosmtp: message was read after Data had returned")

// Handle gives a message to the backend.
func (a *adapter) Handle(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
	peer, ok := smtpd.SessionFrom(ctx)
	if !ok {
		return errNoSession
	}
	s := a.session(peer)
	s.mu.Lock()
	defer s.mu.Unlock()
	refused, err := s.agree(env)
	if err != nil {
		return err
	}
	if refused != nil && !slices.Contains(refused, nil) {
		return refused
	}
	if !a.Received {
		removeReceived(env, msg)
	}
	err = s.data(&reader{ctx: ctx, r: msg.Reader()}, env, refused)
	if reset := s.reset(); err == nil && reset != nil { // the message was taken
		a.log().Warn("gosmtp: Reset after a message", "err", reset)
	}
	return err
}

// removeReceived takes out the topmost Received field with the transaction's ID, which is this server's.
func removeReceived(env *mailbricks.Envelope, msg *mailbricks.Message) {
	done := false
	msg.Remove(func(f mailbricks.Field) bool {
		ours := !done && f.Is("Received") && slices.Contains(strings.FieldsFunc(f.Value(), isBreak), env.ID)
		done = done || ours
		return ours
	})
}

func isBreak(r rune) bool { return r == ' ' || r == '\t' || r == ';' }

// data gives the message to the backend, and joins what it says with what it said of the recipients before.
func (s *session) data(r *reader, env *mailbricks.Envelope, refused mailbricks.Results) error {
	defer r.end()
	perRecipient, ok := s.in.backend.(smtp.LMTPSession)
	if !ok || !s.in.server.LMTP {
		err := s.call("Data", func(b smtp.Session) error { return b.Data(r) })
		return joined(refused, mailbricks.ResultsOf(err, len(env.Recipients)), err)
	}
	status := newStatus(env.Recipients, refused)
	err := s.call("LMTPData", func(smtp.Session) error { return perRecipient.LMTPData(r, status) })
	results, strange := status.results(err)
	if strange > 0 {
		s.a.log().Warn("gosmtp: backend set a status for a recipient that it was not asked about, or set it again", "count", strange)
	}
	return joined(refused, results, results.Err())
}

// joined puts what was refused before over results; single is what to return if nothing was.
func joined(refused, results mailbricks.Results, single error) error {
	if refused == nil {
		return single
	}
	for i, err := range refused {
		if err != nil {
			results[i] = err
		}
	}
	return results.Err()
}

// reader is a message as the backend reads it: until its method returns, or ctx ends.
type reader struct {
	ctx context.Context

	mu sync.Mutex
	r  io.Reader // nil: it has ended
}

func (r *reader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.r == nil {
		return 0, errAfter
	}
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

func (r *reader) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.r = nil
}

// status collects what an LMTP backend says of each recipient.
type status struct {
	mu      sync.Mutex
	rcpts   []mailbricks.Recipient
	set     []bool
	errs    mailbricks.Results
	strange int // calls that were for no recipient
	over    bool
}

func newStatus(rcpts []mailbricks.Recipient, refused mailbricks.Results) *status {
	st := &status{rcpts: rcpts, set: make([]bool, len(rcpts)), errs: make(mailbricks.Results, len(rcpts))}
	for i, err := range refused {
		st.set[i] = err != nil
	}
	return st
}

// SetStatus is for the first recipient of that address that has none yet.
func (st *status) SetStatus(rcptTo string, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for i, rcpt := range st.rcpts {
		if rcpt.Address == rcptTo && !st.set[i] && !st.over {
			st.set[i], st.errs[i] = true, replyFor(err)
			return
		}
	}
	st.strange++
}

// results are those that were set, and err for all others.
func (st *status) results(err error) (results mailbricks.Results, strange int) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.over = true
	for i := range st.errs {
		if !st.set[i] {
			st.errs[i] = err
		}
	}
	return st.errs, st.strange
}
