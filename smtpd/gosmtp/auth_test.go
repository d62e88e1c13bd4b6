package gosmtp_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestAuth(t *testing.T) {
	t.Parallel()
	ok := b64("\x00ann@example.com\x00secret")
	for name, c := range map[string]struct {
		script string
		login  string // who is logged in at the end, if anybody is
	}{
		"PLAIN":              {"C: AUTH PLAIN " + ok + "\nS: 235 2.7.0 *", "ann@example.com"},
		"PLAIN in two steps": {"C: auth plain\nS: 334 \nC: " + ok + "\nS: 235 2.7.0 *", "ann@example.com"},
		"PLAIN for another":  {"C: AUTH PLAIN " + b64("bob@example.com\x00ann@example.com\x00secret") + "\nS: 235 2.7.0 *", "ann@example.com"},
		"PLAIN malformed":    {"C: AUTH PLAIN " + b64("ann") + "\nS: 535 5.7.8 *", ""},
		"LOGIN": {
			"C: AUTH LOGIN\nS: 334 " + b64("Username:") + "\nC: " + b64("ann@example.com") + "\nS: 334 " + b64("Password:") +
				"\nC: " + b64("secret") + "\nS: 235 2.7.0 *", "ann@example.com"},
		"LOGIN with the name": {
			"C: AUTH LOGIN " + b64("ann@example.com") + "\nS: 334 " + b64("Password:") + "\nC: " + b64("secret") + "\nS: 235 2.7.0 *",
			"ann@example.com"},
		"LOGIN wrong": {
			"C: AUTH LOGIN " + b64("ann@example.com") + "\nS: 334 " + b64("Password:") + "\nC: " + b64("x") + "\nS: 535 5.7.8 *", ""},
		"ANONYMOUS":           {"C: AUTH ANONYMOUS " + b64("sirhc") + "\nS: 235 2.7.0 *", "anonymous"},
		"ANONYMOUS, no trace": {"C: AUTH ANONYMOUS =\nS: 235 2.7.0 *", "anonymous"},
		"wrong password": {
			"C: AUTH PLAIN " + b64("\x00ann@example.com\x00x") + "\nS: 535 5.7.8 Authentication failed", ""},
		"cancelled":        {"C: AUTH PLAIN\nS: 334 \nC: *\nS: 501 5.7.0 *", ""},
		"not base64":       {"C: AUTH PLAIN\nS: 334 \nC: %\nS: 501 5.5.2 *", ""},
		"not on offer":     {"C: AUTH CRAM-MD5\nS: 504 5.5.4 *", ""},
		"without a server": {"C: AUTH CUSTOM\nS: 454 4.7.0 *", ""},
		"twice":            {"C: AUTH PLAIN " + ok + "\nS* 235\nC: AUTH PLAIN " + ok + "\nS* 503", "ann@example.com"},
		"twice with RSET":  {"C: AUTH PLAIN " + ok + "\nS* 235\nC: RSET\nS* 250\nC: AUTH PLAIN " + ok + "\nS* 503", "ann@example.com"},
		"again after a failure": {
			"C: AUTH PLAIN " + b64("\x00ann@example.com\x00x") + "\nS* 535\nC: AUTH PLAIN " + ok + "\nS: 235 2.7.0 *", "ann@example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			be := new(backend)
			login := make(chan string, 1)
			w := serve(t, authBackend{be}, nil, func(srv *smtpd.Server) {
				srv.Checks = append(srv.Checks, smtpd.Check{Mail: func(_ context.Context, tx *smtpd.Transaction) error {
					id := tx.Envelope.Peer.Identity
					switch {
					case id == nil:
						login <- ""
					case id.Login == id.User:
						login <- id.Login
					default:
						login <- id.Login + " as " + id.User
					}
					return nil
				}})
			})
			w.talk(`
				S: 220 *
				C: EHLO client.example.net
				S: 250-mail.example.com
				S: 250-PIPELINING
				S: 250-SIZE *
				S: 250-8BITMIME
				S: 250-CHUNKING
				S: 250-ENHANCEDSTATUSCODES
				S: 250-LIMITS *
				S: 250-AUTH PLAIN LOGIN ANONYMOUS CUSTOM
				S: 250 HELP
				` + c.script + "\nC: MAIL FROM:<ann@example.net>\nS* 250" + quit)
			require.Equal(t, c.login, <-login)
		})
	}
}

func TestErrorsOfAuth(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err            error
		auth, password string // the replies when it comes from Auth and from the exchange
	}{
		"plain":          {errors.New("secret"), "454 4.7.0 Temporary authentication failure", "535 5.7.8 Authentication failed"},
		"failed":         {smtp.ErrAuthFailed, "535 5.7.8 Authentication failed", "535 5.7.8 Authentication failed"},
		"wrapped":        {fmt.Errorf("secret: %w", smtp.ErrAuthFailed), "535 5.7.8 Authentication failed", "535 5.7.8 Authentication failed"},
		"unsupported":    {smtp.ErrAuthUnsupported, "502 5.7.0 Authentication not supported", "502 5.7.0 Authentication not supported"},
		"mechanism":      {smtp.ErrAuthUnknownMechanism, "504 5.7.4 Unsupported authentication mechanism", "504 5.7.4 Unsupported authentication mechanism"},
		"temporary":      {&smtp.SMTPError{Code: 454, EnhancedCode: smtp.EnhancedCode{4, 7, 0}, Message: "later"}, "454 4.7.0 later", "454 4.7.0 later"},
		"ours":           {fmt.Errorf("secret: %w", mailbricks.ErrTemporary), "454 4.7.0 Temporary *", "454 4.7.0 Temporary *"},
		"ours, for good": {mailbricks.ErrAuth, "535 5.7.8 *", "535 5.7.8 *"},
		"timed out":      {context.DeadlineExceeded, "454 4.7.0 Temporary *", "454 4.7.0 Temporary *"},
		"out of step":    {sasl.ErrUnexpectedClientResponse, "454 4.7.0 *", "501 5.5.2 *"},
	} {
		for at, want := range map[string]string{"Auth": c.auth, "Password": c.password} {
			t.Run(name+"/"+at, func(t *testing.T) {
				t.Parallel()
				be := new(backend)
				be.on = func(method, _ string) error {
					if method == at {
						return c.err
					}
					return nil
				}
				w := serve(t, authBackend{be}, nil, nil)
				w.talk(hello + "C: AUTH PLAIN " + b64("\x00ann@example.com\x00secret") + "\nS: " + want + quit)
			})
		}
	}
}

func TestGuessesAreCounted(t *testing.T) {
	t.Parallel()
	be := new(backend)
	w := serve(t, authBackend{be}, nil, func(srv *smtpd.Server) { srv.MaxAuthFailures = 3 })
	guess := "C: AUTH PLAIN " + b64("\x00ann@example.com\x00x") + "\n"
	c := w.client()
	c.Talk(hello + guess + "S* 535\n" + guess + "S* 535\n" + guess + "S: 421 4.7.0 Too many*\nS$")
	require.NoError(t, c.Conn.Close())
}

func TestAuthNeedsTLSUnlessItIsAllowed(t *testing.T) {
	t.Parallel()
	w := serve(t, authBackend{new(backend)}, func(s *smtp.Server) { s.AllowInsecureAuth = false }, nil)
	w.talk(`
		S* 220
		C: EHLO client.example.net
		S: 250-mail.example.com
		S: 250-PIPELINING
		S: 250-SIZE *
		S: 250-8BITMIME
		S: 250-CHUNKING
		S: 250-ENHANCEDSTATUSCODES
		S: 250-LIMITS *
		S: 250 HELP
		C: AUTH PLAIN
		S: 538 5.7.11 *` + quit)
}

func TestBackendWithoutAuth(t *testing.T) {
	t.Parallel()
	w := serve(t, new(backend), nil, nil)
	w.talk(`
		S* 220
		C: EHLO client.example.net
		S: 250-mail.example.com
		S: 250-PIPELINING
		S: 250-SIZE *
		S: 250-8BITMIME
		S: 250-CHUNKING
		S: 250-ENHANCEDSTATUSCODES
		S: 250-LIMITS *
		S: 250 HELP
		C: AUTH PLAIN
		S* 504` + quit)
}

// identified is a session that says who has logged in.
type identified struct{ authSession }

func (identified) Identity() mailbricks.Identity {
	return mailbricks.Identity{Login: "ann@example.com", User: "team@example.com", Scope: "send"}
}

func TestSessionSaysWhoHasLoggedIn(t *testing.T) {
	t.Parallel()
	be := new(backend)
	got := make(chan mailbricks.Identity, 1)
	w := serve(t, smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		s, err := be.NewSession(c)
		return identified{authSession{s.(*session)}}, err
	}), nil, func(srv *smtpd.Server) {
		srv.Checks = append(srv.Checks, smtpd.Check{Mail: func(_ context.Context, tx *smtpd.Transaction) error {
			got <- *tx.Envelope.Peer.Identity
			return nil
		}})
	})
	w.talk(hello + "C: AUTH ANONYMOUS =\nS* 235\nC: MAIL FROM:<ann@example.net>\nS* 250" + quit)
	require.Equal(t, mailbricks.Identity{Login: "ann@example.com", User: "team@example.com", Scope: "send"}, <-got)
}

func TestClientOfGoSMTPLogsIn(t *testing.T) {
	t.Parallel()
	for name, mechanism := range map[string]sasl.Client{
		"PLAIN": sasl.NewPlainClient("", "ann@example.com", "secret"), "LOGIN": sasl.NewLoginClient("ann@example.com", "secret"),
		"ANONYMOUS": sasl.NewAnonymousClient("guest"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := serve(t, authBackend{new(backend)}, nil, nil)
			c := smtp.NewClient(w.dial())
			require.NoError(t, c.Auth(mechanism))
			require.NoError(t, c.Quit())
		})
	}
	w := serve(t, authBackend{new(backend)}, nil, nil)
	c := smtp.NewClient(w.dial())
	err := c.Auth(sasl.NewPlainClient("", "ann@example.com", "guess"))
	var refused *smtp.SMTPError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 535, refused.Code)
	require.NoError(t, c.Close())
}
