package smtpd_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/smtpd"
)

// withAuth is a server that lets users log in without TLS.
func withAuth(mechanisms ...string) func(*smtpd.Server) {
	return func(s *smtpd.Server) {
		s.Auth, s.AllowInsecureAuth, s.MaxAuthFailures, s.MaxErrors = users{mechanisms}, true, -1, -1
	}
}

const loggedIn = hello + `
	C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=
	S: 235 2.7.0 Authentication successful
`

func TestAuth(t *testing.T) {
	for name, script := range map[string]string{
		"initial response": loggedIn,
		"without initial response": hello + `
			C: auth plain
			S: 334 
			C: AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=
			S* 235`,
		"login": hello + `
			C: AUTH LOGIN
			S: 334 VXNlcm5hbWU6
			C: YW5uQGV4YW1wbGUuY29t
			S: 334 UGFzc3dvcmQ6
			C: c2VjcmV0
			S* 235`,
		"login with initial response": hello + `
			C: AUTH LOGIN YW5uQGV4YW1wbGUuY29t
			S: 334 UGFzc3dvcmQ6
			C: c2VjcmV0
			S* 235`,
		"empty initial response": hello + `
			C: AUTH LOGIN =
			S: 334 UGFzc3dvcmQ6
			C: c2VjcmV0
			S: 535 5.7.8 Authentication failed`,
		"empty response": hello + `
			C: AUTH LOGIN
			S: 334 VXNlcm5hbWU6
			C:
			S: 334 UGFzc3dvcmQ6
			C:
			S: 535 5.7.8 Authentication failed`,
		"challenge before success": hello + `
			C: AUTH LAST eA==
			S: 334 dj1kb25l
			C:
			S* 235`,
		"challenge before success, answered": hello + `
			C: AUTH LAST eA==
			S: 334 dj1kb25l
			C: eA==
			S: 501 5.5.2 Malformed authentication response`,
		"cancelled": hello + `
			C: AUTH PLAIN
			S: 334 
			C: *
			S: 501 5.7.0 Authentication cancelled
			C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=
			S* 235`,
		"not base64": hello + `
			C: AUTH PLAIN
			S: 334 
			C: dXNlckB0ZXN0c2VydmVyAHlalala==
			S: 501 5.5.2 Response is not base64
			C: AUTH PLAIN
			S: 334 
			R: "AAAA\n"
			S: 501 5.5.2 Response is not base64`,
		"malformed": hello + `
			C: AUTH PLAIN eA==
			S: 501 5.5.2 Malformed authentication response`,
		"unknown mechanism": hello + `
			C: AUTH X-NONE
			S: 504 5.5.4 Unrecognized authentication mechanism
			C: AUTH
			S: 501 5.5.4 Syntax: AUTH mechanism [initial-response]
			C: AUTH PLAIN a b
			S: 501 5.5.4 Syntax: AUTH mechanism [initial-response]`,
		"back end down": hello + `
			C: AUTH DOWN
			S: 454 4.7.0 Temporary authentication failure
			C: AUTH BROKEN
			S: 454 4.7.0 Temporary authentication failure
			C: AUTH PANIC
			S: 454 4.7.0 Temporary authentication failure
			C: AUTH SLOW
			W: 4m
			S: 454 4.7.0 Temporary authentication failure`,
		"twice": loggedIn + `
			C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=
			S: 503 5.5.1 You have logged in already`,
		"within a transaction": mailTo + `
			C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=
			S: 503 5.5.1 Not within a mail transaction`,
		"time-out": hello + `
			C: AUTH PLAIN
			S: 334 
			W: 5m
			S: 421 4.4.2 *
			S$`,
		"too long": hello + `
			C: AUTH PLAIN
			S: 334 
			C: ` + strings.Repeat("A", 12400) + `
			S: 500 5.5.6 Authentication exchange line is too long
			S$`,
		"connection lost": hello + `
			C: AUTH PLAIN
			S: 334 
			R: "AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ="
			H:
			S$`,
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, withAuth("PLAIN", "LOGIN", "LAST", "SLOW", "DOWN", "PANIC", "BROKEN"), func(w *world) { w.talk(script) })
		})
	}
}

func TestAuthIsOfferedOnlyWhereItWorks(t *testing.T) {
	t.Run("in clear", func(t *testing.T) {
		inWorld(t, func(s *smtpd.Server) { s.Auth = users{} }, func(w *world) {
			w.talk(`
				S* 220
				C: EHLO client.example.net
				S: 250-mail.example.com
				S: 250-PIPELINING
				S: 250-SIZE *
				S: 250-8BITMIME
				S: 250-CHUNKING
				S: 250-ENHANCEDSTATUSCODES
				S: 250-SMTPUTF8
				S: 250-LIMITS MAILMAX=1000 RCPTMAX=100
				S: 250 HELP
				C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=
				S: 538 5.7.11 Encryption required, use STARTTLS first
			`)
		})
	})
	t.Run("insecure", func(t *testing.T) {
		inWorld(t, withAuth(), func(w *world) {
			w.talk(`
				S* 220
				C: EHLO client.example.net
				S: 250-mail.example.com
				S: 250-PIPELINING
				S: 250-SIZE *
				S: 250-8BITMIME
				S: 250-CHUNKING
				S: 250-ENHANCEDSTATUSCODES
				S: 250-SMTPUTF8
				S: 250-LIMITS MAILMAX=1000 RCPTMAX=100
				S: 250-AUTH PLAIN LOGIN
				S: 250 HELP
				C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=
				S* 235
			`)
		})
	})
}

func TestRequireAuth(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { withAuth()(s); s.RequireAuth = true }, func(w *world) {
		w.talk(hello + `
			C: MAIL FROM:<ann@example.com>
			S: 530 5.7.0 Authentication required
			C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=
			S* 235
			C: MAIL FROM:<ann@example.com> AUTH=ann+2Bx@example.com
			S* 250
			C: RCPT TO:<bob@example.com>
			S* 250
			C: DATA
			S* 354
			C: .
			S* 250
		`)
		env := w.messages()[0].Envelope
		require.Equal(w.t, "ESMTPA", env.Peer.Protocol)
		require.Equal(w.t, "ann@example.com", env.Peer.Identity.Login)
		require.Equal(w.t, "ann+x@example.com", *env.Auth)
	})
	t.Run("in clear", func(t *testing.T) {
		inWorld(t, func(s *smtpd.Server) { s.Auth, s.RequireAuth = users{}, true }, func(w *world) {
			w.talk(hello + "C: MAIL FROM:<ann@example.com>\nS: 530 5.7.0 STARTTLS and authentication required\n")
		})
	})
}

func TestAuthLines(t *testing.T) {
	inWorld(t, withAuth(), func(w *world) {
		w.talk(hello + `
			C: AUTH PLAIN  x
			S: 501 5.5.4 Syntax: AUTH mechanism [initial-response]
			C: AUTH
			S: 501 5.5.4 Syntax: AUTH mechanism [initial-response]
			C: auth PLAIN ` + strings.Repeat("x", 13000) + `
			S: 500 5.5.6 Authentication exchange line is too long
			S$
		`)
		w.talk(hello + "C: AUTHOR " + strings.Repeat("x", 13000) + "\nS: 500 5.5.2 Line too long\nS$\n")
	})
}

// The AUTH parameter is a mailbox (RFC 4954 §5).
func TestAuthParameterIsAMailbox(t *testing.T) {
	for value, want := range map[string]string{
		"foo+20bar": "", "ann": "", "<ann@example.com>": "", "@a.example:ann@example.com": "", "ann@": "", "ann@exa+20mple.com": "", "+FF@example.com": "",
		"a+2Bb+3Dc@example.com": "a+b=c@example.com", "+22a+20b+22@example.com": `"a b"@example.com`, "+22ann+22@example.com": "ann@example.com",
	} {
		t.Run(value, func(t *testing.T) {
			inWorld(t, withAuth(), func(w *world) {
				c := w.dial("203.0.113.9")
				c.Talk(hello + "C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\nS* 235\nC: MAIL FROM:<ann@example.com> AUTH=" + value)
				if want == "" {
					c.Talk("S: 501 5.5.4 AUTH is <> or a mailbox in xtext")
					return
				}
				c.Talk("S* 250\nC: RCPT TO:<bob@example.com>\nS* 250\nC: DATA\nS* 354\nC: .\nS* 250")
				require.Equal(w.t, want, *w.messages()[0].Envelope.Auth)
			})
		})
	}
	t.Run("without a domain", func(t *testing.T) {
		inWorld(t, func(s *smtpd.Server) { withAuth()(s); s.UnqualifiedSenders = true }, func(w *world) {
			w.talk(hello + "C: MAIL FROM:<ann@example.com> AUTH=ann\nS: 501 5.5.4 *\n" +
				"C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\nS* 235\nC: MAIL FROM:<ann@example.com> AUTH=ann\nS* 250\n")
		})
	})
}

// The AUTH parameter of somebody who has not logged in counts for nothing (RFC 4954 §5).
func TestAuthParameterOfAStranger(t *testing.T) {
	inWorld(t, withAuth(), func(w *world) {
		w.talk(hello + `
			C: MAIL FROM:<ann@example.com> AUTH=
			S: 501 5.5.4 *
			C: MAIL FROM:<ann@example.com> AUTH=a+0D
			S: 501 5.5.4 *
			C: MAIL FROM:<ann@example.com> AUTH=a+
			S: 501 5.5.4 *
			C: MAIL FROM:<ann@example.com> AUTH=foo+20bar
			S: 501 5.5.4 AUTH is <> or a mailbox in xtext
			C: MAIL FROM:<ann@example.com> AUTH=boss@example.com
			S* 250
			C: RCPT TO:<bob@example.com>
			S* 250
			C: DATA
			S* 354
			C: .
			S* 250
		`)
		require.Empty(w.t, *w.messages()[0].Envelope.Auth)
	})
}

func TestUnqualifiedSenders(t *testing.T) {
	t.Run("rewritten by a check", func(t *testing.T) {
		inWorld(t, func(s *smtpd.Server) {
			withAuth()(s)
			s.UnqualifiedSenders = true
			s.Checks = []smtpd.Check{qualify}
		}, func(w *world) {
			w.talk(loggedIn + `
				C: MAIL FROM:<FBI>
				S* 250
				C: RSET
				S* 250
				C: MAIL FROM:<other>
				S: 501 5.1.7 <other>: sender address has no domain
				C: MAIL FROM:<>
				S* 250
			`)
		})
	})
	t.Run("only for users", func(t *testing.T) {
		inWorld(t, func(s *smtpd.Server) { s.UnqualifiedSenders, s.Checks = true, []smtpd.Check{qualify} }, func(w *world) {
			w.talk(hello + "C: MAIL FROM:<FBI>\nS: 501 5.1.7 *\n")
		})
	})
}
