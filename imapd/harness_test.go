package imapd_test

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
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/imapd"
	"github.com/mailbricks/mailbricks/internal/dialogue"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/memory"
	"github.com/mailbricks/mailbricks/maildir"
	"github.com/mailbricks/mailbricks/mailtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// address is where the server of a test listens, on a network of its own.
const address = "192.0.2.1:143"

// passwords is an Authenticator with PLAIN and, for challenges, a mechanism TWOSTEP.
type passwords map[string]string

func (p passwords) Mechanisms(mailbricks.Peer) []string { return []string{"PLAIN", "TWOSTEP"} }

func (p passwords) Start(_ context.Context, mechanism string, _ mailbricks.Peer) (mailbricks.Exchange, error) {
	return &exchange{users: p, mechanism: mechanism}, nil
}

type exchange struct {
	users     passwords
	mechanism string
	steps     int
}

func (e *exchange) Next(_ context.Context, response []byte) ([]byte, *mailbricks.Identity, error) {
	if e.steps++; e.mechanism == "TWOSTEP" {
		return e.twoSteps(response)
	}
	if response == nil {
		return nil, nil, nil
	}
	fields := bytes.Split(response, []byte{0})
	if len(fields) != 3 {
		return nil, nil, errors.New("malformed")
	}
	user, password := string(fields[1]), string(fields[2])
	if user == "temporary" {
		return nil, nil, mailbricks.ErrTemporary
	}
	if want, known := e.users[user]; !known || want != password {
		return nil, nil, mailbricks.ErrAuth
	}
	return nil, &mailbricks.Identity{Login: user, User: user}, nil
}

// twoSteps asks for a name and then shows proof of its own, which the client must answer by nothing.
func (e *exchange) twoSteps(response []byte) ([]byte, *mailbricks.Identity, error) {
	if response == nil {
		return []byte("who?"), nil, nil
	}
	return []byte("proof"), &mailbricks.Identity{Login: string(response), User: string(response)}, nil
}

// world is a server and what it stands on.
type world struct {
	t       testing.TB
	network *mailtest.Network
	store   func() mailbox.Store // of joe's mail
	server  *imapd.Server
	ended   chan error
	once    sync.Once
}

// start runs a server in which joe has the password "secret", after change had a look at it.
func start(t testing.TB, change func(*imapd.Server)) *world {
	t.Helper()
	return startOn(t, memory.New(mailbox.Limit{}).Store, change)
}

// startOnMaildir is start with mail in files.
func startOnMaildir(t testing.TB) *world {
	t.Helper()
	dir := maildir.New(t.TempDir(), maildir.AccountsFunc(func(context.Context, string) (maildir.Account, error) {
		return maildir.Account{}, nil
	}))
	dir.Folders = []maildir.Folder{}
	t.Cleanup(func() { require.NoError(t, dir.Close()) })
	return startOn(t, func() mailbox.Store {
		store, err := dir.Store(context.Background(), mailbricks.Identity{User: "joe@example.com"})
		require.NoError(t, err)
		return store
	}, nil)
}

// startOn is start with this mail.
func startOn(t testing.TB, store func() mailbox.Store, change func(*imapd.Server)) *world {
	t.Helper()
	w := &world{t: t, network: mailtest.NewNetwork(), store: store, ended: make(chan error, 1)}
	w.server = &imapd.Server{
		Hostname:          "mail.example.com",
		AllowInsecureAuth: true,
		Auth:              passwords{"joe": "secret", "o'hara \"x\"": `pass\word`, "empty": ""},
		Store: func(context.Context, mailbricks.Identity) (mailbox.Store, error) {
			return w.store(), nil
		},
	}
	if change != nil {
		change(w.server)
	}
	l, err := w.network.Listen("tcp", address)
	require.NoError(t, err)
	go func() { w.ended <- w.server.Serve(l) }()
	t.Cleanup(w.stop)
	return w
}

// stop closes the server; the second time it does nothing.
func (w *world) stop() {
	w.once.Do(func() {
		require.NoError(w.t, w.server.Close())
		require.ErrorIs(w.t, <-w.ended, imapd.ErrServerClosed)
	})
}

// box opens a mailbox of the account, past the server.
func (w *world) box(name string) mailbox.Mailbox {
	w.t.Helper()
	store := w.store()
	box, err := store.Open(context.Background(), name)
	require.NoError(w.t, err)
	return &closingBox{box, store}
}

// closingBox closes its store with it.
type closingBox struct {
	mailbox.Mailbox
	store mailbox.Store
}

func (b *closingBox) Close() error { return errors.Join(b.Mailbox.Close(), b.store.Close()) }

// put appends messages to INBOX, past the server.
func (w *world) put(messages ...string) {
	w.t.Helper()
	w.putInto("INBOX", messages...)
}

// arrived is the internal date of messages that put puts.
func arrived() time.Time {
	return time.Date(1996, 7, 17, 2, 44, 25, 0, time.FixedZone("", -7*3600))
}

func (w *world) putInto(name string, messages ...string) {
	w.t.Helper()
	box := w.box(name)
	defer box.Close()
	for _, m := range messages {
		m = strings.ReplaceAll(m, "\n", "\r\n")
		_, err := box.Append(context.Background(), strings.NewReader(m),
			mailbox.AppendOptions{InternalDate: arrived(), Size: int64(len(m))})
		require.NoError(w.t, err)
	}
}

// client speaks IMAP line by line. In its dialogues "<>" stands for anything.
type client struct{ *dialogue.Client }

func newClient(t testing.TB, conn net.Conn) *client {
	c := &client{dialogue.New(t, conn)}
	c.Any = "<>"
	return c
}

// dial connects and reads the greeting.
func (w *world) dial() *client {
	w.t.Helper()
	c := w.dialRaw()
	require.Contains(w.t, c.line(), "* OK ")
	return c
}

func (w *world) dialRaw() *client {
	w.t.Helper()
	conn, err := w.network.Dialer("").Dial("tcp", address)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = conn.Close() })
	return newClient(w.t, conn)
}

// login connects and logs in as joe.
func (w *world) login() *client {
	w.t.Helper()
	c := w.dial()
	c.Talk("C: x LOGIN joe secret\nS: x OK [CAPABILITY <>] Logged in")
	return c
}

// selected connects, logs in and selects INBOX.
func (w *world) selected() *client {
	w.t.Helper()
	c := w.login()
	c.do("x SELECT INBOX")
	return c
}

// line reads a line.
func (c *client) line() string {
	c.T.Helper()
	line, err := c.Line()
	require.NoError(c.T, err, "got %q", line)
	return line
}

// send sends s as it is.
func (c *client) send(s string) {
	c.T.Helper()
	_, err := io.WriteString(c.Conn, s)
	require.NoError(c.T, err)
}

// do sends a command and gives the lines up to and including its tagged response.
func (c *client) do(command string) []string {
	c.T.Helper()
	c.send(command + "\r\n")
	tag, _, _ := strings.Cut(command, " ")
	var lines []string
	for {
		line := c.line()
		lines = append(lines, line)
		if strings.HasPrefix(line, tag+" ") {
			return lines
		}
	}
}

// closed expects the end of the connection.
func (c *client) closed() {
	c.T.Helper()
	_, err := c.Reader.ReadByte()
	require.Error(c.T, err)
}

// mail makes a message with this subject.
func mail(subject string) string {
	return fmt.Sprintf("From: Joe <joe@example.com>\nSubject: %s\n\nBody of %s.\n", subject, subject)
}
