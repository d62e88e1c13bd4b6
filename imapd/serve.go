package imapd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// How long Serve waits after a failed Accept (too many open files, say) before it tries again: doubled each time.
const (
	acceptFirstWait = 5 * time.Millisecond
	acceptMaxWait   = time.Second
)

// maxRefusals is how many connections above MaxConnections are told so at a time; those beyond are just closed.
const maxRefusals = 32

// ListenAndServe listens on Addr and calls Serve.
func (s *Server) ListenAndServe() error {
	l, err := listen(s.Addr, ":143")
	if err != nil {
		return err
	}
	return s.Serve(l)
}

// ListenAndServeTLS listens on Addr and calls ServeTLS.
func (s *Server) ListenAndServeTLS() error {
	l, err := listen(s.Addr, ":993")
	if err != nil {
		return err
	}
	return s.ServeTLS(l)
}

func listen(addr, otherwise string) (net.Listener, error) {
	if addr == "" {
		addr = otherwise
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("imapd: %w", err)
	}
	return l, nil
}

// Serve takes connections from l, which it closes in the end, until Shutdown or Close; then it returns
// [ErrServerClosed]. It may be called for several listeners at the same time. A listener that knows the client's address
// from elsewhere (PROXY protocol) gives it as the connections' RemoteAddr, which is not called before the connection has
// a goroutine of its own.
func (s *Server) Serve(l net.Listener) error { return s.serve(l, s.settings()) }

// ServeTLS is Serve for implicit TLS (RFC 8314): connections begin with a handshake.
func (s *Server) ServeTLS(l net.Listener) error {
	set := s.settings()
	set.implicitTLS = true
	if s.TLSConfig == nil {
		return errors.Join(errors.New("imapd: ServeTLS without a TLSConfig"), l.Close())
	}
	return s.serve(l, set)
}

func (s *Server) serve(l net.Listener, set *settings) error {
	defer l.Close()
	if !s.addListener(l) {
		return ErrServerClosed
	}
	defer s.removeListener(l)
	wait := time.Duration(0)
	for {
		nc, err := l.Accept()
		if err == nil {
			wait = 0
			s.start(nc, set)
			continue
		}
		if s.ending() {
			return ErrServerClosed
		}
		var temporary interface{ Temporary() bool }
		if !errors.As(err, &temporary) || !temporary.Temporary() {
			return fmt.Errorf("imapd: accept: %w", err)
		}
		wait = min(max(2*wait, acceptFirstWait), acceptMaxWait)
		set.logger.Warn("imapd: accept failed", "err", err, "wait", wait)
		select {
		case <-time.After(wait):
		case <-s.base.Done():
		}
	}
}

// start gives a connection its goroutine.
func (s *Server) start(nc net.Conn, set *settings) {
	s.mu.Lock()
	n := len(s.conns) + 1
	// Connections over the limit are told so by goroutines, whose number has a limit, too.
	if s.state != serving || over(n, set.maxConnections) && over(n, set.maxConnections+maxRefusals) {
		s.mu.Unlock()
		_ = nc.Close()
		return
	}
	c := newConn(s.base, nc, set)
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	go func() {
		defer s.removeConn(c)
		c.serve(over(n, set.maxConnections))
	}()
}

// init makes the live part of a Server. s.mu is held.
func (l *live) setup() {
	if l.conns != nil {
		return
	}
	l.listeners = make(map[net.Listener]struct{})
	l.conns = make(map[*conn]struct{})
	l.perIP = make(map[string]int)
	l.perUser = make(map[string]int)
	l.base, l.cancel = context.WithCancelCause(context.Background())
	l.draining = make(chan struct{})
	l.drained = make(chan struct{})
}

func (l *live) addListener(listener net.Listener) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.setup()
	if l.state != serving {
		return false
	}
	l.listeners[listener] = struct{}{}
	return true
}

func (l *live) removeListener(listener net.Listener) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.listeners, listener)
}

func (l *live) removeConn(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	if l.state != serving && len(l.conns) == 0 {
		closeOnce(l.drained)
	}
}

func (l *live) ending() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state != serving
}

// closeOnce closes a channel that may be closed already; the caller holds the lock that guards it.
func closeOnce(ch chan struct{}) {
	select {
	case <-ch:
	default:
		close(ch)
	}
}

// Shutdown stops taking connections, lets commands that run end and closes every connection with BYE. When ctx ends
// first, it closes what is left and returns ctx's error. Serve returns at once.
func (s *Server) Shutdown(ctx context.Context) error {
	conns := s.stop(draining)
	for _, c := range conns {
		c.interrupt()
	}
	select {
	case <-s.drained:
		return nil
	case <-ctx.Done():
		return errors.Join(ctx.Err(), s.Close())
	}
}

// Close closes all listeners and connections, whatever they do, and waits for the sessions to end.
func (s *Server) Close() error {
	conns := s.stop(closed)
	s.cancel(ErrServerClosed)
	for _, c := range conns {
		c.kill()
	}
	<-s.drained
	return nil
}

// stop takes no new work from here on and tells which connections there are.
func (s *Server) stop(state serverState) []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setup()
	s.state = max(s.state, state)
	closeOnce(s.draining)
	for l := range s.listeners {
		_ = l.Close() // Serve returns ErrServerClosed, which says as much
	}
	if len(s.conns) == 0 {
		closeOnce(s.drained)
	}
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

// count adds one to what key has in m, unless that is over max.
func (l *live) count(m map[string]int, key string, max int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if over(m[key]+1, max) {
		return false
	}
	m[key]++
	return true
}

// uncount takes back what count added.
func (l *live) uncount(m map[string]int, key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m[key]--; m[key] <= 0 {
		delete(m, key)
	}
}

// network is what counts as one address: of IPv6 the /64 that one customer gets. Empty for no address.
func network(addr netip.Addr) string {
	if !addr.IsValid() {
		return ""
	}
	if addr = addr.Unmap(); addr.Is6() {
		if prefix, err := addr.WithZone("").Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return addr.String()
}
