package maildir_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// checkup runs Check and gives the findings, "<severity> <path in the account> <what>".
func checkup(t testing.TB, m *maildir.Maildir, opts maildir.CheckOptions) (findings []string, stats maildir.CheckStats) {
	t.Helper()
	opts.Found = func(f maildir.Finding) {
		rel, err := filepath.Rel(filepath.Join(m.Root, "example.com", "ann"), f.Path)
		require.NoError(t, err)
		mark := ""
		if f.Mended {
			mark = "mended "
		}
		findings = append(findings, fmt.Sprintf("%s%s %s %s", mark, f.Severity, filepath.ToSlash(rel), f.What))
	}
	stats, err := m.Check(t.Context(), ann, opts)
	require.NoError(t, err)
	slices.Sort(findings)
	return findings, stats
}

func TestCheckOfASoundAccountFindsNothing(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 1<<20)
	s := settled(t, m)
	deliver(t, m, "x")
	want := everything(t, s)
	for _, opts := range []maildir.CheckOptions{{}, {Repair: true}, {Rebuild: true}, {Repair: true, Rebuild: true}} {
		var told [][2]int
		opts.Progress = func(done, total int) { told = append(told, [2]int{done, total}) }
		findings, stats := checkup(t, m, opts)
		require.Empty(t, findings)
		require.Equal(t, maildir.CheckStats{Mailboxes: 7, Messages: 7}, stats)
		require.NotEmpty(t, told)
		require.Equal(t, [2]int{7, 7}, told[len(told)-1])
		require.Equal(t, want, everything(t, s))
	}
}

func TestCheckOfAnAccountWithoutMailMakesNothing(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	findings, stats := checkup(t, m, maildir.CheckOptions{})
	require.Empty(t, findings)
	require.Zero(t, stats)
	entries, err := os.ReadDir(m.Root)
	require.NoError(t, err)
	require.Empty(t, entries)
}

// damage is something that a test does to an account, and what Check says of it.
type damage struct {
	name string
	do   func(t *testing.T, dir string)
	find string // part of the finding
	left int    // findings that Repair leaves
}

func write(t testing.TB, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

// rewrite changes a file.
func rewrite(t testing.TB, path string, change func(string) string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	write(t, path, change(string(data)))
}

// message is a file of INBOX.
func message(t testing.TB, dir string, uid uint32) string {
	t.Helper()
	path, err := maildir.FileOf(dir, uid)
	require.NoError(t, err)
	return path
}

func damages() []damage {
	return []damage{
		{"no tmp", func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, "tmp"))) }, "damage tmp is missing", 0},
		{"no cur", func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, ".Junk", "cur"))) }, "damage .Junk has no folder cur", 0},
		{"no new", func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, ".Junk", "new"))) }, "damage .Junk/new is missing", 0},
		{"longer", func(t *testing.T, dir string) {
			rewrite(t, message(t, dir, 3), func(s string) string { return s + "more\r\n" })
		}, "warning cur/", 0},
		{"shorter", func(t *testing.T, dir string) { rewrite(t, message(t, dir, 3), func(s string) string { return s[:9] }) }, "it was cut off", 0},
		{"bare", func(t *testing.T, dir string) {
			rewrite(t, message(t, dir, 3), func(s string) string { return strings.Replace(s, "y\r\n", "yy\n", 1) })
		}, "octets with CRLF line ends", 0},
		{"list", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "dovecot-uidlist"), "nonsense\n") }, "damage dovecot-uidlist cannot be read", 0},
		{"list line", func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "dovecot-uidlist"), func(s string) string { return strings.Replace(s, "\n2 ", "\nzwei ", 1) })
		}, "damage dovecot-uidlist has lines that cannot be read", 0},
		{"two UIDs", func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "dovecot-uidlist"), func(s string) string {
				lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
				_, name, _ := strings.Cut(lines[1], ":")
				return s + "99 :" + name + "\n"
			})
		}, "gives UID 1 and UID 99 to one message", 0},
		{"newer list", func(t *testing.T, dir string) { write(t, filepath.Join(dir, ".Junk", "dovecot-uidlist"), "9 V1 N1\n") }, "newer version", 1},
		{"index", func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "mailbricks-index"), func(s string) string { return s + "what\n" })
		}, "damage mailbricks-index is damaged", 0},
		{"no index", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "mailbricks-index"), "nonsense\n") }, "damage mailbricks-index cannot be read", 0},
		{"keywords", func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "dovecot-keywords"), func(s string) string { return s + "99 x\n" })
		}, "damage dovecot-keywords has 1 lines", 0},
		{"subscriptions", func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "subscriptions"), func(s string) string { return s + "a\x01\n" })
		}, "damage subscriptions has 1 lines", 0},
		{"uses", func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "mailbricks-special-use"), func(s string) string { return s + `\None .Junk` })
		}, "damage mailbricks-special-use", 0},
		{"annotations", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "mailbricks-account-annotations"), "mailbricks-account-annotations 1\n/private/x\tAAAA\n/nonsense\n")
		}, "damage mailbricks-account-annotations has 1 lines", 0},
		{"validity", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "dovecot-uidvalidity"), "xyz") }, "damage dovecot-uidvalidity", 0},
		{"old temporary file", func(t *testing.T, dir string) {
			path := filepath.Join(dir, "tmp", "old")
			write(t, path, "x")
			old := time.Now().Add(-100 * time.Hour)
			require.NoError(t, os.Chtimes(path, old, old))
		}, "note tmp/old was left by a delivery", 0},
		{"foreign files", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "cur", ".DS_Store"), "x") }, "warning cur/.DS_Store is no message", 0},
		{"folder in new", func(t *testing.T, dir string) { require.NoError(t, os.Mkdir(filepath.Join(dir, "new", "dir"), 0o700)) }, "warning new/dir is no file", 0},
		{"hidden folder", func(t *testing.T, dir string) {
			require.NoError(t, os.Mkdir(filepath.Join(dir, "..mailbricks-old-1"), 0o700))
		}, "note ..mailbricks-old-1", 0},
		{"bad name", func(t *testing.T, dir string) { require.NoError(t, os.Mkdir(filepath.Join(dir, ".a..b"), 0o700)) }, "warning .a..b has a name", 1},
		{"two files", func(t *testing.T, dir string) {
			path := message(t, dir, 3)
			base, _, _ := strings.Cut(filepath.Base(path), ":")
			write(t, filepath.Join(dir, "new", base), "Subject: other\r\n\r\nlength\r\n")
		}, "has the same name", 0},
		{"size", func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "maildirsize"), func(s string) string { return s + "100 1\n" })
		}, "warning maildirsize says", 0},
		{"empty", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "cur", "1.M1P1.z:2,"), "") }, "is empty", 1},
	}
}

func TestCheckFindsAndMends(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("file names here have no colon")
	}
	for _, d := range damages() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			root, quota := t.TempDir(), int64(0)
			if d.name == "size" {
				quota = 1 << 20
			}
			m := newMaildir(t, root, quota)
			want := texts(t, settled(t, m))
			dir := filepath.Join(root, "example.com", "ann")
			require.NoError(t, m.Close())
			d.do(t, dir)

			m = newMaildir(t, root, quota)
			before := fileNames(t, dir)
			findings, stats := checkup(t, m, maildir.CheckOptions{})
			require.Contains(t, strings.Join(findings, "\n"), d.find)
			require.Len(t, findings, 1, findings)
			require.Equal(t, 1, stats.Findings)
			require.Equal(t, before, fileNames(t, dir), "nothing is changed")

			mended, stats := checkup(t, m, maildir.CheckOptions{Repair: true})
			require.Equal(t, d.left, stats.Findings, mended)
			again, stats := checkup(t, m, maildir.CheckOptions{})
			require.Equal(t, d.left, stats.Findings, again)
			if d.name == "newer list" {
				return
			}
			got := texts(t, mustStoreOf(t, m))
			for _, w := range want {
				if !slices.Contains(got, w) {
					require.Contains(t, []string{"longer", "shorter", "bare", "keywords", "no index", "list", "list line"}, d.name, "lost %s", w)
				}
			}
			require.GreaterOrEqual(t, len(got), len(want), "no message is lost")
		})
	}
}

// fileNames are the names and lengths of all files below a folder, but for locks.
func fileNames(t testing.TB, dir string) (out []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || strings.HasSuffix(path, ".lock") {
			return err
		}
		info, err := d.Info()
		if err == nil && !d.IsDir() {
			out = append(out, fmt.Sprint(path, info.Size()))
		}
		return err
	}))
	return out
}

// A message whose name is mended keeps its UID, flags and keywords, also for those who have the mailbox open.
func TestMendedNamesKeepUIDs(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	m := newMaildir(t, root, 0)
	s := settled(t, m)
	require.NoError(t, s.(mailbox.Organizer).Delete(t.Context(), "Work/2026")) // it has the same files
	box := mustOpen(t, s, "INBOX")
	dir := filepath.Join(root, "example.com", "ann")
	rewrite(t, message(t, dir, 2), func(s string) string { return s + "more\r\n" })
	findings, stats := checkup(t, m, maildir.CheckOptions{Repair: true})
	require.Equal(t, 1, stats.Mended, findings)
	metas, err := box.Messages(t.Context(), []mailbox.UID{2})
	require.NoError(t, err)
	require.Len(t, metas, 1)
	require.Len(t, metas[0].Flags, 31)
	c, err := box.Content(t.Context(), 2)
	require.NoError(t, err)
	require.EqualValues(t, 26, c.Size())
	require.NoError(t, c.Close())
	require.NoError(t, box.Close())
	require.Contains(t, message(t, dir, 2), ",S=26,W=26")
}

func TestCheckLooksAtRights(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("files have no rights here")
	}
	root := t.TempDir()
	m := newMaildir(t, root, 0)
	maildir.SetFS(m, durable.OS())
	settled(t, m)
	dir := filepath.Join(root, "example.com", "ann")
	require.NoError(t, os.Chmod(message(t, dir, 3), 0o400))
	require.NoError(t, os.Chmod(filepath.Join(dir, ".Junk"), 0o755))
	findings, _ := checkup(t, m, maildir.CheckOptions{})
	require.Len(t, findings, 2)
	require.Contains(t, findings[0], "cannot be read and written")
	require.Contains(t, findings[1], "warning .Junk is open to all users")
	_, stats := checkup(t, m, maildir.CheckOptions{Repair: true})
	require.Equal(t, 2, stats.Mended)
	info, err := os.Stat(filepath.Join(dir, ".Junk"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o750), info.Mode().Perm())
	findings, _ = checkup(t, m, maildir.CheckOptions{})
	require.Empty(t, findings)
}

func TestSymbolicLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	m := newMaildir(t, root, 0)
	settled(t, m)
	dir := filepath.Join(root, "example.com", "ann")
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, "x")
	if err := os.Symlink(secret, filepath.Join(dir, "cur", "1.M1P1.z:2,")); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	findings, _ := checkup(t, m, maildir.CheckOptions{Repair: true})
	require.Len(t, findings, 1)
	require.Contains(t, findings[0], "mended warning cur/1.M1P1.z:2, is a symbolic link")
	require.FileExists(t, secret)
	findings, _ = checkup(t, m, maildir.CheckOptions{})
	require.Empty(t, findings)
}

func TestCheckEndsWithTheContext(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	settled(t, m)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := m.Check(ctx, ann, maildir.CheckOptions{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestRebuildCountsAnew(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	m := newMaildir(t, root, 1<<20)
	s := settled(t, m)
	want := everything(t, s)
	size := filepath.Join(root, "example.com", "ann", "maildirsize")
	before, err := os.ReadFile(size)
	require.NoError(t, err)
	rewrite(t, size, func(s string) string { return s + "100 1\n" })
	_, stats := checkup(t, m, maildir.CheckOptions{Rebuild: true})
	require.Zero(t, stats.Findings)
	after, err := os.ReadFile(size)
	require.NoError(t, err)
	sum := func(data []byte) (octets, messages int) {
		for line := range strings.Lines(string(data)) {
			var o, n int
			if _, err := fmt.Sscanf(line, "%d %d\n", &o, &n); err == nil {
				octets, messages = octets+o, messages+n
			}
		}
		return octets, messages
	}
	o, n := sum(before)
	ao, an := sum(after)
	require.Equal(t, [2]int{o, n}, [2]int{ao, an})
	require.Equal(t, want, everything(t, s))
}
