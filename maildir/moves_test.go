package maildir_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

const movesPath = "/mail/example.com/ann/mailbricks-moves"

func writeTo(t testing.TB, fsys *crashfs.FS, path, text string) {
	t.Helper()
	f, err := fsys.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	require.NoError(t, err)
	_, err = f.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// readFrom gives what is in a file; empty if there is none.
func readFrom(fsys *crashfs.FS, path string) string {
	for e := range fsys.Walk() {
		if e.Name == path {
			return string(e.Data)
		}
	}
	return ""
}

// Clients that move at the same time each have their messages moved, and share the list of them, which is empty in the end.
func TestMovesAtTheSameTime(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	m := newMaildir(t, root, 0)
	s := mustStoreOf(t, m)
	require.NoError(t, s.(mailbox.Organizer).Create(t.Context(), "Work", ""))
	inbox := mustOpen(t, s, "INBOX")
	const clients, each = 6, 5
	for i := range clients * each {
		storeText(t, inbox, fmt.Sprintf("Subject: %d\r\n\r\n", i))
	}
	var wg sync.WaitGroup
	errs := make([]error, clients)
	for client := range clients {
		wg.Go(func() {
			box, err := s.Open(t.Context(), "INBOX")
			for i := 0; i < each && err == nil; i++ {
				_, err = box.Move(t.Context(), []mailbox.UID{mailbox.UID(client*each + i + 1)}, "Work")
			}
			errs[client] = err
			_ = box.Close()
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Empty(t, uidsOf(t, inbox))
	require.NoError(t, inbox.Close())
	work := mustOpen(t, s, "Work")
	require.Len(t, uidsOf(t, work), clients*each)
	require.NoError(t, work.Close())
	info, err := os.Stat(filepath.Join(root, "example.com", "ann", "mailbricks-moves"))
	require.NoError(t, err)
	require.Zero(t, info.Size())
}

// doubleName has a message in INBOX and Work, and the list say that it is being moved.
func doubleName(t *testing.T) *crashfs.FS {
	t.Helper()
	fsys := crashfs.New()
	m := onFiles(fsys)
	s, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
	require.NoError(t, err)
	require.NoError(t, s.(mailbox.Organizer).Create(t.Context(), "Work", ""))
	box := mustOpen(t, s, "INBOX")
	storeText(t, box, "Subject: moved\r\n\r\n")
	_, err = box.Copy(t.Context(), []mailbox.UID{1}, "Work")
	require.NoError(t, err)
	require.NoError(t, box.Close())
	require.NoError(t, s.Close())
	require.NoError(t, m.Close())
	base := func(dir string) string {
		for e := range fsys.Walk() {
			if e.Under(dir) && !e.Dir {
				name, _, _ := strings.Cut(filepath.Base(e.Name), ":")
				return name
			}
		}
		t.Fatal("no message in " + dir)
		return ""
	}
	from, to := base("/mail/example.com/ann/cur"), base("/mail/example.com/ann/.Work/cur")
	writeTo(t, fsys, movesPath, maildir.FormatMoves([3]string{".", from, to})+"a line that was torn")
	return fsys
}

func countIn(t *testing.T, fsys *crashfs.FS, names ...string) (counts []int) {
	t.Helper()
	m := onFiles(fsys)
	s, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
	require.NoError(t, err)
	for _, name := range names {
		box := mustOpen(t, s, name)
		counts = append(counts, len(uidsOf(t, box)))
		require.NoError(t, box.Close())
	}
	require.NoError(t, s.Close())
	require.NoError(t, m.Close())
	return counts
}

// What another process is moving is left alone; when it has ended, its moves are done to the end.
func TestMovesOfAnotherProcess(t *testing.T) {
	t.Parallel()
	fsys := doubleName(t)
	lock, err := fsys.TryLock(movesPath + ".lock")
	require.NoError(t, err)
	require.Equal(t, []int{1, 1}, countIn(t, fsys, "INBOX", "Work"))
	require.NotEmpty(t, readFrom(fsys, movesPath))
	require.NoError(t, lock.Close())
	require.Equal(t, []int{0, 1}, countIn(t, fsys, "INBOX", "Work"))
	require.Empty(t, readFrom(fsys, movesPath))
}

// A list of a newer version is not touched, and neither is the mail; one that is none of ours does nothing.
func TestMovesOfANewerVersion(t *testing.T) {
	t.Parallel()
	fsys := doubleName(t)
	list := readFrom(fsys, movesPath)
	writeTo(t, fsys, movesPath, strings.Replace(list, "mailbricks-moves 1", "mailbricks-moves 2", 1))
	m := onFiles(fsys)
	_, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
	require.ErrorContains(t, err, "newer version")
	require.NoError(t, m.Close())

	writeTo(t, fsys, movesPath, strings.Replace(list, "mailbricks-moves 1", "something else", 1))
	require.Equal(t, []int{1, 1}, countIn(t, fsys, "INBOX", "Work"))
}

// A message that was moved on meanwhile is there as well, under its last name.
func TestMovesGoOn(t *testing.T) {
	t.Parallel()
	fsys := doubleName(t)
	list, err := maildir.ParseMoves([]byte(readFrom(fsys, movesPath)))
	require.NoError(t, err)
	require.Len(t, list, 1)
	first, last := list[0][1], list[0][2]
	writeTo(t, fsys, movesPath, maildir.FormatMoves([3]string{".", first, "between"}, [3]string{".Work", "between", last}))
	require.Equal(t, []int{0, 1}, countIn(t, fsys, "INBOX", "Work"))
}

// What is read is what was written; nothing else names a file.
func FuzzMoves(f *testing.F) {
	f.Add(maildir.FormatMoves([3]string{".Work", "1700000000.M1P2Q3.host,S=3,W=3", "1700000001.M1P2Q4.host,S=3,W=3"}))
	f.Add("mailbricks-moves 1\n.A/a/b/00000000\n")
	f.Add("mailbricks-moves 2\n.A/a/b/00000000\n")
	f.Add("mailbricks-moves 1\n../../..//\n/a/\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := maildir.ParseMoves([]byte(text))
		if err != nil {
			require.Empty(t, list)
			return
		}
		for _, one := range list {
			for _, name := range one {
				require.NotContains(t, name, "/")
				require.NotEqual(t, "..", name)
			}
			for _, name := range one[1:] {
				require.NotEmpty(t, strings.Trim(name, "."))
			}
		}
		again, err := maildir.ParseMoves([]byte(maildir.FormatMoves(list...)))
		require.NoError(t, err)
		require.Equal(t, list, again)
	})
}

// Only from the mailbox that it is moved from is a message removed: another may have a copy of its file under the same name.
func TestMovesLeaveCopiesAlone(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	dir := filepath.Join(m.Root, "example.com", "ann")
	for _, path := range []string{".A/cur/X:2,", ".B/cur/X:2,S", ".C/cur/Y:2,"} { // X of .A was being moved to .C
		require.NoError(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(path)), 0o700))
		put(t, filepath.Join(dir, path), "Subject: "+path+"\r\n\r\n")
	}
	put(t, filepath.Join(dir, "mailbricks-moves"), maildir.FormatMoves([3]string{".A", "X", "Y"}))
	open(t, m, mailbox.Inbox)
	require.NoFileExists(t, filepath.Join(dir, ".A/cur/X:2,"))
	require.FileExists(t, filepath.Join(dir, ".B/cur/X:2,S"))
	require.FileExists(t, filepath.Join(dir, ".C/cur/Y:2,"))
}

// The list of an encrypted account does not tell what mailboxes are called, and can be followed without the keys.
func TestMovesOfAnEncryptedAccount(t *testing.T) {
	t.Parallel()
	m, root, _ := lockedAccount(t)
	path := filepath.Join(root, "example.com", "ann", "mailbricks-moves")
	list, kept, links := "", "", filepath.Join(t.TempDir(), "kept")
	maildir.SetFS(m, &hooked{FS: unsynced{durable.OS()}, remove: func(name string) error {
		if data, _ := os.ReadFile(path); len(data) > len(list) && filepath.Base(filepath.Dir(name)) == "cur" {
			list, kept = string(data), name
			require.NoError(t, os.Link(name, links))
		}
		return nil
	}})
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	s := mustStoreOf(t, m)
	box := mustOpen(t, s, "Secretname")
	_, err := box.Move(t.Context(), []mailbox.UID{1}, mailbox.Inbox)
	require.NoError(t, err)
	require.NoError(t, box.Close())
	require.NoError(t, s.Close())
	require.NoError(t, m.Close())
	require.Contains(t, list, "\n.=")
	require.NotContains(t, list, "Secretname")

	// It was cut before the message went from where it was.
	require.NoError(t, os.Link(links, kept))
	require.NoError(t, os.WriteFile(path, []byte(list), 0o600))
	next := newEncrypted(t, root, mailbox.Limit{})
	deliver(t, next, "Subject: x\r\n\r\n")
	require.NoFileExists(t, kept)
}
