package smtpd_test

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

// A TLSConfig with which no handshake can succeed is not served.
func TestTLSConfigWithoutCertificate(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]func(*smtpd.Server, net.Listener) error{
		"Serve": (*smtpd.Server).Serve, "ServeTLS": (*smtpd.Server).ServeTLS,
	} {
		l, err := mailtest.NewNetwork().Listen("tcp", "192.0.2.1:25")
		require.NoError(t, err)
		require.ErrorContains(t, serve(&smtpd.Server{TLSConfig: new(tls.Config)}, l), "TLSConfig has no certificate", name)
		_, err = l.Accept()
		require.ErrorIs(t, err, net.ErrClosed, "it is closed")
	}
}

// What can serve nobody is served with a warning.
func TestFieldsThatDoNotFit(t *testing.T) {
	ca := mailtest.NewCA()
	for name, test := range map[string]struct {
		setUp func(*smtpd.Server)
		want  string
	}{
		"nothing":                {func(*smtpd.Server) {}, ""},
		"RequireAuth alone":      {func(s *smtpd.Server) { s.RequireAuth = true }, "RequireAuth without Auth"},
		"Auth alone":             {func(s *smtpd.Server) { s.Auth = users{} }, "Auth without TLSConfig"},
		"log-in by a proxy":      {func(s *smtpd.Server) { s.RequireAuth, s.TrustXCLIENT = true, smtpd.PeerIn() }, ""},
		"Auth with TLS":          {withTLS(ca), ""},
		"Auth in clear":          {withAuth(), ""},
		"a certificate by name":  {withAnyCertificate(ca), ""},
		"fields come one by one": {func(s *smtpd.Server) { s.RequireAuth, s.PerConnection = true, func() *smtpd.Server { return nil } }, ""},
		"TLS comes one by one": {func(s *smtpd.Server) {
			s.TLSConfig, s.PerConnection = new(tls.Config), func() *smtpd.Server { return nil }
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			inWorld(t, func(s *smtpd.Server) {
				test.setUp(s)
				s.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
			}, func(w *world) {
				w.talk("S* 220\n")
				if test.want == "" {
					require.Empty(w.t, log.String())
				} else {
					require.Contains(w.t, log.String(), test.want)
				}
			})
		})
	}
}

// withAnyCertificate is a server whose certificate is asked for in each handshake.
func withAnyCertificate(ca *mailtest.CA) func(*smtpd.Server) {
	certificate := ca.ServerConfig("mail.example.com").Certificates[0]
	return func(s *smtpd.Server) {
		s.TLSConfig = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certificate, nil }}
	}
}
