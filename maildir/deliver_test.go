package maildir_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

func text(t testing.TB, b mailbox.Mailbox, uid mailbox.UID) string {
	t.Helper()
	c, err := b.Content(t.Context(), uid)
	require.NoError(t, err)
	defer c.Close()
	data, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
	require.NoError(t, err)
	return string(data)
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	m := newMaildir(t, root, 0)
	deliver(t, m, "Return-Path: <forged@example.net>\r\nDelivered-To: other@example.net\r\nReturn-path: <again@example.net>\r\nSubject: x\r\n\r\nbody\r\n")

	dir := filepath.Join(root, "example.com", "ann")
	found, err := filepath.Glob(filepath.Join(dir, "new", "*"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	raw, err := os.ReadFile(found[0])
	require.NoError(t, err)
	want := "Return-Path: <bob@example.org>\r\nDelivered-To: ann@example.com\r\nDelivered-To: other@example.net\r\nSubject: x\r\n\r\nbody\r\n"
	require.Equal(t, want, string(raw))
	require.Contains(t, found[0], fmt.Sprintf(",S=%d,W=%d", len(want), len(want)))
	if runtime.GOOS != "windows" {
		for path, perm := range map[string]os.FileMode{found[0]: 0o600, dir: 0o700, filepath.Join(dir, ".Junk"): 0o700, filepath.Join(dir, "new"): 0o700} {
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.Equal(t, perm, info.Mode().Perm(), path)
		}
	}

	b := open(t, m, mailbox.Inbox)
	uids := uidsOf(t, b)
	require.Len(t, uids, 1)
	require.Equal(t, want, text(t, b, uids[0]))
	metas, err := b.Messages(t.Context(), uids)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), metas[0].InternalDate, 10*time.Second)

	wake := make(chan struct{}, 1)
	defer b.(mailbox.Watcher).Watch(wake)()
	start := time.Now()
	deliver(t, m, "Subject: second\r\n\r\n")
	<-wake
	require.Less(t, time.Since(start), time.Second)
	require.Len(t, uidsOf(t, b), 2)
}

func TestDeliveryReplies(t *testing.T) {
	t.Parallel()
	broken := errors.New("directory is down")
	m := maildir.New(t.TempDir(), maildir.AccountsFunc(func(_ context.Context, address string) (maildir.Account, error) {
		switch local, _ := mailbricks.SplitAddress(address); local {
		case "none":
			return maildir.Account{}, maildir.ErrNoAccount
		case "broken":
			return maildir.Account{}, broken
		case "small":
			return maildir.Account{Limit: mailbox.Limit{Octets: 20}}, nil
		}
		return maildir.Account{}, nil
	}))
	defer m.Close()
	env := &mailbricks.Envelope{From: "x\r\nInjected: y", Recipients: []mailbricks.Recipient{
		{Address: "none@example.com"}, {Address: "ok@example.com"}, {Address: "broken@example.com"}, {Address: "small@example.com"},
		{Address: "noat"}, {Address: "../../x@example.com"}, {Address: "second@example.com"},
	}}
	results := mailbricks.ResultsOf(m.Handle(t.Context(), env, mailbricks.NewMessage([]byte("Subject: x\r\n\r\nbody\r\n"))), 7)
	for i, want := range []string{"550 5.1.1", "", "451 4.3.0", "552 5.2.2", "550 5.1.1", "", ""} {
		if want == "" {
			require.NoError(t, results[i])
			continue
		}
		reply := mailbricks.ReplyTo(results[i])
		require.Equal(t, want, fmt.Sprintf("%d %s", reply.Code, reply.Enhanced))
		require.NotContains(t, reply.Text, "directory")
	}
	require.ErrorIs(t, results[2], broken)
	require.NoFileExists(t, filepath.Join(filepath.Dir(m.Root), "x"))
	found, err := filepath.Glob(filepath.Join(m.Root, "example.com", "ok", "new", "*"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	raw, err := os.ReadFile(found[0])
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(raw), "Return-Path: <x  Injected: y>\r\n"))
	_, err = m.Store(t.Context(), mailbricks.Identity{User: "none@example.com"})
	require.ErrorIs(t, err, mailbricks.ErrAuth)
	_, err = m.Store(t.Context(), mailbricks.Identity{User: "broken@example.com"})
	require.ErrorIs(t, err, broken)
	require.NotErrorIs(t, err, mailbricks.ErrAuth)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = m.Handle(ctx, env.WithRecipients(env.Recipients[1:2]), mailbricks.NewMessage([]byte("x")))
	require.True(t, mailbricks.IsTemporary(mailbricks.ResultsOf(err, 1)[0]))
}

func TestQuarantineGoesToJunk(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	env := &mailbricks.Envelope{Quarantine: "spf failed", Recipients: []mailbricks.Recipient{{Address: ann}}}
	send := func() {
		t.Helper()
		require.NoError(t, m.Handle(t.Context(), env, mailbricks.NewMessage([]byte("Subject: spam\r\n\r\n"))))
	}
	send()
	require.Len(t, uidsOf(t, open(t, m, "Junk")), 1)
	s, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
	require.NoError(t, err)
	defer s.Close()
	o := s.(mailbox.Organizer)

	require.NoError(t, o.Rename(t.Context(), "Junk", "Spam/ungelesen ü"))
	send()
	require.Len(t, uidsOf(t, open(t, m, "Spam/ungelesen ü")), 2, "the use goes with the mailbox")

	require.NoError(t, o.Delete(t.Context(), "Spam/ungelesen ü"))
	send()
	require.Len(t, uidsOf(t, open(t, m, "Junk")), 1, "made again on need")
	infos := listIn(t, s)
	require.Contains(t, infos, mailbox.Info{Name: "Junk", Uses: []mailbox.Use{mailbox.UseJunk}, Subscribed: true})

	// A second mailbox for a use takes nothing from the first.
	require.NoError(t, o.Create(t.Context(), "A spam", mailbox.UseJunk))
	require.NoError(t, o.Create(t.Context(), "My spam", mailbox.UseJunk))
	check := func(names ...string) {
		t.Helper()
		infos = listIn(t, s)
		var have []string
		for _, info := range infos {
			if slices.Contains(info.Uses, mailbox.UseJunk) {
				have = append(have, info.Name)
				require.Len(t, info.Uses, 1)
			}
		}
		require.Equal(t, names, have)
	}
	check("A spam", "Junk", "My spam")
	send()
	require.Len(t, uidsOf(t, open(t, m, "Junk")), 2, "mail goes where it went before")
	require.NoError(t, o.Rename(t.Context(), "Junk", "Z"))
	check("A spam", "My spam", "Z")
	send()
	require.Len(t, uidsOf(t, open(t, m, "Z")), 3, "the first stays the first")
	require.NoError(t, o.Create(t.Context(), "Junk", ""))
	check("A spam", "My spam", "Z")
	require.NoError(t, o.Delete(t.Context(), "Z"))
	send()
	require.Len(t, uidsOf(t, open(t, m, "A spam")), 1, "the next one takes its place")

	require.NoError(t, m.Close())
	m = newMaildir(t, m.Root, 0)
	s = mustStore(t, m)
	check("A spam", "My spam")
	require.NoError(t, os.RemoveAll(filepath.Join(m.Root, "example.com", "ann", ".A spam")))
	check("My spam")
	send()
	require.Len(t, uidsOf(t, open(t, m, "My spam")), 1)
}

// As many mailboxes as an account may have can share a use.
func TestManyMailboxesWithOneUse(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	s := mustStore(t, m)
	dir := filepath.Join(m.Root, "example.com", "ann")
	uses := "mailbricks-special-use 1\n"
	for n := range 300 { // more than 64 KiB together
		folder := fmt.Sprintf(".%03d%s", n, strings.Repeat("x", 245))
		require.NoError(t, os.MkdirAll(filepath.Join(dir, folder, "cur"), 0o700))
		uses += `\Archive ` + folder + "\n"
	}
	put(t, filepath.Join(dir, "mailbricks-special-use"), uses)
	require.NoError(t, s.(mailbox.Organizer).Create(t.Context(), "One more", mailbox.UseArchive))
	infos := listIn(t, s)
	with := 0
	for _, info := range infos {
		if slices.Equal([]mailbox.Use{mailbox.UseArchive}, info.Uses) {
			with++
		}
	}
	require.Equal(t, 301, with)
}

func TestNewAccountHasFolders(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	s, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
	require.NoError(t, err)
	defer s.Close()
	infos := listIn(t, s)
	require.Equal(t, []mailbox.Info{
		{Name: "Archive", Uses: []mailbox.Use{mailbox.UseArchive}, Subscribed: true},
		{Name: "Drafts", Uses: []mailbox.Use{mailbox.UseDrafts}, Subscribed: true},
		{Name: "INBOX"},
		{Name: "Junk", Uses: []mailbox.Use{mailbox.UseJunk}, Subscribed: true},
		{Name: "Sent", Uses: []mailbox.Use{mailbox.UseSent}, Subscribed: true},
		{Name: "Trash", Uses: []mailbox.Use{mailbox.UseTrash}, Subscribed: true},
	}, infos)
	require.NoError(t, s.(mailbox.Organizer).Delete(t.Context(), "Archive"))
	require.NoError(t, m.Close())

	m = newMaildir(t, m.Root, 0)
	deliver(t, m, "x")
	s, err = m.Store(t.Context(), mailbricks.Identity{User: ann})
	require.NoError(t, err)
	defer s.Close()
	infos = listIn(t, s)
	require.Contains(t, infos, mailbox.Info{Name: "Archive", Subscribed: true, NonExistent: true}, "what the user deletes stays deleted")
}

func TestDeliveriesFromManyAtOnce(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	b := open(t, m, mailbox.Inbox)
	var wg sync.WaitGroup
	for n := range 60 {
		wg.Go(func() {
			env := &mailbricks.Envelope{Recipients: []mailbricks.Recipient{{Address: ann}}}
			msg := mailbricks.NewMessage(fmt.Appendf(nil, "Subject: %d\r\n\r\n", n))
			if err := m.Handle(context.Background(), env, msg); err != nil {
				t.Error(err)
			}
			if n%7 == 0 {
				if _, _, err := b.UIDs(context.Background()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	uids := uidsOf(t, b)
	require.Len(t, uids, 60)
	seen := map[string]bool{}
	for _, uid := range uids {
		seen[text(t, b, uid)] = true
	}
	require.Len(t, seen, 60)
}

func TestAccountRemovedWhileRunning(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	deliver(t, m, "first")
	b := open(t, m, mailbox.Inbox)
	require.Len(t, uidsOf(t, b), 1)
	require.NoError(t, os.RemoveAll(filepath.Join(m.Root, "example.com")))
	_, _, err := b.UIDs(t.Context())
	require.ErrorIs(t, err, mailbox.ErrNoMailbox)
	deliver(t, m, "second")
	require.Len(t, uidsOf(t, open(t, m, mailbox.Inbox)), 1)
}

// In memory, with crashes: nothing that was taken is lost, in no state that a power cut leaves, wherever it comes.
func TestDeliverySurvivesPowerCut(t *testing.T) {
	t.Parallel()
	const first, second = "Subject: first\r\n\r\nfirst body\r\n", "Subject: second\r\n\r\nsecond body\r\n"
	run := func(fsys *crashfs.FS) (taken []string) {
		m := crashMaildir(fsys)
		defer m.Close()
		for _, msg := range []string{first, second} {
			env := &mailbricks.Envelope{From: "bob@example.org", Recipients: []mailbricks.Recipient{{Address: ann}}}
			if m.Handle(context.Background(), env, mailbricks.NewMessage([]byte(msg))) == nil {
				taken = append(taken, msg)
			}
		}
		return taken
	}
	whole := crashfs.New()
	require.Len(t, run(whole), 2)
	for n := 1; n <= whole.Calls()+1; n++ { // the last time after all
		fsys := crashfs.New()
		fsys.CrashAfter(n)
		taken := run(fsys)
		fsys.Crash()
		for s := range fsys.States() {
			checkDelivered(t, s, taken, []string{first, second})
		}
	}
}

// crashMaildir is a Maildir in memory.
func crashMaildir(fsys *crashfs.FS) *maildir.Maildir {
	m := maildir.New("/mail", everyone(0))
	m.Folders = []maildir.Folder{{Name: "Junk", Use: mailbox.UseJunk}}
	m.PollInterval, m.Linger = -1, -1
	maildir.SetFS(m, fsys)
	maildir.SetClock(m, func() time.Time { return time.Date(2020, 1, 1, 0, 0, 3, 0, time.UTC) })
	return m
}

// checkDelivered wants all that was taken to be there, and each message there to be whole.
func checkDelivered(t *testing.T, s crashfs.State, taken, all []string) {
	t.Helper()
	m := crashMaildir(s.FS)
	defer m.Close()
	b := open(t, m, mailbox.Inbox)
	var got []string
	for _, uid := range uidsOf(t, b) {
		_, body, ok := strings.Cut(text(t, b, uid), "Delivered-To: ann@example.com\r\n")
		require.True(t, ok, s.What)
		require.Contains(t, all, body, "torn: %s", s.What)
		got = append(got, body)
	}
	for _, msg := range taken {
		require.Contains(t, got, msg, "lost: %s", s.What)
	}
	require.LessOrEqual(t, len(got), len(all))
	deliver(t, m, "Subject: third\r\n\r\n")
	require.Len(t, uidsOf(t, b), len(got)+1, "the store works on")
}

func TestDeliveryFaults(t *testing.T) {
	t.Parallel()
	prepare := func() (*crashfs.FS, *maildir.Maildir) {
		fsys := crashfs.New()
		m := crashMaildir(fsys)
		deliver(t, m, "Subject: before\r\n\r\n")
		return fsys, m
	}
	fsys, m := prepare()
	calls := fsys.Calls()
	deliver(t, m, "Subject: x\r\n\r\n")
	calls = fsys.Calls() - calls
	require.NoError(t, m.Close())
	require.LessOrEqual(t, calls, 6, "create, write, sync, rename, sync of the folder")
	for _, fault := range []struct {
		err  error
		want string
	}{{syscall.ENOSPC, "452 4.3.1"}, {syscall.EIO, "451 4.3.0"}} {
		for n := 1; n <= calls; n++ {
			fsys, m := prepare()
			fsys.FailCall(fsys.Calls()+n, fault.err)
			env := &mailbricks.Envelope{Recipients: []mailbricks.Recipient{{Address: ann}}}
			err := m.Handle(t.Context(), env, mailbricks.NewMessage([]byte("Subject: x\r\n\r\n")))
			require.Error(t, err, "call %d", n)
			reply := mailbricks.ReplyTo(mailbricks.ResultsOf(err, 1)[0])
			require.Equal(t, fault.want, fmt.Sprintf("%d %s", reply.Code, reply.Enhanced))
			b := open(t, m, mailbox.Inbox)
			require.Len(t, uidsOf(t, b), 1, "nothing half is there after call %d", n)
			tmp, err := fsys.ReadNames("/mail/example.com/ann/tmp")
			require.NoError(t, err)
			require.Empty(t, tmp)
			deliver(t, m, "Subject: after\r\n\r\n")
			require.Len(t, uidsOf(t, b), 2)
			require.NoError(t, b.Close())
			require.NoError(t, m.Close())
		}
	}
}
