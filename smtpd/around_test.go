package smtpd_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

type next = func(context.Context) error

// around is a check that goes around one step.
func around(name string, at smtpd.Phase, f func(ctx context.Context, step *smtpd.Step, next next) error) smtpd.Check {
	return smtpd.Check{Name: name, Around: func(ctx context.Context, step *smtpd.Step, next next) error {
		if step.Phase != at {
			return next(ctx)
		}
		return f(ctx, step, next)
	}}
}

func TestAroundGoesAroundWhatIsBehind(t *testing.T) {
	var seen notes
	note := func(name string) smtpd.Check {
		check := everyStep(name, func(_ context.Context, step string) error { seen.add("%s %s", name, step); return nil })
		check.Around = func(ctx context.Context, step *smtpd.Step, next next) error {
			seen.add("%s before %s", name, step.Phase)
			require.NotNil(t, step.Session)
			require.Equal(t, step.Phase > smtpd.PhaseHello, step.Transaction != nil)
			require.Equal(t, step.Phase == smtpd.PhaseRcpt, step.Recipient != nil)
			require.Equal(t, step.Phase == smtpd.PhaseMessage, step.Message != nil)
			_, inTransaction := smtpd.TransactionFrom(ctx)
			require.Equal(t, step.Transaction != nil, inTransaction)
			err := next(ctx)
			seen.add("%s after %s", name, step.Phase)
			return err
		}
		return check
	}
	inWorld(t, func(s *smtpd.Server) {
		s.Checks = []smtpd.Check{note("a"), note("b")}
		s.Handler = mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error {
			seen.add("handler")
			return nil
		})
	}, func(w *world) {
		through(w)
		var want []string
		for _, step := range steps {
			want = append(want, "a "+step, "a before "+step, "b "+step, "b before "+step)
			if step == "message" {
				want = append(want, "handler")
			}
			want = append(want, "b after "+step, "a after "+step)
		}
		require.Equal(w.t, want, seen.all())
	})
}

func TestAroundDecides(t *testing.T) {
	no := smtpd.Permanent("No")
	other := smtpd.Temporary("Other")
	refuser := smtpd.Check{Name: "inner", Mail: func(context.Context, *smtpd.Transaction) error { return no }}
	for _, test := range []struct {
		name    string
		f       func(ctx context.Context, step *smtpd.Step, next next) error
		reply   string
		outcome string
	}{
		{"passes on", func(ctx context.Context, _ *smtpd.Step, next next) error { return next(ctx) },
			"550 5.7.1 No", "mail inner refuse  550"},
		{"wraps", func(ctx context.Context, _ *smtpd.Step, next next) error { return fmt.Errorf("outer: %w", next(ctx)) },
			"550 5.7.1 No", "mail outer refuse  550"},
		{"swallows", func(ctx context.Context, _ *smtpd.Step, next next) error { _ = next(ctx); return nil },
			"250 2.1.0 Sender ok", ""},
		{"accepts", func(ctx context.Context, _ *smtpd.Step, next next) error { _ = next(ctx); return smtpd.Accept("known") },
			"250 2.1.0 Sender ok", "mail outer accept  0"},
		{"does not ask", func(context.Context, *smtpd.Step, next) error { return nil },
			"250 2.1.0 Sender ok", ""},
		{"says otherwise", func(ctx context.Context, _ *smtpd.Step, next next) error { _ = next(ctx); return other },
			"451 4.7.1 Other", "mail outer refuse  451"},
		{"refuses without asking", func(context.Context, *smtpd.Step, next) error { return other },
			"451 4.7.1 Other", "mail outer refuse  451"},
		{"tarpits what it was told", func(ctx context.Context, _ *smtpd.Step, next next) error {
			return smtpd.Tarpit(time.Second, next(ctx))
		},
			"550 5.7.1 No", "mail outer tarpit  0,mail outer refuse  550"},
		{"closes", func(ctx context.Context, _ *smtpd.Step, next next) error { return smtpd.Close(next(ctx)) },
			"550 5.7.1 No", "mail outer close  550"},
		{"asks twice", func(ctx context.Context, _ *smtpd.Step, next next) error { _ = next(ctx); return next(ctx) },
			"451 4.3.0 *", "mail outer refuse  451"},
		{"panics", func(ctx context.Context, _ *smtpd.Step, next next) error { _ = next(ctx); panic("outer") },
			"451 4.3.0 *", "mail outer refuse  451"},
		{"panics before", func(context.Context, *smtpd.Step, next) error { panic("outer") },
			"451 4.3.0 *", "mail outer refuse  451"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var told *notes
			inWorld(t, func(s *smtpd.Server) {
				s.Checks = []smtpd.Check{around("outer", smtpd.PhaseMail, test.f), refuser}
				told = outcomes(s)
			}, func(w *world) {
				w.talk(hello + "C: MAIL FROM:<a@example.net>\nS: " + test.reply + "\n")
				var want []string
				if test.outcome != "" {
					want = append(want, splitOutcomes(test.outcome)...)
				}
				require.Equal(w.t, want, told.all())
			})
		})
	}
}

func splitOutcomes(s string) (all []string) {
	for begin, i := 0, 0; i <= len(s); i++ {
		if i == len(s) || s[i] == ',' {
			all, begin = append(all, s[begin:i]), i+1
		}
	}
	return all
}

// A message is accepted only if the Handler has taken it, whatever goes around it.
func TestNoAroundAcceptsWhatTheHandlerHasNotTaken(t *testing.T) {
	took := mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error { return nil })
	refused := mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error {
		return &mailbricks.Reply{Code: 554, Enhanced: "5.6.0", Text: "Handler says no"}
	})
	panics := mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error { panic("handler") })
	swallow := func(ctx context.Context, _ *smtpd.Step, next next) error { _ = next(ctx); return nil }
	for _, test := range []struct {
		name    string
		f       func(ctx context.Context, step *smtpd.Step, next next) error
		inner   error // of a Message check behind it
		handler mailbricks.Handler
		reply   string
		calls   int
		who     string
	}{
		{"passes on success", func(ctx context.Context, _ *smtpd.Step, next next) error { return next(ctx) }, nil, took, "250 *", 1,
			""},
		{"passes on failure", func(ctx context.Context, _ *smtpd.Step, next next) error { return next(ctx) }, nil, refused,
			"554 5.6.0 Handler says no", 1, "handler"},
		{"passes on a panic", func(ctx context.Context, _ *smtpd.Step, next next) error { return next(ctx) }, nil, panics,
			"451 4.3.0 *", 1, "handler"},
		{"does not ask", func(context.Context, *smtpd.Step, next) error { return nil }, nil, took, "451 4.3.0 *", 0, "outer"},
		{"accepts without asking", func(context.Context, *smtpd.Step, next) error { return smtpd.Accept("x") }, nil, took,
			"451 4.3.0 *", 0, "outer"},
		{"quarantines without asking", func(context.Context, *smtpd.Step, next) error { return smtpd.Quarantine("x") }, nil, took,
			"451 4.3.0 *", 0, "outer"},
		{"swallows the Handler's error", swallow, nil, refused, "554 5.6.0 Handler says no", 1, "handler"},
		{"swallows the Handler's panic", swallow, nil, panics, "451 4.3.0 *", 1, "handler"},
		{"swallows a check's refusal", swallow, smtpd.Permanent("x"), took, "451 4.3.0 *", 0, "outer"},
		{"swallows a check's Discard", swallow, smtpd.Discard("x"), took, "451 4.3.0 *", 0, "outer"},
		{"accepts against the Handler", func(ctx context.Context, _ *smtpd.Step, next next) error {
			_ = next(ctx)
			return smtpd.Accept("x")
		}, nil, refused, "554 *", 1, "handler"},
		{"a check accepts", swallow, smtpd.Accept("x"), took, "250 *", 1, ""},
		{"refuses what was taken", func(ctx context.Context, _ *smtpd.Step, next next) error {
			_ = next(ctx)
			return smtpd.Temporary("x")
		}, nil, took, "451 4.7.1 x", 1, "outer"},
		{"discards without asking", func(context.Context, *smtpd.Step, next) error { return smtpd.Discard("x") }, nil, took,
			"250 *", 0, ""},
		{"passes on a Discard", func(ctx context.Context, _ *smtpd.Step, next next) error { return next(ctx) }, smtpd.Discard("x"),
			took, "250 *", 0, ""},
		{"asks twice", func(ctx context.Context, _ *smtpd.Step, next next) error { _ = next(ctx); _ = next(ctx); return nil }, nil,
			took, "250 *", 1, ""},
		{"panics afterwards", func(ctx context.Context, _ *smtpd.Step, next next) error { _ = next(ctx); panic("outer") }, nil,
			took, "451 4.3.0 *", 1, "outer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var told *notes
			inWorld(t, func(s *smtpd.Server) {
				calls := new(notes)
				handler := test.handler
				s.Handler = mailbricks.HandlerFunc(func(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
					calls.add("called")
					return handler.Handle(ctx, env, msg)
				})
				s.Checks = []smtpd.Check{
					around("outer", smtpd.PhaseMessage, test.f),
					{Name: "inner", Message: func(context.Context, *smtpd.Transaction, *mailbricks.Message) error { return test.inner }},
				}
				told = outcomes(s)
				t.Cleanup(func() { require.Len(t, calls.all(), test.calls) })
			}, func(w *world) {
				w.talk(toData + "C: .\nS: " + test.reply + "\nC: NOOP\nS* 250\n")
				refusals := 0
				for _, line := range told.all() {
					var phase, check, action string
					fmt.Sscan(line, &phase, &check, &action)
					if action == "refuse" {
						require.Equal(w.t, test.who, check)
					}
					if action == "refuse" || check == "refuse" { // the server's own
						refusals++
					}
				}
				if test.reply[0] == '2' {
					require.Zero(w.t, refusals)
				} else {
					require.Equal(w.t, 1, refusals, told.all())
				}
			})
		})
	}
}

// A step is not over before all that was begun for it has ended.
func TestNextOfAnotherGoroutineIsWaitedFor(t *testing.T) {
	var seen notes
	hasty := around("hasty", smtpd.PhaseMessage, func(ctx context.Context, _ *smtpd.Step, next next) error {
		go func() { _ = next(ctx) }()
		synctest.Wait() // until next has begun
		return nil
	})
	inWorld(t, func(s *smtpd.Server) {
		s.Checks = []smtpd.Check{hasty}
		s.Handler = mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error {
			time.Sleep(time.Minute)
			seen.add("taken")
			return nil
		})
	}, func(w *world) {
		through(w)
		require.Equal(w.t, []string{"taken"}, seen.all())
	})
}

func TestNextAfterTheStepIsOver(t *testing.T) {
	late := make(chan next, 1)
	keeps := around("keeps", smtpd.PhaseMessage, func(_ context.Context, _ *smtpd.Step, next next) error {
		late <- next
		return nil
	})
	inWorld(t, func(s *smtpd.Server) { s.Checks = []smtpd.Check{keeps} }, func(w *world) {
		w.talk(toData + "C: .\nS* 451\n")
		require.Error(w.t, (<-late)(context.Background()))
		require.Empty(w.t, w.messages())
	})
}

// errUncomparable is an error that does not compare.
type errUncomparable []int

func (errUncomparable) Error() string { return "uncomparable" }

func TestAroundPassesAnyError(t *testing.T) {
	pass := smtpd.Check{Name: "pass", Around: func(ctx context.Context, _ *smtpd.Step, next next) error { return next(ctx) }}
	for name, err := range map[string]error{
		"uncomparable": errUncomparable{1}, "results": mailbricks.Results{errors.New("x"), nil},
		"hidden": fmt.Errorf("x: %w", errUncomparable{1}),
		"inside": struct{ error }{errUncomparable{2}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(s *smtpd.Server) {
				s.Checks = []smtpd.Check{pass}
				s.Handler = mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error { return err })
			}, func(w *world) { w.talk(toData + "C: .\nS* 451\nC: NOOP\nS* 250\n") })
		})
	}
}

func TestDisconnectIsToldWhatTheSessionCameTo(t *testing.T) {
	counts := make(chan smtpd.Counts, 1)
	first := smtpd.Check{Name: "first", Disconnect: func(context.Context, *smtpd.Session) { panic("first") }}
	inWorld(t, func(s *smtpd.Server) {
		withAuth()(s)
		s.Checks = []smtpd.Check{first, {Name: "second", Disconnect: func(_ context.Context, s *smtpd.Session) { counts <- s.Counts() }}, {
			Rcpt: func(_ context.Context, _ *smtpd.Transaction, rcpt *mailbricks.Recipient) error {
				if rcpt.Address == "nobody@example.com" {
					return smtpd.Permanent("No")
				}
				return nil
			},
		}}
	}, func(w *world) {
		w.talk(hello + "C: AUTH PLAIN AGEAYg==\nS* 535\nC: WHAT\nS* 500\n" + mailTo[len(hello):] +
			"C: RCPT TO:<nobody@example.com>\nS* 550\nC: RCPT TO:<carol@example.com>\nS* 250\n" +
			"C: DATA\nS* 354\nC: .\nS* 250\nC: QUIT\nS* 221\nS$\n")
		require.Equal(w.t, smtpd.Counts{Errors: 1, BadRecipients: 1, AuthFailures: 1, Messages: 1, Recipients: 2}, <-counts)
	})
}
