//go:build interop

package interop

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/auth"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

// taker is an SMTP server of the test's own that takes all mail with all extensions, and keeps what it was told.
type taker struct {
	*world
	ip, name, dir string
	inbox         mailtest.Inbox
	srv           *smtpd.Server

	mu       sync.Mutex
	sessions map[string]string   // by the ID of an envelope
	verbs    map[string][]string // by the ID of a session
}

// newTaker makes one, as taker.test at the world's n-th address, where ann@taker.test has the password "secret". It does not
// listen yet. setUp may change it.
func (w *world) newTaker(n int, setUp func(*smtpd.Server)) *taker {
	w.t.Helper()
	dir, err := os.MkdirTemp("", "taker-*") // not in the test's own folder, which Postfix's user cannot enter
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, os.RemoveAll(dir)) })
	require.NoError(w.t, os.Chmod(dir, 0o755))
	k := &taker{
		world: w, ip: w.ip(n), name: "taker.test", dir: dir,
		sessions: map[string]string{}, verbs: map[string][]string{},
	}
	hash, err := auth.HashPassword("secret")
	require.NoError(w.t, err)
	k.srv = &smtpd.Server{
		Hostname:  k.name,
		TLSConfig: w.ca.ServerConfig(k.name, k.ip),
		Auth:      auth.Passwords(oneUser{Login: "ann@taker.test", Hash: hash}),
		Handler: smtpd.Keeps(&k.inbox, smtpd.Extensions{
			BinaryMIME: true, DSN: true, RequireTLS: true, DeliverBy: true, MaxHold: time.Hour,
			Priority: true, RecipientValidSince: true,
		}),
		Trace: smtpd.Trace{
			Command: func(s *smtpd.Session, verb string, code int) {
				k.mu.Lock()
				defer k.mu.Unlock()
				k.verbs[s.ID] = append(k.verbs[s.ID], verb)
			},
			Message: func(tx *smtpd.Transaction, _ int64, _ time.Duration, _ error) {
				k.mu.Lock()
				defer k.mu.Unlock()
				k.sessions[tx.Envelope.ID] = tx.Session.ID
			},
		},
	}
	if setUp != nil {
		setUp(k.srv)
	}
	return k
}

// oneUser are users of which there is one.
type oneUser auth.User

func (u oneUser) User(_ context.Context, name string) (auth.User, error) {
	if name != u.Login {
		return auth.User{}, auth.ErrNoUser
	}
	return auth.User(u), nil
}

// serve listens at an address ("25" is that port of the taker's own, "/name" a unix socket in its folder) until the test ends.
// wrap, unless nil, goes around the listener.
func (k *taker) serve(at string, wrap func(net.Listener) net.Listener) {
	k.t.Helper()
	network, addr := "tcp", net.JoinHostPort(k.ip, at)
	if at[0] == '/' {
		network, addr = "unix", filepath.Join(k.dir, at)
	}
	l, err := net.Listen(network, addr)
	require.NoError(k.t, err)
	if network == "unix" {
		require.NoError(k.t, os.Chmod(addr, 0o666))
	}
	if wrap != nil {
		l = wrap(l)
	}
	ended := make(chan error, 1)
	go func() { ended <- k.srv.Serve(l) }()
	k.t.Cleanup(func() {
		require.NoError(k.t, k.srv.Close())
		require.ErrorIs(k.t, <-ended, smtpd.ErrServerClosed)
	})
}

// env gives the taker to scripts.
func (k *taker) env(more ...string) []string {
	return append([]string{"IP=" + k.ip, "NAME=" + k.name, "CA=" + k.caFile(), "DIR=" + k.dir, "LC_ALL=C.UTF-8"}, more...)
}

// find waits for the message with a subject.
func (k *taker) find(t *testing.T, subject string) (found mailtest.Received) {
	t.Helper()
	eventually(t, "a message "+subject, func() error {
		all := k.inbox.Messages()
		i := slices.IndexFunc(all, func(r mailtest.Received) bool { return r.Message.Get("Subject") == subject })
		if i < 0 {
			return context.DeadlineExceeded
		}
		found = all[i]
		return nil
	})
	return found
}

// used says whether a command was used in the session that brought a message.
func (k *taker) used(env *mailbricks.Envelope, verb string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Contains(k.verbs[k.sessions[env.ID]], verb)
}
