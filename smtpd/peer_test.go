package smtpd_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

// onLoopback starts a server on a real socket and gives its address.
func onLoopback(t testing.TB, srv *smtpd.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, srv.Shutdown(ctx))
		require.ErrorIs(t, <-ended, smtpd.ErrServerClosed)
	})
	return l.Addr().String()
}

func TestNetSMTPIsServed(t *testing.T) {
	t.Parallel()
	ca, inbox := mailtest.NewCA(), new(mailtest.Inbox)
	addr := onLoopback(t, &smtpd.Server{Hostname: "mail.example.com", Handler: inbox, Auth: users{}, TLSConfig: ca.ServerConfig("mail.example.com")})
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	c, err := smtp.NewClient(conn, "mail.example.com")
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Hello("client.example.net"))
	require.NoError(t, c.StartTLS(ca.ClientConfig("mail.example.com")))
	require.NoError(t, c.Auth(smtp.PlainAuth("", "ann@example.com", "secret", "mail.example.com")))
	require.NoError(t, c.Mail("ann@example.com"))
	require.NoError(t, c.Rcpt("bob@example.com"))
	w, err := c.Data()
	require.NoError(t, err)
	_, err = io.WriteString(w, "Subject: x\n\n.dot\n")
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, c.Quit())
	require.Len(t, inbox.Messages(), 1)
	require.True(t, strings.HasSuffix(string(inbox.Messages()[0].Raw), "Subject: x\r\n\r\n.dot\r\n"))
	require.Equal(t, "UTF8SMTPSA", inbox.Messages()[0].Envelope.Peer.Protocol)
}

func TestGoSMTPIsServed(t *testing.T) {
	t.Parallel()
	ca, inbox := mailtest.NewCA(), new(mailtest.Inbox)
	addr := onLoopback(t, &smtpd.Server{Hostname: "mail.example.com", Handler: inbox, Auth: users{}, TLSConfig: ca.ServerConfig("mail.example.com")})
	c, err := gosmtp.DialStartTLS(addr, ca.ClientConfig("mail.example.com"))
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Auth(sasl.NewLoginClient("ann@example.com", "secret")))
	size, ok := c.MaxMessageSize()
	require.True(t, ok)
	require.EqualValues(t, smtpd.DefaultMaxMessageSize, size)
	body := strings.Repeat("A line of some length, and then some more of it.\r\n", 40000) // 2 MB
	for range 2 {
		require.NoError(t, c.SendMail("jörg@example.com", []string{"用户@例子.example", "bob@example.com"}, strings.NewReader("Subject: x\r\n\r\n"+body)))
	}
	require.NoError(t, c.Quit())
	require.Len(t, inbox.Messages(), 2)
	got := inbox.Messages()[1]
	require.True(t, strings.HasSuffix(string(got.Raw), "Subject: x\r\n\r\n"+body))
	require.Equal(t, "UTF8SMTPSA", got.Envelope.Peer.Protocol)
	require.True(t, got.Envelope.SMTPUTF8)
}

// A certificate is replaced while the server runs.
func TestCertificatesAreLookedUpForEachHandshake(t *testing.T) {
	t.Parallel()
	ca := mailtest.NewCA()
	name := "one.example.com"
	addr := onLoopback(t, &smtpd.Server{Handler: new(mailtest.Inbox), TLSConfig: &tls.Config{
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return ca.ServerConfig(name), nil },
	}})
	for _, name = range []string{"one.example.com", "two.example.com"} {
		c, err := gosmtp.DialStartTLS(addr, ca.ClientConfig(name))
		require.NoError(t, err)
		require.NoError(t, c.Quit())
	}
}

// A reply that ends the session arrives, though the client has sent what nobody reads.
func TestLastReplyIsNotLost(t *testing.T) {
	t.Parallel()
	addr := onLoopback(t, &smtpd.Server{Handler: new(mailtest.Inbox), MaxErrors: 1})
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "WHAT\r\n"+strings.Repeat("NOOP\r\n", 20000))
	require.NoError(t, err)
	got, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Contains(t, string(got), "\r\n421 4.7.0 Too many errors, closing\r\n")
}

func discard(context.Context, *mailbricks.Envelope, *mailbricks.Message) error { return nil }

// benchmark sends messages of a size over connections of their own, pipelining the envelope.
func benchmark(b *testing.B, size int) {
	addr := onLoopback(b, &smtpd.Server{Hostname: "mail.example.com", Handler: mailbricks.HandlerFunc(discard), MaxTransactions: -1, MaxConnectionsPerIP: -1})
	line := strings.Repeat("x", 70) + "\r\n"
	message := []byte("Subject: x\r\n\r\n" + strings.Repeat(line, size/len(line)) + ".\r\n")
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		read := func(lines int) {
			buf := make([]byte, 4096)
			for lines > 0 {
				n, err := conn.Read(buf)
				if err != nil {
					b.Error(err)
					return
				}
				lines -= strings.Count(string(buf[:n]), "\n")
			}
		}
		fmt.Fprint(conn, "HELO client.example.net\r\n")
		read(2)
		for pb.Next() {
			fmt.Fprint(conn, "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
			read(3)
			_, _ = conn.Write(message)
			read(1)
		}
	})
}

func BenchmarkMessages1K(b *testing.B) { benchmark(b, 1<<10) }
func BenchmarkMessages1M(b *testing.B) { benchmark(b, 1<<20) }
