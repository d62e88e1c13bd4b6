//go:build interop

package interop

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/proxyproto"
	"github.com/mailbricks/mailbricks/smtpd"
)

// plainLetter is what most clients send, from a file in which lines end with LF.
const plainLetter = "From: Carl <carl@client.test>\nTo: bob@taker.test\nSubject: $SUBJECT\n\n.dot\n..two\n.\nFrom here\n"

// smtpClients are programs that send plainLetter, $DIR/letter, to bob@taker.test, and what must come of it.
var smtpClients = map[string]struct {
	script string
	check  func(t *testing.T, k *taker, got mailtest.Received)
}{
	"swaks": {
		`swaks -s $IP -f carl@client.test -t bob@taker.test,carol@taker.test --data @$DIR/letter \
			--pipeline --tls -a LOGIN -au ann@taker.test -ap secret`,
		func(t *testing.T, k *taker, got mailtest.Received) {
			require.Equal(t, "ESMTPSA", got.Envelope.Peer.Protocol)
			require.Equal(t, "ann@taker.test", got.Envelope.Peer.Identity.Login)
			require.Len(t, got.Envelope.Recipients, 2)
		},
	},
	"swaks with XCLIENT": {
		`swaks -s $IP -f carl@client.test -t bob@taker.test --data @$DIR/letter \
			--helo laptop.client.test --xclient-addr 203.0.113.7 --xclient-name mx.client.test`,
		func(t *testing.T, k *taker, got mailtest.Received) {
			require.Equal(t, "203.0.113.7", got.Envelope.Peer.Addr.Addr().String())
			require.Contains(t, got.Message.Get("Received"), "from laptop.client.test (mx.client.test [203.0.113.7])")
			require.True(t, k.used(got.Envelope, "XCLIENT"))
		},
	},
	"msmtp": {
		`msmtp --host=$IP --from=carl@client.test --tls=on --tls-starttls=on --tls-trust-file=$CA --tls-host-override=$NAME \
			--auth=plain --user=ann@taker.test --passwordeval='echo secret' --dsn-notify=success,delay --dsn-return=hdrs \
			bob@taker.test <$DIR/letter`,
		func(t *testing.T, k *taker, got mailtest.Received) {
			require.Equal(t, "ESMTPSA", got.Envelope.Peer.Protocol)
			require.Equal(t, mailbricks.NotifySuccess|mailbricks.NotifyDelay, got.Envelope.Recipients[0].Notify)
			require.Equal(t, mailbricks.ReturnHeaders, got.Envelope.Return)
		},
	},
	"curl": {
		`curl -sS --crlf smtp://$NAME/laptop.client.test --resolve $NAME:25:$IP --ssl-reqd --cacert $CA -u ann@taker.test:secret \
			--mail-from carl@client.test --mail-rcpt bob@taker.test -T $DIR/letter`,
		func(t *testing.T, k *taker, got mailtest.Received) {
			require.Equal(t, "ESMTPSA", got.Envelope.Peer.Protocol)
			require.Equal(t, "laptop.client.test", got.Envelope.Peer.Hello)
			require.Positive(t, got.Envelope.Size)
		},
	},
	"curl with addresses in UTF-8": {
		`curl -sS --crlf smtp://$IP/laptop.client.test --mail-from jörg@client.test --mail-rcpt 用户@taker.test -T $DIR/letter`,
		func(t *testing.T, k *taker, got mailtest.Received) {
			require.True(t, got.Envelope.SMTPUTF8)
			require.Equal(t, "UTF8SMTP", got.Envelope.Peer.Protocol)
			require.Equal(t, "jörg@client.test", got.Envelope.From)
			require.Equal(t, "用户@taker.test", got.Envelope.Recipients[0].Address)
		},
	},
	"curl behind PROXY": {
		`curl -sS --crlf smtp://$IP:2525/laptop.client.test --interface ${IP%.*}.77 --haproxy-protocol \
			--mail-from carl@client.test --mail-rcpt bob@taker.test -T $DIR/letter`,
		func(t *testing.T, k *taker, got mailtest.Received) {
			require.Equal(t, k.world.ip(77), got.Envelope.Peer.Addr.Addr().String())
		},
	},
	"smtplib": {
		python + `
s = smtplib.SMTP(e["IP"], 25, local_hostname="laptop.client.test", timeout=60)
s.starttls(context=tls())
s.login("ann@taker.test", "secret")
s.sendmail("carl@client.test", ["bob@taker.test"], letter(), mail_options=["BODY=8BITMIME", "RET=FULL", "ENVID=QQ+2B314159"],
    rcpt_options=["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;Bob+2BNews@taker.test"])
s.quit()
EOF`,
		func(t *testing.T, k *taker, got mailtest.Received) {
			require.Equal(t, "ESMTPSA", got.Envelope.Peer.Protocol)
			require.Equal(t, mailbricks.Body8Bit, got.Envelope.Body)
			require.Equal(t, mailbricks.ReturnFull, got.Envelope.Return)
			require.Equal(t, "QQ+314159", got.Envelope.EnvelopeID)
			require.Equal(t, []mailbricks.Recipient{{
				Address: "bob@taker.test", Notify: mailbricks.NotifySuccess | mailbricks.NotifyFailure,
				OriginalRecipient: "rfc822;Bob+News@taker.test",
			}}, got.Envelope.Recipients)
		},
	},
	"smtplib with a header in UTF-8": {
		python + `
m = email.message_from_bytes(letter(), policy=email.policy.SMTPUTF8)
m.replace_header("From", "Jörg <jörg@client.test>")
s = smtplib.SMTP(e["IP"], 25, local_hostname="laptop.client.test", timeout=60)
s.send_message(m)
s.quit()
EOF`,
		func(t *testing.T, k *taker, got mailtest.Received) {
			require.Equal(t, "UTF8SMTP", got.Envelope.Peer.Protocol)
			require.Equal(t, "jörg@client.test", got.Envelope.From)
			require.Equal(t, "Jörg <jörg@client.test>", got.Message.Get("From"))
		},
	},
	"smtplib with BDAT": {
		python + `
s = smtplib.SMTP(e["IP"], 25, local_hostname="laptop.client.test", timeout=60)
s.ehlo()
assert s.has_extn("chunking") and s.has_extn("binarymime"), s.esmtp_features
text = letter()
for code, reply in [s.mail("carl@client.test", ["BODY=BINARYMIME"]), s.rcpt("bob@taker.test"),
        bdat(s, text[:30]), bdat(s, text[30:31]), bdat(s, text[31:]), bdat(s, b"", b" LAST")]:
    assert code == 250, reply
s.quit()
EOF`,
		func(t *testing.T, k *taker, got mailtest.Received) {
			require.True(t, k.used(got.Envelope, "BDAT"))
			require.Equal(t, mailbricks.BodyBinary, got.Envelope.Body)
		},
	},
}

// write makes the letter that a client is to send.
func (k *taker) write(t *testing.T, subject string) {
	t.Helper()
	letter := strings.ReplaceAll(plainLetter, "$SUBJECT", subject)
	require.NoError(t, os.WriteFile(filepath.Join(k.dir, "letter"), []byte(letter), 0o600))
}

// python begins a script with what several need.
const python = `python3 - <<'EOF'
import email, email.policy, os, smtplib, ssl
e = os.environ
def letter():
    return open(e["DIR"] + "/letter", "rb").read().replace(b"\n", b"\r\n")
def tls():
    c = ssl.create_default_context(cafile=e["CA"])
    c.check_hostname = False
    return c
def bdat(s, data, last=b""):
    s.send(b"BDAT %d%s\r\n" % (len(data), last) + data)
    return s.getreply()
`

func TestSMTPClients(t *testing.T) {
	t.Parallel()
	need(t, "swaks", "msmtp", "curl", "python3")
	w := newWorld(t)
	k := w.newTaker(9, func(s *smtpd.Server) {
		s.TrustXCLIENT = smtpd.PeerIn(netip.MustParsePrefix("127.0.0.0/8"))
	})
	k.serve("25", nil)
	k.serve("2525", func(l net.Listener) net.Listener {
		return &proxyproto.Listener{Listener: l, From: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	})
	for name, client := range smtpClients {
		t.Run(name, func(t *testing.T) {
			k.write(t, name)
			sh(t, client.script, k.env()...)
			got := k.find(t, name)
			client.check(t, k, got)
			_, body, _ := strings.Cut(string(got.Raw), "\r\n\r\n")
			_, want, _ := strings.Cut(strings.ReplaceAll(plainLetter, "\n", "\r\n"), "\r\n\r\n")
			require.Equal(t, want, strings.TrimRight(body, "\r\n")+"\r\n", "swaks adds empty lines")
		})
	}
}

// Octets that are no text reach the Handler as they are.
func TestBinaryMIME(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	w := newWorld(t)
	k := w.newTaker(9, nil)
	k.serve("25", nil)
	sh(t, python+`
s = smtplib.SMTP(e["IP"], 25, local_hostname="laptop.client.test", timeout=60)
s.ehlo()
header = b"Subject: binary\r\nContent-Transfer-Encoding: binary\r\n\r\n"
for code, reply in [s.mail("carl@client.test", ["BODY=BINARYMIME"]), s.rcpt("bob@taker.test"),
        bdat(s, header + bytes(range(256)) * 1000), bdat(s, b"\n.\r\n\r", b" LAST"), s.noop()]:
    assert code == 250, reply
EOF`, k.env()...)
	_, body, _ := strings.Cut(string(k.find(t, "binary").Raw), "\r\n\r\n")
	var all strings.Builder
	for range 1000 {
		for b := range 256 {
			all.WriteByte(byte(b))
		}
	}
	require.True(t, body == all.String()+"\n.\r\n\r", "%d octets", len(body))
}

// lmtpClients hand a message for two recipients in, of which one is refused once the message is there.
var lmtpClients = map[string]string{
	"swaks, unix": `swaks --socket $DIR/lmtp --protocol LMTP -f carl@client.test -t bob@taker.test,full@taker.test \
	--data @$DIR/letter >$DIR/log || true
grep -F '452 4.2.2 <full@taker.test>' $DIR/log`,
	"msmtp, TCP": `msmtp --protocol=lmtp --host=$IP --port=24 --from=carl@client.test bob@taker.test full@taker.test \
	<$DIR/letter 2>$DIR/log && exit 1
grep -F full@taker.test $DIR/log`,
	"smtplib, TCP":  python + lmtpScript + "\nhand_in(smtplib.LMTP(e['IP'], 24, timeout=60))\nEOF",
	"smtplib, unix": python + lmtpScript + "\nhand_in(smtplib.LMTP(e['DIR'] + '/lmtp'))\nEOF",
}

const lmtpScript = `
def hand_in(s):
    s.ehlo("laptop.client.test")
    for code, reply in [s.mail("carl@client.test"), s.rcpt("bob@taker.test"), s.rcpt("full@taker.test")]:
        assert code == 250, reply
    assert s.docmd("DATA")[0] == 354
    s.send(letter().replace(b"\r\n.", b"\r\n..") + b".\r\n")
    replies = [s.getreply(), s.getreply(), s.noop()]
    assert [code for code, _ in replies] == [250, 452, 250], replies
    s.quit()
`

func TestLMTPClients(t *testing.T) {
	t.Parallel()
	need(t, "swaks", "msmtp", "python3")
	w := newWorld(t)
	k := w.newLMTPTaker(9)
	for name, script := range lmtpClients {
		t.Run(name, func(t *testing.T) {
			k.write(t, name)
			sh(t, script, k.env()...)
			got := k.find(t, name)
			require.Len(t, got.Envelope.Recipients, 1)
			require.Equal(t, "bob@taker.test", got.Envelope.Recipients[0].Address)
			require.Equal(t, "LMTP", got.Envelope.Peer.Protocol)
		})
	}
}

// newLMTPTaker makes a taker that speaks LMTP at port 24 and the socket "lmtp" in its folder. The mailbox of full@ is full.
func (w *world) newLMTPTaker(n int) *taker {
	k := w.newTaker(n, func(s *smtpd.Server) { s.LMTP = true })
	k.inbox.Fail(func(env *mailbricks.Envelope, _ *mailbricks.Message) error {
		results := make(mailbricks.Results, len(env.Recipients))
		for i, rcpt := range env.Recipients {
			if strings.HasPrefix(rcpt.Address, "full@") {
				results[i] = &mailbricks.Reply{Code: 452, Enhanced: "4.2.2", Text: "mailbox is full"}
			}
		}
		return results
	})
	k.serve("24", nil)
	k.serve("/lmtp", nil)
	return k
}
