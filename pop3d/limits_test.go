package pop3d_test

import (
	"cmp"
	"context"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/dialogue"
	"github.com/mailbricks/mailbricks/pop3d"
)

func TestLineLength(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.talk(greeting + `
			C: USER ` + strings.Repeat("x", 1024) + `
			S: +OK *
			C: USER ` + strings.Repeat("x", 1025) + `
			S: -ERR Command line too long
			C: USER ` + ann + `
			S: +OK *
			C: PASS ` + longPassword() + `x
			S: -ERR Command line too long
			C: NOOP ` + strings.Repeat(" ", 255-7) + `
			S: -ERR Log in first
			C: NOOP ` + strings.Repeat(" ", 256-7) + `
			S: -ERR Command line too long
			C: NOOP ` + strings.Repeat("x", 5000) + `
			S: -ERR Command line too long
			C: QUIT
			S: +OK Bye
		`)
		w.talk(greeting + "C: USER " + ann + "\nS: +OK *\nC: PASS " + longPassword() + "\nS: +OK *\nC: QUIT\nS: +OK Bye")
		w.talk(greeting + "C: AUTH PLAIN " + strings.Repeat("A", 20000) + "\nS: -ERR Line too long\nS$")
		w.talk(greeting + "C: AUTH PLAIN\nS: + \nC: " + strings.Repeat("A", 20000) + "\nS: -ERR Line too long\nS$")
	})
}

func TestTooManyErrors(t *testing.T) {
	inWorld(t, func(s *pop3d.Server) { s.MaxErrors = 3 }, func(w *world) {
		w.talk(greeting + `
			C: GET / HTTP/1.1
			C: Host: example.com
			C: 
			C: QUIT
			S: -ERR Unknown command
			S: -ERR Unknown command
			S: -ERR Unknown command
			S$
		`)
	})
}

// TestInUseIsBounded: a known user who keeps trying does so at most MaxErrors times.
func TestInUseIsBounded(t *testing.T) {
	inWorld(t, func(s *pop3d.Server) { s.MaxErrors = 2 }, func(w *world) {
		w.talk(login)
		w.talk(greeting + `
			C: AUTH PLAIN ` + good + `
			C: AUTH PLAIN ` + good + `
			C: AUTH PLAIN ` + good + `
			S: -ERR [IN-USE] *
			S: -ERR [IN-USE] *
			S$
		`)
	})
}

func TestMaxConnections(t *testing.T) {
	refused := 0
	inWorld(t, func(s *pop3d.Server) {
		s.MaxConnections = 2
		s.Trace.Refused = func(netip.AddrPort) { refused++ }
	}, func(w *world) {
		first, second := w.dial("203.0.113.1"), w.dial("203.0.113.2")
		first.Talk(greeting)
		second.Talk(greeting)
		w.dial("203.0.113.3").Talk("S: -ERR [SYS/TEMP] Too many connections, please try again later\nS$")
		require.NoError(t, first.Conn.Close())
		synctest.Wait()
		w.dial("203.0.113.3").Talk(greeting)
		require.Equal(t, 1, refused)
	})
}

// TestMaxConnectionsPerIP: who has logged in does not count.
func TestMaxConnectionsPerIP(t *testing.T) {
	inWorld(t, func(s *pop3d.Server) { s.MaxConnectionsPerIP = 1 }, func(w *world) {
		first := w.dial("203.0.113.1")
		first.Talk(greeting)
		w.dial("203.0.113.1").Talk("S: -ERR [SYS/TEMP] Too many connections from your address\nS$")
		w.dial("203.0.113.2").Talk(greeting)
		first.Talk("C: AUTH PLAIN " + good + "\nS: +OK *")
		w.dial("203.0.113.1").Talk(greeting)
		w.dial("203.0.113.1").Talk("S: -ERR [SYS/TEMP] Too many connections from your address\nS$")
	})
}

func TestLoginTimeout(t *testing.T) {
	var why error
	inWorld(t, func(s *pop3d.Server) {
		s.Trace.Disconnected = func(_ *pop3d.Session, err error) { why = err }
	}, func(w *world) {
		start := time.Now()
		w.talk(greeting + `
			W: 2m
			C: CAPA
			C: USER x
			S: +OK *
			S: TOP
			S: UIDL
			S: RESP-CODES
			S: AUTH-RESP-CODE
			S: PIPELINING
			S: EXPIRE NEVER
			S: USER
			S: SASL *
			S: IMPLEMENTATION *
			S: .
			S: +OK *
			S$
		`)
		require.Equal(t, pop3d.DefaultLoginTimeout, time.Since(start), "activity does not help")
		time.Sleep(time.Second)
		synctest.Wait()
		require.ErrorIs(t, why, os.ErrDeadlineExceeded)
	})
}

// TestIdleTimeout: nothing is said and nothing removed (RFC 1939 §3), and 10 minutes is the least.
func TestIdleTimeout(t *testing.T) {
	inWorld(t, func(s *pop3d.Server) { s.IdleTimeout = time.Second }, func(w *world) {
		w.put("a: b\n\n")
		c := w.dial("203.0.113.9")
		c.Talk(login + `
			C: DELE 1
			S: +OK *
			W: 9m59s
			C: NOOP
			S: +OK
		`)
		start := time.Now()
		c.Talk("R: \"NOO\"\nW: 9m\nR: \"P\"\nS$") // drop by drop does not help
		require.Equal(t, 10*time.Minute, time.Since(start))
		require.Len(t, w.left(), 1)
		w.talk(login)
	})
}

// TestSlowReader: a peer that takes nothing is left after WriteTimeout; one that is slow is served.
func TestSlowReader(t *testing.T) {
	var why error
	inWorld(t, func(s *pop3d.Server) {
		s.Trace.Disconnected = func(_ *pop3d.Session, err error) { why = cmp.Or(why, err) }
	}, func(w *world) {
		w.put("a: b\n\n" + strings.Repeat("0123456789\n", 100_000))
		c := w.dial("203.0.113.9")
		c.Talk(login + "C: RETR 1\nC: QUIT\nS: +OK *")
		start, size := time.Now(), 0
		buf := make([]byte, 1000)
		for size < 900_000 {
			n, err := c.Reader.Read(buf)
			require.NoError(t, err)
			size += n
			time.Sleep(100 * time.Millisecond)
		}
		require.Greater(t, time.Since(start), pop3d.DefaultWriteTimeout/2)
		time.Sleep(2 * pop3d.DefaultWriteTimeout)
		synctest.Wait()
		require.ErrorIs(t, why, os.ErrDeadlineExceeded)
		require.Empty(t, w.seen())
		w.talk(login)
	})
}

func TestShutdown(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.put("a: b\n\n")
		waiting := w.dial("203.0.113.9")
		waiting.Talk(greeting)
		marked := w.dial("203.0.113.9")
		marked.Talk(login + "C: DELE 1\nS: +OK *")
		require.NoError(t, w.srv.Shutdown(w.t.Context()))
		for _, c := range []*dialogue.Client{waiting, marked} {
			c.Talk("S: -ERR [SYS/TEMP] Server is shutting down\nS$")
		}
		require.Len(t, w.left(), 1, "no QUIT, no UPDATE")
		l, err := w.net.Listen("tcp", "192.0.2.1:0")
		require.NoError(t, err)
		require.ErrorIs(t, w.srv.Serve(l), pop3d.ErrServerClosed)
	})
}

// TestShutdownWaits: a command that runs may end, but not for ever.
func TestShutdownWaits(t *testing.T) {
	inWorld(t, func(s *pop3d.Server) { s.StoreTimeout = 10 * time.Second }, func(w *world) {
		w.put("a: b\n\n")
		w.store.slow = "Content"
		c := w.dial("203.0.113.9")
		c.Talk(login + "C: RETR 1")
		synctest.Wait()
		start := time.Now()
		require.NoError(t, w.srv.Shutdown(w.t.Context()))
		require.InDelta(t, 10, time.Since(start).Seconds(), 1)
		c.Talk("S: -ERR [SYS/TEMP] Message cannot be read now\nS: -ERR [SYS/TEMP] Server is shutting down\nS$")
	})
}

func TestShutdownDoesNotWaitForEver(t *testing.T) {
	inWorld(t, func(s *pop3d.Server) { s.StoreTimeout = time.Hour }, func(w *world) {
		w.put("a: b\n\n")
		w.store.slow = "Content"
		c := w.dial("203.0.113.9")
		c.Talk(login + "C: RETR 1")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		require.ErrorIs(t, w.srv.Shutdown(ctx), context.DeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(start))
		synctest.Wait()
		require.Zero(t, w.store.opened)
	})
}

func TestServeTLSWithoutConfig(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		l, err := w.net.Listen("tcp", "192.0.2.1:995")
		require.NoError(t, err)
		require.Error(t, w.srv.ServeTLS(l))
		_, err = l.Accept()
		require.Error(t, err, "the listener is closed")
	})
}

func TestListenAndServeFails(t *testing.T) {
	t.Parallel()
	srv := &pop3d.Server{Addr: "256.256.256.256:1"}
	require.ErrorContains(t, srv.ListenAndServe(), "pop3d: ")
	require.ErrorContains(t, srv.ListenAndServeTLS(), "pop3d: ")
}
