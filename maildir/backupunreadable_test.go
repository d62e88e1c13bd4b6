package maildir_test

import (
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// illFile is a file system on which files with this in their path cannot be opened, below a folder.
type illFile struct {
	unsynced
	below, part, except string
	err                 error
}

func (f *illFile) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	if f.err != nil && strings.HasPrefix(name, f.below) && strings.Contains(name, f.part) && (f.except == "" || !strings.Contains(name, f.except)) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: f.err}
	}
	return f.unsynced.OpenFile(name, flag, perm)
}

// A file that cannot be read is named, and all others are in the backup; one that the earlier backup has stays in it.
func TestBackupLeavesOutWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, fsys := range map[string]func(files durable.FS, dir string) durable.FS{
		"without links": func(files durable.FS, _ string) durable.FS { return linkless{files} },
		"elsewhere":     func(files durable.FS, dir string) durable.FS { return elsewhere{files, dir} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "backup")
			m := newMaildir(t, t.TempDir(), 0)
			files := &illFile{unsynced: unsynced{durable.OS()}, below: m.Root}
			if name == "without links" {
				files.except = "mailbricks-backup" // where the copy is
			}
			maildir.SetFS(m, fsys(files, dir))
			s := settled(t, m)
			account := filepath.Join(m.Root, "example.com", "ann")
			lay(t, filepath.Join(account, "home", "sieve"), "keep;")
			ill := func(part string) (stats maildir.BackupStats, told []string, err error) {
				files.part, files.err = part, syscall.EIO
				defer func() { files.err = nil }()
				stats, err = m.Backup(t.Context(), ann, dir, maildir.BackupOptions{Unreadable: func(path string, err error) {
					require.ErrorIs(t, err, syscall.EIO)
					told = append(told, path)
				}})
				return stats, told, err
			}
			first := message(t, account, 1)
			base, _, _ := strings.Cut(filepath.Base(first), ":")

			stats, told, err := ill(base)
			require.ErrorIs(t, err, maildir.ErrUnreadable)
			require.Equal(t, []string{first}, told)
			require.Equal(t, maildir.BackupStats{Mailboxes: 7, Messages: 5, Copied: 5, Unreadable: 1}, stats)
			require.Len(t, texts(t, copyOf(t, treeOf(t, dir))), 5)

			stats, told, err = ill(filepath.FromSlash("home/sieve"))
			require.ErrorIs(t, err, maildir.ErrUnreadable)
			require.Len(t, told, 1)
			require.Equal(t, 6, stats.Messages)
			require.ElementsMatch(t, texts(t, s), texts(t, copyOf(t, treeOf(t, dir))))

			inbox := mustOpen(t, s, "INBOX")
			setFlags(t, inbox, 1, mailbox.Deleted) // under another name now
			require.NoError(t, inbox.Close())
			stats, told, err = ill(base)
			if name == "without links" { // the other does not need to read it
				require.ErrorIs(t, err, maildir.ErrUnreadable)
				require.Len(t, told, 1)
			}
			require.Equal(t, 6, stats.Messages, "the earlier backup has it")
			require.Len(t, texts(t, copyOf(t, treeOf(t, dir))), 6)

			files.part, files.err = base, syscall.EMFILE
			_, err = m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
			files.err = nil
			if name == "without links" {
				require.ErrorIs(t, err, syscall.EMFILE, "that is not the fault of one file")
				require.NotErrorIs(t, err, maildir.ErrUnreadable)
			}
			back, err := m.Restore(t.Context(), ann, dir, maildir.RestoreOptions{})
			require.NoError(t, err)
			require.Equal(t, 6, back.Messages)
		})
	}
}
