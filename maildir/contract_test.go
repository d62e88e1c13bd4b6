package maildir_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/mailboxtest"
	"github.com/mailbricks/mailbricks/maildir"
)

func TestContract(t *testing.T) {
	t.Parallel()
	mailboxtest.Run(t, atSize(contractBackend(false)))
}

func TestContractEncrypted(t *testing.T) {
	t.Parallel()
	mailboxtest.Run(t, atSize(contractBackend(true)))
}

func BenchmarkContract(b *testing.B) { mailboxtest.Benchmark(b, contractBackend(false)) }

func BenchmarkContractEncrypted(b *testing.B) { mailboxtest.Benchmark(b, contractBackend(true)) }

// atSize makes the tests that go by chance as large as MAILBRICKS_LONG asks for.
func atSize(b mailboxtest.Backend) mailboxtest.Backend {
	if os.Getenv("MAILBRICKS_LONG") != "" {
		return b.Long()
	}
	return b
}

// contractBackend is a maildir for the contract test: on real files, and where the power is cut on those of crashfs.
func contractBackend(encrypted bool) mailboxtest.Backend {
	b := mailboxtest.Backend{
		New: func(t testing.TB, limit mailbox.Limit) mailboxtest.Account {
			c := &contract{root: t.TempDir(), fs: unsynced{durable.OS()}, limit: limit, encrypted: encrypted}
			return c.account(t)
		},
		NewCrashing: func(t testing.TB, limit mailbox.Limit) mailboxtest.Account {
			c := &contract{root: "/mail", fs: crashfs.New(), limit: limit, encrypted: encrypted}
			a := c.account(t)
			a.Lose, a.Crash = nil, c.crash
			return a
		},
	}
	if encrypted { // which is the same store over slower files
		b.Histories, b.Operations = 10, 1000
	}
	return b
}

// The power that the contract test cuts is really off: a store that syncs nothing loses what it had acknowledged.
func TestContractCutsThePower(t *testing.T) {
	t.Parallel()
	for _, lazy := range []bool{false, true} {
		c := &contract{root: "/mail", fs: crashfs.New(), lazy: lazy}
		a := c.account(t)
		b := open(t, c.m, mailbox.Inbox)
		appendTo(t, b, "one\r\n")
		require.NoError(t, c.crash(1))
		s, err := a.Open()
		require.NoError(t, err)
		b, err = s.Open(t.Context(), mailbox.Inbox)
		require.NoError(t, err)
		want := 1
		if lazy {
			want = 0
		}
		require.Len(t, uidsOf(t, b), want)
		require.NoError(t, b.Close())
		require.NoError(t, s.Close())
		a.Close()
	}
}

// contract is an account and the process that works on it.
type contract struct {
	root      string
	fs        durable.FS
	lazy      bool // nothing is synced
	limit     mailbox.Limit
	encrypted bool
	m         *maildir.Maildir
}

func (c *contract) account(t testing.TB) mailboxtest.Account {
	c.start()
	if c.encrypted {
		_, err := c.m.EnableEncryption(context.Background(), ann, password)
		require.NoError(t, err)
		require.NoError(t, c.m.FinishEncryption(context.Background(), ann, nil))
	}
	return mailboxtest.Account{
		Open: func() (mailbox.Store, error) {
			return c.m.Store(context.Background(), mailbricks.Identity{User: ann})
		},
		Restart: func() error {
			err := c.m.Close()
			c.start()
			return err
		},
		Lose: func(name string, uid mailbox.UID) error {
			if name != mailbox.Inbox {
				return errors.New("only messages of INBOX get lost")
			}
			path, err := maildir.FileOf(filepath.Join(c.root, "example.com", "ann"), uint32(uid))
			if err != nil {
				return err
			}
			return os.Remove(path)
		},
		Close: func() { _ = c.m.Close() },
	}
}

func (c *contract) start() {
	c.m = maildir.New(c.root, limited(c.limit))
	c.m.PollInterval = -1
	maildir.SetFS(c.m, c.fs)
	if c.lazy {
		maildir.SetFS(c.m, unsynced{c.fs})
	}
	if c.encrypted {
		maildir.Cheap(c.m)
		c.m.ServerKey = serverKey()
	}
}

// crash cuts the power: every call from here on fails, and the next process finds one of the states that the cut allows.
func (c *contract) crash(pick uint64) error {
	fsys := c.fs.(*crashfs.FS)
	fsys.Crash()
	_ = c.m.Close()
	for state := range fsys.States() {
		c.fs = state.FS
		if pick == 0 {
			break
		}
		pick--
	}
	c.start()
	return nil
}
