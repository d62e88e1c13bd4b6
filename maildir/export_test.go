package maildir

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
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
		for _, pattern := range []string{"new/" + l.base, "cur/" + l.base + infoSeparator + "2,*"} {
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
