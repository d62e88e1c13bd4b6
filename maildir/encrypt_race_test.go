package maildir_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// serverAccount is a locked account with one message that the server's key opens as well.
func serverAccount(t testing.TB) (m *maildir.Maildir, root, recovery string) {
	t.Helper()
	root = t.TempDir()
	m = openedBy(t, root, serverKey())
	deliver(t, m, secretText)
	recovery, err := m.EnableEncryption(t.Context(), ann, password)
	require.NoError(t, err)
	require.NoError(t, m.FinishEncryption(t.Context(), ann, nil))
	require.NoError(t, m.Close())
	return openedBy(t, root, serverKey()), root, recovery
}

func openedBy(t testing.TB, root string, key []byte) *maildir.Maildir {
	m := newEncrypted(t, root, mailbox.Limit{})
	m.Folders = []maildir.Folder{{Name: "Junk", Use: mailbox.UseJunk}}
	m.ServerKey = key
	return m
}

// Whatever is done to the keys while the key of a log-in's password is made, the log-in does not undo it.
func TestLogInWhileKeysChange(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	changes := map[string]func(*maildir.Maildir) (recovery string, err error){
		"rotation": func(m *maildir.Maildir) (string, error) { return m.RotateKey(ctx, ann, maildir.Secret{}) },
		"off":      func(m *maildir.Maildir) (string, error) { return "", m.DisableEncryption(ctx, ann, maildir.Secret{}) },
		"recovery": func(m *maildir.Maildir) (string, error) { return m.NewRecovery(ctx, ann, maildir.Secret{}) },
		"password": func(m *maildir.Maildir) (string, error) {
			return "", m.SetPassword(ctx, ann, maildir.Secret{}, "new")
		},
	}
	for name, change := range changes {
		for _, process := range []string{"this process", "another process"} {
			for _, finished := range []bool{false, true} {
				t.Run(name+" by "+process, func(t *testing.T) {
					t.Parallel()
					m, root, old := serverAccount(t)
					by := m
					if process == "another process" {
						by = openedBy(t, root, serverKey())
					}
					var recovery string
					maildir.WhenDerived(m, func() {
						var err error
						recovery, err = change(by)
						require.NoError(t, err)
						if finished && (name == "rotation" || name == "off") {
							require.NoError(t, by.FinishEncryption(ctx, ann, nil))
						}
						deliver(t, by, secretText)
					})
					err := m.Unlock(ctx, ann, password)
					if name == "password" {
						require.ErrorIs(t, err, maildir.ErrSecret, "it was another one meanwhile")
					} else {
						require.NoError(t, err)
					}
					deliver(t, m, secretText)
					if e, err := m.Encryption(ctx, ann); err == nil && e.Left {
						require.NoError(t, m.FinishEncryption(ctx, ann, nil))
					}
					if name == "recovery" || name == "rotation" { // the key file is written once more
						require.NoError(t, m.SetPassword(ctx, ann, maildir.Secret{}, "newer"))
					}
					require.NoError(t, m.Close())
					require.NoError(t, by.Close())
					checkAfterChange(t, name, root, []string{old, recovery})
				})
			}
		}
	}
}

// checkAfterChange checks what a new process finds.
func checkAfterChange(t *testing.T, name, root string, recovery []string) {
	t.Helper()
	ctx := t.Context()
	m := openedBy(t, root, nil)
	switch name {
	case "off":
		require.NoFileExists(t, filepath.Join(root, "example.com", "ann", "mailbricks-keys"))
	case "password":
		require.ErrorIs(t, m.Unlock(ctx, ann, password), maildir.ErrSecret)
		require.NoError(t, m.Unlock(ctx, ann, "new"))
	default:
		require.ErrorIs(t, m.SetPassword(ctx, ann, maildir.Secret{Recovery: recovery[0]}, "x"), maildir.ErrSecret)
		require.NoError(t, m.SetPassword(ctx, ann, maildir.Secret{Recovery: recovery[1]}, "last"))
		require.NoError(t, m.Unlock(ctx, ann, "last"))
	}
	inbox := allContents(t, m)["INBOX"]
	require.Len(t, inbox, 3)
	for _, text := range inbox {
		require.Contains(t, text, secretText)
	}
}

// sameStat says of the key file what it was like when it was first asked for.
type sameStat struct {
	durable.FS
	mu   sync.Mutex
	info fs.FileInfo
}

func (s *sameStat) Stat(name string) (fs.FileInfo, error) {
	info, err := s.FS.Stat(name)
	if filepath.Base(name) != "mailbricks-keys" || err != nil {
		return info, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.info == nil {
		s.info = info
	}
	return s.info, nil
}

// A process for which another key file looks like the one that it knows writes nothing that is made of the old one.
func TestKeyFileThatLooksTheSame(t *testing.T) {
	t.Parallel()
	_, root, _ := serverAccount(t)
	m := openedBy(t, root, serverKey())
	hook := &sameStat{FS: unsynced{durable.OS()}}
	maildir.SetFS(m, hook)
	require.NoError(t, m.Unlock(t.Context(), ann, password))
	other := openedBy(t, root, serverKey())
	recovery, err := other.RotateKey(t.Context(), ann, maildir.Secret{})
	require.NoError(t, err)
	require.NoError(t, other.FinishEncryption(t.Context(), ann, nil))
	path := filepath.Join(root, "example.com", "ann", "mailbricks-keys")
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	_, err = m.NewRecovery(t.Context(), ann, maildir.Secret{})
	require.Error(t, err)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.NoError(t, m.Close())
	require.NoError(t, other.SetPassword(t.Context(), ann, maildir.Secret{Recovery: recovery}, "new"))
}

// While log-ins do not know the new password yet, one with the old password at another process takes it for the one that counts.
func TestLogInElsewhereWhileThePasswordChanges(t *testing.T) {
	t.Parallel()
	m, root, _ := serverAccount(t)
	for _, process := range []string{"another process", "this process"} {
		require.NoError(t, m.ChangePassword(t.Context(), ann, maildir.PasswordChange{New: "new " + process, Commit: func() error {
			by := m
			if process == "another process" {
				by = openedBy(t, root, serverKey())
			}
			require.NoError(t, maildir.Forget(by, ann))
			return by.Unlock(t.Context(), ann, map[string]string{"another process": password, "this process": "new another process"}[process])
		}}))
		require.NoError(t, m.Close())
		m = openedBy(t, root, serverKey())
		check := openedBy(t, root, nil)
		require.ErrorIs(t, check.Unlock(t.Context(), ann, password), maildir.ErrSecret)
		require.NoError(t, check.Unlock(t.Context(), ann, "new "+process))
		require.NoError(t, check.Close())
		require.NoError(t, m.Unlock(t.Context(), ann, "new "+process)) // the server's key as well again
		require.NoError(t, m.Close())
		m = openedBy(t, root, serverKey())
	}
}

// The connections of one client open the account once, and a password that does not fit is tried once a minute, unless the key
// file changes.
func TestLogInsShareTheWork(t *testing.T) {
	t.Parallel()
	_, root, recovery := serverAccount(t)
	m := openedBy(t, root, nil)
	var clock atomic.Int64
	maildir.SetClock(m, func() time.Time { return time.Unix(clock.Load(), 0) })
	n := maildir.CountDerived(m)
	var work sync.WaitGroup
	for range 5 {
		work.Go(func() {
			_ = m.Unlock(context.Background(), ann, "wrong")
		})
	}
	work.Wait()
	require.EqualValues(t, 1, n())
	clock.Add(59)
	require.ErrorIs(t, m.Unlock(t.Context(), ann, "wrong"), maildir.ErrSecret)
	require.EqualValues(t, 1, n())
	clock.Add(2)
	require.ErrorIs(t, m.Unlock(t.Context(), ann, "wrong"), maildir.ErrSecret)
	require.EqualValues(t, 2, n())
	for range 5 {
		work.Go(func() {
			if err := m.Unlock(context.Background(), ann, password); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	require.EqualValues(t, 3, n())
	require.NoError(t, m.SetPassword(t.Context(), ann, maildir.Secret{Recovery: recovery}, "wrong"))
	require.NoError(t, maildir.Forget(m, ann))
	require.NoError(t, m.Unlock(t.Context(), ann, "wrong"), "which it is not any more")
}
