package sealed_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/sealed"
)

// newKeyFile makes a key file with all kinds of locks.
func newKeyFile(t testing.TB) (keys *sealed.Keys, data []byte, recovery string) {
	t.Helper()
	keys, err := sealed.NewKeys()
	require.NoError(t, err)
	recovery = sealed.NewRecovery()
	require.NoError(t, keys.SetLock(sealed.Secret{Password: "correct horse"}, cheap()))
	require.NoError(t, keys.SetLock(sealed.Secret{Recovery: recovery}, cheap()))
	require.NoError(t, keys.SetLock(sealed.Secret{Server: bytes.Repeat([]byte{7}, sealed.ServerKeySize)}, cheap()))
	data, err = keys.Format()
	require.NoError(t, err)
	return keys, data, recovery
}

func unlock(data []byte, secret sealed.Secret) (*sealed.Keys, error) {
	file, err := sealed.ParseKeyFile(data)
	if err != nil {
		return nil, err
	}
	return file.Unlock(secret)
}

func TestEachSecretOpensTheKeyFile(t *testing.T) {
	t.Parallel()
	keys, data, recovery := newKeyFile(t)
	public, err := keys.File().Public()
	require.NoError(t, err)
	message := seal(t, sealed.NewSealer(public), text(100))
	for _, secret := range []sealed.Secret{
		{Password: "correct horse"}, {Recovery: recovery},
		{Recovery: strings.ToLower(strings.ReplaceAll(recovery, "-", " "))}, {Recovery: strings.ReplaceAll(recovery, "-", "\u2013") + ".\u00a0\u200b\n"},
		{Recovery: strings.NewReplacer("0", "o", "1", "l").Replace(recovery)}, {Server: bytes.Repeat([]byte{7}, 32)},
	} {
		again, err := unlock(data, secret)
		require.NoError(t, err)
		require.Equal(t, keys.Names(), again.Names())
		got, err := open(message, again.Keyring(), "message")
		require.NoError(t, err)
		require.Equal(t, text(100), got)
	}
	for _, secret := range []sealed.Secret{
		{}, {Password: "correct horses"}, {Recovery: sealed.NewRecovery()}, {Recovery: recovery[1:]}, {Recovery: "?" + recovery[1:]},
		{Server: bytes.Repeat([]byte{8}, 32)}, {Server: []byte{7}}, {Password: "correct horse", Recovery: recovery},
	} {
		_, err := unlock(data, secret)
		require.ErrorIs(t, err, sealed.ErrSecret, "%+v", secret)
	}
}

// A typing error is told from a key that does not fit.
func TestRecoveryKeyHasAChecksum(t *testing.T) {
	t.Parallel()
	_, data, recovery := newKeyFile(t)
	for i, r := range recovery {
		if r == '-' {
			continue
		}
		other := byte('0')
		if r == '0' {
			other = '1'
		}
		_, err := unlock(data, sealed.Secret{Recovery: recovery[:i] + string(other) + recovery[i+1:]})
		require.ErrorIs(t, err, sealed.ErrSecret)
		require.ErrorContains(t, err, "typing error")
	}
	require.Regexp(t, `^([0-9A-HJKMNP-TV-Z]{6}-){5}[0-9A-HJKMNP-TV-Z]{6}$`, recovery)
	require.NotEqual(t, recovery, sealed.NewRecovery())
}

func TestEveryChangedBitOfAKeyFileIsNoticed(t *testing.T) {
	t.Parallel()
	_, data, _ := newKeyFile(t)
	server := sealed.Secret{Server: bytes.Repeat([]byte{7}, 32)}
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 1 << (i % 8)
		_, err := unlock(bad, server)
		require.Error(t, err, i)
	}
	for i := range data {
		_, err := unlock(data[:i], server)
		require.Error(t, err, i)
	}
}

// Who can write to the disk but has no key cannot put another public key in the file: the owner notices.
func TestForgedKeyFileIsNoticed(t *testing.T) {
	t.Parallel()
	_, data, _ := newKeyFile(t)
	_, other, _ := newKeyFile(t)
	lines, others := bytes.SplitAfter(data, []byte("\n")), bytes.SplitAfter(other, []byte("\n"))
	_, err := unlock(bytes.Join([][]byte{lines[0], lines[1], others[2]}, nil), sealed.Secret{Password: "correct horse"})
	require.ErrorIs(t, err, sealed.ErrDamaged)
	require.NotErrorIs(t, err, sealed.ErrSecret)
}

func TestNewerKeyFileIsRefused(t *testing.T) {
	t.Parallel()
	_, data, _ := newKeyFile(t)
	_, err := sealed.ParseKeyFile(bytes.Replace(data, []byte("keys 1"), []byte("keys 2"), 1))
	require.ErrorIs(t, err, sealed.ErrNewer)
}

func TestRotatedKeysOpenOldFilesWithTheOldSecrets(t *testing.T) {
	t.Parallel()
	keys, data, recovery := newKeyFile(t)
	first, err := keys.File().Public()
	require.NoError(t, err)
	old := seal(t, sealed.NewSealer(first), text(10))

	keys, err = unlock(data, sealed.Secret{Password: "correct horse"})
	require.NoError(t, err)
	changed := keys.Clone()
	require.NoError(t, changed.Rotate())
	require.Equal(t, 1, keys.File().Keys(), "those that are in use stay as they are")
	data, err = changed.Format()
	require.NoError(t, err)
	_, err = keys.Again(changed.File())
	require.ErrorIs(t, err, sealed.ErrDamaged, "the master key is another one")
	second, err := changed.File().Public()
	require.NoError(t, err)
	require.NotEqual(t, first.ID(), second.ID())

	for _, secret := range []sealed.Secret{{Password: "correct horse"}, {Recovery: recovery}} {
		again, err := unlock(data, secret)
		require.NoError(t, err)
		require.Equal(t, 2, again.File().Keys())
		require.Equal(t, sealed.Sealing, again.File().State())
		require.Equal(t, keys.Names(), again.Names())
		_, err = open(old, again.Keyring(), "message")
		require.NoError(t, err)
		again.SetState(sealed.Sealed)
		require.Equal(t, 1, again.File().Keys())
		_, err = open(old, again.Keyring(), "message")
		require.ErrorIs(t, err, sealed.ErrNoKey)
	}
}

func TestLocksAreReplaced(t *testing.T) {
	t.Parallel()
	keys, _, recovery := newKeyFile(t)
	require.NoError(t, keys.SetLock(sealed.Secret{Password: "new"}, cheap()))
	keys.DropServerLock()
	data, err := keys.Format()
	require.NoError(t, err)
	file, err := sealed.ParseKeyFile(data)
	require.NoError(t, err)
	password, rec, server := file.Locks()
	require.Equal(t, []bool{true, true, false}, []bool{password, rec, server})
	_, err = unlock(data, sealed.Secret{Password: "correct horse"})
	require.ErrorIs(t, err, sealed.ErrSecret)
	_, err = unlock(data, sealed.Secret{Server: bytes.Repeat([]byte{7}, 32)})
	require.ErrorIs(t, err, sealed.ErrSecret)
	_, err = unlock(data, sealed.Secret{Password: "new"})
	require.NoError(t, err)
	_, err = unlock(data, sealed.Secret{Recovery: recovery})
	require.NoError(t, err)
}

func TestWipedKeysOpenNothing(t *testing.T) {
	t.Parallel()
	keys, _, _ := newKeyFile(t)
	public, err := keys.File().Public()
	require.NoError(t, err)
	data := seal(t, sealed.NewSealer(public), text(10))
	ring := keys.Keyring()
	ring.Wipe()
	_, err = open(data, ring, "message")
	require.ErrorIs(t, err, sealed.ErrNoKey)
	keys.Wipe()
	require.Equal(t, make([]byte, 32), keys.Names())
}

// While one password takes the place of another both open the file, and each is known by its name.
func TestTwoPasswordsForAWhile(t *testing.T) {
	t.Parallel()
	keys, _, _ := newKeyFile(t)
	id, err := keys.AddLock(sealed.Secret{Password: "new"}, cheap())
	require.NoError(t, err)
	data, err := keys.Format()
	require.NoError(t, err)
	old, err := unlock(data, sealed.Secret{Password: "correct horse"})
	require.NoError(t, err)
	require.Equal(t, 2, old.File().Passwords())
	require.NotEqual(t, id, old.OpenedBy())
	next, err := unlock(data, sealed.Secret{Password: "new"})
	require.NoError(t, err)
	require.Equal(t, id, next.OpenedBy())
	next.OnlyLock(next.OpenedBy())
	require.False(t, next.File().Fits(sealed.Secret{Password: "correct horse"}))
	require.True(t, next.File().Fits(sealed.Secret{Password: "new"}))
	require.True(t, next.File().Fits(sealed.Secret{Server: bytes.Repeat([]byte{7}, 32)}), "other kinds stay")
	old.DropLock(id)
	require.True(t, old.File().Fits(sealed.Secret{Password: "correct horse"}))
	require.Equal(t, 1, old.File().Passwords())
	require.False(t, old.File().Fits(sealed.Secret{}))
}

// A forged file must not use up the memory.
func TestCostOfAPasswordIsBounded(t *testing.T) {
	t.Parallel()
	for _, cost := range []sealed.Cost{{}, {Time: 1000, Memory: 8, Threads: 1}, {Time: 1, Memory: 1 << 30, Threads: 1}, {Time: 1, Memory: 8, Threads: 255}} {
		keys, err := sealed.NewKeys()
		require.NoError(t, err)
		require.ErrorIs(t, keys.SetLock(sealed.Secret{Password: "x"}, cost), sealed.ErrDamaged)
	}
}

func FuzzKeyFile(f *testing.F) {
	_, data, _ := newKeyFile(f)
	f.Add(data)
	f.Add([]byte("mailbricks-keys 1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := sealed.ParseKeyFile(data)
		if err != nil {
			return
		}
		_, _ = file.Public()
		if _, err := file.Unlock(sealed.Secret{Server: make([]byte, 32)}); err == nil {
			t.Fatal("opened with a key that is none of it")
		}
	})
}

func FuzzFile(f *testing.F) {
	s, keys := newKey(f)
	f.Add(seal(f, s, text(50)))
	f.Add(makeLog(f, s, []byte("one"), []byte("two")))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = open(data, keys, "message")
		_, _ = readLog(data, keys)
		_, _, _ = sealed.Peek(data)
	})
}

// A state that was set and taken back is another key file: who works by the one before must not go on.
func TestFreshKeyFileIsNeverAnOldOne(t *testing.T) {
	t.Parallel()
	keys, err := sealed.NewKeys()
	require.NoError(t, err)
	lock, err := sealed.MakeLock(sealed.Secret{Password: "correct horse"}, cheap())
	require.NoError(t, err)
	require.NoError(t, keys.Set(lock))
	parse := func() *sealed.KeyFile {
		data, err := keys.Format()
		require.NoError(t, err)
		file, err := sealed.ParseKeyFile(data)
		require.NoError(t, err)
		return file
	}
	first := parse()
	require.True(t, first.Same(parse()))
	require.False(t, first.Same(nil))
	require.NoError(t, keys.Freshen())
	second := parse()
	require.False(t, first.Same(second))
	was, err := first.Unlock(sealed.Secret{Password: "correct horse"})
	require.NoError(t, err)
	now, err := second.Unlock(sealed.Secret{Password: "correct horse"})
	require.NoError(t, err)
	require.Equal(t, was.Names(), now.Names())
	require.True(t, second.Has(now.OpenedBy()))

	// A lock that was dropped can be put back, and is there once.
	id, err := keys.Add(lock)
	require.NoError(t, err)
	require.Equal(t, now.OpenedBy(), id)
	require.Equal(t, 1, parse().Passwords())
	keys.DropLock(id)
	require.False(t, parse().Has(id))
	require.NoError(t, keys.Set(lock))
	_, err = parse().Unlock(sealed.Secret{Password: "correct horse"})
	require.NoError(t, err)
}
