package smtpd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/dialogue"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a server on a network in memory, within a synctest bubble: time passes only when everybody waits for it.
type world struct {
	t     *testing.T
	net   *mailtest.Network
	srv   *smtpd.Server
	inbox *mailtest.Inbox
	addr  string
	done  chan error
}

// inWorld runs f in a bubble, with a server that setUp may change before it starts.
func inWorld(t *testing.T, setUp func(*smtpd.Server), f func(w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: mailtest.NewNetwork(), inbox: new(mailtest.Inbox), done: make(chan error, 2), addr: "192.0.2.1:25"}
		w.srv = &smtpd.Server{Hostname: "mail.example.com", Handler: w.inbox}
		if setUp != nil {
			setUp(w.srv)
		}
		l, err := w.net.Listen("tcp", w.addr)
		require.NoError(t, err)
		go func() { w.done <- w.srv.Serve(l) }()
		defer synctest.Wait()
		defer w.srv.Close()
		f(w)
		require.NoError(t, w.srv.Close())
		require.ErrorIs(t, <-w.done, smtpd.ErrServerClosed)
	})
}

// dial connects from an address.
func (w *world) dial(from string) client {
	w.t.Helper()
	conn, err := w.net.Dialer(from).Dial("tcp", w.addr)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { conn.Close() })
	return newClient(w.t, conn)
}

// talk runs a dialogue over a new connection from 203.0.113.9; see dialogue.Client.
func (w *world) talk(script string) {
	w.t.Helper()
	w.dial("203.0.113.9").Talk(script)
}

// messages are those that the inbox got.
func (w *world) messages() []mailtest.Received { return w.inbox.Messages() }

// client talks to the server. "S* code" in a script of its expects a whole reply with this code, whatever it says.
type client struct{ *dialogue.Client }

func newClient(t *testing.T, conn net.Conn) client {
	c := client{dialogue.New(t, conn)}
	c.Check = func(line string) error {
		if len(line) > 512 {
			return errors.New("reply line too long") // RFC 5321 §4.5.3.1.5
		}
		return nil
	}
	c.Verbs = map[string]func(string){"S*": func(code string) {
		t.Helper()
		require.Equal(t, code, c.reply())
	}}
	return c
}

// reply reads a whole reply and gives its code.
func (c client) reply() string {
	c.T.Helper()
	for code := ""; ; {
		line, err := c.Line()
		require.NoError(c.T, err)
		require.GreaterOrEqual(c.T, len(line), 4, line)
		if code == "" {
			code = line[:3]
		}
		require.Equal(c.T, code, line[:3], "all lines of a reply have one code")
		if line[3] == ' ' {
			return code
		}
	}
}

// hello begins a session; C lines after it are pipelined.
const hello = `
	S: 220 mail.example.com ESMTP
	C: EHLO client.example.net
	S* 250
`

// greeted is hello and a transaction up to DATA.
const mailTo = hello + `
	C: MAIL FROM:<ann@example.net>
	S: 250 2.1.0 Sender ok
	C: RCPT TO:<bob@example.com>
	S: 250 2.1.5 Recipient ok
`

const toData = mailTo + `
	C: DATA
	S: 354 *
`

// users is an Authenticator with one user, ann@example.com, whose password is "secret". PLAIN takes one response, LOGIN two,
// LAST a challenge that ends well once it is answered, SLOW never ends, DOWN always fails for now, PANIC panics.
type users struct{ mechanisms []string }

func (u users) Mechanisms(mailbricks.Peer) []string {
	if u.mechanisms != nil {
		return u.mechanisms
	}
	return []string{"PLAIN", "LOGIN"}
}

func (u users) Start(_ context.Context, mechanism string, _ mailbricks.Peer) (mailbricks.Exchange, error) {
	switch mechanism {
	case "PLAIN", "LOGIN", "LAST", "SLOW", "DOWN", "PANIC":
		return &exchange{mechanism: mechanism}, nil
	case "BROKEN":
		return nil, mailbricks.ErrTemporary
	}
	return nil, errors.New("unknown")
}

type exchange struct {
	mechanism string
	got       []string
}

func (e *exchange) Next(ctx context.Context, response []byte) ([]byte, *mailbricks.Identity, error) {
	id := &mailbricks.Identity{Login: "ann@example.com", User: "ann@example.com"}
	switch e.mechanism {
	case "PLAIN":
		switch {
		case response == nil:
			return []byte{}, nil, nil
		case string(response) == "\x00ann@example.com\x00secret":
			return nil, id, nil
		case bytes.Count(response, []byte{0}) != 2:
			return nil, nil, errors.New("malformed")
		}
		return nil, nil, mailbricks.ErrAuth
	case "LOGIN":
		if response != nil {
			e.got = append(e.got, string(response))
		}
		switch len(e.got) {
		case 0:
			return []byte("Username:"), nil, nil
		case 1:
			return []byte("Password:"), nil, nil
		}
		if e.got[0] == "ann@example.com" && e.got[1] == "secret" {
			return nil, id, nil
		}
		return nil, nil, mailbricks.ErrAuth
	case "LAST":
		return []byte("v=done"), id, nil
	case "SLOW":
		<-ctx.Done()
		return nil, nil, ctx.Err()
	case "PANIC":
		panic("auth")
	}
	return nil, nil, fmt.Errorf("back end: %w", mailbricks.ErrTemporary)
}

// log keeps what was noted, from any goroutine.
type notes struct {
	mu    sync.Mutex
	lines []string
}

func (n *notes) add(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

func (n *notes) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.lines...)
}
