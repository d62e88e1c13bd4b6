package smtpd_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// after is a check that says something of a message when the Handler has it.
func after(say func(inner error) error) smtpd.Check {
	return around("after", smtpd.PhaseMessage, func(ctx context.Context, _ *smtpd.Step, next next) error { return say(next(ctx)) })
}

// A message that the Handler has taken is not refused because a wait behind that ends early: it would come twice.
func TestTarpitBehindTheHandlerEndsEarly(t *testing.T) {
	full := smtpd.Permanent("full")
	tarpit := func(err error) error { return smtpd.Tarpit(10*time.Second, err) }
	handler := func(err error) func(*smtpd.Server) {
		return func(s *smtpd.Server) {
			s.Handler = mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error { return err })
		}
	}
	for _, test := range []struct {
		name  string
		setUp func(*smtpd.Server)
		say   func(error) error
		reply string
	}{
		{"taken", nil, tarpit, "250"},
		{"taken, and nothing else is said", nil, func(error) error { return smtpd.Tarpit(10*time.Second, nil) }, "250"},
		{"two waits", nil, func(err error) error { return tarpit(tarpit(err)) }, "250"},
		{"refused by the Handler", handler(full), tarpit, "550"},
		{"refused by the Handler, and nothing else is said", handler(full),
			func(error) error { return smtpd.Tarpit(10*time.Second, nil) }, "550"},
		{"refused by the check", nil, func(error) error { return tarpit(full) }, "550"},
	} {
		for _, end := range []string{"shutdown", "time-out"} {
			t.Run(test.name+", "+end, func(t *testing.T) {
				inWorld(t, func(s *smtpd.Server) {
					s.Checks = []smtpd.Check{after(test.say)}
					if end == "time-out" {
						s.HandlerTimeout = 5 * time.Second
					}
					if test.setUp != nil {
						test.setUp(s)
					}
				}, func(w *world) {
					c := w.dial("203.0.113.9")
					began := time.Now()
					c.Talk(toData + "C: .\nW: 5s\n")
					if end == "shutdown" {
						down := make(chan error, 1)
						go func() { down <- w.srv.Shutdown(context.Background()) }()
						defer func() { require.NoError(w.t, <-down) }()
					}
					c.Talk("S* " + test.reply + "\n")
					require.Equal(w.t, 5*time.Second, time.Since(began))
					if end == "shutdown" {
						c.Talk("S: 421 4.3.2 *\nS$\n")
					}
				})
			})
		}
	}
}

// In LMTP that holds for each recipient.
func TestTarpitBehindTheHandlerEndsEarlyInLMTP(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) {
		s.LMTP, s.HandlerTimeout = true, 5*time.Second
		s.Handler = mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error {
			return mailbricks.Results{nil, smtpd.Permanent("full")}
		})
		s.Checks = []smtpd.Check{after(func(err error) error { return smtpd.Tarpit(10*time.Second, err) })}
	}, func(w *world) {
		w.talk(`
			S* 220
			C: LHLO client.example.net
			S* 250
			C: MAIL FROM:<a@example.net>
			C: RCPT TO:<one@example.com>
			C: RCPT TO:<two@example.com>
			C: DATA
			S* 250
			S* 250
			S* 250
			S* 354
			C: .
			S* 250
			S* 550
		`)
	})
}

// What comes too late for the Handler is in the log, and changes nothing.
func TestVerdictsThatComeTooLate(t *testing.T) {
	for _, test := range []struct {
		name   string
		say    error
		reply  string
		warned string
	}{
		{"quarantine", smtpd.Quarantine("virus"), "250", "too late"},
		{"quarantine behind a wait", smtpd.Tarpit(time.Second, smtpd.Quarantine("virus")), "250", "too late"},
		{"discard", smtpd.Discard("virus"), "250", "too late"},
		{"refusal", smtpd.Permanent("virus"), "550", "may come again"},
		{"fault", errors.New("virus"), "451", "may come again"},
		{"accept", smtpd.Accept("virus"), "250", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var seen records
			inWorld(t, func(s *smtpd.Server) {
				s.Checks = []smtpd.Check{after(func(error) error { return test.say })}
				seen.of(s)
			}, func(w *world) {
				w.talk(toData + "C: .\nS* " + test.reply + "\n")
				require.Len(w.t, w.messages(), 1)
				require.Empty(w.t, w.messages()[0].Envelope.Quarantine)
				if test.warned != "" {
					require.Len(w.t, seen.lines("level=WARN", "check=after", test.warned, "virus"), 1, seen.log.String())
				} else {
					require.Empty(w.t, seen.lines("level=WARN"))
				}
				for _, o := range seen.told {
					require.NotEqual(w.t, smtpd.QuarantineMail, o.Action)
					require.NotEqual(w.t, smtpd.DiscardMail, o.Action)
				}
				if test.reply == "250" {
					require.Equal(w.t, smtpd.ByHandler, seen.told[len(seen.told)-1].Check)
					require.Len(w.t, seen.lines("message accepted"), 1)
				}
			})
		})
	}
}

// A step is not over before all that was begun for it has ended, also when its Around panics.
func TestNextIsWaitedForWhenAroundPanics(t *testing.T) {
	var seen notes
	hasty := around("hasty", smtpd.PhaseMessage, func(ctx context.Context, _ *smtpd.Step, next next) error {
		go func() { _ = next(ctx) }()
		synctest.Wait() // until next has begun
		panic("hasty")
	})
	inWorld(t, func(s *smtpd.Server) {
		s.Checks = []smtpd.Check{hasty}
		s.Handler = mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error {
			time.Sleep(time.Minute)
			seen.add("taken")
			return nil
		})
		s.Trace.Message = func(*smtpd.Transaction, int64, time.Duration, error) { seen.add("over") }
	}, func(w *world) {
		w.talk(toData + "C: .\nS* 451\n")
		require.Equal(w.t, []string{"taken", "over"}, seen.all())
	})
}
