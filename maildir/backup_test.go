package maildir_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// everything has lines for all that ann's mailboxes have, by mailbox: UIDVALIDITY and modseq first, then the messages.
func everything(t testing.TB, s mailbox.Store) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	infos, err := s.List(t.Context())
	require.NoError(t, err)
	for _, info := range infos {
		if info.NoSelect || info.NonExistent {
			continue
		}
		box, err := s.Open(t.Context(), info.Name)
		require.NoError(t, err)
		st, err := box.Status(t.Context())
		require.NoError(t, err)
		lines := []string{fmt.Sprint("V", st.UIDValidity), fmt.Sprint("N", st.UIDNext), fmt.Sprint("M", st.ModSeq)}
		uids, _, err := box.UIDs(t.Context())
		require.NoError(t, err)
		metas, err := box.Messages(t.Context(), uids)
		require.NoError(t, err)
		for _, m := range metas {
			c, err := box.Content(t.Context(), m.UID)
			require.NoError(t, err)
			text, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
			require.NoError(t, err)
			require.NoError(t, c.Close())
			lines = append(lines, fmt.Sprintf("%d M%d %v %d %q", m.UID, m.ModSeq, slices.Sorted(slices.Values(m.Flags)), m.InternalDate.Unix(), text))
		}
		require.NoError(t, box.Close())
		out[info.Name] = lines
	}
	return out
}

// texts are the messages of all mailboxes: mailbox, flags, content.
func texts(t testing.TB, s mailbox.Store) (out []string) {
	t.Helper()
	for name, lines := range everything(t, s) {
		for _, l := range lines[3:] {
			_, l, _ = strings.Cut(l, " ")
			_, l, _ = strings.Cut(l, " ")
			out = append(out, name+" "+l)
		}
	}
	slices.Sort(out)
	return out
}

// settled makes an account with mail, flags and keywords, and gives its session.
func settled(t testing.TB, m *maildir.Maildir) mailbox.Store {
	t.Helper()
	s := mustStoreOf(t, m)
	inbox := mustOpen(t, s, "INBOX")
	for i := range 5 {
		storeText(t, inbox, fmt.Sprintf("Subject: %d\r\n\r\nbody\r\n", i), mailbox.Seen)
	}
	many := make([]mailbox.Flag, 30) // more than have a letter
	for i := range many {
		many[i] = mailbox.Flag(fmt.Sprintf("k%02d", i))
	}
	setFlags(t, inbox, 2, many...)
	setFlags(t, inbox, 3, mailbox.Flagged)
	_, err := inbox.Expunge(t.Context(), []mailbox.UID{4})
	require.NoError(t, err)
	require.NoError(t, s.(mailbox.Organizer).Create(t.Context(), "Work/2026", ""))
	_, err = inbox.Copy(t.Context(), []mailbox.UID{1, 2}, "Work/2026")
	require.NoError(t, err)
	require.NoError(t, inbox.Close())
	return s
}

func mustStoreOf(t testing.TB, m *maildir.Maildir) mailbox.Store {
	t.Helper()
	s, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func mustOpen(t testing.TB, s mailbox.Store, name string) mailbox.Mailbox {
	t.Helper()
	box, err := s.Open(t.Context(), name)
	require.NoError(t, err)
	return box
}

func storeText(t testing.TB, box mailbox.Mailbox, text string, flags ...mailbox.Flag) mailbox.UID {
	t.Helper()
	uid, err := box.Append(t.Context(), strings.NewReader(text), mailbox.AppendOptions{Size: int64(len(text)), Flags: flags, InternalDate: time.Unix(1767225600, 0)})
	require.NoError(t, err)
	return uid
}

func setFlags(t testing.TB, box mailbox.Mailbox, uid mailbox.UID, flags ...mailbox.Flag) {
	t.Helper()
	_, err := box.SetFlags(t.Context(), []mailbox.UID{uid}, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: flags})
	require.NoError(t, err)
}

// treeOf is the Maildir in a backup.
func treeOf(t testing.TB, dir string) string {
	t.Helper()
	trees, err := filepath.Glob(filepath.Join(dir, "mail-*"))
	require.NoError(t, err)
	require.Len(t, trees, 1, "only the last backup stays")
	return trees[0]
}

// copyOf copies a tree and gives a Maildir in which ann has it.
func copyOf(t testing.TB, tree string) mailbox.Store {
	t.Helper()
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "example.com"), 0o700))
	require.NoError(t, os.CopyFS(filepath.Join(root, "example.com", "ann"), os.DirFS(tree)))
	return mustStoreOf(t, newMaildir(t, root, 0))
}

func TestBackupIsTheAccountAsItWas(t *testing.T) {
	t.Parallel()
	root, dir := t.TempDir(), filepath.Join(t.TempDir(), "a", "b")
	m := newMaildir(t, root, 0)
	s := settled(t, m)
	want := everything(t, s)
	stats, err := m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
	require.NoError(t, err)
	require.Equal(t, maildir.BackupStats{Mailboxes: 7, Messages: 6}, stats)
	first := treeOf(t, dir)
	require.Equal(t, want, everything(t, copyOf(t, first)))
	require.NoDirExists(t, filepath.Join(root, "example.com", "ann", "..mailbricks-backup"))

	inbox := mustOpen(t, s, "INBOX")
	storeText(t, inbox, "Subject: more\r\n\r\n")
	setFlags(t, inbox, 1, mailbox.Deleted)
	_, err = inbox.Expunge(t.Context(), []mailbox.UID{2})
	require.NoError(t, err)
	require.NoError(t, inbox.Close())
	require.NoError(t, s.(mailbox.Organizer).Rename(t.Context(), "Work/2026", "Old"))
	want = everything(t, s)
	_, err = m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
	require.NoError(t, err)
	second := treeOf(t, dir)
	require.NotEqual(t, first, second)
	require.Equal(t, want, everything(t, copyOf(t, second)))

	// What is written to in place is a file of its own, and messages are not.
	one, err := os.Stat(filepath.Join(second, "dovecot-uidlist"))
	require.NoError(t, err)
	two, err := os.Stat(filepath.Join(root, "example.com", "ann", "dovecot-uidlist"))
	require.NoError(t, err)
	require.False(t, os.SameFile(one, two))
}

// linkless are files without hard links.
type linkless struct{ durable.FS }

func (linkless) Link(string, string) error { return syscall.EPERM }

// elsewhere are files where the folder of backups is another file system.
type elsewhere struct {
	durable.FS
	dir string
}

func (e elsewhere) other(a, b string) bool {
	return strings.HasPrefix(a, e.dir) != strings.HasPrefix(b, e.dir)
}

func (e elsewhere) Rename(a, b string) error {
	if e.other(a, b) {
		return syscall.EXDEV
	}
	return e.FS.Rename(a, b)
}

func (e elsewhere) Link(a, b string) error {
	if e.other(a, b) {
		return syscall.EXDEV
	}
	return e.FS.Link(a, b)
}

func TestBackupWithoutLinksAndToAnotherFileSystem(t *testing.T) {
	t.Parallel()
	for name, fsys := range map[string]func(dir string) durable.FS{
		"without links": func(string) durable.FS { return linkless{unsynced{durable.OS()}} },
		"elsewhere":     func(dir string) durable.FS { return elsewhere{unsynced{durable.OS()}, dir} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "backup")
			m := newMaildir(t, t.TempDir(), 0)
			maildir.SetFS(m, fsys(dir))
			s := settled(t, m)
			want := everything(t, s)
			stats, err := m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
			require.NoError(t, err)
			require.Equal(t, 6, stats.Copied)
			require.Equal(t, want, everything(t, copyOf(t, treeOf(t, dir))))

			inbox := mustOpen(t, s, "INBOX")
			storeText(t, inbox, "Subject: more\r\n\r\n")
			setFlags(t, inbox, 1, mailbox.Deleted)
			require.NoError(t, inbox.Close())
			want = everything(t, s)
			stats, err = m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
			require.NoError(t, err)
			if name == "elsewhere" {
				require.Equal(t, 1, stats.Copied, "what the backup has already is not copied again")
			}
			require.Equal(t, want, everything(t, copyOf(t, treeOf(t, dir))))

			box := mustOpen(t, s, "INBOX")
			_, err = box.Expunge(t.Context(), []mailbox.UID{1, 2, 3})
			require.NoError(t, err)
			require.NoError(t, box.Close())
			before := len(texts(t, s))
			back, err := m.Restore(t.Context(), ann, dir, maildir.RestoreOptions{Merge: true})
			require.NoError(t, err)
			require.LessOrEqual(t, before, len(texts(t, s)))
			require.Equal(t, len(texts(t, s)), before+back.Messages)
		})
	}
}

// While messages move to and fro, a backup has each of them, and no flags of two moments.
func TestBackupWhileTheAccountIsInUse(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	s := mustStoreOf(t, m)
	inbox := mustOpen(t, s, "INBOX")
	for i := range 40 {
		storeText(t, inbox, fmt.Sprintf("Subject: %d\r\n\r\n", i))
	}
	require.NoError(t, inbox.Close())
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		from, to := "INBOX", "Archive"
		for {
			select {
			case <-done:
				return
			default:
			}
			box := mustOpen(t, s, from)
			uids, _, err := box.UIDs(t.Context())
			require.NoError(t, err)
			for _, uid := range uids {
				setFlags(t, box, uid, mailbox.Seen)
				_, err = box.Move(t.Context(), []mailbox.UID{uid}, to)
				require.NoError(t, err)
			}
			require.NoError(t, box.Close())
			from, to = to, from
		}
	})
	dir := t.TempDir()
	for range 8 {
		_, err := m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
		require.NoError(t, err)
		seen := map[string]bool{}
		for _, line := range texts(t, copyOf(t, treeOf(t, dir))) {
			_, subject, _ := strings.Cut(line, "Subject: ")
			seen[subject] = true
		}
		require.Len(t, seen, 40)
	}
	close(done)
	wg.Wait()
}

func TestBackupRefuses(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	m := newMaildir(t, root, 0)
	settled(t, m)
	for _, dir := range []string{root, filepath.Join(root, "example.com", "ann", "backup"), filepath.Join(root, "example.com", "ann")} {
		_, err := m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
		require.ErrorContains(t, err, "within", dir)
	}
	dir := t.TempDir()
	_, err := m.Restore(t.Context(), ann, dir, maildir.RestoreOptions{})
	require.ErrorIs(t, err, maildir.ErrNoBackup)
	lock, err := durable.OS().TryLock(filepath.Join(dir, "mailbricks-backup.lock"))
	require.NoError(t, err)
	_, err = m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
	require.ErrorIs(t, err, durable.ErrLocked)
	require.NoError(t, lock.Close())
	_, err = m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
	require.NoError(t, err)
	_, err = m.Backup(t.Context(), "bob@example.com", dir, maildir.BackupOptions{})
	require.ErrorIs(t, err, maildir.ErrOtherAccount)
	require.ErrorContains(t, err, ann)
	put(t, filepath.Join(dir, "mailbricks-backup"), "mailbricks-backup 9\n")
	_, err = m.Restore(t.Context(), ann, dir, maildir.RestoreOptions{})
	require.ErrorContains(t, err, "newer")
	put(t, filepath.Join(dir, "mailbricks-backup"), "mailbricks-backup 1\naddress ann@example.com\nmail ../../etc\n")
	_, err = m.Restore(t.Context(), ann, dir, maildir.RestoreOptions{})
	require.ErrorIs(t, err, maildir.ErrNoBackup)
}

// A backup is not put where it would be taken for an account, or come into the backups of another one.
func TestBackupIsNotAmongTheAccounts(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	settled(t, m)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(m.Root, link); err != nil {
		link = m.Root
	}
	for _, dir := range []string{"x", "example.com/bob/backup", "example.com/backup"} {
		for _, root := range []string{m.Root, link} {
			_, err := m.Backup(t.Context(), ann, filepath.Join(root, dir), maildir.BackupOptions{})
			require.ErrorContains(t, err, "within the folder of the accounts", dir)
		}
		require.NoDirExists(t, filepath.Join(m.Root, dir))
	}
	beside := m.Root + "-backup"
	_, err := m.Backup(t.Context(), ann, beside, maildir.BackupOptions{})
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(beside))
}

// The backup of one account does not take the place of another one's mail by a slip.
func TestRestoreOfAnotherAccountsBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := newMaildir(t, t.TempDir(), 0)
	settled(t, m)
	_, err := m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
	require.NoError(t, err)
	s, err := m.Store(t.Context(), mailbricks.Identity{User: "bob@example.com"})
	require.NoError(t, err)
	defer s.Close()
	storeText(t, mustOpen(t, s, mailbox.Inbox), "Subject: of bob\r\n\r\n")
	mine := everything(t, s)
	for _, opts := range []maildir.RestoreOptions{{}, {Merge: true}, {From: "carl@example.com"}} {
		_, err = m.Restore(t.Context(), "bob@example.com", dir, opts)
		require.ErrorIs(t, err, maildir.ErrOtherAccount)
		require.ErrorContains(t, err, ann)
		require.Equal(t, mine, everything(t, s))
	}
	stats, err := m.Restore(t.Context(), "bob@example.com", dir, maildir.RestoreOptions{From: "Ann@example.com"})
	require.NoError(t, err)
	require.Equal(t, 6, stats.Messages)
	_, err = m.Restore(t.Context(), "ann@EXAMPLE.com", dir, maildir.RestoreOptions{})
	require.NoError(t, err)
	rewrite(t, filepath.Join(dir, "mailbricks-backup"), func(text string) string { return strings.Replace(text, "address "+ann, "", 1) })
	_, err = m.Restore(t.Context(), ann, dir, maildir.RestoreOptions{})
	require.ErrorIs(t, err, maildir.ErrOtherAccount, "nobody knows of whom it is")
}

func TestRestoreOfWhatHasNotChangedChangesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := newMaildir(t, t.TempDir(), 0)
	s := settled(t, m)
	want := everything(t, s)
	_, err := m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
	require.NoError(t, err)
	stats, err := m.Restore(t.Context(), ann, dir, maildir.RestoreOptions{})
	require.NoError(t, err)
	require.Equal(t, maildir.RestoreStats{Mailboxes: 7, Messages: 6}, stats)
	require.Equal(t, want, everything(t, s))
}

func TestRestoreIntoAnEmptyAccountKeepsUIDs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := newMaildir(t, t.TempDir(), 0)
	want := everything(t, settled(t, m))
	_, err := m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
	require.NoError(t, err)

	other := newMaildir(t, t.TempDir(), 0)
	stats, err := other.Restore(t.Context(), ann, dir, maildir.RestoreOptions{})
	require.NoError(t, err)
	require.Empty(t, stats.Renumbered)
	got := everything(t, mustStoreOf(t, other))
	require.Len(t, got, len(want))
	for name, lines := range want {
		require.Equal(t, lines[0], got[name][0], "UIDVALIDITY")
		if len(lines) > 3 {
			require.NotEqual(t, lines[1], got[name][1], "UIDs may have been given since")
		}
		require.Equal(t, withoutModSeqs(lines[3:]), withoutModSeqs(got[name][3:]))
	}
}

func withoutModSeqs(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		uid, rest, _ := strings.Cut(l, " ")
		_, rest, _ = strings.Cut(rest, " ")
		out[i] = uid + " " + rest
	}
	return out
}

func TestRestoreGivesNoUIDAnotherMeaning(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := newMaildir(t, t.TempDir(), 0)
	s := settled(t, m)
	want := everything(t, s)
	_, err := m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
	require.NoError(t, err)
	inbox, work, trash := mustOpen(t, s, "INBOX"), mustOpen(t, s, "Work/2026"), mustOpen(t, s, "Trash")
	storeText(t, inbox, "Subject: later\r\n\r\n")
	setFlags(t, work, 1, mailbox.Deleted)
	storeText(t, trash, "Subject: later\r\n\r\n")
	require.NoError(t, s.(mailbox.Organizer).Delete(t.Context(), "Drafts"))
	_, err = trash.Expunge(t.Context(), []mailbox.UID{1})
	require.NoError(t, err)
	now := everything(t, s)

	stats, err := m.Restore(t.Context(), ann, dir, maildir.RestoreOptions{})
	require.NoError(t, err)
	require.Equal(t, []string{"Drafts", "INBOX", "Trash"}, stats.Renumbered)
	got := everything(t, s)
	for _, name := range []string{"INBOX", "Trash", "Drafts"} {
		require.NotEqual(t, want[name][0], got[name][0], name)
		require.Greater(t, got[name][0], want[name][0], "UIDVALIDITY grows")
		require.Equal(t, withoutModSeqs(want[name][3:]), withoutModSeqs(got[name][3:]), name)
	}
	require.Equal(t, want["Work/2026"][:2], got["Work/2026"][:2])
	require.Equal(t, withoutModSeqs(want["Work/2026"][3:]), withoutModSeqs(got["Work/2026"][3:]), "flags are as they were")

	// Sessions find out.
	_, err = inbox.Status(t.Context())
	require.ErrorIs(t, err, mailbox.ErrNoMailbox)
	st, err := work.Status(t.Context())
	require.NoError(t, err)
	var modseq uint64
	_, err = fmt.Sscanf(now["Work/2026"][2], "M%d", &modseq)
	require.NoError(t, err)
	require.Greater(t, uint64(st.ModSeq), modseq)
	_, err = work.Changes(t.Context(), mailbox.ModSeq(modseq))
	require.ErrorIs(t, err, mailbox.ErrTooOld)
	for _, box := range []mailbox.Mailbox{inbox, work, trash} {
		require.NoError(t, box.Close())
	}
}

func TestMergeBringsBackWhatIsMissing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := newMaildir(t, t.TempDir(), 0)
	s := settled(t, m)
	want := texts(t, s)
	_, err := m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
	require.NoError(t, err)
	inbox := mustOpen(t, s, "INBOX")
	_, err = inbox.Move(t.Context(), []mailbox.UID{5}, "Archive") // it is not missing
	require.NoError(t, err)
	_, err = inbox.Expunge(t.Context(), []mailbox.UID{2, 3})
	require.NoError(t, err)
	storeText(t, inbox, "Subject: later\r\n\r\n")
	require.NoError(t, inbox.Close())
	require.NoError(t, s.(mailbox.Organizer).Delete(t.Context(), "Work/2026"))

	stats, err := m.Restore(t.Context(), ann, dir, maildir.RestoreOptions{Merge: true})
	require.NoError(t, err)
	require.Equal(t, maildir.RestoreStats{Mailboxes: 1, Messages: 4}, stats)
	var back []string
	for _, line := range texts(t, s) {
		if !strings.Contains(line, "later") {
			back = append(back, strings.Replace(line, "Archive ", "INBOX ", 1))
		}
	}
	slices.Sort(back)
	require.Equal(t, want, back)
	require.Contains(t, texts(t, s)[len(texts(t, s))-1], "Work/2026")

	stats, err = m.Restore(t.Context(), ann, dir, maildir.RestoreOptions{Merge: true})
	require.NoError(t, err)
	require.Equal(t, maildir.RestoreStats{}, stats, "nothing comes back twice")
}

// After a power cut at any call of Backup there is the backup before or the new one, whole; after one at any call of Restore
// the account is as it was or as in the backup.
func TestBackupAndRestoreSurvivePowerCuts(t *testing.T) {
	t.Parallel()
	prepare := func() (*crashfs.FS, *maildir.Maildir, []string, []string) {
		fsys := crashfs.New()
		m := onFiles(fsys)
		s, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
		require.NoError(t, err)
		box := mustOpen(t, s, "INBOX")
		storeText(t, box, "Subject: a\r\n\r\n", mailbox.Seen)
		old := texts(t, s)
		_, err = m.Backup(t.Context(), ann, "/backup", maildir.BackupOptions{})
		require.NoError(t, err)
		storeText(t, box, "Subject: b\r\n\r\n")
		setFlags(t, box, 1, mailbox.Flagged)
		now := texts(t, s)
		require.NoError(t, box.Close())
		require.NoError(t, s.Close())
		return fsys, m, old, now
	}
	steps, states := 30, 4
	if os.Getenv("MAILBRICKS_LONG") != "" {
		steps, states = 1000, 12
	}
	const live = "Subject: live"
	letter := &mailbricks.Envelope{Recipients: []mailbricks.Recipient{{Address: ann}}}
	for name, do := range map[string]func(*crashfs.FS, *maildir.Maildir) (delivered bool){
		"backup": func(_ *crashfs.FS, m *maildir.Maildir) bool {
			_, _ = m.Backup(t.Context(), ann, "/backup", maildir.BackupOptions{})
			return false
		},
		"restore": func(fsys *crashfs.FS, m *maildir.Maildir) (delivered bool) {
			maildir.SetFS(m, &atLink{FS: fsys, do: func() {
				delivered = m.Handle(t.Context(), letter, mailbricks.NewMessage([]byte(live+"\r\n\r\n"))) == nil
			}})
			_, _ = m.Restore(t.Context(), ann, "/backup", maildir.RestoreOptions{})
			return delivered
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fsys, m, old, now := prepare()
			first := fsys.Calls()
			do(fsys, m)
			calls := fsys.Calls() - first
			require.NoError(t, m.Close())
			outcomes := map[string]int{}
			for n := 1; n <= calls; n += 1 + calls/steps {
				fsys, m, _, _ := prepare()
				fsys.CrashAfter(first + n)
				delivered := do(fsys, m)
				_ = m.Close()
				checked := 0
				for state := range fsys.States() {
					if checked++; checked > states {
						break
					}
					after := onFiles(state)
					if name == "backup" {
						_, err := after.Restore(t.Context(), ann, "/backup", maildir.RestoreOptions{})
						require.NoError(t, err, state.What)
					}
					s, err := after.Store(t.Context(), mailbricks.Identity{User: ann})
					require.NoError(t, err, state.What)
					lines := texts(t, s)
					more := slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return !strings.Contains(l, live) })
					lines = slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, live) })
					require.LessOrEqual(t, len(more), 1, state.What)
					if delivered {
						outcomes[live]++
						require.Len(t, more, 1, "what came meanwhile is lost: call %d, %s", n, state.What)
					}
					got := fmt.Sprint(lines)
					require.Contains(t, []string{fmt.Sprint(old), fmt.Sprint(now)}, got, "call %d, %s", n, state.What)
					outcomes[got]++
					require.NoError(t, s.Close())
					require.NoError(t, after.Close())
				}
			}
			require.Equal(t, name == "restore", outcomes[live] > 0)
			delete(outcomes, live)
			require.Len(t, outcomes, 2, "both happen")
		})
	}
}

// A full disk leaves the backup before, and the account.
func TestBackupAndRestoreOnAFullDisk(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	m := onFiles(fsys)
	s, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
	require.NoError(t, err)
	box := mustOpen(t, s, "INBOX")
	storeText(t, box, "Subject: a\r\n\r\n", mailbox.Seen)
	_, err = m.Backup(t.Context(), ann, "/backup", maildir.BackupOptions{})
	require.NoError(t, err)
	old := texts(t, s)
	storeText(t, box, "Subject: b\r\n\r\n")
	now := texts(t, s)
	require.NoError(t, box.Close())
	failed := 0
	for n := 1; n < 120; n += 3 {
		fsys.FailCall(fsys.Calls()+n, syscall.ENOSPC)
		if _, err := m.Backup(t.Context(), ann, "/backup2", maildir.BackupOptions{}); err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
			failed++
		}
		require.Equal(t, now, texts(t, s))
	}
	require.Positive(t, failed)
	fsys.Fail(nil)
	_, err = m.Restore(t.Context(), ann, "/backup", maildir.RestoreOptions{})
	require.NoError(t, err)
	require.Equal(t, old, texts(t, s))
	_, err = m.Restore(t.Context(), ann, "/backup2", maildir.RestoreOptions{})
	require.NoError(t, err)
	require.Equal(t, now, texts(t, s))
	require.NoError(t, s.Close())
	require.NoError(t, m.Close())
}

// onFiles is a Maildir at /mail of these files.
func onFiles(fsys durable.FS) *maildir.Maildir {
	m := maildir.New("/mail", everyone(0))
	maildir.SetFS(m, fsys)
	m.PollInterval = -1
	m.Linger = -1
	return m
}

// What an interrupted Restore has left goes with the account, and does not come back with the next one of this name.
func TestPurgeRemovesWhatRestoreLeft(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	m := newMaildir(t, root, 0)
	require.NoError(t, os.MkdirAll(filepath.Join(root, "example.com", "..restored-ann", "cur"), 0o700))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "example.com", "..replaced-ann", "cur"), 0o700))
	require.NoError(t, m.Purge(t.Context(), ann))
	entries, err := os.ReadDir(filepath.Join(root, "example.com"))
	require.NoError(t, err)
	require.Empty(t, entries)
}

// Another process that is asked for the account for the first time lets a backup be that is going on, and removes one that was
// interrupted.
func TestBackupWhileAnotherProcessStarts(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	for i := range 10 {
		deliver(t, m, fmt.Sprintf("Subject: %d\r\n\r\n", i))
	}
	staged := filepath.Join(m.Root, "example.com", "ann", "..mailbricks-backup")
	links := 0
	maildir.SetFS(m, &hooked{FS: unsynced{durable.OS()}, link: func(string) error {
		if links++; links == 5 {
			require.DirExists(t, staged)
			require.NoError(t, mustStore(t, newMaildir(t, m.Root, 0)).Close())
		}
		return nil
	}})
	dir := filepath.Join(t.TempDir(), "backup")
	stats, err := m.Backup(t.Context(), ann, dir, maildir.BackupOptions{})
	require.NoError(t, err)
	require.Greater(t, links, 5)
	require.EqualValues(t, 10, stats.Messages)

	require.NoError(t, os.MkdirAll(filepath.Join(staged, "cur"), 0o700))
	require.NoError(t, mustStore(t, newMaildir(t, m.Root, 0)).Close())
	require.NoDirExists(t, staged)
}
