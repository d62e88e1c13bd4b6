package maildir_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// unpack brings an account of testdata into a new root.
func unpack(t *testing.T, name string) (root string) {
	t.Helper()
	root = t.TempDir()
	dir := filepath.Join(root, "example.com", "ann")
	require.NoError(t, os.MkdirAll(dir, 0o700))
	f, err := os.Open(filepath.Join("testdata", name))
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return root
		}
		require.NoError(t, err)
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			require.NoError(t, os.Mkdir(path, 0o700))
			continue
		}
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		require.NoError(t, os.Chtimes(path, h.ModTime, h.ModTime))
	}
}

// Mail that was encrypted once is read by all later versions, by each of its keys.
func TestAccountOfTheFirstFormatStaysReadable(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the names of these files cannot be used here")
	}
	for name, unlock := range map[string]func(*maildir.Maildir) error{
		"password": func(m *maildir.Maildir) error { return m.Unlock(t.Context(), ann, password) },
		"recovery key": func(m *maildir.Maildir) error {
			err := m.SetPassword(t.Context(), ann, maildir.Secret{Recovery: "9k7cfn dkbgch byre0f kx7sa5 qswwvg hzr0tw"}, "new")
			return errors.Join(err, m.Unlock(t.Context(), ann, "new"))
		},
		"server key": func(m *maildir.Maildir) error { m.ServerKey = serverKey(); return nil },
	} {
		m := newEncrypted(t, unpack(t, "encrypted-1.tar.gz"), mailbox.Limit{})
		_, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
		require.ErrorIs(t, err, mailbox.ErrLocked)
		require.NoError(t, unlock(m), name)
		s := mustStoreOf(t, m)
		list, err := s.List(t.Context())
		require.NoError(t, err)
		subscribed := map[string]bool{}
		for _, i := range list {
			subscribed[i.Name] = i.Subscribed
		}
		require.Equal(t, map[string]bool{"INBOX": false, "Junk": true, "Known": false, "Known/Below": true}, subscribed)
		b, err := s.Open(t.Context(), "Known/Below")
		require.NoError(t, err)
		metas, err := b.Messages(t.Context(), []mailbox.UID{1})
		require.NoError(t, err)
		require.ElementsMatch(t, []mailbox.Flag{mailbox.Seen, "known"}, metas[0].Flags)
		require.Equal(t, secretText, contentOf(t, b, 1))
		summaries, err := b.(mailbox.Summarizer).Summaries(t.Context(), []mailbox.UID{1})
		require.NoError(t, err)
		require.Len(t, summaries, 1)
		require.NoError(t, b.Close())
		b, err = s.Open(t.Context(), mailbox.Inbox)
		require.NoError(t, err)
		require.Equal(t, strings.Repeat("Known: text\r\n", 2000), contentOf(t, b, 1))
		require.NoError(t, errors.Join(b.Close(), s.Close()))
		e, err := m.Encryption(t.Context(), ann)
		require.NoError(t, err)
		require.Equal(t, maildir.Encryption{On: true, Open: true, Password: true, Recovery: true, Server: m.ServerKey != nil}, e, name)
	}
}
