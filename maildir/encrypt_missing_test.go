package maildir_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// tree gives all files below a folder, but for locks.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".lock") {
			return err
		}
		data, err := os.ReadFile(path)
		out[path] = string(data)
		return err
	}))
	return out
}

// While the key file of an encrypted account is missing nothing is done with the account, and all is as it was when it is back.
func TestMissingKeyFile(t *testing.T) {
	t.Parallel()
	m, root, _ := lockedAccount(t)
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	checkSecrets(t, m)
	before := states(t, m)
	require.NoError(t, m.Close())
	dir := filepath.Join(root, "example.com", "ann")
	keys := filepath.Join(dir, "mailbricks-keys")
	away := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, os.Rename(keys, away))
	files := tree(t, dir)
	roles, err := os.ReadFile(filepath.Join(dir, "mailbricks-roles"))
	require.NoError(t, err)
	index, err := os.ReadFile(filepath.Join(dir, "mailbricks-index"))
	require.NoError(t, err)

	for _, lost := range []string{"", "mailbricks-roles", "mailbricks-index"} { // one after the other
		if lost != "" {
			require.NoError(t, os.Remove(filepath.Join(dir, lost)))
			delete(files, filepath.Join(dir, lost))
		}
		m = newEncrypted(t, root, mailbox.Limit{})
		m.ServerKey = serverKey()
		require.ErrorIs(t, m.Unlock(t.Context(), ann, password), maildir.ErrKeysMissing)
		_, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
		require.ErrorIs(t, err, maildir.ErrKeysMissing)
		require.ErrorIs(t, tryDeliver(t, m, secretText), maildir.ErrKeysMissing)
		_, err = m.EnableEncryption(t.Context(), ann, password)
		require.ErrorIs(t, err, maildir.ErrKeysMissing)
		require.NoError(t, m.Close())
		require.Equal(t, files, tree(t, dir))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "mailbricks-roles"), roles, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "mailbricks-index"), index, 0o600))

	// It may also be lost while the account is used.
	m = newEncrypted(t, root, mailbox.Limit{})
	require.NoError(t, os.Rename(away, keys))
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	b := open(t, m, mailbox.Inbox)
	require.NoError(t, os.Rename(keys, away))
	_, err = b.Append(t.Context(), strings.NewReader(secretText), mailbox.AppendOptions{Size: int64(len(secretText))})
	require.ErrorIs(t, err, maildir.ErrKeysMissing)
	require.ErrorIs(t, tryDeliver(t, m, secretText), maildir.ErrKeysMissing)
	require.NoError(t, os.Rename(away, keys))
	require.NoError(t, b.Close())
	checkSecrets(t, m)
	require.Equal(t, before, states(t, m))
	require.NoError(t, m.Close())
}

// tryDeliver delivers a message to ann.
func tryDeliver(t testing.TB, m *maildir.Maildir, text string) error {
	env := &mailbricks.Envelope{From: "bob@example.org", Recipients: []mailbricks.Recipient{{Address: ann}}}
	return m.Handle(t.Context(), env, mailbricks.NewMessage([]byte(text)))
}
