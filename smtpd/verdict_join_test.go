package smtpd_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// Of several errors in one the strictest holds: a refusal is not lost beside a verdict.
func TestJoinedVerdicts(t *testing.T) {
	plain, no := errors.New("plain"), smtpd.Permanent("no")
	quarantine, accept, discard := smtpd.Quarantine("q"), smtpd.Accept("a"), smtpd.Discard("d")
	for _, test := range []struct {
		name string
		err  error
		code string
		told string // the outcomes
	}{
		{"quarantine and refusal", errors.Join(quarantine, no), "550", "rcpt x refuse b@example.com 550"},
		{"refusal and quarantine", errors.Join(no, quarantine), "550", "rcpt x refuse b@example.com 550"},
		{"accept and refusal", errors.Join(accept, no), "550", "rcpt x refuse b@example.com 550"},
		{"discard and refusal", errors.Join(discard, no), "550", "rcpt x refuse b@example.com 550"},
		{"discard and a fault", errors.Join(discard, plain), "451", "rcpt x refuse b@example.com 451"},
		{"several %w", fmt.Errorf("%w: %w", quarantine, no), "550", "rcpt x refuse b@example.com 550"},
		{"several %w with a sentinel", fmt.Errorf("%w: %w", plain, accept), "451", "rcpt x refuse b@example.com 451"},
		{"deep", fmt.Errorf("x: %w", errors.Join(errors.Join(quarantine, fmt.Errorf("y: %w", no)))), "550",
			"rcpt x refuse b@example.com 550"},
		{"tarpit and refusal", errors.Join(smtpd.Tarpit(time.Second, nil), no), "550", "rcpt x refuse b@example.com 550"},
		{"tarpit that accepts and refusal", errors.Join(smtpd.Tarpit(time.Second, accept), no), "550",
			"rcpt x refuse b@example.com 550"},
		{"tarpit that joins", smtpd.Tarpit(time.Second, errors.Join(quarantine, no)), "550",
			"rcpt x tarpit b@example.com 0,rcpt x refuse b@example.com 550"},
		{"tarpit that refuses and discard", errors.Join(discard, smtpd.Tarpit(time.Second, no)), "550",
			"rcpt x tarpit b@example.com 0,rcpt x refuse b@example.com 550"},
		{"close and refusal", errors.Join(no, smtpd.Close(smtpd.Permanent("bye"))), "550", "rcpt x close b@example.com 550"},
		{"no action", errors.Join(accept, &smtpd.Verdict{Action: 50}), "451", "rcpt x refuse b@example.com 451"},
		{"beneath a reply", &mailbricks.Reply{Code: 550, Err: accept}, "550", "rcpt x refuse b@example.com 550"},
		{"no verdict", (*smtpd.Verdict)(nil), "451", "rcpt x refuse b@example.com 451"},
		{"results", mailbricks.Results{nil, quarantine, no}, "550", "rcpt x refuse b@example.com 550"},
		{"nothing in it", mailbricks.Results{nil}, "451", "rcpt x refuse b@example.com 451"},

		{"wrapped", fmt.Errorf("x: %w", accept), "250", "rcpt x accept b@example.com 0"},
		{"joined alone", errors.Join(nil, quarantine), "250", "rcpt x quarantine b@example.com 0"},
		{"two quarantines", errors.Join(quarantine, smtpd.Quarantine("r")), "250", "rcpt x quarantine b@example.com 0"},
		{"accept and quarantine", errors.Join(accept, quarantine), "250", "rcpt x quarantine b@example.com 0"},
		{"tarpit and quarantine", errors.Join(smtpd.Tarpit(time.Second, nil), quarantine), "250",
			"rcpt x quarantine b@example.com 0"},
		{"quarantine and discard", errors.Join(quarantine, discard), "250", "rcpt x discard b@example.com 0"},
		{"pass and accept", errors.Join(accept, &smtpd.Verdict{}), "250", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var told *notes
			inWorld(t, func(s *smtpd.Server) {
				s.Checks = []smtpd.Check{{Name: "x", Rcpt: func(context.Context, *smtpd.Transaction, *mailbricks.Recipient) error {
					return test.err
				}}}
				told = outcomes(s)
			}, func(w *world) {
				w.talk(hello + "C: MAIL FROM:<a@example.net>\nS* 250\nC: RCPT TO:<b@example.com>\nS* " + test.code + "\n")
				var want []string
				if test.told != "" {
					want = splitOutcomes(test.told)
				}
				require.Equal(w.t, want, told.all())
			})
		})
	}
}
