package sign_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/senderauth/sign"
	"github.com/stretchr/testify/require"
)

// A key that cannot be used can be taken away, and then mail leaves again.
func TestDeleteTakesAwayWhatKeepsMailBack(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(file string) error{
		"good":       func(string) error { return nil },
		"unreadable": func(file string) error { return os.WriteFile(file, []byte("no key"), 0o600) },
		"missing":    os.Remove,
		"no folder":  func(file string) error { return os.RemoveAll(filepath.Dir(file)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDir(t)
			for _, selector := range []string{"mail", "ed"} {
				_, _, err := d.Ensure("example.com", selector, "ed25519", 0)
				require.NoError(t, err)
			}
			file := filepath.Join(d.Root, "example.com", "mail.key")
			require.NoError(t, spoil(file))
			domains, err := d.Domains()
			require.NoError(t, err)
			require.Equal(t, []string{"example.com"}, domains, "also when only the state knows it")
			require.NoError(t, d.Delete("Example.com", "mail"))
			require.NoFileExists(t, file)
			require.ErrorIs(t, d.Delete("example.com", "mail"), sign.ErrUnknownKey)
			if name == "no folder" {
				require.NoError(t, d.Delete("example.com", "ed"))
				domains, err := d.Domains()
				require.NoError(t, err)
				require.Empty(t, domains)
			} else {
				require.Equal(t, []string{"ed"}, selectors(t, d, "example.com"))
			}
			_, _, err = d.Ensure("example.com", "mail", "ed25519", 0)
			require.ErrorIs(t, err, sign.ErrReplaced, "verifiers may know the old record")
			fresh, err := d.FreshSelector("example.com")
			require.NoError(t, err)
			require.Regexp(t, `^s\d{8}a$`, fresh)
		})
	}
}

// A new key in the place of one that is missing would sign with a record that others do not see.
func TestEnsureDoesNotReplaceAMissingKey(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	_, _, err := d.Ensure("example.com", "mail", "ed25519", 0)
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(d.Root, "example.com", "mail.key")))
	_, _, err = d.Ensure("example.com", "mail", "ed25519", 0)
	require.ErrorIs(t, err, sign.ErrMissing)
	require.NoFileExists(t, filepath.Join(d.Root, "example.com", "mail.key"))
}

// Deleting the last key says that the domain's mail leaves unsigned; its record is looked after until it has gone.
func TestDeleteOfTheLastKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, z := rotating(t)
		d := r.Keys
		require.ErrorIs(t, d.Delete("example.com", "other"), sign.ErrUnknownKey)
		require.ErrorIs(t, d.Delete("example.com", "../x"), sign.ErrName)
		s, err := r.Start(t.Context())
		require.NoError(t, err)
		next := "s20000101a"
		require.ErrorIs(t, d.Delete("example.com", next), sign.ErrNextKey)
		require.NoError(t, r.Cancel())
		require.NoError(t, d.Delete("example.com", "mail"))
		require.NoError(t, d.Delete("example.com", "ed"))
		require.Empty(t, selectors(t, d, "example.com"))
		s = step(t, r)
		require.Equal(t, sign.Withdraw, s.Phase)
		require.Equal(t, []string{"mail._domainkey.example.com", "ed._domainkey.example.com"}, s.Withdraw)
		z.publish(s)
		require.Equal(t, "no key signs", step(t, r).Text)

		// Without a state file nothing can be noted, and nothing need be.
		d = newDir(t)
		d.State = ""
		put(t, d, "example.org/a.key", keyText(t, "ed25519"))
		require.NoError(t, d.Delete("example.org", "a"))
		require.NoFileExists(t, filepath.Join(d.Root, "example.org", "a.key"))
		require.ErrorIs(t, d.Delete("example.org", "a"), sign.ErrUnknownKey)
	})
}

// Power is cut at every call of Delete: the other key signs at any time, and Delete can be repeated.
func TestDeleteSurvivesAPowerCut(t *testing.T) {
	t.Parallel()
	open := func(fsys durable.FS) *sign.Dir {
		return (&sign.Dir{Root: "/data/dkim", State: "/data/state/dkim"}).On(fsys)
	}
	for n := 1; ; n++ {
		whole := crashfs.New()
		require.NoError(t, whole.Mkdir("/data", 0o700))
		require.NoError(t, whole.SyncDir("/"))
		for _, selector := range []string{"mail", "ed"} {
			_, _, err := open(whole).Ensure("example.com", selector, "ed25519", 0)
			require.NoError(t, err)
		}
		whole.CrashAfter(whole.Calls() + n)
		err := open(whole).Delete("example.com", "mail")
		done := err == nil && !whole.Crashed()
		if done {
			whole.Crash()
		} else if err != nil {
			require.ErrorIs(t, err, crashfs.ErrCrashed)
		}
		for left := range whole.States() {
			d := open(left)
			active := selectors(t, d, "example.com")
			require.Contains(t, active, "ed")
			if err == nil {
				require.Equal(t, []string{"ed"}, active)
			}
			if again := d.Delete("example.com", "mail"); again != nil {
				require.ErrorIs(t, again, sign.ErrUnknownKey, "all was done")
			}
			require.Equal(t, []string{"ed"}, selectors(t, d, "example.com"))
			_, statErr := left.Stat("/data/dkim/example.com/mail.key")
			require.ErrorIs(t, statErr, os.ErrNotExist)
		}
		if done {
			require.Greater(t, n, 5)
			return
		}
	}
}
