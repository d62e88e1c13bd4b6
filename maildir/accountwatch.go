package maildir

import (
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks/internal/maildirpp"
	"github.com/mailbricks/mailbricks/mailbox"
)

// accountWatch is one who wants to know of all news of an account.
type accountWatch struct {
	account *account
	wake    chan<- struct{}
	changed map[string]struct{} // names, under account.watching.mu; at most maxChanged
	stop    sync.Once
}

// maxChanged is how many names a watch keeps when nobody asks for them.
const maxChanged = 2 * maxMailboxes

// maxPolled is how many folders of an account are looked at in one interval; those of a larger account take turns.
const maxPolled = 1000

// watching is who watches an account.
type watching struct {
	mu      sync.Mutex
	watches map[*accountWatch]struct{}
	poll    chan struct{} // ends the poller; nil: none
}

// WatchAccount implements mailbox.AccountWatcher. What this process changes wakes at once, what others do to the files within
// Maildir.PollInterval (in an account of more than 1,000 mailboxes, within as many intervals as it has thousands).
func (s *store) WatchAccount(wake chan<- struct{}) mailbox.AccountWatch {
	w := &accountWatch{account: s.account, wake: wake, changed: map[string]struct{}{}}
	s.maildir.mu.Lock()
	s.refs++
	s.maildir.mu.Unlock()
	g := &s.account.watching
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.watches == nil {
		g.watches = map[*accountWatch]struct{}{}
	}
	g.watches[w] = struct{}{}
	if g.poll == nil {
		g.poll = s.account.startPoll()
	}
	return w
}

// Changed implements mailbox.AccountWatch.
func (w *accountWatch) Changed() []string {
	g := &w.account.watching
	g.mu.Lock()
	defer g.mu.Unlock()
	out := slices.Collect(maps.Keys(w.changed))
	w.changed = map[string]struct{}{}
	return out
}

// Stop implements mailbox.AccountWatch.
func (w *accountWatch) Stop() {
	w.stop.Do(func() {
		g := &w.account.watching
		g.mu.Lock()
		delete(g.watches, w)
		if len(g.watches) == 0 {
			g.stopLocked()
		}
		g.mu.Unlock()
		w.account.maildir.release(w.account)
	})
}

func (g *watching) stopLocked() {
	if g.poll != nil {
		close(g.poll)
		g.poll = nil
	}
}

// stopWatching ends the poller for good: the Maildir closes.
func (a *account) stopWatching() {
	a.watching.mu.Lock()
	defer a.watching.mu.Unlock()
	a.watching.stopLocked()
}

// changed tells who watches the account of a mailbox; an empty name only wakes.
func (a *account) changed(names ...string) {
	a.watching.mu.Lock()
	defer a.watching.mu.Unlock()
	for w := range a.watching.watches {
		for _, name := range names {
			if name != "" && len(w.changed) < maxChanged {
				w.changed[name] = struct{}{}
			}
		}
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// changedFolder is changed for a folder.
func (a *account) changedFolder(folder string) {
	if folder == "" {
		a.changed(mailbox.Inbox)
	} else if name, ok := mailboxName(folder); ok {
		a.changed(name)
	}
}

// startPoll has the account looked at from time to time. watching.mu is held.
func (a *account) startPoll() chan struct{} {
	interval := a.maildir.PollInterval
	if interval == 0 {
		interval = DefaultPollInterval
	}
	if interval < 0 {
		return nil
	}
	stop := make(chan struct{})
	a.maildir.background(func() {
		p := &poller{account: a, marks: map[string]folderMark{}}
		p.look(nil) // how it is now
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				p.look(a.changed)
			}
		}
	})
	return stop
}

// poller notices what other programs do to an account.
type poller struct {
	account    *account
	folders    []string // sorted, INBOX first
	names      map[string]string
	structure  dirMark
	subscribed map[string]bool
	subsFile   fs.FileInfo
	marks      map[string]folderMark
	next       int // where the next round begins
}

// folderMark is what a folder looked like.
type folderMark struct {
	fresh, cur  dirMark
	annotations fs.FileInfo
}

// look compares what there is with what there was, and tells of the differences; nil: nobody.
func (p *poller) look(tell func(...string)) {
	if tell == nil {
		tell = func(...string) {}
	}
	p.lookAtStructure(tell)
	p.lookAtSubscriptions(tell)
	for range min(len(p.folders), maxPolled) {
		if p.next >= len(p.folders) {
			p.next = 0
		}
		p.lookAtFolder(p.folders[p.next], tell)
		p.next++
	}
}

// lookAtStructure notices mailboxes that came or went.
func (p *poller) lookAtStructure(tell func(...string)) {
	a := p.account
	info, err := a.fs().Stat(a.dir)
	if err != nil || p.folders != nil && p.structure.current(info, a.maildir.now()) {
		return
	}
	mark := markOf(info, a.maildir.now())
	list, err := a.list()
	if err != nil {
		return
	}
	p.structure = mark
	names := map[string]string{"": mailbox.Inbox}
	for name, folder := range list {
		names[folder] = name
	}
	if p.names != nil {
		for folder, name := range names {
			if _, had := p.names[folder]; !had {
				tell(name)
			}
		}
		for folder, name := range p.names {
			if _, has := names[folder]; !has {
				delete(p.marks, folder)
				tell(name)
			}
		}
	}
	p.names, p.folders = names, slices.Sorted(maps.Keys(names))
}

func (p *poller) lookAtSubscriptions(tell func(...string)) {
	a := p.account
	info, err := statOrNil(a.fs(), filepath.Join(a.dir, maildirpp.SubscriptionsFile))
	if err != nil || sameInfo(info, p.subsFile) {
		return
	}
	now, err := a.subscriptions()
	if err != nil {
		return
	}
	has := make(map[string]bool, len(now))
	for _, name := range now {
		has[name] = true
		if !p.subscribed[name] {
			tell(name)
		}
	}
	for name := range p.subscribed {
		if !has[name] {
			tell(name)
		}
	}
	p.subsFile, p.subscribed = info, has
}

// lookAtFolder notices messages that came, went, or have other flags. A folder in memory finds out for itself.
func (p *poller) lookAtFolder(folder string, tell func(...string)) {
	a := p.account
	fresh, err := a.fs().Stat(filepath.Join(a.path(folder), "new"))
	if err != nil {
		return // lookAtStructure tells when it is gone
	}
	cur, err := a.fs().Stat(filepath.Join(a.path(folder), "cur"))
	if err != nil {
		return
	}
	annotations, err := statOrNil(a.fs(), filepath.Join(a.path(folder), annotationFile))
	if err != nil {
		return
	}
	now := a.maildir.now()
	was, known := p.marks[folder]
	same := known && was.fresh.current(fresh, now) && was.cur.current(cur, now)
	if same {
		p.marks[folder] = folderMark{was.fresh, was.cur, annotations}
	} else {
		p.marks[folder] = folderMark{markOf(fresh, now), markOf(cur, now), annotations}
	}
	if !known {
		return
	}
	if f := a.loaded(folder); f != nil {
		if err := f.refresh(); err == nil && sameInfo(was.annotations, annotations) {
			return
		}
	} else if same && sameInfo(was.annotations, annotations) {
		return
	}
	tell(p.names[folder])
}
