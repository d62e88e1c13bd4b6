package maildir_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// idsOf lists the ids of ann's mailboxes, which are those that the mailboxes give of themselves.
func idsOf(t *testing.T, m *maildir.Maildir) map[string]string {
	t.Helper()
	s := mustStore(t, m)
	infos, err := s.List(t.Context())
	require.NoError(t, err)
	out, seen := map[string]string{}, map[string]string{}
	for _, info := range infos {
		if info.NoSelect || info.NonExistent {
			require.Empty(t, info.ID)
			continue
		}
		require.True(t, mailbox.ValidID(info.ID), "%s: %q", info.Name, info.ID)
		require.Empty(t, seen[info.ID], "%s has the id of %s", info.Name, seen[info.ID])
		out[info.Name], seen[info.ID] = info.ID, info.Name
		b, err := s.Open(t.Context(), info.Name)
		require.NoError(t, err)
		st, err := b.Status(t.Context())
		require.NoError(t, err)
		require.Equal(t, info.ID, st.ID, info.Name)
		require.NoError(t, b.Close())
	}
	return out
}

// copyDir is cp -a.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	require.NoError(t, os.CopyFS(to, os.DirFS(from)))
	require.NoError(t, filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := d.Info()
		require.NoError(t, err)
		rel, err := filepath.Rel(from, path)
		require.NoError(t, err)
		return os.Chtimes(filepath.Join(to, rel), info.ModTime(), info.ModTime())
	}))
}

// The id of a mailbox is the GUID of Dovecot's uidlist, and stays through restarts and renames.
func TestIDs(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	dir := foreign(t, m.Root, ".Sent", ".Old", ".One")
	guid := strings.Repeat("0123abcd", 4)
	put(t, filepath.Join(dir, ".Sent", "dovecot-uidlist"), "3 V1791000000 N7 G"+guid+" X9\n")
	put(t, filepath.Join(dir, ".Old", "dovecot-uidlist"), "3 V1791000000 N7\n")
	put(t, filepath.Join(dir, ".One", "dovecot-uidlist"), "1 1791000000 7\n")
	before := idsOf(t, m)
	require.Equal(t, guid, before["Sent"])
	require.Len(t, before, 8)
	require.NoError(t, m.Close())
	m = newMaildir(t, m.Root, 0)
	require.Equal(t, before, idsOf(t, m))
	data, err := os.ReadFile(filepath.Join(dir, ".Old", "dovecot-uidlist"))
	require.NoError(t, err)
	require.Regexp(t, regexp.MustCompile(`^3 V1791000000 N7 G`+before["Old"]), string(data))

	o := mustStore(t, m).(mailbox.Organizer)
	require.NoError(t, o.Rename(t.Context(), "Sent", "Out/Sent"))
	require.NoError(t, o.Create(t.Context(), "Sent", ""))
	after := idsOf(t, m)
	require.Equal(t, before["Sent"], after["Out/Sent"])
	require.NotEqual(t, before["Sent"], after["Sent"])
	require.NoError(t, o.Delete(t.Context(), "Sent"))
	require.NoError(t, o.Create(t.Context(), "Sent", ""))
	require.NotEqual(t, after["Sent"], idsOf(t, m)["Sent"], "another mailbox")
	require.NoError(t, o.Rename(t.Context(), "INBOX", "All of it"))
	require.Equal(t, before["INBOX"], idsOf(t, m)["INBOX"])
}

// A folder that somebody copied gets an id of its own, and the first one keeps its, whichever is asked for first; one that
// another program renamed keeps its id.
func TestIDOfACopy(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"Archive", "A copy", ""} {
		m := newMaildir(t, t.TempDir(), 0)
		dir := filepath.Join(m.Root, "example.com", "ann")
		appendTo(t, open(t, m, "Archive"), "one\r\n")
		before := idsOf(t, m)
		copyDir(t, filepath.Join(dir, ".Archive"), filepath.Join(dir, ".A copy"))
		if first != "" {
			m = newMaildir(t, m.Root, 0) // while the other one runs
			st, err := open(t, m, first).Status(t.Context())
			require.NoError(t, err)
			require.Equal(t, first == "Archive", st.ID == before["Archive"])
		}
		after := idsOf(t, m)
		require.Equal(t, before["Archive"], after["Archive"])
		require.NotEqual(t, before["Archive"], after["A copy"])
		require.Equal(t, "one\r\n", text(t, open(t, m, "A copy"), 1), "and nothing else changes")

		require.NoError(t, os.Rename(filepath.Join(dir, ".Archive"), filepath.Join(dir, ".Archive.2024")))
		copyDir(t, filepath.Join(dir, ".A copy"), filepath.Join(dir, ".A copy 2"))
		require.NoError(t, os.RemoveAll(filepath.Join(dir, ".A copy")))
		again := idsOf(t, m)
		require.Equal(t, before["Archive"], again["Archive/2024"])
		require.Equal(t, after["A copy"], again["A copy 2"])
	}
}

// An open mailbox goes on when its id has to change.
func TestIDChangesUnderneath(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	dir := filepath.Join(m.Root, "example.com", "ann")
	b := open(t, m, "Archive")
	appendTo(t, b, "one\r\n", "Kw", mailbox.Seen)
	before := idsOf(t, m)
	other, err := os.ReadFile(filepath.Join(dir, ".Trash", "dovecot-uidlist"))
	require.NoError(t, err)
	guid := regexp.MustCompile(`G\w+`)
	path := filepath.Join(dir, ".Archive", "dovecot-uidlist")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, guid.ReplaceAll(data, guid.Find(other)), 0o600))
	after := idsOf(t, m)
	require.Equal(t, before["Trash"], after["Trash"])
	require.NotEqual(t, before["Trash"], after["Archive"])
	uid := appendTo(t, b, "two\r\n")
	require.EqualValues(t, 2, uid)
	require.Equal(t, []mailbox.UID{1, 2}, uidsOf(t, b))
	require.ElementsMatch(t, []mailbox.Flag{"Kw", mailbox.Seen}, one(t, b, 1).Flags)
}

func TestDamagedIDFile(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	before := idsOf(t, m)
	path := filepath.Join(m.Root, "example.com", "ann", "mailbricks-ids")
	for _, data := range []string{"", "\x00\xff\n\n", "mailbricks-ids 1\nbad! .x\nabc ../../etc\nabc\n" + before["Trash"] + " .Archive\n"} {
		require.NoError(t, m.Close())
		require.NoError(t, os.WriteFile(path, []byte(data), 0o600))
		m = newMaildir(t, m.Root, 0)
		require.Equal(t, before, idsOf(t, m), "%q", data)
	}
	require.NoError(t, m.Close())
	require.NoError(t, os.WriteFile(path, []byte("mailbricks-ids 2\n"), 0o600))
	m = newMaildir(t, m.Root, 0)
	for _, info := range must(mustStore(t, m).List(t.Context())) {
		require.Empty(t, info.ID, "a newer file is left as it is, and nothing told that may be wrong")
	}
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "mailbricks-ids 2\n", string(data))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
