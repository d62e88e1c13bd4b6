package maildir_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// staging is a file layer that calls staged, once, when a message in tmp has got its date, or its second name.
type staging struct {
	durable.FS
	staged func()
}

func (s *staging) call(name string) {
	if filepath.Base(filepath.Dir(name)) == "tmp" && s.staged != nil {
		staged := s.staged
		s.staged = nil
		staged()
	}
}

func (s *staging) Chtimes(name string, at time.Time) error {
	defer s.call(name)
	return s.FS.Chtimes(name, at)
}

func (s *staging) Link(from, to string) error {
	defer s.call(to)
	return s.FS.Link(from, to)
}

// TestOldMessageInTmp has another process open the mailbox while a message with an old date is on its way.
func TestOldMessageInTmp(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	files := &staging{FS: unsynced{durable.OS()}}
	maildir.SetFS(m, files)
	b := open(t, m, mailbox.Inbox)
	another := func() { require.NoError(t, open(t, newMaildir(t, m.Root, 0), mailbox.Inbox).Close()) }

	files.staged = another
	old := time.Now().AddDate(-1, 0, 0)
	uid, err := b.Append(t.Context(), strings.NewReader("x\r\n"), mailbox.AppendOptions{Size: 3, InternalDate: old})
	require.NoError(t, err)
	require.Nil(t, files.staged)
	files.staged = another
	copied, err := b.(mailbox.Copier).Copy(t.Context(), []mailbox.UID{uid}, mailbox.Inbox)
	require.NoError(t, err)
	require.Nil(t, files.staged)
	require.Len(t, copied.Dest, 1)
	require.Equal(t, old.Unix(), one(t, b, copied.Dest[0]).InternalDate.Unix())
}

// TestOldFilesInTmp are removed when a mailbox is opened, and those that may be in use are not.
func TestOldFilesInTmp(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	require.NoError(t, open(t, m, mailbox.Inbox).Close())
	tmp := filepath.Join(m.Root, "example.com", "ann", "tmp")
	require.NoError(t, m.Close())
	now := time.Now()
	files := map[string]time.Time{
		"1700000000.M1P1.host": now.Add(-37 * time.Hour), // the only ones that go
		"unnamed":              now.Add(-37 * time.Hour),
		"99999999999.M1P1.h":   now.Add(-37 * time.Hour),
		"1700000001.M1P1.host": now.Add(-35 * time.Hour),
		"new":                  now,
	}
	for name, at := range files {
		put(t, filepath.Join(tmp, name), "x")
		require.NoError(t, os.Chtimes(filepath.Join(tmp, name), at, at))
	}
	require.NoError(t, open(t, newMaildir(t, m.Root, 0), mailbox.Inbox).Close())
	left, err := durable.OS().ReadNames(tmp)
	require.NoError(t, err)
	require.Len(t, left, 2)
	require.NotContains(t, left, "unnamed")
	require.NotContains(t, left, "1700000000.M1P1.host")
	require.NotContains(t, left, "99999999999.M1P1.h")
}
