package smtpd

import (
	"bytes"
	"crypto/tls"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
)

// promising is a session over TLS, logged in, of a server that offers all there is.
func promising() *conn {
	set := (&Server{Auth: noUsers{}}).settings(new(Server), false)
	c := &conn{set: set, session: new(Session), extended: true, latestHold: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	c.session.Peer.TLS, c.session.Peer.Identity = new(tls.ConnectionState), new(mailbricks.Identity)
	c.ext = Extensions{
		BinaryMIME: true, DSN: true, RequireTLS: true, DeliverBy: true, MinDeliverBy: time.Minute, MaxHold: time.Hour, Priority: true, RecipientValidSince: true,
	}
	return c
}

type noUsers struct{ Authenticator }

// requirePrintable fails for what may not stand in a header or log.
func requirePrintable(t *testing.T, s string, ascii bool) {
	require.True(t, utf8.ValidString(s), "%q", s)
	for _, r := range s {
		require.False(t, unicode.IsControl(r), "%q", s)
		require.False(t, ascii && r >= utf8.RuneSelf, "%q", s)
	}
}

func FuzzMailParameters(f *testing.F) {
	for _, seed := range []string{
		"SIZE=100 BODY=8BITMIME SMTPUTF8 AUTH=<>", "RET=HDRS ENVID=QQ314159", "BODY=BINARYMIME REQUIRETLS", "BY=120;RT MT-PRIORITY=-3", "HOLDFOR=60", "AUTH=a+2Bb+3Dc@d", "AUTH=+22a+20b+22@[001.2.3.4]",
		"HOLDUNTIL=2029-12-31T23:59:59Z BY=999999999;N", "HOLDFOR=60 HOLDFOR=60", "ENVID=+0D+0A", "BY=-;R", "MT-PRIORITY=+9", "=", "SIZE==1", "X\u3000Y", "SIZE=99999999999999999999",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, words string) {
		_, split, reply := splitPath("<> " + words)
		require.Nil(t, reply)
		c := promising()
		now := time.Now()
		env := &mailbricks.Envelope{Received: now}
		if reply := c.mailParameters(env, split); reply != nil {
			require.Contains(t, []int{501, 552, 555}, reply.Code)
			return
		}
		requirePrintable(t, env.EnvelopeID, true)
		require.LessOrEqual(t, len(env.EnvelopeID), 100)
		require.GreaterOrEqual(t, env.Size, int64(0))
		require.LessOrEqual(t, env.Size, int64(DefaultMaxMessageSize))
		require.Contains(t, []mailbricks.BodyType{"", mailbricks.Body7Bit, mailbricks.Body8Bit, mailbricks.BodyBinary}, env.Body)
		require.Contains(t, []mailbricks.Return{"", mailbricks.ReturnFull, mailbricks.ReturnHeaders}, env.Return)
		if env.Priority != nil {
			require.LessOrEqual(t, max(*env.Priority, -*env.Priority), 9)
		}
		if by := env.DeliverBy; by != nil && by.Return {
			require.False(t, by.Deadline.Before(now.Add(time.Minute)))
		}
		require.False(t, env.HoldUntil.After(now.Add(time.Hour)) && env.HoldUntil.After(c.latestHold))
		if env.Auth != nil {
			require.NotContains(t, *env.Auth, "\r")
			require.NotContains(t, *env.Auth, "\n")
			if *env.Auth != "" {
				again, err := ParseAddress(*env.Auth)
				require.NoError(t, err)
				require.Equal(t, again, *env.Auth)
			}
		}
	})
}

func FuzzRcptParameters(f *testing.F) {
	for _, seed := range []string{
		"NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob@Example.COM", "NOTIFY=NEVER", "ORCPT=rfc822;SRS0=x=y@z", "ORCPT=utf-8;j\\x{F6}rg@b.example", "ORCPT=utf-8;jörg",
		"RRVS=2014-04-03T23:01:00Z;C", "ORCPT=x400;+20", "ORCPT=utf-8;\\x{0D}", "NOTIFY=,,", "RRVS=9999-12-31T23:59:60Z", "ORCPT=utf-8;\\x{D800}\xff", "ORCPT=;",
	} {
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, words string, smtputf8 bool) {
		_, split, reply := splitPath("<a@b> " + words)
		require.Nil(t, reply)
		c := promising()
		c.tx = &Transaction{Envelope: &mailbricks.Envelope{SMTPUTF8: smtputf8}}
		var rcpt mailbricks.Recipient
		if reply := c.rcptParameters(&rcpt, split); reply != nil {
			require.Contains(t, []int{501, 555}, reply.Code)
			return
		}
		requirePrintable(t, rcpt.OriginalRecipient, false)
		kind, address, found := strings.Cut(rcpt.OriginalRecipient, ";")
		require.Equal(t, rcpt.OriginalRecipient != "", found)
		require.Equal(t, found, isAtom(kind) && address != "")
		if !strings.EqualFold(kind, "utf-8") {
			requirePrintable(t, address, true)
		}
		require.True(t, rcpt.Notify <= mailbricks.NotifyNever, "NEVER stands alone")
	})
}

func FuzzXCLIENT(f *testing.F) {
	for _, seed := range []string{
		"NAME=spike.porcupine.org ADDR=168.100.189.2", "ADDR=IPV6:2001:db8::1 PORT=25 PROTO=ESMTP HELO=spike", "LOGIN=ann DESTADDR=[UNAVAILABLE] DESTPORT=25",
		"NAME=[TEMPUNAVAIL] ADDR=[UNAVAILABLE]", "HELO=+5B192.0.2.1+5D", "HELO=a,b+28", "HELO=J+C3+BCrgens-PC", "HELO=[x]", "ADDR=IPV6:::ffff:192.0.2.1 PORT=x", "NAME=+0D", "ADDR=IPV6:fe80::1%0", "PORT=1 PORT=2",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		var cl client
		if reply := cl.parse(arg); reply != nil {
			require.Equal(t, 501, reply.Code)
			return
		}
		require.True(t, cl.name == "" || validHello(cl.name) && cl.name[0] != '[')
		if cl.peer.Hello != "" {
			name, ok := anyHello(cl.peer.Hello)
			require.True(t, ok)
			require.Equal(t, cl.peer.Hello, name)
		}
		require.Regexp(t, `^([A-Za-z0-9._?-]+|\[[0-9A-Fa-fIPVipv:.]+\])$`, helloIn(cl.peer.Hello))
		require.Contains(t, []string{"", "SMTP", "ESMTP"}, cl.peer.Protocol)
		for _, a := range []string{cl.peer.Addr.Addr().Zone(), cl.peer.Local.Addr().Zone()} {
			require.Empty(t, a)
		}
		require.False(t, cl.peer.Addr.Addr().Is4In6())
		require.True(t, cl.peer.Addr.Addr().IsValid() || cl.peer.Addr.Port() == 0)
		if id := cl.peer.Identity; id != nil {
			require.NotEmpty(t, id.Login)
			require.Equal(t, id.Login, id.User)
			require.True(t, utf8.ValidString(id.Login))
			require.NotContains(t, id.Login, "\n")
		}
	})
}

// However a message is cut, its flaws are the same, and what comes out is what went in.
func FuzzChunkScanner(f *testing.F) {
	for _, seed := range []string{"Subject: x\r\n\r\nbody\r\n", "a\r", "a\nb", "\r\r\n", "\r\n\r\n\x00", "x\x00\r\n", strings.Repeat("y", 40), ".\r\n..\r\n", "a\r\n\n"} {
		for mode := range byte(3) {
			f.Add([]byte(seed), uint8(2), mode)
		}
	}
	f.Fuzz(func(t *testing.T, message []byte, cut, mode uint8) {
		binary, repair := mode%3 == 1, mode%3 == 2
		var out bytes.Buffer
		s := chunkScanner{out: &out, maxLine: 30, binary: binary, repair: repair}
		for rest := message; len(rest) > 0; {
			n := min(len(rest), int(cut)%7+1)
			s.scan(rest[:n])
			rest = rest[n:]
		}
		s.finish()
		require.NoError(t, s.err)
		require.EqualValues(t, len(message), s.size)

		looked, whole := string(message), string(message)
		if binary { // its header only
			if strings.HasPrefix(looked, "\r\n") {
				looked = "\r\n"
			} else if header, _, found := strings.Cut(looked, "\r\n\r\n"); found {
				looked = header + "\r\n\r\n"
			}
		} else if whole != "" && !strings.HasSuffix(whole, "\n") { // after which the last line is over
			whole += "\r\n"
		}
		bare := strings.ContainsAny(strings.ReplaceAll(looked, "\r\n", ""), "\r\n\x00")
		long := false
		for line := range strings.SplitSeq(strings.ReplaceAll(looked, "\r\n", "\n"), "\n") {
			long = long || len(strings.TrimSuffix(line, "\r")) > 30
		}
		require.Equal(t, bare && !repair || long, s.flaw != nil, "%q: %v", message, s.flaw)
		if s.flaw == nil {
			require.Equal(t, whole, out.String())
		}
	})
}
