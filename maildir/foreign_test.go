package maildir_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// put makes a file as another program does.
func put(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	when := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	require.NoError(t, os.Chtimes(path, when, when))
}

func one(t *testing.T, b mailbox.Mailbox, uid mailbox.UID) mailbox.Meta {
	t.Helper()
	metas, err := b.Messages(t.Context(), []mailbox.UID{uid})
	require.NoError(t, err)
	require.Len(t, metas, 1)
	return metas[0]
}

// later makes the folders' times old enough that a further change cannot have the same.
func later(t *testing.T, dir string) {
	t.Helper()
	for _, sub := range []string{"new", "cur"} {
		info, err := os.Stat(filepath.Join(dir, sub))
		require.NoError(t, err)
		old := info.ModTime().Add(-time.Hour)
		require.NoError(t, os.Chtimes(filepath.Join(dir, sub), old, old))
	}
}

func TestOtherPrograms(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	b := open(t, m, mailbox.Inbox)
	dir := filepath.Join(m.Root, "example.com", "ann")
	cur, fresh := filepath.Join(dir, "cur"), filepath.Join(dir, "new")

	// Mail that others deliver, with and without sizes and flags, in the order of their times.
	put(t, filepath.Join(fresh, "1700000003.M1P1.host"), "Subject: third\n\nline\n")
	put(t, filepath.Join(cur, "1700000002.M9P1.host:2,FS"), "Subject: second\r\n\r\n")
	put(t, filepath.Join(cur, "1700000002.M10P1.host"), "Subject: after second\n")
	put(t, filepath.Join(cur, "1700000001.M2P1.host,S=9,W=99:2,SF"), "wrong\nsize")
	put(t, filepath.Join(fresh, "1700000004.M1P1.host:2,S"), "flags in new\n")
	put(t, filepath.Join(fresh, ".hidden"), "no message")
	require.NoError(t, os.Mkdir(filepath.Join(cur, "folder"), 0o700))
	if err := os.Symlink("/etc/hostname", filepath.Join(cur, "1700000009.link:2,")); err != nil {
		t.Log("no symbolic links here:", err)
	}
	uids := uidsOf(t, b)
	require.Equal(t, []mailbox.UID{1, 2, 3, 4, 5}, uids)
	require.Equal(t, "wrong\r\nsize", text(t, b, 1))
	require.EqualValues(t, len("wrong\r\nsize"), one(t, b, 1).Size, "the name was wrong")
	require.ElementsMatch(t, []mailbox.Flag{mailbox.Seen, mailbox.Flagged}, one(t, b, 1).Flags)
	require.Equal(t, "Subject: second\r\n\r\n", text(t, b, 2))
	require.Equal(t, "Subject: after second\r\n", text(t, b, 3))
	require.Equal(t, "Subject: third\r\n\r\nline\r\n", text(t, b, 4))
	require.EqualValues(t, len("Subject: third\r\n\r\nline\r\n"), one(t, b, 4).Size)
	require.True(t, one(t, b, 4).InternalDate.Equal(time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)))
	require.Equal(t, []mailbox.Flag{mailbox.Seen}, one(t, b, 5).Flags)
	st, err := b.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, st.Unseen)

	// Flags that others change, files that others remove.
	later(t, dir)
	before := st.ModSeq
	require.NoError(t, os.Rename(filepath.Join(fresh, "1700000003.M1P1.host"), filepath.Join(cur, "1700000003.M1P1.host:2,R")))
	require.NoError(t, os.Remove(filepath.Join(cur, "1700000002.M9P1.host:2,FS")))
	c, err := b.Changes(t.Context(), before)
	require.NoError(t, err)
	require.Equal(t, []mailbox.UID{2}, c.Expunged)
	require.Len(t, c.Changed, 1)
	require.Equal(t, mailbox.UID(4), c.Changed[0].UID)
	require.Equal(t, []mailbox.Flag{mailbox.Answered}, c.Changed[0].Flags)

	// A restored file is a message again, and a new one.
	later(t, dir)
	put(t, filepath.Join(cur, "1700000002.M9P1.host:2,FS"), "Subject: second\r\n\r\n")
	require.Equal(t, []mailbox.UID{1, 3, 4, 5, 6}, uidsOf(t, b))
	_, err = b.Expunge(t.Context(), []mailbox.UID{6})
	require.NoError(t, err)
	require.NoError(t, m.Close())
	put(t, filepath.Join(cur, "1700000002.M9P1.host:2,FS"), "Subject: second\r\n\r\n")
	m = newMaildir(t, m.Root, 0)
	b = open(t, m, mailbox.Inbox)
	require.Equal(t, []mailbox.UID{1, 3, 4, 5, 7}, uidsOf(t, b), "what comes from a backup is not removed")

	// Two messages with one name are two messages.
	require.NoError(t, m.Close())
	put(t, filepath.Join(fresh, "1700000002.M9P1.host"), "Subject: another\r\n\r\n")
	m = newMaildir(t, m.Root, 0)
	b = open(t, m, mailbox.Inbox)
	uidsOf(t, b)
	uids = uidsOf(t, b)
	require.Equal(t, []mailbox.UID{1, 3, 4, 5, 7, 8}, uids)
	require.ElementsMatch(t, []string{"Subject: another\r\n\r\n", "Subject: second\r\n\r\n"}, []string{text(t, b, 7), text(t, b, 8)})
}

// A file that is renamed while a session has the old name is found again.
func TestRenamedUnderneath(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	b := open(t, m, mailbox.Inbox)
	dir := filepath.Join(m.Root, "example.com", "ann")
	uids := []mailbox.UID{appendTo(t, b, "first\r\n"), appendTo(t, b, "second\r\n"), appendTo(t, b, "third\r\n")}
	rename := func(uid mailbox.UID, letters string) {
		t.Helper()
		path, err := maildir.FileOf(dir, uint32(uid))
		require.NoError(t, err)
		require.NoError(t, os.Rename(path, path+letters))
	}
	rename(uids[0], "S")
	require.Equal(t, "first\r\n", text(t, b, uids[0]))
	require.Equal(t, []mailbox.Flag{mailbox.Seen}, one(t, b, uids[0]).Flags)

	rename(uids[1], "R")
	metas, err := b.SetFlags(t.Context(), uids[1:2], mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen}})
	require.NoError(t, err)
	require.ElementsMatch(t, []mailbox.Flag{mailbox.Answered, mailbox.Seen}, metas[0].Flags)

	rename(uids[2], "D")
	copied, err := b.Copy(t.Context(), uids[2:], "Archive")
	require.NoError(t, err)
	require.Len(t, copied.Dest, 1)
	require.Equal(t, []mailbox.Flag{mailbox.Draft}, one(t, open(t, m, "Archive"), copied.Dest[0]).Flags)

	rename(uids[0], "")
	require.NoError(t, func() error { _, err := b.Expunge(t.Context(), uids[:1]); return err }())
	require.Equal(t, uids[1:], uidsOf(t, b))
	_, err = maildir.FileOf(dir, uint32(uids[0]))
	require.Error(t, err)

	path, err := maildir.FileOf(dir, uint32(uids[1]))
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	metas, err = b.SetFlags(t.Context(), uids[1:], mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{"Kw"}})
	require.NoError(t, err)
	require.Len(t, metas, 1)
}

// Whoever watches hears of mail that another program has delivered.
func TestWatchSeesOtherPrograms(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	m.PollInterval = 20 * time.Millisecond
	b := open(t, m, mailbox.Inbox)
	dir := filepath.Join(m.Root, "example.com", "ann")
	wake := make(chan struct{}, 1)
	defer b.(mailbox.Watcher).Watch(wake)()
	later(t, dir)
	require.Empty(t, uidsOf(t, b))
	put(t, filepath.Join(dir, "new", "1700000003.M1P1.host"), "x")
	select {
	case <-wake:
	case <-time.After(10 * time.Second):
		t.Fatal("no wake-up")
	}
	for range 100 {
		if len(uidsOf(t, b)) == 1 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("not found")
}

// A change that falls into the same moment as one of our own comes to light when the moment is over.
func TestChangeBehindOurOwn(t *testing.T) {
	t.Parallel()
	m := maildir.New(t.TempDir(), everyone(0))
	defer m.Close()
	m.PollInterval = -1
	maildir.SetFS(m, unsynced{durable.OS()})
	var mu sync.Mutex
	ahead := time.Duration(0)
	maildir.SetClock(m, func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(ahead)
	})
	b := open(t, m, mailbox.Inbox)
	dir := filepath.Join(m.Root, "example.com", "ann")
	appendTo(t, b, "ours")
	info, err := os.Stat(filepath.Join(dir, "cur"))
	require.NoError(t, err)
	put(t, filepath.Join(dir, "cur", "1700000003.M1P1.host:2,"), "theirs")
	require.NoError(t, os.Chtimes(filepath.Join(dir, "cur"), info.ModTime(), info.ModTime())) // a coarse clock
	mu.Lock()
	ahead = time.Minute
	mu.Unlock()
	require.Len(t, uidsOf(t, b), 2)
}

// Two objects, as two processes would have them, share one account.
func TestTwoObjects(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	first, second := newMaildir(t, root, 0), newMaildir(t, root, 0)
	boxes := []mailbox.Mailbox{open(t, first, mailbox.Inbox), open(t, second, mailbox.Inbox)}
	var mu sync.Mutex
	want := map[mailbox.UID]string{}
	var wg sync.WaitGroup
	for n, b := range boxes {
		for worker := range 3 {
			wg.Go(func() {
				for i := range 12 {
					body := fmt.Sprintf("box %d worker %d message %d\r\n", n, worker, i)
					uid, err := b.Append(context.Background(), strings.NewReader(body), mailbox.AppendOptions{Size: int64(len(body))})
					if err != nil {
						t.Error(err)
						return
					}
					flags := mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen, mailbox.Flag(fmt.Sprintf("k%d-%d", n, i))}}
					if _, err := b.SetFlags(context.Background(), []mailbox.UID{uid}, flags); err != nil {
						t.Error(err)
						return
					}
					if i%3 == 0 {
						if gone, err := b.Expunge(context.Background(), []mailbox.UID{uid}); err != nil || len(gone) != 1 {
							t.Errorf("expunge: %v, %v", gone, err)
						}
						continue
					}
					mu.Lock()
					if old, ok := want[uid]; ok {
						t.Errorf("UID %d given to %q and %q", uid, old, body)
					}
					want[uid] = body
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	uids := uidsOf(t, boxes[0])
	require.Equal(t, uids, uidsOf(t, boxes[1]))
	require.Len(t, uids, len(want))
	for _, uid := range uids {
		require.Equal(t, want[uid], text(t, boxes[0], uid))
		require.Equal(t, want[uid], text(t, boxes[1], uid))
		require.ElementsMatch(t, one(t, boxes[0], uid).Flags, one(t, boxes[1], uid).Flags)
		require.Len(t, one(t, boxes[0], uid).Flags, 2)
		require.Equal(t, one(t, boxes[0], uid).ModSeq, one(t, boxes[1], uid).ModSeq)
	}

	// What the one does to the mailbox as a whole, the other hears of.
	s := mustStore(t, first).(mailbox.Organizer)
	require.NoError(t, s.Create(t.Context(), "shared", ""))
	here, there := open(t, first, "shared"), open(t, second, "shared")
	appendTo(t, here, "x")
	require.Len(t, uidsOf(t, there), 1)
	require.NoError(t, s.Delete(t.Context(), "shared"))
	_, _, err := there.UIDs(t.Context())
	require.ErrorIs(t, err, mailbox.ErrNoMailbox)
	require.NoError(t, s.Create(t.Context(), "shared", ""))
	_, _, err = there.UIDs(t.Context())
	require.ErrorIs(t, err, mailbox.ErrNoMailbox, "another mailbox now")
	require.Empty(t, uidsOf(t, open(t, second, "shared")))
}

// A delivery by one process is seen by the sessions of another.
func TestDeliveryOfAnotherObject(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	first, second := newMaildir(t, root, 0), newMaildir(t, root, 0)
	b := open(t, first, mailbox.Inbox)
	require.Empty(t, uidsOf(t, b))
	later(t, filepath.Join(root, "example.com", "ann"))
	deliver(t, second, "Subject: x\r\n\r\n")
	require.Len(t, uidsOf(t, b), 1)
}

func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	build := func(t *testing.T) (*maildir.Maildir, string, mailbox.Status) {
		m := newMaildir(t, t.TempDir(), 0)
		b := open(t, m, mailbox.Inbox)
		for n := range 4 {
			appendTo(t, b, fmt.Sprintf("message %d\r\n", n), "Kw")
		}
		_, err := b.Expunge(t.Context(), []mailbox.UID{2})
		require.NoError(t, err)
		_, err = b.SetFlags(t.Context(), []mailbox.UID{3}, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen}})
		require.NoError(t, err)
		st, err := b.Status(t.Context())
		require.NoError(t, err)
		require.NoError(t, m.Close())
		return m, filepath.Join(m.Root, "example.com", "ann"), st
	}
	for name, damage := range map[string]func(t *testing.T, list, index string){
		"index is gone": func(t *testing.T, _, index string) { require.NoError(t, os.Remove(index)) },
		"index is empty": func(t *testing.T, _, index string) {
			require.NoError(t, os.WriteFile(index, nil, 0o600))
		},
		"index is garbage": func(t *testing.T, _, index string) {
			require.NoError(t, os.WriteFile(index, []byte(strings.Repeat("\x00\xff\n", 100)), 0o600))
		},
		"index has a torn line": func(t *testing.T, _, index string) { appendText(t, index, "f 3 99") },
		"index has a bad line":  func(t *testing.T, _, index string) { appendText(t, index, "q 1\nf 3 99999999999999 F\n") },
		"list has a torn line":  func(t *testing.T, list, _ string) { appendText(t, list, "77 :not whole") },
		"list has bad lines": func(t *testing.T, list, _ string) {
			appendText(t, list, "nonsense\n3 :again\n0 :x\n99\n98 :../../escape\n97 :\n96 M1 W2 D3\n\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, dir, before := build(t)
			damage(t, filepath.Join(dir, "dovecot-uidlist"), filepath.Join(dir, "mailbricks-index"))
			m = newMaildir(t, m.Root, 0)
			b := open(t, m, mailbox.Inbox)
			require.Equal(t, []mailbox.UID{1, 3, 4}, uidsOf(t, b))
			require.Equal(t, "message 2\r\n", text(t, b, 3))
			require.ElementsMatch(t, []mailbox.Flag{mailbox.Seen, "Kw"}, one(t, b, 3).Flags)
			st, err := b.Status(t.Context())
			require.NoError(t, err)
			require.Equal(t, before.UIDValidity, st.UIDValidity)
			require.GreaterOrEqual(t, st.ModSeq, before.ModSeq)
			uid := appendTo(t, b, "new\r\n")
			require.Greater(t, uid, mailbox.UID(4))
			require.NoError(t, m.Close())
			m = newMaildir(t, m.Root, 0)
			b = open(t, m, mailbox.Inbox)
			require.Equal(t, []mailbox.UID{1, 3, 4, uid}, uidsOf(t, b))
			require.Equal(t, "new\r\n", text(t, b, uid))
		})
	}
	for name, data := range map[string]string{
		"list is gone": "", "list is garbage": "\x00\x01\n", "list has no validity": "3 N5 Gabc\n1 :x\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, dir, before := build(t)
			list := filepath.Join(dir, "dovecot-uidlist")
			require.NoError(t, os.Remove(list))
			if data != "" {
				require.NoError(t, os.WriteFile(list, []byte(data), 0o600))
			}
			m = newMaildir(t, m.Root, 0)
			b := open(t, m, mailbox.Inbox)
			st, err := b.Status(t.Context())
			require.NoError(t, err)
			require.Greater(t, st.UIDValidity, before.UIDValidity, "UIDs mean something else now, so it must grow")
			require.Len(t, uidsOf(t, b), 3)
			require.GreaterOrEqual(t, st.ModSeq, before.ModSeq)
		})
	}
	for name, damage := range map[string][2]string{
		"newer index": {"mailbricks-index", "mailbricks-index 3 V1 B1\n"},
		"newer list":  {"dovecot-uidlist", "4 V1 N1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, dir, _ := build(t)
			require.NoError(t, os.WriteFile(filepath.Join(dir, damage[0]), []byte(damage[1]), 0o600))
			m = newMaildir(t, m.Root, 0)
			s, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
			require.NoError(t, err)
			defer s.Close()
			_, err = s.Open(t.Context(), mailbox.Inbox)
			require.ErrorContains(t, err, "newer version")
			data, err := os.ReadFile(filepath.Join(dir, damage[0]))
			require.NoError(t, err)
			require.Equal(t, damage[1], string(data), "left as it is")
		})
	}
}

func appendText(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// Dovecot has used the tree in between: its lines have no modseq, and a client that asks for changes hears of them.
func TestDovecotInBetween(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	dir := filepath.Join(m.Root, "example.com", "ann")
	b := open(t, m, mailbox.Inbox)
	appendTo(t, b, "first\r\n")
	_, seq, err := b.UIDs(t.Context())
	require.NoError(t, err)
	require.NoError(t, m.Close())
	put(t, filepath.Join(dir, "cur", "1700000003.M1P1.host,S=6,W=7:2,S"), "other\n")
	appendText(t, filepath.Join(dir, "dovecot-uidlist"), "5 Pold-uidl :1700000003.M1P1.host,S=6,W=7\n")
	m = newMaildir(t, m.Root, 0)
	b = open(t, m, mailbox.Inbox)
	require.Equal(t, []mailbox.UID{1, 5}, uidsOf(t, b))
	c, err := b.Changes(t.Context(), seq)
	require.NoError(t, err)
	require.Len(t, c.Changed, 1)
	require.Equal(t, mailbox.UID(5), c.Changed[0].UID)
	require.Equal(t, []mailbox.Flag{mailbox.Seen}, c.Changed[0].Flags)
	require.EqualValues(t, 7, c.Changed[0].Size)
	require.NoError(t, maildir.Compact(b))
	list, err := os.ReadFile(filepath.Join(dir, "dovecot-uidlist"))
	require.NoError(t, err)
	require.Contains(t, string(list), " Pold-uidl :1700000003", "what is Dovecot's own stays")
}

// Where a disk does not say whether a name is taken, none is given: a rename would replace what has it.
func TestDiskErrorReplacesNoMessage(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	dir := filepath.Join(m.Root, "example.com", "ann")
	open(t, m, mailbox.Inbox)
	next := newMaildir(t, m.Root, 0)
	put(t, filepath.Join(dir, "cur", "X:2,S"), "Subject: one\r\n\r\n")
	put(t, filepath.Join(dir, "new", "X:2,S"), "Subject: two\r\n\r\n")
	failed := false
	maildir.SetFS(next, &hooked{FS: unsynced{durable.OS()}, lstat: func(name string) error {
		if !failed && strings.HasSuffix(name, filepath.Join("cur", "X:2,S")) {
			failed = true
			return &os.PathError{Op: "lstat", Path: name, Err: errors.New("input/output error")}
		}
		return nil
	}})
	b := open(t, next, mailbox.Inbox)
	require.True(t, failed)
	require.Len(t, uidsOf(t, b), 2)
	var subjects []string
	for _, uid := range uidsOf(t, b) {
		subjects = append(subjects, contentOf(t, b, uid))
	}
	require.ElementsMatch(t, []string{"Subject: one\r\n\r\n", "Subject: two\r\n\r\n"}, subjects)
}

// A known message whose file cannot get its name back because of the disk is not taken for one that is gone.
func TestDiskErrorExpungesNoMessage(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	dir := filepath.Join(m.Root, "example.com", "ann")
	broken := false
	maildir.SetFS(m, &hooked{FS: unsynced{durable.OS()}, lstat: func(name string) error {
		if broken && strings.HasSuffix(name, "X:2,FS") {
			return errors.New("input/output error")
		}
		return nil
	}})
	b := open(t, m, mailbox.Inbox)
	put(t, filepath.Join(dir, "cur", "X:2,"), "Subject: one\r\n\r\n")
	uids := uidsOf(t, b)
	require.Len(t, uids, 1)
	broken = true
	require.NoError(t, os.Rename(filepath.Join(dir, "cur", "X:2,"), filepath.Join(dir, "cur", "X:2,SF")))
	_, _, err := b.UIDs(t.Context())
	require.ErrorContains(t, err, "input/output error")
	broken = false
	require.Equal(t, uids, uidsOf(t, b))
	require.Equal(t, []mailbox.Flag{mailbox.Flagged, mailbox.Seen}, one(t, b, uids[0]).Flags)
}

// A change of flags does not replace a file that another program has made under the name that the message gets.
func TestFlagsReplaceNoMessage(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	dir := filepath.Join(m.Root, "example.com", "ann")
	var inTheWay string
	maildir.SetFS(m, &hooked{FS: unsynced{durable.OS()}, lstat: func(name string) error {
		if inTheWay != "" && strings.HasSuffix(name, "X:2,S") {
			put(t, inTheWay, "Subject: two\r\n\r\n")
			inTheWay = ""
		}
		return nil
	}})
	b := open(t, m, mailbox.Inbox)
	put(t, filepath.Join(dir, "cur", "X:2,"), "Subject: one\r\n\r\n")
	uids := uidsOf(t, b)
	require.Len(t, uids, 1)
	inTheWay = filepath.Join(dir, "cur", "X:2,S")
	_, err := b.SetFlags(t.Context(), uids, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen}})
	require.NoError(t, err)
	require.Empty(t, inTheWay)
	all := uidsOf(t, b)
	require.Len(t, all, 2)
	require.Equal(t, "Subject: one\r\n\r\n", contentOf(t, b, all[0]))
	require.Equal(t, "Subject: two\r\n\r\n", contentOf(t, b, all[1]))
	require.Equal(t, []mailbox.Flag{mailbox.Seen}, one(t, b, all[0]).Flags)
}

// Where both names of a rename are on disk, it is one message.
func TestBothNamesOfARename(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	dir := filepath.Join(m.Root, "example.com", "ann")
	b := open(t, m, mailbox.Inbox)
	put(t, filepath.Join(dir, "new", "X:2,S"), "Subject: one\r\n\r\n")
	require.NoError(t, os.Link(filepath.Join(dir, "new", "X:2,S"), filepath.Join(dir, "cur", "X:2,S")))
	uids := uidsOf(t, b)
	require.Len(t, uids, 1)
	require.NoFileExists(t, filepath.Join(dir, "new", "X:2,S"))
	require.Equal(t, "Subject: one\r\n\r\n", contentOf(t, b, uids[0]))
}
