package memory

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
)

// Accounts is a mailbricks.Handler and a source of stores over accounts in memory, by address. The zero value has none.
type Accounts struct {
	mu       sync.Mutex
	accounts map[string]*Account
}

var _ mailbricks.Handler = (*Accounts)(nil)

// Add gives the account of an address, whose case does not matter, and makes it (with this limit) if there
// is none.
func (s *Accounts) Add(address string, limit mailbox.Limit) *Account {
	key := strings.ToLower(address)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accounts == nil {
		s.accounts = map[string]*Account{}
	}
	if s.accounts[key] == nil {
		s.accounts[key] = New(limit)
	}
	return s.accounts[key]
}

// Account gives the account of an address, nil if there is none.
func (s *Accounts) Account(address string) *Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accounts[strings.ToLower(address)]
}

// Store begins a session of who has logged in, as imapd and pop3d ask for it. It fails with mailbricks.ErrAuth when
// there is no such account.
func (s *Accounts) Store(_ context.Context, id mailbricks.Identity) (mailbox.Store, error) {
	a := s.Account(id.User)
	if a == nil {
		return nil, mailbricks.ErrAuth
	}
	return a.Store(), nil
}

// Handle puts a message into the INBOX of every recipient, or into the mailbox with the use \Junk if the envelope asks
// for quarantine. It implements mailbricks.Handler.
func (s *Accounts) Handle(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
	results := make(mailbricks.Results, len(env.Recipients))
	for i, rcpt := range env.Recipients {
		a := s.Account(rcpt.Address)
		if a == nil {
			results[i] = &mailbricks.Reply{Code: 550, Enhanced: "5.1.1", Text: "No such user here"}
			continue
		}
		copied := msg.Clone()
		copied.Remove(func(f mailbricks.Field) bool { return f.Is("Return-Path") })
		copied.Prepend("Delivered-To", rcpt.Address)
		copied.Prepend("Return-Path", "<"+env.From+">")
		results[i] = a.deliver(ctx, copied, env.Quarantine != "")
		if err := copied.Close(); results[i] == nil {
			results[i] = err
		}
	}
	return results.Err()
}

// deliver puts a message into INBOX or, with junk, the mailbox for junk.
func (a *Account) deliver(ctx context.Context, msg *mailbricks.Message, junk bool) error {
	name := mailbox.Inbox
	if junk {
		name = a.junk()
	}
	box, err := a.Store().Open(ctx, name)
	if err != nil {
		return err
	}
	defer box.Close()
	_, err = box.Append(ctx, msg.Reader(), mailbox.AppendOptions{Size: msg.Size()})
	if errors.Is(err, mailbox.ErrQuota) {
		return &mailbricks.Reply{Code: 552, Enhanced: "5.2.2", Text: "Mailbox is full", Err: err}
	}
	return err
}

// junk gives the name of the mailbox for junk, the oldest of several, and makes one if there is none.
func (a *Account) junk() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var oldest *box
	found := ""
	for name, b := range a.boxes {
		if slices.Contains(b.uses, mailbox.UseJunk) && (oldest == nil || b.validity < oldest.validity) {
			oldest, found = b, name
		}
	}
	if oldest != nil {
		return found
	}
	const name = "Junk"
	if a.boxes[name] == nil {
		a.newBox(name)
	}
	a.boxes[name].uses = append(a.boxes[name].uses, mailbox.UseJunk)
	return name
}
