package sealed

import (
	"crypto/hpke"
	"crypto/rand"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Whoever can write to the disk knows the public key of a lock, and could put a master key of their own behind it, with keys of
// their own: mail that comes would be for them. It is noticed.
func TestForgedMasterKeyIsNoticed(t *testing.T) {
	t.Parallel()
	cost := Cost{Time: 1, Memory: 8, Threads: 1}
	keys, err := NewKeys()
	require.NoError(t, err)
	require.NoError(t, keys.SetLock(Secret{Password: "right"}, cost))
	forged, err := NewKeys()
	require.NoError(t, err)
	mine := keys.file.locks[0]
	public, err := kem().NewPublicKey(mine.Public)
	require.NoError(t, err)
	mine.Master, err = hpke.Seal(public, kdf(), hpke.ChaCha20Poly1305(), mine.info(), forged.master)
	require.NoError(t, err)
	guess := make([]byte, keySize)
	_, _ = rand.Read(guess)
	mine.Bind, err = sealSmall(forged.master, guess, mine.bindUse())
	require.NoError(t, err)
	mine.Tag = mine.tag(guess)
	forged.file.locks = []lock{mine}
	data, err := forged.Format()
	require.NoError(t, err)
	file, err := ParseKeyFile(data)
	require.NoError(t, err, "it looks like any other")
	_, err = file.Unlock(Secret{Password: "right"})
	require.ErrorIs(t, err, ErrDamaged)
	require.NotErrorIs(t, err, ErrSecret)
	_, err = file.Unlock(Secret{Password: "wrong"})
	require.ErrorIs(t, err, ErrSecret)
}

// A file with many locks would have each log-in try them all.
func TestLocksOfAKeyFileAreBounded(t *testing.T) {
	t.Parallel()
	cost := Cost{Time: 1, Memory: 8, Threads: 1}
	keys, err := NewKeys()
	require.NoError(t, err)
	require.NoError(t, keys.SetLock(Secret{Recovery: NewRecovery()}, cost))
	for _, password := range []string{"1", "2", "3", "4", "5", "6"} {
		_, err := keys.AddLock(Secret{Password: password}, cost)
		require.NoError(t, err)
		data, err := keys.Format()
		require.NoError(t, err)
		file, err := ParseKeyFile(data)
		require.NoError(t, err)
		require.True(t, file.Fits(Secret{Password: password}))
	}
	require.Equal(t, maxPasswords, keys.file.Passwords())
	require.False(t, keys.file.Fits(Secret{Password: "2"}))
	for _, kind := range []int{0, 1} { // one more recovery key, and one more password
		many := keys.Clone()
		many.file.locks = append(many.file.locks, many.file.locks[kind])
		data, err := many.Format()
		require.NoError(t, err)
		_, err = ParseKeyFile(data)
		require.ErrorIs(t, err, ErrDamaged)
	}
}

func TestDamagedBindKeyStopsRotation(t *testing.T) {
	t.Parallel()
	keys, err := NewKeys()
	require.NoError(t, err)
	require.NoError(t, keys.SetLock(Secret{Server: make([]byte, ServerKeySize)}, Cost{}))
	keys.file.locks[0].Bind[40] ^= 1
	require.ErrorIs(t, keys.Rotate(), ErrDamaged)
}

func FuzzRecovery(f *testing.F) {
	f.Add(NewRecovery())
	f.Add("")
	f.Add("0oO1iIlL-\u2013 \u200b")
	f.Fuzz(func(t *testing.T, text string) {
		raw, err := parseRecovery(text)
		if err != nil {
			require.ErrorIs(t, err, ErrSecret)
			return
		}
		again, err := parseRecovery(formatRecovery(raw))
		require.NoError(t, err)
		require.Equal(t, raw, again)
	})
}

// What a process could read the files by that it has sealed is forgotten in time, also if no file comes after them.
func TestSealerForgetsItsSecret(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		key, err := GenerateKey()
		require.NoError(t, err)
		s := NewSealer(key.Public())
		_, _, err = s.begin(fileMagic, "message")
		require.NoError(t, err)
		shared := func() []byte {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.secret
		}
		secret := shared()
		require.NotEqual(t, make([]byte, keySize), secret)
		time.Sleep(maxSharedAge - time.Second)
		synctest.Wait()
		require.NotNil(t, shared())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Nil(t, shared())
		require.Equal(t, make([]byte, keySize), secret)
		header, fileKey, err := s.begin(fileMagic, "message")
		require.NoError(t, err)
		opened, err := NewKeyring(key).open(header, "message")
		require.NoError(t, err)
		require.Equal(t, fileKey, opened)
	})
}
