package smtpd_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

// counting counts the sessions that have begun and ended, as checks and Trace see them.
func counting(s *smtpd.Server, seen *notes) {
	s.Checks = append(s.Checks, smtpd.Check{
		Connect:    func(context.Context, *smtpd.Session) error { seen.add("connect"); return nil },
		Disconnect: func(context.Context, *smtpd.Session) { seen.add("disconnect") },
	})
}

// faulty is an Authenticator and a Handler whose functions may panic.
type faulty struct {
	users
	mechanisms, extensions, raise bool
}

func (f faulty) Mechanisms(peer mailbricks.Peer) []string {
	if f.mechanisms {
		panic("mechanisms")
	}
	return f.users.Mechanisms(peer)
}

func (f faulty) Handle(context.Context, *mailbricks.Envelope, *mailbricks.Message) error { return nil }

func (f faulty) SMTPExtensions() smtpd.Extensions {
	if f.extensions {
		panic("extensions")
	}
	return smtpd.Extensions{Priority: true, MayRaise: func(mailbricks.Peer) bool {
		if f.raise {
			panic("raise")
		}
		return true
	}}
}

// A panic where the engine cannot go on ends the session, with a reply for now, a record and a word to those who were told of
// its begin.
func TestPanicWithinASession(t *testing.T) {
	const sorry = "S: 421 4.3.0 Temporary local problem, closing\nS$\n"
	for name, test := range map[string]struct {
		faulty faulty
		trust  func(mailbricks.Peer) bool
		script string
		told   []string
	}{
		"Mechanisms": {faulty{mechanisms: true}, nil, "S* 220\nC: EHLO x.example\n" + sorry, []string{"connect", "disconnect"}},
		"TrustXCLIENT": {faulty{}, func(mailbricks.Peer) bool { panic("trust") }, "S* 220\nC: EHLO x.example\n" + sorry,
			[]string{"connect", "disconnect"}},
		"MayRaise": {faulty{raise: true}, nil, hello + "C: MAIL FROM:<a@example.net> MT-PRIORITY=3\n" + sorry,
			[]string{"connect", "disconnect"}},
		"SMTPExtensions": {faulty{extensions: true}, nil, sorry, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var told notes
			var seen records
			inWorld(t, func(s *smtpd.Server) {
				s.Auth, s.AllowInsecureAuth, s.Handler, s.TrustXCLIENT = test.faulty, true, test.faulty, test.trust
				s.MaxConnectionsPerIP = 1
				seen.of(s)
				counting(s, &told)
				s.Trace.Disconnected = func(_ *smtpd.Session, err error) { require.ErrorContains(t, err, "panic") }
			}, func(w *world) {
				for range 2 { // nothing is counted for the first
					w.talk(test.script)
					time.Sleep(time.Second) // for which the server lingers
					synctest.Wait()
					require.Equal(w.t, test.told, told.all())
					require.Len(w.t, seen.refusals(), 1)
					require.Equal(w.t, smtpd.ClosePeer, seen.refusals()[0].Action)
					require.ErrorContains(w.t, seen.refusals()[0].Err, "panic")
					require.Len(w.t, seen.lines(`"smtpd: session: panic"`, "stack="), 1)
					told.lines, seen.told = nil, nil
					seen.log.Reset()
				}
			})
		})
	}
}

// A panic in a function of TLSConfig is a handshake that fails.
func TestPanicWithinAHandshake(t *testing.T) {
	var told notes
	inWorld(t, func(s *smtpd.Server) {
		s.TLSConfig = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { panic("certificate") }}
		counting(s, &told)
		s.Trace.TLS = func(_ *smtpd.Session, err error) { told.add("%v", err) }
	}, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(hello + "C: STARTTLS\nS* 220\n")
		require.Error(w.t, tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true}).Handshake())
		time.Sleep(time.Second) // for which the server lingers
		require.Equal(w.t, []string{"connect", "smtpd: handshake: panic: certificate", "disconnect"}, told.all())
	})
}

// A session that has not begun does not end.
func TestNoDisconnectWithoutConnect(t *testing.T) {
	t.Run("handshake fails", func(t *testing.T) {
		var seen notes
		inWorld(t, func(s *smtpd.Server) {
			withTLS(mailtest.NewCA())(s)
			counting(s, &seen)
			s.Trace.Connected = func(*smtpd.Session, error) { seen.add("connected") }
			s.Trace.TLS = func(_ *smtpd.Session, err error) { seen.add("handshake %v", err != nil) }
			s.Trace.Disconnected = func(*smtpd.Session, error) { seen.add("disconnected") }
		}, func(w *world) {
			l, err := w.net.Listen("tcp", "192.0.2.1:465")
			require.NoError(w.t, err)
			go func() { w.done <- w.srv.ServeTLS(l) }()
			w.addr = "192.0.2.1:465"
			w.talk("C: EHLO x.example\n")
			synctest.Wait()
			require.Equal(w.t, []string{"handshake true"}, seen.all())
			require.NoError(w.t, w.srv.Close())
			require.ErrorIs(w.t, <-w.done, smtpd.ErrServerClosed)
		})
	})
	t.Run("no place", func(t *testing.T) {
		var seen notes
		inWorld(t, func(s *smtpd.Server) { s.MaxConnectionsPerIP = 1; counting(s, &seen) },
			func(w *world) {
				w.dial("203.0.113.9").Talk("S* 220\n")
				w.talk("S* 421\nS$\n")
				synctest.Wait()
				require.Equal(w.t, []string{"connect"}, seen.all())
			})
	})
	t.Run("no place for a proxy's client", func(t *testing.T) {
		var seen notes
		inWorld(t, func(s *smtpd.Server) {
			s.TrustXCLIENT = smtpd.PeerIn(netip.MustParsePrefix("198.51.100.0/24"))
			s.MaxConnectionsPerIP = 1
			counting(s, &seen)
		}, func(w *world) {
			w.dial("203.0.113.9").Talk("S* 220\n")
			w.dial("198.51.100.1").Talk("S* 220\nC: XCLIENT ADDR=203.0.113.9\nS* 421\nS$\n")
			time.Sleep(time.Second) // for which the server lingers
			require.Equal(w.t, []string{"connect", "connect", "disconnect"}, seen.all())
		})
	})
}

// Whoever is told of the end has a context that ends, and the values of the session.
func TestDisconnectHasATimeLimit(t *testing.T) {
	type key struct{}
	hangs := func(ended *notes) smtpd.Check {
		return smtpd.Check{
			Connect: func(_ context.Context, s *smtpd.Session) error { s.Set(key{}, "value"); return nil },
			Disconnect: func(ctx context.Context, s *smtpd.Session) {
				session, ok := smtpd.SessionFrom(ctx)
				<-ctx.Done()
				ended.add("%v %v %v", ctx.Value(key{}), ok && session == s, context.Cause(ctx))
			},
		}
	}
	t.Run("time", func(t *testing.T) {
		var ended notes
		inWorld(t, func(s *smtpd.Server) {
			s.CheckTimeout = time.Minute
			s.Checks = []smtpd.Check{hangs(&ended), hangs(&ended)}
		}, func(w *world) {
			w.talk(hello + "C: QUIT\nS* 221\n")
			began := time.Now()
			require.NoError(w.t, w.srv.Shutdown(context.Background()))
			require.InDelta(w.t, time.Minute, time.Since(began), float64(time.Second))
			want := fmt.Sprint("value true ", context.DeadlineExceeded)
			require.Equal(w.t, []string{want, want}, ended.all())
		})
	})
	t.Run("close", func(t *testing.T) {
		var ended notes
		inWorld(t, func(s *smtpd.Server) { s.Checks = []smtpd.Check{hangs(&ended)} }, func(w *world) {
			w.talk(hello + "C: QUIT\nS* 221\n")
			synctest.Wait()
			require.NoError(w.t, w.srv.Close())
			synctest.Wait()
			require.Equal(w.t, []string{"value true " + smtpd.ErrServerClosed.Error()}, ended.all())
		})
	})
}
