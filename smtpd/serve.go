package smtpd

import (
	"cmp"
	"context"
	"errors"
	"net"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/serving"
)

// ListenAndServe listens on Addr and calls Serve.
func (s *Server) ListenAndServe() error {
	return serving.ListenAndServe("smtpd", s.addr(), s.Serve)
}

// addr is where ListenAndServe listens.
func (s *Server) addr() string {
	if s.LMTP {
		return cmp.Or(s.Addr, ":24")
	}
	return cmp.Or(s.Addr, ":25")
}

// ListenAndServeTLS listens on Addr and calls ServeTLS.
func (s *Server) ListenAndServeTLS() error {
	return serving.ListenAndServe("smtpd", cmp.Or(s.Addr, ":465"), s.ServeTLS)
}

// Serve takes connections from l, which it closes in the end, until Shutdown or Close; then it returns
// [ErrServerClosed]. It may be called for several listeners at the same time. A listener that knows the client's address
// from elsewhere (PROXY protocol) gives it as the connections' RemoteAddr, which is not called before the connection has
// a goroutine of its own. If a connection has a method Ready() error, that is called before: with an error there is no session.
func (s *Server) Serve(l net.Listener) error { return s.serve(l, false) }

// ServeTLS is Serve for implicit TLS (RFC 8314): connections begin with a handshake.
func (s *Server) ServeTLS(l net.Listener) error {
	if s.TLSConfig == nil {
		return errors.Join(errors.New("smtpd: ServeTLS without a TLSConfig"), l.Close())
	}
	return s.serve(l, true)
}

func (s *Server) serve(l net.Listener, implicitTLS bool) error {
	own := s.settings(s, implicitTLS)
	if err := own.check(); err != nil {
		return errors.Join(err, l.Close())
	}
	now := func() *settings {
		if s.PerConnection != nil {
			if other := s.PerConnection(); other != nil {
				return other.settings(s, implicitTLS)
			}
		}
		return own
	}
	return s.life.Serve(l, serving.Service{
		Name: "smtpd", Closed: ErrServerClosed, Logger: own.logger,
		Stress: func(on bool) { now().tellStress(on) },
		New: func(netConn net.Conn) serving.Newcomer {
			set := now()
			c := newConn(netConn, set)
			return serving.Newcomer{
				Session: c, Logger: c.logger,
				MaxConnections: set.maxConnections, MaxPerAddress: set.maxPerIP, MaxPerNetwork: set.maxPerNetwork,
				Stress: set.stressAt, Calm: set.calmAt,
			}
		},
	})
}

// Shutdown closes the listeners, closes sessions that have no transaction with 421 4.3.2 as they wait for a command, lets
// the transactions that run end unless they wait for a command for longer than ShutdownGrace, ends tarpits, and returns nil
// when no connection is left. When ctx ends before that, the contexts of running checks and Handlers end, all connections are
// closed and ctx's error is returned.
func (s *Server) Shutdown(ctx context.Context) error { return s.life.Shutdown(ctx, ErrServerClosed) }

// Close closes the listeners and all connections at once and ends the contexts of running checks and Handlers. It does not
// wait for them to return.
func (s *Server) Close() error { return s.life.Close(ErrServerClosed) }

// shutdownReply is what a session is told when the server goes down.
func shutdownReply(hostname string) *mailbricks.Reply {
	return &mailbricks.Reply{Code: 421, Enhanced: "4.3.2", Text: hostname + " is shutting down"}
}
