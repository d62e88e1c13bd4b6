package smtpd_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// A refusal says what was refused, in its record and in its line of the log; what may be a password is in neither.
func TestOutcomeHasTheCommand(t *testing.T) {
	long := strings.Repeat("x", 200)
	login := func(s *smtpd.Server) { withAuth("PLAIN", "LOGIN")(s) }
	for name, test := range map[string]struct {
		script string
		want   []string
	}{
		"unknown command":   {"C: FOO bar\nS* 500\n", []string{"FOO"}},
		"no letters":        {"C: 123 bar\nS* 500\n", []string{""}},
		"another protocol":  {"C: login ann secret\nS* 500\nC: PASS secret\nS* 500\n", []string{"LOGIN", "PASS"}},
		"malformed address": {"C: mail from:<a@@b>\nS* 501\n", []string{"MAIL from:<a@@b>"}},
		"malformed recipient": {"C: MAIL FROM:<a@b>\nS* 250\nC: RCPT TO:<c@d_e> NOTIFY=NEVER\nS* 501\n",
			[]string{"RCPT TO:<c@d_e> NOTIFY=NEVER"}},
		"out of order":        {"C: RCPT TO:<c@d>\nS* 503\nC: DATA\nS* 503\n", []string{"RCPT TO:<c@d>", "DATA"}},
		"chunk":               {"C: BDAT x\nS* 501\nS$\n", []string{"BDAT x"}},
		"hello by a check":    {"C: EHLO bad.test\nS* 550\n", []string{"EHLO bad.test"}},
		"malformed hello":     {"C: EHLO J\u00fcrgen!\nS* 501\n", []string{"EHLO J\u00fcrgen!"}},
		"not UTF-8":           {"R: \"EHLO a\\xffb\\r\\n\"\nS* 501\n", []string{"EHLO a?b"}},
		"bare LF":             {"R: \"MAIL FROM:<a@b>\\n\"\nS* 500\n", []string{"MAIL FROM:<a@b>"}},
		"control characters":  {"R: \"RCPT TO:<a\\x1b[31m@b>\\r\\n\"\nS* 500\n", []string{"RCPT TO:<a?[31m@b>"}},
		"long":                {"C: VRFY " + long + "\nC: RSET " + long + "\nS* 252\nS* 501\n", []string{"RSET " + long[:95]}},
		"long, in characters": {"C: RSET " + strings.Repeat("\u00fc", 60) + "\nS* 501\n", []string{"RSET " + strings.Repeat("\u00fc", 47) + "?"}},
		"too long":            {"C: NOOP " + strings.Repeat("x", 600) + "\nS* 500\n", []string{"NOOP " + long[:95]}},
		"message":             {"C: MAIL FROM:<a@b>\nS* 250\nC: RCPT TO:<c@d>\nS* 250\nC: DATA\nS* 354\nR: \"\\n.\\r\\n.\\r\\n\"\nS* 550\n", []string{"DATA"}},
		"waited too long":     {"W: 5m\nS* 421\nS$\n", []string{""}},
		"wrong password":      {"C: AUTH PLAIN AGEAc2VjcmV0\nS* 535\n", []string{"AUTH"}},
		"no mechanism":        {"C: AUTH XSECRET c2VjcmV0\nS* 504\n", []string{"AUTH"}},
		"log-in that was refused, with its responses": {
			"C: AUTH XSECRET\nC: c2VjcmV0\nC: secret secret\nC: RSET now\nC: secret\nS* 504\nS* 500\nS* 500\nS* 501\nS* 500\n",
			[]string{"AUTH", "", "", "RSET now", "SECRET"}},
		"log-in with a tab":     {"R: \"AUTH\\tPLAIN\\tsecret\\r\\n\"\nS* 500\n", []string{"AUTH"}},
		"log-in with a blank":   {"C:  AUTH PLAIN secret\nS* 500\n", []string{""}},
		"log-in with bare LF":   {"R: \"AUTH PLAIN secret\\nsecret\\n\"\nS* 500\nS* 500\n", []string{"AUTH", ""}},
		"log-in that took long": {"C: AUTH LOGIN\nS* 334\nW: 5m\nS* 421\nS$\n", []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			var seen records
			inWorld(t, func(s *smtpd.Server) {
				login(s)
				s.Checks = []smtpd.Check{{Name: "names", Hello: func(_ context.Context, _ *smtpd.Session, name string) error {
					if name == "bad.test" {
						return smtpd.Permanent("Not you")
					}
					return nil
				}}}
				seen.of(s)
			}, func(w *world) {
				w.talk(hello + test.script)
				synctest.Wait()
				var got []string
				for _, o := range seen.refusals() {
					got = append(got, o.Command)
					require.True(w.t, utf8.ValidString(o.Command))
				}
				require.Equal(w.t, test.want, got)
				if !strings.Contains(test.script, "RSET now") {
					require.NotContains(w.t, strings.ToLower(seen.log.String()), "=secret")
					require.NotContains(w.t, strings.ToLower(seen.log.String()), " secret")
				}
				require.NotContains(w.t, strings.ToLower(seen.log.String()), "c2vjcmv0")
				if test.want[0] == "EHLO bad.test" {
					require.Len(w.t, seen.lines(`command="EHLO bad.test"`, "check=names"), 1)
				}
			})
		})
	}
}

// The recipient of a record is the address, however the client has put it.
func TestOutcomeHasThePlainRecipient(t *testing.T) {
	var seen records
	no := smtpd.Check{Rcpt: func(context.Context, *smtpd.Transaction, *mailbricks.Recipient) error { return smtpd.Permanent("No") }}
	inWorld(t, func(s *smtpd.Server) { s.Checks = []smtpd.Check{no}; seen.of(s) }, func(w *world) {
		w.talk(hello + "C: MAIL FROM:<a@b>\nS* 250\nC: RCPT TO:<@x,@y:\"bob\"@example.com>\nS* 550\n")
		require.Equal(w.t, "bob@example.com", seen.told[0].Recipient)
		require.Equal(w.t, `RCPT TO:<@x,@y:"bob"@example.com>`, seen.told[0].Command)
	})
}
