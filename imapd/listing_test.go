package imapd_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// TestListingOpensNoFile lists a mailbox whose messages are no longer what they were: after the first listing, and after
// a restart, nobody looks.
func TestListingOpensNoFile(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	serve := func(do func(w *world, c *client)) {
		dir := maildir.New(root, maildir.AccountsFunc(func(context.Context, string) (maildir.Account, error) {
			return maildir.Account{}, nil
		}))
		w := startOn(t, func() mailbox.Store {
			store, err := dir.Store(context.Background(), mailbricks.Identity{User: "joe@example.com"})
			require.NoError(t, err)
			return store
		}, nil)
		c := w.login()
		do(w, c)
		c.do("x LOGOUT")
		w.stop()
		require.NoError(t, dir.Close())
	}
	list := func(c *client) []string {
		c.do("x SELECT INBOX")
		return c.do("x FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE RFC822.SIZE INTERNALDATE)")
	}
	var first []string
	serve(func(w *world, c *client) {
		w.put(headerText, "Subject: with parts\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\n<p>\n--b--\n", "no header\n")
		list(c)
		first = list(c) // and nothing is recent
		require.Len(t, first, 4)
		require.Contains(t, first[0], "about the thing")
		require.Contains(t, first[1], `"html"`)
		spoilMessages(t, root)
		require.Equal(t, first, list(c))
	})
	serve(func(_ *world, c *client) { require.Equal(t, first, list(c)) })
}

// spoilMessages makes other messages of all, as long as they were.
func spoilMessages(t *testing.T, root string) {
	spoiled := 0
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if sub := filepath.Base(filepath.Dir(path)); err != nil || d.IsDir() || sub != "cur" && sub != "new" {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		spoiled++
		return os.WriteFile(path, make([]byte, info.Size()), 0o600)
	}))
	require.Equal(t, 3, spoiled)
}
