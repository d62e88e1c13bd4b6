package smtpd_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

// withTLS is a server with a certificate and users.
func withTLS(ca *mailtest.CA) func(*smtpd.Server) {
	return func(s *smtpd.Server) { s.TLSConfig, s.Auth = ca.ServerConfig("mail.example.com"), users{} }
}

// startTLS makes the client's connection a TLS one.
func (c client) startTLS(config *tls.Config) {
	c.T.Helper()
	conn := tls.Client(c.Conn, config)
	require.NoError(c.T, conn.Handshake())
	c.Conn, c.Reader = conn, bufio.NewReader(conn)
}

func TestSTARTTLS(t *testing.T) {
	ca := mailtest.NewCA()
	inWorld(t, withTLS(ca), func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(`
			S* 220
			C: STARTTLS
			S: 503 5.5.1 EHLO first
			C: EHLO client.example.net
			S: 250-mail.example.com
			S: 250-PIPELINING
			S: 250-SIZE *
			S: 250-8BITMIME
			S: 250-CHUNKING
			S: 250-ENHANCEDSTATUSCODES
			S: 250-SMTPUTF8
			S: 250-LIMITS MAILMAX=1000 RCPTMAX=100
			S: 250-STARTTLS
			S: 250 HELP
			C: STARTTLS now
			S: 501 5.5.4 *
			C: MAIL FROM:<ann@example.com>
			S* 250
			C: STARTTLS
			S: 503 5.5.1 Not within a mail transaction
			C: RSET
			S* 250
			C: STARTTLS
			S: 220 2.0.0 Ready to start TLS
		`)
		c.startTLS(ca.ClientConfig("mail.example.com"))
		c.Talk(`
			C: MAIL FROM:<ann@example.com>
			S: 503 5.5.1 EHLO first
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
			C: STARTTLS
			S: 503 5.5.1 TLS is on already
			C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=
			S* 235
			C: MAIL FROM:<ann@example.com> SMTPUTF8
			S* 250
			C: RCPT TO:<bob@example.com>
			S* 250
			C: DATA
			S* 354
			C: .
			S* 250
			C: QUIT
			S* 221
			S$
		`)
		env := w.messages()[0].Envelope
		require.Equal(w.t, "UTF8SMTPSA", env.Peer.Protocol)
		require.EqualValues(w.t, tls.VersionTLS13, env.Peer.TLS.Version)
		require.Regexp(w.t, `\r\n\ttls TLS_[A-Z0-9_]+ \(TLS1\.3\);`, string(w.messages()[0].Raw))
	})
}

func TestFailedHandshakesEndTheConnection(t *testing.T) {
	ca := mailtest.NewCA()
	var seen notes
	inWorld(t, func(s *smtpd.Server) {
		withTLS(ca)(s)
		s.Trace.TLS = func(_ *smtpd.Session, err error) { seen.add("%v", err != nil) }
	}, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(hello + "C: STARTTLS\nS* 220\nR: \"EHLO in.clear\\r\\nMAIL FROM:<a@example.net>\\r\\n\"\nW: 1s\n")
		rest := make([]byte, 100)
		n, _ := c.Conn.Read(rest)
		require.NotContains(w.t, string(rest[:n]), "250", "nothing in clear is served after STARTTLS")
		_, err := c.Conn.Read(rest)
		require.Error(w.t, err)

		c = w.dial("203.0.113.9")
		c.Talk(hello + "C: STARTTLS\nS* 220\nW: 30s\nS$\n")
		synctest.Wait()
		require.Equal(w.t, []string{"true", "true"}, seen.all())
	})
}

func TestImplicitTLS(t *testing.T) {
	ca := mailtest.NewCA()
	inWorld(t, withTLS(ca), func(w *world) {
		l, err := w.net.Listen("tcp", "192.0.2.1:465")
		require.NoError(w.t, err)
		ended := make(chan error, 1)
		go func() { ended <- w.srv.ServeTLS(l) }()
		w.addr = "192.0.2.1:465"
		c := w.dial("203.0.113.9")
		c.startTLS(ca.ClientConfig("mail.example.com"))
		c.Talk(toData + "C: .\nS* 250\nC: STARTTLS\nS: 503 5.5.1 TLS is on already\nC: QUIT\nS* 221\nS$\n")
		require.Equal(w.t, "ESMTPS", w.messages()[0].Envelope.Peer.Protocol)

		silent := w.dial("203.0.113.9")
		time.Sleep(31 * time.Second)
		silent.Talk("S$\n")
		require.NoError(w.t, w.srv.Close())
		require.ErrorIs(w.t, <-ended, smtpd.ErrServerClosed)
	})
}

func TestServeTLSNeedsAConfig(t *testing.T) {
	t.Parallel()
	network := mailtest.NewNetwork()
	l, err := network.Listen("tcp", "192.0.2.1:465")
	require.NoError(t, err)
	require.ErrorContains(t, new(smtpd.Server).ServeTLS(l), "TLSConfig")
	_, err = network.Dialer("").Dial("tcp", "192.0.2.1:465")
	require.Error(t, err, "the listener is closed")
}

// The peer's leaving is noticed over TLS, too, and what it has pipelined is not lost by looking for it.
func TestHandlerOverTLSWithPipelinedInput(t *testing.T) {
	ca := mailtest.NewCA()
	inWorld(t, func(s *smtpd.Server) {
		withTLS(ca)(s)
		s.Handler = mailbricks.HandlerFunc(func(ctx context.Context, _ *mailbricks.Envelope, _ *mailbricks.Message) error {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(time.Minute):
				return nil
			}
		})
	}, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(hello + "C: STARTTLS\nS* 220\n")
		c.startTLS(ca.ClientConfig("mail.example.com"))
		c.Talk("C: EHLO client.example.net\nS* 250\n" + mailTo[len(hello):] + `
			C: DATA
			S* 354
			C: .
			W: 10s
			C: NOOP
			C: MAIL FROM:<x@example.net>
			W: 10s
			C: QUIT
			S: 250 2.0.0 Ok: queued as *
			S: 250 2.0.0 Ok
			S: 250 2.1.0 *
			S: 221 *
			S$
		`)
	})
}

// slowConn sends its next write in two halves, with a pause between.
type slowConn struct {
	net.Conn
	pause time.Duration
}

func (c *slowConn) Write(p []byte) (int, error) {
	if c.pause == 0 {
		return c.Conn.Write(p)
	}
	n, err := c.Conn.Write(p[:len(p)/2])
	if err != nil {
		return n, err
	}
	time.Sleep(c.pause)
	c.pause = 0
	m, err := c.Conn.Write(p[n:])
	return n + m, err
}

// Looking for the peer's leaving may stop in the middle of a TLS record.
func TestHalfARecordWhileAHandlerRuns(t *testing.T) {
	ca := mailtest.NewCA()
	inWorld(t, func(s *smtpd.Server) {
		withTLS(ca)(s)
		s.Handler = mailbricks.HandlerFunc(func(ctx context.Context, _ *mailbricks.Envelope, _ *mailbricks.Message) error {
			time.Sleep(5 * time.Second)
			return ctx.Err()
		})
	}, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(hello + "C: STARTTLS\nS* 220\n")
		slow := &slowConn{Conn: c.Conn}
		c.Conn = slow
		c.startTLS(ca.ClientConfig("mail.example.com"))
		c.Talk("C: EHLO client.example.net\nS* 250\n" + toData[len(hello):] + "C: .\nW: 1s\n")
		slow.pause = 10 * time.Second
		c.Talk("C: NOOP\nS: 250 2.0.0 Ok: queued *\nS: 250 2.0.0 Ok\nC: QUIT\nS* 221\nS$\n")
	})
}
