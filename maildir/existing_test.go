package maildir_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// foreign makes the account of ann as other programs leave it: INBOX and these folders.
func foreign(t *testing.T, root string, folders ...string) string {
	t.Helper()
	dir := filepath.Join(root, "example.com", "ann")
	for _, folder := range append(folders, "") {
		for _, sub := range []string{"tmp", "new", "cur"} {
			require.NoError(t, os.MkdirAll(filepath.Join(dir, folder, sub), 0o700))
		}
	}
	put(t, filepath.Join(dir, "new", "1791000000.M1P1.z"), lfOnly)
	return dir
}

// listOf lists the mailboxes of ann without their ids.
func listOf(t *testing.T, m *maildir.Maildir) []mailbox.Info {
	t.Helper()
	return listIn(t, mustStore(t, m))
}

func listIn(t *testing.T, s mailbox.Store) []mailbox.Info {
	t.Helper()
	infos, err := s.List(t.Context())
	require.NoError(t, err)
	for i := range infos {
		require.Equal(t, infos[i].NoSelect || infos[i].NonExistent, infos[i].ID == "", infos[i].Name)
		infos[i].ID = ""
	}
	return infos
}

func uses(use mailbox.Use) []mailbox.Use { return []mailbox.Use{use} }

// A tree that came without our folders gets those that it lacks, once.
func TestExistingAccountGetsItsFolders(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	dir := foreign(t, m.Root, ".Sent", ".Listen.go")
	put(t, filepath.Join(dir, "subscriptions"), "V\t2\n\nListen\tgo\n")
	deliver(t, m, "x") // this does as well as a session
	want := []mailbox.Info{
		{Name: "Archive", Uses: uses(mailbox.UseArchive), Subscribed: true},
		{Name: "Drafts", Uses: uses(mailbox.UseDrafts), Subscribed: true},
		{Name: "INBOX"},
		{Name: "Junk", Uses: uses(mailbox.UseJunk), Subscribed: true},
		{Name: "Listen", NoSelect: true},
		{Name: "Listen/go", Subscribed: true},
		{Name: "Sent", Uses: uses(mailbox.UseSent)}, // the user has not subscribed it
		{Name: "Trash", Uses: uses(mailbox.UseTrash), Subscribed: true},
	}
	require.Equal(t, want, listOf(t, m))
	require.Len(t, uidsOf(t, open(t, m, mailbox.Inbox)), 2)

	o := mustStore(t, m).(mailbox.Organizer)
	require.NoError(t, o.Delete(t.Context(), "Archive"))
	require.NoError(t, o.Subscribe(t.Context(), "Archive", false))
	require.NoError(t, o.Rename(t.Context(), "Drafts", "Entwürfe"))
	require.NoError(t, o.Subscribe(t.Context(), "Drafts", false))
	require.NoError(t, m.Close())
	m = newMaildir(t, m.Root, 0)
	renamed := mailbox.Info{Name: "Entwürfe", Uses: uses(mailbox.UseDrafts)}
	require.ElementsMatch(t, append([]mailbox.Info{renamed}, want[2:]...), listOf(t, m), "what the user deletes stays deleted")

	// Nobody knows any more whether the user has deleted something.
	require.NoError(t, m.Close())
	require.NoError(t, os.Remove(filepath.Join(dir, "mailbricks-special-use")))
	m = newMaildir(t, m.Root, 0)
	require.Contains(t, listOf(t, m), mailbox.Info{Name: "Archive", Uses: uses(mailbox.UseArchive), Subscribed: true})
}

// A folder with the same use under another name does.
func TestExistingAccountKeepsItsUses(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	m.Folders = []maildir.Folder{{Name: "Junk", Use: mailbox.UseJunk}, {Name: "Spam", Use: mailbox.UseJunk}, {Name: "Notes"}, {Name: "More"}}
	foreign(t, m.Root, ".Spam", ".Notes")
	require.Equal(t, []mailbox.Info{
		{Name: "INBOX"}, {Name: "More", Subscribed: true}, {Name: "Notes"}, {Name: "Spam", Uses: uses(mailbox.UseJunk)},
	}, listOf(t, m))
}

// A tree of Dovecot that has all folders stays as it is.
func TestDovecotTreeGetsNoFolders(t *testing.T) {
	t.Parallel()
	m, account, _ := suite(t)
	folders := func() []string {
		names, err := filepath.Glob(filepath.Join(account, ".*", "cur"))
		require.NoError(t, err)
		return names
	}
	before := folders()
	subscribed, err := os.ReadFile(filepath.Join(account, "subscriptions"))
	require.NoError(t, err)
	require.NotEmpty(t, listOf(t, m))
	require.Equal(t, before, folders())
	after, err := os.ReadFile(filepath.Join(account, "subscriptions"))
	require.NoError(t, err)
	require.Equal(t, string(subscribed), string(after))
}

// fullFor is a file system on which no folder with this in its name can be made.
type fullFor struct {
	durable.FS
	name string
}

func (f fullFor) Mkdir(name string, perm os.FileMode) error {
	if f.name != "" && strings.Contains(name, f.name) {
		return errors.New("disk full")
	}
	return f.FS.Mkdir(name, perm)
}

// Mail goes on coming where folders cannot be made, and the next process tries again.
func TestExistingAccountWithoutRoom(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	var log bytes.Buffer
	m.Logger = slog.New(slog.NewTextHandler(&log, nil))
	maildir.SetFS(m, fullFor{unsynced{durable.OS()}, "mailbricks-new"})
	dir := foreign(t, m.Root)
	deliver(t, m, "x")
	require.Len(t, uidsOf(t, open(t, m, mailbox.Inbox)), 2)
	require.Contains(t, log.String(), "does not have all folders")
	require.NoFileExists(t, filepath.Join(dir, "mailbricks-special-use"))
	require.NoError(t, m.Close())

	m = newMaildir(t, m.Root, 0)
	deliver(t, m, "y")
	require.DirExists(t, filepath.Join(dir, ".Archive", "cur"))

	// A new account is not made by halves.
	m = newMaildir(t, t.TempDir(), 0)
	maildir.SetFS(m, fullFor{unsynced{durable.OS()}, "mailbricks-new"})
	_, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
	require.ErrorContains(t, err, "disk full")
	require.NoDirExists(t, filepath.Join(m.Root, "example.com", "ann", "cur"))
}

// After a power cut at any point, in every state that it may leave, the tree has all folders after all.
func TestExistingAccountSurvivesPowerCut(t *testing.T) {
	t.Parallel()
	const dir = "/mail/example.com/ann"
	run := func(fsys *crashfs.FS, n int) (calls int) {
		for _, sub := range []string{"tmp", "new", "cur"} {
			require.NoError(t, durable.MkdirAll(fsys, filepath.Join(dir, sub), 0o700))
		}
		before := fsys.Calls()
		if n > 0 {
			fsys.CrashAfter(before + n)
		}
		m := crashMaildir(fsys)
		if s, err := m.Store(t.Context(), mailbricks.Identity{User: ann}); err == nil {
			require.NoError(t, s.Close())
		}
		require.NoError(t, m.Close())
		return fsys.Calls() - before
	}
	calls := run(crashfs.New(), 0)
	require.Greater(t, calls, 10)
	for n := 1; n <= calls; n++ {
		fsys := crashfs.New()
		run(fsys, n)
		fsys.Crash()
		for s := range fsys.States() {
			m := crashMaildir(s.FS)
			require.Equal(t, []mailbox.Info{{Name: "INBOX"}, {Name: "Junk", Uses: uses(mailbox.UseJunk), Subscribed: true}},
				listOf(t, m), "after call %d, in the state %s", n, s.What)
			require.NoError(t, m.Close())
		}
	}
}

// A name with a separator of the other kind in it is one name whoever reads it: its UID stays.
func TestExistingNamesKeepTheirUIDs(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no such file names here")
	}
	m := newMaildir(t, t.TempDir(), 0)
	dir := foreign(t, m.Root)
	put(t, filepath.Join(dir, "cur", "1791000001.a;b:2,S"), lfOnly)
	put(t, filepath.Join(dir, "cur", "1791000002.h:1,x:2,S"), lfOnly)
	uids := uidsOf(t, open(t, m, mailbox.Inbox))
	require.Len(t, uids, 3)
	require.NoError(t, m.Close())
	m = newMaildir(t, m.Root, 0)
	require.Equal(t, uids, uidsOf(t, open(t, m, mailbox.Inbox)))
}
