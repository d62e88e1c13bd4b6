package maildir_test

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// manifest is what Dovecot said of its tree over IMAP.
type manifest struct {
	List, Lsub []string
	Mailboxes  map[string]struct {
		UIDValidity, UIDNext, Exists, Status string
		Messages                             []struct {
			UID          mailbox.UID
			Flags        []mailbox.Flag
			Size         int64
			InternalDate string
		}
	}
}

// suite unpacks Dovecot's tree as the account of ann.
func suite(t *testing.T) (*maildir.Maildir, string, manifest) {
	t.Helper()
	suites := os.Getenv("MAILBRICKS_SUITES")
	if suites == "" {
		t.Skip("MAILBRICKS_SUITES is not set: no tree made by Dovecot at hand")
	}
	dir := filepath.Join(suites, "dovecot-maildir")
	var want manifest
	data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &want))
	root := t.TempDir()
	account := filepath.Join(root, "example.com", "ann")
	untar(t, filepath.Join(dir, "Maildir.tar.gz"), account)
	return newMaildir(t, root, 0), account, want
}

func untar(t *testing.T, archive, to string) {
	t.Helper()
	f, err := os.Open(archive)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return
		}
		require.NoError(t, err)
		path := filepath.Join(to, strings.TrimPrefix(filepath.ToSlash(h.Name), "Maildir"))
		switch h.Typeflag {
		case tar.TypeDir:
			require.NoError(t, os.MkdirAll(path, 0o700))
		case tar.TypeReg:
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
			data, err := io.ReadAll(r)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, data, 0o600))
			require.NoError(t, os.Chtimes(path, h.ModTime, h.ModTime))
		}
	}
}

// imapNames are the names of the manifest, in modified UTF-7, as the store has them.
func imapName(name string) string {
	name = strings.Trim(name, `"`)
	for from, to := range map[string]string{"&ZeVnLIqe-": "日本語", "Entw&APw-rfe": "Entwürfe", "a&-b": "a&b"} {
		if name == from {
			return to
		}
	}
	return name
}

func checkDovecot(t *testing.T, m *maildir.Maildir, want manifest) {
	t.Helper()
	require.NotEmpty(t, want.Mailboxes)
	for name, box := range want.Mailboxes {
		b := open(t, m, imapName(name))
		st, err := b.Status(t.Context())
		require.NoError(t, err)
		require.Equal(t, box.UIDValidity, strconv.Itoa(int(st.UIDValidity)), name)
		require.Equal(t, box.UIDNext, strconv.Itoa(int(st.UIDNext)), name)
		require.Equal(t, box.Exists, strconv.Itoa(st.Messages), name)
		if _, rest, ok := strings.Cut(box.Status, "UNSEEN "); ok {
			unseen, _, _ := strings.Cut(rest, " ")
			require.Equal(t, unseen, strconv.Itoa(st.Unseen), name)
		}
		var size int64
		metas, err := b.Messages(t.Context(), uidsOf(t, b))
		require.NoError(t, err)
		require.Len(t, metas, len(box.Messages), name)
		for i, msg := range box.Messages {
			got := metas[i]
			require.Equal(t, msg.UID, got.UID, name)
			require.Equal(t, msg.Size, got.Size, "%s UID %d", name, msg.UID)
			size += msg.Size
			flags := slices.DeleteFunc(slices.Clone(msg.Flags), func(f mailbox.Flag) bool { return f.Is(`\Recent`) })
			require.ElementsMatch(t, flags, got.Flags, "%s UID %d", name, msg.UID)
			date, err := time.Parse("02-Jan-2006 15:04:05 -0700", msg.InternalDate)
			require.NoError(t, err)
			require.True(t, date.Equal(got.InternalDate), "%s UID %d: %v", name, msg.UID, got.InternalDate)
			content := text(t, b, msg.UID)
			require.Len(t, content, int(msg.Size))
			require.Equal(t, strings.Count(content, "\n"), strings.Count(content, "\r\n"), "CRLF line ends")
		}
		require.Equal(t, size, st.Size)
	}
}

func TestDovecotTree(t *testing.T) {
	t.Parallel()
	m, account, want := suite(t)
	before, err := os.ReadFile(filepath.Join(account, "dovecot-keywords"))
	require.NoError(t, err)
	checkDovecot(t, m, want)

	// The same again from our own files, and once more without our index.
	require.NoError(t, m.Close())
	m = newMaildir(t, m.Root, 0)
	checkDovecot(t, m, want)
	require.NoError(t, m.Close())
	indexes, err := filepath.Glob(filepath.Join(account, "*", "mailbricks-index"))
	require.NoError(t, err)
	more, err := filepath.Glob(filepath.Join(account, ".*", "mailbricks-index"))
	require.NoError(t, err)
	for _, path := range append(append(indexes, more...), filepath.Join(account, "mailbricks-index")) {
		require.NoError(t, os.RemoveAll(path))
	}
	m = newMaildir(t, m.Root, 0)
	checkDovecot(t, m, want)

	after, err := os.ReadFile(filepath.Join(account, "dovecot-keywords"))
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))
}

func TestDovecotRecent(t *testing.T) {
	t.Parallel()
	m, _, _ := suite(t)
	b := open(t, m, mailbox.Inbox)
	st, err := b.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, 3, st.Recent, "those in new")
	first, err := b.(mailbox.RecentKeeper).TakeRecent(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 17, first)
	found, err := filepath.Glob(filepath.Join(m.Root, "example.com", "ann", "new", "*"))
	require.NoError(t, err)
	require.Empty(t, found, "they move to cur")
	require.Len(t, uidsOf(t, b), 14)
}

func TestDovecotList(t *testing.T) {
	t.Parallel()
	m, _, want := suite(t)
	s, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
	require.NoError(t, err)
	defer s.Close()
	infos, err := s.List(t.Context())
	require.NoError(t, err)
	line := regexp.MustCompile(`^\* L(?:IST|SUB) \((.*)\) "/" (.*)$`)
	var names, subscribed []string
	byName := map[string]mailbox.Info{}
	for _, info := range infos {
		names = append(names, info.Name)
		byName[info.Name] = info
		if info.Subscribed {
			subscribed = append(subscribed, info.Name)
		}
	}
	var wantNames, wantSubscribed []string
	for _, l := range want.List {
		found := line.FindStringSubmatch(l)
		require.NotNil(t, found, l)
		name := imapName(found[2])
		wantNames = append(wantNames, name)
		require.Equal(t, strings.Contains(found[1], `\Noselect`), byName[name].NoSelect, name)
		for _, use := range []mailbox.Use{mailbox.UseJunk, mailbox.UseDrafts, mailbox.UseSent, mailbox.UseTrash} {
			require.Equal(t, strings.Contains(found[1], string(use)), slices.Contains(byName[name].Uses, use), "%s %s", name, use)
		}
	}
	for _, l := range want.Lsub {
		found := line.FindStringSubmatch(l)
		require.NotNil(t, found, l)
		wantSubscribed = append(wantSubscribed, imapName(found[2]))
	}
	require.ElementsMatch(t, wantNames, names)
	require.ElementsMatch(t, wantSubscribed, subscribed)
}

// A changed tree is still one that Dovecot understands: header and lines as it writes them, flags in names, letters for
// keywords.
func TestDovecotTreeGoesBack(t *testing.T) {
	t.Parallel()
	m, account, _ := suite(t)
	b := open(t, m, mailbox.Inbox)
	uid := appendTo(t, b, "Subject: ours\r\n\r\nbody\r\n", mailbox.Seen, "kw1", "brand-new")
	require.EqualValues(t, 20, uid)
	_, err := b.Expunge(t.Context(), []mailbox.UID{1, 19})
	require.NoError(t, err)
	_, err = b.SetFlags(t.Context(), []mailbox.UID{2}, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Answered, "Junk"}})
	require.NoError(t, err)
	o, ok := mustStore(t, m).(mailbox.Organizer)
	require.True(t, ok)
	require.NoError(t, o.Subscribe(t.Context(), "Archive/2024/Q1", true))
	require.NoError(t, o.Create(t.Context(), "Neu/Ä", ""))
	require.NoError(t, m.Close())

	list, err := os.ReadFile(filepath.Join(account, "dovecot-uidlist"))
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSuffix(string(list), "\n"), "\n")
	require.Regexp(t, `^3 V1795306103 N\d+ Gb99366077532026b8a04000083ecc375 M\d+$`, lines[0])
	last := 0
	for _, l := range lines[1:] {
		found := regexp.MustCompile(`^(\d+) ([A-Z][^ ]+ )*:([^/: ]+)$`).FindStringSubmatch(l)
		require.NotNil(t, found, l)
		n, err := strconv.Atoi(found[1])
		require.NoError(t, err)
		require.Greater(t, n, last)
		last = n
	}
	require.Equal(t, 20, last)
	kw, err := os.ReadFile(filepath.Join(account, "dovecot-keywords"))
	require.NoError(t, err)
	require.Contains(t, string(kw), "\n8 brand-new\n")
	path, err := maildir.FileOf(account, 20)
	require.NoError(t, err)
	require.Regexp(t, `[:;]2,Sgi$`, path)
	path, err = maildir.FileOf(account, 2)
	require.NoError(t, err)
	require.Regexp(t, `[:;]2,RSc$`, path)
	subs, err := os.ReadFile(filepath.Join(account, "subscriptions"))
	require.NoError(t, err)
	require.Contains(t, string(subs), "V\t2\n\n")
	require.Contains(t, string(subs), "\nArchive\t2024\tQ1\n")
	header, err := os.ReadFile(filepath.Join(account, ".Neu.&AMQ-", "dovecot-uidlist"))
	require.NoError(t, err)
	require.Regexp(t, `^3 V\d+ N1 G[0-9a-f]{32}\n$`, string(header))
	require.FileExists(t, filepath.Join(account, ".Neu.&AMQ-", "maildirfolder"))
	validity, err := os.ReadFile(filepath.Join(account, "dovecot-uidvalidity"))
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(account, "dovecot-uidvalidity."+string(validity)))
	require.NoFileExists(t, filepath.Join(account, "dovecot-uidvalidity.6b023283"))
}

func mustStore(t *testing.T, m *maildir.Maildir) mailbox.Store {
	t.Helper()
	s, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}
