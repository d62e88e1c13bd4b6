package maildir_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// A message that cannot be read, of the account or of the backup, keeps no other from being put back.
func TestMergePassesWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	var ill []string
	maildir.SetFS(m, linkless{&hooked{FS: unsynced{durable.OS()}, openFile: func(name string) error {
		for _, part := range ill {
			if strings.Contains(name, part) {
				return &os.PathError{Op: "open", Path: name, Err: syscall.EIO}
			}
		}
		return nil
	}}})
	b := open(t, m, mailbox.Inbox)
	cur := filepath.Join(m.Root, "example.com", "ann", "cur")
	for _, name := range []string{"1700000001.a", "1700000002.b", "1700000003.c"} {
		put(t, filepath.Join(cur, name+":2,S"), "text of "+name[len(name)-1:]+"\r\n")
	}
	require.Len(t, uidsOf(t, b), 3)
	dir := filepath.Join(t.TempDir(), "backup")
	_, err := m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
	require.NoError(t, err)
	_, err = b.Expunge(t.Context(), uidsOf(t, b))
	require.NoError(t, err)
	put(t, filepath.Join(cur, "1700000009.bad:2,S"), "text of z\r\n") // as long as those of the backup
	require.Len(t, uidsOf(t, b), 1)

	ill = []string{"1700000009.bad", "1700000002.b"}
	stats, err := m.Restore(t.Context(), ann, dir, maildir.RestoreOptions{Merge: true})
	require.ErrorIs(t, err, maildir.ErrUnreadable)
	require.Equal(t, 2, stats.Messages)
	ill = nil
	var texts []string
	for _, uid := range uidsOf(t, b) {
		texts = append(texts, contentOf(t, b, uid))
	}
	require.ElementsMatch(t, []string{"text of a\r\n", "text of c\r\n", "text of z\r\n"}, texts)
	stats, err = m.Restore(t.Context(), ann, dir, maildir.RestoreOptions{Merge: true})
	require.NoError(t, err)
	require.Equal(t, 1, stats.Messages)
}
