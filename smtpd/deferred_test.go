package smtpd_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// later is a check that refuses recipients other than bob@example.com for now, as greylisting does.
var later = smtpd.Check{Name: "later", Rcpt: func(_ context.Context, _ *smtpd.Transaction, rcpt *mailbricks.Recipient) error {
	if rcpt.Address == "bob@example.com" {
		return nil
	}
	return smtpd.Temporary("Later")
}}

const (
	sender   = "C: MAIL FROM:<a@example.net>\nS* 250\n"
	deferred = "C: RCPT TO:<nobody@example.com>\nS: 451 4.7.1 Later\n"
	deferEnd = "C: RCPT TO:<nobody@example.com>\nS: 421 4.7.0 Too many recipients without a message, closing\nS$\n"
	taken    = sender + "C: RCPT TO:<bob@example.com>\nS* 250\nC: DATA\nS* 354\nC: .\nS* 250\n"
)

// A message for many that is greylisted is no attack; but nobody may ask for ever.
func TestRecipientsThatAreRefusedForNow(t *testing.T) {
	for _, test := range []struct {
		name   string
		setUp  func(*smtpd.Server)
		script string
		counts smtpd.Counts
	}{
		{"a large message, twice", nil, strings.Repeat(sender+strings.Repeat(deferred, 150)+"C: DATA\nS* 554\nC: RSET\nS* 250\n", 2) +
			"C: QUIT\nS* 221\nS$\n", smtpd.Counts{DeferredRecipients: 300}},
		{"default", nil, sender + strings.Repeat(deferred, smtpd.DefaultMaxDeferredRecipients-1) + deferEnd,
			smtpd.Counts{DeferredRecipients: 1000}},
		{"a message between", func(s *smtpd.Server) { s.MaxDeferredRecipients = 3 },
			sender + deferred + deferred + "C: RSET\nS* 250\n" + taken + sender + deferred + deferred + deferEnd,
			smtpd.Counts{DeferredRecipients: 5, Messages: 1, Recipients: 1}},
		{"no limit", func(s *smtpd.Server) { s.MaxDeferredRecipients = -1 },
			sender + strings.Repeat(deferred, 1500) + "C: QUIT\nS* 221\nS$\n", smtpd.Counts{DeferredRecipients: 1500}},
		{"a large message under stress", func(s *smtpd.Server) { s.MaxConnections = 1 },
			sender + strings.Repeat(deferred, smtpd.DefaultStressMaxDeferredRecipients-1) + deferEnd,
			smtpd.Counts{DeferredRecipients: 200}},
		{"a limit under stress", func(s *smtpd.Server) { s.MaxConnections, s.StressMaxDeferredRecipients = 1, 2 },
			sender + deferred + deferEnd, smtpd.Counts{DeferredRecipients: 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var counts chan smtpd.Counts
			inWorld(t, func(s *smtpd.Server) {
				counts = make(chan smtpd.Counts, 1) // of the bubble
				s.Checks = []smtpd.Check{later, {Disconnect: func(_ context.Context, s *smtpd.Session) { counts <- s.Counts() }}}
				if test.setUp != nil {
					test.setUp(s)
				}
			}, func(w *world) {
				w.talk(hello + test.script)
				require.Equal(w.t, test.counts, <-counts)
			})
		})
	}
}

// Each client of a proxy has its own.
func TestDeferredRecipientsOfAProxysClients(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) {
		s.MaxDeferredRecipients, s.Checks = 3, []smtpd.Check{later}
		s.TrustXCLIENT = func(mailbricks.Peer) bool { return true }
	}, func(w *world) {
		one := "C: XCLIENT ADDR=198.51.100.1\nS* 220\nC: EHLO a.example\nS* 250\n" + sender + deferred + deferred +
			"C: RSET\nS* 250\n"
		w.talk("S* 220\n" + one + one + one)
	})
}
