package relay_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/relay"
)

// otherServer is a server that other people wrote.
type otherServer struct {
	mu    sync.Mutex
	mails []otherMail
}

type otherMail struct {
	from string
	opts smtp.MailOptions
	to   []string
	data string
	user string
}

func (s *otherServer) NewSession(*smtp.Conn) (smtp.Session, error) {
	return &otherSession{server: s}, nil
}

type otherSession struct {
	server *otherServer
	mail   otherMail
	user   string
}

func (s *otherSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *otherSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if username != "ann" || password != "secret" {
			return smtp.ErrAuthFailed
		}
		s.user = username
		return nil
	}), nil
}

func (s *otherSession) Mail(from string, opts *smtp.MailOptions) error {
	s.mail = otherMail{from: from, opts: *opts, user: s.user}
	return nil
}

func (s *otherSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "no") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such user"}
	}
	s.mail.to = append(s.mail.to, to)
	return nil
}

func (s *otherSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mail.data = string(b)
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.mails = append(s.server.mails, s.mail)
	return nil
}

func (s *otherSession) Reset()        { s.mail = otherMail{} }
func (s *otherSession) Logout() error { return nil }

func startOther(t testing.TB, change func(*smtp.Server)) (*otherServer, int) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Skip("no loopback:", err)
	}
	back := new(otherServer)
	srv := smtp.NewServer(back)
	srv.Domain, srv.EnableSMTPUTF8, srv.EnableDSN, srv.ReadTimeout = "mx.example.net", true, true, time.Minute
	if change != nil {
		change(srv)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l) // ends with Close
	}()
	t.Cleanup(func() {
		srv.Close()
		<-done
	})
	return back, l.Addr().(*net.TCPAddr).Port
}

func TestOtherPeoplesServer(t *testing.T) {
	t.Parallel()
	ca := mailtest.NewCA()
	back, port := startOther(t, func(s *smtp.Server) { s.TLSConfig = ca.ServerConfig("mx.example.net") })
	mx := &relay.MX{Hostname: "out.example.com", Port: port, RequireTLS: true}
	t.Cleanup(func() { mx.Close() })

	var big strings.Builder
	big.WriteString("Subject: big\r\n\r\n")
	rng := rand.New(rand.NewPCG(1, 2))
	for big.Len() < 3<<20 {
		big.WriteString(strings.Repeat(".", rng.IntN(3)) + strings.Repeat("x", rng.IntN(900)) + "\r\n")
	}
	for _, text := range []string{letter, big.String(), "A: 1\r\n\r\n"} {
		out := mx.Deliver(t.Context(), envelope("ann@example.com", "bob@[127.0.0.1]", "nobody@[127.0.0.1]", "jörg@[127.0.0.1]"), message(text))
		require.NoError(t, out[0].Err)
		requireReply(t, "550 5.1.1", out[1].Err)
		require.NoError(t, out[2].Err)
		require.Contains(t, out[0].TLS, "TLS 1.3")
		got := back.mails[len(back.mails)-1]
		require.Equal(t, []string{"bob@[127.0.0.1]", "jörg@[127.0.0.1]"}, got.to)
		require.True(t, got.opts.UTF8)
		require.EqualValues(t, len(text), got.opts.Size)
		require.Equal(t, sha256.Sum256([]byte(text)), sha256.Sum256([]byte(got.data)))
	}
}

func TestOtherPeoplesServerAsSmarthost(t *testing.T) {
	t.Parallel()
	ca := mailtest.NewCA()
	back, port := startOther(t, func(s *smtp.Server) { s.TLSConfig = ca.ServerConfig("127.0.0.1") })
	for password, want := range map[string]string{"secret": "", "wrong": "451 4.7.8"} {
		s := &relay.Smarthost{
			Address: fmt.Sprintf("127.0.0.1:%d", port), User: "ann", Password: password, TLSConfig: ca.ClientConfig(""), Hostname: "out.example.com",
		}
		out := send(t, s, "bob@example.net")
		require.NoError(t, s.Close())
		if want != "" {
			requireReply(t, want, out[0].Err)
			continue
		}
		require.NoError(t, out[0].Err)
		require.Equal(t, "ann", back.mails[0].user)
	}
}

// Queue, MX and a real server over real sockets and files, all at once.
func TestManyMessagesOverRealSockets(t *testing.T) {
	t.Parallel()
	back, port := startOther(t, nil)
	q, err := relay.Open(t.TempDir(), relay.Options{Hostname: "out.example.com", Transport: &relay.MX{Port: port}})
	require.NoError(t, err)
	ctx := t.Context()
	done := make(chan error, 1)
	go func() { done <- q.Run(ctx) }()
	const n = 60
	ids := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			id, err := q.Send(ctx, &mailbricks.Envelope{From: "ann@example.com", Recipients: []mailbricks.Recipient{{Address: "bob@[127.0.0.1]"}}},
				message(fmt.Sprintf("X: %d\r\n\r\n%s", i, strings.Repeat("line\r\n", i*100))))
			if err == nil {
				ids[i] = id
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		require.NotEmpty(t, id)
		for ev := range q.Events(ctx, id) {
			if ev.Kind.End() {
				require.Equal(t, relay.Delivered, ev.Kind, ev.Text)
			}
		}
	}
	require.NoError(t, q.Close())
	require.NoError(t, <-done)
	require.Len(t, back.mails, n, "each once")
}
