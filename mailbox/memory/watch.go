package memory

import (
	"maps"
	"slices"

	"github.com/mailbricks/mailbricks/mailbox"
)

// watcher is who watches one mailbox.
type watcher struct{ wake chan<- struct{} }

// knock wakes without waiting.
func knock(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// wake tells those who watch the mailbox or its account.
func (b *box) wake() {
	for w := range b.watchers {
		knock(w.wake)
	}
	b.account.changed(b.name)
}

// Watch implements mailbox.Watcher.
func (s *session) Watch(wake chan<- struct{}) func() {
	w := &watcher{wake}
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	if s.closed {
		return func() {}
	}
	if s.watchers == nil {
		s.watchers = map[*watcher]struct{}{}
	}
	if s.watching == nil {
		s.watching = map[*watcher]struct{}{}
	}
	s.watchers[w], s.watching[w] = struct{}{}, struct{}{}
	return func() {
		s.account.mu.Lock()
		defer s.account.mu.Unlock()
		delete(s.watchers, w)
		delete(s.watching, w)
	}
}

// accountWatch is who watches an account.
type accountWatch struct {
	account *Account
	wake    chan<- struct{}
	names   map[string]struct{} // that changed, under account.mu; at most MaxMailboxes
	all     bool                // more names changed than are kept
}

// WatchAccount implements mailbox.AccountWatcher.
func (s *store) WatchAccount(wake chan<- struct{}) mailbox.AccountWatch {
	w := &accountWatch{account: s.Account, wake: wake, names: map[string]struct{}{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watches[w] = struct{}{}
	return w
}

// changed tells those who watch the account of the names of mailboxes; without any it only wakes them.
func (a *Account) changed(names ...string) {
	for w := range a.watches {
		for _, name := range names {
			w.names[name] = struct{}{}
		}
		if len(w.names) > MaxMailboxes { // it is that of many that came and went
			w.all = true
			clear(w.names)
		}
		knock(w.wake)
	}
}

// Changed implements mailbox.AccountWatch.
func (w *accountWatch) Changed() []string {
	w.account.mu.Lock()
	defer w.account.mu.Unlock()
	if w.all {
		for name := range w.account.boxes {
			w.names[name] = struct{}{}
		}
	}
	out := slices.Collect(maps.Keys(w.names))
	w.names, w.all = map[string]struct{}{}, false
	return out
}

// Stop implements mailbox.AccountWatch.
func (w *accountWatch) Stop() {
	w.account.mu.Lock()
	defer w.account.mu.Unlock()
	delete(w.account.watches, w)
}
