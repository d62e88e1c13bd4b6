package mailtest_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailtest"
)

// handshake gives the client's outcome.
func handshake(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	c, s := connect(t, mailtest.NewNetwork())
	done := make(chan error, 1)
	go func() {
		done <- tls.Server(s, server).Handshake()
		s.Close()
	}()
	err := tls.Client(c, client).Handshake()
	c.Close()
	<-done
	return err
}

func TestCertificatesHoldNowAndInABubble(t *testing.T) {
	t.Parallel()
	ca := mailtest.NewCA()
	require.NoError(t, handshake(t, ca.ServerConfig("mail.example.com"), ca.ClientConfig("mail.example.com")))
	synctest.Test(t, func(t *testing.T) {
		require.Equal(t, 2000, time.Now().Year())
		ca := mailtest.NewCA()
		require.NoError(t, handshake(t, ca.ServerConfig("mail.example.com"), ca.ClientConfig("mail.example.com")))
	})
}

func TestCertificateIsOnlyForItsNames(t *testing.T) {
	t.Parallel()
	ca := mailtest.NewCA()
	server := ca.ServerConfig("mail.example.com", "*.example.net", "bücher.example", "192.0.2.1", "2001:db8::1")
	for _, name := range []string{"mail.example.com", "mx.example.net", "xn--bcher-kva.example", "192.0.2.1", "2001:db8::1"} {
		require.NoError(t, handshake(t, server, ca.ClientConfig(name)), name)
	}
	var wrongName x509.HostnameError
	require.ErrorAs(t, handshake(t, server, ca.ClientConfig("example.com")), &wrongName)
	require.ErrorAs(t, handshake(t, server, ca.ClientConfig("192.0.2.2")), &wrongName)
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, handshake(t, server, mailtest.NewCA().ClientConfig("mail.example.com")), &unknown)
}

func TestCertificateWithoutUsableNamesFitsNobody(t *testing.T) {
	t.Parallel()
	ca := mailtest.NewCA()
	for _, names := range [][]string{nil, {""}, {string([]byte{0xff})}, {"a..b"}, {"a b"}, {".x"}, {"x."}, {"-"}, {"a*_"}, {"1.2.3.4.5"}, {strings.Repeat("a", 64)}, {strings.Repeat("a.", 127) + "a"}} {
		require.Error(t, handshake(t, ca.ServerConfig(names...), ca.ClientConfig("mail.example.com")))
	}
}

func TestChainHasTheRoot(t *testing.T) {
	t.Parallel()
	ca := mailtest.NewCA()
	cert := ca.Certificate("mail.example.com", "192.0.2.1")
	require.Len(t, cert.Certificate, 2)
	require.Equal(t, ca.Root().Raw, cert.Certificate[1])
	require.True(t, ca.Root().IsCA)
	require.Equal(t, []string{"mail.example.com"}, cert.Leaf.DNSNames)
	require.True(t, net.IPv4(192, 0, 2, 1).Equal(cert.Leaf.IPAddresses[0]))
	require.LessOrEqual(t, len(cert.Leaf.SerialNumber.Bytes()), 20)
}
