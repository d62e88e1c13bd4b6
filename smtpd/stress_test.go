package smtpd_test

import (
	"context"
	"fmt"
	"log/slog"
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

// withRoom is a server for 10 connections, which are stress from the 8th on until there are 6.
func withRoom(s *smtpd.Server) {
	withAuth("PLAIN", "LOGIN")(s)
	s.MaxConnections, s.SessionTimeout, s.MaxErrors, s.MaxAuthFailures = 10, 24*time.Hour, 0, 0
}

// crowd is n connections that do nothing, each from an address of its own.
func (w *world) crowd(n int) (clients []client) {
	w.t.Helper()
	for i := range n {
		c := w.dial(fmt.Sprintf("198.51.100.%d", i+1))
		c.Talk("S* 220\n")
		clients = append(clients, c)
	}
	return clients
}

// leave closes connections and waits until the server knows.
func leave(clients ...client) {
	for _, c := range clients {
		c.Conn.Close()
	}
	synctest.Wait()
}

const (
	thrownOut = "S: 421 4.4.2 mail.example.com waited too long, closing\nS$\n"
	logIn     = "C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\nS* 235\n"
)

func TestStressBeginsAndEnds(t *testing.T) {
	var told notes
	var log strings.Builder
	setUp := func(s *smtpd.Server) {
		withRoom(s)
		s.Logger = slog.New(slog.NewTextHandler(&log, nil))
		s.Trace.Stress = func(on bool) { told.add("%v", on) }
		s.Checks = []smtpd.Check{{Hello: func(_ context.Context, s *smtpd.Session, _ string) error {
			told.add("stressed %v", s.Stressed())
			return nil
		}}}
	}
	inWorld(t, setUp, func(w *world) {
		for range 2 {
			all := w.crowd(7)
			all[0].Talk("C: EHLO a.example\nS* 250\n")
			require.Equal(w.t, []string{"stressed false"}, told.all())
			all = append(all, w.crowd(1)...)
			all[0].Talk("C: EHLO a.example\nS* 250\n")
			all = append(all, w.crowd(2)...)
			leave(all[7:]...) // seven are left
			all[0].Talk("C: EHLO a.example\nS* 250\n")
			leave(all[6])
			all[0].Talk("C: EHLO a.example\nS* 250\n")
			require.Equal(w.t, []string{"stressed false", "true", "stressed true", "stressed true", "false", "stressed false"},
				told.all())
			leave(all...)
			told.lines = nil
		}
		require.Equal(w.t, 2, strings.Count(log.String(), "smtpd: under stress"))
		require.Equal(w.t, 2, strings.Count(log.String(), "smtpd: no longer under stress"))
	})
}

func TestThresholds(t *testing.T) {
	for _, test := range []struct {
		connections  int
		stress, calm float64
		at, until    int // 0: never
	}{
		{10, 0, 0, 8, 6}, {1, 0, 0, 1, 0}, {2, 0, 0, 2, 1}, {5, 0, 0, 4, 3}, {10, 0.5, 0, 5, 4}, {10, 0.5, 0.2, 5, 2},
		{10, 1, 1, 10, 9},
		{10, 0.0001, -1, 1, 0}, {10, -1, 0, 0, 0}, {-1, 0, 0, 0, 0}, {10, 1.5, 0, 0, 0},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			var on atomic.Bool
			inWorld(t, func(s *smtpd.Server) {
				s.MaxConnections, s.StressThreshold, s.CalmThreshold = test.connections, test.stress, test.calm
				s.Trace.Stress = on.Store
			}, func(w *world) {
				var all []client
				for n := 1; n <= 10 && (test.connections < 0 || n <= test.connections); n++ {
					all = append(all, w.crowd(1)...)
					require.Equal(w.t, test.at > 0 && n >= test.at, on.Load(), "%d connections", n)
				}
				for n := len(all) - 1; n >= 0; n-- {
					leave(all[n])
					require.Equal(w.t, test.at > 0 && n > test.until, on.Load(), "%d connections left", n)
				}
			})
		})
	}
}

// A hook that panics does not take the server down.
func TestPanicInStress(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { withRoom(s); s.Trace.Stress = func(bool) { panic("hook") } }, func(w *world) {
		leave(w.crowd(9)...)
		w.talk(toData + "C: .\nS* 250\n")
	})
}

// When stress begins those who have waited are thrown out, so that others get in.
func TestStressThrowsOutWhoeverWaits(t *testing.T) {
	inWorld(t, withRoom, func(w *world) {
		idle := w.dial("203.0.113.1")
		idle.Talk(hello)
		silent := w.dial("203.0.113.2")
		silent.Talk("S* 220\n")
		half := w.dial("203.0.113.3")
		half.Talk("S* 220\nR: \"EHLO x\"\n")
		loggingIn := w.dial("203.0.113.4")
		loggingIn.Talk(hello + "C: AUTH LOGIN\nS* 334\n")
		time.Sleep(time.Minute)
		late := w.dial("203.0.113.5")
		late.Talk(hello)
		time.Sleep(4 * time.Second)
		began := time.Now()
		others := w.crowd(3)
		for _, c := range []client{idle, silent, half, loggingIn} {
			c.Talk(thrownOut)
		}
		require.Less(w.t, time.Since(began), time.Second, "the last words may linger")
		late.Talk("C: NOOP\nS* 250\n")
		w.talk(toData + "C: .\nS* 250\nC: QUIT\nS* 221\nS$\n")
		time.Sleep(20 * time.Second) // stress is over: all those left wait as usual
		late.Talk("C: NOOP\nS* 250\n")
		others[0].Talk("C: NOOP\nS* 250\n")
	})
}

// While stress lasts each has StressCommandTimeout, and StressDataTimeout within a transaction; who has logged in is spared.
func TestTimeoutsUnderStress(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { withRoom(s); s.CalmThreshold = 0.05 }, func(w *world) {
		user, sender, message, idle := w.dial("203.0.113.1"), w.dial("203.0.113.2"), w.dial("203.0.113.3"), w.dial("203.0.113.4")
		user.Talk(hello + logIn)
		author := w.dial("203.0.113.5")
		author.Talk(hello + logIn + toData[len(hello):])
		sender.Talk(mailTo)
		message.Talk(toData + "C: Subject: x\n")
		w.crowd(3)
		idle.Talk(hello)
		began := time.Now()
		idle.Talk(thrownOut)
		require.Equal(w.t, smtpd.DefaultStressCommandTimeout, time.Since(began).Truncate(time.Second))
		message.Talk("S: 421 4.4.2 The message came too slowly, closing\nS$\n")
		sender.Talk(thrownOut)
		require.Equal(w.t, smtpd.DefaultStressDataTimeout, time.Since(began).Truncate(time.Second))
		time.Sleep(smtpd.DefaultDataTimeout - time.Minute)
		author.Talk("C: .\nS* 250\n")
		user.Talk("C: NOOP\nS* 250\n")
	})
}

// A message that comes steadily passes under stress, too; one that trickles does not.
func TestSlowMessagesUnderStress(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { withRoom(s); s.CalmThreshold = 0.01 }, func(w *world) {
		w.crowd(7)
		steady, trickle := w.dial("203.0.113.1"), w.dial("203.0.113.2")
		steady.Talk(toData)
		trickle.Talk(toData)
		ended := make(chan time.Duration, 1)
		began := time.Now()
		go func() {
			for {
				time.Sleep(time.Second)
				if _, err := trickle.Conn.Write([]byte("X\r\n")); err != nil {
					ended <- time.Since(began)
					return
				}
			}
		}()
		line := "C: " + strings.Repeat("x", 800) + "\n"
		for range 60 {
			steady.Talk("W: 1s\n" + line)
		}
		steady.Talk("C: .\nS* 250\n")
		require.LessOrEqual(w.t, <-ended, smtpd.DefaultStressDataTimeout+2*time.Second)
	})
}

// Sessions that wait as stress ends have their time again.
func TestStressThatEndsIsForgotten(t *testing.T) {
	inWorld(t, withRoom, func(w *world) {
		c := w.dial("203.0.113.1")
		c.Talk(hello)
		leave(w.crowd(7)...)
		c.Talk("W: 4m59s\nC: NOOP\nS* 250\n")
	})
}

func TestHandshakeUnderStress(t *testing.T) {
	ca := mailtest.NewCA()
	inWorld(t, func(s *smtpd.Server) { withRoom(s); withTLS(ca)(s) }, func(w *world) {
		before := w.dial("203.0.113.1")
		before.Talk(hello + "C: STARTTLS\nS* 220\n")
		began := time.Now()
		w.crowd(7)
		before.Talk("S$\n")
		require.Equal(w.t, smtpd.DefaultStressCommandTimeout, time.Since(began))
	})
}

func TestBudgetsUnderStress(t *testing.T) {
	for _, test := range []struct{ name, script string }{
		{"errors", "C: WHAT\nS: 421 4.7.0 Too many errors, closing\nS$\n"},
		{"misused AUTH", "C: AUTH PLAIN ?\nS: 421 4.7.0 Too many errors, closing\nS$\n"},
		{"idle commands",
			strings.Repeat("C: NOOP\nS* 250\n", 3) + "C: NOOP\nS: 421 4.7.0 Too many commands without a message, closing\nS$\n"},
		{"failed log-in", "C: AUTH PLAIN AGEAYg==\nS: 421 4.7.0 Too many failed log-ins, closing\nS$\n"},
		{"bad recipients", "C: MAIL FROM:<a@example.net>\nS* 250\n" + strings.Repeat("C: RCPT TO:<nobody@example.com>\nS* 550\n", 4) +
			"C: RCPT TO:<nobody@example.com>\nS: 421 4.7.0 Too many refused recipients, closing\nS$\n"},
		{"a user's errors", logIn + strings.Repeat("C: WHAT\nS* 500\n", 9) + "C: WHAT\nS* 421\nS$\n"},
		{"a user's idle commands", logIn + strings.Repeat("C: NOOP\nS* 250\n", 90)},
		{"malformed message",
			toData[len(hello):] + "R: \"x\\ny\\r\\n.\\r\\n\"\nS: 550 5.5.2 *\nS: 421 4.7.0 Too many errors, closing\nS$\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			setUp := func(s *smtpd.Server) {
				withRoom(s)
				s.StressThreshold = 0.1
				s.Checks = []smtpd.Check{{Rcpt: func(_ context.Context, _ *smtpd.Transaction, rcpt *mailbricks.Recipient) error {
					if rcpt.Address == "nobody@example.com" {
						return smtpd.Permanent("No")
					}
					return nil
				}}}
			}
			inWorld(t, setUp, func(w *world) { w.talk(hello + test.script) })
		})
	}
}

func TestBudgetsUnderStressCanBeSet(t *testing.T) {
	setUp := func(s *smtpd.Server) {
		withRoom(s)
		s.StressThreshold, s.StressMaxErrors, s.StressMaxIdleCommands, s.StressMaxAuthFailures = 0.1, 2, -1, -1
		s.MaxIdleCommands, s.StressMaxBadRecipients, s.MaxBadRecipients = 20, 2, -1
		s.Checks = []smtpd.Check{nobody}
	}
	inWorld(t, setUp, func(w *world) {
		w.talk(hello + "C: WHAT\nS* 500\nC: WHAT\nS* 421\nS$\n")
		w.talk(hello + strings.Repeat("C: NOOP\nS* 250\n", 19) + "C: NOOP\nS* 421\nS$\n")
		w.talk(hello + "C: AUTH PLAIN AGEAYg==\nS* 535\nC: AUTH PLAIN AGEAYg==\nS* 535\nC: AUTH PLAIN AGEAYg==\nS* 421\nS$\n")
		w.talk(hello + "C: MAIL FROM:<a@example.net>\nS* 250\nC: RCPT TO:<a@b.c>\nS* 550\nC: RCPT TO:<a@b.c>\nS* 421\nS$\n")
	})
}

func TestTarpitUnderStress(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) {
		withRoom(s)
		s.StressThreshold = 0.1
		s.Checks = []smtpd.Check{at("slow", "data", smtpd.Tarpit(time.Minute, nil), new(notes))}
	}, func(w *world) {
		began := time.Now()
		through(w)
		require.Equal(w.t, smtpd.DefaultStressMaxTarpit, time.Since(began))
	})
}

// Stress ends the waits that have begun before it, but for those who have logged in.
func TestTarpitIsCutShortAsStressBegins(t *testing.T) {
	for _, test := range []struct {
		name, logIn  string
		before, want time.Duration
	}{
		{"stranger", "", 10 * time.Second, 10 * time.Second},
		{"stranger who has just begun to wait", "", 200 * time.Millisecond, smtpd.DefaultStressMaxTarpit},
		{"user", logIn, 10 * time.Second, smtpd.DefaultMaxTarpit},
	} {
		t.Run(test.name, func(t *testing.T) {
			inWorld(t, func(s *smtpd.Server) {
				withRoom(s)
				s.Checks = []smtpd.Check{at("slow", "mail", smtpd.Tarpit(time.Minute, nil), new(notes))}
			}, func(w *world) {
				leave(w.crowd(8)...) // earlier stress is forgotten
				c := w.dial("203.0.113.1")
				c.Talk(hello + test.logIn)
				began := time.Now()
				c.Talk("C: MAIL FROM:<a@example.net>\nW: " + test.before.String() + "\n")
				w.crowd(7)
				c.Talk("S* 250\n")
				require.Equal(w.t, test.want, time.Since(began))
			})
		})
	}
}

// Who does not read replies does not hold a connection for long under stress, unless it is a user.
func TestSlowReadersUnderStress(t *testing.T) {
	for _, test := range []struct {
		name, logIn string
		stress      time.Duration // begins
		want        time.Duration
	}{
		{"stranger", "", 0, smtpd.DefaultStressWriteTimeout},
		{"stranger from before", "", 4 * time.Second, smtpd.DefaultStressWriteTimeout},
		{"stranger from long before", "", 40 * time.Second, 40 * time.Second},
		{"user", logIn, 0, smtpd.DefaultWriteTimeout},
	} {
		t.Run(test.name, func(t *testing.T) {
			var seen records
			inWorld(t, func(s *smtpd.Server) {
				withRoom(s)
				s.MaxIdleCommands, s.StressMaxIdleCommands = -1, -1
				seen.of(s)
			}, func(w *world) {
				c := w.dial("203.0.113.9")
				c.Talk(hello + test.logIn)
				if test.stress == 0 {
					w.crowd(7)
				} else {
					time.AfterFunc(test.stress, func() { w.crowd(7) })
				}
				began := time.Now()
				commands := []byte(strings.Repeat("HELP\r\n", 1000))
				for err := error(nil); err == nil; {
					_, err = c.Conn.Write(commands)
				}
				require.InDelta(w.t, test.want, time.Since(began), float64(2*time.Second))
				synctest.Wait()
				var ends []smtpd.Outcome
				for _, o := range seen.refusals() {
					if o.Session.Peer.Hello != "" {
						ends = append(ends, o)
					}
				}
				require.Len(w.t, ends, 1)
				require.Equal(w.t, smtpd.ClosePeer, ends[0].Action)
				require.Equal(w.t, smtpd.PhaseCommand, ends[0].Phase)
				require.Nil(w.t, ends[0].Reply)
				require.ErrorContains(w.t, ends[0].Err, "does not read replies")
				require.Len(w.t, seen.lines(`"smtpd: refused"`, "does not read replies"), 1)
			})
		})
	}
}

// A herd that only holds its connections does not keep others out for longer than it takes to throw it out.
func TestHerdIsThrownOut(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.MaxConnections = 50 }, func(w *world) {
		w.crowd(50)
		w.dial("203.0.113.9").Talk("S: 421 4.3.2 Too many connections, please try again later\nS$\n")
		time.Sleep(smtpd.DefaultStressCommandTimeout + time.Second)
		for range 20 {
			w.talk(toData + "C: .\nS* 250\nC: QUIT\nS* 221\nS$\n")
		}
		require.Len(w.t, w.messages(), 20)
	})
}

// PerConnection may turn stress off while it lasts.
func TestStressIsTurnedOff(t *testing.T) {
	var current atomic.Pointer[smtpd.Server]
	var on atomic.Bool
	inWorld(t, func(s *smtpd.Server) {
		withRoom(s)
		s.PerConnection, s.Trace.Stress = current.Load, on.Store
	}, func(w *world) {
		w.crowd(9)
		require.True(w.t, on.Load())
		current.Store(&smtpd.Server{
			Hostname: "mail.example.com", MaxConnections: 10, StressThreshold: -1, Trace: smtpd.Trace{Stress: on.Store},
		})
		w.crowd(1)
		require.False(w.t, on.Load())
	})
}
