package serving

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// Life is the life cycle of a server: its listeners, its connections, and their end. The zero value is that of a server
// that has not begun.
type Life struct {
	perAddress Counts
	perNetwork Counts

	stressed atomic.Bool // written with mu held
	told     atomic.Bool // what Service.Stress was told last; written with telling held
	telling  sync.Mutex

	mu        sync.Mutex
	listeners map[*net.Listener]struct{} // pointers: a Listener need not be comparable
	sessions  map[Session]net.Conn
	stressAt  int           // how many connections are stress, by the last Newcomer
	calmAt    int           // and how few end it
	pressing  chan struct{} // closed while there is stress; nil: nobody has asked since it ended
	state     state
	base      context.Context // ends with Close
	cancel    context.CancelCauseFunc
	draining  chan struct{} // closed when the end begins
	drained   chan struct{} // closed when no connection is left after that
}

// state says whether new work is taken.
type state int

const (
	serving  state = iota
	draining       // Shutdown: what runs may end
	closed
)

// init makes the parts of a zero Life; it is called with mu held.
func (l *Life) init() {
	if l.sessions != nil {
		return
	}
	l.listeners = make(map[*net.Listener]struct{})
	l.sessions = make(map[Session]net.Conn)
	l.draining, l.drained = make(chan struct{}), make(chan struct{})
	l.base, l.cancel = context.WithCancelCause(context.Background())
}

// Shutdown closes the listeners, asks all sessions to end and returns nil when no connection is left. When ctx ends before
// that, it closes all connections, ends the sessions' contexts with the cause why and returns ctx's error.
func (l *Life) Shutdown(ctx context.Context, why error) error {
	l.drain()
	select {
	case <-l.Drained():
		return l.Close(why)
	case <-ctx.Done():
		_ = l.Close(why) // the listeners are closed already
		return ctx.Err()
	}
}

// drain begins a shutdown.
func (l *Life) drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end(draining)
	for s := range l.sessions {
		s.Drain()
	}
}

// Close closes the listeners and all connections at once, and ends the sessions' contexts with the cause why. It does not wait
// for them to return.
func (l *Life) Close(why error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.end(closed)
	l.cancel(why)
	for _, conn := range l.sessions {
		_ = conn.Close() // what matters is that its session ends
	}
	return err
}

// Draining is closed once Shutdown or Close was called.
func (l *Life) Draining() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.init()
	return l.draining
}

// Drained is closed once Shutdown or Close was called and no session is left.
func (l *Life) Drained() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.init()
	return l.drained
}

// end goes to a later state, in which no new work is taken. It is called with mu held.
func (l *Life) end(s state) error {
	l.init()
	l.state = max(l.state, s)
	closeOnce(l.draining)
	l.checkDrained()
	var errs []error
	for listener := range l.listeners {
		if err := (*listener).Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	clear(l.listeners)
	return errors.Join(errs...)
}

// checkDrained is called with mu held.
func (l *Life) checkDrained() {
	if l.state != serving && len(l.sessions) == 0 {
		closeOnce(l.drained)
	}
}

// closeOnce closes a channel that may be closed already; the caller holds the lock that guards it.
func closeOnce(ch chan struct{}) {
	select {
	case <-ch:
	default:
		close(ch)
	}
}

// ending says whether Shutdown or Close was called.
func (l *Life) ending() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state != serving
}

// addListener gives the context of all sessions, or nil if no listener is wanted any more.
func (l *Life) addListener(listener *net.Listener) context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.init()
	if l.state != serving {
		return nil
	}
	l.listeners[listener] = struct{}{}
	return l.base
}

func (l *Life) removeListener(listener *net.Listener) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.listeners, listener)
}

// addSession takes a connection in, unless there is no room for it: not even to tell it so.
func (l *Life) addSession(n Newcomer, conn net.Conn) (refusal Refusal, room bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	count := len(l.sessions) + 1
	if Over(count, n.MaxConnections) {
		refusal = ServerFull
	}
	// Connections over the limit are told so by goroutines, whose number has a limit, too.
	if l.state != serving || refusal != Admitted && Over(count, n.MaxConnections+MaxRefusals) {
		return refusal, false
	}
	l.sessions[n.Session] = conn
	l.stressAt, l.calmAt = n.Stress, n.Calm
	if l.stressed.Load() {
		hurry(n.Session, true)
	}
	l.weigh()
	return refusal, true
}

func (l *Life) removeSession(s Session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.sessions, s)
	l.weigh()
	l.checkDrained()
}
