package smtpd_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// nobody refuses every recipient.
var nobody = smtpd.Check{Name: "nobody", Rcpt: func(_ context.Context, _ *smtpd.Transaction, rcpt *mailbricks.Recipient) error {
	return &mailbricks.Reply{Code: 550, Enhanced: "5.1.1", Text: "<" + rcpt.Address + ">: no such user here"}
}}

// qualify makes an address of the sender FBI.
var qualify = smtpd.Check{Name: "qualify", Mail: func(_ context.Context, tx *smtpd.Transaction) error {
	if tx.Envelope.From == "FBI" {
		tx.Envelope.From = tx.Session.Peer.Identity.Login
	}
	return nil
}}

// everyStep is a check that calls f at each step.
func everyStep(name string, f func(ctx context.Context, step string) error) smtpd.Check {
	return smtpd.Check{
		Name:    name,
		Connect: func(ctx context.Context, _ *smtpd.Session) error { return f(ctx, "connect") },
		Hello:   func(ctx context.Context, _ *smtpd.Session, _ string) error { return f(ctx, "hello") },
		Mail:    func(ctx context.Context, _ *smtpd.Transaction) error { return f(ctx, "mail") },
		Rcpt:    func(ctx context.Context, _ *smtpd.Transaction, _ *mailbricks.Recipient) error { return f(ctx, "rcpt") },
		Data:    func(ctx context.Context, _ *smtpd.Transaction) error { return f(ctx, "data") },
		Message: func(ctx context.Context, _ *smtpd.Transaction, _ *mailbricks.Message) error { return f(ctx, "message") },
	}
}

var steps = []string{"connect", "hello", "mail", "rcpt", "data", "message"}

func TestChecksAreAskedInOrder(t *testing.T) {
	var seen notes
	note := func(name string) smtpd.Check {
		return everyStep(name, func(ctx context.Context, step string) error {
			_, inSession := smtpd.SessionFrom(ctx)
			_, inTransaction := smtpd.TransactionFrom(ctx)
			seen.add("%s %s %v %v", name, step, inSession, inTransaction)
			return nil
		})
	}
	inWorld(t, func(s *smtpd.Server) { s.Checks = []smtpd.Check{note("a"), {}, note("b")} }, func(w *world) {
		w.talk(toData + "C: .\nS* 250\n")
		var want []string
		for _, step := range steps {
			for _, name := range []string{"a", "b"} {
				want = append(want, fmt.Sprintf("%s %s true %v", name, step, step != "connect" && step != "hello"))
			}
		}
		require.Equal(w.t, want, seen.all())
	})
}

// session is a dialogue that goes through all steps; the reply to step n is line n.
func refusedAt(step, reply string) string {
	script := ""
	for _, s := range steps {
		send := map[string]string{
			"hello": "C: EHLO client.example.net\n", "mail": "C: MAIL FROM:<a@example.net>\n", "rcpt": "C: RCPT TO:<b@example.com>\n",
			"data": "C: DATA\n", "message": "C: .\n",
		}[s]
		if s == step {
			return script + send + "S: " + reply + "\n"
		}
		script += send + "S* " + map[string]string{"connect": "220", "data": "354"}[s]
		if !strings.HasSuffix(script, "220") && !strings.HasSuffix(script, "354") {
			script += "250"
		}
		script += "\n"
	}
	return script
}

func TestFirstErrorIsTheReply(t *testing.T) {
	for _, step := range steps {
		for name, test := range map[string]struct {
			err   error
			reply string
			end   bool
		}{
			"permanent":  {&mailbricks.Reply{Code: 554, Enhanced: "5.7.1", Text: "Go away"}, "554 5.7.1 Go away", false},
			"temporary":  {&mailbricks.Reply{Code: 450, Enhanced: "4.2.0", Text: "Later"}, "450 4.2.0 Later", false},
			"closing":    {&mailbricks.Reply{Code: 421, Enhanced: "4.7.0", Text: "Enough"}, "421 4.7.0 Enough", true},
			"any error":  {errors.New("secret"), "451 4.3.0 Temporary local problem, please try again later", false},
			"no refusal": {&mailbricks.Reply{Code: 250, Text: "Ok"}, "451 4.3.0 *", false},
			"wrapped":    {fmt.Errorf("x: %w", &mailbricks.Reply{Code: 550, Text: "No"}), "550 5.0.0 No", false},
		} {
			t.Run(step+" "+name, func(t *testing.T) {
				refuse := everyStep("refuse", func(_ context.Context, at string) error {
					if at == step {
						return test.err
					}
					return nil
				})
				later := everyStep("later", func(_ context.Context, at string) error {
					if at == step {
						t.Error("asked after a refusal")
					}
					return nil
				})
				inWorld(t, func(s *smtpd.Server) { s.Checks = []smtpd.Check{refuse, later} }, func(w *world) {
					reply, after := test.reply, "C: NOOP\nS* 250\nC: QUIT\nS* 221\nS$\n"
					switch {
					case step == "connect" && mailbricks.IsTemporary(test.err), step == "connect" && name == "no refusal":
						reply, after = "421"+reply[3:], "S$\n"
					case step == "connect":
						reply, after = "554"+reply[3:], "C: EHLO a.example\nS: 503 5.5.1 *\nC: QUIT\nS* 221\nS$\n"
					case test.end:
						after = "S$\n"
					}
					w.talk(refusedAt(step, reply) + after)
					require.Empty(w.t, w.messages())
				})
			})
		}
	}
}

func TestGreetingOf521ClosesAndOf554DoesNotWaitForEver(t *testing.T) {
	code := 521
	setUp := func(s *smtpd.Server) {
		s.Checks = []smtpd.Check{{Connect: func(context.Context, *smtpd.Session) error {
			return &mailbricks.Reply{Code: code, Text: "No mail here"}
		}}}
	}
	inWorld(t, setUp, func(w *world) {
		w.talk("S: 521 5.0.0 No mail here\nS$\n")
		code = 550
		w.talk("S: 554 5.0.0 No mail here\nW: 30s\nS: 421 4.4.2 *\nS$\n")
	})
}

func TestPanicIsATemporaryFailure(t *testing.T) {
	for _, step := range append(steps[1:], "handler") {
		t.Run(step, func(t *testing.T) {
			boom := everyStep("boom", func(_ context.Context, at string) error {
				if at == step {
					panic("boom")
				}
				return nil
			})
			inWorld(t, func(s *smtpd.Server) {
				s.Checks = []smtpd.Check{boom}
				if step == "handler" {
					s.Handler = mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error { panic("boom") })
				}
			}, func(w *world) {
				at := step
				if step == "handler" {
					at = "message"
				}
				w.talk(refusedAt(at, "451 4.3.0 *") + "C: NOOP\nS* 250\n")
			})
		})
	}
}

type key struct{ name string }

func TestValuesReachLaterChecksAndTheHandler(t *testing.T) {
	var seen notes
	setUp := func(s *smtpd.Server) {
		s.Checks = []smtpd.Check{
			{
				Connect: func(_ context.Context, s *smtpd.Session) error { s.Set(key{"session"}, 1); return nil },
				Mail: func(_ context.Context, tx *smtpd.Transaction) error {
					tx.Set(key{"mail"}, tx.Value(key{"mail"}) == nil)
					return nil
				},
			},
			{Message: func(ctx context.Context, tx *smtpd.Transaction, msg *mailbricks.Message) error {
				seen.add("message: %v %v %v", tx.Value(key{"session"}), tx.Value(key{"mail"}), ctx.Value(key{"mail"}))
				tx.Envelope.Quarantine = "looks odd"
				msg.Prepend("X-Seen", "yes")
				return nil
			}},
		}
		s.Handler = mailbricks.HandlerFunc(func(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
			tx, _ := smtpd.TransactionFrom(ctx)
			seen.add("handler: %v %v %v %s %s", ctx.Value(key{"session"}), ctx.Value(key{"mail"}), tx.Envelope == env, env.Quarantine, msg.Get("X-Seen"))
			seen.add("other: %v %v", ctx.Value(key{"none"}), ctx.Value("none"))
			return nil
		})
	}
	inWorld(t, setUp, func(w *world) {
		w.talk(toData + "C: .\nS* 250\n" + toData[len(hello):] + "C: .\nS* 250\n")
		one := []string{"message: 1 true true", "handler: 1 true true looks odd yes", "other: <nil> <nil>"}
		require.Equal(w.t, append(one, one...), seen.all(), "a transaction's values end with it")
	})
}

func TestRecipientIsRewrittenByACheck(t *testing.T) {
	expand := smtpd.Check{Rcpt: func(_ context.Context, _ *smtpd.Transaction, rcpt *mailbricks.Recipient) error {
		rcpt.Alias, rcpt.Address = rcpt.Address, "target@example.com"
		return nil
	}}
	inWorld(t, func(s *smtpd.Server) { s.Checks = []smtpd.Check{expand} }, func(w *world) {
		w.talk(toData + "C: .\nS* 250\n")
		got := w.messages()[0]
		require.Equal(w.t, mailbricks.Recipient{Address: "target@example.com", Alias: "bob@example.com"}, got.Envelope.Recipients[0])
		require.Contains(w.t, string(got.Raw), "for <bob@example.com>", "the outside learns nothing of aliases")
	})
}

func TestContextEndsWhenThePeerLeaves(t *testing.T) {
	for _, step := range append(steps, "handler") {
		t.Run(step, func(t *testing.T) {
			causes := make(chan error, 1)
			wait := func(ctx context.Context) error {
				<-ctx.Done()
				causes <- context.Cause(ctx)
				return ctx.Err()
			}
			hang := everyStep("hang", func(ctx context.Context, at string) error {
				if at == step {
					return wait(ctx)
				}
				return nil
			})
			inWorld(t, func(s *smtpd.Server) {
				s.Checks = []smtpd.Check{hang}
				if step == "handler" {
					s.Handler = mailbricks.HandlerFunc(func(ctx context.Context, _ *mailbricks.Envelope, _ *mailbricks.Message) error { return wait(ctx) })
				}
			}, func(w *world) {
				at := step
				if step == "handler" {
					at = "message"
				}
				script := refusedAt(at, "")
				c := w.dial("203.0.113.9")
				c.Talk(script[:strings.LastIndex(script, "S: ")])
				began := time.Now()
				time.Sleep(time.Second)
				c.Conn.Close()
				require.ErrorContains(w.t, <-causes, "the peer has left")
				require.Equal(w.t, time.Second, time.Since(began))
			})
		})
	}
}

// A client that says QUIT and closes its side for sending waits for its replies.
func TestHalfCloseBehindQUITIsNotLeaving(t *testing.T) {
	slow := mailbricks.HandlerFunc(func(ctx context.Context, _ *mailbricks.Envelope, _ *mailbricks.Message) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Minute):
			return nil
		}
	})
	inWorld(t, func(s *smtpd.Server) { s.Handler = slow }, func(w *world) {
		w.talk(toData + "C: .\nC: QUIT\nH:\nS: 250 2.0.0 *\nS: 221 *\nS$\n")
	})
}

func TestContextEndsWithItsTime(t *testing.T) {
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	check := smtpd.Check{Rcpt: func(ctx context.Context, _ *smtpd.Transaction, rcpt *mailbricks.Recipient) error {
		if rcpt.Address == "slow@example.com" {
			return hang(ctx)
		}
		return nil
	}}
	handler := mailbricks.HandlerFunc(func(ctx context.Context, _ *mailbricks.Envelope, _ *mailbricks.Message) error { return hang(ctx) })
	inWorld(t, func(s *smtpd.Server) { s.Checks, s.Handler = []smtpd.Check{check}, handler }, func(w *world) {
		began := time.Now()
		w.talk(mailTo + `
			C: RCPT TO:<slow@example.com>
			S: 451 4.3.0 Local processing took too long, please try again
			C: DATA
			S* 354
			C: .
			S: 451 4.3.0 Local processing took too long, please try again
			C: NOOP
			S* 250
		`)
		require.Equal(w.t, smtpd.DefaultCheckTimeout+smtpd.DefaultHandlerTimeout, time.Since(began))
	})
}

// A check can see who talks before it is his turn.
func TestPending(t *testing.T) {
	early := smtpd.Check{
		Connect: func(ctx context.Context, s *smtpd.Session) error {
			time.Sleep(5 * time.Second)
			if s.Pending() > 0 {
				return &mailbricks.Reply{Code: 554, Text: "You talk too early"}
			}
			return nil
		},
		Data: func(_ context.Context, tx *smtpd.Transaction) error {
			if tx.Session.Pending() > 0 {
				return &mailbricks.Reply{Code: 503, Text: "Wait for the 354"}
			}
			return nil
		},
	}
	inWorld(t, func(s *smtpd.Server) { s.Checks = []smtpd.Check{early} }, func(w *world) {
		w.talk("C: EHLO a.example\nS: 554 5.0.0 You talk too early\nS: 503 *\n")
		w.talk(mailTo + "C: DATA\nC: Subject: x\nC:\nC: .\nS: 503 5.0.0 Wait for the 354\n")
		w.talk(toData + "C: .\nS* 250\n")
	})
	require.Zero(t, new(smtpd.Session).Pending())
}
