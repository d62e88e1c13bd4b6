package smtpd_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

// keeping lets the inbox promise e.
func keeping(e smtpd.Extensions) func(*smtpd.Server) {
	return func(s *smtpd.Server) { s.Handler = smtpd.Keeps(s.Handler, e) }
}

// everything are all promises that need no more than themselves.
var everything = smtpd.Extensions{
	BinaryMIME: true, DSN: true, RequireTLS: true, DeliverBy: true, MinDeliverBy: 90 * time.Second,
	MaxHold: 24 * time.Hour, Priority: true, PriorityPolicy: "MIXER", RecipientValidSince: true,
}

func TestPromisesAreOffered(t *testing.T) {
	inWorld(t, keeping(everything), func(w *world) {
		w.talk(`
			S* 220
			C: EHLO client.example.net
			S: 250-mail.example.com
			S: 250-PIPELINING
			S: 250-SIZE 52428800
			S: 250-8BITMIME
			S: 250-CHUNKING
			S: 250-ENHANCEDSTATUSCODES
			S: 250-SMTPUTF8
			S: 250-LIMITS MAILMAX=1000 RCPTMAX=100
			S: 250-BINARYMIME
			S: 250-DSN
			S: 250-DELIVERBY 90
			S: 250-MT-PRIORITY MIXER
			S: 250-RRVS
			S: 250 HELP
			C: HELO client.example.net
			S: 250 mail.example.com
			C: MAIL FROM:<ann@example.net> RET=FULL
			S: 555 5.5.4 MAIL parameter RET is not offered here
			C: MAIL FROM:<ann@example.net>
			S* 250
			C: RCPT TO:<bob@example.com> NOTIFY=NEVER
			S: 555 5.5.4 RCPT parameter NOTIFY is not offered here
		`)
	})
}

func TestMiddlewareLosesPromises(t *testing.T) {
	wrap := func(h mailbricks.Handler) mailbricks.Handler {
		return mailbricks.HandlerFunc(func(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
			return h.Handle(ctx, env, msg)
		})
	}
	inWorld(t, func(s *smtpd.Server) { s.Handler = wrap(smtpd.Keeps(s.Handler, everything)) }, func(w *world) {
		w.talk(hello + `
			C: MAIL FROM:<ann@example.net> RET=FULL
			S: 555 5.5.4 MAIL parameter RET is not offered here
			C: MAIL FROM:<ann@example.net> ENVID=x
			S* 555
			C: MAIL FROM:<ann@example.net> BODY=BINARYMIME
			S* 555
			C: MAIL FROM:<ann@example.net> REQUIRETLS
			S* 555
			C: MAIL FROM:<ann@example.net> BY=10;R
			S* 555
			C: MAIL FROM:<ann@example.net> HOLDFOR=10
			S* 555
			C: MAIL FROM:<ann@example.net> MT-PRIORITY=-1
			S* 555
		`)
	})
}

func TestLimitsAreOffered(t *testing.T) {
	for name, test := range map[string]struct {
		mails, rcpts int
		line         string
	}{
		"both":           {7, 3, "S: 250-LIMITS MAILMAX=7 RCPTMAX=3"},
		"most":           {999999, 999999, "S: 250-LIMITS MAILMAX=999999 RCPTMAX=999999"},
		"one too large":  {1000000, 5, "S: 250-LIMITS RCPTMAX=5"},
		"one without":    {5, -1, "S: 250-LIMITS MAILMAX=5"},
		"both without":   {-1, -1, ""},
		"both too large": {1000000, 1000000, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(s *smtpd.Server) { s.MaxTransactions, s.MaxRecipients = test.mails, test.rcpts }, func(w *world) {
				w.talk(`
					S* 220
					C: EHLO client.example.net
					S: 250-mail.example.com
					S: 250-PIPELINING
					S: 250-SIZE *
					S: 250-8BITMIME
					S: 250-CHUNKING
					S: 250-ENHANCEDSTATUSCODES
					S: 250-SMTPUTF8
					` + test.line + `
					S: 250 HELP
				`)
			})
		})
	}
}

// RFC 3461 §10.1.
func TestDSNExample(t *testing.T) {
	inWorld(t, keeping(smtpd.Extensions{DSN: true}), func(w *world) {
		w.talk(hello + `
			C: MAIL FROM:<Alice@Example.ORG> RET=HDRS ENVID=QQ314159
			S* 250
			C: RCPT TO:<Bob@Example.COM> NOTIFY=SUCCESS ORCPT=rfc822;Bob@Example.COM
			S* 250
			C: RCPT TO:<Carol@Ivory.EDU> NOTIFY=FAILURE ORCPT=rfc822;Carol@Ivory.EDU
			S* 250
			C: RCPT TO:<Dana@Ivory.EDU> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Dana@Ivory.EDU
			S* 250
			C: RCPT TO:<Fred@Bombs.AF.MIL> NOTIFY=NEVER
			S* 250
			C: RCPT TO:<George@Tax-ME.GOV> NOTIFY=FAILURE ORCPT=rfc822;George@Tax-ME.GOV
			S* 250
			C: DATA
			S* 354
			C: .
			S* 250
		`)
		env := w.messages()[0].Envelope
		require.Equal(w.t, mailbricks.ReturnHeaders, env.Return)
		require.Equal(w.t, "QQ314159", env.EnvelopeID)
		require.Equal(w.t, []mailbricks.Recipient{
			{Address: "Bob@Example.COM", Notify: mailbricks.NotifySuccess, OriginalRecipient: "rfc822;Bob@Example.COM"},
			{Address: "Carol@Ivory.EDU", Notify: mailbricks.NotifyFailure, OriginalRecipient: "rfc822;Carol@Ivory.EDU"},
			{Address: "Dana@Ivory.EDU", Notify: mailbricks.NotifySuccess | mailbricks.NotifyFailure, OriginalRecipient: "rfc822;Dana@Ivory.EDU"},
			{Address: "Fred@Bombs.AF.MIL", Notify: mailbricks.NotifyNever},
			{Address: "George@Tax-ME.GOV", Notify: mailbricks.NotifyFailure, OriginalRecipient: "rfc822;George@Tax-ME.GOV"},
		}, env.Recipients)
	})
}

// refusedParameters are what is refused, with all promises; each line on its own.
var refusedParameters = map[string]struct{ mail, rcpt map[string]string }{
	"DSN": {
		mail: map[string]string{
			"RET": "501 5.5.4", "RET=ALL": "501 5.5.4", "RET=FULL RET=HDRS": "501 5.5.4", "RET=": "501 5.5.4", "=RET": "501 5.5.4",
			"ENVID": "501 5.5.4", "ENVID=a+2": "501 5.5.4", "ENVID=a+0Ab": "501 5.5.4", "ENVID=a+C3+B6": "501 5.5.4", "ENVID=a=b": "501 5.5.4",
			"ENVID=" + strings.Repeat("x", 101): "501 5.5.4", "NOTIFY=NEVER": "555 5.5.4", "ORCPT=rfc822;x": "555 5.5.4",
		},
		rcpt: map[string]string{
			"NOTIFY": "501 5.5.4", "NOTIFY=": "501 5.5.4", "NOTIFY=,": "501 5.5.4", "NOTIFY=NEVER,SUCCESS": "501 5.5.4", "NOTIFY=ALWAYS": "501 5.5.4",
			"NOTIFY=DELAY NOTIFY=DELAY": "501 5.5.4", "ORCPT": "501 5.5.4", "ORCPT=rfc822": "501 5.5.4", "ORCPT=rfc822;": "501 5.5.4",
			"ORCPT=;x@example.com": "501 5.5.4", "ORCPT=rfc(822;x": "501 5.5.4", "ORCPT=rfc822;a+b@example.com": "501 5.5.4",
			"ORCPT=rfc822;a+0D+0Ab": "501 5.5.4", "ORCPT=rfc822;+C3@example.com": "501 5.5.4", "ORCPT=rfc822;+C2+85@e": "501 5.5.4", "ORCPT=x400;+C3+B6": "501 5.5.4", "ORCPT=rfc822;" + strings.Repeat("x", 494): "501 5.5.4",
			`ORCPT=utf-8;\x{}`: "501 5.5.4", `ORCPT=utf-8;\x{A}`: "501 5.5.4", `ORCPT=utf-8;\x{0A}`: "501 5.5.4", `ORCPT=utf-8;\x{0041}`: "501 5.5.4",
			`ORCPT=utf-8;\x{110000}`: "501 5.5.4", `ORCPT=utf-8;\x{D800}`: "501 5.5.4", `ORCPT=utf-8;\x{1000000}`: "501 5.5.4", `ORCPT=utf-8;\x{41`: "501 5.5.4",
			`ORCPT=utf-8;\y`: "501 5.5.4", `ORCPT=utf-8;\x{-1}`: "501 5.5.4", `ORCPT=utf-8;\x{FFFD}`: "501 5.5.4", "ORCPT=utf-8;a+2Bb": "501 5.5.4", "ORCPT=utf-8;": "501 5.5.4",
			"ORCPT=utf-8;j\u00f6rg@example.com": "501 5.6.7", "RET=FULL": "555 5.5.4", "X": "555 5.5.4",
		},
	},
	"DELIVERBY": {
		mail: map[string]string{
			"BY": "501 5.5.4", "BY=120": "501 5.5.4", "BY=120;": "501 5.5.4", "BY=120;T": "501 5.5.4", "BY=120;X": "501 5.5.4", "BY=120;NR": "501 5.5.4",
			"BY=120;RTT": "501 5.5.4", "BY=120;R;N": "501 5.5.4", "BY=;R": "501 5.5.4", "BY=+;R": "501 5.5.4", "BY=+-1;N": "501 5.5.4", "BY=--1;N": "501 5.5.4",
			"BY=1234567890;N": "501 5.5.4", "BY=1x;N": "501 5.5.4", "BY=0;R": "501 5.5.4", "BY=-5;R": "501 5.5.4", "BY=89;R": "555 5.5.4", "BY=120;R BY=120;R": "501 5.5.4",
		},
		rcpt: map[string]string{"BY=120;R": "555 5.5.4"},
	},
	"MT-PRIORITY": {
		mail: map[string]string{
			"MT-PRIORITY": "501 5.5.2", "MT-PRIORITY=": "501 5.5.4", "MT-PRIORITY=10": "501 5.5.2", "MT-PRIORITY=-10": "501 5.5.2", "MT-PRIORITY=+1": "501 5.5.2",
			"MT-PRIORITY=-0": "501 5.5.2", "MT-PRIORITY=-": "501 5.5.2", "MT-PRIORITY=01": "501 5.5.2", "MT-PRIORITY=x": "501 5.5.2", "MT-PRIORITY=1 MT-PRIORITY=2": "501 5.5.4",
		},
		rcpt: map[string]string{"MT-PRIORITY=3": "555 5.5.4"},
	},
	"RRVS": {
		mail: map[string]string{"RRVS=2014-04-03T23:01:00Z": "555 5.5.4"},
		rcpt: map[string]string{
			"RRVS": "501 5.5.4", "RRVS=2014-04-03": "501 5.5.4", "RRVS=2014-04-03T23:01:00": "501 5.5.4", "RRVS=2014-04-03T23:01:00.5Z": "501 5.5.4",
			"RRVS=2014-13-03T23:01:00Z": "501 5.5.4", "RRVS=2014-04-03T23:01:00Z;": "501 5.5.4", "RRVS=2014-04-03T23:01:00Z;X": "501 5.5.4",
			"RRVS=2014-04-03T23:01:00Z;C;R": "501 5.5.4", "RRVS=2014-04-03T23:01:00,5Z": "501 5.5.4", "RRVS=2014-04-03T3:01:00Z": "501 5.5.4",
			"RRVS=2016-12-31T23:58:60Z": "501 5.5.4", "RRVS=2016-12-31T22:59:60Z": "501 5.5.4", "RRVS=2016-12-31T23:59:61Z": "501 5.5.4",
			"RRVS=9999-12-31T23:59:60Z": "501 5.5.4",
		},
	},
	"others": {
		mail: map[string]string{
			"REQUIRETLS": "555 5.5.4", "HOLDFOR=60": "555 5.5.4", "HOLDUNTIL=2000-01-01T00:00:00Z": "555 5.5.4", "BODY=BINARY": "501 5.5.4", "BODY": "501 5.5.4",
			"X-UNKNOWN=1": "555 5.5.4", "A,B": "501 5.5.4", "-A": "501 5.5.4",
		},
	},
}

func TestParametersThatAreRefused(t *testing.T) {
	for name, test := range refusedParameters {
		t.Run(name, func(t *testing.T) {
			setUp := func(s *smtpd.Server) {
				keeping(everything)(s)
				s.MaxErrors = -1
			}
			inWorld(t, setUp, func(w *world) {
				c := w.dial("203.0.113.9")
				c.Talk(hello)
				for words, reply := range test.mail {
					c.Talk("C: MAIL FROM:<ann@example.net> " + words + "\nS: " + reply + " *")
				}
				c.Talk("C: MAIL FROM:<ann@example.net>\nS* 250")
				for words, reply := range test.rcpt {
					c.Talk("C: RCPT TO:<bob@example.com> " + words + "\nS: " + reply + " *")
				}
				none := "503 5.5.1 RCPT first"
				if len(test.rcpt) > 0 {
					none = "554 5.5.1 No valid recipients"
				}
				c.Talk("C: DATA\nS: " + none)
			})
		})
	}
}

func TestRecipientParameters(t *testing.T) {
	never, success, failure, delay := mailbricks.NotifyNever, mailbricks.NotifySuccess, mailbricks.NotifyFailure, mailbricks.NotifyDelay
	since := time.Date(2014, 4, 3, 23, 1, 0, 0, time.UTC)
	for words, want := range map[string]mailbricks.Recipient{
		"NOTIFY=never":                               {Notify: never},
		"NOTIFY=Success,failure,DELAY":               {Notify: success | failure | delay},
		"NOTIFY=,DELAY,,DELAY,":                      {Notify: delay},
		"ORCPT=rfc822;SRS0=x=y@example":              {OriginalRecipient: "rfc822;SRS0=x=y@example"}, // which should be +3D, and is not in practice
		"ORCPT=RFC822;a+2Bb+3Dc+20d@e":               {OriginalRecipient: "RFC822;a+b=c d@e"},
		"ORCPT=x400;/C+3Dus/":                        {OriginalRecipient: "x400;/C=us/"},
		"ORCPT=rfc822;j+C3+B6rg@b+C3+BCcher.example": {OriginalRecipient: "utf-8;jörg@bücher.example"}, // as Postfix has it
		"orcpt=rfc822;a;b":                           {OriginalRecipient: "rfc822;a;b"},
		`ORCPT=utf-8;j\x{F6}rg@b\x{fc}cher.example`:  {OriginalRecipient: "utf-8;jörg@bücher.example"},
		`ORCPT=UTF-8;a\x{2B}b\x{3D}\x{5C}c\x{20}`:    {OriginalRecipient: `UTF-8;a+b=\c `},
		`ORCPT=utf-8;\x{10FFFD}\x{1F600}`:            {OriginalRecipient: "utf-8;\U0010fffd\U0001f600"},
		"ORCPT=utf-8;jörg@例子.example NOTIFY=NEVER":   {OriginalRecipient: "utf-8;jörg@例子.example", Notify: never},
		"ORCPT=utf-8;a\u3000b":                       {OriginalRecipient: "utf-8;a\u3000b"},
		"RRVS=2014-04-03T23:01:00Z":                  {ValidSince: since},
		"RRVS=2014-04-03T23:01:00z;r":                {ValidSince: since},
		"RRVS=2014-04-04T01:01:00+02:00;C":           {ValidSince: since, ValidSinceOptional: true},
		"RRVS=2016-12-31T23:59:60Z":                  {ValidSince: time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC)}, // RFC 3339 §5.8
		"RRVS=1990-12-31T15:59:60-08:00;C":           {ValidSince: time.Date(1991, 1, 1, 0, 0, 0, 0, time.UTC), ValidSinceOptional: true},
	} {
		t.Run(words, func(t *testing.T) {
			inWorld(t, keeping(everything), func(w *world) {
				w.talk(hello + `
					C: MAIL FROM:<ann@example.net> SMTPUTF8
					C: RCPT TO:<bob@example.com> ` + words + `
					C: DATA
					S* 250
					S* 250
					S* 354
					C: .
					S* 250
				`)
				got := w.messages()[0].Envelope.Recipients[0]
				require.True(w.t, want.ValidSince.Equal(got.ValidSince))
				want.Address, got.ValidSince, want.ValidSince = "bob@example.com", time.Time{}, time.Time{}
				require.Equal(w.t, want, got)
			})
		})
	}
}

// RFC 2852 §4 has no dialogue; these are its values.
func TestDeliverBy(t *testing.T) {
	for value, want := range map[string]mailbricks.DeliverBy{
		"120;R":        {Deadline: midnight.Add(2 * time.Minute), Return: true},
		"+90;rt":       {Deadline: midnight.Add(90 * time.Second), Return: true, Trace: true},
		"1;N":          {Deadline: midnight.Add(time.Second)},
		"0;NT":         {Deadline: midnight, Trace: true},
		"-999999999;N": {Deadline: midnight.Add(-999999999 * time.Second)},
		"999999999;N":  {Deadline: midnight.Add(999999999 * time.Second)},
	} {
		t.Run(value, func(t *testing.T) {
			inWorld(t, keeping(everything), func(w *world) {
				w.deliver("BY=" + value)
				require.Equal(w.t, want, *w.messages()[0].Envelope.DeliverBy)
			})
		})
	}
	t.Run("without a minimum", func(t *testing.T) {
		inWorld(t, keeping(smtpd.Extensions{DeliverBy: true}), func(w *world) {
			w.talk(`
				S* 220
				C: EHLO client.example.net
				S: 250-mail.example.com
				S: 250-PIPELINING
				S: 250-SIZE *
				S: 250-8BITMIME
				S: 250-CHUNKING
				S: 250-ENHANCEDSTATUSCODES
				S: 250-SMTPUTF8
				S: 250-LIMITS *
				S: 250-DELIVERBY
				S: 250 HELP
				C: MAIL FROM:<ann@example.net> BY=1;R
				S* 250
			`)
		})
	})
}

// midnight is when the time of a synctest bubble begins.
var midnight = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// deliver sends a message with parameters of MAIL, which is answered by 250.
func (w *world) deliver(words string) {
	w.t.Helper()
	w.talk(hello + `
		C: MAIL FROM:<ann@example.net> ` + words + `
		C: RCPT TO:<bob@example.com>
		C: DATA
		S* 250
		S* 250
		S* 354
		C: .
		S* 250
	`)
}

// submission are all promises on a server for submission.
func submission(s *smtpd.Server) {
	keeping(everything)(s)
	s.Auth, s.AllowInsecureAuth, s.RequireAuth, s.MaxErrors = users{}, true, true, -1
}

const login = `
	C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=
	S* 235
`

// RFC 4865 §3 and §4.2.
func TestFutureRelease(t *testing.T) {
	inWorld(t, submission, func(w *world) {
		w.talk(`
			S* 220
			C: EHLO client.example.net
			S: 250-mail.example.com
			S: 250-PIPELINING
			S: 250-SIZE *
			S: 250-8BITMIME
			S: 250-CHUNKING
			S: 250-ENHANCEDSTATUSCODES
			S: 250-SMTPUTF8
			S: 250-LIMITS *
			S: 250-BINARYMIME
			S: 250-DSN
			S: 250-DELIVERBY 90
			S: 250-FUTURERELEASE 86400 2000-01-02T00:00:00Z
			S: 250-MT-PRIORITY MIXER
			S: 250-RRVS
			S: 250-AUTH PLAIN LOGIN
			S: 250 HELP
			C: MAIL FROM:<ann@example.net> HOLDFOR=60
			S: 530 5.7.0 Authentication required
		` + login + `
			C: MAIL FROM:<ann@example.net> HOLDFOR=86401
			S: 501 5.5.4 HOLDFOR is a number of seconds up to 86400
			C: MAIL FROM:<ann@example.net> HOLDFOR=0
			S* 501
			C: MAIL FROM:<ann@example.net> HOLDFOR=01
			S* 501
			C: MAIL FROM:<ann@example.net> HOLDFOR=-1
			S* 501
			C: MAIL FROM:<ann@example.net> HOLDFOR=1234567890
			S* 501
			W: 4m
			C: MAIL FROM:<ann@example.net> HOLDUNTIL=2000-01-02T00:00:01Z
			S: 501 5.5.4 HOLDUNTIL is a time like 2006-01-02T15:04:05Z up to 2000-01-02T00:00:00Z
		`)
	})
	refused := func(words string) func(*world) {
		return func(w *world) {
			w.talk(hello + login + `
				C: MAIL FROM:<ann@example.net> ` + words + `
				S: 501 5.5.4 *
			`)
		}
	}
	held := func(words string, until time.Time) func(*world) {
		return func(w *world) {
			w.talk(hello + login + `
				C: MAIL FROM:<ann@example.net> ` + words + `
				C: RCPT TO:<bob@example.com>
				C: DATA
				S* 250
				S* 250
				S* 354
				C: .
				S* 250
			`)
			require.Equal(w.t, until, w.messages()[0].Envelope.HoldUntil)
		}
	}
	for name, f := range map[string]func(*world){
		"for":                 held("HOLDFOR=86400", midnight.Add(24*time.Hour)),
		"until":               held("HOLDUNTIL=2000-01-02T00:00:00Z", midnight.Add(24*time.Hour)),
		"until what is past":  held("HOLDUNTIL=1999-12-31T00:00:00Z", midnight.Add(-24*time.Hour)),
		"less than BY":        held("HOLDFOR=100 BY=100;R", midnight.Add(100*time.Second)),
		"more than BY":        refused("HOLDFOR=101 BY=100;R"),
		"more than BY, first": refused("BY=100;N HOLDUNTIL=2000-01-01T00:10:00Z"),
		"both":                refused("HOLDFOR=100 HOLDUNTIL=2000-01-01T00:10:00Z"),
		"twice":               refused("HOLDFOR=100 HOLDFOR=100"),
		"fraction":            refused("HOLDUNTIL=2000-01-01T00:10:00.5Z"),
		"zone":                refused("HOLDUNTIL=2000-01-01T00:10:00+00:00"),
		"no value":            refused("HOLDUNTIL"),
		"no number":           refused("HOLDFOR"),
	} {
		t.Run(name, func(t *testing.T) { inWorld(t, submission, f) })
	}
}

func TestFutureReleaseIsForThoseWhoHaveLoggedIn(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { submission(s); s.RequireAuth = false }, func(w *world) {
		w.talk(hello + `
			C: MAIL FROM:<ann@example.net> HOLDFOR=60
			S: 555 5.5.4 MAIL parameter HOLDFOR is not offered here
		` + login + `
			C: MAIL FROM:<ann@example.net> HOLDFOR=60
			S* 250
		`)
	})
}

// RFC 6710 §8.
func TestPriorityExample(t *testing.T) {
	inWorld(t, submission, func(w *world) {
		w.talk(hello + login + `
			C: MAIL FROM:<eljefe@example.com> BY=125;R ENVID=QQ314159 MT-PRIORITY=3
			S: 250 2.1.0 Sender ok
			C: RCPT TO:<topbanana@example.net>
			S: 250 2.1.5 Recipient ok
			C: RCPT TO:<Dana@Ivory.example.net> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Dana@Ivory.example.net
			S: 250 2.1.5 Recipient ok
			C: DATA
			S* 354
			C: .
			S* 250
		`)
		got := w.messages()[0]
		require.Equal(w.t, 3, *got.Envelope.Priority)
		require.Contains(w.t, string(got.Raw), "\r\n\tpriority 3;\r\n")
	})
}

// RFC 6710 §4.1: nobody raises a priority whom the server does not know.
func TestStrangersDoNotRaisePriorities(t *testing.T) {
	inWorld(t, keeping(everything), func(w *world) {
		w.talk(hello + `
			C: MAIL FROM:<ann@example.net> MT-PRIORITY=9
			S: 250 2.3.6 0 is the new priority assigned to the message
			C: RSET
			S* 250
			C: MAIL FROM:<ann@example.net> MT-PRIORITY=0
			S: 250 2.1.0 Sender ok
			C: RSET
			S* 250
			C: MAIL FROM:<ann@example.net> MT-PRIORITY=-9
			S: 250 2.1.0 Sender ok
		`)
	})
	e := everything
	e.MayRaise = func(p mailbricks.Peer) bool { return p.Addr.Addr().String() == "203.0.113.9" }
	t.Run("friends", func(t *testing.T) {
		inWorld(t, keeping(e), func(w *world) {
			w.deliver("MT-PRIORITY=9")
			require.Equal(w.t, 9, *w.messages()[0].Envelope.Priority)
			w.dial("203.0.113.10").Talk(hello + `
				C: MAIL FROM:<ann@example.net> MT-PRIORITY=9
				S: 250 2.3.6 0 *
			`)
		})
	})
}

func TestPolicyNames(t *testing.T) {
	for name, line := range map[string]string{
		"":                      "MT-PRIORITY",
		"STANAG4406":            "MT-PRIORITY STANAG4406",
		"a-b_c.d":               "MT-PRIORITY a-b_c.d",
		strings.Repeat("x", 20): "MT-PRIORITY " + strings.Repeat("x", 20),
		strings.Repeat("x", 21): "MT-PRIORITY",
		"two words":             "MT-PRIORITY",
		"X\r\n250 HELP":         "MT-PRIORITY",
		"\u00fc":                "MT-PRIORITY",
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, keeping(smtpd.Extensions{Priority: true, PriorityPolicy: name}), func(w *world) {
				w.talk(`
					S* 220
					C: EHLO client.example.net
					S: 250-mail.example.com
					S: 250-PIPELINING
					S: 250-SIZE *
					S: 250-8BITMIME
					S: 250-CHUNKING
					S: 250-ENHANCEDSTATUSCODES
					S: 250-SMTPUTF8
					S: 250-LIMITS *
					S: 250-` + line + `
					S: 250 HELP
				`)
			})
		})
	}
}

func TestACheckAssignsAPriority(t *testing.T) {
	set := func(s *smtpd.Server) {
		keeping(everything)(s)
		s.Checks = []smtpd.Check{{Mail: func(_ context.Context, tx *smtpd.Transaction) error { tx.Envelope.Priority = new(-4); return nil }}}
	}
	inWorld(t, set, func(w *world) {
		w.talk(hello + `
			C: MAIL FROM:<ann@example.net>
			S: 250 2.3.6 -4 is the new priority assigned to the message
		`)
	})
}

// RFC 7293 §12.1.
func TestRRVSExample(t *testing.T) {
	set := func(s *smtpd.Server) {
		keeping(smtpd.Extensions{RecipientValidSince: true})(s)
		s.Checks = []smtpd.Check{{Rcpt: func(_ context.Context, _ *smtpd.Transaction, rcpt *mailbricks.Recipient) error {
			if since := rcpt.ValidSince; !since.IsZero() && since.Before(time.Date(2014, 5, 1, 0, 0, 0, 0, time.UTC)) {
				return &mailbricks.Reply{Code: 550, Enhanced: "5.7.17", Text: rcpt.Address + " is no longer valid"}
			}
			return nil
		}}}
	}
	inWorld(t, set, func(w *world) {
		w.talk(hello + `
			C: MAIL FROM:<sender@example.net>
			S* 250
			C: RCPT TO:<receiver@example.com> RRVS=2014-04-03T23:01:00Z
			S: 550 5.7.17 receiver@example.com is no longer valid
			C: QUIT
			S* 221
		`)
	})
}

// RFC 8689 §2.
func TestRequireTLSNeedsTLS(t *testing.T) {
	ca := mailtest.NewCA()
	set := func(s *smtpd.Server) {
		keeping(everything)(s)
		s.TLSConfig = ca.ServerConfig("mail.example.com")
	}
	inWorld(t, set, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(hello + `
			C: MAIL FROM:<ann@example.net> REQUIRETLS
			S: 555 5.5.4 MAIL parameter REQUIRETLS is not offered here
			C: STARTTLS
			S* 220
		`)
		c.startTLS(ca.ClientConfig("mail.example.com"))
		c.Talk(`
			C: MAIL FROM:<ann@example.net> REQUIRETLS
			S: 503 5.5.1 EHLO first
			C: EHLO client.example.net
			S: 250-mail.example.com
			S: 250-PIPELINING
			S: 250-SIZE *
			S: 250-8BITMIME
			S: 250-CHUNKING
			S: 250-ENHANCEDSTATUSCODES
			S: 250-SMTPUTF8
			S: 250-LIMITS *
			S: 250-BINARYMIME
			S: 250-DSN
			S: 250-REQUIRETLS
			S: 250-DELIVERBY 90
			S: 250-MT-PRIORITY MIXER
			S: 250-RRVS
			S: 250 HELP
			C: MAIL FROM:<ann@example.net> REQUIRETLS=yes
			S: 501 5.5.4 REQUIRETLS takes no value
			C: MAIL FROM:<ann@example.net> requiretls RET=FULL
			S* 250
			C: RCPT TO:<bob@example.com>
			S* 250
			C: DATA
			S* 354
			C: .
			S* 250
		`)
		require.True(w.t, w.messages()[0].Envelope.RequireTLS)
		require.Equal(w.t, mailbricks.ReturnHeaders, w.messages()[0].Envelope.Return, "nothing of the body in a bounce")
	})
}
