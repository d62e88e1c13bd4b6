package maildir_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

func TestPurgeRemovesTheMailOfAnAccount(t *testing.T) {
	t.Parallel()
	m := maildir.New(t.TempDir(), maildir.AccountsFunc(func(ctx context.Context, _ string) (maildir.Account, error) { return maildir.Account{}, ctx.Err() }))
	defer m.Close()
	deliver := func() {
		env := &mailbricks.Envelope{Recipients: []mailbricks.Recipient{{Address: "ann@example.com"}, {Address: "bob@example.com"}}}
		require.NoError(t, m.Handle(t.Context(), env, mailbricks.NewMessage([]byte("A: 1\r\n\r\nx\r\n"))))
	}
	deliver()
	store, err := m.Store(t.Context(), mailbricks.Identity{User: "ann@example.com"})
	require.NoError(t, err)
	defer store.Close()
	inbox, err := store.Open(t.Context(), mailbox.Inbox)
	require.NoError(t, err)
	defer inbox.Close()

	require.NoError(t, m.Purge(t.Context(), "ann@example.com"))
	require.NoError(t, m.Purge(t.Context(), "ann@example.com"), "twice")
	entries, err := os.ReadDir(filepath.Join(m.Root, "example.com"))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, "bob", entries[0].Name())
	_, err = inbox.Append(t.Context(), strings.NewReader("A: 1\r\n\r\n"), mailbox.AppendOptions{Size: -1})
	require.Error(t, err, "the mailbox is gone")

	deliver()
	used, err := m.Used(t.Context(), "ann@example.com")
	require.NoError(t, err)
	require.EqualValues(t, 1, used.Messages, "the address can be used again, and begins empty")
}

func TestPurgeGoesOnWhereItWasInterrupted(t *testing.T) {
	t.Parallel()
	m := maildir.New(t.TempDir(), nil)
	left := filepath.Join(m.Root, "example.com", "..purged-ann", "cur")
	require.NoError(t, os.MkdirAll(left, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(left, "x"), nil, 0o600))
	require.NoError(t, m.Purge(t.Context(), "ann@example.com"))
	require.NoDirExists(t, filepath.Dir(left))
	require.Error(t, m.Purge(t.Context(), "no address"))
}
