package maildir_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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

// How much each of the processes in TestTwoProcesses does.
const (
	processEnv     = "MAILBRICKS_TEST_PROCESS" // the root, in the other process
	processRounds  = 30
	processQuota   = 1 << 20
	processMessage = "Subject: %s %d\r\n\r\nbody\r\n"
)

// aliased is the account of ann under two addresses, with a quota.
func aliased(root string) *maildir.Maildir {
	m := maildir.New(root, maildir.AccountsFunc(func(context.Context, string) (maildir.Account, error) {
		return maildir.Account{Path: filepath.Join("example.com", "ann"), Limit: mailbox.Limit{Octets: processQuota}}, nil
	}))
	m.PollInterval = -1
	maildir.SetFS(m, unsynced{durable.OS()})
	return m
}

// process does what one of the processes does: it delivers to both addresses, appends, changes flags, copies and expunges. It
// gives the UIDs of what it has put into INBOX and left there.
func process(m *maildir.Maildir, who string) (map[mailbox.UID]string, error) {
	ctx := context.Background()
	s, err := m.Store(ctx, mailbricks.Identity{User: ann})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	b, err := s.Open(ctx, mailbox.Inbox)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	kept := map[mailbox.UID]string{}
	for n := range processRounds {
		text := fmt.Sprintf(processMessage, who, n)
		for _, address := range []string{ann, "alias@example.com"} {
			env := &mailbricks.Envelope{Recipients: []mailbricks.Recipient{{Address: address}}}
			if err := m.Handle(ctx, env, mailbricks.NewMessage([]byte("X-For: "+address+"\r\n"+text))); err != nil {
				return nil, err
			}
		}
		uid, err := b.Append(ctx, strings.NewReader(text), mailbox.AppendOptions{Size: int64(len(text))})
		if err != nil {
			return nil, err
		}
		change := mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Flag(fmt.Sprintf("%s-%d", who, n%4)), mailbox.Seen}}
		if _, err := b.SetFlags(ctx, []mailbox.UID{uid}, change); err != nil {
			return nil, err
		}
		switch n % 3 {
		case 0:
			if _, err := b.Copy(ctx, []mailbox.UID{uid}, "Archive"); err != nil {
				return nil, err
			}
			kept[uid] = text
		case 1:
			if _, err := b.Expunge(ctx, []mailbox.UID{uid}); err != nil {
				return nil, err
			}
		default:
			if _, err := b.Move(ctx, []mailbox.UID{uid}, "Archive"); err != nil {
				return nil, err
			}
		}
	}
	return kept, nil
}

// TestProcess is the other process of TestTwoProcesses.
func TestProcess(t *testing.T) {
	root := os.Getenv(processEnv)
	if root == "" {
		t.Skip("only what TestTwoProcesses starts")
	}
	m := aliased(root)
	kept, err := process(m, "other")
	require.NoError(t, err)
	require.NoError(t, m.Close())
	for uid, text := range kept {
		fmt.Printf("kept %d %q\n", uid, text)
	}
}

// Two processes at work on one account, which also has an alias, and two objects in one of them: nothing is lost or doubled,
// each UID is one message's, and the quota is right.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	first, second := aliased(root), aliased(root)
	mustStore(t, first) // both begin with an account
	cmd := exec.Command(os.Args[0], "-test.run=^TestProcess$", "-test.count=1", "-test.timeout=90s")
	cmd.Env = append(os.Environ(), processEnv+"="+root)
	var out []byte
	kept := make([]map[mailbox.UID]string, 2)
	errs := make([]error, 3)
	var wg sync.WaitGroup
	wg.Go(func() { out, errs[2] = cmd.CombinedOutput() })
	for i, m := range []*maildir.Maildir{first, second} {
		wg.Go(func() { kept[i], errs[i] = process(m, fmt.Sprintf("object-%d", i)) })
	}
	wg.Wait()
	require.NoError(t, errs[0])
	require.NoError(t, errs[1])
	require.NoError(t, errs[2], string(out))

	want := map[mailbox.UID]string{}
	note := func(uid mailbox.UID, text string) {
		require.NotContains(t, want, uid, "a UID for two messages")
		want[uid] = text
	}
	for _, k := range kept {
		for uid, text := range k {
			note(uid, text)
		}
	}
	for line := range strings.Lines(string(out)) {
		if rest, ok := strings.CutPrefix(line, "kept "); ok {
			number, quoted, _ := strings.Cut(strings.TrimSpace(rest), " ")
			uid, err := strconv.ParseUint(number, 10, 32)
			require.NoError(t, err)
			text, err := strconv.Unquote(quoted)
			require.NoError(t, err)
			note(mailbox.UID(uid), text)
		}
	}
	require.Len(t, want, processRounds) // a third of what three have appended

	const delivered = 3 * 2 * processRounds
	for i, m := range []*maildir.Maildir{first, second, aliased(root)} {
		b := open(t, m, mailbox.Inbox)
		uids := uidsOf(t, b)
		require.Len(t, uids, delivered+len(want), "object %d", i)
		texts := map[string]int{}
		for _, uid := range uids {
			content := text(t, b, uid)
			if w, ok := want[uid]; ok {
				require.Equal(t, w, content)
				require.Len(t, one(t, b, uid).Flags, 2)
				continue
			}
			texts[content]++
		}
		require.Len(t, texts, delivered, "each delivery once")
		require.Len(t, uidsOf(t, open(t, m, "Archive")), 2*processRounds)
		used, err := m.Used(t.Context(), "alias@example.com")
		require.NoError(t, err)
		require.NoError(t, os.Remove(filepath.Join(root, "example.com", "ann", "maildirsize")))
		counted, err := m.Used(t.Context(), ann)
		require.NoError(t, err)
		require.Equal(t, counted, used, "object %d", i)
		require.EqualValues(t, delivered+len(want)+2*processRounds, used.Messages)
		require.NoError(t, m.Close())
	}
}

// Whoever takes a file out of one mailbox and puts it into another, as mutt and shell scripts do, has moved a message.
func TestFilesThatMoveBetweenFolders(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	b, dir := fiveMessages(t, m)
	archive := open(t, m, "Archive")
	_, seq, err := b.UIDs(t.Context())
	require.NoError(t, err)
	path, err := maildir.FileOf(dir, 2)
	require.NoError(t, err)
	to := filepath.Join(dir, ".Archive", "cur", strings.TrimSuffix(filepath.Base(path), "2,")+"2,F")
	require.NoError(t, os.Rename(path, to))
	require.Equal(t, []mailbox.UID{1, 3, 4, 5}, uidsOf(t, b))
	require.Equal(t, []mailbox.UID{1}, uidsOf(t, archive))
	require.Equal(t, "message 1\r\n", text(t, archive, 1))
	require.Equal(t, []mailbox.Flag{mailbox.Flagged}, one(t, archive, 1).Flags)

	// And back: the file is a new message here, for the UID that it had is said to be gone.
	c, err := b.Changes(t.Context(), seq)
	require.NoError(t, err)
	require.Equal(t, []mailbox.UID{2}, c.Expunged)
	require.NoError(t, os.Rename(to, path))
	require.Equal(t, []mailbox.UID{1, 3, 4, 5, 6}, uidsOf(t, b))
	require.Equal(t, "message 1\r\n", text(t, b, 6))
	require.Empty(t, uidsOf(t, archive))
}

// A count that Dovecot kept does not stay behind where nobody goes on with it, and is gone on with where there is a quota.
func TestSizeFileOfDovecot(t *testing.T) {
	t.Parallel()
	for quota, want := range map[int64]string{0: "", 5000: "5000S\n21 1\n"} {
		m := newMaildir(t, t.TempDir(), quota)
		m.Folders = []maildir.Folder{}
		dir := foreign(t, m.Root)
		file := filepath.Join(dir, "maildirsize")
		require.NoError(t, os.WriteFile(file, []byte("5000S\n21 1\n"), 0o600))
		require.Equal(t, [2]int64{21, 1}, usageOf(t, m))
		if want == "" {
			require.NoFileExists(t, file)
			continue
		}
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, want, string(data))
		appendTo(t, open(t, m, mailbox.Inbox), "four")
		data, err = os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, want+"4 1\n", string(data))
	}
}

// A folder that another process has for long holds up neither the look at others nor Close.
func TestFolderInOtherHandsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	m.PollInterval = 5 * time.Millisecond
	boxes, woken := map[string]mailbox.Mailbox{}, map[string]chan struct{}{}
	for _, user := range []string{ann, "bob@example.com"} {
		s, err := m.Store(t.Context(), mailbricks.Identity{User: user})
		require.NoError(t, err)
		defer s.Close()
		boxes[user] = mustOpen(t, s, mailbox.Inbox)
		woken[user] = make(chan struct{}, 1)
		defer boxes[user].(mailbox.Watcher).Watch(woken[user])()
	}
	dir := filepath.Join(m.Root, "example.com")
	lock, err := durable.OS().TryLock(filepath.Join(dir, "ann", "mailbricks.lock"))
	require.NoError(t, err)
	defer lock.Close()
	put(t, filepath.Join(dir, "ann", "new", "1.M1.other"), "Subject: x\r\n\r\n")
	time.Sleep(20 * time.Millisecond) // the look at ann's is not over
	put(t, filepath.Join(dir, "bob", "new", "1.M1.other"), "Subject: x\r\n\r\n")
	select {
	case <-woken["bob@example.com"]:
	case <-time.After(10 * time.Second):
		require.Fail(t, "the look at the other account has to wait")
	}

	waiting := make(chan error, 1)
	go func() {
		_, _, err := boxes[ann].UIDs(t.Context())
		waiting <- err
	}()
	time.Sleep(20 * time.Millisecond) // it waits
	closed := make(chan error, 1)
	go func() { closed <- m.Close() }()
	for _, c := range []chan error{closed, waiting} {
		select {
		case err := <-c:
			if c == closed {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, durable.ErrLocked)
			}
		case <-time.After(10 * time.Second):
			require.FailNow(t, "Close has to wait")
		}
	}
}

// A mailbox is not renamed nor deleted while another process is at work in it.
func TestFolderInOtherHandsStaysWhereItIs(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	s := mustStore(t, m).(mailbox.Organizer)
	dir := filepath.Join(m.Root, "example.com", "ann")
	for i, change := range []func() error{
		func() error { return s.Rename(t.Context(), "A", "B") },
		func() error { return s.Delete(t.Context(), "A") },
	} {
		require.NoError(t, s.Create(t.Context(), "A", ""))
		lock, err := durable.OS().TryLock(filepath.Join(dir, ".A", "mailbricks.lock"))
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- change() }()
		time.Sleep(50 * time.Millisecond)
		require.DirExists(t, filepath.Join(dir, ".A"), i)
		require.NoError(t, lock.Close())
		require.NoError(t, <-done)
		require.NoDirExists(t, filepath.Join(dir, ".A"), i)
	}

	// Where there is no lock to be had, as on a full disk, it goes on.
	require.NoError(t, s.Create(t.Context(), "A", ""))
	_ = os.Remove(filepath.Join(dir, ".A", "mailbricks.lock"))
	require.NoError(t, os.Mkdir(filepath.Join(dir, ".A", "mailbricks.lock"), 0o700))
	require.NoError(t, s.Delete(t.Context(), "A"))
}
