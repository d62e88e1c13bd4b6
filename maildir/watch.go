package maildir

import "time"

// watcher is one who wants to know of news.
type watcher struct{ wake chan<- struct{} }

// Watch implements mailbox.Watcher. What this process changes wakes at once, what others do to the files within
// Maildir.PollInterval.
func (s *session) Watch(wake chan<- struct{}) func() {
	w := &watcher{wake}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return func() {}
	}
	if s.stops == nil {
		s.stops = map[*watcher]struct{}{}
	}
	s.stops[w] = struct{}{}
	s.f.watch(w)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, ok := s.stops[w]; ok {
			delete(s.stops, w)
			s.f.unwatch(w)
		}
	}
}

func (f *folder) watch(w *watcher) {
	f.mu.Lock()
	f.watchers[w] = struct{}{}
	f.mu.Unlock()
	f.account.maildir.poll(f)
}

func (f *folder) unwatch(w *watcher) {
	f.mu.Lock()
	delete(f.watchers, w)
	f.mu.Unlock()
	f.account.maildir.unpoll(f)
}

// wake tells all who watch, without waiting for them.
func (f *folder) wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.watchers {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// poll has a folder looked at from time to time. One goroutine does it for all.
func (m *Maildir) poll(f *folder) {
	interval := m.PollInterval
	if interval == 0 {
		interval = DefaultPollInterval
	}
	if interval < 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.watched[f]++
	if m.polling == nil {
		stop := make(chan struct{})
		m.polling = stop
		m.work.Go(func() { m.pollAll(interval, stop) })
	}
}

func (m *Maildir) unpoll(f *folder) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.watched[f]--; m.watched[f] <= 0 {
		delete(m.watched, f)
	}
	if len(m.watched) == 0 && m.polling != nil {
		close(m.polling)
		m.polling = nil
	}
}

func (m *Maildir) pollAll(interval time.Duration, stop chan struct{}) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		m.mu.Lock()
		folders := make([]*folder, 0, len(m.watched))
		for f := range m.watched {
			folders = append(folders, f)
		}
		m.mu.Unlock()
		for _, f := range folders {
			if err := f.poll(); err != nil {
				m.logger().Debug("maildir: watched folder cannot be read", "folder", f.dir(), "error", err)
			}
		}
	}
}
