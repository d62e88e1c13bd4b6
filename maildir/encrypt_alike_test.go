package maildir_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// Whoever writes messages that begin like encrypted files keeps nobody from encrypting an account or reading it.
func TestMessagesThatLookEncrypted(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	m := newEncrypted(t, root, mailbox.Limit{})
	m.Folders = []maildir.Folder{{Name: "Junk", Use: mailbox.UseJunk}}
	texts := []string{
		"mailbricks-sealed 1 f\r\nSubject: file\r\n\r\nbody\r\n",
		"mailbricks-sealed 1 l\r\nSubject: log\r\n\r\nbody\r\n",
		"mailbricks-sealed 2 f\r\nSubject: newer\r\n\r\nbody\r\n",
		"mailbricks-sealex 1 f\r\nSubject: damaged\r\n\r\nbody\r\n",
		"mailbricks-sealed 1 f\r\n",
	}
	fill := func() {
		b := open(t, m, mailbox.Inbox)
		for _, text := range texts {
			appendTo(t, b, text)
		}
		require.NoError(t, b.Close())
	}
	fill()
	exact := "mailbricks-sealed 1 f\nSubject: another program has written it\n\nbody\n"
	name := fmt.Sprintf("1.other,S=%d:2,S", len(exact))
	require.NoError(t, os.WriteFile(filepath.Join(root, "example.com", "ann", "cur", name), []byte(exact), 0o600))
	want := allContents(t, m)
	require.Equal(t, append(slices.Clone(texts), strings.ReplaceAll(exact, "\n", "\r\n")), want["INBOX"])
	_, err := m.EnableEncryption(t.Context(), ann, password)
	require.NoError(t, err)
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	require.Equal(t, want, allContents(t, m))
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
	e, err := m.Encryption(t.Context(), ann)
	require.NoError(t, err)
	require.False(t, e.Left)
	require.Equal(t, want, allContents(t, m))
	fill()
	want["INBOX"] = append(want["INBOX"], texts...)
	require.Equal(t, want, allContents(t, m))
	_, err = m.RotateKey(t.Context(), ann, maildir.Secret{Password: password})
	require.NoError(t, err)
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
	require.NoError(t, m.DisableEncryption(t.Context(), ann, maildir.Secret{Password: password}))
	fill()
	want["INBOX"] = append(want["INBOX"], texts...)
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
	require.Equal(t, want, allContents(t, m))
	fill()
	want["INBOX"] = append(want["INBOX"], texts...)
	require.Equal(t, want, allContents(t, m))
}

// A message of another program, whose name does not tell its size, may not be told from one of a later version. The others are
// encrypted all the same, and the state says that one is not.
func TestMessageThatMayBeNewer(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	m := newEncrypted(t, root, mailbox.Limit{})
	deliver(t, m, secretText)
	cur := filepath.Join(root, "example.com", "ann", "cur")
	require.NoError(t, os.WriteFile(filepath.Join(cur, "1.other:2,S"), []byte("mailbricks-sealed 2 f\nSubject: x\n\nbody\n"), 0o600))
	_, err := m.EnableEncryption(t.Context(), ann, password)
	require.NoError(t, err)
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	require.ErrorContains(t, m.FinishEncryption(t.Context(), ann, nil), "1 files could not be converted")
	require.Empty(t, found(t, root))
	require.NoError(t, os.Remove(filepath.Join(cur, "1.other:2,S")))
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
}

// What a repair has put aside is not encrypted, and the log says so.
func TestWhatWasPutAsideIsNamed(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	m := newEncrypted(t, root, mailbox.Limit{})
	var log bytes.Buffer
	m.Logger = slog.New(slog.NewTextHandler(&log, nil))
	deliver(t, m, secretText)
	require.NoError(t, os.Mkdir(filepath.Join(root, "example.com", "ann", "mailbricks-aside"), 0o700))
	_, err := m.EnableEncryption(t.Context(), ann, password)
	require.NoError(t, err)
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
	require.NoError(t, m.Close())
	require.Contains(t, log.String(), "mailbricks-aside")
}

// What another program makes of an encrypted file that it writes anew is put aside by a repair; the user can go on then.
func TestSubscriptionsThatAnotherProgramWrote(t *testing.T) {
	t.Parallel()
	m, root, _ := lockedAccount(t)
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	path := filepath.Join(root, "example.com", "ann", "subscriptions")
	for _, text := range []string{"mailbricks-sealed 1 f\nFoo\n", "mailbricks-sealed 1 f\nAnother/Mailbox/Of/Mine\n"} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		s := mustStoreOf(t, m)
		require.Error(t, s.(mailbox.Organizer).Subscribe(t.Context(), "Secretname", true))
		found, _ := checkup(t, m, maildir.CheckOptions{Repair: true})
		require.NotEmpty(t, found)
		require.NoError(t, s.(mailbox.Organizer).Subscribe(t.Context(), "Secretname", true))
		list, err := s.List(t.Context())
		require.NoError(t, err)
		require.True(t, slices.ContainsFunc(list, func(i mailbox.Info) bool { return i.Name == "Secretname" && i.Subscribed }))
		require.NoError(t, s.Close())
		aside, err := filepath.Glob(filepath.Join(root, "example.com", "ann", "mailbricks-aside", "*", "subscriptions"))
		require.NoError(t, err)
		require.NotEmpty(t, aside)
	}
}
