package maildir_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// fiveMessages makes the account of ann with five messages.
func fiveMessages(t *testing.T, m *maildir.Maildir) (b mailbox.Mailbox, dir string) {
	t.Helper()
	b = open(t, m, mailbox.Inbox)
	for n := range 5 {
		appendTo(t, b, fmt.Sprintf("message %d\r\n", n))
	}
	dir = filepath.Join(m.Root, "example.com", "ann")
	later(t, dir)
	uidsOf(t, b)
	return b, dir
}

// forgetLine removes a message as Dovecot does that writes its list anew: the file and the line are gone.
func forgetLine(t *testing.T, dir string, uid int) {
	t.Helper()
	path, err := maildir.FileOf(dir, uint32(uid))
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	list := filepath.Join(dir, "dovecot-uidlist")
	data, err := os.ReadFile(list)
	require.NoError(t, err)
	line := regexp.MustCompile(fmt.Sprintf(`(?m)^%d .*\n`, uid))
	require.Regexp(t, line, string(data))
	require.NoError(t, os.WriteFile(list+".tmp", line.ReplaceAll(data, nil), 0o600))
	require.NoError(t, os.Rename(list+".tmp", list))
}

// Who has a mailbox open hears of messages that another program has taken off the list.
func TestLinesThatGoUnderASession(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	b, dir := fiveMessages(t, m)
	_, seq, err := b.UIDs(t.Context())
	require.NoError(t, err)
	forgetLine(t, dir, 2)
	forgetLine(t, dir, 5)
	c, err := b.Changes(t.Context(), seq)
	require.NoError(t, err)
	require.Equal(t, []mailbox.UID{2, 5}, c.Expunged)
	require.Empty(t, c.Changed)
	require.EqualValues(t, 6, appendTo(t, b, "six\r\n"), "UID 5 has had its meaning")
	require.Equal(t, []mailbox.UID{1, 3, 4, 6}, uidsOf(t, b))
	require.NoError(t, m.Close())
	b = open(t, newMaildir(t, m.Root, 0), mailbox.Inbox)
	require.Equal(t, []mailbox.UID{1, 3, 4, 6}, uidsOf(t, b))
	c, err = b.Changes(t.Context(), seq)
	require.NoError(t, err)
	require.Equal(t, []mailbox.UID{2, 5}, c.Expunged)
}

// Who was away while another program took messages off the list hears of it, or is told to look at everything.
func TestLinesThatGoWhileNobodyLooks(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]func(t *testing.T, b mailbox.Mailbox){
		"all was settled": func(*testing.T, mailbox.Mailbox) {},
		"with flags": func(t *testing.T, b mailbox.Mailbox) {
			_, err := b.SetFlags(t.Context(), []mailbox.UID{2, 3}, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen}})
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMaildir(t, t.TempDir(), 0)
			b, dir := fiveMessages(t, m)
			last(t, b)
			_, seq, err := b.UIDs(t.Context())
			require.NoError(t, err)
			require.NoError(t, m.Close())
			forgetLine(t, dir, 2)
			b = open(t, newMaildir(t, m.Root, 0), mailbox.Inbox)
			require.Equal(t, []mailbox.UID{1, 3, 4, 5}, uidsOf(t, b))
			_, err = b.Changes(t.Context(), seq)
			require.ErrorIs(t, err, mailbox.ErrTooOld)
			_, now, err := b.UIDs(t.Context())
			require.NoError(t, err)
			require.Greater(t, now, seq)
		})
	}
}

// keep copies the files of a folder, times and all, and gives what puts them back: with what rsync -a --delete does, or only
// what one of the names in only has.
func keep(t *testing.T, dir string) (back func(only ...string)) {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copy")
	mirror(t, dir, copied)
	return func(only ...string) {
		if len(only) == 0 {
			mirror(t, copied, dir)
		}
		for _, name := range only {
			data, err := os.ReadFile(filepath.Join(copied, name))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, name+".tmp"), data, 0o600))
			require.NoError(t, os.Rename(filepath.Join(dir, name+".tmp"), filepath.Join(dir, name)))
		}
	}
}

// mirror makes to what from is, as rsync -a --delete does: files come with their times under a new inode, those that are not
// in from go, and the folders get the times that they have in from.
func mirror(t *testing.T, from, to string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(to, 0o700))
	entries, err := os.ReadDir(from)
	require.NoError(t, err)
	want := map[string]bool{}
	for _, e := range entries {
		want[e.Name()] = true
		source, target := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		if e.IsDir() {
			mirror(t, source, target)
			continue
		}
		info, err := e.Info()
		require.NoError(t, err)
		if have, err := os.Stat(target); err == nil && have.Size() == info.Size() && have.ModTime().Equal(info.ModTime()) {
			continue
		}
		data, err := os.ReadFile(source)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(target+".rsync", data, 0o600))
		require.NoError(t, os.Chtimes(target+".rsync", info.ModTime(), info.ModTime()))
		require.NoError(t, os.Rename(target+".rsync", target))
	}
	entries, err = os.ReadDir(to)
	require.NoError(t, err)
	for _, e := range entries {
		if !want[e.Name()] {
			require.NoError(t, os.RemoveAll(filepath.Join(to, e.Name())))
		}
	}
	info, err := os.Stat(from)
	require.NoError(t, err)
	require.NoError(t, os.Chtimes(to, info.ModTime(), info.ModTime()))
}

// An older copy of the account is put back under a session: no UID gets another meaning, and whoever asks hears of all that
// is not as it was.
func TestBackupIsPutBackUnderASession(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	b, dir := fiveMessages(t, m)
	back := keep(t, dir)
	_, err := b.SetFlags(t.Context(), []mailbox.UID{3}, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen, "Kw"}})
	require.NoError(t, err)
	_, err = b.Expunge(t.Context(), []mailbox.UID{1})
	require.NoError(t, err)
	require.EqualValues(t, 6, appendTo(t, b, "six\r\n"))
	require.EqualValues(t, 7, appendTo(t, b, "seven\r\n"))
	_, seq, err := b.UIDs(t.Context())
	require.NoError(t, err)
	st, err := b.Status(t.Context())
	require.NoError(t, err)

	back()
	require.Equal(t, []mailbox.UID{1, 2, 3, 4, 5}, uidsOf(t, b))
	require.Empty(t, one(t, b, 3).Flags)
	_, err = b.Changes(t.Context(), seq)
	require.ErrorIs(t, err, mailbox.ErrTooOld)
	after, err := b.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, st.UIDValidity, after.UIDValidity)
	require.Greater(t, after.ModSeq, st.ModSeq)
	require.EqualValues(t, 8, appendTo(t, b, "another\r\n"), "6 and 7 have had their meaning")
	require.NoError(t, m.Close())
	b = open(t, newMaildir(t, m.Root, 0), mailbox.Inbox)
	require.Equal(t, []mailbox.UID{1, 2, 3, 4, 5, 8}, uidsOf(t, b))
	require.Equal(t, "another\r\n", text(t, b, 8))
}

// Only the list comes back from a backup: the messages that it does not know get new UIDs.
func TestListOfBackup(t *testing.T) {
	t.Parallel()
	for _, open1 := range []bool{true, false} {
		t.Run(fmt.Sprintf("open %v", open1), func(t *testing.T) {
			t.Parallel()
			m := newMaildir(t, t.TempDir(), 0)
			b, dir := fiveMessages(t, m)
			back := keep(t, dir)
			appendTo(t, b, "six\r\n")
			appendTo(t, b, "seven\r\n")
			_, err := b.SetFlags(t.Context(), []mailbox.UID{6, 7}, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen}})
			require.NoError(t, err)
			_, seq, err := b.UIDs(t.Context())
			require.NoError(t, err)
			if !open1 {
				require.NoError(t, m.Close())
			}
			back("dovecot-uidlist")
			if !open1 {
				b = open(t, newMaildir(t, m.Root, 0), mailbox.Inbox)
			}
			require.Equal(t, []mailbox.UID{1, 2, 3, 4, 5, 8, 9}, uidsOf(t, b))
			require.Equal(t, "six\r\n", text(t, b, 8))
			require.Equal(t, "seven\r\n", text(t, b, 9))
			c, err := b.Changes(t.Context(), seq)
			if err == nil {
				require.Equal(t, []mailbox.UID{6, 7}, c.Expunged)
				require.Len(t, c.Changed, 2)
			} else {
				require.ErrorIs(t, err, mailbox.ErrTooOld)
			}
		})
	}
}

// A list in which UIDs have other meanings than they had a moment ago makes the mailbox another one.
func TestListThatContradicts(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	b, dir := fiveMessages(t, m)
	st, err := b.Status(t.Context())
	require.NoError(t, err)
	list := filepath.Join(dir, "dovecot-uidlist")
	data, err := os.ReadFile(list)
	require.NoError(t, err)
	data = regexp.MustCompile(`(?m)^3 (.*\n)4 (.*\n)`).ReplaceAll(data, []byte("3 ${2}4 $1"))
	require.NoError(t, os.WriteFile(list+".tmp", data, 0o600))
	require.NoError(t, os.Rename(list+".tmp", list))
	_, _, err = b.UIDs(t.Context())
	require.ErrorIs(t, err, mailbox.ErrNoMailbox)
	b = open(t, m, mailbox.Inbox)
	require.Len(t, uidsOf(t, b), 5)
	after, err := b.Status(t.Context())
	require.NoError(t, err)
	require.Greater(t, after.UIDValidity, st.UIDValidity)
}
