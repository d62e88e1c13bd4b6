package smtpd_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// starting is an Authenticator with a Start, or an exchange with a Next, that says what it likes.
type starting struct {
	users
	start, next func(context.Context) error
}

func (s starting) Start(ctx context.Context, _ string, _ mailbricks.Peer) (mailbricks.Exchange, error) {
	if s.start != nil {
		return nil, s.start(ctx)
	}
	return s, nil
}

func (s starting) Next(ctx context.Context, _ []byte) ([]byte, *mailbricks.Identity, error) {
	return nil, nil, s.next(ctx)
}

// What goes wrong on this side of a log-in is not the client's fault, and what an Authenticator wants to be told is told.
func TestAuthFailures(t *testing.T) {
	const later = "S: 454 4.7.0 Temporary authentication failure\nC: NOOP\nS* 250\n"
	for name, test := range map[string]struct {
		fail          func(context.Context) error
		start, next   string
		errors, fails int // counted: errors at Start and, of what is malformed, at Next; failures at Next
	}{
		"panic":     {func(context.Context) error { panic("auth") }, later, later, 0, 0},
		"time-out":  {func(ctx context.Context) error { <-ctx.Done(); return fmt.Errorf("x: %w", ctx.Err()) }, "W: 4m\n" + later, "W: 4m\n" + later, 0, 0},
		"cancelled": {func(context.Context) error { return context.Canceled }, later, later, 0, 0},
		"temporary": {func(context.Context) error { return mailbricks.ErrTemporary }, later, later, 0, 0},
		"refused": {func(context.Context) error { return errors.New("no") },
			"S: 504 5.5.4 Unrecognized authentication mechanism\n", "S: 501 5.5.2 Malformed authentication response\n", 1, 0},
		"reply": {func(context.Context) error { return fmt.Errorf("x: %w", smtpd.Permanent("Not today")) },
			"S: 550 5.7.1 Not today\nC: NOOP\nS* 250\n", "S: 550 5.7.1 Not today\nC: NOOP\nS* 250\n", 1, 1},
		"reply for now": {func(context.Context) error { return smtpd.Temporary("Not now") },
			"S: 451 4.7.1 Not now\nC: NOOP\nS* 250\n", "S: 451 4.7.1 Not now\nC: NOOP\nS* 250\n", 0, 0},
		"close": {func(context.Context) error { return smtpd.Close(nil) },
			"S: 421 4.7.0 Closing connection\nS$\n", "S: 421 4.7.0 Closing connection\nS$\n", 0, 0},
		"close with a reply": {func(context.Context) error { return fmt.Errorf("x: %w", smtpd.Close(smtpd.Permanent("Go away"))) },
			"S: 550 5.7.1 Go away\nS$\n", "S: 550 5.7.1 Go away\nS$\n", 0, 1},
		"close as a failure": {func(context.Context) error { return smtpd.Close(mailbricks.ErrAuth) },
			"S: 421 4.7.0 Closing connection\nS$\n", "S: 421 4.7.0 Closing connection\nS$\n", 0, 1},
	} {
		for _, at := range []string{"start", "next"} {
			t.Run(name+" at "+at, func(t *testing.T) {
				auth, script, wantErrors, wantFails := starting{start: test.fail}, test.start, test.errors, 0
				if at == "next" {
					auth, script, wantErrors, wantFails = starting{next: test.fail}, test.next, test.errors, test.fails
				}
				if wantFails > 0 {
					wantErrors = 0
				}
				var counts smtpd.Counts
				inWorld(t, func(s *smtpd.Server) {
					s.Auth, s.AllowInsecureAuth = auth, true
					s.Checks = []smtpd.Check{{Disconnect: func(_ context.Context, s *smtpd.Session) { counts = s.Counts() }}}
				}, func(w *world) {
					c := w.dial("203.0.113.9")
					c.Talk(hello + "C: AUTH PLAIN AA==\n" + script)
					require.NoError(w.t, c.Conn.Close())
					synctest.Wait()
					require.Equal(w.t, wantErrors, counts.Errors)
					require.Equal(w.t, wantFails, counts.AuthFailures)
				})
			})
		}
	}
	t.Run("no exchange", func(t *testing.T) {
		inWorld(t, func(s *smtpd.Server) {
			s.Auth, s.AllowInsecureAuth = starting{start: func(context.Context) error { return nil }}, true
		}, func(w *world) { w.talk(hello + "C: AUTH PLAIN AA==\n" + later) })
	})
}
