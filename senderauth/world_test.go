package senderauth_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/senderauth"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keys are two keys of one domain, made once.
var keys = sync.OnceValue(func() (k struct{ rsa, ed crypto.Signer }) {
	var err error
	if k.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		panic(err)
	}
	if _, k.ed, err = ed25519.GenerateKey(rand.Reader); err != nil {
		panic(err)
	}
	return k
})

// zones has sender.example, whose mail comes from 192.0.2.25 and 2001:db8::25 and whose policy is given, and others.
func zones(t testing.TB, policy string) *mailtest.DNS {
	t.Helper()
	text := `
		$ORIGIN sender.example.
		@      TXT "v=spf1 ip4:192.0.2.25 ip6:2001:db8::25 -all exp=why.sender.example"
		_dmarc TXT "` + policy + `"
		why    TXT "%{i} is not ours"
		mail   TXT "v=spf1 a -all"
		mail   A 192.0.2.25
		mail   AAAA 2001:db8::25
		25.2.0.192.in-addr.arpa. PTR mail.sender.example.
		66.2.0.192.in-addr.arpa. PTR mail.sender.example.
		5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR mail.sender.example.
		soft.example. TXT "v=spf1 ~all"
		neutral.example. TXT "v=spf1 ?all"
		broken.example. TXT "v=spf1 nonsense"
		mx.list.example. A 192.0.2.99
		list.example. TXT "v=spf1 ip4:192.0.2.99 -all"
	`
	for _, domain := range []string{"sender.example", "list.example", "forward.example", "evil.example"} {
		for selector, key := range map[string]crypto.Signer{"rsa": keys().rsa, "ed": keys().ed} {
			rec, err := dkim.NewRecord(key.Public(), dkim.RecordOptions{Domain: domain, Selector: selector})
			require.NoError(t, err)
			text += "\t" + rec.Name + `. TXT "` + strings.Join(rec.Strings(), `" "`) + "\"\n\t"
		}
	}
	return mailtest.MustZone(t, text)
}

// world is a server with the check, within a synctest bubble.
type world struct {
	t     *testing.T
	dns   *mailtest.DNS
	net   *mailtest.Network
	srv   *smtpd.Server
	inbox *mailtest.Inbox
}

// inWorld runs f with a server; set may change it and the options before it starts.
func inWorld(t *testing.T, policy string, set func(*senderauth.Options, *smtpd.Server), f func(w *world)) {
	t.Helper()
	dns := zones(t, policy)
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, dns: dns, net: mailtest.NewNetwork(), inbox: new(mailtest.Inbox)}
		o := senderauth.Options{Resolver: w.dns.Resolver()}
		w.srv = &smtpd.Server{Hostname: "mx.example.com", Handler: w.inbox}
		if set != nil {
			set(&o, w.srv)
		}
		w.srv.Checks = append([]smtpd.Check{senderauth.Check(o)}, w.srv.Checks...)
		done := make(chan error, 2)
		defer w.srv.Close()
		for _, addr := range []string{"192.0.2.1:25", "[2001:db8::1]:25"} {
			l, err := w.net.Listen("tcp", addr)
			require.NoError(t, err)
			go func() { done <- w.srv.Serve(l) }()
		}
		f(w)
		require.NoError(t, w.srv.Close())
		for range 2 {
			require.ErrorIs(t, <-done, smtpd.ErrServerClosed)
		}
		synctest.Wait()
	})
}

// mail is a message on its way: zero values are those of honest mail from sender.example.
type mail struct {
	ip, helo, from string
	raw            string
	login          bool
}

// send sends a message and gives the server's reply as "code text", empty if it was accepted.
func (w *world) send(m mail) string {
	w.t.Helper()
	server := "192.0.2.1:25"
	if strings.Contains(m.ip, ":") {
		server = "[2001:db8::1]:25"
	}
	conn, err := w.net.Dialer(m.ip).Dial("tcp", server)
	require.NoError(w.t, err)
	c, err := smtp.NewClient(conn, "localhost")
	require.NoError(w.t, err)
	defer c.Close()
	require.NoError(w.t, c.Hello(m.helo))
	if m.login {
		require.NoError(w.t, c.Auth(smtp.PlainAuth("", "ann", "secret", "localhost")))
	}
	return replyOf(sendOn(c, m))
}

func sendOn(c *smtp.Client, m mail) error {
	if err := c.Mail(m.from); err != nil {
		return err
	}
	if err := c.Rcpt("bob@example.com"); err != nil {
		return err
	}
	data, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := data.Write([]byte(m.raw)); err != nil {
		return err
	}
	return data.Close()
}

func replyOf(err error) string {
	if err == nil {
		return ""
	}
	if reply, ok := err.(*textproto.Error); ok {
		return fmt.Sprintf("%d %s", reply.Code, reply.Msg)
	}
	return err.Error()
}

// honest is mail from sender.example.
func honest(raw string) mail {
	return mail{ip: "192.0.2.25", helo: "mail.sender.example", from: "ann@sender.example", raw: raw}
}

// forged is mail in the name of sender.example from elsewhere.
func forged(raw string) mail {
	return mail{ip: "198.51.100.7", helo: "evil.example.net", from: "ann@sender.example", raw: raw}
}

const letter = "From: Ann <ann@sender.example>\r\nTo: bob@example.com\r\nSubject: Hello\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@sender.example>\r\n\r\nHello Bob\r\n"

// longAgo is in the past inside a bubble too.
func longAgo() time.Time { return time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC) }

// signed puts signatures in front of a message.
func signed(t testing.TB, raw string, selectors ...string) string {
	t.Helper()
	var signers []*dkim.Signer
	for _, s := range selectors {
		key := keys().rsa
		if s == "ed" {
			key = keys().ed
		}
		signers = append(signers, &dkim.Signer{Domain: "sender.example", Selector: s, Key: key, Now: longAgo})
	}
	fields, err := dkim.Sign(strings.NewReader(raw), signers...)
	require.NoError(t, err)
	return fields + raw
}

// only gives the one message that was taken, and its Authentication-Results fields that are ours.
func (w *world) only() (mailtest.Received, []string) {
	w.t.Helper()
	got := w.inbox.Messages()
	require.Len(w.t, got, 1)
	var ours []string
	for _, v := range got[0].Message.Values("Authentication-Results") {
		if strings.HasPrefix(v, "mx.example.com;") {
			ours = append(ours, strings.ReplaceAll(v, "\t", " "))
		}
	}
	return got[0], ours
}

// deliver sends a message over a new connection.
func deliver(conn net.Conn, m mail) error {
	c, err := smtp.NewClient(conn, "localhost")
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Hello(m.helo); err != nil {
		return err
	}
	return sendOn(c, m)
}
