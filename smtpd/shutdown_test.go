package smtpd_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

func TestShutdownClosesIdleSessions(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		c, running := w.dial("203.0.113.9"), w.dial("203.0.113.9")
		c.Talk(hello)
		running.Talk(toData)
		ended := make(chan error, 1)
		began := time.Now()
		go func() { ended <- w.srv.Shutdown(context.Background()) }()
		c.Talk("S: 421 4.3.2 mail.example.com is shutting down\nS$\n")
		require.Zero(w.t, time.Since(began), "at once")
		_, err := w.net.Dialer("").Dial("tcp", w.addr)
		require.Error(w.t, err, "no new connections")
		running.Talk("W: 30s\nC: Subject: x\nC: .\nS: 250 *\nS: 421 4.3.2 *\nS$\n")
		require.NoError(w.t, <-ended)
		require.Len(w.t, w.messages(), 1)
		require.ErrorIs(w.t, w.srv.Serve(listener(w)), smtpd.ErrServerClosed)
		require.NoError(w.t, w.srv.Shutdown(context.Background()), "again")
	})
}

func listener(w *world) net.Listener {
	l, err := w.net.Listen("tcp", "192.0.2.1:2525")
	require.NoError(w.t, err)
	return l
}

func TestShutdownDoesNotWaitForALogIn(t *testing.T) {
	inWorld(t, withAuth(), func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(hello + "C: AUTH PLAIN\nS: 334 \n")
		require.NoError(w.t, w.srv.Shutdown(context.Background()))
		c.Talk("S: 421 4.3.2 *\nS$\n")
	})
}

func TestShutdownLetsATransactionEnd(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(mailTo)
		ended := make(chan error, 1)
		go func() { ended <- w.srv.Shutdown(context.Background()) }()
		c.Talk("W: 1s\nC: RCPT TO:<x@example.com>\nS* 250\nC: RSET\nC: MAIL FROM:<a@example.net>\nS* 250\nS: 421 4.3.2 *\nS$\n")
		require.NoError(w.t, <-ended)
	})
}

// An open transaction does not hold up a shutdown for longer than ShutdownGrace a command; a message that arrives does.
func TestShutdownGrace(t *testing.T) {
	for _, grace := range []time.Duration{0, 20 * time.Second} {
		t.Run(grace.String(), func(t *testing.T) {
			inWorld(t, func(s *smtpd.Server) { s.ShutdownGrace = grace }, func(w *world) {
				if grace == 0 {
					grace = smtpd.DefaultShutdownGrace
				}
				waiting, before, message, chunks := w.dial("203.0.113.1"), w.dial("203.0.113.2"), w.dial("203.0.113.3"),
					w.dial("203.0.113.4")
				waiting.Talk(mailTo)
				before.Talk(mailTo + "W: 1m\n")
				message.Talk(toData + "C: Subject: x\n")
				chunks.Talk(mailTo + "C: BDAT 0\nS* 250\nR: \"BDAT 100\\r\\nhalf\"\n")
				ended := make(chan error, 1)
				began := time.Now()
				go func() { ended <- w.srv.Shutdown(context.Background()) }()
				time.Sleep(grace - time.Second)
				waiting.Talk("C: RCPT TO:<c@example.com>\nS* 250\n")
				before.Talk("S: 421 4.3.2 mail.example.com is shutting down\nS$\n")
				require.Equal(w.t, grace, time.Since(began).Truncate(time.Second))
				waiting.Talk("S: 421 4.3.2 *\nS$\n")
				require.Equal(w.t, 2*grace-time.Second, time.Since(began).Truncate(time.Second))
				time.Sleep(time.Minute)
				message.Talk("C: .\nS* 250\nS: 421 4.3.2 *\nS$\n")
				chunks.Talk("C: " + strings.Repeat("x", 94) + "\nS* 250\nC: BDAT 0 LAST\nS* 250\nS: 421 4.3.2 *\nS$\n")
				require.NoError(w.t, <-ended)
				require.Len(w.t, w.messages(), 2)
			})
		})
	}
}

func TestShutdownWhoseTimeIsOverEndsHandlers(t *testing.T) {
	causes := make(chan error, 1)
	hang := mailbricks.HandlerFunc(func(ctx context.Context, _ *mailbricks.Envelope, _ *mailbricks.Message) error {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return ctx.Err()
	})
	inWorld(t, func(s *smtpd.Server) { s.Handler = hang }, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(toData + "C: .\nW: 1s\n")
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.ErrorIs(w.t, w.srv.Shutdown(ctx), context.DeadlineExceeded)
		require.ErrorIs(w.t, <-causes, smtpd.ErrServerClosed)
	})
}

func TestCloseEndsEverything(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(toData)
		require.NoError(w.t, w.srv.Close())
		c.Talk("S$\n")
		require.Empty(w.t, w.messages())
	})
}

func TestServersThatNeverServed(t *testing.T) {
	t.Parallel()
	var a, b smtpd.Server
	require.NoError(t, a.Close())
	require.NoError(t, b.Shutdown(context.Background()))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.ErrorIs(t, a.Serve(l), smtpd.ErrServerClosed)
	require.ErrorContains(t, (&smtpd.Server{Addr: "256.0.0.1:1"}).ListenAndServe(), "smtpd: ")
	require.ErrorContains(t, (&smtpd.Server{Addr: "256.0.0.1:1"}).ListenAndServeTLS(), "smtpd: ")
}

func TestListenAndServe(t *testing.T) {
	t.Parallel()
	for name, listen := range map[string]func(*smtpd.Server) error{
		"clear": (*smtpd.Server).ListenAndServe, "TLS": (*smtpd.Server).ListenAndServeTLS,
	} {
		srv := &smtpd.Server{Addr: "127.0.0.1:0", TLSConfig: mailtest.NewCA().ServerConfig("mail.example.com")}
		ended := make(chan error, 1)
		go func() { ended <- listen(srv) }()
		require.NoError(t, srv.Close(), name)
		require.ErrorIs(t, <-ended, smtpd.ErrServerClosed, name)
	}
}

func TestSettingsChangeWhileTheServerRuns(t *testing.T) {
	var current atomic.Pointer[smtpd.Server]
	inWorld(t, func(s *smtpd.Server) { s.PerConnection = current.Load }, func(w *world) {
		old := w.dial("203.0.113.9")
		old.Talk(hello)
		current.Store(&smtpd.Server{Hostname: "new.example.com", Handler: w.inbox, MaxMessageSize: 1000, MaxConnectionsPerIP: 2})
		c := w.dial("203.0.113.9")
		c.Talk("S: 220 new.example.com ESMTP\nC: EHLO client.example.net\nS* 250\nC: MAIL FROM:<a@example.net> SIZE=1001\nS* 552\n")
		w.dial("203.0.113.9").Talk("S* 421\nS$\n")
		old.Talk(toData[len(hello):] + "C: .\nS* 250\nC: QUIT\nS: 221 2.0.0 mail.example.com *\nS$\n")
		w.dial("203.0.113.9").Talk(strings.ReplaceAll(hello, "mail.", "new."))
		require.NoError(w.t, w.srv.Shutdown(context.Background()), "which knows all connections")
		c.Talk("S: 421 4.3.2 new.example.com is shutting down\nS$\n")
	})
}

// A panic in a function of the Trace is logged and changes nothing: above all the sender of a message that was taken is told so.
func TestPanicInATrace(t *testing.T) {
	var seen records
	inWorld(t, func(s *smtpd.Server) {
		withAuth()(s)
		s.TLSConfig = mailtest.NewCA().ServerConfig("mail.example.com")
		s.MaxConnections, s.StressThreshold = 1, 1
		seen.of(s)
		s.Trace = smtpd.Trace{
			Outcome:      func(smtpd.Outcome) { panic("trace") },
			Refused:      func(netip.AddrPort, *mailbricks.Reply) { panic("trace") },
			Connected:    func(*smtpd.Session, error) { panic("trace") },
			TLS:          func(*smtpd.Session, error) { panic("trace") },
			Hello:        func(*smtpd.Session, error) { panic("trace") },
			Auth:         func(*smtpd.Session, string, error) { panic("trace") },
			Mail:         func(*smtpd.Transaction, error) { panic("trace") },
			Rcpt:         func(*smtpd.Transaction, mailbricks.Recipient, error) { panic("trace") },
			Message:      func(*smtpd.Transaction, int64, time.Duration, error) { panic("trace") },
			Command:      func(*smtpd.Session, string, int) { panic("trace") },
			Stress:       func(bool) { panic("trace") },
			Disconnected: func(*smtpd.Session, error) { panic("trace") },
		}
	}, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(loggedIn + toData[len(hello):] + "C: .\nS* 250\nC: MAIL FROM:<a@example.net>\nS* 250\nC: RCPT TO:<b@example.com>\nS* 250\n" +
			"R: \"BDAT 1\\r\\nx\"\nS* 250\nR: \"BDAT 0 LAST\\r\\n\"\nS* 250\nC: FOO\nS* 500\n")
		w.talk("S* 421\nS$\n")
		c.Talk("C: QUIT\nS* 221\nS$\n")
		synctest.Wait()
		secure := w.dial("203.0.113.9")
		secure.Talk(hello + "C: STARTTLS\nS* 220\n")
		secure.startTLS(&tls.Config{InsecureSkipVerify: true})
		secure.Talk("C: EHLO client.example.net\nS* 250\nC: QUIT\nS* 221\n")
		synctest.Wait()
		require.Len(w.t, w.messages(), 2)
		for _, name := range []string{"Outcome", "Refused", "Connected", "TLS", "Hello", "Auth", "Mail", "Rcpt", "Message", "Command",
			"Stress", "Disconnected"} {
			require.NotEmpty(w.t, seen.lines(`"smtpd: Trace.`+name+`: panic"`), name)
		}
	})
}

// A panic of PerConnection ends the connection that it is for.
func TestPanicOfPerConnection(t *testing.T) {
	panics := true
	inWorld(t, func(s *smtpd.Server) {
		s.PerConnection = func() *smtpd.Server {
			if panics {
				panics = false
				panic("settings")
			}
			return nil
		}
	}, func(w *world) {
		w.talk("S$\n")
		w.talk(hello)
	})
}

func TestTrace(t *testing.T) {
	var seen notes
	text := func(err error) string {
		if err == nil {
			return "ok"
		}
		return err.Error()
	}
	setUp := func(s *smtpd.Server) {
		withAuth()(s)
		s.MaxConnections, s.StressThreshold = 1, -1
		s.Trace = smtpd.Trace{
			Refused:   func(_ netip.AddrPort, r *mailbricks.Reply) { seen.add("refused %d", r.Code) },
			Connected: func(_ *smtpd.Session, err error) { seen.add("connected %s", text(err)) },
			Hello:     func(s *smtpd.Session, err error) { seen.add("hello %s %s", s.Peer.Hello, text(err)) },
			Auth:      func(_ *smtpd.Session, m string, err error) { seen.add("auth %s %s", m, text(err)) },
			Mail:      func(tx *smtpd.Transaction, err error) { seen.add("mail %s %s", tx.Envelope.From, text(err)) },
			Rcpt: func(_ *smtpd.Transaction, r mailbricks.Recipient, err error) {
				seen.add("rcpt %s %s", r.Address, text(err))
			},
			Message: func(_ *smtpd.Transaction, n int64, d time.Duration, err error) {
				seen.add("message %d %v %s", n, d, text(err))
			},
			Command:      func(_ *smtpd.Session, verb string, code int) { seen.add("%s %d", verb, code) },
			Disconnected: func(_ *smtpd.Session, err error) { seen.add("disconnected %s", text(err)) },
		}
	}
	inWorld(t, setUp, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(hello)
		w.dial("203.0.113.9").Talk("S* 421\n")
		c.Talk("C: AUTH PLAIN AGEAYg==\nS* 535\nC: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\nS* 235\n" + toData[len(hello):] + "W: 2s\nC: x\nC: .\nS* 250\nC: QUIT\nS* 221\nS$\n")
		time.Sleep(time.Second)
		require.Equal(w.t, []string{
			"connected ok", "hello client.example.net ok", "EHLO 250", "refused 421",
			"auth PLAIN mailbricks: authentication failed", "AUTH 535", "auth PLAIN ok", "AUTH 235",
			"mail ann@example.net ok", "MAIL 250", "rcpt bob@example.com ok", "RCPT 250", "message 3 2s ok", "DATA 250",
			"QUIT 221", "disconnected ok",
		}, seen.all())
		c = w.dial("203.0.113.9")
		c.Conn.Close()
		time.Sleep(time.Second)
		require.Contains(w.t, seen.all()[len(seen.all())-1], "disconnected ")
		require.NotEqual(w.t, "disconnected ok", seen.all()[len(seen.all())-1])
	})
}

// Connections without an IP address (Unix sockets) are served, too.
func TestConnectionsWithoutAddress(t *testing.T) {
	t.Parallel()
	inbox := new(mailtest.Inbox)
	l, err := net.Listen("unix", t.TempDir()+"/smtp")
	if err != nil {
		t.Skip("no Unix sockets here: ", err)
	}
	srv := &smtpd.Server{Hostname: "mail.example.com", Handler: inbox, MaxConnectionsPerIP: 1}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	for range 2 {
		conn, err := net.Dial("unix", l.Addr().String())
		require.NoError(t, err)
		defer conn.Close()
		newClient(t, conn).Talk(toData + "C: .\nS* 250\n")
	}
	require.Contains(t, string(inbox.Messages()[0].Raw),
		"Received: from client.example.net\r\n\tby mail.example.com with ESMTP id ")
	require.NoError(t, srv.Close())
	require.ErrorIs(t, <-ended, smtpd.ErrServerClosed)
}
