package maildir_test

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// slowDisk is a file layer that calls syncing before a folder is synced, and counts how often the names of cur are read.
type slowDisk struct {
	durable.FS
	syncing func(sub string)
	looks   atomic.Int64
}

func (d *slowDisk) SyncDir(dir string) error {
	if d.syncing != nil {
		d.syncing(filepath.Base(dir))
	}
	return nil
}

func (d *slowDisk) ReadNames(dir string) ([]string, error) {
	if filepath.Base(dir) == "cur" {
		d.looks.Add(1)
	}
	return d.FS.ReadNames(dir)
}

// timed is a Maildir with a clock that the test sets on.
func timed(t *testing.T, root string) (m *maildir.Maildir, disk *slowDisk, ahead *atomic.Int64) {
	m, disk, ahead = newMaildir(t, root, 0), &slowDisk{FS: durable.OS()}, new(atomic.Int64)
	maildir.SetFS(m, disk)
	maildir.SetClock(m, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	return m, disk, ahead
}

// TestMailDuringSlowSync has another program put mail into a folder while a change of ours waits for the disk for longer than two
// changes can have the same time: it is seen, by this process and by the next.
func TestMailDuringSlowSync(t *testing.T) {
	t.Parallel()
	own := map[string]func(*testing.T, *maildir.Maildir, mailbox.Mailbox){
		"append":   func(t *testing.T, _ *maildir.Maildir, b mailbox.Mailbox) { appendTo(t, b, "own\r\n") },
		"delivery": func(t *testing.T, m *maildir.Maildir, _ mailbox.Mailbox) { deliver(t, m, "Subject: own\r\n\r\n") },
		"flags": func(t *testing.T, _ *maildir.Maildir, b mailbox.Mailbox) {
			_, err := b.SetFlags(t.Context(), uidsOf(t, b), mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen}})
			require.NoError(t, err)
		},
		"recent": func(t *testing.T, m *maildir.Maildir, b mailbox.Mailbox) {
			deliver(t, m, "Subject: own\r\n\r\n")
			_, err := b.(mailbox.RecentKeeper).TakeRecent(t.Context())
			require.NoError(t, err)
			_, err = b.SetFlags(t.Context(), uidsOf(t, b)[:1], mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{"new"}})
			require.NoError(t, err)
		},
		"expunge": func(t *testing.T, _ *maildir.Maildir, b mailbox.Mailbox) {
			_, err := b.Expunge(t.Context(), uidsOf(t, b)[:1])
			require.NoError(t, err)
		},
	}
	for name, change := range own {
		for _, file := range []string{"new/1700000000.M1P1.other", "cur/1700000000.M1P1.other:2,S"} {
			t.Run(name+" "+filepath.Dir(file), func(t *testing.T) {
				t.Parallel()
				m, disk, ahead := timed(t, t.TempDir())
				m.Linger = -1
				b := open(t, m, mailbox.Inbox)
				appendTo(t, b, "first\r\n")
				appendTo(t, b, "second\r\n")
				dir := filepath.Join(m.Root, "example.com", "ann")
				later(t, dir)
				before := len(uidsOf(t, b))
				came := false
				disk.syncing = func(sub string) {
					if sub == filepath.Dir(file) && !came {
						came = true
						put(t, filepath.Join(dir, file), "Subject: other\r\n\r\n")
						ahead.Store(int64(3 * time.Second))
					}
				}
				change(t, m, b)
				_ = uidsOf(t, b)
				if !came { // nothing of it is in this folder
					put(t, filepath.Join(dir, file), "Subject: other\r\n\r\n")
				}
				ahead.Store(int64(time.Hour))
				want, here := before, 0
				switch name {
				case "append", "delivery", "recent":
					want++
				case "expunge":
					want--
				}
				here = len(uidsOf(t, b))
				require.NoError(t, b.Close())
				next := open(t, newMaildir(t, m.Root, 0), mailbox.Inbox)
				require.Len(t, uidsOf(t, next), want+1, "next process")
				require.Equal(t, want+1, here)
			})
		}
	}
}

// TestMailJustBeforeOurOwn has another program put a file into new just before a delivery of ours, which takes three seconds.
func TestMailJustBeforeOurOwn(t *testing.T) {
	t.Parallel()
	m, disk, ahead := timed(t, t.TempDir())
	b := open(t, m, mailbox.Inbox)
	dir := filepath.Join(m.Root, "example.com", "ann")
	later(t, dir)
	require.Empty(t, uidsOf(t, b))
	disk.syncing = func(sub string) {
		if sub == "new" {
			ahead.Store(int64(3 * time.Second))
		}
	}
	put(t, filepath.Join(dir, "new", "1700000000.M1P1.other"), "Subject: other\r\n\r\n")
	deliver(t, m, "Subject: own\r\n\r\n")
	_ = uidsOf(t, b)
	ahead.Store(int64(time.Hour))
	require.Len(t, uidsOf(t, b), 2)
}

// TestMailBehindManyOfOurOwn has this process change a folder every second: what another program did comes to light all the
// same.
func TestMailBehindManyOfOurOwn(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{"deliveries": "new/1700000000.M1P1.other", "appends": "cur/1700000000.M1P1.other:2,S"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, disk, ahead := timed(t, t.TempDir())
			b := open(t, m, mailbox.Inbox)
			dir := filepath.Join(m.Root, "example.com", "ann")
			later(t, dir)
			require.Empty(t, uidsOf(t, b))
			came := false
			disk.syncing = func(sub string) {
				if sub == filepath.Dir(file) && !came {
					came = true
					require.NoError(t, os.WriteFile(filepath.Join(dir, file), nil, 0o600))
				}
			}
			const changes = 40
			looks := disk.looks.Load()
			seen := 0
			for n := range changes {
				ahead.Store(int64(n) * int64(time.Second))
				if name == "deliveries" {
					deliver(t, m, "Subject: own\r\n\r\n")
				} else {
					appendTo(t, b, "own\r\n")
				}
				if list := uidsOf(t, b); len(list) == n+2 && seen == 0 {
					seen = n
				}
			}
			require.Len(t, uidsOf(t, b), changes+1)
			require.LessOrEqual(t, seen, 32)
			require.LessOrEqual(t, disk.looks.Load()-looks, int64(3), "looks at all files")
		})
	}
}

// TestFilesAreLookedAtOnce counts the looks at all files: one after a change of our own, and none when the mailbox is opened
// again, by this process or the next.
func TestFilesAreLookedAtOnce(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	m, disk, ahead := timed(t, root)
	b := open(t, m, mailbox.Inbox)
	require.Empty(t, uidsOf(t, b))
	atFirst := disk.looks.Load()
	for range 3 {
		appendTo(t, b, "own\r\n")
	}
	_, err := b.SetFlags(t.Context(), uidsOf(t, b), mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen}})
	require.NoError(t, err)
	deliver(t, m, "Subject: own\r\n\r\n")
	require.Len(t, uidsOf(t, b), 4)
	_, err = b.(mailbox.RecentKeeper).TakeRecent(t.Context())
	require.NoError(t, err)
	_, err = b.Expunge(t.Context(), uidsOf(t, b)[:1])
	require.NoError(t, err)
	require.Len(t, uidsOf(t, b), 3)
	require.Equal(t, atFirst, disk.looks.Load(), "looks after changes of our own")
	ahead.Store(int64(time.Minute))
	looks := disk.looks.Load()
	for range 5 {
		require.Len(t, uidsOf(t, b), 3)
		require.NoError(t, open(t, m, mailbox.Inbox).Close())
	}
	require.Equal(t, int64(1), disk.looks.Load()-looks)
	require.NoError(t, b.Close())
	require.NoError(t, m.Close())

	m, disk, ahead = timed(t, root)
	ahead.Store(int64(time.Minute))
	for range 3 {
		require.Len(t, uidsOf(t, open(t, m, mailbox.Inbox)), 3)
	}
	require.Zero(t, disk.looks.Load())
}
