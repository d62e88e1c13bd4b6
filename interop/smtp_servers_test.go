//go:build interop

package interop

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
)

// handIn gives a server two letters for taker.test: one with all that DSN knows, and one in UTF-8.
func handIn(t *testing.T, w *world, ip string) {
	t.Helper()
	sh(t, python+`
def sent(subject):
    return b"From: carl@client.test\r\nSubject: " + subject.encode() + b"\r\n\r\n.dot\r\n..two\r\nGr\xc3\xbc\xc3\x9fe\r\n"
s = smtplib.SMTP(e["IP"], 25, local_hostname="laptop.client.test", timeout=60)
s.sendmail("carl@client.test", ["bob@taker.test", "carol@taker.test"], sent("plain"),
    mail_options=["BODY=8BITMIME", "RET=HDRS", "ENVID=QQ314159"],
    rcpt_options=["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;news@client.test"])
s.sendmail("jörg@client.test", ["用户@taker.test"], sent("Grüße"), mail_options=["SMTPUTF8", "BODY=8BITMIME"])
s.quit()
EOF`, "IP="+ip, "DIR="+w.dir, "CA="+w.caFile(), "LC_ALL=C.UTF-8")
}

// checkHandedIn checks what comes of that at the taker.
func checkHandedIn(t *testing.T, k *taker) {
	t.Helper()
	for _, subject := range []string{"plain", "Grüße"} {
		got := k.find(t, subject)
		require.Contains(t, string(got.Raw), "\r\n\r\n.dot\r\n..two\r\nGrüße\r\n")
		require.NotNil(t, got.Envelope.Peer.TLS)
		if subject != "plain" {
			require.True(t, got.Envelope.SMTPUTF8)
			require.Equal(t, "jörg@client.test", got.Envelope.From)
			require.Equal(t, "用户@taker.test", got.Envelope.Recipients[0].Address)
			continue
		}
		require.Equal(t, mailbricks.ReturnHeaders, got.Envelope.Return)
		require.Equal(t, "QQ314159", got.Envelope.EnvelopeID)
		require.Len(t, got.Envelope.Recipients, 2)
		for _, rcpt := range got.Envelope.Recipients {
			require.Equal(t, mailbricks.NotifySuccess|mailbricks.NotifyDelay, rcpt.Notify)
			require.Equal(t, "rfc822;news@client.test", rcpt.OriginalRecipient)
		}
	}
}

// Postfix's client asks further on for the notifications that it was asked for, and its LMTP client hears of each recipient.
func TestPostfixSends(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k, l := w.newTaker(9, nil), w.newLMTPTaker(10)
	k.serve("25", nil)
	p := w.newPostfix(4, "postfix.test", "smtputf8_enable = yes", "smtp_tls_security_level = encrypt",
		"transport_maps = inline:{ {taker.test=smtp:["+k.ip+"]:25}, {unix.test=lmtp:unix:"+l.dir+"/lmtp}, "+
			"{tcp.test=lmtp:inet:["+l.ip+"]:24} }")
	handIn(t, w, p.ip)
	checkHandedIn(t, k)

	for _, domain := range []string{"unix.test", "tcp.test"} {
		sh(t, python+`
s = smtplib.SMTP(e["IP"], 25, local_hostname="laptop.client.test", timeout=60)
s.sendmail("carl@postfix.test", ["bob@" + e["DOMAIN"], "full@" + e["DOMAIN"]], "Subject: " + e["DOMAIN"] + "\r\n\r\n.dot\r\n")
EOF`, "IP="+p.ip, "DOMAIN="+domain)
		got := l.find(t, domain)
		require.Len(t, got.Envelope.Recipients, 1)
		require.Equal(t, "bob@"+domain, got.Envelope.Recipients[0].Address)
		require.Contains(t, string(got.Raw), "\r\n\r\n.dot\r\n")
	}
	eventually(t, "two recipients in the queue", func() error {
		out, err := shell("postqueue -c $D/etc -j | grep -c 'mailbox is full'", "D="+p.dir)
		if err == nil && out != "2\n" {
			err = errors.New(out)
		}
		return err
	})
}
