package maildir_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
)

// TestEndOfUIDs opens mailboxes whose UIDs are at their end, by right or because a file is damaged: they get new ones, under
// another UIDVALIDITY.
func TestEndOfUIDs(t *testing.T) {
	t.Parallel()
	const head = "3 V5 N3 G0123\n"
	for i, files := range [][2]string{
		{"3 V5 N4294967295 G0123\n"},
		{"3 V5 N4294967294 G0123\n1 :gone\n"},
		{"3 V5 N4290000000 G0123\n"},
		{head + "4294967294 :gone\n"},
		{head + "4294967295 :gone\n"},
		{"3 V5 N4278190000 G0123\n", "mailbricks-index 2 V5 B1\nr 4278190081\n"},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			dir := foreign(t, t.TempDir())
			put(t, filepath.Join(dir, "dovecot-uidlist"), files[0])
			if files[1] != "" {
				put(t, filepath.Join(dir, "mailbricks-index"), files[1])
			}
			root := filepath.Dir(filepath.Dir(dir))
			m := newMaildir(t, root, 0)
			deliver(t, m, "Subject: two\r\n\r\n")
			b := open(t, m, mailbox.Inbox)
			require.Equal(t, []mailbox.UID{1, 2}, uidsOf(t, b))
			status, err := b.Status(t.Context())
			require.NoError(t, err)
			require.Greater(t, status.UIDValidity, uint32(5))
			again, err := open(t, newMaildir(t, root, 0), mailbox.Inbox).Status(t.Context())
			require.NoError(t, err)
			require.Equal(t, status.UIDValidity, again.UIDValidity)
		})
	}
}

// TestEndOfUIDsWhileOpen reaches the end in a session: that one ends, and the next has new UIDs.
func TestEndOfUIDsWhileOpen(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	s, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
	require.NoError(t, err)
	defer s.Close()
	b, err := s.Open(t.Context(), mailbox.Inbox)
	require.NoError(t, err)
	defer b.Close()
	dir := filepath.Join(m.Root, "example.com", "ann")
	appendTo(t, b, "first\r\n")
	list, err := os.ReadFile(filepath.Join(dir, "dovecot-uidlist"))
	require.NoError(t, err)
	before, err := b.Status(t.Context())
	require.NoError(t, err)
	put(t, filepath.Join(dir, "cur", "1700000001.M1P1.host:2,"), "Subject: other\r\n\r\n")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "dovecot-uidlist"), append(list, "4294967294 :1700000001.M1P1.host\n"...), 0o600))
	_, _, err = b.UIDs(t.Context())
	require.ErrorIs(t, err, mailbox.ErrNoMailbox)
	next := open(t, m, mailbox.Inbox)
	require.Len(t, uidsOf(t, next), 2)
	after, err := next.Status(t.Context())
	require.NoError(t, err)
	require.Greater(t, after.UIDValidity, before.UIDValidity)
}

// TestUIDsThatNobodyWasTold has an index tell of messages that went and cannot have been there.
func TestUIDsThatNobodyWasTold(t *testing.T) {
	t.Parallel()
	dir := foreign(t, t.TempDir())
	put(t, filepath.Join(dir, "dovecot-uidlist"), "3 V5 N3 G0123\n1 :gone\n2 :1791000000.M1P1.z\n")
	put(t, filepath.Join(dir, "mailbricks-index"), "mailbricks-index 2 V5 B1\nv 2 1\nv 3 50000000-50000010\nm 9\n")
	b := open(t, newMaildir(t, filepath.Dir(filepath.Dir(dir)), 0), mailbox.Inbox)
	require.Equal(t, []mailbox.UID{2}, uidsOf(t, b))
	changes, err := b.Changes(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, []mailbox.UID{1}, changes.Expunged)
}
