package maildir_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

const letterText = "Return-Path: <forged@example.net>\r\nSubject: to all\r\n\r\nbody\r\n"

// letterStored is what becomes of it for several recipients.
const letterStored = "Return-Path: <bob@example.org>\r\nSubject: to all\r\n\r\nbody\r\n"

// letterTo is an envelope for accounts user0, user1 and so on.
func letterTo(users ...int) *mailbricks.Envelope {
	env := &mailbricks.Envelope{From: "bob@example.org"}
	for _, n := range users {
		env.Recipients = append(env.Recipients, mailbricks.Recipient{Address: fmt.Sprintf("user%d@example.com", n)})
	}
	return env
}

func upTo(n int) []int {
	users := make([]int, n)
	for i := range users {
		users[i] = i
	}
	return users
}

// sendAll delivers the letter and gives the outcomes.
func sendAll(m *maildir.Maildir, env *mailbricks.Envelope) mailbricks.Results {
	return mailbricks.ResultsOf(m.Handle(context.Background(), env, mailbricks.NewMessage([]byte(letterText))), len(env.Recipients))
}

// newOf has the paths of the files in new of an account.
func newOf(t testing.TB, fsys durable.FS, root string, user int) []string {
	t.Helper()
	dir := filepath.Join(root, "example.com", fmt.Sprintf("user%d", user), "new")
	names, err := fsys.ReadNames(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	for i := range names {
		names[i] = filepath.Join(dir, names[i])
	}
	return names
}

func fileText(t testing.TB, fsys durable.FS, path string) string {
	t.Helper()
	data, err := durable.ReadFile(fsys, path, 0)
	require.NoError(t, err)
	return string(data)
}

func TestManyRecipientsHaveOneFile(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 1000)
	require.NoError(t, sendAll(m, letterTo(0, 1, 2, 1)).Err())
	var first os.FileInfo
	names := map[string]bool{}
	for user, want := range []int{1, 2, 1} {
		paths := newOf(t, durable.OS(), m.Root, user)
		require.Len(t, paths, want)
		for _, path := range paths {
			require.Equal(t, letterStored, fileText(t, durable.OS(), path))
			require.Contains(t, path, fmt.Sprintf(",S=%d,W=%d", len(letterStored), len(letterStored)))
			names[filepath.Base(path)] = true
			info, err := os.Stat(path)
			require.NoError(t, err)
			if first == nil {
				first = info
			}
			require.True(t, os.SameFile(first, info), path)
		}
		used, err := m.Used(t.Context(), fmt.Sprintf("user%d@example.com", user))
		require.NoError(t, err)
		require.EqualValues(t, want, used.Messages)
		require.EqualValues(t, want*len(letterStored), used.Octets, "each account pays for its own")
	}
	require.Len(t, names, 4)
	left, err := filepath.Glob(filepath.Join(m.Root, "*", "*", "tmp", "*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// What one recipient does to a message is nothing to the others.
func TestRecipientsOfOneFileAreApart(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	require.NoError(t, sendAll(m, letterTo(0, 1)).Err())
	box := func(user int) mailbox.Mailbox {
		s, err := m.Store(t.Context(), mailbricks.Identity{User: fmt.Sprintf("user%d@example.com", user)})
		require.NoError(t, err)
		t.Cleanup(func() { s.Close() })
		b, err := s.Open(t.Context(), mailbox.Inbox)
		require.NoError(t, err)
		t.Cleanup(func() { b.Close() })
		return b
	}
	one, other := box(0), box(1)
	uids := uidsOf(t, one)
	_, err := one.SetFlags(t.Context(), uids, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen}})
	require.NoError(t, err)
	_, err = one.Expunge(t.Context(), uids)
	require.NoError(t, err)
	require.Empty(t, uidsOf(t, one))
	require.Equal(t, letterStored, text(t, other, uidsOf(t, other)[0]))
	metas, err := other.Messages(t.Context(), uidsOf(t, other))
	require.NoError(t, err)
	require.Empty(t, metas[0].Flags)
}

func TestManyRecipientsCostOneSyncOfTheFile(t *testing.T) {
	t.Parallel()
	const n = 100
	fsys := crashfs.New()
	m := crashMaildir(fsys)
	defer m.Close()
	require.NoError(t, sendAll(m, letterTo(upTo(n)...)).Err()) // makes the accounts
	before := len(fsys.Log())
	require.NoError(t, sendAll(m, letterTo(upTo(n)...)).Err())
	require.Equal(t, map[string]int{"create": 1, "write": 1, "sync": 1, "link": n - 1, "rename": 1, "syncdir": n}, kinds(fsys.Log()[before:]))
	for user := range n {
		require.Len(t, newOf(t, fsys, "/mail", user), 2)
	}
}

func kinds(log []crashfs.Op) map[string]int {
	count := map[string]int{}
	for _, op := range log {
		count[op.Kind]++
	}
	return count
}

func TestRecipientsGetCopiesWhereLinksAreRefused(t *testing.T) {
	t.Parallel()
	for _, refusal := range []error{syscall.EMLINK, syscall.EXDEV, syscall.EPERM, errors.ErrUnsupported, syscall.EIO} {
		fsys := crashfs.New()
		m := crashMaildir(fsys)
		links := 0
		fsys.Fail(func(op crashfs.Op) error {
			if op.Kind != "link" {
				return nil
			}
			if links++; links%2 == 0 { // the second of three
				return nil
			}
			return refusal
		})
		require.NoError(t, sendAll(m, letterTo(upTo(4)...)).Err(), refusal)
		for user := range 4 {
			paths := newOf(t, fsys, "/mail", user)
			require.Len(t, paths, 1)
			require.Equal(t, letterStored, fileText(t, fsys, paths[0]))
			left, err := fsys.ReadNames(fmt.Sprintf("/mail/example.com/user%d/tmp", user))
			require.NoError(t, err)
			require.Empty(t, left)
		}
		require.NoError(t, m.Close())
	}
}

// Whatever fails for one recipient, the others have the message, and when the sender tries again for those who have not,
// nobody has it twice.
func TestOneRecipientsFailureIsNotTheOthers(t *testing.T) {
	t.Parallel()
	const n = 3
	for user := range n {
		at := fmt.Sprintf("/user%d/", user)
		for name, fails := range map[string]func(op crashfs.Op) bool{
			"nothing":      func(crashfs.Op) bool { return false },
			"all":          func(op crashfs.Op) bool { return op.N > 0 && strings.Contains(op.Name, at) },
			"new files":    func(op crashfs.Op) bool { return op.Kind == "create" && strings.Contains(op.Name, at) },
			"their syncs":  func(op crashfs.Op) bool { return op.Kind == "sync" && strings.Contains(op.Name, at) },
			"their names":  func(op crashfs.Op) bool { return op.Kind == "rename" && strings.Contains(op.Name, at) },
			"folder syncs": func(op crashfs.Op) bool { return op.Kind == "syncdir" && strings.Contains(op.Name, at) },
		} {
			for _, fault := range []error{syscall.EIO, syscall.ENOSPC} {
				what := fmt.Sprintf("%s of user %d: %v", name, user, fault)
				fsys := crashfs.New()
				m := crashMaildir(fsys)
				require.NoError(t, sendAll(m, letterTo(upTo(n)...)).Err())
				fsys.Fail(func(op crashfs.Op) error {
					if fails(op) {
						return fault
					}
					return nil
				})
				var again []int
				for i, err := range sendAll(m, letterTo(upTo(n)...)) {
					if err == nil {
						continue
					}
					require.Equal(t, user, i, what)
					require.True(t, mailbricks.IsTemporary(err), what)
					require.Equal(t, fault == syscall.ENOSPC, mailbricks.ReplyTo(err).Code == 452, what)
					again = append(again, i)
				}
				require.Equal(t, name == "nothing" || name == "new files" && user > 0 || name == "their syncs" && user > 0 ||
					name == "their names" && user > 0, len(again) == 0, what)
				fsys.Fail(nil)
				if len(again) > 0 {
					require.NoError(t, sendAll(m, letterTo(again...)).Err())
				}
				for i := range n {
					// A name that could neither be synced nor removed stays; the message is there twice rather than not at all.
					got := len(newOf(t, fsys, "/mail", i))
					if name == "all" && i == user {
						require.GreaterOrEqual(t, got, 2, what)
						continue
					}
					require.Equal(t, 2, got, what)
				}
				require.NoError(t, m.Close())
			}
		}
	}
}

// At whatever call the power is cut, who was told has the message, and nobody has one that is torn or has it twice.
func TestManyRecipientsSurvivePowerCut(t *testing.T) {
	t.Parallel()
	run := func(fsys *crashfs.FS, cut func(n int), at int) (told map[int]bool) {
		m := crashMaildir(fsys)
		defer m.Close()
		if err := sendAll(m, letterTo(0, 1)).Err(); err != nil {
			panic(err)
		}
		if cut != nil {
			cut(fsys.Calls() + at)
		}
		told = map[int]bool{}
		for i, err := range sendAll(m, letterTo(0, 1)) {
			told[i] = err == nil
		}
		return told
	}
	whole := crashfs.New()
	run(whole, nil, 0)
	const calls = 1 + 1 + 1 + 1 + 1 + 2 // create, write, sync, link, rename, sync of each folder
	for at := 1; at <= calls+1; at++ {
		fsys := crashfs.New()
		told := run(fsys, fsys.CrashAfter, at)
		fsys.Crash()
		require.Equal(t, at > calls, told[0] && told[1])
		for state := range fsys.States() {
			for user := range 2 {
				paths := newOf(t, state.FS, "/mail", user)
				for _, path := range paths {
					require.Equal(t, letterStored, fileText(t, state.FS, path), state.What)
				}
				if told[user] {
					require.Len(t, paths, 2, state.What)
				} else {
					require.Contains(t, []int{1, 2}, len(paths), state.What)
				}
			}
		}
	}
}

func TestManyRecipientsOfWhomSomeAreEncrypted(t *testing.T) {
	t.Parallel()
	m := newEncrypted(t, t.TempDir(), mailbox.Limit{})
	m.ServerKey = serverKey()
	for _, user := range []int{0, 2} {
		address := letterTo(user).Recipients[0].Address
		_, err := m.EnableEncryption(t.Context(), address, password)
		require.NoError(t, err)
		require.NoError(t, m.FinishEncryption(t.Context(), address, nil))
	}
	require.NoError(t, sendAll(m, letterTo(upTo(5)...)).Err())
	var plain []os.FileInfo
	for user := range 5 {
		paths := newOf(t, durable.OS(), m.Root, user)
		require.Len(t, paths, 1)
		data := fileText(t, durable.OS(), paths[0])
		if user == 0 || user == 2 {
			require.NotContains(t, data, "body")
			s, err := m.Store(t.Context(), mailbricks.Identity{User: letterTo(user).Recipients[0].Address})
			require.NoError(t, err)
			b, err := s.Open(t.Context(), mailbox.Inbox)
			require.NoError(t, err)
			require.Equal(t, letterStored, text(t, b, uidsOf(t, b)[0]))
			require.NoError(t, b.Close())
			require.NoError(t, s.Close())
			continue
		}
		require.Equal(t, letterStored, data)
		info, err := os.Stat(paths[0])
		require.NoError(t, err)
		plain = append(plain, info)
	}
	require.True(t, os.SameFile(plain[0], plain[1]) && os.SameFile(plain[0], plain[2]))
}

func TestManyRecipientsInQuarantine(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	env := letterTo(upTo(3)...)
	env.Quarantine = "policy"
	require.NoError(t, sendAll(m, env).Err())
	found, err := filepath.Glob(filepath.Join(m.Root, "example.com", "*", ".Junk", "new", "*"))
	require.NoError(t, err)
	require.Len(t, found, 3)
	for _, path := range found {
		require.Equal(t, letterStored, fileText(t, durable.OS(), path))
	}
}

func TestManyRecipientsOfWhomSomeHaveLostTheirFolders(t *testing.T) {
	t.Parallel()
	for lost := range 3 {
		m := newMaildir(t, t.TempDir(), 0)
		require.NoError(t, sendAll(m, letterTo(upTo(3)...)).Err())
		require.NoError(t, os.RemoveAll(filepath.Join(m.Root, "example.com", fmt.Sprintf("user%d", lost))))
		require.NoError(t, sendAll(m, letterTo(upTo(3)...)).Err())
		for user := range 3 {
			want := 2
			if user == lost {
				want = 1
			}
			require.Len(t, newOf(t, durable.OS(), m.Root, user), want)
		}
	}
}

func TestManyRecipientsOfWhomOneIsFull(t *testing.T) {
	t.Parallel()
	for full := range 3 {
		m := maildir.New(t.TempDir(), maildir.AccountsFunc(func(_ context.Context, address string) (maildir.Account, error) {
			if strings.HasPrefix(address, fmt.Sprintf("user%d@", full)) {
				return maildir.Account{Limit: mailbox.Limit{Messages: 1}}, nil
			}
			return maildir.Account{}, nil
		}))
		maildir.SetFS(m, unsynced{durable.OS()})
		require.NoError(t, sendAll(m, letterTo(upTo(3)...)).Err())
		for user, err := range sendAll(m, letterTo(upTo(3)...)) {
			if user == full {
				require.Equal(t, 552, mailbricks.ReplyTo(err).Code)
				require.Len(t, newOf(t, durable.OS(), m.Root, user), 1)
				continue
			}
			require.NoError(t, err)
			require.Len(t, newOf(t, durable.OS(), m.Root, user), 2)
		}
		require.NoError(t, m.Close())
	}
}

func TestAccepts(t *testing.T) {
	t.Parallel()
	broken := errors.New("directory is down")
	m := maildir.New(t.TempDir(), maildir.AccountsFunc(func(_ context.Context, address string) (maildir.Account, error) {
		switch local, _ := mailbricks.SplitAddress(address); local {
		case "none":
			return maildir.Account{}, maildir.ErrNoAccount
		case "broken":
			return maildir.Account{}, broken
		case "octets":
			return maildir.Account{Limit: mailbox.Limit{Octets: 150}}, nil
		case "messages":
			return maildir.Account{Limit: mailbox.Limit{Messages: 1}}, nil
		}
		return maildir.Account{}, nil
	}))
	maildir.SetFS(m, unsynced{durable.OS()})
	defer m.Close()
	check := func(local string, size int64, want string) {
		t.Helper()
		err := m.Accepts(t.Context(), local+"@example.com", size)
		if want == "" {
			require.NoError(t, err)
			return
		}
		reply := mailbricks.ReplyTo(err)
		require.Equal(t, want, fmt.Sprintf("%d %s", reply.Code, reply.Enhanced))
		require.Equal(t, want == "552 5.2.2", errors.Is(err, mailbox.ErrQuota))
	}
	check("none", 0, "550 5.1.1")
	check("broken", 0, "451 4.3.0")
	check("any", 1<<40, "")
	for _, local := range []string{"octets", "messages"} {
		check(local, 0, "")
		check(local, 150, "")
	}
	check("octets", 151, "552 5.2.2")
	entries, err := os.ReadDir(m.Root)
	require.NoError(t, err)
	require.Empty(t, entries, "to ask makes nothing")

	body := mailbricks.NewMessage([]byte("Subject: x\r\n\r\n" + strings.Repeat("x", 50)))
	size := map[string]int64{}
	for _, local := range []string{"octets", "messages"} {
		env := &mailbricks.Envelope{Recipients: []mailbricks.Recipient{{Address: local + "@example.com"}}}
		require.NoError(t, m.Handle(t.Context(), env, body))
		used, err := m.Used(t.Context(), local+"@example.com")
		require.NoError(t, err)
		size[local] = used.Octets
	}
	check("messages", 0, "552 5.2.2")
	check("octets", 0, "")
	check("octets", 150-size["octets"], "")
	check("octets", 151-size["octets"], "552 5.2.2")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, m.Accepts(ctx, "octets@example.com", 0), "nothing is waited for")
	if runtime.GOOS != "windows" && os.Geteuid() != 0 {
		require.NoError(t, os.Chmod(filepath.Join(m.Root, "example.com"), 0))
		check("octets", 0, "451 4.3.0")
		require.NoError(t, os.Chmod(filepath.Join(m.Root, "example.com"), 0o700))
	}
}

// What an account may have is known while nobody has it open.
func TestLockedAccountHasAQuota(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	m := newEncrypted(t, root, mailbox.Limit{Octets: 1000, Messages: 5})
	_, err := m.EnableEncryption(t.Context(), ann, password)
	require.NoError(t, err)
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
	require.NoError(t, m.Close())
	m = newEncrypted(t, root, mailbox.Limit{Octets: 1000, Messages: 5})
	for range 5 {
		require.NoError(t, m.Accepts(t.Context(), ann, 50))
		require.ErrorIs(t, m.Accepts(t.Context(), ann, 1001), mailbox.ErrQuota)
		deliver(t, m, "Subject: x\r\n\r\nbody\r\n")
	}
	require.ErrorIs(t, m.Accepts(t.Context(), ann, 50), mailbox.ErrQuota)
	env := letterTo(0)
	env.Recipients[0].Address = ann
	require.Equal(t, 552, mailbricks.ReplyTo(sendAll(m, env)[0]).Code)
}

// One of those who have a file together can have it encrypted.
func TestFileOfManyIsEncryptedForOne(t *testing.T) {
	t.Parallel()
	m := newEncrypted(t, t.TempDir(), mailbox.Limit{})
	m.ServerKey = serverKey()
	require.NoError(t, sendAll(m, letterTo(upTo(3)...)).Err())
	address := letterTo(1).Recipients[0].Address
	_, err := m.EnableEncryption(t.Context(), address, password)
	require.NoError(t, err)
	require.NoError(t, m.FinishEncryption(t.Context(), address, nil))
	for user := range 3 {
		data := fileText(t, durable.OS(), newOf(t, durable.OS(), m.Root, user)[0])
		if user == 1 {
			require.NotContains(t, data, "body")
		} else {
			require.Equal(t, letterStored, data)
		}
	}
}
