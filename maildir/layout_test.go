package maildir_test

import (
	"fmt"
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

// A tree whose mailboxes would not be seen is refused, and nothing in it is touched.
func TestOtherLayoutsAreRefused(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"Archive", "Maildir", "INBOX"} {
		m := newMaildir(t, t.TempDir(), 0)
		dir := foreign(t, m.Root)
		require.NoError(t, os.MkdirAll(filepath.Join(dir, folder, "cur"), 0o700))
		before := fileNames(t, dir)
		_, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
		require.ErrorIs(t, err, maildir.ErrLayout)
		require.ErrorContains(t, err, folder)
		require.NotErrorIs(t, err, mailbricks.ErrAuth)
		env := &mailbricks.Envelope{Recipients: []mailbricks.Recipient{{Address: ann}}}
		err = m.Handle(t.Context(), env, mailbricks.NewMessage([]byte("x")))
		require.True(t, mailbricks.IsTemporary(mailbricks.ResultsOf(err, 1)[0]))
		require.Equal(t, before, fileNames(t, dir))

		require.NoError(t, os.RemoveAll(filepath.Join(dir, folder)))
		deliver(t, m, "x")
		require.Len(t, uidsOf(t, open(t, m, mailbox.Inbox)), 2)
	}
	m := newMaildir(t, t.TempDir(), 0)
	dir := foreign(t, m.Root)
	for _, folder := range []string{"sieve/tmp", "mailbricks-aside/cur", "attachments", "cur/cur"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, folder), 0o700))
	}
	deliver(t, m, "x")
}

func namesOf(t *testing.T, m *maildir.Maildir) (names []string) {
	t.Helper()
	for _, info := range listOf(t, m) {
		names = append(names, info.Name)
	}
	return names
}

// bare is a Maildir that makes no folders of its own.
func bare(t *testing.T) *maildir.Maildir {
	m := newMaildir(t, t.TempDir(), 0)
	m.Folders = []maildir.Folder{}
	return m
}

// Folders of every spelling can be found and opened, each under a name of its own.
func TestFoldersOfOthers(t *testing.T) {
	t.Parallel()
	m := bare(t)
	folders := map[string]string{
		".Entw&APw-rfe": "Entwürfe", ".Entwürfe": "Entwürfe #2", // Dovecot 2.4 with mailbox_list_utf8, and before
		".a&b": "a&b", ".a&-c": "a&c", ".broken &AMQ": "broken &AMQ", ".broken &!-": "broken &!-", ".two words": "two words",
		".&AC4-.x": "./x", ".Lists^go": "Lists^go", ".deep.deeper.deepest": "deep/deeper/deepest", ".%&~": "%&~", "..": "",
		".trailing.": "", ".a..b": "", ".with\x01control": "", ".with\xffoctets": "", ".&AC8-": "&AC8-", ".Inbox": "", ".CON": "CON", ".aux.nul": "aux/nul",
	}
	if runtime.GOOS == "windows" {
		for folder := range folders {
			if strings.ContainsAny(folder, "\x01%") || strings.HasSuffix(folder, ".") {
				delete(folders, folder)
			}
		}
	}
	want := []string{mailbox.Inbox}
	var made []string
	for folder, name := range folders {
		if folder != ".." {
			made = append(made, folder)
		}
		if name != "" {
			want = append(want, name)
		}
	}
	dir := foreign(t, m.Root, made...)
	for folder, name := range folders {
		if name != "" {
			put(t, filepath.Join(dir, folder, "cur", "1700000000.M1P1.host:2,"), folder)
		}
	}
	require.Subset(t, namesOf(t, m), want)
	for _, info := range listOf(t, m) {
		if !info.NoSelect {
			require.Contains(t, want, info.Name)
		}
	}
	s := mustStore(t, m).(mailbox.Organizer)
	for folder, name := range folders {
		if name != "" {
			require.Equal(t, folder, text(t, open(t, m, name), 1))
		}
	}
	require.ErrorIs(t, s.Create(t.Context(), "Entwürfe #2", ""), mailbox.ErrExists)
	require.NoError(t, s.Rename(t.Context(), "Entwürfe #2", "Andere"))
	require.Equal(t, ".Entwürfe", text(t, open(t, m, "Andere"), 1))
	require.NoError(t, s.Delete(t.Context(), "broken &!-"))
	require.NoDirExists(t, filepath.Join(dir, ".broken &!-"))
}

// No name leads out of the account, and one that no folder can have is refused before anything is made.
func TestNamesThatAreRefused(t *testing.T) {
	t.Parallel()
	m := bare(t)
	s := mustStore(t, m).(mailbox.Organizer)
	dir := filepath.Join(m.Root, "example.com", "ann")
	before := fileNames(t, m.Root)
	for _, name := range []string{
		"", "/", "a//b", "/etc", "a/", "a\x00b", "a\nb", "\x7f", "a\xffb", strings.Repeat("x", 255), strings.Repeat("ü", 96), strings.Repeat("a/", 49) + strings.Repeat("b", 200),
	} {
		for what, err := range map[string]error{
			"create": s.Create(t.Context(), name, ""), "rename": s.Rename(t.Context(), mailbox.Inbox, name),
			"delete": s.Delete(t.Context(), name), "open": func() error { _, err := mustStore(t, m).Open(t.Context(), name); return err }(),
		} {
			require.Error(t, err, "%s %q", what, name)
			if what == "create" || what == "rename" {
				require.ErrorIs(t, err, mailbox.ErrName, "%s %.20q", what, name)
			}
		}
	}
	require.Equal(t, before, fileNames(t, m.Root))
	for _, name := range []string{"..", "../..", ".", "~", "~root/x", "cur", "new/tmp", `..\..`, "C:", "con", "nul.txt", "mailbricks-index", "dovecot-uidlist", strings.Repeat("x", 254)} {
		require.NoError(t, s.Create(t.Context(), name, ""), name)
		require.EqualValues(t, 1, appendTo(t, open(t, m, name), "in "+name+"\r\n"), name)
	}
	entries, err := os.ReadDir(filepath.Dir(dir))
	require.NoError(t, err)
	require.Len(t, entries, 1, "all is in the account")
	require.NoError(t, m.Close())
	m2 := newMaildir(t, m.Root, 0)
	require.Equal(t, "in ../..\r\n", text(t, open(t, m2, "../.."), 1))
}

// A link that the administrator has made to a mailbox elsewhere is a mailbox. To delete it removes the link only.
func TestLinkedFolders(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("symbolic links need a privilege here")
	}
	m := bare(t)
	shared := newMaildir(t, t.TempDir(), 0)
	appendTo(t, open(t, shared, mailbox.Inbox), "shared\r\n")
	elsewhere := filepath.Join(shared.Root, "example.com", "ann")
	dir := foreign(t, m.Root, ".Own")
	for link, to := range map[string]string{".Shared": elsewhere, ".Again": filepath.Join(dir, ".Own"), ".Loop": dir, ".Dangling": "/nowhere", ".File": "/etc/hostname"} {
		require.NoError(t, os.Symlink(to, filepath.Join(dir, link)))
	}
	require.Equal(t, []string{mailbox.Inbox, "Own", "Shared"}, namesOf(t, m))
	b := open(t, m, "Shared")
	require.Equal(t, "shared\r\n", text(t, b, 1))
	require.EqualValues(t, 2, appendTo(t, b, "from here\r\n"))
	require.Equal(t, "from here\r\n", text(t, open(t, shared, mailbox.Inbox), 2))
	require.EqualValues(t, 3, usageOf(t, m)[1], "with the one in INBOX")
	require.NoError(t, b.Close())
	s := mustStore(t, m).(mailbox.Organizer)
	require.NoError(t, s.Rename(t.Context(), "Shared", "Other"))
	require.Equal(t, "shared\r\n", text(t, open(t, m, "Other"), 1))
	require.NoError(t, s.Delete(t.Context(), "Other"))
	require.Equal(t, []string{mailbox.Inbox, "Own"}, namesOf(t, m))
	require.Len(t, uidsOf(t, open(t, shared, mailbox.Inbox)), 2, "nothing was deleted elsewhere")

	// So may be the account, and cur.
	m3 := bare(t)
	require.NoError(t, os.MkdirAll(filepath.Join(m3.Root, "example.com"), 0o700))
	require.NoError(t, os.Symlink(elsewhere, filepath.Join(m3.Root, "example.com", "ann")))
	require.Len(t, uidsOf(t, open(t, m3, mailbox.Inbox)), 2)
}

// Files with names of any length come in, and can get flags.
func TestLongNames(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no such file names here")
	}
	m := bare(t)
	dir := foreign(t, m.Root)
	long := func(sub string, n int, tail string) {
		name := fmt.Sprintf("%d.M1P1.", n)
		name += strings.Repeat("h", 255-len(name)-len(tail)) + tail
		require.Len(t, name, 255)
		put(t, filepath.Join(dir, sub, name), lfOnly)
	}
	long("new", 1791000001, "")
	long("cur", 1791000002, "")
	long("cur", 1791000003, ":2,S")
	long("cur", 1791000004, ",S=21,W=28:2,F")
	b := open(t, m, mailbox.Inbox)
	for range 2 {
		uids := uidsOf(t, b)
		require.Equal(t, []mailbox.UID{1, 2, 3, 4, 5}, uids)
		for _, uid := range uids {
			require.EqualValues(t, 28, one(t, b, uid).Size)
		}
		_, err := b.SetFlags(t.Context(), uids, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Answered, "kw"}})
		require.NoError(t, err)
		require.ElementsMatch(t, []mailbox.Flag{mailbox.Answered, mailbox.Seen, "kw"}, one(t, b, 4).Flags)
		require.NoError(t, m.Close())
		m = newMaildir(t, m.Root, 0)
		b = open(t, m, mailbox.Inbox)
	}
}

// Names of files as they are found, with what they mean.
func TestOddNames(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no such file names here")
	}
	m := bare(t)
	dir := foreignThree(t, m, "", "0 first\n")
	for name, content := range map[string]string{
		"1800000001.with space:2,S": "a\n", "1800000002.odd:2,SFR": "a\n", "1800000003.unknown:2,SXZ9": "a\n",
		"1800000004.double:2,SS": "a\n", "1800000005.other:1,S": "a\n", "1800000006.none:2,": "a\r\nb\nc\r\n\r", "1800000007": "",
		"1800000008.lies,S=4,W=400:2,": "a\nb\n", "1800000009.lies,S=4,W=3:2,": "a\nb\n", "1800000010.lies,S=4,W=5:2,": "a\nb\n",
		"1800000011.lies,S=1,W=2:2,": "a\nb\n", "1800000012.lies,W=9999999999999999999,S=x:2,": "a\nb\n",
	} {
		put(t, filepath.Join(dir, "cur", name), content)
	}
	b := open(t, m, mailbox.Inbox)
	flags := func(uid mailbox.UID) []mailbox.Flag { return one(t, b, uid).Flags }
	uids := uidsOf(t, b)
	require.Len(t, uids, 15)
	require.Equal(t, []mailbox.Flag{mailbox.Seen}, flags(4))
	require.ElementsMatch(t, []mailbox.Flag{mailbox.Seen, mailbox.Flagged, mailbox.Answered}, flags(5))
	require.Equal(t, []mailbox.Flag{mailbox.Seen}, flags(6))
	require.Equal(t, []mailbox.Flag{mailbox.Seen}, flags(7))
	require.Empty(t, flags(8))
	require.Equal(t, "a\r\nb\r\nc\r\n\r", text(t, b, 9))
	require.EqualValues(t, 10, one(t, b, 9).Size)
	require.EqualValues(t, 0, one(t, b, 10).Size)
	for _, uid := range []mailbox.UID{11, 12, 14, 15} {
		require.EqualValues(t, 6, one(t, b, uid).Size, "UID %d", uid)
	}
	require.EqualValues(t, 5, one(t, b, 13).Size, "a lie that nobody can see")
	require.Equal(t, "a\r\nb\r\n", text(t, b, 13))
	require.EqualValues(t, 6, one(t, b, 13).Size, "until it is read")
	require.NoError(t, m.Close())
	b = open(t, newMaildir(t, m.Root, 0), mailbox.Inbox)
	require.EqualValues(t, 6, one(t, b, 13).Size, "for good")
}
