package ban

import (
	"context"
	"encoding/base64"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

// users lets ann in with the password "secret".
type users struct{}

func (users) Mechanisms(mailbricks.Peer) []string { return []string{"PLAIN"} }

func (users) Start(context.Context, string, mailbricks.Peer) (mailbricks.Exchange, error) {
	return users{}, nil
}

func (users) Next(_ context.Context, response []byte) ([]byte, *mailbricks.Identity, error) {
	if string(response) != "\x00ann\x00secret" {
		return nil, nil, mailbricks.ErrAuth
	}
	return nil, &mailbricks.Identity{Login: "ann", User: "ann"}, nil
}

func plain(password string) string {
	return "C: AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00ann\x00"+password)) + "\n"
}

// proxy is one that may use XCLIENT.
const proxy = "192.0.2.9"

// serve runs a server with the check, and gives a function that goes through a script on a new connection.
func serve(t *testing.T, b *Bans, f func(talk func(from, script string))) {
	recipients := smtpd.Check{Name: "recipients", Rcpt: func(_ context.Context, _ *smtpd.Transaction, rcpt *mailbricks.Recipient) error {
		switch rcpt.Address {
		case "nobody@example.com":
			return &mailbricks.Reply{Code: 550, Enhanced: "5.1.1", Text: "No such user"}
		case "later@example.com":
			return smtpd.Temporary("Later")
		case "discard@example.com":
			return smtpd.Discard("for a test")
		}
		return nil
	}}
	space := smtpd.Check{Name: "space", Mail: func(_ context.Context, tx *smtpd.Transaction) error {
		if tx.Envelope.From == "large@example.org" {
			return &mailbricks.Reply{Code: 452, Enhanced: "4.3.1", Text: "Insufficient system storage"}
		}
		return nil
	}}
	network, inbox := mailtest.NewNetwork(), new(mailtest.Inbox)
	srv := &smtpd.Server{
		Hostname: "mail.example.com", Handler: inbox, Auth: users{}, AllowInsecureAuth: true,
		TrustXCLIENT: func(p mailbricks.Peer) bool { return p.Addr.Addr() == addr(proxy) },
		Checks:       []smtpd.Check{b.Check(), space, recipients}, Trace: smtpd.Trace{Outcome: b.Outcome},
		MaxErrors: -1, MaxBadRecipients: -1, MaxAuthFailures: -1, MaxIdleCommands: -1,
	}
	l, err := network.Listen("tcp", "192.0.2.1:25")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	defer srv.Close()
	f(func(from, script string) {
		conn, err := network.Dialer(from).Dial("tcp", "192.0.2.1:25")
		require.NoError(t, err)
		newClient(t, conn).Talk(script)
		require.NoError(t, conn.Close())
		time.Sleep(time.Second) // the server has seen it
	})
	require.NoError(t, srv.Close())
	require.ErrorIs(t, <-done, smtpd.ErrServerClosed)
}

const (
	hello   = "S* 220\nC: EHLO client.example.net\nS* 250\n"
	mail    = "C: MAIL FROM:<ann@example.org>\nS* 250\n"
	nobody  = "C: RCPT TO:<nobody@example.com>\nS* 550\n"
	later   = "C: RCPT TO:<later@example.com>\nS* 451\n"
	discard = "C: RCPT TO:<discard@example.com>\nS* 250\n"
	banned  = "S: 421 4.7.0 203.0.113.9 is banned here for 60 more minutes\nS$\n"
	quit    = "C: QUIT\nS* 221\n"
)

func times(n int, script string) (all string) {
	for range n {
		all += script
	}
	return all
}

func TestFailedLogInsOfSessions(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Bans) {
		serve(t, b, func(talk func(from, script string)) {
			for range 3 {
				require.False(t, b.Banned(addr(peer)))
				talk(peer, hello+plain("wrong")+"S* 535\n"+plain("wrong")+"S* 535\n"+plain("secret")+"S* 235\n"+quit)
			}
			talk(peer, banned)
			talk("203.0.113.10", hello+quit)
			time.Sleep(time.Hour)
			talk(peer, hello+quit)
		})
	})
}

// When this server cannot take mail for a while, those who pipeline recipients and message (RFC 2920) are not banned for it.
func TestOwnTroublesAreNobodysFault(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Bans) {
		serve(t, b, func(talk func(from, script string)) {
			message := "C: MAIL FROM:<large@example.org>\n" + times(10, "C: RCPT TO:<bob@example.com>\n") + "C: DATA\nS* 452\n" +
				times(11, "S* 503\n") + "C: RSET\nS* 250\n"
			talk(peer, hello+times(36, message)+quit)
			require.Zero(t, b.Points(addr(peer)))
			talk(peer, hello+times(50, mail+later+"C: DATA\nS* 554\nC: RSET\nS* 250\n")+quit)
			require.Zero(t, b.Points(addr(peer)))
		})
	})
}

func TestRefusedRecipientsOfSessions(t *testing.T) {
	bubble(t, Options{BadRecipient: 10}, func(t *testing.T, b *Bans) {
		serve(t, b, func(talk func(from, script string)) {
			talk(peer, hello+mail+times(50, later+discard)+quit)
			require.Zero(t, b.Points(addr(peer)), "what may be tried again is no abuse")
			talk(peer, hello+plain("secret")+"S* 235\n"+mail+times(50, nobody)+times(50, "C: XXX\nS* 500\n")+quit)
			require.Zero(t, b.Points(addr(peer)), "a user")
			talk(peer, hello+mail+times(9, nobody)+quit)
			require.InDelta(t, 90, b.Points(addr(peer)), 0.1)
			talk(peer, hello+mail+nobody+"H:\n")
			talk(peer, banned)
		})
	})
}

func TestErrorsOfSessions(t *testing.T) {
	bubble(t, Options{Error: 20}, func(t *testing.T, b *Bans) {
		serve(t, b, func(talk func(from, script string)) {
			talk(peer, hello+times(4, "C: XXX\nS* 500\n")+quit)
			require.InDelta(t, 80, b.Points(addr(peer)), 0.1)
			talk(peer, hello+"C: XXX\nS* 500\n"+"C: MAIL FROM:<a@example.org>\n"+banned)
		})
	})
}

// A session that is open when the ban comes ends with its next message, unless a user has logged in.
func TestOpenSessions(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Bans) {
		serve(t, b, func(talk func(from, script string)) {
			ban := func() { b.fail(6, peer) }
			go func() { time.Sleep(30 * time.Second); ban() }()
			talk(peer, hello+"W: 1m\nC: MAIL FROM:<ann@example.org>\nS: 421 4.7.0 *\nS$\n")
			b.Unban(prefix(peer + "/32"))
			go func() { time.Sleep(30 * time.Second); ban() }()
			talk(peer, hello+plain("secret")+"S* 235\nW: 1m\n"+mail+quit)
			require.True(t, b.Banned(addr(peer)))
		})
	})
}

// A proxy tells of a user at an address that is banned: he goes on as one who has logged in here.
func TestUserOfAProxy(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Bans) {
		b.fail(6, peer)
		serve(t, b, func(talk func(from, script string)) {
			talk(proxy, hello+"C: XCLIENT ADDR="+peer+"\n"+banned)
			talk(proxy, hello+"C: XCLIENT ADDR="+peer+" LOGIN=ann\n"+hello+mail+quit)
		})
	})
}

func TestForGood(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Bans) {
		require.NoError(t, b.Ban(prefix("203.0.113.0/24"), 0, "spam"))
		serve(t, b, func(talk func(from, script string)) {
			talk(peer, "S: 554 5.7.1 203.0.113.9 is banned here\nS$\n")
		})
	})
}

func TestListener(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Bans) {
		network := mailtest.NewNetwork()
		plain, err := network.Listen("tcp", "192.0.2.1:143")
		require.NoError(t, err)
		l := b.Listener(plain)
		require.Equal(t, "192.0.2.1:143", l.Addr().String())
		done := make(chan error, 1)
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					done <- err
					return
				}
				_, _ = io.WriteString(conn, "hello")
				_ = conn.Close()
			}
		}()
		ask := func() string {
			conn, err := network.Dialer(peer).Dial("tcp", "192.0.2.1:143")
			require.NoError(t, err)
			text, _ := io.ReadAll(conn)
			require.NoError(t, conn.Close())
			return string(text)
		}
		require.Equal(t, "hello", ask())
		b.fail(6, peer)
		require.Empty(t, ask())
		require.Empty(t, ask())
		time.Sleep(time.Hour)
		require.Equal(t, "hello", ask())
		require.NoError(t, l.Close())
		require.ErrorIs(t, <-done, net.ErrClosed)
	})
}

func TestListenerLetsUnixSocketsThrough(t *testing.T) {
	t.Parallel()
	b, err := Open("", Options{Own: func() []netip.Addr { return nil }})
	require.NoError(t, err)
	client, server := net.Pipe()
	defer client.Close()
	conn, err := b.Listener(oneConn{server}).Accept()
	require.NoError(t, err)
	require.Equal(t, server, conn)
	require.NoError(t, conn.Close())
}

type oneConn struct{ net.Conn }

func (o oneConn) Accept() (net.Conn, error) { return o.Conn, nil }
func (o oneConn) Addr() net.Addr            { return o.LocalAddr() }
