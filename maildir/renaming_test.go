package maildir_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// After a power cut at any point of a rename, in every state that it may leave, a mailbox and those below it have all the
// old names or all the new ones, with their messages, ids and uses; the new ones once the rename was answered.
func TestRenameSurvivesPowerCut(t *testing.T) {
	t.Parallel()
	build := func() (*crashfs.FS, map[string]string) {
		fsys := crashfs.New()
		m := crashMaildir(fsys)
		o := mustStore(t, m).(mailbox.Organizer)
		require.NoError(t, o.Create(t.Context(), "a", mailbox.UseSent))
		require.NoError(t, o.Create(t.Context(), "a/b", ""))
		require.NoError(t, o.Create(t.Context(), "a/b/c", mailbox.UseTrash))
		appendTo(t, open(t, m, "a/b"), "in b")
		ids := idsOf(t, m)
		require.NoError(t, m.Close())
		return fsys, ids
	}
	run := func(fsys *crashfs.FS, n int) (calls int, err error) {
		m := crashMaildir(fsys)
		o := mustStore(t, m).(mailbox.Organizer)
		before := fsys.Calls()
		if n > 0 {
			fsys.CrashAfter(before + n)
		}
		err = o.Rename(t.Context(), "a", "z/y")
		_ = m.Close()
		return fsys.Calls() - before, err
	}
	fsys, _ := build()
	calls, err := run(fsys, 0)
	require.NoError(t, err)
	for n := 1; n <= calls; n++ {
		fsys, ids := build()
		_, err := run(fsys, n)
		fsys.Crash()
		for s := range fsys.Some(min(effortOf().states*3, crashfs.MaxStates)) {
			m := crashMaildir(s.FS)
			base := "a"
			list := listOf(t, m)
			if _, openErr := mustStore(t, m).Open(t.Context(), "z/y"); openErr == nil {
				base = "z/y"
			} else {
				require.Error(t, err, "after call %d, in the state %s", n, s.What)
			}
			want := []mailbox.Info{{Name: "INBOX"}, {Name: "Junk", Uses: uses(mailbox.UseJunk), Subscribed: true},
				{Name: base, Uses: uses(mailbox.UseSent)}, {Name: base + "/b"}, {Name: base + "/b/c", Uses: uses(mailbox.UseTrash)}}
			if base != "a" {
				want = append(want, mailbox.Info{Name: "z", NoSelect: true})
			}
			require.ElementsMatch(t, want, list, "after call %d, in the state %s", n, s.What)
			now := idsOf(t, m)
			for name, id := range ids {
				if rest, ok := strings.CutPrefix(name, "a"); ok {
					name = base + rest
				}
				require.Equal(t, id, now[name], "id of %s after call %d, in the state %s", name, n, s.What)
			}
			require.Equal(t, "in b", text(t, open(t, m, base+"/b"), 1))
			require.NoError(t, m.Close())
		}
	}
}

// failRename is a file system on which folders cannot get this name.
type failRename struct {
	durable.FS
	to *string
}

func (f failRename) Rename(from, to string) error {
	if filepath.Base(to) == *f.to {
		return errors.New("disk fault")
	}
	return f.FS.Rename(from, to)
}

// A rename that fails in the middle has not happened; one that cannot be undone either is done to the end later.
func TestRenameThatFails(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	bad := ""
	maildir.SetFS(m, failRename{unsynced{durable.OS()}, &bad})
	o := mustStore(t, m).(mailbox.Organizer)
	require.NoError(t, o.Create(t.Context(), "a", mailbox.UseSent))
	require.NoError(t, o.Create(t.Context(), "a/b", ""))
	before := listOf(t, m)
	bad = ".z.b"
	require.ErrorContains(t, o.Rename(t.Context(), "a", "z"), "disk fault")
	require.Equal(t, before, listOf(t, m))
	require.NoFileExists(t, filepath.Join(m.Root, "example.com", "ann", "mailbricks-rename"))
	bad = ""
	require.NoError(t, o.Rename(t.Context(), "a", "z"))
	require.Contains(t, listOf(t, m), mailbox.Info{Name: "z", Uses: uses(mailbox.UseSent)})
	require.NoFileExists(t, filepath.Join(m.Root, "example.com", "ann", "mailbricks-rename"))

	// A folder that is no mailbox stands in the way.
	require.NoError(t, os.MkdirAll(filepath.Join(m.Root, "example.com", "ann", ".taken", "x"), 0o700))
	require.ErrorIs(t, o.Rename(t.Context(), "z", "taken"), mailbox.ErrExists)
	require.ErrorIs(t, o.Create(t.Context(), "taken", ""), mailbox.ErrExists)
}

func TestDamagedRenameFile(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	before := listOf(t, m)
	path := filepath.Join(m.Root, "example.com", "ann", "mailbricks-rename")
	for _, data := range []string{"", "\x00", "mailbricks-rename 1\nm .Junk\t../x\nm ..Junk\t.Sent\nm .\t.x\nm .none\t.y\nx\nu \\None .x\n"} {
		require.NoError(t, m.Close())
		require.NoError(t, os.WriteFile(path, []byte(data), 0o600))
		m = newMaildir(t, m.Root, 0)
		require.Equal(t, before, listOf(t, m), "%q", data)
		require.NoFileExists(t, path)
	}
	require.NoError(t, m.Close())
	require.NoError(t, os.WriteFile(path, []byte("mailbricks-rename 2\n"), 0o600))
	m = newMaildir(t, m.Root, 0)
	_, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
	require.ErrorContains(t, err, "newer version")
}
