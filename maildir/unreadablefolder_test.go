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

// One folder that cannot be read, with a use or without, is listed, is not made again, and lets all others be.
func TestUnreadableFolderIsOneOfMany(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{syscall.EACCES, syscall.ELOOP} {
		m := newMaildir(t, t.TempDir(), 10_000)
		ill := ""
		hook := func(name string) error {
			if ill != "" && strings.Contains(name, string(filepath.Separator)+ill+string(filepath.Separator)) {
				return &os.PathError{Op: "stat", Path: name, Err: cause}
			}
			return nil
		}
		maildir.SetFS(m, &hooked{FS: unsynced{durable.OS()}, stat: hook, lstat: hook, readNames: hook, readDir: hook, openFile: hook})
		s := mustStore(t, m)
		organizer := s.(mailbox.Organizer)
		require.NoError(t, organizer.Create(t.Context(), "Work", ""))
		deliver(t, m, "Subject: x\r\n\r\n")
		before := usageOf(t, m)
		for _, name := range []string{"Work", "Junk"} {
			ill = "." + name
			var names []string
			infos, err := s.List(t.Context())
			require.NoError(t, err)
			for _, info := range infos {
				names = append(names, info.Name)
			}
			require.Contains(t, names, name)
			_, err = s.Open(t.Context(), name)
			require.ErrorIs(t, err, cause)
			require.ErrorIs(t, organizer.Create(t.Context(), name, ""), mailbox.ErrExists)
			require.NoError(t, organizer.Create(t.Context(), "Beside"+name, ""))
			require.NoError(t, os.Remove(filepath.Join(m.Root, "example.com", "ann", "maildirsize")))
			require.Equal(t, before, usageOf(t, m))
			b, err := s.Open(t.Context(), "Beside"+name)
			require.NoError(t, err)
			require.NoError(t, b.Close())
		}
	}
}

// A link to itself is no mailbox.
func TestLinkToItself(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	s := mustStore(t, m)
	dir := filepath.Join(m.Root, "example.com", "ann")
	if err := os.Symlink(filepath.Join(dir, ".Loop"), filepath.Join(dir, ".Loop")); err != nil {
		t.Skip("no symbolic links: ", err)
	}
	infos, err := s.List(t.Context())
	require.NoError(t, err)
	for _, info := range infos {
		require.NotEqual(t, "Loop", info.Name)
	}
}
