package maildir_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// allContents gives what all mailboxes hold.
func allContents(t testing.TB, m *maildir.Maildir) map[string][]string {
	t.Helper()
	s := mustStoreOf(t, m)
	defer s.Close()
	list, err := s.List(t.Context())
	require.NoError(t, err)
	out := map[string][]string{}
	for _, i := range list {
		b, err := s.Open(t.Context(), i.Name)
		if errors.Is(err, mailbox.ErrNoMailbox) { // it is only subscribed
			continue
		}
		require.NoError(t, err)
		for _, uid := range uidsOf(t, b) {
			out[i.Name] = append(out[i.Name], contentOf(t, b, uid))
		}
		require.NoError(t, b.Close())
	}
	return out
}

// A client that sends its message slowly is done only after the keys that it was begun with are gone.
func TestSlowAppendOutlivesKeys(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*maildir.Maildir) error{
		"rotation": func(m *maildir.Maildir) error {
			_, err := m.RotateKey(context.Background(), ann, maildir.Secret{Password: password})
			return err
		},
		"off": func(m *maildir.Maildir) error {
			return m.DisableEncryption(context.Background(), ann, maildir.Secret{Password: password})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, root, _ := lockedAccount(t)
			require.NoError(t, m.Unlock(t.Context(), ann, password))
			b := open(t, m, mailbox.Inbox)
			r, w := io.Pipe()
			done := make(chan error, 1)
			go func() {
				_, err := b.Append(context.Background(), r, mailbox.AppendOptions{Size: int64(len(secretText))})
				done <- err
			}()
			_, err := io.WriteString(w, secretText[:30])
			require.NoError(t, err)
			require.NoError(t, change(m))
			require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
			e, err := m.Encryption(t.Context(), ann)
			require.NoError(t, err)
			require.Equal(t, name == "rotation", e.On)
			require.False(t, e.Rotating || e.Left)
			_, err = io.WriteString(w, secretText[30:])
			require.NoError(t, err)
			require.NoError(t, w.Close())
			require.NoError(t, <-done)
			require.NoError(t, m.Close())

			m = newEncrypted(t, root, mailbox.Limit{})
			if name == "rotation" {
				require.NoError(t, m.Unlock(t.Context(), ann, password))
			}
			all := allContents(t, m)
			require.Len(t, all["INBOX"], 4)
			require.Equal(t, secretText, all["INBOX"][3])
		})
	}
}

// atNames calls what it is told when names are read for the n-th time.
type atNames struct {
	durable.FS
	mu   sync.Mutex
	n    int
	call func()
}

func (a *atNames) ReadNames(name string) ([]string, error) {
	a.mu.Lock()
	a.n--
	call := a.call
	if a.n != 0 {
		call = nil
	}
	a.mu.Unlock()
	if call != nil {
		call()
	}
	return a.FS.ReadNames(name)
}

// Whenever in a run encryption is turned off, or the keys are rotated, the keys do not go before no file needs them.
func TestEncryptionChangesItsMindAtEveryMoment(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*maildir.Maildir) error{
		"off": func(m *maildir.Maildir) error {
			return m.DisableEncryption(context.Background(), ann, maildir.Secret{Password: password})
		},
		"rotation": func(m *maildir.Maildir) error {
			_, err := m.RotateKey(context.Background(), ann, maildir.Secret{Password: password})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			step := 7
			if os.Getenv("MAILBRICKS_LONG") != "" {
				step = 1
			}
			for at, more := 1, true; more; at += step {
				root := t.TempDir()
				m := newEncrypted(t, root, mailbox.Limit{})
				m.Folders = []maildir.Folder{{Name: "Junk", Use: mailbox.UseJunk}}
				deliver(t, m, secretText)
				before := allContents(t, m)
				_, err := m.EnableEncryption(t.Context(), ann, password)
				require.NoError(t, err)
				require.NoError(t, m.Unlock(t.Context(), ann, password))
				var changed error
				hook := &atNames{FS: unsynced{durable.OS()}, n: at, call: func() { changed = change(m) }}
				maildir.SetFS(m, hook)
				require.NoError(t, m.FinishEncryption(t.Context(), ann, nil), at)
				more = hook.n <= 0
				require.NoError(t, changed)
				if !more {
					require.NoError(t, change(m))
				}
				err = m.FinishEncryption(t.Context(), ann, nil)
				if name == "off" && errors.Is(err, maildir.ErrNotEncrypted) {
					err = nil
				}
				require.NoError(t, err)
				require.NoError(t, m.Close())
				m = newEncrypted(t, root, mailbox.Limit{})
				if name == "off" {
					require.NoFileExists(t, filepath.Join(root, "example.com", "ann", "mailbricks-keys"))
				} else {
					require.NoError(t, m.Unlock(t.Context(), ann, password))
				}
				require.Equal(t, before, allContents(t, m), at)
			}
		})
	}
}

// Another process has sessions open while this one encrypts the account. It has no key and is told so; what it does in between
// damages nothing, and mail that it delivers arrives.
func TestEncryptionByAnotherProcess(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	other := newEncrypted(t, root, mailbox.Limit{})
	fillSecrets(t, other)
	b := open(t, other, mailbox.Inbox)
	require.Equal(t, secretText, contentOf(t, b, 1))
	before := states(t, other)

	m := newEncrypted(t, root, mailbox.Limit{})
	_, err := m.EnableEncryption(t.Context(), ann, password)
	require.NoError(t, err)
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
	_, err = b.Content(t.Context(), 1)
	require.ErrorIs(t, err, mailbox.ErrLocked)
	_, err = b.SetFlags(t.Context(), []mailbox.UID{1}, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{"other"}})
	require.ErrorIs(t, err, mailbox.ErrLocked)
	_, err = b.Append(t.Context(), strings.NewReader(secretText), mailbox.AppendOptions{Size: int64(len(secretText))})
	require.ErrorIs(t, err, mailbox.ErrLocked)
	require.Equal(t, before, states(t, m))
	deliver(t, other, secretText)
	require.Empty(t, found(t, root))
	require.Len(t, allContents(t, m)["INBOX"], 4)
	require.NoError(t, other.Unlock(t.Context(), ann, password))
	require.Equal(t, secretText, contentOf(t, open(t, other, mailbox.Inbox), 1))

	// New keys, and off, behind its back.
	_, err = m.RotateKey(t.Context(), ann, maildir.Secret{})
	require.NoError(t, err)
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
	deliver(t, other, secretText)
	require.Len(t, allContents(t, m)["INBOX"], 5)
	require.NoError(t, m.DisableEncryption(t.Context(), ann, maildir.Secret{}))
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
	deliver(t, other, secretText)
	require.Equal(t, allContents(t, m), allContents(t, other))
	require.Len(t, allContents(t, newEncrypted(t, root, mailbox.Limit{}))["INBOX"], 6)
}

// A power cut has left a rename half done, and nobody has logged in since: mail comes, and who opens the account finishes it.
func TestMailComesWhileARenameWaits(t *testing.T) {
	t.Parallel()
	m, root, _ := lockedAccount(t)
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	require.NoError(t, maildir.BeginRename(m, ann, ".Secretname", ".Moved"))
	require.NoError(t, m.Close())
	m = newEncrypted(t, root, mailbox.Limit{})
	deliver(t, m, secretText)
	junk := &mailbricks.Envelope{From: "bob@example.org", Recipients: []mailbricks.Recipient{{Address: ann}}, Quarantine: "spam"}
	require.NoError(t, m.Handle(t.Context(), junk, mailbricks.NewMessage([]byte(secretText))))
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	all := allContents(t, m)
	require.Len(t, all["INBOX"], 4)
	require.Len(t, all["Junk"], 1)
	require.Len(t, all["Moved"], 2)
	require.NotContains(t, all, "Secretname")
}

// The keys stay in memory for the session that comes next, for as long as there is one, and no longer.
func TestKeysAreForgotten(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	m := newEncrypted(t, root, mailbox.Limit{})
	_, err := m.EnableEncryption(t.Context(), ann, password)
	require.NoError(t, err)
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
	require.NoError(t, m.Close())
	synctest.Test(t, func(t *testing.T) {
		m := newEncrypted(t, root, mailbox.Limit{})
		store := func() (mailbox.Store, error) { return m.Store(t.Context(), mailbricks.Identity{User: ann}) }
		require.NoError(t, m.Unlock(t.Context(), ann, password))
		time.Sleep(time.Minute)
		_, err := store()
		require.ErrorIs(t, err, mailbox.ErrLocked, "nobody came")
		require.NoError(t, m.Unlock(t.Context(), ann, password))
		s, err := store()
		require.NoError(t, err)
		b, err := s.Open(t.Context(), mailbox.Inbox)
		require.NoError(t, err)
		time.Sleep(24 * time.Hour)
		again, err := store()
		require.NoError(t, err, "while a session lasts others come in")
		require.NoError(t, errors.Join(b.Close(), s.Close(), again.Close()))
		time.Sleep(time.Minute)
		_, err = store()
		require.ErrorIs(t, err, mailbox.ErrLocked)
		require.NoError(t, m.Close())
	})
}

// Until log-ins know the new password both open the mail, also if the machine stops in between; then the one that is used stays.
func TestPasswordsChangeTogether(t *testing.T) {
	t.Parallel()
	m, root, _ := lockedAccount(t)
	fault := errors.New("disk")
	err := m.ChangePassword(t.Context(), ann, maildir.PasswordChange{Secret: maildir.Secret{Password: password}, New: "new", Commit: func() error { return fault }})
	require.ErrorIs(t, err, fault)
	require.ErrorIs(t, m.SetPassword(t.Context(), ann, maildir.Secret{Password: "new"}, "x"), maildir.ErrSecret)

	saved := t.TempDir()
	require.NoError(t, m.ChangePassword(t.Context(), ann, maildir.PasswordChange{Secret: maildir.Secret{Password: password}, New: "new",
		Commit: func() error {
			return os.CopyFS(filepath.Join(saved, "example.com"), os.DirFS(filepath.Join(root, "example.com")))
		}}))
	require.ErrorIs(t, m.SetPassword(t.Context(), ann, maildir.Secret{Password: password}, "x"), maildir.ErrSecret)
	require.NoError(t, m.Unlock(t.Context(), ann, "new"))
	checkSecrets(t, m)

	for _, keep := range []string{password, "new"} { // what the machine that stopped has
		root := t.TempDir()
		require.NoError(t, os.CopyFS(root, os.DirFS(saved)))
		m := newEncrypted(t, root, mailbox.Limit{})
		require.NoError(t, m.Unlock(t.Context(), ann, keep))
		require.NoError(t, m.Close())
		for _, try := range []string{password, "new"} {
			m := newEncrypted(t, root, mailbox.Limit{})
			err := m.Unlock(t.Context(), ann, try)
			require.Equal(t, try == keep, err == nil, "%v", err)
			require.NoError(t, m.Close())
		}
	}
}

func TestNewRecoveryKeyTakesThePlaceOfTheOld(t *testing.T) {
	t.Parallel()
	m, _, recovery := lockedAccount(t)
	next, err := m.NewRecovery(t.Context(), ann, maildir.Secret{Recovery: recovery})
	require.NoError(t, err)
	_, err = m.NewRecovery(t.Context(), ann, maildir.Secret{Recovery: recovery})
	require.ErrorIs(t, err, maildir.ErrSecret)
	require.NoError(t, m.SetPassword(t.Context(), ann, maildir.Secret{Recovery: next}, "new"))
	require.NoError(t, m.Unlock(t.Context(), ann, "new"))
	checkSecrets(t, m)
}

func TestEncryptionIsKeptWhileItIsTurnedOff(t *testing.T) {
	t.Parallel()
	m, root, _ := lockedAccount(t)
	require.NoError(t, m.KeepEncryption(t.Context(), ann, maildir.Secret{Password: password}), "it is on")
	require.NoError(t, m.DisableEncryption(t.Context(), ann, maildir.Secret{Password: password}))
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	deliver(t, m, secretText)
	require.NotEmpty(t, found(t, root))
	e, err := m.Encryption(t.Context(), ann)
	require.NoError(t, err)
	require.True(t, e.Ending && e.Left)
	require.NoError(t, m.KeepEncryption(t.Context(), ann, maildir.Secret{}))
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
	require.Empty(t, found(t, root))
	require.Len(t, allContents(t, m)["INBOX"], 4)
}

// A server that got another key can open an account as soon as its user has logged in, and the old key opens it no more.
func TestAnotherServerKey(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	withKey := func(fill byte) *maildir.Maildir {
		m := newEncrypted(t, root, mailbox.Limit{})
		m.ServerKey = []byte(strings.Repeat(string(rune(fill)), maildir.ServerKeySize))
		return m
	}
	m := withKey('a')
	_, err := m.EnableEncryption(t.Context(), ann, password)
	require.NoError(t, err)
	require.NoError(t, m.Close())
	store := func(m *maildir.Maildir) error {
		s, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
		if err == nil {
			err = s.Close()
		}
		return errors.Join(err, m.Close())
	}
	require.NoError(t, store(withKey('a')))
	require.ErrorIs(t, store(withKey('b')), mailbox.ErrLocked)
	m = withKey('b')
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	require.NoError(t, m.Close())
	require.NoError(t, store(withKey('b')))
	require.ErrorIs(t, store(withKey('a')), mailbox.ErrLocked)

	// A password that was changed elsewhere, which the server's key lets in, opens the mail from then on.
	m = withKey('b')
	require.NoError(t, m.Unlock(t.Context(), ann, "edited"))
	require.NoError(t, m.Close())
	m = newEncrypted(t, root, mailbox.Limit{})
	require.ErrorIs(t, m.Unlock(t.Context(), ann, password), maildir.ErrSecret)
	require.NoError(t, m.Unlock(t.Context(), ann, "edited"))
}

// Whatever octet of whatever file is another one: what is read is what was written, or an error.
func TestDamagedAccountGivesNothingElse(t *testing.T) {
	t.Parallel()
	m, root, _ := lockedAccount(t)
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	known := map[string]bool{}
	for _, texts := range allContents(t, m) {
		for _, text := range texts {
			known[text] = true
		}
	}
	require.NoError(t, m.Close())
	var files []string
	require.NoError(t, filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.HasSuffix(path, ".lock") {
			files = append(files, path)
		}
		return err
	}))
	require.Greater(t, len(files), 20)
	for i, path := range files {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		if len(data) == 0 {
			continue
		}
		for _, at := range []int{i % min(len(data), 22), len(data) / 2, len(data) - 1} {
			bad := []byte(string(data))
			bad[at] ^= 0x10
			require.NoError(t, os.WriteFile(path, bad, 0o600))
			readDamaged(t, root, known, path)
		}
		require.NoError(t, os.WriteFile(path, data, 0o600))
	}
}

func readDamaged(t *testing.T, root string, known map[string]bool, what string) {
	t.Helper()
	m := newEncrypted(t, root, mailbox.Limit{})
	defer m.Close()
	if m.Unlock(t.Context(), ann, password) != nil {
		return
	}
	s, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
	if err != nil {
		return
	}
	defer s.Close()
	list, err := s.List(t.Context())
	if err != nil {
		return
	}
	for _, i := range list {
		b, err := s.Open(t.Context(), i.Name)
		if err != nil {
			continue
		}
		uids, _, err := b.UIDs(t.Context())
		require.NoError(t, err)
		for _, uid := range uids {
			c, err := b.Content(t.Context(), uid)
			if err != nil {
				continue
			}
			data, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()+1))
			require.NoError(t, c.Close())
			require.True(t, err != nil || known[string(data)], "%s: %.100q", what, data)
		}
		require.NoError(t, b.Close())
	}
}

// What is kept for listing is converted, so that no message has to be read again.
func TestSummariesOutliveConversions(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	files := &readNames{FS: unsynced{durable.OS()}, names: map[string]bool{}}
	newProcess := func() *maildir.Maildir {
		m := newEncrypted(t, root, mailbox.Limit{})
		maildir.SetFS(m, files)
		m.ServerKey = serverKey()
		return m
	}
	summaries := func(m *maildir.Maildir) []mailbox.Summary {
		b := open(t, m, mailbox.Inbox)
		list, err := b.(mailbox.Summarizer).Summaries(t.Context(), uidsOf(t, b))
		require.NoError(t, err)
		return list
	}
	m := newProcess()
	fillSecrets(t, m)
	want := summaries(m)
	require.Len(t, want, 3)
	require.NoError(t, m.Close())
	for _, change := range []func(*maildir.Maildir) error{
		func(m *maildir.Maildir) error { _, err := m.EnableEncryption(t.Context(), ann, password); return err },
		func(m *maildir.Maildir) error { _, err := m.RotateKey(t.Context(), ann, maildir.Secret{}); return err },
		func(m *maildir.Maildir) error { return m.DisableEncryption(t.Context(), ann, maildir.Secret{}) },
	} {
		m := newProcess()
		require.NoError(t, change(m))
		require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
		require.NoError(t, m.Close())
		m = newProcess()
		files.forget()
		require.Equal(t, want, summaries(m))
		require.Empty(t, files.messages(), "opened")
		require.NoError(t, m.Close())
	}
}

// readNames remembers which files were opened.
type readNames struct {
	durable.FS
	mu    sync.Mutex
	names map[string]bool
}

func (r *readNames) OpenFile(name string, flag int, perm os.FileMode) (durable.File, error) {
	r.mu.Lock()
	r.names[name] = true
	r.mu.Unlock()
	return r.FS.OpenFile(name, flag, perm)
}

func (r *readNames) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.names)
}

// messages are those of them that are messages.
func (r *readNames) messages() (out []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.names {
		if dir := filepath.Base(filepath.Dir(name)); dir == "new" || dir == "cur" {
			out = append(out, name)
		}
	}
	return out
}

// A quota holds while nobody has the keys, by the sizes that messages have in the clear.
func TestLockedAccountKeepsItsQuota(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	limit := mailbox.Limit{Octets: 5000, Messages: 3}
	m := newEncrypted(t, root, limit)
	_, err := m.EnableEncryption(t.Context(), ann, password)
	require.NoError(t, err)
	require.NoError(t, m.Close())
	send := func(m *maildir.Maildir, text string) error {
		env := &mailbricks.Envelope{From: "bob@example.org", Recipients: []mailbricks.Recipient{{Address: ann}}}
		return m.Handle(t.Context(), env, mailbricks.NewMessage([]byte(text)))
	}
	m = newEncrypted(t, root, limit)
	require.NoError(t, send(m, "Subject: one\r\n\r\n"+strings.Repeat("x", 3000)))
	err = send(m, "Subject: too long\r\n\r\n"+strings.Repeat("x", 3000))
	require.ErrorIs(t, err, mailbox.ErrQuota)
	require.Equal(t, 552, mailbricks.ReplyTo(err).Code)
	require.NoError(t, send(m, "Subject: two\r\n\r\n"))
	require.NoError(t, m.Close())
	m = newEncrypted(t, root, limit)
	require.NoError(t, send(m, "Subject: three\r\n\r\n"))
	require.ErrorIs(t, send(m, "Subject: one too many\r\n\r\n"), mailbox.ErrQuota)
	used, err := m.Used(t.Context(), ann)
	require.NoError(t, err)
	require.EqualValues(t, 3, used.Messages)
	require.Less(t, used.Octets, int64(3500), "not what the files need")
}
