package smtpd_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// full is a check that refuses the senders of example.net for now, as on a full disk.
var full = smtpd.Check{Name: "space", Mail: func(_ context.Context, tx *smtpd.Transaction) error {
	if strings.HasSuffix(tx.Envelope.From, "@example.net") {
		return &mailbricks.Reply{Code: 452, Enhanced: "4.3.1", Text: "Full"}
	}
	return nil
}}

const (
	toFull  = "C: MAIL FROM:<a@example.net>\n"
	toBob   = "C: RCPT TO:<bob@example.com>\n"
	refused = "S: 503 5.5.1 MAIL was refused\n"
	quit    = "C: QUIT\nS* 221\nS$\n"
)

// What a client has pipelined behind a command that is refused is no fault of its own, and there is one record of it all.
func TestCommandsBehindARefusal(t *testing.T) {
	lmtp := func(s *smtpd.Server) { s.LMTP = true }
	chunks := `R: "MAIL FROM:<a@example.net>\r\nRCPT TO:<bob@example.com>\r\n` +
		`BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"` + "\n"
	for _, test := range []struct {
		name     string
		setUp    func(*smtpd.Server)
		script   string
		refusals int
		errors   int
	}{
		{"MAIL refused for now", nil, hello + toFull + strings.Repeat(toBob, 30) + "C: DATA\nS: 452 4.3.1 Full\n" +
			strings.Repeat(refused, 31) + strings.Replace(taken, "example.net", "example.org", 1), 1, 0},
		{"again and again", nil, hello + strings.Repeat(toFull+toBob+"C: DATA\nS: 452 4.3.1 Full\n"+refused+refused, 36), 36, 0},
		{"chunks", nil, hello + chunks + "S: 452 4.3.1 Full\n" + strings.Repeat(refused, 3) + "S: 250 2.0.0 Ok\n", 1, 0},
		{"MAIL malformed", nil, hello + "C: MAIL FROM:<a>\n" + toBob + "C: DATA\nS* 501\n" + refused + refused, 1, 1},
		{"MAIL too large", func(s *smtpd.Server) { s.MaxMessageSize = 10 }, hello + "C: MAIL FROM:<a@example.org> SIZE=11\n" + toBob +
			"C: DATA\nS* 552\n" + refused + refused, 1, 0},
		{"MAIL behind a chunk that failed", nil, hello + "C: MAIL FROM:<a@example.org>\nS* 250\n" + toBob + "S* 250\n" +
			`R: "BDAT 3\r\nx\ny"` + "\nS* 550\nC: MAIL FROM:<a>\nS* 501\n" + toBob + "C: DATA\n" + refused + refused, 2, 2},
		{"all recipients refused for now", nil, hello + strings.Repeat("C: MAIL FROM:<a@example.org>\nC: RCPT TO:<x@example.com>\n"+
			"C: DATA\nS* 250\nS: 451 4.7.1 Later\nS: 554 5.5.1 No valid recipients\nC: RSET\nS* 250\n", 30), 30, 0},
		{"in LMTP", lmtp, "S* 220\nC: LHLO x\nS* 250\n" + strings.Repeat("C: MAIL FROM:<a@example.org>\nC: RCPT TO:<x@example.com>\n"+
			"C: DATA\nS* 250\nS: 451 4.7.1 Later\nS: 503 5.5.1 No valid recipients\nC: RSET\nS* 250\n", 30), 30, 0},
		{"a malformed recipient", nil, hello + "C: MAIL FROM:<a@example.org>\nC: RCPT TO:<@>\nC: DATA\nS* 250\nS* 501\n" +
			"S: 554 5.5.1 No valid recipients\n", 1, 1},
		{"until RSET", nil, hello + toFull + "S* 452\nC: RSET\nS* 250\nC: DATA\nS: 503 5.5.1 MAIL first\n", 2, 1},
		{"until EHLO", nil, hello + toFull + "S* 452\nC: EHLO x\nS* 250\n" + toBob + "S: 503 5.5.1 MAIL first\n", 2, 1},
		{"until MAIL", nil, hello + toFull + "S* 452\nC: MAIL FROM:<a@example.org>\nS* 250\n" +
			"C: DATA\nS: 503 5.5.1 RCPT first\n", 2, 1},
		{"no recipients, after a message that had none which fit", nil, hello + "C: MAIL FROM:<a@example.org>\nS* 250\n" + deferred +
			"C: RSET\nS* 250\nC: MAIL FROM:<a@example.org>\nS* 250\nC: DATA\nS: 503 5.5.1 RCPT first\n", 2, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			var seen records
			var counts chan smtpd.Counts
			inWorld(t, func(s *smtpd.Server) {
				counts = make(chan smtpd.Counts, 1) // of the bubble
				tell := smtpd.Check{Disconnect: func(_ context.Context, s *smtpd.Session) { counts <- s.Counts() }}
				s.Checks = []smtpd.Check{full, later, tell}
				if test.setUp != nil {
					test.setUp(s)
				}
				seen.of(s)
			}, func(w *world) {
				w.talk(test.script + quit)
				require.Equal(w.t, test.errors, (<-counts).Errors)
				synctest.Wait()
				require.Len(w.t, seen.refusals(), test.refusals)
				require.Len(w.t, seen.lines("refused"), test.refusals)
			})
		})
	}
}

// Nobody may send such commands for ever.
func TestCommandsBehindARefusalAreBounded(t *testing.T) {
	const closing = "S: 421 4.7.0 Too many commands without a message, closing\nS$\n"
	begin := hello + toFull + "S* 452\n"
	setUp := func(limits func(*smtpd.Server)) func(*smtpd.Server) {
		return func(s *smtpd.Server) {
			s.Checks = []smtpd.Check{full, later}
			limits(s)
		}
	}
	for _, test := range []struct {
		name  string
		setUp func(*smtpd.Server)
		start string
		again string
		most  int
	}{
		{"RCPT", func(*smtpd.Server) {}, begin, toBob + refused, smtpd.DefaultMaxRecipients + 1000},
		{"no limit of recipients", func(s *smtpd.Server) { s.MaxRecipients = -1 }, begin, toBob + refused, 1000},
		{"DATA, again and again", func(s *smtpd.Server) { s.MaxRecipients, s.MaxTransactions = 1, -1 }, hello,
			toFull + "S* 452\nC: DATA\n" + refused, 1001},
		{"DATA without recipients", func(s *smtpd.Server) { s.MaxRecipients = 1 },
			hello + "C: MAIL FROM:<a@example.org>\nS* 250\n" + deferred, "C: DATA\nS* 554\n", 1001},
		{"under stress", func(s *smtpd.Server) { s.MaxConnections = 1 }, begin, toBob + refused, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			inWorld(t, setUp(test.setUp), func(w *world) {
				last := test.again[:strings.LastIndex(strings.TrimSuffix(test.again, "\n"), "\n")+1]
				w.talk(test.start + strings.Repeat(test.again, test.most) + last + closing)
			})
		})
	}
}

// A client that leaves while a check works has not been refused anything.
func TestPeerLeavesDuringACheck(t *testing.T) {
	scripts := map[string]string{"connect": "", "hello": "S* 220\nC: EHLO x\n", "mail": hello + "C: MAIL FROM:<a@example.net>\n",
		"rcpt": hello + "C: MAIL FROM:<a@example.net>\nS* 250\n" + toBob, "data": mailTo + "C: DATA\n"}
	for step, script := range scripts {
		for name, fail := range map[string]func(context.Context) error{
			"its own error": context.Cause,
			"another one":   func(context.Context) error { return errors.New("the resolver was cancelled") },
			"a refusal":     func(context.Context) error { return smtpd.Temporary("Later") },
		} {
			t.Run(step+", "+name, func(t *testing.T) {
				var seen records
				inWorld(t, func(s *smtpd.Server) {
					s.Checks = []smtpd.Check{everyStep("waits", func(ctx context.Context, at string) error {
						if at != step {
							return nil
						}
						<-ctx.Done()
						return fail(ctx)
					})}
					seen.of(s)
				}, func(w *world) {
					w.talk(script + "W: 1s\nH:\n")
					synctest.Wait()
					require.Empty(w.t, seen.refusals())
					require.Empty(w.t, seen.log.String())
				})
			})
		}
	}
}
