package relay

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
)

// Replies to what the queue does not take.
var (
	errFull        = &mailbricks.Reply{Code: 452, Enhanced: "4.3.1", Text: "Mail queue is full, please try again later"}
	errTooMany     = &mailbricks.Reply{Code: 452, Enhanced: "4.5.3", Text: "Too many recipients"}
	errBadSender   = &mailbricks.Reply{Code: 553, Enhanced: "5.1.7", Text: "Sender address is not valid"}
	errBadRcpt     = &mailbricks.Reply{Code: 553, Enhanced: "5.1.3", Text: "Recipient address is not valid"}
	errBinary      = &mailbricks.Reply{Code: 554, Enhanced: "5.6.3", Text: "BINARYMIME messages cannot be relayed"}
	errNoRecipient = &mailbricks.Reply{Code: 554, Enhanced: "5.5.1", Text: "No valid recipients"}
)

// storeError marks the failure of a queue to take a message, for its Settle.
type storeError struct {
	queue *Queue
	err   error
}

func (e *storeError) Error() string { return e.err.Error() }
func (e *storeError) Unwrap() error { return e.err }

// prepareError marks a failure of Options.Prepare: the queue could store the message.
type prepareError struct{ err error }

func (e *prepareError) Error() string { return "relay: prepare: " + e.err.Error() }
func (e *prepareError) Unwrap() error { return e.err }

// Handle takes a message for all recipients of its envelope whose addresses are valid: when it returns nil for one, the
// message is on disk. A full disk, like a full queue, is 452 4.3.1. It implements [mailbricks.Handler]; Options.Prepare
// has seen the message before.
func (q *Queue) Handle(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
	results, good := q.checkEnvelope(env)
	if len(good) > 0 {
		_, err := q.take(ctx, env.WithRecipients(good), msg, sending{})
		if err != nil {
			err = &storeError{q, err}
		}
		for i := range results {
			if results[i] == nil {
				results[i] = err
			}
		}
	}
	return results.Err()
}

// checkEnvelope gives the recipients that can be taken, and for the others why not.
func (q *Queue) checkEnvelope(env *mailbricks.Envelope) (mailbricks.Results, []mailbricks.Recipient) {
	results := make(mailbricks.Results, len(env.Recipients))
	var good []mailbricks.Recipient
	for i, rcpt := range env.Recipients {
		switch {
		case env.From != "" && !validPath(env.From):
			results[i] = errBadSender
		case env.Body == mailbricks.BodyBinary:
			results[i] = errBinary
		case !validRecipient(rcpt.Address):
			results[i] = errBadRcpt
		case len(good) >= q.opts.MaxRecipients:
			results[i] = errTooMany
		default:
			good = append(good, rcpt)
		}
	}
	return results, good
}

// SendOption is an option of Send.
type SendOption func(*sending)

type sending struct {
	key      string
	remember bool
}

// maxKey is the longest key, in octets.
const maxKey = 256

// Key makes Send happen once: when a message with this key is in the queue or is remembered (Options.Remember), Send
// stores nothing and returns that message's ID. A key has at most 256 octets.
func Key(key string) SendOption { return func(s *sending) { s.key = key } }

// Send takes a message from the program itself, as Handle does, and returns its ID, for Events and Show. If one recipient
// cannot be taken, none is. The message should have its Date and Message-ID fields already.
func (q *Queue) Send(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message, options ...SendOption) (id string, err error) {
	s := sending{remember: true}
	for _, option := range options {
		option(&s)
	}
	if len(s.key) > maxKey || strings.ToValidUTF8(s.key, "") != s.key {
		return "", errors.New("relay: send: key is too long or not UTF-8")
	}
	results, good := q.checkEnvelope(env)
	if err := results.Err(); err != nil {
		return "", fmt.Errorf("relay: send: %w", err)
	}
	if len(good) == 0 {
		return "", fmt.Errorf("relay: send: %w", errNoRecipient)
	}
	if s.key == "" {
		id, err = q.take(ctx, env, msg, s)
	} else {
		id, err = q.takeOnce(ctx, env, msg, s)
	}
	if err != nil {
		return "", fmt.Errorf("relay: send: %w", err)
	}
	return id, nil
}

// takeOnce is take unless there is a message with the same key; it waits for one that is being taken.
func (q *Queue) takeOnce(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message, s sending) (string, error) {
	for {
		q.mu.Lock()
		q.forgetEnded()
		if id, ok := q.keys[s.key]; ok {
			q.mu.Unlock()
			return id, nil
		}
		other := q.keyBusy[s.key]
		if other == nil {
			mine := make(chan struct{})
			q.keyBusy[s.key] = mine
			q.mu.Unlock()
			id, err := q.take(ctx, env, msg, s)
			q.mu.Lock()
			delete(q.keyBusy, s.key)
			q.mu.Unlock()
			close(mine)
			return id, err
		}
		q.mu.Unlock()
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-other:
		}
	}
}

// take prepares and stores a message for all recipients of env.
func (q *Queue) take(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message, s sending) (string, error) {
	if err := q.enter(ctx); err != nil {
		return "", err
	}
	defer q.leave()
	own, err := q.withCRLF(msg)
	if err != nil {
		return "", storing(err)
	}
	defer own.Close()
	if q.opts.Prepare != nil {
		if err := q.opts.Prepare(ctx, env, own); err != nil {
			return "", &prepareError{err}
		}
	}
	st := newStored(env)
	st.Key, st.Remember = s.key, s.remember
	return q.store(st, own)
}

// store brings a message to the disk and into the index.
func (q *Queue) store(s *stored, msg *mailbricks.Message) (id string, err error) {
	s.ID, s.Created, s.Size = newID(), wallNow(), msg.Size()
	if err := q.reserve(s.Size); err != nil {
		return "", err
	}
	err = q.writeFile(s, msg)

	q.mu.Lock()
	q.storing--
	q.bytes -= s.Size
	if err != nil {
		q.mu.Unlock()
		return "", fmt.Errorf("relay: store message: %w", storing(err))
	}
	e := q.newEntry(s)
	e.unheard = q.opts.OnEvent != nil
	q.insert(e)
	q.mu.Unlock()
	q.log.Info("relay: queued", "id", s.ID, "envelope", s.EnvID, "from", s.From, "recipients", len(s.Rcpts), "size", s.Size)
	if e.unheard {
		q.announce(e)
	}
	return s.ID, nil
}

// storing gives the failure to store a message the reply that it deserves: a full disk is not any local problem, and
// says so (RFC 3463 §3.4: 4.3.1).
func storing(err error) error {
	if durable.IsDiskFull(err) {
		return &mailbricks.Reply{Code: 452, Enhanced: "4.3.1", Text: "Insufficient system storage", Err: err}
	}
	return err
}

// announce tells the first events of a message and lets its attempts begin.
func (q *Queue) announce(e *entry) {
	q.mu.Lock()
	events := make([]Event, len(e.rcpts))
	for i := range e.rcpts {
		events[i] = q.event(e, i)
	}
	q.mu.Unlock()
	q.tell(events)
	q.mu.Lock()
	defer q.mu.Unlock()
	e.unheard = false
	q.schedule(e)
}

// reserve makes room for a message in the limits.
func (q *Queue) reserve(size int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.entries)+q.storing >= q.opts.MaxMessages || q.bytes+size > q.opts.MaxBytes {
		return errFull
	}
	q.storing++
	q.bytes += size
	return nil
}

// writeFile brings a message to the disk, under its name.
func (q *Queue) writeFile(s *stored, msg *mailbricks.Message) error {
	if q.journal.broken.Load() { // no attempt could be noted; and what is refused here leaves nothing behind
		if err := q.journal.commit(); err != nil {
			return err
		}
	}
	head, err := fileHead(s)
	if err != nil {
		return err
	}
	if done, err := q.writeLoose(head, s, msg); done {
		return err
	}
	name := q.file(s.ID)
	temp := name + tempSuffix
	err = writeMessage(q.fs, temp, head, s, msg)
	if err == nil {
		err = q.fs.Rename(temp, name)
	}
	if err != nil {
		_ = q.fs.Remove(temp) // Open removes it otherwise
		return err
	}
	if err := q.dirs.Sync(q.messages()); err != nil {
		_ = q.fs.Remove(name) // or else it is delivered although it was refused, which may double it
		return err
	}
	return nil
}

// newID is a name that no other message has: 100 random bits in letters and digits, and a valid file name everywhere.
func newID() string {
	var b [12]byte
	rand.Read(b[:]) // never fails
	return strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}
