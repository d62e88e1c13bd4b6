package smtpd_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

// lmtp makes the server one for LMTP, in which nobody has the name jones, green is over quota and white is for later.
func lmtp(s *smtpd.Server) {
	s.LMTP = true
	inbox := s.Handler
	s.Handler = mailbricks.HandlerFunc(func(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
		results := make(mailbricks.Results, len(env.Recipients))
		for i, rcpt := range env.Recipients {
			switch local, _ := mailbricks.SplitAddress(rcpt.Address); local {
			case "green":
				results[i] = &mailbricks.Reply{Code: 452, Enhanced: "4.2.2", Text: "<green@foo.edu> is temporarily over quota"}
			case "white":
				results[i] = errors.New("secret")
			}
		}
		if err := inbox.Handle(ctx, env, msg); err != nil {
			return err
		}
		return results.Err()
	})
	s.Checks = append(s.Checks, smtpd.Check{Rcpt: func(_ context.Context, _ *smtpd.Transaction, rcpt *mailbricks.Recipient) error {
		switch local, _ := mailbricks.SplitAddress(rcpt.Address); local {
		case "jones":
			return &mailbricks.Reply{Code: 550, Enhanced: "5.1.1", Text: "No such user here"}
		case "spamtrap":
			return smtpd.Discard("trap")
		}
		return nil
	}})
}

const lhlo = `
	S: 220 mail.example.com LMTP
	C: LHLO foo.edu
	S* 250
`

// RFC 2033 §4.2.
func TestLMTPExample(t *testing.T) {
	inWorld(t, lmtp, func(w *world) {
		w.talk(`
			S: 220 mail.example.com LMTP
			C: LHLO foo.edu
			S: 250-mail.example.com
			S: 250-PIPELINING
			S: 250-SIZE *
			S: 250-8BITMIME
			S: 250-CHUNKING
			S: 250-ENHANCEDSTATUSCODES
			S: 250-SMTPUTF8
			S: 250-LIMITS *
			S: 250 HELP
			C: MAIL FROM:<chris@bar.com>
			S* 250
			C: RCPT TO:<pat@foo.edu>
			S* 250
			C: RCPT TO:<jones@foo.edu>
			S: 550 5.1.1 No such user here
			C: RCPT TO:<green@foo.edu>
			S* 250
			C: DATA
			S* 354
			C: Blah blah blah...
			C: ...etc. etc. etc.
			C: .
			S: 250 2.0.0 <pat@foo.edu>: Ok: queued as *
			S: 452 4.2.2 <green@foo.edu> is temporarily over quota
			C: QUIT
			S: 221 *
			S$
		`)
		got := w.messages()[0]
		require.Equal(w.t, "LMTP", got.Envelope.Peer.Protocol)
		require.Contains(w.t, string(got.Raw), "\r\n\tby mail.example.com with LMTP id ")
	})
}

// lmtpDialogues are such after LHLO.
var lmtpDialogues = map[string]string{
	"other protocols": `
		C: EHLO foo.edu
		S: 500 5.5.1 This is LMTP: say LHLO
		C: HELO foo.edu
		S: 500 5.5.1 This is LMTP: say LHLO
		C: LHLO
		S* 501`,
	"no recipients": `
		C: MAIL FROM:<chris@bar.com>
		S* 250
		C: DATA
		S: 503 5.5.1 *
		C: RCPT TO:<jones@foo.edu>
		S* 550
		C: DATA
		S: 503 5.5.1 *
		R: "BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"
		S: 503 5.5.1 *
		# RFC 2033 §4.3: no recipients, no replies
		S: 250 2.0.0 Ok
		R: "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"
		S: 503 5.5.1 MAIL first
		S: 250 2.0.0 Ok`,
	"the same recipient twice": `
		C: MAIL FROM:<chris@bar.com>
		S* 250
		C: RCPT TO:<green@foo.edu>
		S* 250
		C: RCPT TO:<green@foo.edu>
		S* 250
		C: DATA
		S* 354
		C: .
		S* 452
		S* 452`,
	"discarded ones in between": `
		C: MAIL FROM:<chris@bar.com>
		S* 250
		C: RCPT TO:<spamtrap@foo.edu>
		S* 250
		C: RCPT TO:<green@foo.edu>
		S* 250
		C: RCPT TO:<spamtrap@foo.edu>
		S* 250
		C: RCPT TO:<white@foo.edu>
		S* 250
		C: RCPT TO:<pat@foo.edu>
		S* 250
		C: DATA
		S* 354
		C: .
		S: 250 2.0.0 <spamtrap@foo.edu>: Ok: queued as *
		S* 452
		S: 250 2.0.0 <spamtrap@foo.edu>: Ok: queued as *
		S: 451 4.3.0 <white@foo.edu>: Temporary local problem, please try again later
		S: 250 2.0.0 <pat@foo.edu>: Ok: queued as *`,
	"all discarded": `
		C: MAIL FROM:<chris@bar.com>
		S* 250
		C: RCPT TO:<spamtrap@foo.edu>
		S* 250
		C: BDAT 0 LAST
		S* 250`,
	"a message with a flaw, discarded in part": `
		R: "MAIL FROM:<chris@bar.com>\r\nRCPT TO:<spamtrap@foo.edu>\r\nRCPT TO:<pat@foo.edu>\r\nDATA\r\n"
		S* 250
		S* 250
		S* 250
		S* 354
		R: "a\nb\r\n.\r\n"
		S: 550 5.5.2 <spamtrap@foo.edu>: *
		S: 550 5.5.2 <pat@foo.edu>: *`,
	"chunks with a flaw, discarded in part": `
		R: "MAIL FROM:<chris@bar.com>\r\nRCPT TO:<spamtrap@foo.edu>\r\nRCPT TO:<pat@foo.edu>\r\nBDAT 1 LAST\r\n\n"
		S* 250
		S* 250
		S* 250
		S: 550 5.5.2 <spamtrap@foo.edu>: *
		S: 550 5.5.2 <pat@foo.edu>: *`,
	"a chunk with a flaw, discarded in part": `
		R: "MAIL FROM:<chris@bar.com>\r\nRCPT TO:<spamtrap@foo.edu>\r\nRCPT TO:<pat@foo.edu>\r\nBDAT 1\r\n\nBDAT 0 LAST\r\n"
		S* 250
		S* 250
		S* 250
		S: 550 5.5.2 *
		S: 550 5.5.2 <spamtrap@foo.edu>: *
		S: 550 5.5.2 <pat@foo.edu>: *`,
	"a message that is refused, discarded in part": `
		R: "MAIL FROM:<chris@bar.com>\r\nRCPT TO:<spamtrap@foo.edu>\r\nRCPT TO:<green@foo.edu>\r\nBDAT 0 LAST\r\n"
		S* 250
		S* 250
		S* 250
		S: 250 2.0.0 <spamtrap@foo.edu>: *
		S* 452`,
	"a refused message": `
		C: MAIL FROM:<chris@bar.com>
		S* 250
		C: RCPT TO:<pat@foo.edu>
		S* 250
		C: RCPT TO:<green@foo.edu>
		S* 250
		C: DATA
		S* 354
		R: "a\nb\r\n.\r\n"
		S: 550 5.5.2 <pat@foo.edu>: *
		S: 550 5.5.2 <green@foo.edu>: *
		C: NOOP
		S* 250`,
	"chunks": `
		R: "MAIL FROM:<chris@bar.com>\r\nRCPT TO:<pat@foo.edu>\r\nRCPT TO:<green@foo.edu>\r\nBDAT 3\r\na\r\nBDAT 3 LAST\r\nb\r\nNOOP\r\n"
		S* 250
		S* 250
		S* 250
		S: 250 2.0.0 Ok: 3 octets received
		S: 250 2.0.0 <pat@foo.edu>: *
		S* 452
		S: 250 2.0.0 Ok`,
	"a failed chunk": `
		R: "MAIL FROM:<chris@bar.com>\r\nRCPT TO:<pat@foo.edu>\r\nRCPT TO:<green@foo.edu>\r\nBDAT 1\r\n\nBDAT 3\r\na\r\nBDAT 3 LAST\r\nb\r\nNOOP\r\n"
		S* 250
		S* 250
		S* 250
		S: 550 5.5.2 *
		S: 550 5.5.2 *
		S: 550 5.5.2 <pat@foo.edu>: *
		S: 550 5.5.2 <green@foo.edu>: *
		S: 250 2.0.0 Ok`,
	"a failed last chunk": `
		R: "MAIL FROM:<chris@bar.com>\r\nRCPT TO:<pat@foo.edu>\r\nRCPT TO:<green@foo.edu>\r\nBDAT 1 LAST\r\n\nNOOP\r\n"
		S* 250
		S* 250
		S* 250
		S: 550 5.5.2 <pat@foo.edu>: *
		S: 550 5.5.2 <green@foo.edu>: *
		S: 250 2.0.0 Ok`,
	"recipients in UTF-8": `
		R: "MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<j\u00f6rg@foo.edu>\r\nBDAT 0 LAST\r\n"
		S* 250
		S* 250
		R: ""
		S: 250 2.0.0 <jörg@foo.edu>: Ok: queued as *`,
}

func TestLMTP(t *testing.T) {
	for name, script := range lmtpDialogues {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(s *smtpd.Server) { lmtp(s); s.MaxErrors = -1 }, func(w *world) { w.talk(lhlo + script) })
		})
	}
}

func TestMessageChecksAnswerForEachRecipient(t *testing.T) {
	for name, test := range map[string]struct {
		check   smtpd.Check
		replies string
	}{
		"refusal": {smtpd.Check{Message: func(context.Context, *smtpd.Transaction, *mailbricks.Message) error { return smtpd.Permanent("Spam") }}, `
			S: 550 5.7.1 <pat@foo.edu>: Spam
			S: 550 5.7.1 <green@foo.edu>: Spam
			C: NOOP
			S* 250`},
		"discard": {smtpd.Check{Message: func(context.Context, *smtpd.Transaction, *mailbricks.Message) error { return smtpd.Discard("spam") }}, `
			S: 250 2.0.0 <pat@foo.edu>: *
			S: 250 2.0.0 <green@foo.edu>: *
			C: NOOP
			S* 250`},
		"close": {smtpd.Check{Message: func(context.Context, *smtpd.Transaction, *mailbricks.Message) error { return smtpd.Close(nil) }}, `
			S: 421 4.7.0 <pat@foo.edu>: Closing connection
			S: 421 4.7.0 <green@foo.edu>: Closing connection
			S$`},
		"another number of recipients": {smtpd.Check{Message: func(_ context.Context, tx *smtpd.Transaction, _ *mailbricks.Message) error {
			tx.Envelope.Recipients = tx.Envelope.Recipients[1:]
			return nil
		}}, `
			S: 452 4.2.2 <pat@foo.edu>: <green@foo.edu> is temporarily over quota
			S: 452 4.2.2 <green@foo.edu> is temporarily over quota`},
		"around sees each": {smtpd.Check{Around: func(ctx context.Context, step *smtpd.Step, next func(context.Context) error) error {
			err := next(ctx)
			if step.Phase == smtpd.PhaseMessage {
				if results, ok := errors.AsType[mailbricks.Results](err); !ok || results[0] != nil || results[1] == nil {
					return smtpd.Permanent("not seen")
				}
			}
			return err
		}}, `
			S: 250 2.0.0 <pat@foo.edu>: *
			S* 452`},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(s *smtpd.Server) { s.Checks = []smtpd.Check{test.check}; lmtp(s) }, func(w *world) {
				w.talk(lhlo + `
					C: MAIL FROM:<chris@bar.com>
					S* 250
					C: RCPT TO:<pat@foo.edu>
					S* 250
					C: RCPT TO:<green@foo.edu>
					S* 250
					C: DATA
					S* 354
					C: .
				` + test.replies)
			})
		})
	}
}

func TestLHLOIsNotForSMTP(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.talk(`
			S* 220
			C: LHLO client.example.net
			S: 500 5.5.1 This is SMTP: say EHLO
			C: MAIL FROM:<ann@example.net>
			S: 503 5.5.1 EHLO first
		`)
	})
}

func TestLMTPCountsWhatItTook(t *testing.T) {
	var counts smtpd.Counts
	set := func(s *smtpd.Server) {
		lmtp(s)
		s.Checks = append(s.Checks, smtpd.Check{Disconnect: func(_ context.Context, s *smtpd.Session) { counts = s.Counts() }})
	}
	inWorld(t, set, func(w *world) {
		w.talk(lhlo + `
			C: MAIL FROM:<chris@bar.com>
			C: RCPT TO:<pat@foo.edu>
			C: RCPT TO:<green@foo.edu>
			C: DATA
			S* 250
			S* 250
			S* 250
			S* 354
			C: .
			S* 250
			S* 452
			C: MAIL FROM:<chris@bar.com>
			C: RCPT TO:<green@foo.edu>
			C: DATA
			S* 250
			S* 250
			S* 354
			C: .
			S* 452
			C: QUIT
			S* 221
			S$
		`)
	})
	require.Equal(t, smtpd.Counts{Messages: 1, Recipients: 1}, counts)
}

// RFC 3848 and RFC 6531 §4.3.
func TestProtocolWords(t *testing.T) {
	ca := mailtest.NewCA()
	for want, test := range map[string]struct {
		lmtp, tls, auth bool
		words           string
	}{
		"ESMTP": {}, "ESMTPS": {tls: true}, "ESMTPA": {auth: true}, "ESMTPSA": {tls: true, auth: true},
		"UTF8SMTP": {words: " SMTPUTF8"}, "UTF8SMTPS": {tls: true, words: " SMTPUTF8"}, "UTF8SMTPA": {auth: true, words: " SMTPUTF8"}, "UTF8SMTPSA": {tls: true, auth: true, words: " SMTPUTF8"},
		"LMTP": {lmtp: true}, "LMTPS": {lmtp: true, tls: true}, "LMTPA": {lmtp: true, auth: true}, "LMTPSA": {lmtp: true, tls: true, auth: true},
		"UTF8LMTP": {lmtp: true, words: " SMTPUTF8"}, "UTF8LMTPSA": {lmtp: true, tls: true, auth: true, words: " SMTPUTF8"},
	} {
		t.Run(want, func(t *testing.T) {
			set := func(s *smtpd.Server) {
				s.LMTP, s.Auth, s.AllowInsecureAuth, s.TLSConfig = test.lmtp, users{}, true, ca.ServerConfig("mail.example.com")
			}
			inWorld(t, set, func(w *world) {
				hello := "C: EHLO client.example.net\nS* 250\n"
				if test.lmtp {
					hello = "C: LHLO client.example.net\nS* 250\n"
				}
				c := w.dial("203.0.113.9")
				c.Talk("S* 220\n" + hello)
				if test.tls {
					c.Talk("C: STARTTLS\nS* 220")
					c.startTLS(ca.ClientConfig("mail.example.com"))
					c.Talk(hello)
				}
				if test.auth {
					c.Talk(login)
				}
				c.Talk("C: MAIL FROM:<ann@example.net>" + test.words + `
					S* 250
					C: RCPT TO:<bob@example.com>
					S* 250
					C: BDAT 0 LAST
					S* 250
					C: QUIT
					S* 221
				`)
				require.Equal(w.t, want, w.messages()[0].Envelope.Peer.Protocol)
			})
		})
	}
}

func TestUnixSockets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Skip("no Unix sockets here:", err)
	}
	var inbox mailtest.Inbox
	srv := &smtpd.Server{Hostname: "mail.example.com", LMTP: true, Handler: &inbox, MaxConnectionsPerIP: 1}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	var clients []client
	for range 3 { // there is no address of which there could be too many connections
		conn, err := net.Dial("unix", l.Addr().String())
		require.NoError(t, err)
		defer conn.Close()
		clients = append(clients, newClient(t, conn))
		clients[len(clients)-1].Talk(lhlo)
	}
	clients[0].Talk(`
		C: MAIL FROM:<chris@bar.com>
		S* 250
		C: RCPT TO:<pat@foo.edu>
		S* 250
		C: DATA
		S* 354
		C: Subject: x
		C: .
		S* 250
		C: QUIT
		S* 221
		S$
	`)
	got := inbox.Messages()[0]
	require.False(t, got.Envelope.Peer.Addr.IsValid())
	require.False(t, got.Envelope.Peer.Local.IsValid())
	require.True(t, strings.HasPrefix(string(got.Raw), "Received: from foo.edu\r\n\tby mail.example.com with LMTP id "), string(got.Raw))
	require.NoError(t, srv.Close())
	require.ErrorIs(t, <-done, smtpd.ErrServerClosed)
}
