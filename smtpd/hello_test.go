package smtpd_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// named has a check that says of the name in EHLO what the name asks for, and notes what each step sees.
func named(s *smtpd.Server, seen *notes) {
	note := func(ctx context.Context, step string, s *smtpd.Session) {
		_, within := smtpd.TransactionFrom(ctx)
		seen.add("%s %s %s %v", step, s.Peer.Hello, s.Peer.Protocol, within)
	}
	s.Checks = []smtpd.Check{{
		Hello: func(ctx context.Context, s *smtpd.Session, name string) error {
			note(ctx, "hello", s)
			switch name {
			case "bad.test":
				return smtpd.Permanent("Not you")
			case "later.test":
				return smtpd.Temporary("Not now")
			case "panic.test":
				panic("hello")
			case "odd.test":
				return smtpd.Quarantine("odd")
			case "odd.bad.test":
				return smtpd.Tarpit(0, smtpd.Permanent("Not you"))
			}
			return nil
		},
		Rcpt: func(ctx context.Context, tx *smtpd.Transaction, _ *mailbricks.Recipient) error {
			note(ctx, "rcpt", tx.Session)
			return nil
		},
	}}
	s.Trace.Hello = func(s *smtpd.Session, err error) { seen.add("trace %s %v", s.Peer.Hello, err != nil) }
}

// An EHLO that is refused leaves all as it was (RFC 5321 §4.1.4).
func TestRefusedHelloChangesNothing(t *testing.T) {
	for _, name := range []string{"bad.test 550", "later.test 451", "panic.test 451", "odd.bad.test 550"} {
		for _, verb := range []string{"EHLO", "HELO"} {
			t.Run(verb+" "+name, func(t *testing.T) {
				var who, code string
				_, err := fmt.Sscan(name, &who, &code)
				require.NoError(t, err)
				again := "C: " + verb + " " + who + "\nS* " + code + "\n"
				var seen notes
				inWorld(t, func(s *smtpd.Server) { named(s, &seen) }, func(w *world) {
					w.talk("S* 220\n" + again + "C: MAIL FROM:<a@example.net>\nS: 503 5.5.1 EHLO first\n" +
						"C: EHLO odd.test\nS* 250\n" + again + "C: MAIL FROM:<a@example.net>\nS* 250\n" + again +
						"C: RCPT TO:<b@example.com>\nS* 250\n" + again + "R: \"BDAT 4\\r\\nx: y\"\nS* 250\n" + again +
						"R: \"BDAT 4 LAST\\r\\n\\r\\n\\r\\n\"\nS* 250\n" +
						"C: EHLO good.test\nS* 250\nC: MAIL FROM:<a@example.net>\nS* 250\nC: EHLO good.test\nS* 250\nC: RCPT TO:<b@example.com>\nS* 503\n")
					require.Len(w.t, w.messages(), 1)
					env := w.messages()[0].Envelope
					require.Equal(w.t, "odd.test", env.Peer.Hello)
					require.Equal(w.t, "ESMTP", env.Peer.Protocol)
					require.Equal(w.t, "odd", env.Quarantine)
					require.Contains(w.t, string(w.messages()[0].Raw), "x: y\r\n\r\n")
					protocol := map[string]string{"EHLO": "ESMTP", "HELO": "SMTP"}[verb]
					refused := []string{"hello " + who + " " + protocol + " false", "trace " + who + " true"}
					accepted := []string{"hello good.test ESMTP false", "trace good.test false"}
					var want []string
					want = append(want, refused...)
					want = append(want, "hello odd.test ESMTP false", "trace odd.test false")
					want = append(append(want, refused...), refused...)
					want = append(append(want, "rcpt odd.test ESMTP true"), refused...)
					want = append(append(append(want, refused...), accepted...), accepted...)
					require.Equal(w.t, want, seen.all())
				})
			})
		}
	}
}
