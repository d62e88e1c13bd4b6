package maildir_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// manyFiles pretends that a folder has many files.
type manyFiles struct {
	durable.FS
	dir   string
	names []string
	file  string // what each of them is like
}

func (m *manyFiles) ReadNames(name string) ([]string, error) {
	if name != m.dir {
		return m.FS.ReadNames(name)
	}
	out := make([]string, len(m.names))
	for i, n := range m.names {
		out[i] = strings.Clone(n)
	}
	return out, nil
}

func (m *manyFiles) Lstat(name string) (fs.FileInfo, error) {
	if filepath.Dir(name) != m.dir {
		return m.FS.Lstat(name)
	}
	info, err := m.FS.Lstat(m.file)
	if err != nil {
		return nil, err
	}
	_, size, _ := strings.Cut(name, ",S=")
	size, _, _ = strings.Cut(size, ",")
	n, err := strconv.ParseInt(size, 10, 64)
	return sizedInfo{info, n}, err
}

// sizedInfo is a file of another size.
type sizedInfo struct {
	fs.FileInfo
	size int64
}

func (s sizedInfo) Size() int64 { return s.size }

// heap is what is in use once all garbage is gone.
func heap() int64 {
	var stats runtime.MemStats
	for range 3 { // what has finalizers takes a second look
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

const (
	maxOpen   = 30_000_000 // octets of heap for an open mailbox of 100,000 messages
	maxClosed = 64 << 10
)

// manyMessages is how many the mailbox has: 100,000 where MAILBRICKS_LONG is set, else fewer with a bound in proportion.
func manyMessages() int {
	if os.Getenv("MAILBRICKS_LONG") != "" {
		return 100_000
	}
	return 10_000
}

// writeMany writes the index files of a mailbox of many messages with keywords, and gives the names of its files.
func writeMany(t *testing.T, dir string) []string {
	list := strings.Builder{}
	index := strings.Builder{}
	fmt.Fprintf(&list, "3 V1700000000 N%d G0123456789abcdef0123456789abcdef\n", manyMessages()+1)
	fmt.Fprint(&index, "mailbricks-index 2 V1700000000 B1\n")
	var names []string
	for n := 1; n <= manyMessages(); n++ {
		base := fmt.Sprintf("17%08d.M%06dP12345Q%dR%012x.mail.example.com,S=%d,W=%d", n, n%1_000_000, n%100, n, 4000+n, 4100+n)
		names = append(names, base+":2,Sa")
		fmt.Fprintf(&list, "%d M%d D17%08d LSa :%s\n", n, n+1, n, base)
		switch { // keywords without letters
		case n%5 == 0:
			fmt.Fprintf(&index, "f %d %d Sa project%d\n", n, n+manyMessages(), n%7)
		case n%11 == 0:
			fmt.Fprintf(&index, "f %d %d Sa project%d later\n", n, n+manyMessages(), n%3)
		}
	}
	var letters strings.Builder
	for i := range 26 {
		fmt.Fprintf(&letters, "%d keyword%d\n", i, i)
	}
	for name, text := range map[string]string{"dovecot-uidlist": list.String(), "mailbricks-index": index.String(), "dovecot-keywords": letters.String()} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return names
}

// TestMemoryOfLargeMailboxes is not parallel: it looks at the heap of the process.
func TestMemoryOfLargeMailboxes(t *testing.T) {
	for name, lost := range map[string][]string{
		"as it was left": nil, "without its index files": {"dovecot-uidlist", "mailbricks-index"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			dir := filepath.Join(root, "example.com", "ann")
			m := newMaildir(t, root, 0)
			s, err := m.Store(t.Context(), mailbricks.Identity{User: ann}) // makes the account
			require.NoError(t, err)
			require.NoError(t, s.Close())
			names := writeMany(t, dir)
			for _, name := range lost {
				require.NoError(t, os.Remove(filepath.Join(dir, name)))
			}
			m = newMaildir(t, root, 0)
			m.Linger = -1
			maildir.SetFS(m, unsynced{&manyFiles{FS: durable.OS(), dir: filepath.Join(dir, "cur"), names: names, file: filepath.Join(dir, "dovecot-keywords")}})
			s, err = m.Store(t.Context(), mailbricks.Identity{User: ann})
			require.NoError(t, err)
			defer s.Close()

			before := heap()
			open := openMany(t, s, lost == nil) - before
			t.Logf("open: %d octets, %.1f a message", open, float64(open)/float64(manyMessages()))
			require.Less(t, open, int64(maxOpen/100_000*manyMessages()))
			closed := heap() - before
			t.Logf("closed: %d octets", closed)
			require.Less(t, closed, int64(maxClosed))
			runtime.KeepAlive(m)
		})
	}
}

// openMany has all of a mailbox in memory that may come there, gives the size of the heap then, and closes it.
func openMany(t *testing.T, s mailbox.Store, keywords bool) int64 {
	b, err := s.Open(t.Context(), mailbox.Inbox)
	require.NoError(t, err)
	stop := b.(mailbox.Watcher).Watch(make(chan struct{}, 1))
	require.Len(t, uidsOf(t, b), manyMessages())
	status, err := b.Status(t.Context())
	require.NoError(t, err)
	if keywords {
		require.Len(t, status.Keywords, 1+7+1) // keyword0, project0 to project6, later
	}
	require.NoError(t, maildir.KeepSummaries(b, []byte{1, 2, 3}))
	_, err = b.(mailbox.RecentKeeper).TakeRecent(t.Context())
	require.NoError(t, err)
	open := heap()
	require.NoError(t, b.Close())
	stop()
	return open
}
