package imapd_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/imapd"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailtest"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestLogin(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.dial().Talk(`
		C: a LOGIN joe wrong
		S: a NO [AUTHENTICATIONFAILED] Authentication failed
		C: a LOGIN nobody secret
		S: a NO [AUTHENTICATIONFAILED] Authentication failed
		C: a LOGIN joe "secret"
		S: a OK [CAPABILITY IMAP4rev1 <>] Logged in
		C: b LOGIN joe secret
		S: b BAD Already logged in
		C: c AUTHENTICATE PLAIN
		S: c BAD Already logged in
	`)
	w.dial().Talk(`
		C: a LOGIN {10}
		S: + OK
		C: o'hara "x" {9}
		S: + OK
		C: pass\word
		S: a OK <>
	`)
	w.dial().Talk(`
		C: a LOGIN "o'hara \"x\"" "pass\\word"
		S: a OK <>
	`)
	w.dial().Talk("C: a LOGIN empty \"\"\nS: a OK <>")
	w.dial().Talk("C: a LOGIN temporary x\nS: a NO [UNAVAILABLE] Cannot check credentials now, please try again later")
	w.dial().Talk(`
		C: a LOGIN joe
		S: a BAD expected a space
		C: b LOGIN joe secret more
		S: b BAD unexpected text at the end of the command
		C: c LOGIN {3+}
		C: joe {6+}
		C: secret
		S: c OK <>
	`)
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	good := b64("\x00joe\x00secret")
	w.dial().Talk("C: a AUTHENTICATE PLAIN\nS: + \nC: " + good + "\nS: a OK [CAPABILITY <>] Logged in")
	w.dial().Talk("C: a authenticate plain " + good + "\nS: a OK <>") // RFC 4959
	w.dial().Talk("C: a AUTHENTICATE TWOSTEP\nS: + " + b64("who?") + "\nC: " + b64("ann") + "\nS: + " + b64("proof") + "\nC: \nS: a OK <>")
	w.dial().Talk("C: a AUTHENTICATE TWOSTEP " + b64("ann") + "\nS: + " + b64("proof") + "\nC: \nS: a OK <>")
	w.dial().Talk("C: a AUTHENTICATE TWOSTEP =\nS: + " + b64("proof") + "\nC: AAAA\nS: a BAD Expected an empty response")
	w.dial().Talk(`
		C: a AUTHENTICATE PLAIN
		S: +` + " " + `
		C: *
		S: a BAD Cancelled
		C: b AUTHENTICATE PLAIN
		S: +` + " " + `
		C: &&&
		S: b BAD Invalid base64
		C: c AUTHENTICATE PLAIN AAA
		S: c BAD Invalid base64
		C: d AUTHENTICATE NONSENSE
		S: d NO [CANNOT] Unknown mechanism
		C: e AUTHENTICATE PLAIN ` + b64("x") + `
		S: e BAD Malformed response
		C: f AUTHENTICATE PLAIN ` + b64("\x00joe\x00wrong") + `
		S: f NO [AUTHENTICATIONFAILED] Authentication failed
		C: g AUTHENTICATE
		S: g BAD expected a space
		C: h NOOP
		S: h OK NOOP completed
	`)
}

func TestPasswordGuessesEndTheConnection(t *testing.T) {
	t.Parallel()
	w := start(t, func(s *imapd.Server) { s.MaxAuthFailures = 2 })
	c := w.dial()
	c.Talk(`
		C: a LOGIN joe x
		S: a NO [AUTHENTICATIONFAILED] Authentication failed
		C: b AUTHENTICATE PLAIN ` + b64("\x00joe\x00x") + `
		S: b NO [AUTHENTICATIONFAILED] Authentication failed
		S: * BYE Too many failed log-ins
	`)
	c.closed()
}

func TestNoLoginInClear(t *testing.T) {
	t.Parallel()
	ca := mailtest.NewCA()
	w := start(t, func(s *imapd.Server) {
		s.AllowInsecureAuth = false
		s.TLSConfig = ca.ServerConfig("mail.example.com")
	})
	c := w.dialRaw()
	greeting := c.line()
	require.Contains(t, greeting, " STARTTLS LOGINDISABLED]")
	require.NotContains(t, greeting, "AUTH=")
	c.Talk(`
		C: a LOGIN joe secret
		S: a NO [PRIVACYREQUIRED] Log in over TLS only
		C: b AUTHENTICATE PLAIN
		S: b NO [PRIVACYREQUIRED] Log in over TLS only
		C: c STARTTLS
		S: c OK Begin TLS negotiation now
	`)
	tlsConn := tls.Client(c.Conn, ca.ClientConfig("mail.example.com"))
	c = newClient(t, tlsConn)
	c.Talk(`
		C: d CAPABILITY
		S: * CAPABILITY <> AUTH=PLAIN AUTH=TWOSTEP
		S: d OK CAPABILITY completed
		C: e STARTTLS
		S: e BAD TLS is on already
		C: f LOGIN joe secret
		S: f OK [CAPABILITY <>] Logged in
	`)
}

func TestStartTLSWithoutTLS(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.dial().Talk("C: a STARTTLS\nS: a NO [UNAVAILABLE] TLS is not available")
}

// CVE-2011-0411: commands that a man in the middle puts behind STARTTLS must not run inside of TLS.
func TestPlaintextBehindStartTLSEndsTheConnection(t *testing.T) {
	t.Parallel()
	w := start(t, func(s *imapd.Server) { s.TLSConfig = mailtest.NewCA().ServerConfig("mail.example.com") })
	c := w.dial()
	c.send("a STARTTLS\r\nb NOOP\r\n")
	c.Talk(`
		S: a OK Begin TLS negotiation now
		S: * BYE Plaintext behind STARTTLS
	`)
	c.closed()
}

func TestImplicitTLS(t *testing.T) {
	t.Parallel()
	ca := mailtest.NewCA()
	w := start(t, func(s *imapd.Server) {
		s.AllowInsecureAuth = false
		s.TLSConfig = ca.ServerConfig("mail.example.com")
	})
	l, err := w.network.Listen("tcp", "192.0.2.1:993")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- w.server.ServeTLS(l) }()
	conn, err := w.network.Dialer("").Dial("tcp", "192.0.2.1:993")
	require.NoError(t, err)
	tlsConn := tls.Client(conn, ca.ClientConfig("mail.example.com"))
	c := newClient(t, tlsConn)
	require.Contains(t, c.line(), "AUTH=PLAIN")
	c.Talk("C: a LOGIN joe secret\nS: a OK <>")
	w.stop()
	require.ErrorIs(t, <-ended, imapd.ErrServerClosed)
	require.Error(t, new(imapd.Server).ServeTLS(l), "no TLSConfig")
}

// A certificate that changes while the server runs holds for the next connection.
func TestCertificatesAreHotSwappable(t *testing.T) {
	t.Parallel()
	ca := mailtest.NewCA()
	names := make(chan string, 2)
	w := start(t, func(s *imapd.Server) {
		s.TLSConfig = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			cert := ca.Certificate(<-names)
			return &cert, nil
		}}
	})
	for _, name := range []string{"one.example.com", "two.example.com"} {
		names <- name
		c := w.dial()
		c.Talk("C: a STARTTLS\nS: a OK <>")
		require.NoError(t, tls.Client(c.Conn, ca.ClientConfig(name)).Handshake())
	}
}

func TestStoreThatDoesNotOpen(t *testing.T) {
	t.Parallel()
	errs := make(chan error, 3)
	w := start(t, func(s *imapd.Server) {
		s.Store = func(context.Context, mailbricks.Identity) (mailbox.Store, error) { return nil, <-errs }
		s.MaxConnectionsPerUser = 1
	})
	errs <- errors.New("disk on fire")
	errs <- &mailbricks.Reply{Code: 451, Text: "Moving your mail\nback soon"}
	errs <- mailbricks.ErrAuth
	w.dial().Talk(`
		C: a LOGIN joe secret
		S: a NO [UNAVAILABLE] Temporary failure, please try again later
		C: b LOGIN joe secret
		S: b NO [UNAVAILABLE] Moving your mail
		C: c LOGIN joe secret
		S: c NO [AUTHORIZATIONFAILED] No mail for this user here
		C: d SELECT INBOX
		S: d BAD Log in first
	`)
}

func TestZeroServerLetsNobodyIn(t *testing.T) {
	t.Parallel()
	w := start(t, func(s *imapd.Server) { s.Auth, s.Store = nil, nil })
	w.dial().Talk("C: a LOGIN joe secret\nS: a NO [UNAVAILABLE] Nobody can log in here")
}

func TestStates(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	c := w.dial()
	for _, command := range []string{"SELECT INBOX", "LIST \"\" *", "APPEND INBOX {3+}\r\nabc", "IDLE", "ENABLE X", "NAMESPACE"} {
		require.Equal(t, []string{"a BAD Log in first"}, c.do("a "+command))
	}
	for _, command := range []string{"FETCH 1 FLAGS", "UID SEARCH ALL", "CHECK", "CLOSE", "EXPUNGE", "UNSELECT", "MOVE 1 x"} {
		require.Equal(t, []string{"a BAD Select a mailbox first"}, c.do("a "+command))
	}
	c = w.login()
	require.Equal(t, []string{"a BAD Select a mailbox first"}, c.do("a FETCH 1 FLAGS"))
}

func TestAnyStateCommands(t *testing.T) {
	t.Parallel()
	w := start(t, func(s *imapd.Server) { s.ID = map[string]string{"name": "test", "vendor": "a \"b\""} })
	c := w.dial()
	c.Talk(`
		C: a NOOP
		S: a OK NOOP completed
		C: b NOOP x
		S: b BAD unexpected text at the end of the command
		C: c ID NIL
		S: * ID ("name" "test" "vendor" "a \"b\"")
		S: c OK ID completed
		C: d ID ("name" "evil` + "\x01\xff" + `" "os" NIL)
		S: * ID <>
		S: d OK ID completed
		C: e ID ("name")
		S: e BAD expected a space
		C: f ID (` + strings.TrimSuffix(strings.Repeat(`"a" "b" `, 31), " ") + `)
		S: f BAD too much of an ID
		C: g ID x
		S: g BAD expected NIL
		C: h capability
		S: * CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE IDLE NAMESPACE UNSELECT UIDPLUS MOVE CHILDREN ESEARCH LIST-EXTENDED LIST-STATUS SPECIAL-USE CREATE-SPECIAL-USE STATUS=SIZE APPENDLIMIT=52428800 AUTH=PLAIN AUTH=TWOSTEP
		S: h OK CAPABILITY completed
		C: i LOGIN joe secret
		S: i OK <>
		C: j CAPABILITY
		S: * CAPABILITY <> APPENDLIMIT=52428800
		S: j OK CAPABILITY completed
		C: k ENABLE CONDSTORE X-GOOD-IDEA
		S: * ENABLED
		S: k OK ENABLE completed
		C: l ENABLE
		S: l BAD expected a space
		C: m NAMESPACE
		S: * NAMESPACE (("" "/")) NIL NIL
		S: m OK NAMESPACE completed
		C: n LOGOUT
		S: * BYE Logging out
		S: n OK LOGOUT completed
	`)
	c.closed()
}
