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
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

// at is a check that returns err at one step, and notes at which others it was asked.
func at(name, step string, err error, asked *notes) smtpd.Check {
	return everyStep(name, func(_ context.Context, now string) error {
		asked.add("%s %s", name, now)
		if now == step {
			return err
		}
		return nil
	})
}

// through is a message that goes through all steps.
func through(w *world) {
	w.talk(toData + "C: Subject: x\nC: .\nS: 250 2.0.0 Ok: queued as *\nC: QUIT\nS* 221\nS$\n")
}

// inOwnWorld is inWorld for a test that has several.
func inOwnWorld(t *testing.T, setUp func(*smtpd.Server), f func(w *world)) {
	t.Helper()
	t.Run("", func(t *testing.T) { inWorld(t, setUp, f) })
}

// askedAt are the steps at which the check was asked.
func askedAt(asked *notes, name string) (steps []string) {
	for _, line := range asked.all() {
		if step, found := strings.CutPrefix(line, name+" "); found {
			steps = append(steps, step)
		}
	}
	return steps
}

// without is all steps but those.
func without(but ...string) (left []string) {
	for _, step := range steps {
		if !strings.Contains(" "+strings.Join(but, " ")+" ", " "+step+" ") {
			left = append(left, step)
		}
	}
	return left
}

// outcomes notes the outcomes of a server: "phase check action recipient code".
func outcomes(s *smtpd.Server) *notes {
	var seen notes
	s.Trace.Outcome = func(o smtpd.Outcome) {
		code := 0
		if o.Reply != nil {
			code = o.Reply.Code
		}
		seen.add("%s %s %s %s %d", o.Phase, o.Check, o.Action, o.Recipient, code)
	}
	return &seen
}

// toRcpt is who an outcome of a step is about.
func toRcpt(step string) string {
	if step == "rcpt" {
		return "bob@example.com"
	}
	return ""
}

func TestAcceptEndsItsStepOnly(t *testing.T) {
	for _, step := range steps {
		t.Run(step, func(t *testing.T) {
			var asked notes
			var told *notes
			inWorld(t, func(s *smtpd.Server) {
				s.Checks = []smtpd.Check{at("first", step, smtpd.Accept("known"), &asked), at("later", "", nil, &asked)}
				told = outcomes(s)
			}, func(w *world) {
				through(w)
				require.Len(w.t, w.messages(), 1)
				require.Equal(w.t, steps, askedAt(&asked, "first"))
				require.Equal(w.t, without(step), askedAt(&asked, "later"))
				require.Equal(w.t, []string{fmt.Sprintf("%s first accept %s 0", step, toRcpt(step)), "message handler accept  0"},
					told.all())
			})
		})
	}
}

func TestQuarantineGoesOn(t *testing.T) {
	for _, step := range steps {
		t.Run(step, func(t *testing.T) {
			var asked notes
			var told *notes
			inWorld(t, func(s *smtpd.Server) {
				s.Checks = []smtpd.Check{at("first", step, smtpd.Quarantine("odd\r\n\x00"), &asked),
					at("later", step, smtpd.Quarantine("more"), &asked)}
				told = outcomes(s)
			}, func(w *world) {
				through(w)
				require.Equal(w.t, "odd", w.messages()[0].Envelope.Quarantine, "the first reason, in one line")
				require.Equal(w.t, steps, askedAt(&asked, "later"))
				require.Equal(w.t, []string{
					fmt.Sprintf("%s first quarantine %s 0", step, toRcpt(step)), fmt.Sprintf("%s later quarantine %s 0", step, toRcpt(step)),
					"message handler accept  0",
				}, told.all())
			})
		})
	}
}

// Without a reason the envelope still says that the mail is to be put aside.
func TestQuarantineWithoutReason(t *testing.T) {
	for _, name := range []string{"named", ""} {
		inOwnWorld(t, func(s *smtpd.Server) {
			s.Checks = []smtpd.Check{{}, {Name: name, Data: func(context.Context,
				*smtpd.Transaction) error {
				return smtpd.Quarantine(" ")
			}}}
		}, func(w *world) {
			through(w)
			want := name
			if name == "" {
				want = "check 2"
			}
			require.Equal(w.t, want, w.messages()[0].Envelope.Quarantine)
		})
	}
}

func TestReasonsAreShortened(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) {
		s.Checks = []smtpd.Check{{Data: func(context.Context, *smtpd.Transaction) error {
			return smtpd.Quarantine(strings.Repeat("\u00fc", 150) + "\xff")
		}}}
	}, func(w *world) {
		through(w)
		require.Equal(w.t, strings.Repeat("\u00fc", 100), w.messages()[0].Envelope.Quarantine)
	})
}

func TestDiscardTellsThePeerThatAllIsWell(t *testing.T) {
	for _, step := range steps {
		t.Run(step, func(t *testing.T) {
			var asked notes
			var told *notes
			inWorld(t, func(s *smtpd.Server) {
				s.Checks = []smtpd.Check{at("first", step, smtpd.Discard("spam"), &asked), at("later", "", nil, &asked)}
				told = outcomes(s)
			}, func(w *world) {
				through(w)
				require.Empty(w.t, w.messages())
				require.Equal(w.t, without(step, "message"), askedAt(&asked, "later"))
				want := []string{fmt.Sprintf("%s first discard %s 0", step, toRcpt(step))}
				if step == "connect" || step == "hello" {
					want = append(want, step+" first discard  0") // again, by the id of the message
				}
				require.Equal(w.t, want, told.all())
			})
		})
	}
}

// What is said before the messages holds for all of them: at Connect for good, at Hello until the next one.
func TestStandingVerdicts(t *testing.T) {
	for _, step := range []string{"connect", "hello"} {
		for _, test := range []struct {
			name    string
			verdict error
		}{{"quarantine", smtpd.Quarantine("bad name")}, {"discard", smtpd.Discard("bad name")}} {
			t.Run(step+" "+test.name, func(t *testing.T) {
				ca := mailtest.NewCA()
				setUp := func(s *smtpd.Server) {
					withTLS(ca)(s)
					s.Checks = []smtpd.Check{{
						Connect: func(context.Context, *smtpd.Session) error {
							if step == "connect" {
								return test.verdict
							}
							return nil
						},
						Hello: func(_ context.Context, _ *smtpd.Session, name string) error {
							if step == "hello" && name == "bad.example" {
								return test.verdict
							}
							return nil
						},
					}}
				}
				inWorld(t, setUp, func(w *world) {
					message := toData[len(hello):] + "C: .\nS* 250\n"
					c := w.dial("203.0.113.9")
					c.Talk("S* 220\nC: EHLO bad.example\nS* 250\n" + message + message)
					c.Talk("C: EHLO good.example\nS* 250\n" + message + "C: EHLO bad.example\nS* 250\nC: STARTTLS\nS* 220\n")
					c.startTLS(ca.ClientConfig("mail.example.com"))
					c.Talk("C: EHLO good.example\nS* 250\n" + message)
					aside, held := 0, 2
					for _, m := range w.messages() {
						if m.Envelope.Quarantine == "bad name" {
							aside++
						}
					}
					if step == "connect" {
						held = 4
					}
					if test.name == "quarantine" {
						require.Len(w.t, w.messages(), 4)
						require.Equal(w.t, held, aside)
					} else {
						require.Len(w.t, w.messages(), 4-held)
					}
				})
			})
		}
	}
}

func TestDiscardOfSomeRecipients(t *testing.T) {
	trap := smtpd.Check{Name: "trap", Rcpt: func(_ context.Context, _ *smtpd.Transaction, rcpt *mailbricks.Recipient) error {
		if rcpt.Address == "trap@example.com" {
			return smtpd.Discard("trap")
		}
		return nil
	}}
	inWorld(t, func(s *smtpd.Server) { s.Checks, s.MaxRecipients = []smtpd.Check{trap}, 3 }, func(w *world) {
		w.talk(mailTo + `
			C: RCPT TO:<trap@example.com>
			S: 250 2.1.5 Recipient ok
			C: RCPT TO:<trap@example.com>
			S: 250 2.1.5 Recipient ok
			C: RCPT TO:<carol@example.com>
			S* 452
			C: DATA
			S* 354
			C: .
			S* 250
		`)
		require.Len(w.t, w.messages()[0].Envelope.Recipients, 1)
	})
}

func TestTarpitWaits(t *testing.T) {
	refused := &mailbricks.Reply{Code: 554, Enhanced: "5.7.1", Text: "Go away"}
	for _, step := range steps {
		for _, test := range []struct {
			name   string
			err    error
			reply  string // of the step; empty: it passes
			closes bool
		}{
			{"nil", nil, "", false},
			{"accept", smtpd.Accept("x"), "", false},
			{"quarantine", smtpd.Quarantine("x"), "", false},
			{"refusal", refused, "554 5.7.1 Go away", false},
			{"any error", errors.New("secret"), "451 4.3.0 *", false},
			{"close", smtpd.Close(refused), "554 5.7.1 Go away", true},
		} {
			t.Run(step+" "+test.name, func(t *testing.T) {
				var asked notes
				var told *notes
				inWorld(t, func(s *smtpd.Server) {
					s.Checks = []smtpd.Check{at("slow", step, smtpd.Tarpit(20*time.Second, smtpd.Tarpit(time.Second, test.err)), &asked)}
					told = outcomes(s)
				}, func(w *world) {
					began := time.Now()
					if test.reply == "" {
						through(w)
						require.Len(w.t, w.messages(), 1)
						require.Equal(w.t, test.name == "quarantine", w.messages()[0].Envelope.Quarantine != "")
					} else {
						reply := test.reply
						if step == "connect" && reply[0] == '4' {
							reply = "421" + reply[3:]
						}
						end := ""
						if test.closes {
							end = "S$\n"
						}
						w.talk(refusedAt(step, reply) + end)
						require.Empty(w.t, w.messages())
					}
					require.Equal(w.t, 21*time.Second, time.Since(began))
					require.Contains(w.t, told.all()[0], step+" slow tarpit ")
					require.Contains(w.t, told.all()[1], step+" slow tarpit ")
				})
			})
		}
	}
}

func TestTarpitThenDiscard(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) {
		s.Checks = []smtpd.Check{at("slow", "message", smtpd.Tarpit(time.Second, smtpd.Discard("spam")), new(notes))}
	}, func(w *world) {
		through(w)
		require.Empty(w.t, w.messages())
	})
}

func TestTarpitIsCutOff(t *testing.T) {
	slow := func(s *smtpd.Server) {
		s.Checks = []smtpd.Check{at("slow", "mail", smtpd.Tarpit(time.Hour, nil), new(notes))}
	}
	inWorld(t, slow, func(w *world) {
		began := time.Now()
		through(w)
		require.Equal(w.t, smtpd.DefaultMaxTarpit, time.Since(began))

		c := w.dial("203.0.113.9")
		c.Talk(hello + "C: MAIL FROM:<a@example.net>\nW: 10s\n")
		ended := make(chan error, 1)
		go func() { ended <- w.srv.Shutdown(context.Background()) }()
		c.Talk("S: 421 4.3.2 mail.example.com is shutting down\n")
		require.Equal(w.t, smtpd.DefaultMaxTarpit+10*time.Second, time.Since(began), "a shutdown does not wait for tarpits")
		c.Talk("S$\n")
		require.NoError(w.t, <-ended)
	})
}

func TestTarpitEndsWithTheTimeForItsStep(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) {
		s.MaxTarpit, s.CheckTimeout = time.Hour, time.Minute
		s.Checks = []smtpd.Check{at("slow", "mail", smtpd.Tarpit(time.Hour, nil), new(notes))}
	}, func(w *world) {
		began := time.Now()
		w.talk(hello + "C: MAIL FROM:<a@example.net>\nS: 421 4.3.2 Please try again later\nS$\n")
		require.Equal(w.t, time.Minute, time.Since(began))
	})
}

func TestCloseEndsTheSessionWithAnyReply(t *testing.T) {
	for _, step := range steps {
		for _, test := range []struct {
			name    string
			err     error
			reply   string
			connect string // as the greeting
		}{
			{"nil", nil, "421 4.7.0 Closing connection", "421 4.7.0 Closing connection"},
			{"any error", errors.New("secret"), "421 4.7.0 Closing connection", "421 4.7.0 Closing connection"},
			{"421", &mailbricks.Reply{Code: 421, Enhanced: "4.7.0", Text: "Enough"}, "421 4.7.0 Enough", "421 4.7.0 Enough"},
			{"450", &mailbricks.Reply{Code: 450, Enhanced: "4.2.0", Text: "Later"}, "450 4.2.0 Later", "421 4.2.0 Later"},
			{"521", &mailbricks.Reply{Code: 521, Enhanced: "5.7.0", Text: "No"}, "521 5.7.0 No", "521 5.7.0 No"},
			{"550", &mailbricks.Reply{Code: 550, Enhanced: "5.7.1", Text: "Never"}, "550 5.7.1 Never", "554 5.7.1 Never"},
			{"250", &mailbricks.Reply{Code: 250, Text: "Ok"}, "421 4.7.0 Closing connection", "421 4.7.0 Closing connection"},
			{"permanent", smtpd.Permanent("Never"), "550 5.7.1 Never", "554 5.7.1 Never"},
			{"temporary", smtpd.Temporary("Later"), "451 4.7.1 Later", "421 4.7.1 Later"},
		} {
			t.Run(step+" "+test.name, func(t *testing.T) {
				var told *notes
				inWorld(t, func(s *smtpd.Server) {
					s.Checks = []smtpd.Check{at("closer", step, smtpd.Close(test.err), new(notes))}
					told = outcomes(s)
				}, func(w *world) {
					reply := test.reply
					if step == "connect" {
						reply = test.connect
					}
					w.talk(refusedAt(step, reply) + "S$\n")
					require.Empty(w.t, w.messages())
					to := ""
					if step == "rcpt" {
						to = "b@example.com"
					}
					require.Equal(w.t, []string{fmt.Sprintf("%s closer close %s %s", step, to, reply[:3])}, told.all())
				})
			})
		}
	}
}

// A verdict counts where it is what the check says, also wrapped, and not where it is the cause of a refusal.
func TestVerdictsAreErrors(t *testing.T) {
	inOwnWorld(t, func(s *smtpd.Server) {
		s.Checks = []smtpd.Check{at("wrap", "data", fmt.Errorf("wrapped: %w", smtpd.Quarantine("x")), new(notes))}
	}, func(w *world) {
		through(w)
		require.Equal(w.t, "x", w.messages()[0].Envelope.Quarantine)
	})
	for _, err := range []error{
		&mailbricks.Reply{Code: 550, Text: "No", Err: smtpd.Accept("x")},
		&mailbricks.Reply{Code: 550, Text: "No", Err: smtpd.Discard("x")},
		&smtpd.Verdict{Action: smtpd.Refuse, Err: &mailbricks.Reply{Code: 550, Text: "No"}},
	} {
		inOwnWorld(t, func(s *smtpd.Server) { s.Checks = []smtpd.Check{at("cause", "message", err, new(notes))} }, func(w *world) {
			w.talk(toData + "C: .\nS: 550 5.0.0 No\nC: NOOP\nS* 250\n")
			require.Empty(w.t, w.messages())
		})
	}
	for _, err := range []error{&smtpd.Verdict{Action: smtpd.Refuse}, &smtpd.Verdict{Action: 99}, &smtpd.Verdict{Action: -1}} {
		inOwnWorld(t, func(s *smtpd.Server) { s.Checks = []smtpd.Check{at("odd", "message", err, new(notes))} }, func(w *world) {
			w.talk(toData + "C: .\nS* 451\nC: NOOP\nS* 250\n")
			require.Empty(w.t, w.messages())
		})
	}
	inOwnWorld(t, func(s *smtpd.Server) {
		s.Checks = []smtpd.Check{at("pass", "message", &smtpd.Verdict{Action: smtpd.Pass}, new(notes))}
	}, func(w *world) {
		through(w)
		require.Len(w.t, w.messages(), 1)
	})
}

func TestVerdictsAsText(t *testing.T) {
	t.Parallel()
	require.EqualError(t, smtpd.Accept("known"), "smtpd: accept: known")
	require.EqualError(t, smtpd.Quarantine(""), "smtpd: quarantine")
	require.EqualError(t, smtpd.Discard("spam"), "smtpd: discard: spam")
	cause := errors.New("why")
	require.EqualError(t, smtpd.Tarpit(time.Second, cause), "smtpd: tarpit: why")
	require.EqualError(t, smtpd.Close(cause), "smtpd: close: why")
	require.ErrorIs(t, smtpd.Close(cause), cause)
	require.Equal(t, "pass", smtpd.Pass.String())
	require.Equal(t, "refuse", smtpd.Refuse.String())
	require.Equal(t, "Action(-1)", smtpd.Action(-1).String())
	require.Equal(t, "Action(99)", smtpd.Action(99).String())
	require.Equal(t, "Phase(-1)", smtpd.Phase(-1).String())
	require.Equal(t, "Phase(99)", smtpd.Phase(99).String())
	require.Equal(t, "auth", smtpd.PhaseAuth.String())
	require.Equal(t, "command", smtpd.PhaseCommand.String())
	require.True(t, mailbricks.IsTemporary(smtpd.Temporary("x")))
	require.False(t, mailbricks.IsTemporary(smtpd.Permanent("x")))
}

// What a Handler returns is an outcome, whatever it says: it does not make mail disappear.
func TestHandlerHasNoVerdicts(t *testing.T) {
	for _, verdict := range []error{smtpd.Accept("x"), smtpd.Discard("x"), smtpd.Quarantine("x"), smtpd.Tarpit(time.Hour, nil),
		mailbricks.Results{smtpd.Discard("x")}} {
		for _, around := range []bool{false, true} {
			inOwnWorld(t, func(s *smtpd.Server) {
				if around {
					s.Checks = []smtpd.Check{{Around: func(ctx context.Context, _ *smtpd.Step,
						next func(context.Context) error) error {
						return next(ctx)
					}}}
				}
				s.Handler = mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope,
					*mailbricks.Message) error {
					return verdict
				})
			}, func(w *world) {
				began := time.Now()
				w.talk(toData + "C: .\nS* 451\nC: NOOP\nS* 250\n")
				require.Zero(w.t, time.Since(began))
			})
		}
	}
}
