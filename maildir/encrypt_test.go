package maildir_test

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

const password = "correct horse battery"

func serverKey() []byte { return bytes.Repeat([]byte{7}, maildir.ServerKeySize) }

// newEncrypted is newMaildir with passwords that cost nothing.
func newEncrypted(t testing.TB, root string, limit mailbox.Limit) *maildir.Maildir {
	m := newLimited(t, root, limit)
	maildir.Cheap(m)
	return m
}

const secretText = "From: bob@example.org\r\nSubject: the secret subject\r\n\r\nthe secret body\r\n"

// secrets must not be found on disk.
func secrets() []string {
	return []string{"secret subject", "secret body", "Secretname", "secretword", "rareword", "secretnote"}
}

// fillSecrets has an account hold what secrets has, in all the places there are.
func fillSecrets(t testing.TB, m *maildir.Maildir) {
	t.Helper()
	s := mustStoreOf(t, m)
	defer s.Close()
	organizer := s.(mailbox.Organizer)
	require.NoError(t, organizer.Create(t.Context(), "Secretname/Below", ""))
	require.NoError(t, organizer.Create(t.Context(), "Secretname", mailbox.UseArchive))
	require.NoError(t, organizer.Subscribe(t.Context(), "Secretname", true))
	require.NoError(t, s.(mailbox.Annotator).Annotate(t.Context(), "Secretname", []mailbox.Annotation{
		{Entry: "/private/comment", Value: []byte("secretnote")}}))
	for _, name := range []string{mailbox.Inbox, "Secretname", "Secretname/Below"} {
		b, err := s.Open(t.Context(), name)
		require.NoError(t, err)
		flags := []mailbox.Flag{mailbox.Seen, "secretword"}
		for c := 'a'; c <= 'z'; c++ {
			flags = append(flags, mailbox.Flag("k"+string(c)))
		}
		flags = append(flags, "rareword") // the 28th keyword has no letter
		uid := appendTo(t, b, secretText, flags...)
		appendTo(t, b, secretText+strings.Repeat("the secret body\r\n", 5000))
		if r, ok := b.(mailbox.Summarizer); ok {
			_, err := r.Summaries(t.Context(), []mailbox.UID{uid})
			require.NoError(t, err)
		}
		require.NoError(t, b.Close())
	}
	deliver(t, m, secretText)
}

// checkSecrets checks that an account holds what fillSecrets has put there.
func checkSecrets(t testing.TB, m *maildir.Maildir) {
	t.Helper()
	s := mustStoreOf(t, m)
	defer s.Close()
	list, err := s.List(t.Context())
	require.NoError(t, err)
	var names []string
	for _, i := range list {
		names = append(names, i.Name)
		if i.Name == "Secretname" {
			require.True(t, i.Subscribed)
			require.Contains(t, i.Uses, mailbox.UseArchive)
		}
	}
	require.Equal(t, []string{"Archive", "Drafts", "INBOX", "Junk", "Secretname", "Secretname/Below", "Sent", "Trash"}, names)
	notes, err := s.(mailbox.Annotator).Annotations(t.Context(), "Secretname")
	require.NoError(t, err)
	require.Equal(t, "secretnote", string(notes[0].Value))
	for _, name := range []string{mailbox.Inbox, "Secretname", "Secretname/Below"} {
		b, err := s.Open(t.Context(), name)
		require.NoError(t, err)
		uids := uidsOf(t, b)
		want := 2
		if name == mailbox.Inbox {
			want = 3
		}
		require.Len(t, uids, want, name)
		metas, err := b.Messages(t.Context(), uids)
		require.NoError(t, err)
		require.Contains(t, metas[0].Flags, mailbox.Flag("secretword"))
		require.Contains(t, metas[0].Flags, mailbox.Flag("rareword"))
		require.Equal(t, secretText, contentOf(t, b, uids[0]))
		require.Equal(t, secretText+strings.Repeat("the secret body\r\n", 5000), contentOf(t, b, uids[1]))
		require.EqualValues(t, len(secretText), metas[0].Size)
		require.NoError(t, b.Close())
	}
}

func contentOf(t testing.TB, b mailbox.Mailbox, uid mailbox.UID) string {
	t.Helper()
	c, err := b.Content(t.Context(), uid)
	require.NoError(t, err)
	defer c.Close()
	data, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()+1))
	require.NoError(t, err)
	return string(data)
}

// found gives the secrets that are on disk in the clear, in names or files.
func found(t testing.TB, root string) []string {
	t.Helper()
	var out []string
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var data []byte
		if d.Type().IsRegular() {
			if data, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		for _, secret := range secrets() {
			if strings.Contains(path, secret) || bytes.Contains(data, []byte(secret)) {
				out = append(out, path+": "+secret)
			}
		}
		return nil
	}))
	return out
}

func TestNothingOfAnEncryptedAccountIsReadableOnDisk(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	m := newEncrypted(t, root, mailbox.Limit{})
	_, err := m.EnableEncryption(t.Context(), ann, password)
	require.NoError(t, err)
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	fillSecrets(t, m)
	require.Empty(t, found(t, root), "from the first moment")
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
	checkSecrets(t, m)
	s := mustStoreOf(t, m)
	defer s.Close()
	organizer := s.(mailbox.Organizer)
	require.NoError(t, organizer.Rename(t.Context(), "Secretname", "Secretname2"))
	b, err := s.Open(t.Context(), mailbox.Inbox)
	require.NoError(t, err)
	defer b.Close()
	_, err = b.Copy(t.Context(), uidsOf(t, b), "Secretname2/Below")
	require.NoError(t, err)
	require.NoError(t, maildir.Compact(b))
	require.Empty(t, found(t, root))
	require.NoError(t, organizer.Delete(t.Context(), "Secretname2/Below"))
	require.Empty(t, found(t, root))
}

func TestEncryptionIsTurnedOnAndOffInPlace(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	m := newEncrypted(t, root, mailbox.Limit{})
	fillSecrets(t, m)
	require.NotEmpty(t, found(t, root))
	before := states(t, m)
	recovery, err := m.EnableEncryption(t.Context(), ann, password)
	require.NoError(t, err)
	require.NotEmpty(t, recovery)
	_, err = m.EnableEncryption(t.Context(), ann, password)
	require.ErrorIs(t, err, maildir.ErrEncrypted)
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	checkSecrets(t, m) // both kinds of files
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
	require.Empty(t, found(t, root))
	checkSecrets(t, m)
	require.Equal(t, before, states(t, m))
	e, err := m.Encryption(t.Context(), ann)
	require.NoError(t, err)
	require.True(t, e.On && e.Open && e.Password && e.Recovery)
	require.False(t, e.Ending || e.Left || e.Working || e.Server)
	require.Positive(t, e.Total)
	require.Equal(t, e.Total, e.Done)

	require.NoError(t, m.DisableEncryption(t.Context(), ann, maildir.Secret{Password: password}))
	checkSecrets(t, m)
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
	checkSecrets(t, m)
	require.Equal(t, before, states(t, m))
	require.NoFileExists(t, filepath.Join(root, "example.com", "ann", "mailbricks-keys"))
	require.NoFileExists(t, filepath.Join(root, "example.com", "ann", "mailbricks-roles"))
	require.DirExists(t, filepath.Join(root, "example.com", "ann", ".Secretname"))
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		require.NotContains(t, path, ".=")
		require.NotEqual(t, "mailbricks-name", d.Name())
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NotContains(t, string(data), "mailbricks-sealed", path)
		}
		return err
	}))
	require.ErrorIs(t, m.FinishEncryption(t.Context(), ann, nil), maildir.ErrNotEncrypted)
}

// states gives what clients rely on of all mailboxes: UIDs, flags, dates, sizes.
func states(t testing.TB, m *maildir.Maildir) map[string][]mailbox.Meta {
	t.Helper()
	out := map[string][]mailbox.Meta{}
	s := mustStoreOf(t, m)
	defer s.Close()
	list, err := s.List(t.Context())
	require.NoError(t, err)
	for _, i := range list {
		b, err := s.Open(t.Context(), i.Name)
		require.NoError(t, err)
		metas, err := b.Messages(t.Context(), uidsOf(t, b))
		require.NoError(t, err)
		out[i.Name] = metas
		require.NoError(t, b.Close())
	}
	return out
}

// lockedAccount is an encrypted account as a new process finds it.
func lockedAccount(t testing.TB) (m *maildir.Maildir, root, recovery string) {
	t.Helper()
	root = t.TempDir()
	m = newEncrypted(t, root, mailbox.Limit{})
	fillSecrets(t, m)
	recovery, err := m.EnableEncryption(t.Context(), ann, password)
	require.NoError(t, err)
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
	require.NoError(t, m.Close())
	return newEncrypted(t, root, mailbox.Limit{}), root, recovery
}

func TestLockedAccountTakesMailAndShowsNone(t *testing.T) {
	t.Parallel()
	m, root, _ := lockedAccount(t)
	_, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
	require.ErrorIs(t, err, mailbox.ErrLocked)
	used, err := m.Used(t.Context(), ann)
	require.NoError(t, err)
	require.EqualValues(t, 7, used.Messages)

	text := "Subject: the secret subject\r\n\r\nnew\r\n"
	deliver(t, m, text)
	junk := &mailbricks.Envelope{From: "bob@example.org", Recipients: []mailbricks.Recipient{{Address: ann}}, Quarantine: "spam"}
	require.NoError(t, m.Handle(t.Context(), junk, mailbricks.NewMessage([]byte(text))))
	require.Empty(t, found(t, root))
	more, err := m.Used(t.Context(), ann)
	require.NoError(t, err)
	require.EqualValues(t, 9, more.Messages)
	require.Greater(t, more.Octets, used.Octets)

	require.ErrorIs(t, m.Unlock(t.Context(), ann, "wrong"), maildir.ErrSecret)
	_, err = m.Store(t.Context(), mailbricks.Identity{User: ann})
	require.ErrorIs(t, err, mailbox.ErrLocked)
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	require.Len(t, uidsOf(t, open(t, m, mailbox.Inbox)), 4)
	b := open(t, m, "Junk")
	uids := uidsOf(t, b)
	require.Len(t, uids, 1)
	require.True(t, strings.HasSuffix(contentOf(t, b, uids[0]), text))
	require.NoError(t, m.Unlock(t.Context(), ann, "whatever"), "it is open already")
}

// The folder for junk may have another name by now, or be gone.
func TestJunkFindsItsFolderWhileLocked(t *testing.T) {
	t.Parallel()
	m, root, _ := lockedAccount(t)
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	s := mustStoreOf(t, m)
	require.NoError(t, s.(mailbox.Organizer).Rename(t.Context(), "Junk", "Rubbish"))
	require.NoError(t, s.Close())
	junk := &mailbricks.Envelope{From: "bob@example.org", Recipients: []mailbricks.Recipient{{Address: ann}}, Quarantine: "spam"}
	deliverLocked := func() *maildir.Maildir {
		require.NoError(t, m.Close())
		m = newEncrypted(t, root, mailbox.Limit{})
		require.NoError(t, m.Handle(t.Context(), junk, mailbricks.NewMessage([]byte("Subject: x\r\n\r\n"))))
		require.NoError(t, m.Unlock(t.Context(), ann, password))
		return m
	}
	deliverLocked()
	require.Len(t, uidsOf(t, open(t, m, "Rubbish")), 1)
	s = mustStoreOf(t, m)
	require.NoError(t, s.(mailbox.Organizer).Delete(t.Context(), "Rubbish"))
	require.NoError(t, s.Close())
	deliverLocked()
	require.Len(t, uidsOf(t, open(t, m, mailbox.Inbox)), 4)
}

func TestServerKeyOpensAccounts(t *testing.T) {
	t.Parallel()
	m, root, _ := lockedAccount(t)
	m.ServerKey = serverKey()
	_, err := m.Store(t.Context(), mailbricks.Identity{User: ann})
	require.ErrorIs(t, err, mailbox.ErrLocked, "the account does not know it yet")
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	require.NoError(t, m.Close())

	m = newEncrypted(t, root, mailbox.Limit{})
	m.ServerKey = serverKey()
	checkSecrets(t, m)
	require.NoError(t, m.SetPassword(t.Context(), ann, maildir.Secret{}, "new"))
	require.NoError(t, m.Close())

	m = newEncrypted(t, root, mailbox.Limit{}) // without the key again
	require.ErrorIs(t, m.Unlock(t.Context(), ann, password), maildir.ErrSecret)
	require.NoError(t, m.Unlock(t.Context(), ann, "new"))
	e, err := m.Encryption(t.Context(), ann)
	require.NoError(t, err)
	require.False(t, e.Server, "it is dropped with the next log-in")
	require.NoError(t, m.Close())

	m = newEncrypted(t, root, mailbox.Limit{})
	m.ServerKey = serverKey()
	_, err = m.Store(t.Context(), mailbricks.Identity{User: ann})
	require.ErrorIs(t, err, mailbox.ErrLocked)
}

// An administrator who does not know the password encrypts with the server's key; the next log-in shows the password.
func TestPasswordIsTakenFromTheNextLogIn(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	m := newEncrypted(t, root, mailbox.Limit{})
	_, err := m.EnableEncryption(t.Context(), ann, "")
	require.ErrorIs(t, err, maildir.ErrSecret)
	m.ServerKey = serverKey()
	_, err = m.EnableEncryption(t.Context(), ann, "")
	require.NoError(t, err)
	require.NoError(t, m.Close())
	m = newEncrypted(t, root, mailbox.Limit{})
	m.ServerKey = serverKey()
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	require.NoError(t, m.Close())
	m = newEncrypted(t, root, mailbox.Limit{})
	require.NoError(t, m.Unlock(t.Context(), ann, password))
}

func TestRecoveryKeyOpensAccountAndSetsPassword(t *testing.T) {
	t.Parallel()
	m, _, recovery := lockedAccount(t)
	err := m.SetPassword(t.Context(), ann, maildir.Secret{Recovery: "AAAAAA"}, "new")
	require.ErrorIs(t, err, maildir.ErrSecret)
	require.ErrorContains(t, err, maildir.ErrSecret.Error()+": the recovery key has a typing error")
	require.ErrorIs(t, m.SetPassword(t.Context(), ann, maildir.Secret{Recovery: recovery}, ""), maildir.ErrSecret)
	require.ErrorIs(t, m.SetPassword(t.Context(), ann, maildir.Secret{}, "new"), mailbox.ErrLocked)
	require.NoError(t, m.SetPassword(t.Context(), ann, maildir.Secret{Recovery: strings.ToLower(recovery)}, "new"))
	require.NoError(t, m.SetPassword(t.Context(), ann, maildir.Secret{Password: "new"}, "newer"))
	require.NoError(t, m.Unlock(t.Context(), ann, "newer"))
	require.ErrorIs(t, m.SetPassword(t.Context(), ann, maildir.Secret{Password: password}, "x"), maildir.ErrSecret, "though it is open")
	checkSecrets(t, m)
}

func TestRotatedKeysAreTheOnlyOnes(t *testing.T) {
	t.Parallel()
	m, root, recovery := lockedAccount(t)
	dir := filepath.Join(root, "example.com", "ann")
	old, err := os.ReadFile(filepath.Join(dir, "mailbricks-keys"))
	require.NoError(t, err)
	deliver(t, m, secretText)
	next, err := m.RotateKey(t.Context(), ann, maildir.Secret{Password: password})
	require.NoError(t, err)
	require.NotEqual(t, recovery, next)
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	require.Len(t, uidsOf(t, open(t, m, mailbox.Inbox)), 4)
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
	require.NoError(t, m.Close())
	require.Empty(t, found(t, root))

	// With the old key file nothing opens.
	now, err := os.ReadFile(filepath.Join(dir, "mailbricks-keys"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "mailbricks-keys"), old, 0o600))
	m = newEncrypted(t, root, mailbox.Limit{})
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	s := mustStoreOf(t, m)
	_, err = s.List(t.Context())
	require.Error(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, m.Close())

	require.NoError(t, os.WriteFile(filepath.Join(dir, "mailbricks-keys"), now, 0o600))
	m = newEncrypted(t, root, mailbox.Limit{})
	require.ErrorIs(t, m.SetPassword(t.Context(), ann, maildir.Secret{Recovery: recovery}, "x"), maildir.ErrSecret)
	require.NoError(t, m.SetPassword(t.Context(), ann, maildir.Secret{Recovery: next}, "x"))
	require.NoError(t, m.Unlock(t.Context(), ann, "x"))
	require.Len(t, uidsOf(t, open(t, m, mailbox.Inbox)), 4)
}

// What has the message open reads on while its file is replaced.
func TestConversionLeavesReadersAlone(t *testing.T) {
	t.Parallel()
	m := newEncrypted(t, t.TempDir(), mailbox.Limit{})
	fillSecrets(t, m)
	b := open(t, m, mailbox.Inbox)
	c, err := b.Content(t.Context(), uidsOf(t, b)[0])
	require.NoError(t, err)
	defer c.Close()
	_, err = m.EnableEncryption(t.Context(), ann, password)
	require.NoError(t, err)
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
	got := make([]byte, len(secretText))
	_, err = c.ReadAt(got, 0)
	require.NoError(t, err)
	require.Equal(t, secretText, string(got))
	require.Equal(t, secretText, contentOf(t, b, uidsOf(t, b)[0]))
	appendTo(t, b, secretText, "secretword")
	require.Len(t, uidsOf(t, b), 4)
}

// Damage is told, and hits nothing else.
func TestDamagedMessageIsAnErrorOfItsOwn(t *testing.T) {
	t.Parallel()
	m, root, _ := lockedAccount(t)
	path, err := maildir.FileOf(filepath.Join(root, "example.com", "ann"), 1)
	require.NoError(t, err)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	data[len(data)-1] ^= 1
	require.NoError(t, os.WriteFile(path, data, 0o600))
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	b := open(t, m, mailbox.Inbox)
	uids := uidsOf(t, b)
	require.Len(t, uids, 3)
	c, err := b.Content(t.Context(), uids[0])
	if err == nil {
		_, err = io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
		require.NoError(t, c.Close())
	}
	require.ErrorContains(t, err, "damaged")
	require.Contains(t, contentOf(t, b, uids[1]), "secret body")
}

// What only begins like an encrypted message, and has a name without sizes, keeps nobody from the others.
func TestWhatLooksEncryptedIsOneBadMessage(t *testing.T) {
	t.Parallel()
	m, root, _ := lockedAccount(t)
	dir := filepath.Join(root, "example.com", "ann")
	path, err := maildir.FileOf(dir, 1)
	require.NoError(t, err)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	change := func(at int, with string) string { return string(data[:at]) + with + string(data[at+len(with):]) }
	bad := map[string]string{
		"1700000001.M1P1.host": change(3, "\x86"),                      // a bit of the first line
		"1700000002.M1P1.host": change(len("mailbricks-sealed "), "9"), // a newer version
		"1700000003.M1P1.host": change(len("mailbricks-sealed 1 f\n"), "other keys"),
	}
	for name, text := range bad {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "cur", name+":2,S"), []byte(text), 0o600))
	}
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	b := open(t, m, mailbox.Inbox)
	status, err := b.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, 3+len(bad), status.Messages)
	uids := uidsOf(t, b)
	metas, err := b.Messages(t.Context(), uids)
	require.NoError(t, err)
	require.Len(t, metas, 3+len(bad))
	unreadable := 0
	for _, uid := range uids {
		c, err := b.Content(t.Context(), uid)
		if err == nil {
			require.NoError(t, c.Close())
			continue
		}
		require.NotErrorIs(t, err, mailbox.ErrExpunged)
		unreadable++
	}
	require.Equal(t, len(bad), unreadable)
}
