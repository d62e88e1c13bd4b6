package smtpd_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

// faults are where other servers are known to go wrong: what is said to them, and the right answer. Each begins with the
// greeting behind it.
var faults = map[string]struct {
	setUp  func(*smtpd.Server)
	script string
}{
	"MAIL before EHLO": {nil, "C: MAIL FROM:<a@example.net>\nS: 503 5.5.1 EHLO first\n"},
	"RCPT before EHLO": {nil, "C: RCPT TO:<a@example.com>\nS: 503 5.5.1 *\n"},
	"DATA before EHLO": {nil, "C: DATA\nS: 503 5.5.1 *\n"},
	"AUTH before EHLO": {insecureUsers, "C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\nS: 503 5.5.1 EHLO first\n"},
	"STARTTLS before EHLO": {withAnyTLS, `
		C: STARTTLS
		S: 503 5.5.1 EHLO first`},
	"STARTTLSxyz": {withAnyTLS, `
		C: STARTTLSxyz
		S: 500 5.5.1 Unknown command
		C: EHLO client.example.net
		S* 250
		C: STARTTLSxyz
		S: 500 5.5.1 Unknown command`},
	"what needs no EHLO": {nil, `
		C: NOOP
		S: 250 2.0.0 Ok
		C: RSET
		S: 250 2.0.0 Ok
		C: VRFY bob
		S: 252 2.0.0 *
		C: HELP
		S: 214 2.0.0 *`},
	"nested MAIL": {nil, `
		C: EHLO client.example.net
		S* 250
		C: MAIL FROM:<one@example.net>
		S* 250
		C: RCPT TO:<bob@example.com>
		S* 250
		C: MAIL FROM:<two@example.net>
		S: 503 5.5.1 A mail transaction is open already
		C: RSET
		S* 250
		C: MAIL FROM:<three@example.net>
		S* 250
		C: DATA
		S: 503 5.5.1 RCPT first`},
	"a sender without a domain":  {nil, mailed("<FBI>", "501 5.1.7 Sender address: address has no domain")},
	"the null reverse-path":      {nil, mailed("<>", "250 2.1.0 Sender ok")},
	"a blank in front of <>":     {nil, mailed(" <>", "250 2.1.0 Sender ok")},
	"no brackets":                {nil, mailed("a@b", "501 5.5.4 The address must be in angle brackets")},
	"text behind the path":       {nil, mailed("<a@b>junk", "501 5.5.4 There is something behind the address")},
	"a source route":             {nil, mailed("<@a,@b:u@e>", "250 2.1.0 Sender ok")},
	"an IPv6 literal":            {nil, mailed("<a@[IPv6:2001:db8::1]>", "250 2.1.0 Sender ok")},
	"an IPv4 literal":            {nil, mailed("<a@[192.0.2.1]>", "250 2.1.0 Sender ok")},
	"a literal that is none":     {nil, mailed("<a@[bogus!!>", "501 5.1.7 Sender address: address literal is malformed")},
	"an IPv6 literal, no tag":    {nil, mailed("<a@[2001:db8::1]>", "501 5.1.7 *")},
	"two at signs":               {nil, mailed("<a@b@c>", "501 5.1.7 Sender address: domain is malformed")},
	"two dots":                   {nil, mailed("<a..b@c>", "501 5.1.7 Sender address: local part is malformed")},
	"a dot first":                {nil, mailed("<.a@c>", "501 5.1.7 Sender address: local part is malformed")},
	"a dot last":                 {nil, mailed("<a.@c>", "501 5.1.7 Sender address: local part is malformed")},
	"an odd domain":              {nil, mailed("<a@-b..c>", "501 5.1.7 Sender address: domain is malformed")},
	"UTF-8 that was not offered": {func(s *smtpd.Server) { s.NoSMTPUTF8 = true }, mailed("<\u00f6@b>", "550 5.6.7 *")},
	"UTF-8, not asked for":       {nil, mailed("<\u00f6@b>", "550 5.6.7 *")},
	"SMTPUTF8, not offered":      {func(s *smtpd.Server) { s.NoSMTPUTF8 = true }, mailed("<\u00f6@b> SMTPUTF8", "555 5.5.4 *")},
	"invalid UTF-8":              {nil, mailed("<\xff@b> SMTPUTF8", "501 5.1.7 Sender address: address is not UTF-8")},
	"CR in a local part":         {nil, mailed("<a\rb@c>", "500 5.5.2 Control characters are not allowed in commands")},
	"NUL in a local part":        {nil, mailed("<a\x00b@c>", "500 5.5.2 *")},
	"NUL in a domain":            {nil, mailed("<a@b\x00c>", "500 5.5.2 *")},
	"DEL in a domain":            {nil, mailed("<a@b\x7fc>", "500 5.5.2 *")},
	"ESC in a name":              {nil, "C: EHLO a\x1b[2Jb\nS: 500 5.5.2 *\n"},
	"postmaster": {nil, `
		C: EHLO client.example.net
		S* 250
		C: MAIL FROM:<>
		S* 250
		C: RCPT TO:<postmaster>
		S: 250 2.1.5 Recipient ok
		C: RCPT TO:<PostMaster@example.com>
		S* 250`},
	"EHLO without a name": {nil, "C: EHLO\nS: 501 5.5.4 *\nC: HELO\nS: 501 5.5.4 *\n"},
	"EHLO with three words": {nil, `
		C: EHLO a b c
		S* 250`},
	"a second EHLO ends the transaction": {nil, `
		C: EHLO one.example.net
		S* 250
		C: MAIL FROM:<a@example.net>
		S* 250
		C: EHLO two.example.net
		S* 250
		C: RCPT TO:<bob@example.com>
		S: 503 5.5.1 MAIL first`},
	"a malformed EHLO changes nothing": {nil, `
		C: EHLO one.example.net
		S* 250
		C: EHLO <>
		S: 501 5.5.4 *
		C: MAIL FROM:<a@example.net>
		S* 250`},
	"the enhanced code is on each line": {func(s *smtpd.Server) {
		s.Checks = []smtpd.Check{{Mail: func(context.Context, *smtpd.Transaction) error {
			return fmt.Errorf("wrapped: %w", &mailbricks.Reply{Code: 550, Enhanced: "5.7.1", Text: "one\ntwo\nthree"})
		}}}
	}, `
		C: EHLO client.example.net
		S* 250
		C: MAIL FROM:<a@example.net>
		S: 550-5.7.1 one
		S: 550-5.7.1 two
		S: 550 5.7.1 three`},
	"the text of an error stays inside": {func(s *smtpd.Server) {
		s.Checks = []smtpd.Check{{Rcpt: func(context.Context, *smtpd.Transaction, *mailbricks.Recipient) error {
			return errors.New("open /etc/secret: no such file")
		}}}
	}, `
		C: EHLO client.example.net
		S* 250
		C: MAIL FROM:<a@example.net>
		S* 250
		C: RCPT TO:<bob@example.com>
		S: 451 4.3.0 Temporary local problem, please try again later`},
	"421 from a check closes": {func(s *smtpd.Server) {
		s.Checks = []smtpd.Check{{Data: func(context.Context, *smtpd.Transaction) error {
			return &mailbricks.Reply{Code: 421, Enhanced: "4.7.0", Text: "go away"}
		}}}
	}, `
		C: EHLO client.example.net
		C: MAIL FROM:<a@example.net>
		C: RCPT TO:<bob@example.com>
		C: DATA
		C: NOOP
		S* 250
		S* 250
		S* 250
		S: 421 4.7.0 go away
		S$`},
	"SIZE of more than 32 bits": {func(s *smtpd.Server) { s.MaxMessageSize = 1 << 33 }, `
		C: EHLO client.example.net
		S: 250-*
		S: 250-*
		S: 250-SIZE 8589934592
		S* 250
		C: MAIL FROM:<a@example.net> SIZE=4294967296
		S* 250
		C: RSET
		S* 250
		C: MAIL FROM:<a@example.net> SIZE=8589934593
		S: 552 5.3.4 Message is larger than 8589934592 octets`},
	"SIZE given twice": {nil, mailed("<a@b> SIZE=5 SIZE=6", "501 5.5.4 MAIL parameter SIZE is given twice")},
	"a long initial response": {insecureUsers, `
		C: EHLO client.example.net
		S* 250
		C: AUTH PLAIN ` + strings.Repeat("AAAA", 600) + `
		S: 501 5.5.2 *
		C: NOOP
		S: 250 2.0.0 Ok`},
	"the longest initial response": {insecureUsers, `
		C: EHLO client.example.net
		S* 250
		C: AUTH PLAIN ` + strings.Repeat("A", 12288-len("AUTH PLAIN \r\n")) + `
		S: 501 5.5.2 *
		C: NOOP
		S: 250 2.0.0 Ok`},
	"guessing passwords": {insecureUsers, `
		C: EHLO client.example.net
		S* 250
		C: AUTH PLAIN AGEAYg==
		S: 535 5.7.8 *
		C: AUTH PLAIN AGEAYg==
		S: 535 5.7.8 *
		C: AUTH PLAIN AGEAYg==
		S: 421 4.7.0 Too many failed log-ins, closing
		S$`},
	"BY on MAIL":             {keeping(everything), mailed("<a@b> BY=120;R", "250 2.1.0 Sender ok")},
	"MT-PRIORITY on MAIL":    {keeping(everything), mailed("<a@b> MT-PRIORITY=-3", "250 2.1.0 Sender ok")},
	"REQUIRETLS in clear":    {keeping(everything), mailed("<a@b> REQUIRETLS", "555 5.5.4 *")},
	"an equals sign in AUTH": {insecureUsers, mailed("<a@b> AUTH=SRS0+3Dx@b", "250 2.1.0 Sender ok")},
	"an equals sign in ORCPT": {keeping(everything), `
		C: EHLO client.example.net
		S* 250
		C: MAIL FROM:<a@example.net>
		S* 250
		C: RCPT TO:<b@example.com> ORCPT=rfc822;SRS0=x=y@z
		S: 250 2.1.5 Recipient ok`},
	"a web browser": {nil, "C: GET / HTTP/1.1\nC: Host: mail.example.com\nC:\nS: 502 5.7.0 *\nS$\n"},
	"AUTH where it is not offered": {nil, `
		C: EHLO client.example.net
		S* 250
		C: AUTH PLAIN AGEAYg==
		S: 503 5.5.1 AUTH is not available here`},
	"a line end of LF": {nil, `
		R: "EHLO client.example.net\n"
		S: 500 5.5.2 Lines must end with CR LF
		R: "MAIL FROM:<a@example.net>\n"
		S: 500 5.5.2 *`},
	"a parameter of HELO": {nil, `
		C: HELO client.example.net
		S: 250 mail.example.com
		C: MAIL FROM:<a@example.net> SMTPUTF8
		S: 555 5.5.4 *`},
	"a parameter that nobody knows": {nil, mailed("<a@b> XYZ=1", "555 5.5.4 MAIL parameter XYZ is not offered here")},
	"a parameter without a name":    {nil, mailed("<a@b> =1", "501 5.5.4 Malformed MAIL parameter")},
	"no reply is echoed raw":        {nil, mailed("<a@b> \u00e4=1", "501 5.5.4 Malformed MAIL parameter")},
}

// mailed is the reply to MAIL FROM: with a path and parameters.
func mailed(path, reply string) string {
	return fmt.Sprintf("C: EHLO client.example.net\nS* 250\nR: %q\nS: %s\n", "MAIL FROM:"+path+"\r\n", reply)
}

func insecureUsers(s *smtpd.Server) { s.Auth, s.AllowInsecureAuth = users{}, true }

func withAnyTLS(s *smtpd.Server) { s.TLSConfig = mailtest.NewCA().ServerConfig("mail.example.com") }

func TestFaultsOfOtherServers(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			inWorld(t, fault.setUp, func(w *world) {
				c := w.dial("203.0.113.9")
				c.Talk("S: 220 mail.example.com ESMTP\n" + fault.script + "\n")
				if !strings.Contains(fault.script, "S$") {
					c.Talk("C: QUIT\nS: 221 2.0.0 *\nS$\n")
				}
				require.Empty(w.t, w.messages())
			})
		})
	}
}

func TestCommandsThatAreNotServed(t *testing.T) {
	for verb := range strings.FieldsSeq("EXPN ETRN TURN ATRN SEND SOML SAML BURL XCLIENT XFORWARD VERB ONEX") {
		t.Run(verb, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				w.talk(hello + "C: " + verb + "\nS: 502 5.5.1 Command not implemented\nC: " + strings.ToLower(verb) +
					" x\nS: 502 5.5.1 *\nC: " + verb + "X\nS: 500 5.5.1 Unknown command\nC: NOOP\nS* 250\n")
			})
		})
	}
}

// What the quotes of a local part mean is not lost, whatever they hold.
func TestQuotedLocalPartsAreKept(t *testing.T) {
	for given, want := range map[string]string{
		`"a b"@c`:               `"a b"@c`,
		`"a@b"@c`:               `"a@b"@c`,
		`"x> NOTIFY=NEVER"@c`:   `"x> NOTIFY=NEVER"@c`,
		`"x\" y"@c`:             `"x\" y"@c`,
		`"a\b"@c`:               `ab@c`,
		`"ann"@c`:               `ann@c`,
		`"ann.b"@c`:             `ann.b@c`,
		`"ann..b"@c`:            `"ann..b"@c`,
		`""@c`:                  `""@c`,
		`@a,@b:"u v"@e`:         `"u v"@e`,
		`a@[IPv6:2001:db8::1]`:  `a@[IPv6:2001:db8::1]`,
		`a!b%c{d}|e/f=g@h`:      `a!b%c{d}|e/f=g@h`,
		`SRS0=x=y@z`:            `SRS0=x=y@z`,
		`"<script>alert(1)"@c`:  `"<script>alert(1)"@c`,
		`"back\\slash"@c`:       `"back\\slash"@c`,
		`Ann.Smith+tag@Example`: `Ann.Smith+tag@Example`,
	} {
		t.Run(given, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				w.talk(hello + "C: MAIL FROM:<" + given + ">\nS* 250\nC: RCPT TO:<" + given + ">\nS* 250\nC: DATA\nS* 354\nC: .\nS* 250\n")
				env := w.messages()[0].Envelope
				require.Equal(w.t, want, env.From)
				require.Equal(w.t, want, env.Recipients[0].Address)
			})
		})
	}
}

// DATA may take longer than a command, with each line in time: none of it becomes a command.
func TestSlowLinesStayData(t *testing.T) {
	inWorld(t, func(s *smtpd.Server) { s.CommandTimeout = 500 * time.Millisecond }, func(w *world) {
		c := w.dial("203.0.113.9")
		c.Talk(toData)
		for range 12 {
			time.Sleep(60 * time.Millisecond)
			c.write("LINE\r\n")
		}
		time.Sleep(time.Second)
		c.Talk("C: .\nS: 250 *\nC: NOOP\nS: 250 2.0.0 Ok\n")
		require.Len(w.t, w.messages(), 1)
	})
}

// A lost connection and QUIT are told apart, and each session is told of once.
func TestEndOfASessionIsTold(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(c client)
		want string
	}{
		"QUIT":        {func(c client) { c.Talk("C: QUIT\nS* 221\nS$\n") }, "<nil>"},
		"half-close":  {func(c client) { c.Talk("H:\nS$\n") }, "EOF"},
		"close":       {func(c client) { require.NoError(c.T, c.Conn.Close()) }, "EOF"},
		"reset":       {func(c client) { c.Conn.(*mailtest.Conn).Reset() }, "connection reset"},
		"silence":     {func(c client) { c.Talk("W: 6m\nS: 421 *\nS$\n") }, "i/o timeout"},
		"web browser": {func(c client) { c.Talk("C: GET /\nS* 502\nS$\n") }, "ended by a reply"},
		"within DATA": {func(c client) { c.Talk(toData[len("\n\tS: 220 mail.example.com ESMTP"):] + "H:\nS$\n") }, "EOF"},
		"line too long": {func(c client) {
			c.Talk("C: " + strings.Repeat("x", 13000) + "\nS* 500\nS$\n")
		}, "line too long"},
	} {
		t.Run(name, func(t *testing.T) {
			var ends notes
			inWorld(t, func(s *smtpd.Server) {
				s.Trace.Disconnected = func(_ *smtpd.Session, err error) { ends.add("trace %v", err) }
				s.Checks = []smtpd.Check{{Disconnect: func(context.Context, *smtpd.Session) { ends.add("check") }}}
			}, func(w *world) {
				c := w.dial("203.0.113.9")
				c.Talk("S* 220\n")
				test.end(c)
				time.Sleep(time.Second) // the server lingers
				synctest.Wait()
				require.Len(w.t, ends.all(), 2)
				require.Equal(w.t, "check", ends.all()[0])
				require.Contains(w.t, ends.all()[1], test.want)
			})
		})
	}
}

// Long lines are welcome in a message and no reason to close, pipelined or not.
func TestLongBodyLineInASession(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		c := w.dial("203.0.113.9")
		line := strings.Repeat("x", 20000) + "\r\n"
		_, err := io.WriteString(c.Conn, "EHLO a.example\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"+
			line+".\r\nQUIT\r\n")
		require.NoError(w.t, err)
		c.Talk("S* 220\nS* 250\nS* 250\nS* 250\nS* 354\nS* 250\nS* 221\nS$\n")
		_, text := cutReceived(string(w.messages()[0].Raw))
		require.Equal(w.t, line, text)
	})
}
