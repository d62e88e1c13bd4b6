package smtpd_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/smtpd"
)

func TestCommandTimeout(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.talk(`
			S* 220
			W: 4m59s
			C: EHLO client.example.net
			S* 250
			R: "NO"
			W: 4m59s
			R: "OP\r\n"
			S* 250
			R: "NO"
			W: 5m
			S: 421 4.4.2 mail.example.com waited too long, closing
			S$
		`)
	})
}

// An octet now and then does not keep a session alive.
func TestSlowCommand(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		began := time.Now()
		c := w.dial("203.0.113.9")
		c.Talk("S* 220\n")
		for {
			time.Sleep(time.Minute)
			if _, err := c.Conn.Write([]byte("X")); err != nil {
				break
			}
		}
		c.Talk("S: 421 4.4.2 *\nS$\n")
		require.Less(w.t, time.Since(began), 7*time.Minute)
	})
}

func TestSessionTimeout(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.SessionTimeout = 10 * time.Minute }, func(w *world) {
		w.talk(hello + `
			W: 4m
			C: NOOP
			S* 250
			W: 4m
			C: NOOP
			S* 250
			W: 2m
			S: 421 4.4.2 *
			S$
		`)
	})
}

// A client that sends and never reads does not hold a goroutine for ever.
func TestWriteTimeout(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxIdleCommands, s.WriteTimeout = -1, 30*time.Second }, func(w *world) {
		began := time.Now()
		ended := make(chan time.Duration, 1)
		c := w.dial("203.0.113.9")
		commands := []byte(strings.Repeat("HELP\r\n", 1000))
		for {
			if _, err := c.Conn.Write(commands); err != nil {
				ended <- time.Since(began)
				break
			}
		}
		require.Less(w.t, <-ended, time.Minute)
	})
}

func TestCommandLineLimits(t *testing.T) {
	pad := func(n int) string { return strings.Repeat("x", n) }
	inWorld(t, func(s *smtpd.Server) { s.Auth, s.AllowInsecureAuth = users{}, true }, func(w *world) {
		w.talk(hello +
			"C: NOOP " + pad(505) + "\nS* 250\n" + // 512 with its CRLF
			"C: NOOP " + pad(506) + "\nS: 500 5.5.2 Line too long\n" +
			"C: MAIL FROM:<a@example.net> X=" + pad(600) + "\nS* 555\n" +
			"C: MAIL FROM:<a@example.net> X=" + pad(2100) + "\nS: 500 5.5.2 Line too long\n" +
			"C: AUTH PLAIN " + strings.Repeat("AAAA", 3000) + "\nS: 501 5.5.2 Malformed*\n" +
			"C: NOOP\nS* 250\n" +
			"C: NOOP " + pad(12300) + "\nS: 500 5.5.2 Line too long\nS$\n")
	})
}

func TestMaxErrors(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxErrors = 3 }, func(w *world) {
		w.talk(hello + `
			C: WHAT
			S* 500
			C: DATA
			S* 503
			C: NOOP
			S* 250
			C: MAIL FROM:<x>
			S: 421 4.7.0 Too many errors, closing
			S$
		`)
	})
}

func TestMaxIdleCommands(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxIdleCommands = 3 }, func(w *world) {
		w.talk(hello + "C: NOOP\nC: RSET\nC: VRFY x\nS* 250\nS* 250\nS: 421 4.7.0 Too many commands without a message, closing\nS$\n")
		w.talk(toData + "C: .\nS* 250\nC: NOOP\nC: NOOP\nC: RSET\nC: NOOP\nS* 250\nS* 250\nS* 250\nS* 421\nS$\n")
	})
}

func TestMaxTransactions(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxTransactions = 1 }, func(w *world) {
		w.talk(toData + "C: .\nS* 250\nC: MAIL FROM:<a@example.net>\nS: 421 4.7.0 Too many messages in one session, closing\nS$\n")
	})
}

func TestMaxRecipients(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxRecipients = 2 }, func(w *world) {
		w.talk(mailTo + `
			C: RCPT TO:<b2@example.com>
			S* 250
			C: RCPT TO:<b3@example.com>
			S: 452 4.5.3 Too many recipients, please send another message for the rest
			C: DATA
			S* 354
			C: .
			S* 250
		`)
		require.Len(w.t, w.messages()[0].Envelope.Recipients, 2)
	})
}

func TestMaxBadRecipients(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxBadRecipients, s.Checks = 3, []smtpd.Check{nobody} }, func(w *world) {
		w.talk(hello + `
			C: MAIL FROM:<a@example.net>
			S* 250
			C: RCPT TO:<a@example.com>
			C: RCPT TO:<b@example.com>
			C: RCPT TO:<c@example.com>
			C: RCPT TO:<d@example.com>
			S* 550
			S* 550
			S: 421 4.7.0 Too many refused recipients, closing
			S$
		`)
	})
}

func TestMaxAuthFailures(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.Auth, s.AllowInsecureAuth = users{}, true }, func(w *world) {
		w.talk(hello + `
			C: AUTH PLAIN AGEAYg==
			S: 535 5.7.8 Authentication failed
			C: AUTH PLAIN ?
			S: 501 5.5.2 Response is not base64
			C: AUTH PLAIN
			S: 334 *
			C: *
			S: 501 5.7.0 Authentication cancelled
			C: AUTH PLAIN AGEAYg==
			S: 535 5.7.8 Authentication failed
			C: AUTH PLAIN AGEAYg==
			S: 421 4.7.0 Too many failed log-ins, closing
			S$
		`)
	})
}

func TestMaxConnections(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxConnections = 2 }, func(w *world) {
		first, second := w.dial("203.0.113.1"), w.dial("203.0.113.2")
		first.Talk("S* 220\n")
		second.Talk("S* 220\n")
		w.dial("203.0.113.3").Talk("S: 421 4.3.2 Too many connections, please try again later\nS$\n")
		first.Talk("C: QUIT\nS* 221\nS$\n")
		time.Sleep(time.Second)
		w.dial("203.0.113.3").Talk("S* 220\n")
	})
}

func TestMaxConnectionsPerIP(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxConnectionsPerIP, s.Auth, s.AllowInsecureAuth = 1, users{}, true }, func(w *world) {
		const full = "S: 421 4.7.0 Too many connections from your address\nS$\n"
		first := w.dial("203.0.113.1")
		first.Talk(hello)
		w.dial("203.0.113.1").Talk(full)
		w.dial("203.0.113.2").Talk("S* 220\n")

		first.Talk("C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\nS* 235\n") // who has logged in is not counted
		second := w.dial("203.0.113.1")
		second.Talk("S* 220\n")
		first.Talk("C: QUIT\nS* 221\nS$\n")
		w.dial("203.0.113.1").Talk(full)
		second.Talk("C: QUIT\nS* 221\nS$\n")
		time.Sleep(time.Second)
		w.dial("203.0.113.1").Talk("S* 220\n")
	})
}

func TestIPv6CountsByNetwork(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxConnectionsPerIP = 1 }, func(w *world) {
		l, err := w.net.Listen("tcp", "[2001:db8::25]:25")
		require.NoError(w.t, err)
		go func() { w.done <- w.srv.Serve(l) }()
		w.addr = "[2001:db8::25]:25"
		w.dial("2001:db8:1:1::1").Talk("S* 220\n")
		w.dial("2001:db8:1:1::2").Talk("S* 421\nS$\n")
		w.dial("2001:db8:1:2::1").Talk("S* 220\n")
		defer func() { require.ErrorIs(w.t, <-w.done, smtpd.ErrServerClosed) }()
		require.NoError(w.t, w.srv.Close())
	})
}

func TestNegativeLimitsAreNone(t *testing.T) {
	setUp := func(s *smtpd.Server) {
		s.MaxMessageSize, s.MaxRecipients, s.MaxHops, s.MaxLineLength, s.MaxErrors, s.MaxIdleCommands = -1, -1, -1, -1, -1, -1
		s.MaxTransactions, s.MaxConnections, s.MaxConnectionsPerIP, s.MaxBadRecipients, s.MaxAuthFailures = -1, -1, -1, -1, -1
	}
	inWorld(t, setUp, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk("S* 220\n")
		for range 150 {
			c.Talk("C: WHAT\nS* 500\nC: NOOP\nS* 250\n")
		}
		c.Talk("C: EHLO a.example\nS: 250-*\nS: 250-*\nS: 250-SIZE 0\nS* 250\nC: MAIL FROM:<a@example.net> SIZE=99999999999999999999\nS* 250\n")
		for i := range 150 {
			c.Talk(fmt.Sprintf("C: RCPT TO:<a%d@example.com>\nS* 250\n", i))
		}
		c.Talk("C: DATA\nS* 354\n" + strings.Repeat("C: Received: x\n", 100) + "C: X: " + strings.Repeat("y", 70000) + "\nC:\nC: .\nS* 250\n")
	})
}
