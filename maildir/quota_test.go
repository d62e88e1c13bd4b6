package maildir_test

import (
	"context"
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

func usageOf(t *testing.T, m *maildir.Maildir) [2]int64 {
	t.Helper()
	used, err := m.Used(t.Context(), ann)
	require.NoError(t, err)
	return [2]int64{used.Octets, used.Messages}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, quota := range []int64{0, 1000} {
		m := newMaildir(t, t.TempDir(), quota)
		b := open(t, m, mailbox.Inbox)
		require.Equal(t, [2]int64{0, 0}, usageOf(t, m))
		text := strings.Repeat("x", 98) + "\r\n"
		uid := appendTo(t, b, text)
		require.Equal(t, [2]int64{100, 1}, usageOf(t, m))
		_, err := b.Copy(t.Context(), []mailbox.UID{uid}, "Archive")
		require.NoError(t, err)
		require.Equal(t, [2]int64{200, 2}, usageOf(t, m))
		_, err = b.Move(t.Context(), []mailbox.UID{uid}, "Trash")
		require.NoError(t, err)
		require.Equal(t, [2]int64{200, 2}, usageOf(t, m))
		s := mustStore(t, m).(mailbox.Organizer)
		require.NoError(t, s.Delete(t.Context(), "Archive"))
		require.Equal(t, [2]int64{100, 1}, usageOf(t, m))
		deliver(t, m, text)
		u := usageOf(t, m)
		require.Greater(t, u[0], int64(200))
		require.Equal(t, int64(2), u[1])
		trash := open(t, m, "Trash")
		_, err = trash.Expunge(t.Context(), uidsOf(t, trash))
		require.NoError(t, err)
		require.Equal(t, [2]int64{u[0] - 100, 1}, usageOf(t, m))

		// The same when it is counted anew.
		_ = os.Remove(filepath.Join(m.Root, "example.com", "ann", "maildirsize"))
		require.Equal(t, [2]int64{u[0] - 100, 1}, usageOf(t, m))
	}
}

func TestSizeFileIsCountedAnewWhenItMayBeWrong(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 1000)
	b := open(t, m, mailbox.Inbox)
	appendTo(t, b, strings.Repeat("x", 300))
	file := filepath.Join(m.Root, "example.com", "ann", "maildirsize")

	require.NoError(t, os.WriteFile(file, []byte("1000S\n990 3\n"), 0o600))
	appendTo(t, b, strings.Repeat("x", 300)) // it says that there is no room, which is counted before it is believed
	require.Equal(t, [2]int64{600, 2}, usageOf(t, m))

	require.NoError(t, os.WriteFile(file, []byte("5000S\n1 1\n"), 0o600))
	require.Equal(t, [2]int64{600, 2}, usageOf(t, m), "made for another quota")

	require.NoError(t, os.WriteFile(file, []byte("1000S\n"+strings.Repeat("1 0\n", 2000)), 0o600))
	require.Equal(t, [2]int64{600, 2}, usageOf(t, m), "too long")

	require.NoError(t, os.WriteFile(file, []byte("1000S\n7 1\n"), 0o600))
	require.Equal(t, [2]int64{7, 1}, usageOf(t, m))
	old := time.Now().Add(-48 * time.Hour)
	require.NoError(t, os.Chtimes(file, old, old))
	require.Equal(t, [2]int64{600, 2}, usageOf(t, m), "too old")

	// What is on the way in counts.
	put(t, filepath.Join(m.Root, "example.com", "ann", "cur", "1.h:2,"), strings.Repeat("x", 300))
	require.NoError(t, os.Remove(file))
	env := &mailbricks.Envelope{Recipients: []mailbricks.Recipient{{Address: ann}}}
	err := m.Handle(t.Context(), env, mailbricks.NewMessage([]byte(strings.Repeat("x", 150))))
	require.Equal(t, 552, mailbricks.ReplyTo(mailbricks.ResultsOf(err, 1)[0]).Code)
	require.Equal(t, [2]int64{900, 3}, usageOf(t, m))
}

// A quota can limit the number of messages as well, and maildirsize says so as Maildir++ and Dovecot have it.
func TestQuotaOfMessages(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		limit  mailbox.Limit
		header string
	}{
		{mailbox.Limit{Messages: 3}, "3C"},
		{mailbox.Limit{Octets: 100, Messages: 3}, "100S,3C"},
		{mailbox.Limit{Octets: 300, Messages: 300}, "300S,300C"},
	} {
		m := maildir.New(t.TempDir(), maildir.AccountsFunc(func(context.Context, string) (maildir.Account, error) {
			return maildir.Account{Limit: test.limit}, nil
		}))
		t.Cleanup(func() { require.NoError(t, m.Close()) })
		b := open(t, m, mailbox.Inbox)
		var uids []mailbox.UID
		for range 3 {
			uid, err := b.Append(t.Context(), strings.NewReader(strings.Repeat("x", 20)), mailbox.AppendOptions{Size: -1})
			require.NoError(t, err)
			uids = append(uids, uid)
		}
		file := filepath.Join(m.Root, "example.com", "ann", "maildirsize")
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		header, _, _ := strings.Cut(string(data), "\n")
		require.Equal(t, test.header, header)
		require.Equal(t, [2]int64{60, 3}, usageOf(t, m))
		if test.limit.Messages > 3 {
			continue
		}
		for _, size := range []int64{1, -1} {
			_, err = b.Append(t.Context(), strings.NewReader("x"), mailbox.AppendOptions{Size: size})
			require.ErrorIs(t, err, mailbox.ErrQuota)
		}
		_, err = b.Copy(t.Context(), uids[:1], "Archive")
		require.ErrorIs(t, err, mailbox.ErrQuota)
		env := &mailbricks.Envelope{Recipients: []mailbricks.Recipient{{Address: ann}}}
		err = m.Handle(t.Context(), env, mailbricks.NewMessage([]byte("x")))
		require.Equal(t, 552, mailbricks.ReplyTo(mailbricks.ResultsOf(err, 1)[0]).Code)
		_, err = b.Move(t.Context(), uids[:1], "Archive")
		require.NoError(t, err, "which needs no room")
		_, err = b.Expunge(t.Context(), uids[1:2])
		require.NoError(t, err)
		_, err = b.Copy(t.Context(), uids[2:], "Archive")
		require.NoError(t, err)
		require.Equal(t, [2]int64{60, 3}, usageOf(t, m))
	}
}

// A folder that nobody has open goes out of memory, and what was found out about its messages is kept.
func TestLinger(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	m.Linger = 10 * time.Millisecond
	s := mustStore(t, m)
	dir := filepath.Join(m.Root, "example.com", "ann")
	put(t, filepath.Join(dir, "cur", "1.h:2,"), "without sizes\n")
	b, err := s.Open(t.Context(), mailbox.Inbox)
	require.NoError(t, err)
	st, err := b.Status(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 15, st.Size)
	again, err := s.Open(t.Context(), mailbox.Inbox)
	require.NoError(t, err)
	require.NoError(t, b.Close())
	require.NoError(t, b.Close(), "twice")
	_, err = b.Status(t.Context())
	require.Error(t, err)
	time.Sleep(30 * time.Millisecond)
	require.Equal(t, 1, maildir.Loaded(m), "someone has it open")
	require.NoError(t, again.Close())
	require.Eventually(t, func() bool { return maildir.Loaded(m) == 0 }, 10*time.Second, 5*time.Millisecond)
	put(t, filepath.Join(dir, "cur", "1.h:2,"), "another size, which nobody looks at\n")
	reopened := open(t, m, mailbox.Inbox)
	st, err = reopened.Status(context.Background())
	require.NoError(t, err)
	require.EqualValues(t, 15, st.Size)
	require.NoError(t, reopened.Close())
	require.NoError(t, s.Close())
	require.NoError(t, s.Close(), "twice")
}

func TestClosed(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	b := open(t, m, mailbox.Inbox)
	stop := b.(mailbox.Watcher).Watch(make(chan struct{}, 1))
	require.NoError(t, m.Close())
	require.NoError(t, m.Close())
	stop()
	_, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
	require.ErrorIs(t, err, maildir.ErrClosed)
	env := &mailbricks.Envelope{Recipients: []mailbricks.Recipient{{Address: ann}}}
	require.True(t, mailbricks.IsTemporary(mailbricks.ResultsOf(m.Handle(t.Context(), env, mailbricks.NewMessage(nil)), 1)[0]))
}

// What was left in tmp long ago goes, what is new stays; a mailbox that was half made or half removed goes.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	deliver(t, m, "x")
	require.NoError(t, m.Close())
	dir := filepath.Join(m.Root, "example.com", "ann")
	for name, age := range map[string]time.Duration{"old": 37 * time.Hour, "young": 35 * time.Hour} {
		path := filepath.Join(dir, "tmp", name)
		put(t, path, "x")
		when := time.Now().Add(-age)
		require.NoError(t, os.Chtimes(path, when, when))
	}
	half := filepath.Join(dir, "..mailbricks-old-1", "cur")
	require.NoError(t, os.MkdirAll(half, 0o700))
	put(t, filepath.Join(half, "1.h:2,"), "x")
	m = newMaildir(t, m.Root, 0)
	require.Len(t, uidsOf(t, open(t, m, mailbox.Inbox)), 1)
	require.NoFileExists(t, filepath.Join(dir, "tmp", "old"))
	require.FileExists(t, filepath.Join(dir, "tmp", "young"))
	require.NoDirExists(t, filepath.Dir(half))
}

// The index files do not grow for ever.
func TestIndexFilesAreShortened(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	b := open(t, m, mailbox.Inbox)
	var letters []mailbox.Flag
	for n := range 26 {
		letters = append(letters, mailbox.Flag(fmt.Sprintf("letter-%d", n)))
	}
	uid := appendTo(t, b, "x", letters...)
	uids := []mailbox.UID{uid}
	for len(uids) < 512 {
		copied, err := b.Copy(t.Context(), uids, mailbox.Inbox)
		require.NoError(t, err)
		uids = append(uids, copied.Dest...)
	}
	for n := range 25 { // a keyword without a letter: a line each and nothing else
		op := mailbox.AddFlags
		if n%2 == 1 {
			op = mailbox.RemoveFlags
		}
		_, err := b.SetFlags(t.Context(), uids, mailbox.FlagChange{Op: op, Flags: []mailbox.Flag{"extra"}})
		require.NoError(t, err)
	}
	data, err := os.ReadFile(filepath.Join(m.Root, "example.com", "ann", "mailbricks-index"))
	require.NoError(t, err)
	require.Less(t, strings.Count(string(data), "\n"), 11_600)
	st, err := b.Status(t.Context())
	require.NoError(t, err)
	require.NoError(t, m.Close())
	b = open(t, newMaildir(t, m.Root, 0), mailbox.Inbox)
	again, err := b.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, st, again)
}

// While the mail of an account is counted, which may take long, nobody waits for it who only uses the account, or another.
func TestCountHoldsUpNobody(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 1000)
	deliver(t, m, "Subject: before\r\n\r\n")
	require.NoError(t, os.Remove(filepath.Join(m.Root, "example.com", "ann", "maildirsize")))
	next := newMaildir(t, m.Root, 1000)
	counting, counted := make(chan struct{}), make(chan struct{})
	var once sync.Once
	maildir.SetFS(next, &hooked{FS: unsynced{durable.OS()}, readNames: func(name string) error {
		if filepath.Base(name) == "cur" {
			once.Do(func() {
				close(counting)
				<-counted
			})
		}
		return nil
	}})
	done := make(chan error, 1)
	go func() {
		_, err := next.Used(t.Context(), ann)
		done <- err
	}()
	<-counting
	used := make(chan error, 1)
	go func() {
		for _, user := range []string{ann, "bob@example.com"} {
			s, err := next.Store(t.Context(), mailbricks.Identity{User: user})
			if err != nil {
				used <- err
				return
			}
			s.Close()
		}
		used <- nil
	}()
	for _, end := range []<-chan error{used, done} {
		select {
		case err := <-end:
			require.NoError(t, err)
		case <-time.After(10 * time.Second):
			require.Fail(t, "it waits for the count, or the count for it")
		}
		if end == used {
			close(counted)
		}
	}
}

// Many deliveries to an account that is counted at the same time.
func TestManyDeliverWhileItIsCounted(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	deliver(t, newMaildir(t, root, 1<<20), "Subject: before\r\n\r\n")
	for range 5 {
		require.NoError(t, os.Remove(filepath.Join(root, "example.com", "ann", "maildirsize")))
		m := newMaildir(t, root, 1<<20)
		done := make(chan error, 8)
		for range cap(done) {
			go func() {
				env := &mailbricks.Envelope{From: "bob@example.org", Recipients: []mailbricks.Recipient{{Address: ann}}}
				done <- m.Handle(t.Context(), env, mailbricks.NewMessage([]byte("Subject: x\r\n\r\n")))
			}()
		}
		for range cap(done) {
			select {
			case err := <-done:
				require.NoError(t, err)
			case <-time.After(10 * time.Second):
				require.FailNow(t, "deliveries wait for each other")
			}
		}
	}
}
