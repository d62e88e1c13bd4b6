package maildir

import (
	"context"
	"sync/atomic"

	"github.com/mailbricks/mailbricks/internal/sealed"
)

// Cheap has passwords cost next to nothing, and conversions run only when somebody asks.
func Cheap(m *Maildir) {
	m.cost = sealed.Cost{Time: 1, Memory: 8, Threads: 1}
	m.noBackground = true
}

// InBackground has conversions run in the background again.
func InBackground(m *Maildir) { m.noBackground = false }

// Forget has an account's keys be as if nobody had opened it, without waiting.
func Forget(m *Maildir, address string) error {
	a, err := m.acquire(context.Background(), address)
	if err != nil {
		return err
	}
	defer m.release(a)
	a.vault.mu.Lock()
	defer a.vault.mu.Unlock()
	a.vault.keys, a.vault.ring, a.vault.info = nil, nil, nil
	return nil
}

// BeginRename leaves the journal of a rename, as a process does that ends before it gives the folder its name.
func BeginRename(m *Maildir, address, from, to string) error {
	a, err := m.acquire(context.Background(), address)
	if err != nil {
		return err
	}
	defer m.release(a)
	unlock, err := a.lockStructure()
	if err != nil {
		return err
	}
	defer unlock()
	return a.beginRename(&journal{moves: []renaming{{from, to}}})
}

// WhenDerived calls a function when a key was made of a password for the first time, before it is used.
func WhenDerived(m *Maildir, call func()) {
	var called atomic.Bool
	m.deriving.ended = func() {
		if !called.Swap(true) {
			call()
		}
	}
}

// CountDerived counts the keys that are made of secrets from now on.
func CountDerived(m *Maildir) func() int64 {
	m.init()
	var n atomic.Int64
	m.deriving.ended = func() { n.Add(1) }
	return n.Load
}
