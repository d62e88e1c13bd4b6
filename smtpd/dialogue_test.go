package smtpd_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/smtpd"
)

func TestMessageGoesToTheHandler(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.talk(`
			S: 220 mail.example.com ESMTP
			C: EHLO client.example.net
			S: 250-mail.example.com
			S: 250-PIPELINING
			S: 250-SIZE 52428800
			S: 250-8BITMIME
			S: 250-CHUNKING
			S: 250-ENHANCEDSTATUSCODES
			S: 250-SMTPUTF8
			S: 250-LIMITS MAILMAX=1000 RCPTMAX=100
			S: 250 HELP
			C: MAIL FROM:<ann@example.net> SIZE=20 BODY=8BITMIME
			S: 250 2.1.0 Sender ok
			C: RCPT TO:<bob@example.com>
			S: 250 2.1.5 Recipient ok
			C: RCPT TO:<bob@example.com>
			S: 250 2.1.5 Recipient ok
			C: DATA
			S: 354 End the message with a line of one dot
			C: Subject: hi
			C:
			C: ..
			C: ..two
			C: end
			C: .
			S: 250 2.0.0 Ok: queued as *
			C: QUIT
			S: 221 2.0.0 mail.example.com closing connection
			S$
		`)
		require.Len(w.t, w.messages(), 1)
		got := w.messages()[0]
		require.Equal(w.t, "ann@example.net", got.Envelope.From)
		require.Len(w.t, got.Envelope.Recipients, 2)
		require.EqualValues(w.t, 20, got.Envelope.Size)
		require.Equal(w.t, "ESMTP", got.Envelope.Peer.Protocol)
		require.Equal(w.t, "client.example.net", got.Envelope.Peer.Hello)
		require.Equal(w.t, "203.0.113.9", got.Envelope.Peer.Addr.Addr().String())
		require.True(w.t, strings.HasSuffix(string(got.Raw), "\r\nSubject: hi\r\n\r\n.\r\n.two\r\nend\r\n"), string(got.Raw))
	})
}

func TestPipelinedRepliesComeInOneWrite(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(hello)
		_, err := c.Conn.Write([]byte("MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\nRCPT TO:<c@example.com>\r\nDATA\r\n"))
		require.NoError(w.t, err)
		buf := make([]byte, 4096)
		n, err := c.Conn.Read(buf)
		require.NoError(w.t, err)
		require.Equal(w.t, "250 2.1.0 Sender ok\r\n250 2.1.5 Recipient ok\r\n250 2.1.5 Recipient ok\r\n354 End the message with a line of one dot\r\n", string(buf[:n]))
		c.Talk(`
			C: x
			C: .
			C: QUIT
			S* 250
			S* 221
			S$
		`)
	})
}

func TestHELOSession(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.talk(`
			S* 220
			C: HELO client.example.net
			S: 250 mail.example.com
			C: MAIL FROM:<a@example.net> SIZE=10
			S: 555 5.5.4 MAIL parameter SIZE is not offered here
			C: mail from:<>
			S* 250
			C: rcpt to:<PostMaster>
			S* 250
			C: data
			S* 354
			C: .
			S* 250
			C: quit
			S* 221
		`)
		got := w.messages()[0].Envelope
		require.Equal(w.t, "SMTP", got.Peer.Protocol)
		require.Empty(w.t, got.From)
		require.Equal(w.t, "PostMaster", got.Recipients[0].Address)
	})
}

// commands are dialogues after EHLO: lines of commands and the replies they get.
var commands = map[string]string{
	"hello": `
		C: EHLO
		S: 501 5.5.4 *
		C: EHLO a<b>
		S: 501 5.5.4 *
		C: EHLO [192.0.2.9] and more
		S* 250
		C: EHLO [IPv6:2001:db8::9]
		S* 250
		C: HELO under_score
		S* 250`,
	"noop, help and vrfy": `
		C: NOOP
		S: 250 2.0.0 Ok
		C: noop anything at all
		S: 250 2.0.0 Ok
		C: HELP
		S: 214 2.0.0 See RFC 5321
		C: VRFY bob
		S: 252 2.0.0 *
		C: VRFY
		S: 501 5.5.4 *`,
	"what is not served": `
		C: EXPN list
		S: 502 5.5.1 Command not implemented
		C: ETRN x
		S: 502 5.5.1 *
		C: STARTTLS
		S: 502 5.5.1 TLS is not available
		C: AUTH PLAIN
		S: 503 5.5.1 AUTH is not available here
		C: MAILFROM:<a@example.net>
		S: 500 5.5.1 Unknown command
		C:
		S: 500 5.5.1 Unknown command`,
	"order": `
		C: RCPT TO:<a@example.com>
		S: 503 5.5.1 MAIL first
		C: DATA
		S: 503 5.5.1 MAIL first
		C: MAIL FROM:<a@example.net>
		S* 250
		C: DATA
		S: 503 5.5.1 RCPT first
		C: MAIL FROM:<a@example.net>
		S: 503 5.5.1 A mail transaction is open already
		C: RSET
		S: 250 2.0.0 Ok
		C: RCPT TO:<a@example.com>
		S: 503 5.5.1 MAIL first
		C: MAIL FROM:<a@example.net>
		S* 250
		C: EHLO again.example.net
		S* 250
		C: RCPT TO:<a@example.com>
		S: 503 5.5.1 MAIL first`,
	"no arguments": `
		C: RSET now
		S: 501 5.5.4 *
		C: QUIT now
		S: 501 5.5.4 *
		C: MAIL FROM:<a@example.net>
		S* 250
		C: RCPT TO:<a@example.com>
		S* 250
		C: DATA now
		S: 501 5.5.4 *`,
	"mail syntax": `
		C: MAIL
		S: 501 5.5.4 Syntax: MAIL FROM:<address> [parameters]
		C: MAIL TO:<a@example.net>
		S: 501 5.5.4 *
		C: MAIL FROM:a@example.net
		S: 501 5.5.4 The address must be in angle brackets
		C: MAIL FROM:<a@example.net
		S: 501 5.5.4 *
		C: MAIL FROM:<a@example.net>SIZE=3
		S: 501 5.5.4 *
		C: MAIL FROM:<FBI>
		S: 501 5.1.7 Sender address: address has no domain
		C: MAIL FROM:<a..b@example.net>
		S: 501 5.1.7 Sender address: local part is malformed
		C: MAIL FROM:<a@-example.net>
		S: 501 5.1.7 Sender address: domain is malformed`,
	"lenient blank": `
		C: MAIL FROM: <a@example.net>  SIZE=3
		S* 250
		C: RCPT TO: <a@example.com>  
		S* 250`,
	"parameters": `
		C: MAIL FROM:<a@example.net> SIZE=52428801
		S: 552 5.3.4 Message is larger than 52428800 octets
		C: MAIL FROM:<a@example.net> SIZE=99999999999999999999
		S: 552 5.3.4 *
		C: MAIL FROM:<a@example.net> SIZE=-1
		S: 501 5.5.4 *
		C: MAIL FROM:<a@example.net> SIZE
		S: 501 5.5.4 *
		C: MAIL FROM:<a@example.net> SIZE=1 SIZE=2
		S: 501 5.5.4 MAIL parameter SIZE is given twice
		C: MAIL FROM:<a@example.net> BODY=BINARYMIME
		S: 555 5.5.4 *
		C: MAIL FROM:<a@example.net> SMTPUTF8=1
		S: 501 5.5.4 *
		C: MAIL FROM:<a@example.net> AUTH=<>
		S: 555 5.5.4 *
		C: MAIL FROM:<a@example.net> RET=FULL
		S: 555 5.5.4 MAIL parameter RET is not offered here`,
	"recipient parameters": `
		C: MAIL FROM:<a@example.net> SIZE=52428800 BODY=7bit SMTPUTF8
		S* 250
		C: RCPT TO:<a@example.com> NOTIFY=NEVER
		S: 555 5.5.4 RCPT parameter NOTIFY is not offered here
		C: RCPT TO:<a@example.com> ORCPT=rfc822;SRS0=x=y@z
		S: 555 5.5.4 *`,
	"rcpt syntax": `
		C: MAIL FROM:<>
		S* 250
		C: RCPT TO:<>
		S: 501 5.1.3 Recipient address: address is empty
		C: RCPT TO:<bob>
		S: 501 5.1.3 Recipient address: address has no domain
		C: RCPT TO:bob@example.com
		S: 501 5.5.4 The address must be in angle brackets
		C: RCPT FROM:<bob@example.com>
		S: 501 5.5.4 *
		C: RCPT TO:<a@[300.1.1.1]>
		S: 501 5.1.3 Recipient address: address literal is malformed
		C: RCPT TO:<@a.example,@b.example:"a b"@[IPv6:::1]>
		S* 250
		C: RCPT TO:<"x> NOTIFY=NEVER"@example.com>
		S* 250`,
	"internationalised": `
		R: "MAIL FROM:<j\u00f6rg@example.net>\r\n"
		S: 550 5.6.7 Sender address needs SMTPUTF8
		C: MAIL FROM:<a@example.net>
		S* 250
		R: "RCPT TO:<j\u00f6rg@example.com>\r\n"
		S: 553 5.6.7 Recipient address needs SMTPUTF8
		C: RSET
		S* 250
		R: "MAIL FROM:<j\u00f6rg@b\u00fccher.example> SMTPUTF8\r\n"
		S* 250
		R: "RCPT TO:<\xff@example.com>\r\n"
		S: 501 5.1.3 Recipient address: address is not UTF-8
		R: "RCPT TO:<\u7528\u6237@\u4f8b\u5b50.example>\r\n"
		S* 250`,
	"line ends": `
		R: "NOOP\n"
		S: 500 5.5.2 Lines must end with CR LF
		R: "NOOP\rNOOP\r\n"
		S: 500 5.5.2 Control characters are not allowed in commands
		R: "NOOP\x00\r\n"
		S: 500 5.5.2 Control characters are not allowed in commands
		C: NOOP
		S* 250`,
}

func TestCommands(t *testing.T) {
	for name, script := range commands {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				w.talk(hello + script + "\n\tC: QUIT\n\tS* 221\n\tS$\n")
				require.Empty(w.t, w.messages())
			})
		})
	}
}

func TestNothingButHelloComesFirst(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.Auth, s.AllowInsecureAuth = users{}, true }, func(w *world) {
		w.talk(`
			S* 220
			C: MAIL FROM:<a@example.net>
			S: 503 5.5.1 EHLO first
			C: AUTH PLAIN
			S: 503 5.5.1 EHLO first
			C: HELO client.example.net
			S* 250
			C: AUTH PLAIN
			S: 503 5.5.1 EHLO first
			C: NOOP
			S* 250
			C: QUIT
			S* 221
		`)
	})
}

// Wherever in a session it speaks, and whatever else it has sent already.
func TestWebBrowsersAreCutOff(t *testing.T) {
	const request = " / HTTP/1.1\nC: Host: mail.example.com\nC:\nC: EHLO a.example\nC: MAIL FROM:<a@example.net>\nC: RCPT TO:<b@example.com>\nC: DATA\n"
	const cutOff = "S: 502 5.7.0 This is a mail server, not a web server\nS$\n"
	for _, verb := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PRI", "get", "Post"} {
		t.Run(verb, func(t *testing.T) {
			refuse := smtpd.Check{Connect: func(_ context.Context, s *smtpd.Session) error {
				if s.Peer.Addr.Addr().String() == "203.0.113.1" {
					return smtpd.Permanent("No")
				}
				return nil
			}}
			inWorld(t, func(s *smtpd.Server) { s.Checks = []smtpd.Check{refuse} }, func(w *world) {
				w.talk("S* 220\nC: " + verb + request + cutOff)
				w.talk(hello + "C: " + verb + request + cutOff)
				w.talk(hello + "C: NOOP\nC: " + verb + request + "S* 250\n" + cutOff)
				w.talk(mailTo + "C: " + verb + request + cutOff)
				w.talk(toData + "C: " + verb + " / HTTP/1.1\nC: .\nS* 250\nC: " + verb + request + cutOff)
				w.talk("C: " + verb + request + "S* 220\n" + cutOff)
				w.dial("203.0.113.1").Talk("S* 554\nC: " + verb + request + cutOff)
				require.Len(w.t, w.messages(), 1)
			})
		})
	}
}

func TestDATAWithoutValidRecipients(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.Checks = []smtpd.Check{nobody} }, func(w *world) {
		w.talk(hello + `
			C: MAIL FROM:<a@example.net>
			C: RCPT TO:<b@example.com>
			C: DATA
			S* 250
			S: 550 5.1.1 <b@example.com>: no such user here
			S: 554 5.5.1 No valid recipients
			C: QUIT
			S* 221
		`)
	})
}

func TestServerWithoutHandlerTakesNoMail(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.Handler = nil }, func(w *world) {
		w.talk(hello + `
			C: MAIL FROM:<a@example.net>
			S: 451 4.3.5 This server takes no mail yet
		`)
	})
}
