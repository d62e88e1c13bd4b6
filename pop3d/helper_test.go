package pop3d_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/dialogue"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/memory"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/pop3d"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ann = "ann@example.com"

// world is a server on a network in memory, within a synctest bubble: time passes only when everybody waits for it.
type world struct {
	t     *testing.T
	net   *mailtest.Network
	srv   *pop3d.Server
	inbox mailbox.Mailbox // of ann@example.com
	store *store
	addr  string
	done  chan error
}

// inWorld runs f in a bubble, with a server that setUp may change before it starts and that lets ann in without TLS.
func inWorld(t *testing.T, setUp func(*pop3d.Server), f func(w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		account := memory.New(mailbox.Limit{})
		st := &store{Store: account.Store()}
		inbox, err := st.Store.Open(t.Context(), mailbox.Inbox)
		require.NoError(t, err)
		w := &world{t: t, net: mailtest.NewNetwork(), inbox: inbox, store: st, done: make(chan error, 2), addr: "192.0.2.1:110"}
		w.srv = &pop3d.Server{
			Hostname: "mail.example.com", Auth: users{}, AllowInsecureAuth: true,
			Store: func(context.Context, mailbricks.Identity) (mailbox.Store, error) {
				return st, nil
			},
		}
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
		require.ErrorIs(t, <-w.done, pop3d.ErrServerClosed)
	})
}

// store is a store that can be told to fail.
type store struct {
	mailbox.Store
	mu     sync.Mutex
	fail   map[string]error // by method
	panics string           // the method that panics
	slow   string           // the method that never returns
	short  bool             // contents end before their size
	// damaged is a message of which a piece cannot be read.
	damaged mailbox.UID
	opened  int // stores and mailboxes that were not closed
}

// at is called by each method.
func (s *store) at(ctx context.Context, method string) error {
	s.mu.Lock()
	err, panics, slow := s.fail[method], s.panics == method, s.slow == method
	s.mu.Unlock()
	if panics {
		panic("store")
	}
	if slow {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (s *store) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *store) Open(ctx context.Context, name string) (mailbox.Mailbox, error) {
	if err := s.at(ctx, "Open"); err != nil {
		return nil, err
	}
	b, err := s.Store.Open(ctx, name)
	s.set(func() { s.opened++ })
	return &box{Mailbox: b, s: s}, err
}

func (s *store) Close() error { return s.at(context.Background(), "Close") }

type box struct {
	mailbox.Mailbox
	s *store
}

func (b *box) Status(ctx context.Context) (mailbox.Status, error) {
	if err := b.s.at(ctx, "Status"); err != nil {
		return mailbox.Status{}, err
	}
	return b.Mailbox.Status(ctx)
}

func (b *box) UIDs(ctx context.Context) ([]mailbox.UID, mailbox.ModSeq, error) {
	if err := b.s.at(ctx, "UIDs"); err != nil {
		return nil, 0, err
	}
	return b.Mailbox.UIDs(ctx)
}

func (b *box) Messages(ctx context.Context, uids []mailbox.UID) ([]mailbox.Meta, error) {
	if err := b.s.at(ctx, "Messages"); err != nil {
		return nil, err
	}
	return b.Mailbox.Messages(ctx, uids)
}

func (b *box) Content(ctx context.Context, uid mailbox.UID) (mailbox.Content, error) {
	if err := b.s.at(ctx, "Content"); err != nil {
		return nil, err
	}
	c, err := b.Mailbox.Content(ctx, uid)
	if err == nil && b.s.short {
		c = shortContent{c}
	}
	if err == nil && b.s.damaged == uid {
		c = damagedContent{c}
	}
	return c, err
}

func (b *box) SetFlags(ctx context.Context, uids []mailbox.UID, change mailbox.FlagChange) ([]mailbox.Meta, error) {
	if err := b.s.at(ctx, "SetFlags"); err != nil {
		return nil, err
	}
	return b.Mailbox.SetFlags(ctx, uids, change)
}

func (b *box) Expunge(ctx context.Context, uids []mailbox.UID) ([]mailbox.UID, error) {
	if err := b.s.at(ctx, "Expunge"); err != nil {
		return nil, err
	}
	return b.Mailbox.Expunge(ctx, uids)
}

func (b *box) Close() error {
	b.s.set(func() { b.s.opened-- })
	return b.Mailbox.Close()
}

// shortContent has less than it says, but only when it is read for good.
type shortContent struct{ mailbox.Content }

func (c shortContent) ReadAt(p []byte, off int64) (int, error) {
	if len(p) == 1 {
		return c.Content.ReadAt(p, off)
	}
	have := c.Size() - 3 - off
	if have <= 0 {
		return 0, io.EOF
	}
	n, err := c.Content.ReadAt(p[:min(int64(len(p)), have)], off)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// damagedContent cannot be read around its octet 40,000.
type damagedContent struct{ mailbox.Content }

func (c damagedContent) ReadAt(p []byte, off int64) (int, error) {
	if off < 48<<10 && off+int64(len(p)) > 32<<10 {
		return 0, errors.New("a damaged piece")
	}
	return c.Content.ReadAt(p, off)
}

// put stores messages, whose lines end in LF here.
func (w *world) put(messages ...string) {
	w.t.Helper()
	for _, m := range messages {
		w.putRaw(strings.ReplaceAll(m, "\n", "\r\n"))
	}
}

func (w *world) putRaw(message string) {
	w.t.Helper()
	_, err := w.inbox.Append(w.t.Context(), strings.NewReader(message), mailbox.AppendOptions{Size: int64(len(message))})
	require.NoError(w.t, err)
}

// left are the UIDs in the inbox.
func (w *world) left() []mailbox.UID {
	w.t.Helper()
	uids, _, err := w.inbox.UIDs(w.t.Context())
	require.NoError(w.t, err)
	return uids
}

// seen are the UIDs of messages with \Seen.
func (w *world) seen() []mailbox.UID {
	w.t.Helper()
	metas, err := w.inbox.Messages(w.t.Context(), w.left())
	require.NoError(w.t, err)
	var uids []mailbox.UID
	for _, meta := range metas {
		if mailbox.HasFlag(meta.Flags, mailbox.Seen) {
			uids = append(uids, meta.UID)
		}
	}
	return uids
}

// dial connects from an address.
func (w *world) dial(from string) *dialogue.Client {
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

// newClient talks to the server.
func newClient(t testing.TB, conn net.Conn) *dialogue.Client {
	c := dialogue.New(t, conn)
	c.Check = func(line string) error {
		if len(line) > 512 && (strings.HasPrefix(line, "+OK") || strings.HasPrefix(line, "-ERR")) {
			return errors.New("reply line too long") // RFC 2449 §4
		}
		return nil
	}
	return c
}

// greeting begins a session.
const greeting = `
	S: +OK mail.example.com POP3 server ready
`

// login is greeting and a log-in.
const login = greeting + `
	C: USER ann@example.com
	S: +OK Send your password
	C: PASS secret
	S: +OK Maildrop has *
`

// users is an Authenticator with one user, ann@example.com, whose password is "secret". PLAIN takes one response, LOGIN two,
// LAST a challenge that ends well once it is answered, SLOW never ends, DOWN always fails for now, PANIC panics, REPLY
// fails with a permanent reply of its own.
// longPassword is another one of ann's, the longest that PASS takes.
func longPassword() string { return strings.Repeat("p", 1024) }

type users struct{ mechanisms []string }

func (u users) Mechanisms(mailbricks.Peer) []string {
	if u.mechanisms != nil {
		return u.mechanisms
	}
	return []string{"PLAIN", "LOGIN"}
}

func (u users) Start(_ context.Context, mechanism string, peer mailbricks.Peer) (mailbricks.Exchange, error) {
	if peer.Protocol != "POP3" || !peer.Addr.IsValid() {
		return nil, errors.New("no peer")
	}
	switch mechanism {
	case "BROKEN":
		return nil, mailbricks.ErrTemporary
	case "NIL":
		return nil, nil
	}
	return &exchange{mechanism: mechanism}, nil
}

type exchange struct {
	mechanism string
	got       []string
}

func (e *exchange) Next(ctx context.Context, response []byte) ([]byte, *mailbricks.Identity, error) {
	id := &mailbricks.Identity{Login: ann, User: ann}
	switch e.mechanism {
	case "PLAIN":
		switch {
		case response == nil:
			return []byte{}, nil, nil
		case string(response) == "\x00ann@example.com\x00secret":
			return nil, id, nil
		case string(response) == "\x00ann@example.com\x00two words ", string(response) == "\x00ann@example.com\x00"+longPassword():
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
		if e.got[0] == ann && e.got[1] == "secret" {
			return nil, id, nil
		}
		return nil, nil, mailbricks.ErrAuth
	case "LAST":
		return []byte("v=done"), id, nil
	case "LONG":
		if len(response) > 0 {
			return nil, id, nil
		}
		return []byte{}, nil, nil
	case "SLOW":
		<-ctx.Done()
		return nil, nil, ctx.Err()
	case "PANIC":
		panic("auth")
	case "REPLY":
		return nil, nil, &mailbricks.Reply{Code: 535, Text: "Not\r\nyou"}
	}
	return nil, nil, fmt.Errorf("back end: %w", mailbricks.ErrTemporary)
}

// insteadOfPlain runs another mechanism where PLAIN is asked for.
type insteadOfPlain struct {
	users
	mechanism string
}

func (i insteadOfPlain) Start(ctx context.Context, _ string, peer mailbricks.Peer) (mailbricks.Exchange, error) {
	return i.users.Start(ctx, i.mechanism, peer)
}
