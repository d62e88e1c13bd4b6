package archive_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/archive"
)

// small is an account with little mail.
func small(t testing.TB) mailbox.Store {
	t.Helper()
	store := newStore()
	put(t, store, "INBOX", "Subject: a\r\n\r\n", day(1), mailbox.Seen, "work")
	put(t, store, "INBOX", "Subject: b\r\n\r\n", day(2))
	put(t, store, "Box/Below", "Subject: c\r\n\r\n", day(3))
	return store
}

// A disk that is full at any moment leaves nothing but what was there before, and says so.
func TestExportOntoAFullDisk(t *testing.T) {
	t.Parallel()
	store := small(t)
	for _, format := range []archive.Format{archive.Tar, archive.Mbox, archive.Maildir} {
		failed := 0
		for n := 1; ; n++ {
			fsys := crashfs.New()
			fsys.FailCall(n, syscall.ENOSPC)
			err := export(t, fsys, store, format)
			if err == nil && fsys.Calls() < n {
				break // it had come to its end
			}
			if err == nil { // the call was one whose failure does not matter
				continue
			}
			failed++
			require.ErrorIs(t, err, syscall.ENOSPC, "%s call %d", format, n)
			names, err := fsys.ReadNames("/")
			require.NoError(t, err)
			for _, name := range names {
				// Only if the last call, the sync of what is whole, has failed.
				require.Equal(t, "out", name, "%s call %d", format, n)
				require.Equal(t, snapshotOf(t, store), snapshotOf(t, imported(t, fsys, format)))
			}
		}
		require.Greater(t, failed, 5, format)
	}
}

func export(t testing.TB, fsys durable.FS, store mailbox.Store, format archive.Format) error {
	t.Helper()
	w, err := archive.CreateOn(fsys, "/out", archive.CreateOptions{Format: format})
	if err != nil {
		return err
	}
	_, err = archive.Copy(t.Context(), w, archive.FromStore(store), nil)
	closeErr := w.Close()
	if err == nil {
		err = closeErr
	}
	return err
}

// imported is an account with what is in /out.
func imported(t testing.TB, fsys durable.FS, format archive.Format) mailbox.Store {
	t.Helper()
	back := newStore()
	r, err := archive.OpenOn(fsys, "/out", format, archive.Options{})
	require.NoError(t, err)
	move(t, archive.IntoStore(back, archive.ImportOptions{}), r)
	return back
}

func snapshotOf(t testing.TB, store mailbox.Store) string { return fmt.Sprint(snapshot(t, store)) }

// After a power cut there is the old tar or the new one, and once Finish has returned the new one.
func TestExportSurvivesPowerCuts(t *testing.T) {
	t.Parallel()
	before, after := newStore(), small(t)
	first := crashfs.New()
	require.NoError(t, export(t, first, before, archive.Tar))
	begin := first.Calls()
	require.NoError(t, export(t, first, after, archive.Tar))
	for n := begin + 1; n <= first.Calls(); n++ {
		fsys := crashfs.New()
		require.NoError(t, export(t, fsys, before, archive.Tar))
		fsys.CrashAfter(n)
		err := export(t, fsys, after, archive.Tar)
		for s := range fsys.States() {
			got := snapshotOf(t, imported(t, s, archive.Tar))
			if err == nil {
				require.Equal(t, snapshotOf(t, after), got, s.What)
			} else {
				require.Contains(t, []string{snapshotOf(t, before), snapshotOf(t, after)}, got, s.What)
			}
		}
	}
}

// A folder is there when it is whole only, and once Finish has returned it stays.
func TestExportOfFoldersSurvivesPowerCuts(t *testing.T) {
	t.Parallel()
	store := small(t)
	for _, format := range []archive.Format{archive.Maildir, archive.Mbox} {
		whole := crashfs.New()
		require.NoError(t, export(t, whole, store, format))
		want := snapshotOf(t, imported(t, whole, format))
		for n := 1; n <= whole.Calls(); n += 3 {
			fsys := crashfs.New()
			fsys.CrashAfter(n)
			require.Error(t, export(t, fsys, store, format))
			for s := range fsys.States() {
				if _, err := s.Lstat("/out"); err == nil {
					require.Equal(t, want, snapshotOf(t, imported(t, s, format)), "%s call %d, %s", format, n, s.What)
				}
			}
		}
		for s := range whole.States() {
			require.Equal(t, want, snapshotOf(t, imported(t, s, format)), "%s, %s", format, s.What)
		}
	}
}

func TestAFileIsReplacedAndAPartialOneIsNot(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.tar")
	for _, store := range []mailbox.Store{newStore(), small(t)} {
		require.NoError(t, os.WriteFile(path+".partial", []byte("left by one that was killed"), 0o600))
		w, err := archive.Create(path, archive.CreateOptions{Format: archive.Tar})
		require.NoError(t, err)
		move(t, w, archive.FromStore(store))
		require.NoFileExists(t, path+".partial")
	}
	r, err := archive.Open(path, archive.Tar, archive.Options{})
	require.NoError(t, err)
	back := newStore()
	move(t, archive.IntoStore(back, archive.ImportOptions{}), r)
	require.Equal(t, snapshotOf(t, small(t)), snapshotOf(t, back))
}

// tree makes a Maildir as other programs do.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for path, content := range files {
		path = filepath.Join(dir, filepath.FromSlash(path))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		require.NoError(t, os.Chtimes(path, day(5), day(5)))
	}
	return dir
}

func TestMaildirsOfOtherPrograms(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("file names here have no colon")
	}
	dir := tree(t, map[string]string{
		"cur/1000.M1P1.host:2,FRSaz":    "Subject: bare\n\nlf\n",
		"cur/2000.M1P1.host,S=20:2,":    "Subject: crlf\r\n\r\nx\r\n",
		"new/3000.M1P1.host":            "Subject: mixed\r\n\r\na\nb\r\n",
		"new/2000.M1P1.host,S=20":       "Subject: the same message, seen twice\r\n\r\n",
		"new/.hidden":                   "x",
		"cur/dir/x":                     "x",
		"tmp/4000.x":                    "half",
		"dovecot-keywords":              "0 work\n25 {bad\nx y\n",
		"dovecot-uidlist":               "3 V77 N9 Gabc\n5 W19 :1000.M1P1.host\nnonsense\n",
		"subscriptions":                 "V\t2\n\n&ANw-ber\tuns\nGone\n",
		".&ANw-ber.uns/cur/1.x:2,T":     "Subject: utf-7\n\n",
		".Ünter/cur/1.x:2,D":            "Subject: utf-8\n\n",
		".NoMailbox/x":                  "x",
		"..hidden/cur/1.x:2,":           "x",
		"not-a-folder/cur/1.x:2,":       "x",
		".Junk/new/1.x":                 "Subject: junk\n\n",
		".Junk/cur/.keep":               "",
		"courierimapkeywords/something": "x",
	})
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "cur", "9000.link:2,")))
	require.NoError(t, os.Symlink(t.TempDir(), filepath.Join(dir, ".Link")))
	r, err := archive.Open(dir, archive.Maildir, archive.Options{})
	require.NoError(t, err)
	back := newStore()
	stats := move(t, archive.IntoStore(back, archive.ImportOptions{}), r)
	require.Equal(t, 4, stats.Mailboxes)
	date := day(5).Format("2006-01-02T15:04:05Z")
	require.Equal(t, []string{
		"mailbox INBOX",
		`INBOX ` + date + ` [\Answered \Flagged \Seen work] "Subject: bare\r\n\r\nlf\r\n" 21`,
		`INBOX ` + date + ` [] "Subject: the same message, seen twice\r\n\r\n" 41`,
		`INBOX ` + date + ` [] "Subject: mixed\r\n\r\na\r\nb\r\n" 24`,
		"mailbox Junk",
		`Junk ` + date + ` [] "Subject: junk\r\n\r\n" 17`,
		"mailbox Über/uns",
		`Über/uns ` + date + ` [\Deleted] "Subject: utf-7\r\n\r\n" 18`,
		"mailbox Ünter",
		`Ünter ` + date + ` [\Draft] "Subject: utf-8\r\n\r\n" 18`,
	}, snapshot(t, back))
	require.Equal(t, []string{"Gone", "Über/uns"}, subscriptions(t, back))
}

// What Dovecot compressed is not imported as if it were a message.
func TestPackedMessagesAreRefused(t *testing.T) {
	t.Parallel()
	packed := "\x1f\x8b\x08\x00\x00"
	for name, refused := range map[string]bool{"1.M1P1.h,S=70,W=72:2,": true, "1.M1P1.h:2,": true, "1.M1P1.h,S=5,W=5:2,": false} {
		r, err := archive.Open(tree(t, map[string]string{"cur/" + name: packed}), archive.Maildir, archive.Options{})
		require.NoError(t, err)
		stats, err := archive.Copy(t.Context(), archive.IntoStore(newStore(), archive.ImportOptions{}), r, nil)
		if refused {
			require.ErrorIs(t, err, archive.ErrFormat)
			require.ErrorContains(t, err, "plugin zlib (gzip): convert the account with doveadm backup")
		} else {
			require.NoError(t, err)
			require.Equal(t, 1, stats.Messages)
		}
		require.NoError(t, r.Close())
	}
}

func TestMaildirKeepsUIDs(t *testing.T) {
	t.Parallel()
	store := newStore()
	fill(t, store)
	box, err := store.Open(t.Context(), "INBOX")
	require.NoError(t, err)
	_, err = box.Expunge(t.Context(), []mailbox.UID{1, 3})
	require.NoError(t, err)
	status, err := box.Status(t.Context())
	require.NoError(t, err)
	require.NoError(t, box.Close())
	path := filepath.Join(t.TempDir(), "Maildir")
	w, err := archive.Create(path, archive.CreateOptions{Format: archive.Maildir})
	require.NoError(t, err)
	move(t, w, archive.FromStore(store))
	list, err := os.ReadFile(filepath.Join(path, "dovecot-uidlist"))
	require.NoError(t, err)
	lines := strings.Split(string(list), "\n")
	require.True(t, strings.HasPrefix(lines[0], fmt.Sprintf("3 V%d N8 G", status.UIDValidity)), lines[0])
	require.True(t, strings.HasPrefix(lines[1], "2 :"), lines[1])

	r, err := archive.Open(path, archive.Maildir, archive.Options{})
	require.NoError(t, err)
	var uids []mailbox.UID
	_, err = archive.Copy(t.Context(), archive.IntoStore(newStore(), archive.ImportOptions{Imported: func(name string, from, _ mailbox.UID) {
		if name == "INBOX" {
			uids = append(uids, from)
		}
	}}), r, nil)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.Equal(t, []mailbox.UID{2, 4, 5, 6, 7}, uids)
}
