package smtpd_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

func TestOneReplyForAllRecipients(t *testing.T) {
	full := &mailbricks.Reply{Code: 452, Enhanced: "4.2.2", Text: "Mailbox is full"}
	unknown := &mailbricks.Reply{Code: 550, Enhanced: "5.1.1", Text: "No such user"}
	named := &mailbricks.Reply{Code: 550, Enhanced: "5.1.1", Text: "<c@example.com>: no such user"}
	for name, test := range map[string]struct {
		err   error
		reply string
	}{
		"taken":                   {nil, "S: 250 2.0.0 Ok: queued as *"},
		"taken, said in results":  {mailbricks.Results{nil, nil, nil}, "S: 250 2.0.0 *"},
		"one error":               {fmt.Errorf("store: %w", unknown), "S: 550 5.1.1 No such user"},
		"some for now":            {mailbricks.Results{nil, unknown, full}, "S: 452 4.2.2 Mailbox is full"},
		"some for good":           {mailbricks.Results{nil, unknown, nil}, "S: 550 5.1.1 <b@example.com>: No such user"},
		"some for good, named":    {mailbricks.Results{nil, unknown, named}, "S: 550-5.1.1 <b@example.com>: No such user\nS: 550 5.1.1 <c@example.com>: no such user"},
		"results of a bug":        {mailbricks.Results{nil}, "S: 451 4.3.0 *"},
		"an error nobody expects": {mailbricks.Results{nil, errors.New("secret"), nil}, "S: 451 4.3.0 *"},
		"results and an error":    {errors.Join(mailbricks.Results{nil, nil, nil}, unknown), "S: 550 5.1.1 No such user"},
		"wrapped results":         {fmt.Errorf("x: %w", mailbricks.Results{unknown, nil, nil}), "S: 550 5.1.1 <a@example.com>: No such user"},
	} {
		t.Run(name, func(t *testing.T) {
			handler := mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error { return test.err })
			inWorld(t, func(s *smtpd.Server) { s.Handler = handler }, func(w *world) {
				w.talk(hello + `
					C: MAIL FROM:<a@example.net>
					C: RCPT TO:<a@example.com>
					C: RCPT TO:<b@example.com>
					C: RCPT TO:<c@example.com>
					C: DATA
					S* 250
					S* 250
					S* 250
					S* 250
					S* 354
					C: .
					` + test.reply + "\nC: NOOP\nS* 250\n")
			})
		})
	}
}

func TestManyRefusedRecipientsAreNotAllNamed(t *testing.T) {
	handler := mailbricks.HandlerFunc(func(_ context.Context, env *mailbricks.Envelope, _ *mailbricks.Message) error {
		results := make(mailbricks.Results, len(env.Recipients))
		for i := range results {
			results[i] = &mailbricks.Reply{Code: 550, Text: "no"}
		}
		return results
	})
	inWorld(t, func(s *smtpd.Server) { s.Handler = handler }, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(hello + "C: MAIL FROM:<a@example.net>\nS* 250\n" + strings.Repeat("C: RCPT TO:<a@example.com>\nS* 250\n", 20) + "C: DATA\nS* 354\nC: .\n")
		c.Talk(strings.Repeat("S: 550-5.0.0 <a@example.com>: no\n", 10) + "S: 550 5.0.0 and 10 more\n")
	})
}

// Whatever a check or Handler says, what goes out are reply lines.
func TestRepliesAreCleaned(t *testing.T) {
	for name, test := range map[string]struct {
		reply mailbricks.Reply
		want  string
	}{
		"several lines":        {mailbricks.Reply{Code: 550, Enhanced: "5.7.1", Text: "one\ntwo\r\n\nthree\x1b"}, "S: 550-5.7.1 one\nS: 550-5.7.1 two\nS: 550-5.7.1 \nS: 550 5.7.1 three"},
		"empty":                {mailbricks.Reply{Code: 550}, "S: 550 5.0.0 "},
		"wrong class":          {mailbricks.Reply{Code: 450, Enhanced: "5.1.1", Text: "x"}, "S: 450 4.0.0 x"},
		"no enhanced code":     {mailbricks.Reply{Code: 550, Enhanced: "5.1\r\n250", Text: "x"}, "S: 550 5.0.0 x"},
		"not ASCII":            {mailbricks.Reply{Code: 550, Text: "jörg\u0085x"}, "S: 550 5.0.0 j?rg?x"},
		"long":                 {mailbricks.Reply{Code: 550, Text: strings.Repeat("words ", 100)}, "S: 550-5.0.0 words*words\nS: 550 5.0.0 words*"},
		"long without a blank": {mailbricks.Reply{Code: 550, Text: strings.Repeat("x", 600)}, "S: 550-5.0.0 x*\nS: 550 5.0.0 x*"},
		"very long":            {mailbricks.Reply{Code: 550, Text: strings.Repeat("\n", 600)}, strings.Repeat("S: 550-5.0.0 \n", 19) + "S: 550 5.0.0 "},
	} {
		t.Run(name, func(t *testing.T) {
			handler := mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error { return &test.reply })
			inWorld(t, func(s *smtpd.Server) { s.Handler = handler }, func(w *world) {
				w.talk(toData + "C: .\n" + test.want + "\nC: NOOP\nS* 250\n")
			})
		})
	}
}

func TestRepliesMayHoldUTF8WhereAskedFor(t *testing.T) {
	handler := mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error {
		return &mailbricks.Reply{Code: 550, Text: strings.Repeat("ä", 300)}
	})
	inWorld(t, func(s *smtpd.Server) { s.Handler = handler }, func(w *world) {
		w.talk(hello + "C: MAIL FROM:<a@example.net> SMTPUTF8\nS* 250\nC: RCPT TO:<b@example.com>\nS* 250\nC: DATA\nS* 354\nC: .\nS: 550-5.0.0 ää*ä\nS: 550 5.0.0 *ä\n")
	})
}

func TestReceived(t *testing.T) {
	name := smtpd.Check{Connect: func(_ context.Context, s *smtpd.Session) error { s.ReverseName = "host.example.net."; return nil }}
	inWorld(t, func(s *smtpd.Server) { s.Checks = []smtpd.Check{name} }, func(w *world) {
		w.talk(toData + "C: Received: from before\nC:\nC: .\nS* 250\n")
		got := w.messages()[0]
		date := got.Envelope.Received.Format("Mon, 02 Jan 2006 15:04:05 -0700")
		require.Equal(w.t, "Received: from client.example.net (host.example.net [203.0.113.9])\r\n"+
			"\tby mail.example.com with ESMTP id "+got.Envelope.ID+"\r\n"+
			"\tfor <bob@example.com>;\r\n"+
			"\t"+date+"\r\n"+
			"Received: from before\r\n\r\n", string(got.Raw))
	})
	t.Run("no name, several recipients, IPv6", func(t *testing.T) {
		inWorld(t, nil, func(w *world) {
			l, err := w.net.Listen("tcp", "[2001:db8::25]:25")
			require.NoError(w.t, err)
			go func() { w.done <- w.srv.Serve(l) }()
			w.addr = "[2001:db8::25]:25"
			w.dial("2001:db8::9").Talk(mailTo + "C: RCPT TO:<c@example.com>\nS* 250\nC: DATA\nS* 354\nC: .\nS* 250\n")
			require.Regexp(w.t, `^Received: from client\.example\.net \(unknown \[IPv6:2001:db8::9\]\)\r\n\tby mail\.example\.com with ESMTP id [A-Z2-7]{16};\r\n\t`, string(w.messages()[0].Raw))
			require.NoError(w.t, w.srv.Close())
			require.ErrorIs(w.t, <-w.done, smtpd.ErrServerClosed)
		})
	})
	t.Run("a name that is none", func(t *testing.T) {
		evil := smtpd.Check{Connect: func(_ context.Context, s *smtpd.Session) error { s.ReverseName = "a\r\nX: y (z)"; return nil }}
		inWorld(t, func(s *smtpd.Server) { s.Checks = []smtpd.Check{evil} }, func(w *world) {
			w.talk(toData + "C: .\nS* 250\n")
			require.Contains(w.t, string(w.messages()[0].Raw), "(a??X??y??z? [203.0.113.9])\r\n")
		})
	})
}
