package maildir_test

import (
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// stuck is a file system on which a file with this in its name cannot be renamed in its folder.
type stuck struct {
	unsynced
	part string
}

func (s *stuck) Rename(from, to string) error {
	if strings.Contains(from, s.part) {
		return &fs.PathError{Op: "rename", Path: from, Err: syscall.EIO}
	}
	return s.unsynced.Rename(from, to)
}

// TestFlagsOfOneCannotBeSet has the file of one message of three that cannot be renamed: the others get their flags, and the
// error is told.
func TestFlagsOfOneCannotBeSet(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir := foreign(t, root)
	put(t, dir+"/new/1791000001.M1P1.z", "x\r\n")
	put(t, dir+"/new/1791000002.M1P1.z", "x\r\n")
	m := newMaildir(t, root, 0)
	maildir.SetFS(m, &stuck{unsynced{durable.OS()}, "/new/1791000001."})
	b := open(t, m, mailbox.Inbox)
	uids := uidsOf(t, b)
	require.Equal(t, []mailbox.UID{1, 2, 3}, uids)
	before, err := b.Status(t.Context())
	require.NoError(t, err)
	_, err = b.SetFlags(t.Context(), uids, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen}})
	require.ErrorIs(t, err, syscall.EIO)
	changes, err := b.Changes(t.Context(), before.ModSeq)
	require.NoError(t, err)
	require.Len(t, changes.Changed, 2)
	next := open(t, newMaildir(t, root, 0), mailbox.Inbox)
	for i, uid := range uids {
		for _, box := range []mailbox.Mailbox{b, next} {
			require.Equal(t, i != 1, mailbox.HasFlag(one(t, box, uid).Flags, mailbox.Seen), "UID %d", uid)
		}
	}
}
