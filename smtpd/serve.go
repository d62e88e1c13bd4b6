package smtpd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/mailbricks/mailbricks"
)

// How long Serve waits after a failed Accept (too many open files, say) before it tries again: doubled each time.
const (
	acceptFirstWait = 5 * time.Millisecond
	acceptMaxWait   = time.Second
)

// ListenAndServe listens on Addr and calls Serve.
func (s *Server) ListenAndServe() error {
	l, err := listen(s.Addr, ":25")
	if err != nil {
		return err
	}
	return s.Serve(l)
}

// ListenAndServeTLS listens on Addr and calls ServeTLS.
func (s *Server) ListenAndServeTLS() error {
	l, err := listen(s.Addr, ":465")
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
		return nil, fmt.Errorf("smtpd: %w", err)
	}
	return l, nil
}

// Serve takes connections from l, which it closes in the end, until Shutdown or Close; then it returns
// [ErrServerClosed]. It may be called for several listeners at the same time. A listener that knows the client's address
// from elsewhere (PROXY protocol) gives it as the connections' RemoteAddr, which is not called before the connection has
// a goroutine of its own.
func (s *Server) Serve(l net.Listener) error { return s.serve(l, s.settings(s)) }

// ServeTLS is Serve for implicit TLS (RFC 8314): connections begin with a handshake.
func (s *Server) ServeTLS(l net.Listener) error {
	c := s.settings(s)
	c.implicitTLS = true
	if s.TLSConfig == nil {
		return errors.Join(errors.New("smtpd: ServeTLS without a TLSConfig"), l.Close())
	}
	return s.serve(l, c)
}

func (s *Server) serve(l net.Listener, set *settings) error {
	defer l.Close()
	if !s.addListener(&l) {
		return ErrServerClosed
	}
	defer s.removeListener(&l)
	wait := time.Duration(0)
	for {
		netConn, err := l.Accept()
		if err == nil {
			wait = 0
			s.start(netConn, set)
			continue
		}
		if s.ending() {
			return ErrServerClosed
		}
		var temporary interface{ Temporary() bool }
		if !errors.As(err, &temporary) || !temporary.Temporary() {
			return fmt.Errorf("smtpd: accept: %w", err)
		}
		wait = min(max(2*wait, acceptFirstWait), acceptMaxWait)
		set.logger.Warn("smtpd: accept failed", "err", err, "wait", wait)
		select {
		case <-time.After(wait):
		case <-s.context().Done():
		}
	}
}

// start gives a connection its goroutine.
func (s *Server) start(netConn net.Conn, set *settings) {
	if s.PerConnection != nil {
		if other := s.PerConnection(); other != nil {
			now := other.settings(s)
			now.implicitTLS = set.implicitTLS
			set = now
		}
	}
	c := newConn(netConn, set)
	s.mu.Lock()
	if s.state != serving {
		s.mu.Unlock()
		_ = netConn.Close()
		return
	}
	full := over(len(s.conns)+1, set.maxConnections)
	// The connections over the limit are told so by goroutines, whose number has a limit, too.
	if full && over(len(s.conns)+1, set.maxConnections+maxRefusals) {
		s.mu.Unlock()
		_ = netConn.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	go func() {
		defer s.removeConn(c)
		c.serve(full)
	}()
}

// maxRefusals is how many connections above MaxConnections are told so at a time; those beyond are just closed.
const maxRefusals = 32

// admitAddress counts a connection for its address; false means that there are too many.
func (s *Server) admitAddress(addr netip.Addr, limit int) bool {
	key := network(addr)
	if key == "" {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if over(s.perIP[key]+1, limit) {
		return false
	}
	s.perIP[key]++
	return true
}

// releaseAddress takes back what admitAddress counted.
func (s *Server) releaseAddress(addr netip.Addr) {
	key := network(addr)
	if key == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perIP[key]--; s.perIP[key] <= 0 {
		delete(s.perIP, key)
	}
}

// network is what counts as one address: of IPv6 the /64 that one customer gets. Empty for no address.
func network(addr netip.Addr) string {
	if !addr.IsValid() {
		return ""
	}
	if addr.Is6() {
		prefix, _ := addr.WithZone("").Prefix(64) // 64 fits
		return prefix.String()
	}
	return addr.String()
}

// Shutdown closes the listeners, closes sessions that have no transaction with 421 4.3.2 as they wait for a command, lets
// the transactions that run end, and returns nil when no connection is left. When ctx ends before that, the contexts of
// running checks and Handlers end, all connections are closed and ctx's error is returned.
func (s *Server) Shutdown(ctx context.Context) error {
	drained := s.drain()
	select {
	case <-drained:
		return s.Close()
	case <-ctx.Done():
		_ = s.Close() // the listeners are closed already
		return ctx.Err()
	}
}

// drain begins a shutdown; the channel is closed when no connection is left.
func (s *Server) drain() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	if s.state == serving {
		s.state = draining
		s.closeListeners()
	}
	for c := range s.conns {
		c.wake()
	}
	s.checkDrained()
	return s.drained
}

// Close closes the listeners and all connections at once and ends the contexts of running checks and Handlers. It does not
// wait for them to return.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	err := s.closeListeners()
	s.state = closed
	s.cancel(ErrServerClosed)
	for c := range s.conns {
		c.abort()
	}
	s.checkDrained()
	return err
}

// closeListeners is called with mu held.
func (s *Server) closeListeners() error {
	var errs []error
	for l := range s.listeners {
		if err := (*l).Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	clear(s.listeners)
	return errors.Join(errs...)
}

// checkDrained is called with mu held.
func (s *Server) checkDrained() {
	if s.state == serving || len(s.conns) > 0 {
		return
	}
	select {
	case <-s.drained:
	default:
		close(s.drained)
	}
}

// init makes the maps of a zero Server; it is called with mu held.
func (s *Server) init() {
	if s.conns != nil {
		return
	}
	s.listeners = make(map[*net.Listener]struct{})
	s.conns = make(map[*conn]struct{})
	s.perIP = make(map[string]int)
	s.drained = make(chan struct{})
	s.base, s.cancel = context.WithCancelCause(context.Background())
}

func (s *Server) addListener(l *net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	if s.state != serving {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) removeListener(l *net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

func (s *Server) removeConn(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.checkDrained()
}

// ending says whether Shutdown or Close was called.
func (s *Server) ending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state != serving
}

func (s *Server) context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	return s.base
}

// shutdownReply is what a session is told when the server goes down.
func shutdownReply(hostname string) *mailbricks.Reply {
	return &mailbricks.Reply{Code: 421, Enhanced: "4.3.2", Text: hostname + " is shutting down"}
}
