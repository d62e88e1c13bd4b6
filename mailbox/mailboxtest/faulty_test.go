package mailboxtest_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/mailboxtest"
	"github.com/mailbricks/mailbricks/mailbox/memory"
)

// everything is all that a store can do.
type everything interface {
	mailbox.Store
	mailbox.Organizer
	mailbox.AccountWatcher
	mailbox.QuotaKeeper
	mailbox.Annotator
}

// allOfBox is all that a mailbox can do.
type allOfBox interface {
	mailbox.Mailbox
	mailbox.Watcher
	mailbox.RecentKeeper
	mailbox.Summarizer
}

// bug is what is wrong with a store. Its functions are nil where nothing is.
type bug struct {
	name string
	// parts are tests that find it, each on its own.
	parts []string
	store func(*session) everything
	box   func(*box) allOfBox
	limit func(mailbox.Limit) mailbox.Limit
	// restart and cut do something to the account when it begins again, and when the power is cut.
	restart, cut func(*account)
}

// account is one of the store in memory with a bug in front of it.
type account struct {
	*memory.Account
	bug   bug
	limit mailbox.Limit // that was asked for
	lock  sync.Mutex    // of a bug
	// life counts the power cuts; what was opened in an earlier life is dead.
	life atomic.Int64

	mu    sync.Mutex
	notes map[string]int64 // what bugs remember, in the words of each
}

// note changes what is remembered, and gives it.
func (a *account) note(key string, change func(int64) int64) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.notes[key] = change(a.notes[key])
	return a.notes[key]
}

func (a *account) count(key string) int64 { return a.note(key, func(n int64) int64 { return n + 1 }) }
func (a *account) get(key string) int64   { return a.note(key, func(n int64) int64 { return n }) }

// first gives what was remembered first.
func (a *account) first(key string, value int64) int64 {
	return a.note(key, func(n int64) int64 {
		if n == 0 {
			return value
		}
		return n
	})
}

// faulty is a backend with a bug.
func faulty(b bug) mailboxtest.Backend {
	return mailboxtest.Backend{
		New: func(_ testing.TB, limit mailbox.Limit) mailboxtest.Account {
			asked := limit
			if b.limit != nil {
				limit = b.limit(limit)
			}
			a := &account{Account: memory.New(limit), bug: b, limit: asked, notes: map[string]int64{}}
			after := func(do func(*account)) {
				if do != nil {
					do(a)
				}
			}
			return mailboxtest.Account{
				Open: func() (mailbox.Store, error) {
					s := &session{everything: a.Store().(everything), account: a, life: a.life.Load()}
					if b.store != nil {
						return b.store(s), nil
					}
					return s, nil
				},
				Restart: func() error {
					after(b.restart)
					return nil
				},
				Lose: func(name string, uid mailbox.UID) error {
					b, err := a.Store().Open(context.Background(), name)
					if err != nil {
						return err
					}
					st, err := b.Status(context.Background())
					a.count("lost" + st.ID + "/" + string(rune(uid)))
					return err
				},
				Crash: func(uint64) error {
					a.life.Add(1)
					after(b.cut)
					return nil
				},
			}
		},
		Clients: 8, Operations: 1500, Histories: 150, Crashes: 4,
	}
}

// session is a store until the power is cut.
type session struct {
	everything
	account *account
	life    int64
}

func (s *session) Open(ctx context.Context, name string) (mailbox.Mailbox, error) {
	m, err := s.everything.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	st, err := m.Status(ctx)
	if err != nil {
		return nil, err
	}
	b := &box{allOfBox: m.(allOfBox), session: s, name: name, id: st.ID}
	if s.account.bug.box != nil {
		return s.account.bug.box(b), nil
	}
	return b, nil
}

// box is a mailbox until the power is cut.
type box struct {
	allOfBox
	*session
	name, id string
}

// Close is that of the mailbox, not of the session.
func (b *box) Close() error { return b.allOfBox.Close() }

var errDead = errors.New("the power is off")

func alive[T any](b *box, value T, err error) (T, error) {
	if b.life != b.account.life.Load() {
		var zero T
		return zero, errDead
	}
	return value, err
}

func (b *box) Status(ctx context.Context) (mailbox.Status, error) {
	st, err := b.allOfBox.Status(ctx)
	return alive(b, st, err)
}

func (b *box) Append(ctx context.Context, r io.Reader, opts mailbox.AppendOptions) (mailbox.UID, error) {
	uid, err := b.allOfBox.Append(ctx, r, opts)
	return alive(b, uid, err)
}

func (b *box) SetFlags(ctx context.Context, uids []mailbox.UID, change mailbox.FlagChange) ([]mailbox.Meta, error) {
	metas, err := b.allOfBox.SetFlags(ctx, uids, change)
	return alive(b, metas, err)
}

func (b *box) Expunge(ctx context.Context, uids []mailbox.UID) ([]mailbox.UID, error) {
	gone, err := b.allOfBox.Expunge(ctx, uids)
	return alive(b, gone, err)
}

func (b *box) Content(ctx context.Context, uid mailbox.UID) (mailbox.Content, error) {
	if b.account.get(key(b, "lost", uid)) != 0 {
		return nil, mailbox.ErrExpunged
	}
	c, err := b.allOfBox.Content(ctx, uid)
	return alive(b, c, err)
}

func (b *box) Copy(ctx context.Context, uids []mailbox.UID, dest string) (mailbox.Copied, error) {
	uids = slices.DeleteFunc(slices.Clone(uids), func(uid mailbox.UID) bool { return b.account.get(key(b, "lost", uid)) != 0 })
	copied, err := b.allOfBox.Copy(ctx, uids, dest)
	return alive(b, copied, err)
}

func (b *box) Move(ctx context.Context, uids []mailbox.UID, dest string) (mailbox.Copied, error) {
	copied, err := b.allOfBox.Move(ctx, uids, dest)
	return alive(b, copied, err)
}
