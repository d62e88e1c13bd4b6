package earlytalker_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/dialogue"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/earlytalker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	client = "203.0.113.9"
	server = "192.0.2.1:25"
)

// world is a server on a network in memory.
type world struct {
	t     *testing.T
	net   *mailtest.Network
	ca    *mailtest.CA
	srv   *smtpd.Server
	inbox *mailtest.Inbox
}

// inWorld runs f with a server that has the check and others behind it.
func inWorld(t *testing.T, o earlytalker.Options, f func(w *world), others ...smtpd.Check) {
	t.Helper()
	inServer(t, func(srv *smtpd.Server) {
		srv.Checks = append([]smtpd.Check{earlytalker.Check(o)}, others...)
	}, f)
}

// inServer runs f with a server. One with TLSConfig has TLS from the start.
func inServer(t *testing.T, setUp func(srv *smtpd.Server), f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: mailtest.NewNetwork(), ca: mailtest.NewCA(), inbox: new(mailtest.Inbox)}
		w.srv = &smtpd.Server{Hostname: "mx.example.com", Handler: w.inbox}
		setUp(w.srv)
		l, err := w.net.Listen("tcp", server)
		require.NoError(t, err)
		serve := w.srv.Serve
		if w.srv.TLSConfig != nil {
			w.srv.TLSConfig, serve = w.ca.ServerConfig("mx.example.com"), w.srv.ServeTLS
		}
		done := make(chan error, 1)
		go func() { done <- serve(l) }()
		defer func() { <-done }()
		defer w.srv.Close()
		f(w)
	})
}

func (w *world) dial(from string) net.Conn {
	w.t.Helper()
	conn, err := w.net.Dialer(from).Dial("tcp", server)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { conn.Close() })
	return conn
}

// talk runs a dialogue over a new connection and gives the time that it took.
func (w *world) talk(from, script string) time.Duration {
	w.t.Helper()
	return w.say(w.dial(from), script)
}

func (w *world) say(conn net.Conn, script string) time.Duration {
	w.t.Helper()
	began := time.Now()
	c := dialogue.New(w.t, conn)
	c.Verbs = map[string]func(string){"S*": func(code string) {
		w.t.Helper()
		for {
			line, err := c.Line()
			require.NoError(w.t, err)
			require.Equal(w.t, code, line[:3], line)
			if line[3] == ' ' {
				return
			}
		}
	}}
	c.Talk(script)
	return time.Since(began)
}

const (
	hello = "S: 220 mx.example.com ESMTP\nC: EHLO client.example.net\nS* 250\n"
	mail  = "C: MAIL FROM:<ann@example.net>\nC: RCPT TO:<bob@example.com>\nS* 250\nS* 250\n"
	data  = "C: DATA\nS* 354\nC: Subject: x\nC:\nC: .\nS* 250\n"
	quit  = "C: QUIT\nS* 221\nS$"
)

func TestPatientClientWaitsOnce(t *testing.T) {
	t.Parallel()
	inWorld(t, earlytalker.Options{}, func(w *world) {
		require.Equal(t, earlytalker.DefaultDelay, w.talk(client, hello+mail+data+quit))
		require.Zero(t, w.talk(client, hello+mail+data+quit), "known by now")
		require.Equal(t, earlytalker.DefaultDelay, w.talk("203.0.113.10", hello+quit), "another client")
		time.Sleep(earlytalker.DefaultTTL)
		require.Equal(t, earlytalker.DefaultDelay, w.talk(client, hello+quit), "long ago")
		require.Len(t, w.inbox.Messages(), 2)
	})
}

func TestEarlyTalker(t *testing.T) {
	t.Parallel()
	const (
		reply    = " 5.5.1 Protocol error: you talk before the greeting\n"
		greeted  = "S* 220\nS* 250\n"
		refusals = "C: MAIL FROM:<a@example.net>\nC: RCPT TO:<b@example.com>\nC: RCPT TO:<c@example.com>\n" +
			"S* 250\nS: 550 5.5.1 Protocol error: *\nS: 550 5.5.1 *\n"
	)
	for name, c := range map[string]struct {
		action earlytalker.Action
		after  time.Duration // when the talk begins
		talk   string
		then   string
	}{
		"at once":              {earlytalker.Refuse, 0, "C: EHLO x.example\n", "S: 554" + reply + "S: 503 *\n" + quit},
		"one octet":            {earlytalker.Refuse, 0, "R: \"E\"\n", "S: 554" + reply},
		"a little later":       {earlytalker.Refuse, 2 * time.Second, "C: EHLO x.example\n", "S: 554" + reply},
		"at the last moment":   {earlytalker.Refuse, 5999 * time.Millisecond, "C: EHLO x.example\n", "S: 554" + reply},
		"and nothing more":     {earlytalker.Refuse, 0, "C: EHLO x.example\nH:\n", "S: 554" + reply + "S: 503 *\nS$"},
		"more than a buffer":   {earlytalker.Refuse, 0, "R: \"" + strings.Repeat("x", 100<<10) + "\"\n", "S: 554" + reply},
		"closed":               {earlytalker.Close, time.Second, "C: EHLO x.example\n", "S: 521" + reply + "S$"},
		"refused at RCPT":      {earlytalker.RefuseRecipients, time.Second, "C: EHLO x.example\n", greeted + refusals + quit},
		"quarantined":          {earlytalker.Quarantine, time.Second, "C: EHLO x.example\n", greeted + mail + data + quit},
		"marked":               {earlytalker.Mark, time.Second, "C: EHLO x.example\n", greeted + mail + data + quit},
		"not even looked at":   {earlytalker.Ignore, 0, "C: EHLO x.example\n", greeted + mail + data + quit},
		"waits, but no longer": {earlytalker.Refuse, 6001 * time.Millisecond, "C: EHLO x.example\n", greeted + quit},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			offences := make(chan earlytalker.Offence, 1)
			see := smtpd.Check{Disconnect: func(_ context.Context, s *smtpd.Session) { offences <- earlytalker.Of(s) }}
			inWorld(t, earlytalker.Options{Early: c.action}, func(w *world) {
				conn := w.dial(client)
				time.Sleep(c.after)
				require.Zero(t, w.say(conn, c.talk+c.then), "it is found out at once")
				conn.Close()
				offence := <-offences
				if c.action == earlytalker.Ignore || c.after > earlytalker.DefaultDelay {
					require.Empty(t, offence)
				} else {
					require.Equal(t, earlytalker.BeforeGreeting, offence)
				}
				quarantined := ""
				for _, m := range w.inbox.Messages() {
					quarantined += m.Envelope.Quarantine
				}
				if c.action == earlytalker.Quarantine {
					require.Equal(t, "earlytalker: talked before the greeting", quarantined)
				} else {
					require.Empty(t, quarantined)
				}
				if c.action == earlytalker.Refuse && offence != "" {
					again := w.dial(client)
					require.Equal(t, earlytalker.DefaultDelay, w.say(again, hello+quit), "who has talked early is not known for patience")
				}
			}, see)
		})
	}
}

func TestDelayIsAnOption(t *testing.T) {
	t.Parallel()
	inWorld(t, earlytalker.Options{Delay: time.Second, StressedDelay: time.Minute}, func(w *world) {
		require.Equal(t, time.Second, w.talk(client, hello+quit))
	})
	inServer(t, func(srv *smtpd.Server) {
		srv.CheckTimeout = 30 * time.Second
		srv.Checks = []smtpd.Check{earlytalker.Check(earlytalker.Options{Delay: time.Hour})}
	}, func(w *world) {
		require.Equal(t, 30*time.Second, w.talk(client, hello+quit), "no longer than a check may take, and no refusal for it")
	})
}

func TestStressShortensTheDelay(t *testing.T) {
	t.Parallel()
	for given, want := range map[time.Duration]time.Duration{
		0: earlytalker.DefaultStressedDelay, time.Millisecond: time.Millisecond, time.Minute: earlytalker.DefaultDelay,
	} {
		inServer(t, func(srv *smtpd.Server) {
			srv.MaxConnections, srv.StressThreshold, srv.CalmThreshold = 10, 0.2, 0.1
			srv.Checks = []smtpd.Check{earlytalker.Check(earlytalker.Options{StressedDelay: given})}
		}, func(w *world) {
			first := w.dial("203.0.113.1")
			synctest.Wait()
			require.Zero(t, w.talk("203.0.113.4", "C: EHLO x.example\nS: 521 *\nS$"), "nobody's place is kept who is refused")
			require.Equal(t, want, w.talk("203.0.113.2", hello+quit))
			require.Equal(t, earlytalker.DefaultDelay-want, w.say(first, hello+quit), "it came before the stress")
			time.Sleep(time.Minute)
			require.Equal(t, earlytalker.DefaultDelay, w.talk("203.0.113.3", hello+quit), "stress is over")
		})
	}
}

// With TLS from the start the delay is behind the handshake, and only what is said over TLS is talk.
func TestImplicitTLS(t *testing.T) {
	t.Parallel()
	inServer(t, func(srv *smtpd.Server) {
		srv.TLSConfig = new(tls.Config)
		srv.Checks = []smtpd.Check{earlytalker.Check(earlytalker.Options{})}
	}, func(w *world) {
		dial := func(from string) *tls.Conn { return tls.Client(w.dial(from), w.ca.ClientConfig("mx.example.com")) }
		early := dial("203.0.113.1")
		require.NoError(t, early.Handshake())
		time.Sleep(time.Second)
		require.Zero(t, w.say(early, "C: EHLO x.example\nS: 554 5.5.1 *"))
		early.Close()
		patient := dial("203.0.113.2")
		require.Equal(t, earlytalker.DefaultDelay, w.say(patient, hello+mail+data+quit))
		patient.Close()
	})
}

func TestClientThatLeaves(t *testing.T) {
	t.Parallel()
	passed := new(earlytalker.Clients)
	gone := make(chan time.Time, 1)
	inWorld(t, earlytalker.Options{Passed: passed}, func(w *world) {
		conn, began := w.dial(client), time.Now()
		time.Sleep(3 * time.Second)
		conn.Close()
		require.Equal(t, 3*time.Second, (<-gone).Sub(began), "nobody is waited for who is gone")
		require.Zero(t, passed.Len())
	}, smtpd.Check{Disconnect: func(context.Context, *smtpd.Session) { gone <- time.Now() }})
}

func TestWhoIsLeftAlone(t *testing.T) {
	t.Parallel()
	skip := func(s *smtpd.Session) bool { return s.Peer.Addr.Addr() == netip.MustParseAddr(client) }
	inWorld(t, earlytalker.Options{Skip: skip}, func(w *world) {
		require.Zero(t, w.talk(client, `
			C: EHLO x.example
			C: MAIL FROM:<a@example.net>
			C: RCPT TO:<b@example.com>
			C: DATA
			C: x
			C: .
			S* 220
			S* 250
			S* 250
			S* 250
			S* 354
			S* 250
		`+quit))
		w.talk("203.0.113.8", "C: EHLO x.example\nS* 554")
	})

	check := earlytalker.Check(earlytalker.Options{})
	require.NoError(t, check.Connect(t.Context(), &smtpd.Session{}), "a client on a unix socket")
}

// A reconfigured server need not begin anew.
func TestPassedIsShared(t *testing.T) {
	t.Parallel()
	passed := new(earlytalker.Clients)
	for i := range 2 {
		inWorld(t, earlytalker.Options{Passed: passed}, func(w *world) {
			require.Equal(t, time.Duration(1-i)*earlytalker.DefaultDelay, w.talk(client, hello+quit))
		})
	}
}

func BenchmarkKnownClient(b *testing.B) {
	passed := new(earlytalker.Clients)
	for i := range 10_000 {
		passed.Add(netip.MustParseAddr(fmt.Sprintf("198.51.%d.%d", i/256, i%256)))
	}
	check := earlytalker.Check(earlytalker.Options{Passed: passed})
	s := &smtpd.Session{Peer: mailbricks.Peer{Addr: netip.MustParseAddrPort("198.51.1.1:1025")}}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if err := check.Connect(ctx, s); err != nil {
			b.Fatal(err)
		}
	}
}
