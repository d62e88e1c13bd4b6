package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks/mailbox"
)

// Limits of an account.
const (
	// MaxExpunged is how many removed messages a mailbox remembers. Changes fails with mailbox.ErrTooOld for a modseq
	// from before.
	MaxExpunged = 10_000
	// MaxMailboxes is how many mailboxes an account may have.
	MaxMailboxes = 10_000
	// MaxKeywords is how many keywords a mailbox may have.
	MaxKeywords = 1000
)

var errFull = errors.New("memory: account has too many mailboxes")

// Account is the mail of one account. All its methods may be called from several goroutines at once.
type Account struct {
	limit mailbox.Limit

	mu          sync.Mutex
	boxes       map[string]*box // by name
	subscribed  map[string]bool
	annotations map[string][]byte // of the account as a whole
	used        mailbox.Usage
	validity    uint32 // the last that was given
	watches     map[*accountWatch]struct{}
}

// New makes an account with an empty INBOX that takes mail within limit.
func New(limit mailbox.Limit) *Account {
	a := &Account{
		limit:      limit,
		boxes:      map[string]*box{},
		subscribed: map[string]bool{},
		watches:    map[*accountWatch]struct{}{},
		validity:   uint32(time.Now().Unix()),
	}
	a.newBox(mailbox.Inbox)
	return a
}

// newBox makes a mailbox with a UIDVALIDITY that none had before.
func (a *Account) newBox(name string) *box {
	a.validity++
	b := &box{
		account: a, name: name, validity: a.validity, next: 1, modseq: 1, recent: 1, keywords: map[string]mailbox.Flag{},
	}
	a.boxes[name] = b
	a.changed(name)
	return b
}

// Store begins a session.
func (a *Account) Store() mailbox.Store { return &store{a} }

// Used counts the mail of the account.
func (a *Account) Used() mailbox.Usage {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.used
}

// fits says whether so many more messages of so many octets together are within the limit.
func (a *Account) fits(octets int64, messages int) bool {
	return a.limit.Allows(mailbox.Usage{Octets: a.used.Octets + octets, Messages: a.used.Messages + int64(messages)})
}

// count takes note of messages that came or, with n -1, went.
func (a *Account) count(m *message, n int64) {
	a.used.Octets += n * int64(len(m.content))
	a.used.Messages += n
}

// find gives a mailbox by its name.
func (a *Account) find(name string) (*box, error) {
	name, err := mailbox.CleanName(name)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", mailbox.ErrNoMailbox, err)
	}
	b := a.boxes[name]
	if b == nil {
		return nil, fmt.Errorf("%w: %q", mailbox.ErrNoMailbox, name)
	}
	return b, nil
}

// hasBelow says whether there are mailboxes under a name.
func (a *Account) hasBelow(name string) bool {
	for n := range a.boxes {
		if mailbox.IsBelow(n, name) {
			return true
		}
	}
	return false
}

// store is a session. It has no state of its own.
type store struct{ *Account }

var _ interface {
	mailbox.Store
	mailbox.Organizer
	mailbox.AccountWatcher
	mailbox.QuotaKeeper
	mailbox.Annotator
} = (*store)(nil)

func (s *store) Close() error { return nil }

func (s *store) List(context.Context) ([]mailbox.Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	infos := map[string]*mailbox.Info{}
	for name, b := range s.boxes {
		infos[name] = &mailbox.Info{Name: name, ID: b.id(), Uses: slices.Clone(b.uses)}
	}
	for name := range s.boxes {
		for _, level := range mailbox.Above(name) {
			if infos[level] == nil {
				infos[level] = &mailbox.Info{Name: level, NoSelect: true}
			}
		}
	}
	for name := range s.subscribed {
		if infos[name] == nil {
			infos[name] = &mailbox.Info{Name: name, NonExistent: true}
		}
		infos[name].Subscribed = true
	}
	out := make([]mailbox.Info, 0, len(infos))
	for _, info := range infos {
		out = append(out, *info)
	}
	slices.SortFunc(out, func(a, b mailbox.Info) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (s *store) Open(_ context.Context, name string) (mailbox.Mailbox, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.find(name)
	if err != nil {
		return nil, err
	}
	return &session{box: b}, nil
}

// Quota implements mailbox.QuotaKeeper.
func (s *store) Quota(context.Context) (mailbox.Quota, error) {
	return mailbox.Quota{Used: s.Used(), Limit: s.limit}, nil
}
