package crashfs_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
)

// contents has every file of a file system by name.
func contents(fsys *crashfs.FS) map[string]string {
	out := map[string]string{}
	for e := range fsys.Walk() {
		if !e.Dir {
			out[e.Name] = string(e.Data)
		}
	}
	return out
}

func write(t *testing.T, fsys *crashfs.FS, name, text string, sync bool) {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	require.NoError(t, err)
	_, err = f.Write([]byte(text))
	require.NoError(t, err)
	if sync {
		require.NoError(t, f.Sync())
	}
	require.NoError(t, f.Close())
}

func TestCloneIsOnDiskAndOnItsOwn(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	require.NoError(t, fsys.Mkdir("/a", 0o700))
	write(t, fsys, "/a/x", "one", false)
	require.NoError(t, fsys.Link("/a/x", "/a/y"))
	fsys.Crash()
	c := fsys.Clone()
	require.Equal(t, map[string]string{"/a/x": "one", "/a/y": "one"}, contents(c))
	states := 0
	for s := range c.States() {
		states++
		require.Equal(t, contents(c), contents(s.FS))
	}
	require.Equal(t, 1, states)
	write(t, c, "/a/x", " two", false)
	require.Equal(t, "one two", contents(c)["/a/y"], "both names are of one file")
	require.Equal(t, "one", contents(fsys)["/a/x"])
	require.Equal(t, 4, fsys.Calls(), "mkdir, create, write, link: neither Clone nor Walk is a call")
}

func TestRestartKeepsWhatIsNotOnDisk(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	require.NoError(t, fsys.Mkdir("/a", 0o700))
	require.NoError(t, fsys.SyncDir("/"))
	write(t, fsys, "/a/x", "one", false)
	lock, err := fsys.TryLock("/lock")
	require.NoError(t, err)
	defer lock.Close()
	fsys.FailCall(fsys.Calls()+1, syscall.EIO)
	fsys.CrashBefore(fsys.Calls() + 2)
	fsys.Crash()
	require.ErrorIs(t, fsys.SyncDir("/a"), crashfs.ErrCrashed)
	fsys.Restart()
	require.Equal(t, "one", contents(fsys)["/a/x"])
	write(t, fsys, "/a/z", "", false) // no plan is left
	_, err = fsys.TryLock("/lock")
	require.NoError(t, err, "the lock ended with the process")
	fsys.Crash()
	lost := false
	for s := range fsys.States() {
		if _, there := contents(s.FS)["/a/x"]; !there {
			lost = true
		}
	}
	require.True(t, lost, "the name was never synced")
}

func TestWalkTellsFilesFromNames(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	require.NoError(t, durable.MkdirAll(fsys, "/b/c", 0o700))
	write(t, fsys, "/b/c/x", "text", true)
	require.NoError(t, fsys.Link("/b/c/x", "/b/y"))
	write(t, fsys, "/z", "", true)
	var names []string
	ids := map[string]int{}
	for e := range fsys.Walk() {
		names = append(names, e.Name)
		ids[e.Name] = e.ID
		require.Equal(t, e.Name == "/b/c" || e.Name == "/b/c/x" || e.Name == "/b/y", e.Under("/b"), e.Name)
	}
	require.Equal(t, []string{"/", "/b", "/b/c", "/b/c/x", "/b/y", "/z"}, names)
	require.Equal(t, ids["/b/c/x"], ids["/b/y"])
	require.NotEqual(t, ids["/b/c/x"], ids["/z"])
}
