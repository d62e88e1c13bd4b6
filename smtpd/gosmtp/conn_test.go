package gosmtp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/gosmtp"
)

func TestConnTellsOfTheConnection(t *testing.T) {
	t.Parallel()
	be := new(backend)
	asked := false
	be.conn = func(c *smtp.Conn) error {
		asked = true
		require.Equal(t, "client.example.net", c.Hostname())
		require.Nil(t, c.Session(), "there is none yet")
		return nil
	}
	be.on = func(method, arg string) error {
		if method != "Mail" {
			return nil
		}
		c := be.conns[0]
		require.Equal(t, "203.0.113.9", c.Conn().RemoteAddr().(*net.TCPAddr).IP.String())
		require.Equal(t, "192.0.2.1:25", c.Conn().LocalAddr().String())
		require.IsType(t, new(session), c.Session())
		_, isTLS := c.TLSConnectionState()
		require.False(t, isTLS)
		s := c.Server()
		require.Equal(t, "mail.example.com", s.Domain)
		require.Equal(t, 7, s.MaxRecipients)
		require.EqualValues(t, 1000, s.MaxMessageBytes)
		require.True(t, s.AllowInsecureAuth)
		require.True(t, s.EnableDSN)
		require.Equal(t, smtp.Backend(be), s.Backend)
		require.NoError(t, c.Conn().SetDeadline(time.Unix(1, 0)), "which changes nothing")
		require.NoError(t, c.Conn().SetReadDeadline(time.Unix(1, 0)))
		require.NoError(t, c.Conn().SetWriteDeadline(time.Unix(1, 0)))
		engine, ok := gosmtp.SessionOf(c)
		require.True(t, ok)
		require.NotEmpty(t, engine.ID)
		require.Equal(t, "203.0.113.9", engine.Peer.Addr.Addr().String())
		if arg == "carol@example.net" {
			require.Equal(t, "other.example.net", c.Hostname())
		} else {
			require.Equal(t, "client.example.net", c.Hostname())
		}
		return nil
	}
	w := serve(t, be, func(s *smtp.Server) { s.MaxRecipients, s.MaxMessageBytes, s.EnableDSN = 7, 1000, true }, nil)
	w.talk(hello + transaction + `
		C: EHLO other.example.net
		S* 250
		C: MAIL FROM:<carol@example.net>
		S* 250` + quit)
	require.True(t, asked)
	require.Equal(t, 1, be.count("NewSession"))
}

func TestSessionOfAConnectionThatGoSMTPServes(t *testing.T) {
	t.Parallel()
	ok := true
	be := smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		_, ok = gosmtp.SessionOf(c)
		return nil, errors.New("that is all")
	})
	s := smtp.NewServer(be)
	s.ErrorLog = log.New(io.Discard, "", 0)
	near, far := net.Pipe()
	require.ErrorIs(t, s.Serve(&oneConn{conn: near}), net.ErrClosed)
	newClient(t, far).Talk("S* 220\nC: HELO client.example.net\nS* 451\nC: QUIT\nS* 221")
	require.NoError(t, s.Shutdown(t.Context()))
	require.False(t, ok)
}

// oneConn is a listener with one connection.
type oneConn struct {
	net.Listener
	conn net.Conn
}

func (l *oneConn) Close() error { return nil }

func (l *oneConn) Accept() (net.Conn, error) {
	if l.conn == nil {
		return nil, net.ErrClosed
	}
	conn := l.conn
	l.conn = nil
	return conn, nil
}

func TestConnOverUnixSocketHasNoIP(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	be := new(backend)
	be.conn = func(c *smtp.Conn) error {
		require.Equal(t, "unix", c.Conn().RemoteAddr().Network())
		require.Equal(t, "unix", c.Conn().LocalAddr().Network())
		return nil
	}
	s := smtp.NewServer(be)
	s.Domain = "mail.example.com"
	srv := gosmtp.Server(s)
	require.ErrorIs(t, srv.Serve(&oneConn{conn: near}), net.ErrClosed)
	newClient(t, far).Talk(hello + quit)
	require.NoError(t, srv.Shutdown(t.Context()))
}

func TestStartTLSBeginsASessionWithTLS(t *testing.T) {
	t.Parallel()
	ca := mailtest.NewCA()
	be := new(backend)
	var state tls.ConnectionState
	be.conn = func(c *smtp.Conn) error {
		found := false
		if state, found = c.TLSConnectionState(); !found {
			return nil
		}
		_, isTLS := c.Conn().(*tls.Conn)
		require.True(t, isTLS)
		require.Equal(t, "203.0.113.9", c.Conn().RemoteAddr().(*net.TCPAddr).IP.String())
		engine, ok := gosmtp.SessionOf(c)
		require.True(t, ok)
		require.NotNil(t, engine.Peer.TLS)
		return nil
	}
	w := serve(t, be, func(s *smtp.Server) { s.TLSConfig = ca.ServerConfig("mail.example.com") }, nil)
	conn := w.dial()
	newClient(t, conn).Talk(hello + `
		C: MAIL FROM:<ann@example.net>
		S* 250
		C: RSET
		S* 250
		C: STARTTLS
		S* 220`)
	over := tls.Client(conn, ca.ClientConfig("mail.example.com"))
	newClient(t, over).Talk(`
		C: MAIL FROM:<ann@example.net>
		S* 503
		C: EHLO client.example.net
		S* 250` + transaction + "C: EHLO again.example.net\nS* 250" + quit)
	require.NoError(t, w.srv.Shutdown(t.Context()))
	require.True(t, state.HandshakeComplete)
	require.Equal(t, uint16(tls.VersionTLS13), state.Version)
	require.Equal(t, "mail.example.com", state.ServerName)
	require.Equal(t, []string{
		"NewSession client.example.net", "Mail ann@example.net", "Logout",
		"NewSession client.example.net", "Mail ann@example.net", "Rcpt bob@example.com", be.log()[6], "Reset", "Reset", "Logout",
	}, be.log())
}

func TestTLSStateIsLikeTheClients(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	rsaCert, err := x509.CreateCertificate(rand.Reader, template, template, rsaKey.Public(), rsaKey)
	require.NoError(t, err)
	ecCert, err := x509.CreateCertificate(rand.Reader, template, template, ecKey.Public(), ecKey)
	require.NoError(t, err)
	rsaPair := tls.Certificate{Certificate: [][]byte{rsaCert}, PrivateKey: rsaKey}
	ecPair := tls.Certificate{Certificate: [][]byte{ecCert}, PrivateKey: ecKey}
	for name, c := range map[string]struct {
		pair    tls.Certificate
		version uint16
		suite   uint16
		alpn    string
	}{
		"TLS 1.3":            {ecPair, tls.VersionTLS13, 0, "smtp"},
		"TLS 1.2 with ECDSA": {ecPair, tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, ""},
		"TLS 1.2 with RSA":   {rsaPair, tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, ""},
		"TLS 1.2 as of old":  {rsaPair, tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_GCM_SHA256, ""},
		"TLS 1.0":            {rsaPair, tls.VersionTLS10, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			be := new(backend)
			var state tls.ConnectionState
			var engine *smtpd.Session
			be.conn = func(c *smtp.Conn) error {
				state, _ = c.TLSConnectionState()
				engine, _ = gosmtp.SessionOf(c)
				return nil
			}
			config := &tls.Config{Certificates: []tls.Certificate{c.pair}, MinVersion: tls.VersionTLS10, ClientAuth: tls.RequireAnyClientCert}
			client := &tls.Config{InsecureSkipVerify: true, ServerName: "mail.example.com", Certificates: []tls.Certificate{ecPair},
				MinVersion: c.version, MaxVersion: c.version}
			if c.suite != 0 {
				config.CipherSuites, client.CipherSuites = []uint16{c.suite}, []uint16{c.suite}
			}
			if c.alpn != "" {
				config.NextProtos, client.NextProtos = []string{c.alpn}, []string{c.alpn}
			}
			w := &world{t: t, net: mailtest.NewNetwork(), addr: "192.0.2.1:465"}
			s := smtp.NewServer(be)
			s.Domain, s.TLSConfig = "mail.example.com", config
			w.srv = gosmtp.Server(s)
			l, err := w.net.Listen("tcp", w.addr)
			require.NoError(t, err)
			done := make(chan error, 1)
			go func() { done <- w.srv.ServeTLS(l) }()
			conn := tls.Client(w.dial(), client)
			newClient(t, conn).Talk(hello + transaction + quit)
			require.NoError(t, w.srv.Shutdown(t.Context()))
			require.ErrorIs(t, <-done, smtpd.ErrServerClosed)
			true := conn.ConnectionState()
			require.Equal(t, true.Version, state.Version)
			if c.suite != 0 {
				require.Equal(t, c.suite, state.CipherSuite)
			}
			require.Equal(t, "mail.example.com", state.ServerName)
			require.Equal(t, c.alpn, state.NegotiatedProtocol)
			require.Empty(t, state.PeerCertificates)
			require.Len(t, engine.Peer.TLS.PeerCertificates, 1, "which are to be had here")
			require.Equal(t, true.CipherSuite, engine.Peer.TLS.CipherSuite)
			require.Equal(t, 1, be.count("Data"))
			require.Equal(t, 1, be.count("Logout"))
		})
	}
}

func TestBackendClosesTheConnection(t *testing.T) {
	t.Parallel()
	ca := mailtest.NewCA()
	for name, c := range map[string]struct {
		do    func(*smtp.Conn) error
		reply string
	}{
		"Close":              {func(c *smtp.Conn) error { return c.Close() }, "421 4.7.0 Closing connection"},
		"Close and an error": {func(c *smtp.Conn) error { c.Close(); return &smtp.SMTPError{Code: 554, Message: "go away"} }, "554 5.0.0 go away"},
		"Close and a secret": {func(c *smtp.Conn) error { c.Close(); return errors.New("secret") }, "421 4.7.0 Closing connection"},
		"Reject":             {func(c *smtp.Conn) error { c.Reject(); return errors.New("secret") }, "421 4.4.5 Too busy. Try again later."},
		"a reply": {func(c *smtp.Conn) error {
			_, err := io.WriteString(c.Conn(), "554-5.7.1 this is\r\n554 5.7.1 not for you\r\n")
			return errors.Join(err, c.Close())
		}, "554 5.7.1 not for you"},
		"conn.Close": {func(c *smtp.Conn) error { return c.Conn().Close() }, "421 4.7.0 Closing connection"},
		"too much": {func(c *smtp.Conn) error {
			_, err := c.Conn().Write(make([]byte, 1<<20))
			c.Close()
			return err
		}, "421 4.7.0 Closing connection"},
	} {
		for _, at := range []string{"NewSession", "Mail", "Rcpt", "Data", "Auth"} {
			for _, over := range []string{"plain", "TLS"} {
				t.Run(name+"/"+at+"/"+over, func(t *testing.T) {
					t.Parallel()
					be := new(backend)
					logouts := 1
					be.on = func(method, _ string) error {
						if method != at {
							return nil
						}
						err := c.do(be.conns[0])
						if err != nil && at == "NewSession" {
							logouts = 0 // there is no session
						}
						return err
					}
					w := &world{t: t, net: mailtest.NewNetwork(), addr: "192.0.2.1:25"}
					s := smtp.NewServer(authBackend{be})
					s.Domain, s.AllowInsecureAuth, s.TLSConfig, s.ErrorLog = "mail.example.com", true, ca.ServerConfig("mail.example.com"), nil
					w.srv = gosmtp.Server(s)
					l, err := w.net.Listen("tcp", w.addr)
					require.NoError(t, err)
					conn := w.dial()
					done := make(chan error, 1)
					if over == "TLS" {
						go func() { done <- w.srv.ServeTLS(l) }()
						conn = tls.Client(conn, ca.ClientConfig("mail.example.com"))
					} else {
						go func() { done <- w.srv.Serve(l) }()
					}
					client := newClient(t, conn)
					steps := []struct{ at, script string }{
						{"NewSession", "S* 220\nC: EHLO client.example.net"},
						{"Auth", "S* 250\nC: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ="},
						{"Mail", "S* 235\nC: MAIL FROM:<ann@example.net>"},
						{"Rcpt", "S* 250\nC: RCPT TO:<bob@example.com>"},
						{"Data", "S* 250\nC: DATA\nS* 354\nC: Subject: x\nC:\nC: ."},
					}
					for _, step := range steps {
						client.Talk(step.script)
						if step.at == at {
							break
						}
					}
					want := c.reply
					if at == "Auth" { // a log-in ends the connection with 421 only
						_, text, _ := strings.Cut(want[4:], " ")
						want = "421 4.*.* " + text
					}
					client.Talk("S: " + want + "\nS$")
					require.NoError(t, conn.Close())
					require.NoError(t, w.srv.Shutdown(t.Context()))
					require.ErrorIs(t, <-done, smtpd.ErrServerClosed)
					require.Equal(t, logouts, be.count("Logout"))
					if name == "conn.Close" || at == "NewSession" { // the other Close calls Logout itself
						require.Zero(t, be.count("CONCURRENTLY"))
					}
				})
			}
		}
	}
}

func TestConnectionThatIsClosedBetweenCallsEndsAtTheNext(t *testing.T) {
	t.Parallel()
	be := new(backend)
	w := serve(t, be, nil, nil)
	c := w.client()
	c.Talk(hello + "C: MAIL FROM:<ann@example.net>\nS* 250")
	require.NoError(t, be.conns[0].Close()) // as an administrator might, from another goroutine
	c.Talk("C: RCPT TO:<bob@example.com>\nS: 421 4.7.0 *\nS$")
	require.Equal(t, 1, be.count("Logout"))
	require.Zero(t, be.count("Rcpt"))
}

func TestChecksAreAskedBeforeTheBackend(t *testing.T) {
	t.Parallel()
	for _, behind := range []bool{false, true} {
		be := new(backend)
		check := smtpd.Check{
			Name: "no",
			Hello: func(_ context.Context, _ *smtpd.Session, name string) error {
				if name == "bad.example.net" {
					return smtpd.Permanent("bad name")
				}
				return nil
			},
			Mail: func(_ context.Context, tx *smtpd.Transaction) error {
				if tx.Envelope.From == "bad@example.net" {
					return smtpd.Permanent("bad sender")
				}
				return nil
			},
			Rcpt: func(_ context.Context, _ *smtpd.Transaction, rcpt *mailbricks.Recipient) error {
				switch rcpt.Address {
				case "bad@example.com":
					return smtpd.Permanent("bad recipient")
				case "gone@example.com":
					return smtpd.Discard("gone")
				case "alias@example.com":
					rcpt.Address, rcpt.Alias = "real@example.com", rcpt.Address
				}
				return nil
			},
		}
		w := serve(t, be, nil, func(srv *smtpd.Server) {
			if behind {
				srv.Checks = append(srv.Checks, check)
			} else {
				srv.Checks = append([]smtpd.Check{check}, srv.Checks...)
			}
		})
		w.talk(`
			S* 220
			C: EHLO bad.example.net
			S* 550
			C: EHLO client.example.net
			S* 250
			C: MAIL FROM:<bad@example.net>
			S* 550
			C: MAIL FROM:<ann@example.net>
			S* 250
			C: RCPT TO:<bad@example.com>
			S* 550
			C: RCPT TO:<gone@example.com>
			S* 250
			C: RCPT TO:<alias@example.com>
			S* 250
			C: DATA
			S* 354
			C: Subject: x
			C:
			C: .
			S* 250` + quit)
		require.Equal(t, []string{"NewSession client.example.net", "Mail ann@example.net", "Rcpt real@example.com",
			`Data "Subject: x\r\n\r\n"`, "Reset", "Logout"}, be.log(), "behind: %v", behind)
	}
}

func TestBackendIsToldAgainWhatChecksHaveChanged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		message func(*mailbricks.Envelope)
		refuse  string
		want    []string
		reply   string
	}{
		"sender": {func(e *mailbricks.Envelope) { e.From = "srs@example.com" }, "", []string{
			"Reset", "Mail srs@example.com", "Rcpt bob@example.com", "Rcpt eve@example.com", `Data "Subject: x\r\n\r\n"`, "Reset"}, "250"},
		"a recipient less": {func(e *mailbricks.Envelope) { e.Recipients = e.Recipients[:1] }, "", []string{
			"Reset", "Mail ann@example.net", "Rcpt bob@example.com", `Data "Subject: x\r\n\r\n"`, "Reset"}, "250"},
		"one that is refused": {func(e *mailbricks.Envelope) { e.Recipients[0].Address = "refused@example.com" }, "refused@example.com", []string{
			"Reset", "Mail ann@example.net", "Rcpt refused@example.com", "Rcpt eve@example.com", `Data "Subject: x\r\n\r\n"`, "Reset"}, "550"},
		"all refused": {func(e *mailbricks.Envelope) {
			e.Recipients = []mailbricks.Recipient{{Address: "refused@example.com"}}
		}, "refused@example.com", []string{"Reset", "Mail ann@example.net", "Rcpt refused@example.com", "Reset"}, "550"},
		"sender refused": {func(e *mailbricks.Envelope) { e.From = "refused@example.com" }, "refused@example.com", []string{
			"Reset", "Mail refused@example.com", "Reset"}, "550"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			be := new(backend)
			be.on = func(method, arg string) error {
				if arg == c.refuse && c.refuse != "" {
					return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no"}
				}
				return nil
			}
			w := serve(t, be, nil, func(srv *smtpd.Server) {
				srv.Checks = append(srv.Checks, smtpd.Check{Message: func(_ context.Context, tx *smtpd.Transaction, _ *mailbricks.Message) error {
					c.message(tx.Envelope)
					return nil
				}})
			})
			w.talk(hello + `
				C: MAIL FROM:<ann@example.net>
				S* 250
				C: RCPT TO:<bob@example.com>
				S* 250
				C: RCPT TO:<eve@example.com>
				S* 250
				C: DATA
				S* 354
				C: Subject: x
				C:
				C: .
				S* ` + c.reply + `
				C: MAIL FROM:<>
				S* 250`)
			log := be.log()
			require.Equal(t, append([]string{"NewSession client.example.net", "Mail ann@example.net", "Rcpt bob@example.com",
				"Rcpt eve@example.com"}, append(c.want, "Mail")...), log)
		})
	}
}

func TestChecksThatAcceptAStepLeaveTheBackendOutUntilItIsNeeded(t *testing.T) {
	t.Parallel()
	be := new(backend)
	accept := func() error { return smtpd.Accept("known") }
	w := serve(t, be, nil, func(srv *smtpd.Server) {
		srv.Checks = append([]smtpd.Check{{
			Hello: func(context.Context, *smtpd.Session, string) error { return accept() },
			Mail:  func(context.Context, *smtpd.Transaction) error { return accept() },
			Rcpt: func(_ context.Context, _ *smtpd.Transaction, rcpt *mailbricks.Recipient) error {
				if rcpt.Address == "bob@example.com" {
					return accept()
				}
				return nil
			},
		}}, srv.Checks...)
	})
	w.talk(hello + "C: NOOP\nS* 250")
	require.Empty(t, be.log())
	w.talk(hello + transaction + quit)
	require.Equal(t, []string{"NewSession client.example.net", "Mail ann@example.net", "Rcpt bob@example.com"}, be.log()[:3])
	w.talk(hello + `
		C: MAIL FROM:<ann@example.net>
		S* 250
		C: RCPT TO:<eve@example.com>
		S* 250` + quit)
	require.Equal(t, []string{"NewSession client.example.net", "Mail ann@example.net", "Rcpt eve@example.com", "Logout"}, be.log()[6:])
}

func TestHandlerOutsideOfAServer(t *testing.T) {
	t.Parallel()
	srv := gosmtp.Server(smtp.NewServer(new(backend)))
	err := srv.Handler.Handle(t.Context(), new(mailbricks.Envelope), mailbricks.NewMessage(nil))
	require.ErrorContains(t, err, "gosmtp")
	_, err = srv.Auth.Start(t.Context(), "PLAIN", mailbricks.Peer{})
	require.ErrorContains(t, err, "gosmtp")
	require.Empty(t, srv.Auth.Mechanisms(mailbricks.Peer{}))
}

func TestXCLIENTBeginsASessionOfTheOtherClient(t *testing.T) {
	t.Parallel()
	be := new(backend)
	be.conn = func(c *smtp.Conn) error {
		be.called("from", c.Conn().RemoteAddr().(*net.TCPAddr).IP.String())
		return nil
	}
	w := serve(t, authBackend{be}, nil, func(srv *smtpd.Server) {
		srv.TrustXCLIENT = smtpd.PeerIn(netip.MustParsePrefix("203.0.113.0/24"))
	})
	w.talk(hello + `
		C: XCLIENT ADDR=198.51.100.7 PORT=1234
		S* 220
		C: EHLO other.example.net
		S* 250
		C: AUTH ANONYMOUS =
		S* 235
		C: MAIL FROM:<ann@example.net>
		S* 250` + quit)
	var log []string
	for _, call := range be.log() {
		if !strings.HasPrefix(call, "A") { // what AUTH asks
			log = append(log, call)
		}
	}
	require.Equal(t, []string{
		"NewSession client.example.net", "from 203.0.113.9", "Logout",
		"NewSession other.example.net", "from 198.51.100.7", "Mail ann@example.net", "Logout",
	}, log)
}

func TestBackendThatClosesTheConnectionOnSecondThoughtIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	be := new(backend)
	be.on = func(method, arg string) error {
		if method == "Rcpt" && arg == "moved@example.com" {
			return be.conns[0].Close()
		}
		return nil
	}
	w := serve(t, be, nil, func(srv *smtpd.Server) {
		srv.Checks = append(srv.Checks, smtpd.Check{Message: func(_ context.Context, tx *smtpd.Transaction, _ *mailbricks.Message) error {
			tx.Envelope.Recipients = []mailbricks.Recipient{{Address: "moved@example.com"}, {Address: "eve@example.com"}}
			return nil
		}})
	})
	c := w.client()
	c.Talk(hello + `
		C: MAIL FROM:<ann@example.net>
		S* 250
		C: RCPT TO:<bob@example.com>
		S* 250
		C: DATA
		S* 354
		C: .
		S: 421 4.7.0 *
		S$`)
	require.NoError(t, c.Conn.Close())
	require.NoError(t, w.srv.Shutdown(t.Context()))
	require.Equal(t, []string{"NewSession client.example.net", "Mail ann@example.net", "Rcpt bob@example.com", "Reset",
		"Mail ann@example.net", "Rcpt moved@example.com",
		"CONCURRENTLY", "Logout", // as Close, which the backend has called in Rcpt, calls Logout
	}, be.log())
}
