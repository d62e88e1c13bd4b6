package imapd

import (
	"cmp"
	"context"
	"errors"
	"net"

	"github.com/mailbricks/mailbricks/internal/serving"
)

// ListenAndServe listens on Addr and calls Serve.
func (s *Server) ListenAndServe() error {
	return serving.ListenAndServe("imapd", cmp.Or(s.Addr, ":143"), s.Serve)
}

// ListenAndServeTLS listens on Addr and calls ServeTLS.
func (s *Server) ListenAndServeTLS() error {
	return serving.ListenAndServe("imapd", cmp.Or(s.Addr, ":993"), s.ServeTLS)
}

// Serve takes connections from l, which it closes in the end, until Shutdown or Close; then it returns
// [ErrServerClosed]. It may be called for several listeners at the same time. A listener that knows the client's address
// from elsewhere (PROXY protocol) gives it as the connections' RemoteAddr, which is not called before the connection has
// a goroutine of its own.
func (s *Server) Serve(l net.Listener) error { return s.serve(l, false) }

// ServeTLS is Serve for implicit TLS (RFC 8314): connections begin with a handshake.
func (s *Server) ServeTLS(l net.Listener) error {
	if s.TLSConfig == nil {
		return errors.Join(errors.New("imapd: ServeTLS without a TLSConfig"), l.Close())
	}
	return s.serve(l, true)
}

func (s *Server) serve(l net.Listener, implicitTLS bool) error {
	own := s.settings(s, implicitTLS)
	return s.life.Serve(l, serving.Service{
		Name: "imapd", Closed: ErrServerClosed, Logger: own.logger,
		New: func(netConn net.Conn) serving.Newcomer {
			set := own
			if s.PerConnection != nil {
				if other := s.PerConnection(); other != nil {
					set = other.settings(s, implicitTLS)
				}
			}
			c := newConn(netConn, set)
			return serving.Newcomer{Session: c, Logger: c.log, MaxConnections: set.maxConnections, MaxPerAddress: set.maxPerIP, MaxPerNetwork: -1}
		},
	})
}

// Shutdown stops taking connections, lets commands that run end and closes every connection with BYE. When ctx ends
// first, it closes what is left and returns ctx's error. Serve returns at once.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.life.Shutdown(ctx, ErrServerClosed)
	<-s.life.Drained()
	return err
}

// Close closes all listeners and connections, whatever they do, and waits for the sessions to end.
func (s *Server) Close() error {
	err := s.life.Close(ErrServerClosed)
	<-s.life.Drained()
	return err
}
