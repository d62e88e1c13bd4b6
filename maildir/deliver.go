package maildir

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

// Handle stores a message for every recipient: in INBOX or, where the envelope asks for quarantine, in the mailbox with the
// use \Junk. It takes existing Return-Path fields off and puts one on (RFC 5321 §4.4). A single recipient's message says
// for whom it is in a field Delivered-To; that of several does not, so that it is the same for all and is written once:
// their mailboxes have names of one file, where the file system can link it and the account is not encrypted, or else
// copies. A nil result means that the message is on disk with its name. Failures are 550 5.1.1 for an address without an
// account, 552 5.2.2 where the quota is full, 452 4.3.1 where the disk is, and 451 4.3.0 for all else; one recipient's does
// not touch the others. It implements mailbricks.Handler.
func (m *Maildir) Handle(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
	own := msg.Clone()
	defer own.Close()
	own.Remove(func(f mailbricks.Field) bool { return f.Is("Return-Path") })
	if len(env.Recipients) == 1 {
		own.Prepend("Delivered-To", env.Recipients[0].Address)
	}
	own.Prepend("Return-Path", "<"+env.From+">")
	l := &letter{maildir: m, msg: own, junk: env.Quarantine != ""}

	results := make(mailbricks.Results, len(env.Recipients))
	if len(results) == 1 {
		results[0] = l.deliver(ctx, env.Recipients[0].Address)
	} else {
		l.deliverAll(ctx, env.Recipients, results)
	}
	for i, err := range results {
		results[i] = replyFor(err)
	}
	return results.Err()
}

// Accepts says whether mail of size octets for an address would be stored now, so that a server can refuse the recipient
// before it lets the message in; a size of 0 or less is not known, and is taken for the smallest. Its errors are those of
// Handle: 552 5.2.2, which wraps mailbox.ErrQuota, where there is no room within the account's limits, 550 5.1.1 for an
// address without an account, and 451 4.3.0. It makes nothing, and promises nothing: other mail may come first.
func (m *Maildir) Accepts(ctx context.Context, address string, size int64) error {
	return replyFor(m.accepts(ctx, address, usage{max(size, 1), 1}))
}

func (m *Maildir) accepts(ctx context.Context, address string, more usage) error {
	a, _, err := m.find(ctx, address)
	if err != nil {
		return err
	}
	defer m.release(a)
	if !a.limited() {
		return nil
	}
	if err := a.loadKeys(); err != nil { // the count of its mail may be encrypted
		return err
	}
	free, err := a.reserve(more)
	if isNotExist(err) && a.fits(more) { // the first mail makes the account
		return nil
	}
	if err != nil {
		return err
	}
	free()
	return nil
}

// letter is a message as it is stored.
type letter struct {
	maildir *Maildir
	msg     *mailbricks.Message
	junk    bool // it goes to the mailbox for junk
}

// parcel is the letter for one recipient.
type parcel struct {
	*letter
	account *account
	free    func() // what was reserved of the quota
	folder  string // INBOX or the one for junk
	base    string // name of the file in new, once it is there
}

// parcel makes room for the letter in the account of an address. It is to be closed.
func (l *letter) parcel(ctx context.Context, address string) (*parcel, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a, err := l.maildir.acquire(ctx, address)
	if err != nil {
		return nil, err
	}
	free, err := a.reserve(usage{l.msg.Size(), 1})
	if err != nil {
		l.maildir.release(a)
		return nil, err
	}
	return &parcel{letter: l, account: a, free: free}, nil
}

func (p *parcel) close() {
	p.free()
	p.maildir.release(p.account)
}

// deliver stores the letter for one recipient.
func (l *letter) deliver(ctx context.Context, address string) error {
	p, err := l.parcel(ctx, address)
	if err != nil {
		return err
	}
	defer p.close()
	return p.deliver()
}

// deliver writes the letter for one recipient, and makes the account again if someone has removed its folder.
func (p *parcel) deliver() error {
	err := p.write()
	if !isNotExist(err) {
		return err
	}
	m := p.maildir
	m.mu.Lock()
	delete(m.ready, p.account.dir)
	m.mu.Unlock()
	if err := p.account.make(); err != nil {
		return err
	}
	return p.write()
}

// write puts the letter into new.
func (p *parcel) write() error {
	s, err := p.stage()
	if err != nil {
		return err
	}
	if err := p.place(s); err != nil {
		return err
	}
	return p.settle(s)
}

// stage writes the letter into tmp.
func (p *parcel) stage() (*staged, error) {
	p.folder = ""
	if p.junk {
		var err error
		if p.folder, err = p.account.useFolder(mailbox.UseJunk); err != nil {
			return nil, err
		}
	}
	return p.account.stage(p.dir(), time.Time{}, p.msg.Size(), func(w io.Writer) error {
		_, err := p.msg.WriteTo(w)
		return err
	})
}

// dir is the path of the mailbox.
func (p *parcel) dir() string { return p.account.path(p.folder) }

// path is the path of the file.
func (p *parcel) path() string { return filepath.Join(p.dir(), "new", p.base) }

// place moves what was staged into new, or removes it.
func (p *parcel) place(s *staged) error {
	p.base = s.base
	if err := p.account.fs().Rename(s.temp, p.path()); err != nil {
		s.discard(p.account.fs())
		p.base = ""
		return err
	}
	return nil
}

// settle returns when the name in new is on disk, or takes it away again. Who has the mailbox open gets to know.
func (p *parcel) settle(s *staged) error {
	a := p.account
	if err := a.syncDir(filepath.Join(p.dir(), "new")); err != nil {
		if a.fs().Remove(p.path()) != nil { // else the sender tries again
			a.recount()
		}
		return err
	}
	a.addUsage(usage{s.size, 1})
	if f := a.loaded(p.folder); f != nil {
		f.deliver(delivery{base: p.base, date: s.date, size: s.crlf})
	} else {
		a.changedFolder(p.folder)
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
