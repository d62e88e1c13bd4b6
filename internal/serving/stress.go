package serving

// A Hurried session is told when stress begins and when it ends, from another goroutine: [Conn] is one.
type Hurried interface {
	Stress(on bool)
}

// Stressed says whether the server is near its limits: since it had Newcomer.Stress connections, until it has no more than
// Newcomer.Calm. It costs no lock.
func (l *Life) Stressed() bool { return l.stressed.Load() }

// UnderStress gives a channel that is closed once the server is Stressed: at once if it is now, otherwise when stress begins.
func (l *Life) UnderStress() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pressing == nil {
		l.pressing = make(chan struct{})
		if l.stressed.Load() {
			close(l.pressing)
		}
	}
	return l.pressing
}

// weigh begins or ends stress. It is called with mu held, after a connection has come or gone.
func (l *Life) weigh() {
	count := len(l.sessions)
	switch on := l.stressed.Load(); {
	case !on && l.stressAt > 0 && count >= l.stressAt:
		l.setStress(true)
	case on && (l.stressAt <= 0 || count <= l.calmAt):
		l.setStress(false)
	}
}

// setStress is called with mu held. Stressed changes before the sessions are told, so that one which is about to wait finds
// out either way.
func (l *Life) setStress(on bool) {
	l.stressed.Store(on)
	switch {
	case l.pressing == nil:
	case on:
		close(l.pressing)
	default:
		l.pressing = nil
	}
	for s := range l.sessions {
		hurry(s, on)
	}
}

// hurry tells one session.
func hurry(s Session, on bool) {
	if h, ok := s.(Hurried); ok {
		h.Stress(on)
	}
}

// tellStress tells the service of stress that began or ended: without l.mu, and in the order in which it did.
func (l *Life) tellStress(s *Service) {
	if s.Stress == nil || l.stressed.Load() == l.told.Load() {
		return
	}
	l.telling.Lock()
	defer l.telling.Unlock()
	if on := l.stressed.Load(); on != l.told.Load() {
		l.told.Store(on)
		_ = Guard(s.Logger, s.Name+": stress", func() error { s.Stress(on); return nil }) // it was logged
	}
}
