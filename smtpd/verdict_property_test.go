package smtpd_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

// verdicts are what a check may say.
var verdicts = rapid.SampledFrom([]error{
	nil, nil, nil, smtpd.Accept("a"), smtpd.Quarantine("q"), smtpd.Discard("d"), smtpd.Tarpit(time.Second, nil),
	smtpd.Tarpit(time.Second, smtpd.Discard("d")),
	smtpd.Tarpit(time.Second, smtpd.Permanent("p")), smtpd.Permanent("p"), smtpd.Temporary("t"),
	smtpd.Close(smtpd.Permanent("c")), errors.New("e"),
	&mailbricks.Reply{Code: 250, Text: "no refusal"}, &smtpd.Verdict{Action: 50}, mailbricks.Results{nil, errors.New("r")},
})

// randomCheck says anything at any step, and goes around the others in any way.
func randomCheck(r *rapid.T, step string) smtpd.Check {
	check := smtpd.Check{}
	own, ways := make(map[string]error), make(map[smtpd.Phase]string)
	for phase := smtpd.PhaseConnect; phase <= smtpd.PhaseMessage; phase++ {
		own[phase.String()] = verdicts.Draw(r, step+" "+phase.String())
		ways[phase] = rapid.SampledFrom([]string{"pass", "pass", "pass", "swallow", "skip", "say", "twice", "panic",
			"panic after"}).Draw(r, step+" around "+phase.String())
	}
	said := verdicts.Draw(r, step+" says")
	if rapid.Bool().Draw(r, step+" has its own") {
		check = everyStep(step, func(_ context.Context, step string) error { return own[step] })
	}
	if rapid.Bool().Draw(r, step+" goes around") {
		check.Around = func(ctx context.Context, s *smtpd.Step, next next) error {
			switch ways[s.Phase] {
			case "swallow":
				_ = next(ctx)
				return nil
			case "skip":
				return nil
			case "say":
				_ = next(ctx)
				return said
			case "twice":
				_ = next(ctx)
				return next(ctx)
			case "panic":
				panic("before")
			case "panic after":
				_ = next(ctx)
				panic("after")
			}
			return next(ctx)
		}
	}
	return check
}

// Whatever checks and the Handler do: a message that is accepted was taken by the Handler or thrown away by a Discard, and each
// refusal is one outcome.
func TestChecksAccountForEveryMessage(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		var checks []smtpd.Check
		for i := range rapid.IntRange(0, 3).Draw(r, "checks") {
			checks = append(checks, randomCheck(r, string(rune('a'+i))))
		}
		handled := verdicts.Draw(r, "handler")
		panics := rapid.IntRange(0, 4).Draw(r, "handler panics") == 0
		synctest.Test(t, func(t *testing.T) {
			taken, refusals, discards := 0, 0, 0
			srv := &smtpd.Server{Hostname: "mail.example.com", Checks: checks}
			srv.Handler = mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error {
				if panics {
					panic("handler")
				}
				if mailbricks.ResultsOf(handled, 1)[0] == nil { // the only recipient's
					taken++
				}
				return handled
			})
			srv.Trace.Outcome = func(o smtpd.Outcome) {
				switch o.Action {
				case smtpd.Refuse, smtpd.ClosePeer:
					refusals++
				case smtpd.DiscardMail:
					discards++
				}
			}
			network := mailtest.NewNetwork()
			l, err := network.Listen("tcp", "192.0.2.1:25")
			require.NoError(t, err)
			ended := make(chan error, 1)
			go func() { ended <- srv.Serve(l) }()
			defer func() { <-ended }()
			defer srv.Close()
			conn, err := network.Dialer("203.0.113.9").Dial("tcp", "192.0.2.1:25")
			require.NoError(t, err)
			defer conn.Close()
			c := newClient(t, conn)
			refused := 0
			for _, command := range []string{
				"", "EHLO a.example\r\n", "MAIL FROM:<a@example.net>\r\n", "RCPT TO:<b@example.com>\r\n", "DATA\r\n",
				"Subject: x\r\n\r\n.\r\n",
			} {
				if _, err := c.Conn.Write([]byte(command)); err != nil {
					break
				}
				code, over := c.code()
				if code >= "400" {
					refused++
				}
				if command != "" && command[0] == 'S' && code == "250" {
					require.True(t, taken == 1 || discards > 0, "accepted, and nobody has it")
				}
				if over || code >= "400" {
					break
				}
			}
			synctest.Wait()
			require.Equal(t, refused, refusals)
			require.LessOrEqual(t, taken, 1)
		})
		if t.Failed() {
			r.Fatal("with these checks")
		}
	})
}

// code reads a whole reply; over says that there is none.
func (c client) code() (code string, over bool) {
	for {
		line, err := c.Line()
		if err != nil || len(line) < 4 {
			return "", true
		}
		if line[3] == ' ' {
			return line[:3], false
		}
	}
}
