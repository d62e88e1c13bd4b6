package maildir

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

// deliveries is how many recipients of one message are served at the same time.
const deliveries = 8

// Handle stores a message for every recipient: in INBOX or, where the envelope asks for quarantine, in the mailbox with the
// use \Junk. It takes existing Return-Path fields off and puts Return-Path and Delivered-To on (RFC 5321 §4.4). A nil
// result means that the message is on disk with its name. Failures are 550 5.1.1 for an address without an account, 552
// 5.2.2 where the quota is full, 452 4.3.1 where the disk is, and 451 4.3.0 for all else. It implements
// mailbricks.Handler.
func (m *Maildir) Handle(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
	results := make(mailbricks.Results, len(env.Recipients))
	if len(results) == 1 {
		results[0] = replyFor(m.deliver(ctx, env, &env.Recipients[0], msg))
		return results.Err()
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, deliveries)
	for i := range env.Recipients {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			results[i] = replyFor(m.deliver(ctx, env, &env.Recipients[i], msg))
		})
	}
	wg.Wait()
	return results.Err()
}

// deliver stores a message for one recipient.
func (m *Maildir) deliver(ctx context.Context, env *mailbricks.Envelope, rcpt *mailbricks.Recipient, msg *mailbricks.Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	a, err := m.acquire(ctx, rcpt.Address)
	if err != nil {
		return err
	}
	defer m.release(a)
	msg = msg.Clone()
	defer msg.Close()
	msg.Remove(func(f mailbricks.Field) bool { return f.Is("Return-Path") })
	msg.Prepend("Delivered-To", rcpt.Address)
	msg.Prepend("Return-Path", "<"+env.From+">")

	free, err := a.reserve(usage{msg.Size(), 1})
	if err != nil {
		return err
	}
	defer free()
	err = a.deliver(msg, env.Quarantine != "")
	if isNotExist(err) { // someone has removed the account's folder: make it again
		m.mu.Lock()
		delete(m.ready, a.dir)
		m.mu.Unlock()
		if err = a.make(); err == nil {
			err = a.deliver(msg, env.Quarantine != "")
		}
	}
	return err
}

// deliver puts a message into new of INBOX or of the mailbox for junk.
func (a *account) deliver(msg *mailbricks.Message, junk bool) error {
	name := ""
	if junk {
		var err error
		if name, err = a.useFolder(mailbox.UseJunk); err != nil {
			return err
		}
	}
	dir := a.path(name)
	s, err := a.stage(dir, time.Time{}, msg.Size(), func(w io.Writer) error {
		_, err := msg.WriteTo(w)
		return err
	})
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "new", s.base)
	if err := a.fs().Rename(s.temp, path); err != nil {
		s.discard(a.fs())
		return err
	}
	if err := a.syncDir(filepath.Join(dir, "new")); err != nil {
		_ = a.fs().Remove(path) // the sender tries again
		return err
	}
	a.addUsage(usage{s.size, 1})
	if f := a.loaded(name); f != nil {
		f.deliver(delivery{base: s.base, date: s.date, size: s.crlf})
	} else {
		a.changedFolder(name)
	}
	return nil
}

// replyFor makes a failed delivery a reply.
func replyFor(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNoAccount):
		return &mailbricks.Reply{Code: 550, Enhanced: "5.1.1", Text: "No such user here", Err: err}
	case errors.Is(err, mailbox.ErrQuota):
		return &mailbricks.Reply{Code: 552, Enhanced: "5.2.2", Text: "Mailbox is full", Err: err}
	case durable.IsDiskFull(err):
		return &mailbricks.Reply{Code: 452, Enhanced: "4.3.1", Text: "Insufficient system storage", Err: err}
	}
	return &mailbricks.Reply{Code: 451, Enhanced: "4.3.0", Text: "Temporary problem with the mailbox, please try again later", Err: err}
}
