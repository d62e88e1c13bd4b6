package maildir

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/maildirpp"
	"github.com/mailbricks/mailbricks/mailbox"
)

// SetFS puts other files under a Maildir.
func SetFS(m *Maildir, fsys durable.FS) { m.files = fsys }

// SetClock gives a Maildir another time.
func SetClock(m *Maildir, now func() time.Time) { m.clock = now }

// FileOf finds the file of a message in a folder by the folder's uidlist.
func FileOf(dir string, uid uint32) (string, error) {
	data, err := durable.ReadFile(durable.OS(), filepath.Join(dir, uidlistFile), 0)
	if err != nil {
		return "", err
	}
	list, err := parseUIDList(data)
	if err != nil {
		return "", err
	}
	for _, l := range list.lines {
		if l.uid != uid {
			continue
		}
		for _, pattern := range []string{"new/" + l.base, "cur/" + l.base + maildirpp.InfoSeparator + "2,*"} {
			found, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(pattern)))
			if err == nil && len(found) == 1 {
				return found[0], nil
			}
		}
	}
	return "", fmt.Errorf("no file for UID %d", uid)
}

// Compact has the index files of an open mailbox written anew.
func Compact(b mailbox.Mailbox) error {
	return b.(*session).f.submit(func(tx *tx) error { tx.compact = true; return nil })
}

// Loaded is how many folders are in memory.
func Loaded(m *Maildir) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, a := range m.accounts {
		n += len(a.folders)
	}
	return n
}

// PollCalls counts the calls to the file system of the first and the second look at an account that nobody has open.
func PollCalls(t interface{ Fatal(...any) }, m *Maildir, address string) (first, second int) {
	counter := &callCounter{FS: m.files}
	m.files = counter
	a, err := m.acquire(context.Background(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer m.release(a)
	p := &poller{account: a, marks: map[string]folderMark{}}
	counter.calls = 0
	p.look(nil)
	first = counter.calls
	p.look(nil)
	return first, counter.calls - first
}

// callCounter counts the calls that a look makes.
type callCounter struct {
	durable.FS
	calls int
}

func (c *callCounter) Stat(name string) (fs.FileInfo, error) {
	c.calls++
	return c.FS.Stat(name)
}

func (c *callCounter) ReadDir(name string) ([]fs.DirEntry, error) {
	c.calls++
	return c.FS.ReadDir(name)
}

func (c *callCounter) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	c.calls++
	return c.FS.OpenFile(name, flag, perm)
}
