package gosmtp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mailbricks/mailbricks/internal/dialogue"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/gosmtp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend is a go-smtp backend that notes what it is asked and answers as on says.
type backend struct {
	// on is asked at each call, by the name of the method and an argument; nil: nothing is wrong.
	on func(method, arg string) error
	// conn is told of a connection in NewSession.
	conn func(*smtp.Conn) error

	mu    sync.Mutex
	calls []string
	conns []*smtp.Conn
}

// called notes a call and gives what on says.
func (b *backend) called(method, arg string) error {
	b.mu.Lock()
	b.calls = append(b.calls, strings.TrimSpace(method+" "+arg))
	b.mu.Unlock()
	if b.on == nil {
		return nil
	}
	return b.on(method, arg)
}

// log are the calls so far.
func (b *backend) log() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.calls)
}

// count is how often a method was called.
func (b *backend) count(method string) int {
	n := 0
	for _, call := range b.log() {
		if name, _, _ := strings.Cut(call, " "); name == method {
			n++
		}
	}
	return n
}

func (b *backend) NewSession(c *smtp.Conn) (smtp.Session, error) {
	b.mu.Lock()
	b.conns = append(b.conns, c)
	b.mu.Unlock()
	err := b.called("NewSession", c.Hostname())
	if err == nil && b.conn != nil {
		err = b.conn(c)
	}
	return &session{b: b}, err
}

// session notes, too, when its methods run at the same time.
type session struct {
	b    *backend
	busy atomic.Bool
	user string
}

// alone says that a method begins; the function that it returns, that it ends.
func (s *session) alone() func() {
	if s.busy.Swap(true) {
		s.b.called("CONCURRENTLY", "")
	}
	return func() { s.busy.Store(false) }
}

func (s *session) Reset() {
	defer s.alone()()
	s.b.called("Reset", "")
}

func (s *session) Logout() error {
	defer s.alone()()
	return s.b.called("Logout", "")
}

func (s *session) Mail(from string, opts *smtp.MailOptions) error {
	defer s.alone()()
	return s.b.called("Mail", from+shown(opts))
}

func (s *session) Rcpt(to string, opts *smtp.RcptOptions) error {
	defer s.alone()()
	return s.b.called("Rcpt", to+shownRcpt(opts))
}

func (s *session) Data(r io.Reader) error {
	defer s.alone()()
	message, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return s.b.called("Data", fmt.Sprintf("%q", message))
}

// shown are the options of MAIL that are set.
func shown(o *smtp.MailOptions) string {
	s := ""
	for _, option := range []struct {
		name, value string
	}{
		{"BODY", string(o.Body)}, {"SIZE", fmt.Sprint(o.Size)}, {"REQUIRETLS", fmt.Sprint(o.RequireTLS)},
		{"SMTPUTF8", fmt.Sprint(o.UTF8)}, {"RET", string(o.Return)}, {"ENVID", o.EnvelopeID},
	} {
		if option.value != "" && option.value != "0" && option.value != "false" {
			s += " " + option.name + "=" + option.value
		}
	}
	if o.Auth != nil {
		s += " AUTH=<" + *o.Auth + ">"
	}
	return s
}

// shownRcpt are the options of RCPT that are set.
func shownRcpt(o *smtp.RcptOptions) string {
	s := ""
	if len(o.Notify) > 0 {
		s += fmt.Sprintf(" NOTIFY=%v", o.Notify)
	}
	if o.OriginalRecipient != "" {
		s += fmt.Sprintf(" ORCPT=%s;%s", o.OriginalRecipientType, o.OriginalRecipient)
	}
	if !o.RequireRecipientValidSince.IsZero() {
		s += " RRVS=" + o.RequireRecipientValidSince.Format("2006-01-02")
	}
	if o.DeliverBy != nil {
		s += fmt.Sprintf(" BY=%v;%s,%v", o.DeliverBy.Time, o.DeliverBy.Mode, o.DeliverBy.Trace)
	}
	if o.MTPriority != nil {
		s += fmt.Sprintf(" MT-PRIORITY=%d", *o.MTPriority)
	}
	return s
}

// authSession lets ann log in, whose password is "secret", and anybody anonymously. Like the backend in go-smtp's documentation it
// takes a mechanism that it does not know for PLAIN.
type authSession struct{ *session }

func (s authSession) AuthMechanisms() []string {
	s.b.called("AuthMechanisms", "")
	return []string{"plain", sasl.Login, sasl.Anonymous, "CUSTOM"}
}

func (s authSession) Auth(mechanism string) (sasl.Server, error) {
	defer s.alone()()
	if err := s.b.called("Auth", mechanism); err != nil {
		return nil, err
	}
	login := func(user, password string) error {
		if err := s.b.called("Password", user+"/"+password); err != nil {
			return err
		}
		if user != "ann@example.com" || password != "secret" {
			return errors.New("no such user or wrong password")
		}
		s.user = user
		return nil
	}
	switch mechanism {
	case sasl.Plain:
		return sasl.NewPlainServer(func(_, user, password string) error { return login(user, password) }), nil
	case sasl.Login:
		return &loginServer{login: login}, nil
	case sasl.Anonymous:
		return sasl.NewAnonymousServer(func(trace string) error { return s.b.called("Anonymous", trace) }), nil
	case "CUSTOM":
		return nil, nil
	}
	return sasl.NewPlainServer(func(_, user, password string) error { return login(user, password) }), nil
}

// loginServer is LOGIN, which go-sasl has a client for only.
type loginServer struct {
	login func(user, password string) error
	got   []string
}

func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	if response != nil {
		l.got = append(l.got, string(response))
	}
	switch len(l.got) {
	case 0:
		return []byte("Username:"), false, nil
	case 1:
		return []byte("Password:"), false, nil
	}
	return nil, true, l.login(l.got[0], l.got[1])
}

// authBackend is a backend whose sessions let users log in.
type authBackend struct{ *backend }

func (b authBackend) NewSession(c *smtp.Conn) (smtp.Session, error) {
	s, err := b.backend.NewSession(c)
	return authSession{s.(*session)}, err
}

// world is a server with a backend on a network in memory.
type world struct {
	t    *testing.T
	net  *mailtest.Network
	srv  *smtpd.Server
	addr string
}

// serve starts a server for be. set may change go-smtp's settings, and what comes of them.
func serve(t *testing.T, be smtp.Backend, set func(*smtp.Server), change func(*smtpd.Server)) *world {
	t.Helper()
	s := smtp.NewServer(be)
	s.Domain, s.AllowInsecureAuth, s.ErrorLog = "mail.example.com", true, nil
	if set != nil {
		set(s)
	}
	srv := gosmtp.Server(s)
	if change != nil {
		change(srv)
	}
	return serveOn(t, srv)
}

func serveOn(t *testing.T, srv *smtpd.Server) *world {
	t.Helper()
	w := &world{t: t, net: mailtest.NewNetwork(), srv: srv, addr: "192.0.2.1:25"}
	l, err := w.net.Listen("tcp", w.addr)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		require.ErrorIs(t, <-done, smtpd.ErrServerClosed)
		require.NoError(t, srv.Shutdown(context.Background())) // waits for the sessions
	})
	return w
}

// dial connects.
func (w *world) dial() net.Conn {
	w.t.Helper()
	conn, err := w.net.Dialer("203.0.113.9").Dial("tcp", w.addr)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { conn.Close() })
	return conn
}

// client is a new connection for dialogues; "S* code" expects a whole reply with that code.
func (w *world) client() *dialogue.Client {
	w.t.Helper()
	return newClient(w.t, w.dial())
}

func newClient(t *testing.T, conn net.Conn) *dialogue.Client {
	c := dialogue.New(t, conn)
	c.Verbs = map[string]func(string){"S*": func(code string) {
		t.Helper()
		require.Equal(t, code, reply(t, c))
	}}
	return c
}

// reply reads a whole reply and gives its code.
func reply(t *testing.T, c *dialogue.Client) string {
	t.Helper()
	for {
		line, err := c.Line()
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(line), 4, line)
		if line[3] == ' ' {
			return line[:3]
		}
	}
}

// talk goes through a dialogue on a new connection.
func (w *world) talk(script string) {
	w.t.Helper()
	w.client().Talk(script)
}

// hello begins a session.
const hello = `
	S: 220 mail.example.com *
	C: EHLO client.example.net
	S* 250
`

// quit ends it; then the backend's session has ended, too.
const quit = `
	C: QUIT
	S* 221
	S$
`
