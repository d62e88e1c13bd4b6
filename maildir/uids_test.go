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

// TestEndOfModSeqs opens mailboxes whose modseqs are too large to be: what is told never goes back under one UIDVALIDITY.
func TestEndOfModSeqs(t *testing.T) {
	t.Parallel()
	const index = "mailbricks-index 2 V5 B1\n"
	for i, files := range [][2]string{
		{"3 V5 N3 G0123 M4611686018427387904\n"},
		{"3 V5 N3 G0123 M18014398509481984\n"},
		{"3 V5 N3 G0123 M9007199254740992\n"},
		{"3 V5 N3 G0123\n1 M4611686018427387904 :1791000000.M1P1.z\n", index},
		{"3 V5 N3 G0123\n", index + "m 9007199254740993\n"},
		{"3 V5 N3 G0123\n", index + "m 18014398509481985\n"},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			dir := foreign(t, root)
			put(t, filepath.Join(dir, "dovecot-uidlist"), files[0])
			if files[1] != "" {
				put(t, filepath.Join(dir, "mailbricks-index"), files[1])
			}
			var last mailbox.Status
			for range 3 {
				m := newMaildir(t, root, 0)
				m.Linger = -1
				b := open(t, m, mailbox.Inbox)
				appendTo(t, b, "x\r\n")
				status, err := b.Status(t.Context())
				require.NoError(t, err)
				require.NoError(t, b.Close())
				if last.UIDValidity != 0 {
					require.Equal(t, last.UIDValidity, status.UIDValidity)
					require.Greater(t, status.ModSeq, last.ModSeq)
				}
				require.LessOrEqual(t, uint64(status.ModSeq), uint64(1)<<53)
				last = status
			}
			list, err := os.ReadFile(filepath.Join(dir, "dovecot-uidlist"))
			require.NoError(t, err)
			require.NotContains(t, string(list), "M4611686018427387904")
			require.NotContains(t, string(list), "M18014398509481984")
		})
	}
}

// TestRecentBeyondAll has a damaged index say that all messages that can come are known to a session.
func TestRecentBeyondAll(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir := foreign(t, root)
	put(t, filepath.Join(dir, "dovecot-uidlist"), "3 V5 N2 G0123\n1 M1 :1791000000.M1P1.z\n")
	put(t, filepath.Join(dir, "mailbricks-index"), "mailbricks-index 2 V5 B1\nr 4294967295\nm 9\n")
	require.NoError(t, open(t, newMaildir(t, root, 0), mailbox.Inbox).Close())
	m := newMaildir(t, root, 0)
	deliver(t, m, "Subject: new\r\n\r\n")
	status, err := open(t, m, mailbox.Inbox).Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, status.Messages)
	require.Equal(t, 1, status.Recent)
}
