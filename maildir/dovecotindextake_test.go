package maildir_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// dovecotKeywords puts what Dovecot wrote of a mailbox into ann's INBOX, with messages whose names have no flags, and gives
// the keywords that Dovecot said its messages had, but for those that have letters.
func dovecotKeywords(t *testing.T, root, sample string, leaveOut ...string) map[mailbox.UID][]mailbox.Flag {
	t.Helper()
	account := filepath.Join(root, "example.com", "ann")
	for _, sub := range []string{"cur", "new", "tmp"} {
		require.NoError(t, os.MkdirAll(filepath.Join(account, sub), 0o700))
	}
	from := filepath.Join("testdata", "dovecot-index", sample)
	files, err := os.ReadDir(from)
	require.NoError(t, err)
	for _, file := range files {
		if !strings.HasPrefix(file.Name(), "dovecot") || strings.Contains(strings.Join(leaveOut, " ")+" ", file.Name()+" ") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(from, file.Name()))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(account, file.Name()), data, 0o600))
	}
	letters, err := os.ReadFile(filepath.Join(from, "dovecot-keywords"))
	require.NoError(t, err)
	said, err := os.ReadFile(filepath.Join(from, "said"))
	require.NoError(t, err)
	out := map[mailbox.UID][]mailbox.Flag{}
	for _, line := range regexp.MustCompile(`UID (\d+) FLAGS \((.*)\)\)`).FindAllStringSubmatch(string(said), -1) {
		uid, err := strconv.Atoi(line[1])
		require.NoError(t, err)
		out[mailbox.UID(uid)] = nil
		for _, flag := range strings.Fields(line[2]) {
			if !strings.Contains(string(letters), " "+flag+"\n") && !strings.HasPrefix(flag, `\`) {
				out[mailbox.UID(uid)] = append(out[mailbox.UID(uid)], mailbox.Flag(flag))
			}
		}
	}
	list, err := os.ReadFile(filepath.Join(from, "dovecot-uidlist"))
	require.NoError(t, err)
	for _, line := range strings.Split(strings.TrimSpace(string(list)), "\n")[1:] {
		number, name, _ := strings.Cut(line, " :")
		uid, err := strconv.Atoi(number)
		require.NoError(t, err)
		if _, ok := out[mailbox.UID(uid)]; !ok { // it was expunged
			continue
		}
		require.NoError(t, os.WriteFile(filepath.Join(account, "cur", name), []byte("Subject: 1234\n\n12345"), 0o600))
	}
	return out
}

func requireFlags(t *testing.T, m *maildir.Maildir, want map[mailbox.UID][]mailbox.Flag) {
	t.Helper()
	b := open(t, m, mailbox.Inbox)
	metas, err := b.Messages(t.Context(), uidsOf(t, b))
	require.NoError(t, err)
	require.Len(t, metas, len(want))
	for _, meta := range metas {
		require.ElementsMatch(t, want[meta.UID], meta.Flags, "UID %d", meta.UID)
	}
}

// Keywords beyond 26, which only Dovecot's index has, are taken over when a mailbox is first opened, and are then ours.
func TestDovecotKeywordsBeyond(t *testing.T) {
	t.Parallel()
	for _, sample := range []string{"logonly", "both", "rotated"} {
		t.Run(sample, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			m := newMaildir(t, t.TempDir(), 0)
			m.Logger = slog.New(slog.NewTextHandler(&log, nil))
			want := dovecotKeywords(t, m.Root, sample)
			some := 0
			for _, flags := range want {
				some += len(flags)
			}
			require.Greater(t, some, 8)
			requireFlags(t, m, want)
			require.NotContains(t, log.String(), "level=WARN")

			dir := filepath.Join(m.Root, "example.com", "ann")
			index, err := os.ReadFile(filepath.Join(dir, "mailbricks-index"))
			require.NoError(t, err)
			require.Contains(t, string(index), "Kw", "on disk before anyone hears of it")
			require.NoError(t, m.Close())
			old, err := filepath.Glob(filepath.Join(dir, "dovecot.index*"))
			require.NoError(t, err)
			require.NotEmpty(t, old)
			for _, path := range old {
				require.NoError(t, os.Remove(path))
			}
			m = newMaildir(t, m.Root, 0)
			requireFlags(t, m, want)
		})
	}
}

// What is removed after the takeover does not come again, though Dovecot's index is still there.
func TestDovecotKeywordsOnce(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	want := dovecotKeywords(t, m.Root, "both")
	b := open(t, m, mailbox.Inbox)
	_, err := b.SetFlags(t.Context(), []mailbox.UID{1, 3, 12}, mailbox.FlagChange{Op: mailbox.ReplaceFlags, Flags: []mailbox.Flag{"Mine"}})
	require.NoError(t, err)
	for _, uid := range []mailbox.UID{1, 3, 12} {
		require.NotEmpty(t, want[uid])
		want[uid] = []mailbox.Flag{"Mine"}
	}
	requireFlags(t, m, want)
	require.NoError(t, m.Close())
	m = newMaildir(t, m.Root, 0)
	requireFlags(t, m, want)
}

// Where Dovecot's index is missing or cannot be understood there is one warning, and the mailbox is as without it.
func TestDovecotKeywordsLost(t *testing.T) {
	t.Parallel()
	write := func(name, data string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600))
		}
	}
	for name, c := range map[string]struct {
		sample   string
		leaveOut []string
		harm     func(t *testing.T, dir string)
	}{
		"missing":   {"both", []string{"dovecot.index", "dovecot.index.log"}, nil},
		"version":   {"both", nil, write("dovecot.index", "\x08\x03"+strings.Repeat("\x00", 200))},
		"no index":  {"both", nil, write("dovecot.index", "")},
		"no log":    {"logonly", nil, write("dovecot.index.log", "")},
		"other log": {"logonly", nil, write("dovecot.index.log", "\x02"+strings.Repeat("\x00", 200))},
		"a folder": {"both", []string{"dovecot.index"}, func(t *testing.T, dir string) {
			require.NoError(t, os.Mkdir(filepath.Join(dir, "dovecot.index"), 0o700))
		}},
		"validity": {"both", nil, func(t *testing.T, dir string) {
			path := filepath.Join(dir, "dovecot-uidlist")
			list, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, bytes.Replace(list, []byte("3 V1"), []byte("3 V2"), 1), 0o600))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			m := newMaildir(t, t.TempDir(), 0)
			m.Logger = slog.New(slog.NewTextHandler(&log, nil))
			want := dovecotKeywords(t, m.Root, c.sample, c.leaveOut...)
			if c.harm != nil {
				c.harm(t, filepath.Join(m.Root, "example.com", "ann"))
			}
			for uid := range want {
				want[uid] = nil
			}
			requireFlags(t, m, want)
			require.Equal(t, 1, strings.Count(log.String(), "level=WARN"), log.String())
			require.Contains(t, log.String(), "keywords beyond 26")
			require.NoError(t, m.Close())
			log.Reset()
			m = newMaildir(t, m.Root, 0)
			m.Logger = slog.New(slog.NewTextHandler(&log, nil))
			requireFlags(t, m, want)
			require.NotContains(t, log.String(), "level=WARN")
		})
	}
	// Without 26 names in dovecot-keywords Dovecot's index has nothing more.
	var log bytes.Buffer
	m := newMaildir(t, t.TempDir(), 0)
	m.Logger = slog.New(slog.NewTextHandler(&log, nil))
	want := dovecotKeywords(t, m.Root, "both", "dovecot-keywords")
	for uid := range want {
		want[uid] = nil
	}
	requireFlags(t, m, want)
	require.NotContains(t, log.String(), "level=WARN")
}

// Neither a backup of an account that nobody has opened yet, nor encrypting one, loses them, though both leave Dovecot's
// index out.
func TestDovecotKeywordsUnopened(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	want := dovecotKeywords(t, m.Root, "both")
	dir := filepath.Join(t.TempDir(), "backup")
	_, err := m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
	require.NoError(t, err)
	back := newMaildir(t, t.TempDir(), 0)
	_, err = back.Restore(t.Context(), ann, dir, maildir.RestoreOptions{})
	require.NoError(t, err)
	requireFlags(t, back, want)

	m = newMaildir(t, t.TempDir(), 0)
	maildir.Cheap(m)
	want = dovecotKeywords(t, m.Root, "both")
	_, err = m.EnableEncryption(t.Context(), ann, password)
	require.NoError(t, err)
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
	requireFlags(t, m, want)
	require.NoFileExists(t, filepath.Join(m.Root, "example.com", "ann", "dovecot.index"))
}
