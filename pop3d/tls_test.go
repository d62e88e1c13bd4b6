package pop3d_test

import (
	"crypto/tls"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/dialogue"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/pop3d"
)

// secure sets up a server that wants TLS.
func secure(ca *mailtest.CA) func(*pop3d.Server) {
	return func(s *pop3d.Server) {
		s.AllowInsecureAuth = false
		s.TLSConfig = ca.ServerConfig("mail.example.com")
	}
}

// startTLS makes the client's side of the connection TLS.
func startTLS(c *dialogue.Client, ca *mailtest.CA) *dialogue.Client {
	c.T.Helper()
	conn := tls.Client(c.Conn, ca.ClientConfig("mail.example.com"))
	require.NoError(c.T, conn.Handshake())
	return newClient(c.T, conn)
}

func TestSTLS(t *testing.T) {
	ca := mailtest.NewCA()
	inWorld(t, secure(ca), func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(greeting + `
			C: CAPA
			S: +OK *
			S: TOP
			S: UIDL
			S: RESP-CODES
			S: AUTH-RESP-CODE
			S: PIPELINING
			S: EXPIRE NEVER
			S: STLS
			S: IMPLEMENTATION mailbricks
			S: .
			C: USER ann@example.com
			S: -ERR Encryption required, use STLS first
			C: PASS secret
			S: -ERR Encryption required, use STLS first
			C: AUTH PLAIN ` + good + `
			S: -ERR Encryption required, use STLS first
			C: STLS x
			S: -ERR STLS takes no argument
			C: STLS
			S: +OK Begin TLS negotiation
		`)
		startTLS(c, ca).Talk(`
			C: CAPA
			S: +OK *
			S: TOP
			S: UIDL
			S: RESP-CODES
			S: AUTH-RESP-CODE
			S: PIPELINING
			S: EXPIRE NEVER
			S: USER
			S: SASL PLAIN LOGIN
			S: IMPLEMENTATION mailbricks
			S: .
			C: STLS
			S: -ERR TLS is on already
			C: PASS secret
			S: -ERR USER first
			C: USER ann@example.com
			C: PASS secret
			C: QUIT
			S: +OK *
			S: +OK *
			S: +OK Bye
			S$
		`)
	})
}

// TestSTLSForgetsUser: nothing said in clear counts after the handshake (RFC 2595 §4).
func TestSTLSForgetsUser(t *testing.T) {
	ca := mailtest.NewCA()
	inWorld(t, func(s *pop3d.Server) { s.TLSConfig = ca.ServerConfig("mail.example.com") }, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(greeting + `
			C: USER ann@example.com
			S: +OK *
			C: STLS
			S: +OK *
		`)
		startTLS(c, ca).Talk(`
			C: PASS secret
			S: -ERR USER first
		`)
	})
}

// TestSTLSInjection: what came in clear with STLS is not run, neither before nor after the handshake.
func TestSTLSInjection(t *testing.T) {
	ca := mailtest.NewCA()
	inWorld(t, secure(ca), func(w *world) {
		w.talk(greeting + `
			R: "STLS\r\nUSER ann@example.com\r\n"
			S: -ERR Input after STLS, closing
			S$
		`)
		w.talk(greeting + `
			R: "STLS\r\nU"
			S: -ERR Input after STLS, closing
			S$
		`)
	})
}

func TestNoTLS(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.talk(greeting + `
			C: STLS
			S: -ERR TLS is not available
		`)
	})
}

func TestImplicitTLS(t *testing.T) {
	ca := mailtest.NewCA()
	var failed, connected int
	inWorld(t, func(s *pop3d.Server) {
		secure(ca)(s)
		s.MaxConnections = 1
		s.Trace.TLS = func(s *pop3d.Session, err error) {
			if err != nil {
				failed++
			} else {
				connected++
				require.NotNil(t, s)
			}
		}
	}, func(w *world) {
		l, err := w.net.Listen("tcp", "192.0.2.1:995")
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- w.srv.ServeTLS(l) }()
		w.addr = "192.0.2.1:995"
		c := startTLS(w.dial("203.0.113.9"), ca)
		over := w.dial("203.0.113.9")
		_, err = over.Line()
		require.ErrorIs(t, err, io.EOF, "nothing is said without a handshake")
		c.Talk(login + "C: QUIT\nS: +OK Bye\nS$")
		_ = c.Conn.Close() // the server has closed already
		synctest.Wait()

		clear := w.dial("203.0.113.9")
		clear.Talk("C: CAPA")
		_, err = io.ReadAll(clear.Conn) // an alert, then the end
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, 1, failed)
		require.Equal(t, 1, connected)

		silent := w.dial("203.0.113.9")
		start := time.Now()
		_, err = io.ReadAll(silent.Conn)
		require.NoError(t, err)
		require.Equal(t, pop3d.DefaultLoginTimeout, time.Since(start))
		require.NoError(t, w.srv.Close())
		require.ErrorIs(t, <-done, pop3d.ErrServerClosed)
	})
}
