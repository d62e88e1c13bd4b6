package pop3d

import (
	"cmp"
	"context"
	"errors"
	"net"

	"github.com/mailbricks/mailbricks/internal/serving"
)

// ListenAndServe listens on Addr and calls Serve.
func (s *Server) ListenAndServe() error {
	return serving.ListenAndServe("pop3d", cmp.Or(s.Addr, ":110"), s.Serve)
}

// ListenAndServeTLS listens on Addr and calls ServeTLS.
func (s *Server) ListenAndServeTLS() error {
	return serving.ListenAndServe("pop3d", cmp.Or(s.Addr, ":995"), s.ServeTLS)
}

// Serve takes connections from l, which it closes in the end, until Shutdown or Close; then it returns
// [ErrServerClosed]. It may be called for several listeners at the same time. A listener that knows the client's address
// from elsewhere (PROXY protocol) gives it as the connections' RemoteAddr, which is not called before the connection has
// a goroutine of its own.
func (s *Server) Serve(l net.Listener) error { return s.serve(l, false) }

// ServeTLS is Serve for implicit TLS (RFC 8314): connections begin with a handshake.
func (s *Server) ServeTLS(l net.Listener) error {
	if s.TLSConfig == nil {
		return errors.Join(errors.New("pop3d: ServeTLS without a TLSConfig"), l.Close())
	}
	return s.serve(l, true)
}

func (s *Server) serve(l net.Listener, implicitTLS bool) error {
	own := s.settings(s, implicitTLS)
	return s.life.Serve(l, serving.Service{
		Name: "pop3d", Closed: ErrServerClosed, Logger: own.logger,
		New: func(netConn net.Conn) serving.Newcomer {
			set := own
			if s.PerConnection != nil {
				if other := s.PerConnection(); other != nil {
					set = other.settings(s, implicitTLS)
				}
			}
			c := newConn(netConn, set)
			return serving.Newcomer{Session: c, Logger: c.logger, MaxConnections: set.maxConnections, MaxPerAddress: set.maxPerIP, MaxPerNetwork: -1}
		},
	})
}

// Shutdown closes the listeners, closes sessions that wait for a command (without UPDATE state, so that nothing they
// marked is removed), lets commands that run end, and returns nil when no connection is left. When ctx ends before that,
// all connections are closed and ctx's error is returned.
func (s *Server) Shutdown(ctx context.Context) error { return s.life.Shutdown(ctx, ErrServerClosed) }

// Close closes the listeners and all connections at once and ends the contexts of what they do. It does not wait for that
// to return.
func (s *Server) Close() error { return s.life.Close(ErrServerClosed) }
