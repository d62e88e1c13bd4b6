package mailtest

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// Listener is a TCP listener on a [Network].
type Listener struct {
	network *Network
	at      netip.AddrPort

	mu       sync.Mutex
	cond     sync.Cond
	queue    []*Conn
	acceptBy deadline
	closed   bool
}

func newListener(n *Network, at netip.AddrPort) *Listener {
	l := &Listener{network: n, at: at}
	l.cond.L = &l.mu
	l.acceptBy.cond = &l.cond
	return l
}

// Accept waits for the next connection, a [*Conn]. After Close it gives net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.closed:
			return nil, l.wrap("accept", net.ErrClosed)
		case l.acceptBy.passed:
			return nil, l.wrap("accept", os.ErrDeadlineExceeded)
		case len(l.queue) > 0:
			c := l.queue[0]
			l.queue = l.queue[1:]
			l.cond.Broadcast()
			return c, nil
		}
		l.cond.Wait()
	}
}

// Close stops listening. Connections that wait for Accept are reset, those accepted stay.
func (l *Listener) Close() error {
	l.network.mu.Lock()
	if l.network.listeners[l.at] == l {
		delete(l.network.listeners, l.at)
	}
	l.network.mu.Unlock()

	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return l.wrap("close", net.ErrClosed)
	}
	l.closed = true
	l.acceptBy.stop()
	for _, c := range l.queue {
		c.Reset()
	}
	l.queue = nil
	l.cond.Broadcast()
	return nil
}

// Addr is the address listened on, a *net.TCPAddr.
func (l *Listener) Addr() net.Addr { return tcpAddr(l.at) }

// SetDeadline sets the deadline of Accept; the zero time is none.
func (l *Listener) SetDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return l.wrap("set", net.ErrClosed)
	}
	l.acceptBy.set(t)
	return nil
}

// offer queues a connection for Accept, waiting while the queue is full.
func (l *Listener) offer(ctx context.Context, c *Conn) error {
	stop := context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.cond.Broadcast()
	})
	defer stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.closed:
			return os.NewSyscallError("connect", syscall.ECONNREFUSED)
		case ctx.Err() != nil:
			return contextError(ctx.Err())
		case len(l.queue) < Backlog:
			l.queue = append(l.queue, c)
			l.cond.Broadcast()
			return nil
		}
		l.cond.Wait()
	}
}

func (l *Listener) wrap(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: tcpAddr(l.at), Err: err}
}
