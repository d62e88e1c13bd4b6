package maildir_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// everyone has an account with this quota.
func everyone(quota int64) maildir.Accounts {
	return limited(mailbox.Limit{Octets: quota})
}

func limited(limit mailbox.Limit) maildir.Accounts {
	return maildir.AccountsFunc(func(context.Context, string) (maildir.Account, error) {
		return maildir.Account{Limit: limit}, nil
	})
}

const ann = "ann@example.com"

// unsynced is the system's files without the wait for the disk, for tests that are not about that.
type unsynced struct{ durable.FS }

func (u unsynced) OpenFile(name string, flag int, perm os.FileMode) (durable.File, error) {
	f, err := u.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return unsyncedFile{f}, nil
}

func (u unsynced) SyncDir(string) error { return nil }

type unsyncedFile struct{ durable.File }

func (unsyncedFile) Sync() error { return nil }

func newMaildir(t testing.TB, root string, quota int64) *maildir.Maildir {
	return newLimited(t, root, mailbox.Limit{Octets: quota})
}

func newLimited(t testing.TB, root string, limit mailbox.Limit) *maildir.Maildir {
	m := maildir.New(root, limited(limit))
	maildir.SetFS(m, unsynced{durable.OS()})
	m.PollInterval = -1
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func open(t testing.TB, m *maildir.Maildir, name string) mailbox.Mailbox {
	t.Helper()
	s, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	b, err := s.Open(t.Context(), name)
	require.NoError(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

func deliver(t testing.TB, m *maildir.Maildir, text string) {
	t.Helper()
	env := &mailbricks.Envelope{From: "bob@example.org", Recipients: []mailbricks.Recipient{{Address: ann}}}
	require.NoError(t, m.Handle(t.Context(), env, mailbricks.NewMessage([]byte(text))))
}

func uidsOf(t testing.TB, b mailbox.Mailbox) []mailbox.UID {
	t.Helper()
	uids, _, err := b.UIDs(t.Context())
	require.NoError(t, err)
	return uids
}

func appendTo(t testing.TB, b mailbox.Mailbox, text string, flags ...mailbox.Flag) mailbox.UID {
	t.Helper()
	uid, err := b.Append(t.Context(), strings.NewReader(text), mailbox.AppendOptions{Size: int64(len(text)), Flags: flags})
	require.NoError(t, err)
	return uid
}
