package maildir_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// sick is a file system on which what has this in its path cannot be used.
type sick struct {
	unsynced
	part string
	err  error
}

func (s *sick) ill(name string) error {
	if s.err != nil && strings.Contains(name, s.part) {
		return &fs.PathError{Op: "open", Path: name, Err: s.err}
	}
	return nil
}

func (s *sick) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	if err := s.ill(name); err != nil {
		return nil, err
	}
	return s.unsynced.OpenFile(name, flag, perm)
}

func (s *sick) ReadNames(name string) ([]string, error) {
	if err := s.ill(name + "/"); err != nil {
		return nil, err
	}
	return s.unsynced.ReadNames(name)
}

func (s *sick) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := s.ill(name + "/"); err != nil {
		return nil, err
	}
	return s.unsynced.ReadDir(name)
}

// Whatever cannot be read for now is a failure for now, and all is as before when it can be read again.
func TestUnreadableIsTemporary(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"/dovecot-uidlist", "/dovecot-keywords", "/mailbricks-index", "/cur/", "/new/", "/subscriptions", "/mailbricks-special-use"} {
		for _, cause := range []error{syscall.EIO, syscall.EACCES, syscall.EMFILE} {
			t.Run(strings.Trim(part, "/")+" "+cause.Error(), func(t *testing.T) {
				t.Parallel()
				files := &sick{unsynced: unsynced{durable.OS()}, part: filepath.FromSlash(part)}
				m := newMaildir(t, t.TempDir(), 0)
				maildir.SetFS(m, files)
				b, _ := fiveMessages(t, m)
				_, err := b.SetFlags(t.Context(), []mailbox.UID{2}, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen, "Kw"}})
				require.NoError(t, err)
				before, err := b.Status(t.Context())
				require.NoError(t, err)
				infos := listOf(t, m)
				dir := filepath.Join(m.Root, "example.com", "ann")
				require.NoError(t, m.Close())
				names := fileNames(t, dir)

				again := newMaildir(t, m.Root, 0)
				files.err = cause
				maildir.SetFS(again, files)
				failed := func(err error) bool {
					if err == nil {
						return false
					}
					require.ErrorIs(t, err, cause)
					for _, final := range []error{mailbricks.ErrAuth, mailbox.ErrNoMailbox, mailbox.ErrExpunged, mailbox.ErrQuota} {
						require.NotErrorIs(t, err, final)
					}
					return true
				}
				trouble := 0
				if s, err := again.Store(t.Context(), mailbricks.Identity{User: ann}); failed(err) {
					trouble++
				} else {
					if box, err := s.Open(t.Context(), mailbox.Inbox); failed(err) {
						trouble++
					} else {
						require.NoError(t, box.Close())
					}
					if _, err := s.List(t.Context()); failed(err) {
						trouble++
					}
					require.NoError(t, s.Close())
				}
				require.NotZero(t, trouble, "it was not needed")
				require.NoError(t, again.Close())
				require.Equal(t, names, fileNames(t, dir), "nothing was changed")

				files.err = nil
				m = newMaildir(t, m.Root, 0)
				b = open(t, m, mailbox.Inbox)
				after, err := b.Status(t.Context())
				require.NoError(t, err)
				require.Equal(t, before, after)
				require.Equal(t, infos, listOf(t, m))
				require.ElementsMatch(t, []mailbox.Flag{mailbox.Seen, "Kw"}, one(t, b, 2).Flags)
			})
		}
	}
}

// full is a file system without any room: nothing can be made or written, but what is there can be read and removed.
type full struct{ unsynced }

func (f full) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	if flag&os.O_CREATE != 0 {
		if _, err := f.Lstat(name); err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOSPC}
		}
	}
	file, err := f.unsynced.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return fullFile{file}, nil
}

func (f full) Mkdir(name string, perm fs.FileMode) error {
	if err := f.unsynced.Mkdir(name, perm); err == nil {
		_ = f.Remove(name)
		return &fs.PathError{Op: "mkdir", Path: name, Err: syscall.ENOSPC}
	} else {
		return err
	}
}

type fullFile struct{ durable.File }

func (fullFile) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// On a full disk a mailbox that was never opened is refused for now: the UIDs of its messages must be on disk before anyone
// hears of them. One that was opened before can be read.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	b, dir := fiveMessages(t, m)
	require.Len(t, uidsOf(t, b), 5)
	never := filepath.Join(dir, ".Never")
	for _, sub := range []string{"tmp", "new", "cur"} {
		require.NoError(t, os.MkdirAll(filepath.Join(never, sub), 0o700))
	}
	put(t, filepath.Join(never, "cur", "1700000000.M1P1.host:2,S"), "never seen\n")
	require.NoError(t, m.Close())
	names := fileNames(t, never)

	m = newMaildir(t, m.Root, 0)
	maildir.SetFS(m, full{unsynced{durable.OS()}})
	s := mustStore(t, m)
	_, err := s.Open(t.Context(), "Never")
	require.True(t, durable.IsDiskFull(err), "%v", err)
	require.NotErrorIs(t, err, mailbox.ErrNoMailbox)
	require.Equal(t, names, fileNames(t, never))
	b = open(t, m, mailbox.Inbox)
	require.Equal(t, "message 3\r\n", text(t, b, 4))
	_, err = b.Append(t.Context(), strings.NewReader("x"), mailbox.AppendOptions{Size: 1})
	require.True(t, durable.IsDiskFull(err), "%v", err)
	env := &mailbricks.Envelope{Recipients: []mailbricks.Recipient{{Address: ann}}}
	err = m.Handle(t.Context(), env, mailbricks.NewMessage([]byte("x")))
	require.Equal(t, 452, mailbricks.ReplyTo(mailbricks.ResultsOf(err, 1)[0]).Code)
	require.NoError(t, m.Close())

	m = newMaildir(t, m.Root, 0)
	require.Equal(t, "never seen\r\n", text(t, open(t, m, "Never"), 1))
	require.Equal(t, []mailbox.UID{1, 2, 3, 4, 5}, uidsOf(t, open(t, m, mailbox.Inbox)))
}
