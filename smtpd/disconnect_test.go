package smtpd_test

import (
	"context"
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

// Who is told of a session's begin is told of its end, though a function of the Trace panics.
func TestDisconnectDespiteAPanic(t *testing.T) {
	for name, test := range map[string]struct {
		trace  smtpd.Trace
		script string
	}{
		"Connected": {smtpd.Trace{Connected: func(*smtpd.Session, error) { panic("trace") }}, "S$\n"},
		"Hello":     {smtpd.Trace{Hello: func(*smtpd.Session, error) { panic("trace") }}, "S* 220\nC: EHLO x.example\nS$\n"},
		"Outcome":   {smtpd.Trace{Outcome: func(smtpd.Outcome) { panic("trace") }}, "S* 220\nC: FOO\nS$\n"},
		"Message": {smtpd.Trace{Message: func(*smtpd.Transaction, int64, time.Duration, error) { panic("trace") }},
			toData + "C: .\nS$\n"},
		"Command within chunks": {smtpd.Trace{Command: func(_ *smtpd.Session, verb string, _ int) {
			if verb == "BDAT" {
				panic("trace")
			}
		}}, mailTo + "R: \"BDAT 1\\r\\nx\"\nS$\n"},
		"Disconnected, for a proxy's session": {smtpd.Trace{Disconnected: func(*smtpd.Session, error) { panic("trace") }},
			"S* 220\nC: XCLIENT ADDR=203.0.113.1\nS$\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var seen notes
			var ended error
			dir := t.TempDir()
			inWorld(t, func(s *smtpd.Server) {
				s.Spool = &mailbricks.Spool{Dir: dir, Threshold: 1}
				s.TrustXCLIENT = func(mailbricks.Peer) bool { return true }
				counting(s, &seen)
				s.Trace = test.trace
				if s.Trace.Disconnected == nil {
					s.Trace.Disconnected = func(_ *smtpd.Session, err error) { ended = err }
				}
			}, func(w *world) {
				w.talk(test.script)
				synctest.Wait()
				require.Equal(w.t, []string{"connect", "disconnect"}, seen.all())
				if test.trace.Disconnected == nil {
					require.ErrorContains(w.t, ended, "panic")
				}
			})
		})
	}
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
