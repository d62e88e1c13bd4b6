package pop3d

import (
	"context"
	"errors"
	"net"

	"github.com/mailbricks/mailbricks/internal/serving"
)

// ListenAndServe listens on Addr and calls Serve.
func (s *Server) ListenAndServe() error {
	l, err := serving.Listen("pop3d", s.Addr, ":110")
	if err != nil {
		return err
	}
	return s.Serve(l)
}

// ListenAndServeTLS listens on Addr and calls ServeTLS.
func (s *Server) ListenAndServeTLS() error {
	l, err := serving.Listen("pop3d", s.Addr, ":995")
	if err != nil {
		return err
	}
	return s.ServeTLS(l)
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
		return errors.Join(errors.New("pop3d: ServeTLS without a TLSConfig"), l.Close())
	}
	return s.serve(l, c)
}

func (s *Server) serve(l net.Listener, set *settings) error {
	return s.life.Serve(l, serving.Service{
		Name: "pop3d", Closed: ErrServerClosed, Logger: set.logger,
		New: func(netConn net.Conn) serving.Newcomer { return s.newcomer(netConn, set) },
	})
}

// newcomer makes the session of a connection.
func (s *Server) newcomer(netConn net.Conn, set *settings) serving.Newcomer {
	if s.PerConnection != nil {
		if other := s.PerConnection(); other != nil {
			now := other.settings(s)
			now.implicitTLS = set.implicitTLS
			set = now
		}
	}
	c := newConn(netConn, set)
	return serving.Newcomer{Session: c, Logger: c.logger, MaxConnections: set.maxConnections, MaxPerNetwork: set.maxPerIP}
}

// Shutdown closes the listeners, closes sessions that wait for a command (without UPDATE state, so that nothing they
// marked is removed), lets commands that run end, and returns nil when no connection is left. When ctx ends before that,
// all connections are closed and ctx's error is returned.
func (s *Server) Shutdown(ctx context.Context) error { return s.life.Shutdown(ctx, ErrServerClosed) }

// Close closes the listeners and all connections at once and ends the contexts of what they do. It does not wait for that
// to return.
func (s *Server) Close() error { return s.life.Close(ErrServerClosed) }
