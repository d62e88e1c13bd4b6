package pop3d_test

import (
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/pop3d"
)

func TestLoginDelay(t *testing.T) {
	inWorld(t, func(s *pop3d.Server) { s.LoginDelay = 90 * time.Second; s.MaxErrors = -1 }, func(w *world) {
		w.talk(greeting + `
			C: CAPA
			S: +OK *
			S: TOP
			S: UIDL
			S: RESP-CODES
			S: AUTH-RESP-CODE
			S: PIPELINING
			S: EXPIRE NEVER
			S: LOGIN-DELAY 90
			S: USER
			S: SASL PLAIN LOGIN
			S: IMPLEMENTATION mailbricks
			S: .
			C: AUTH PLAIN ` + good + `
			S: +OK *
			C: QUIT
			S: +OK Bye
			S$
		`)
		w.talk(greeting + `
			C: AUTH PLAIN ` + good + `
			S: -ERR [LOGIN-DELAY] Please wait before you log in again
			W: 89s
			C: AUTH PLAIN ` + good + `
			S: -ERR [LOGIN-DELAY] *
			W: 1s
			C: AUTH PLAIN ` + good + `
			S: +OK *
		`)
	})
}

// TestSettingsChange: new connections have the settings of the moment, in one life and with one lock on a maildrop.
func TestSettingsChange(t *testing.T) {
	var current atomic.Pointer[pop3d.Server]
	inWorld(t, func(s *pop3d.Server) { s.PerConnection = current.Load }, func(w *world) {
		old := w.dial("203.0.113.9")
		old.Talk(login)
		current.Store(&pop3d.Server{
			Hostname: "new.example.com", Auth: users{}, AllowInsecureAuth: true, Store: w.srv.Store, MaxAuthFailures: 1, MaxConnectionsPerIP: 2,
		})
		c, greeting := w.dial("203.0.113.9"), strings.ReplaceAll(greeting, "mail.", "new.")
		c.Talk(greeting + "C: AUTH PLAIN " + good + "\nS: -ERR [IN-USE] *")
		w.dial("203.0.113.9").Talk(greeting + "C: AUTH PLAIN AGEAYg==\nS: -ERR [AUTH] *\nS$")
		time.Sleep(time.Second) // it lingers
		w.dial("203.0.113.9").Talk(greeting)
		w.dial("203.0.113.9").Talk("S: -ERR [SYS/TEMP] Too many connections from your address\nS$")
		old.Talk("C: AUTH PLAIN\nS: -ERR *\nC: QUIT\nS: +OK Bye\nS$")
		c.Talk("C: AUTH PLAIN " + good + "\nS: +OK *")
		require.NoError(t, w.srv.Shutdown(w.t.Context()), "which knows all connections")
		c.Talk("S: -ERR [SYS/TEMP] Server is shutting down\nS$")
	})
}

// TestIPv6Network: a customer's /64 counts as one address.
func TestIPv6Network(t *testing.T) {
	inWorld(t, func(s *pop3d.Server) { s.MaxConnectionsPerIP = 1 }, func(w *world) {
		l, err := w.net.Listen("tcp", "[2001:db8::ffff]:110")
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- w.srv.Serve(l) }()
		w.addr = "[2001:db8::ffff]:110"
		w.dial("2001:db8::1").Talk(greeting)
		w.dial("2001:db8::2").Talk("S: -ERR [SYS/TEMP] *\nS$")
		w.dial("2001:db8:0:1::1").Talk(greeting)
		require.NoError(t, w.srv.Close())
		require.ErrorIs(t, <-done, pop3d.ErrServerClosed)
	})
}

func TestHostname(t *testing.T) {
	name, err := os.Hostname()
	require.NoError(t, err)
	inWorld(t, func(s *pop3d.Server) { s.Hostname = "" }, func(w *world) {
		w.talk("S: +OK " + name + " POP3 server ready")
	})
	t.Run("long", func(t *testing.T) {
		inWorld(t, func(s *pop3d.Server) { s.Hostname = strings.Repeat("x", 1000) + "\r\n" }, func(w *world) {
			line, err := w.dial("203.0.113.9").Line()
			require.NoError(t, err)
			require.Len(t, line, 484)
		})
	})
}

// TestPasswordBackEnd: USER and PASS fail as AUTH does when PLAIN does something else than it should.
func TestPasswordBackEnd(t *testing.T) {
	for mechanism, want := range map[string]string{
		"BROKEN": "-ERR [SYS/TEMP] *", "LAST": "-ERR [SYS/TEMP] *", "PANIC": "-ERR [SYS/TEMP] *", "REPLY": "-ERR [AUTH] Not",
	} {
		t.Run(mechanism, func(t *testing.T) {
			inWorld(t, func(s *pop3d.Server) { s.Auth = insteadOfPlain{users{}, mechanism} }, func(w *world) {
				w.talk(greeting + "C: USER ann@example.com\nS: +OK *\nC: PASS secret\nS: " + want)
			})
		})
	}
}

func TestListenAndServe(t *testing.T) {
	t.Parallel()
	srv := &pop3d.Server{Addr: "127.0.0.1:0"}
	done := make(chan error, 1)
	go func() { done <- srv.ListenAndServe() }()
	require.NoError(t, srv.Close())
	require.ErrorIs(t, <-done, pop3d.ErrServerClosed)
	require.ErrorIs(t, srv.ListenAndServe(), pop3d.ErrServerClosed)
	require.NoError(t, srv.Close(), "twice")
}

// TestPeerVanishes: a connection that breaks in the middle of a message is noticed, and the maildrop is free at once.
func TestPeerVanishes(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.put(strings.Repeat("0123456789\n", 100_000))
		c := w.dial("203.0.113.9")
		c.Talk(login + "C: RETR 1\nC: DELE 1\nC: QUIT\nS: +OK *")
		_, err := io.ReadFull(c.Reader, make([]byte, 1000))
		require.NoError(t, err)
		require.NoError(t, c.Conn.Close())
		synctest.Wait()
		w.talk(login)
		require.Len(t, w.left(), 1)
	})
}
