package auth_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/auth"
)

func TestHashOfANewPasswordVerifies(t *testing.T) {
	t.Parallel()
	for _, password := range []string{"secret", "pässwörd", "may be \\a `p^a.*ssword", strings.Repeat("x", auth.MaxPassword)} {
		hash, err := auth.HashPassword(password)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(hash, "{ARGON2ID}$argon2id$"))
		ok, err := auth.VerifyPassword(hash, password)
		require.NoError(t, err)
		require.True(t, ok)
		ok, err = auth.VerifyPassword(hash, password[:len(password)-1]+"?")
		require.NoError(t, err)
		require.False(t, ok)
	}
}

func TestHashPasswordRefuses(t *testing.T) {
	t.Parallel()
	for _, password := range []string{"", "a\x00b", strings.Repeat("x", auth.MaxPassword+1)} {
		_, err := auth.HashPassword(password)
		require.Error(t, err)
	}
}

// The first is the example of the SHA-crypt specification, the others are of the algorithms' reference
// implementations for the password "password".
func TestVerifyPasswordKnownAnswers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ hash, password string }{
		{"{SHA512-CRYPT}$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1", "Hello world!"},
		{"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1", "Hello world!"},
		{"{BLF-CRYPT}$2y$05$XAuUyuC5GWq2ZeeZ8/i5h.B9r6Z11/I7E1ZLe4q1/iSsKyOXoqVIG", "password"},
		{"{crypt}$2y$05$XAuUyuC5GWq2ZeeZ8/i5h.B9r6Z11/I7E1ZLe4q1/iSsKyOXoqVIG", "password"},
		{"{ARGON2ID}$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password"},
	} {
		ok, err := auth.VerifyPassword(tc.hash, tc.password)
		require.NoError(t, err, tc.hash)
		require.True(t, ok, tc.hash)
		ok, err = auth.VerifyPassword(tc.hash, tc.password+"x")
		require.NoError(t, err)
		require.False(t, ok)
		ok, err = auth.VerifyPassword(tc.hash, "")
		require.NoError(t, err)
		require.False(t, ok)
	}
}

func TestVerifyPasswordRefusesOtherSchemes(t *testing.T) {
	t.Parallel()
	for _, hash := range []string{
		"", "$", "{PLAIN}password", "{SHA512-CRYPT}", "{SHA512-CRYPT}$2y$05$x", "{BLF-CRYPT}$2y$05$short", "$1$salt$x",
		"{ARGON2ID}$argon2id$v=19$m=1,t=0", "{UNKNOWN}$6$a$b", "{SHA512-CRYPT", "x$6$salt$hash",
	} {
		_, err := auth.VerifyPassword(hash, "password")
		require.ErrorIs(t, err, auth.ErrScheme, hash)
		require.ErrorIs(t, auth.CheckHash(hash), auth.ErrScheme, hash)
	}
}

func TestVerifyPasswordSuite(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("MAILBRICKS_SUITES")
	if dir == "" {
		t.Skip("MAILBRICKS_SUITES is not set")
	}
	data, err := os.ReadFile(filepath.Join(dir, "password-hashes", "doveadm-pw-sample.json"))
	require.NoError(t, err)
	var cases []struct{ Scheme, Password, Hash string }
	require.NoError(t, json.Unmarshal(data, &cases))
	verified := 0
	for _, tc := range cases {
		ok, err := auth.VerifyPassword(tc.Hash, tc.Password)
		switch tc.Scheme {
		case "SHA512-CRYPT", "SHA256-CRYPT", "BLF-CRYPT", "ARGON2ID", "ARGON2I", "CRYPT":
			require.NoError(t, err, tc.Scheme)
			require.True(t, ok, tc.Scheme)
			verified++
		default:
			require.ErrorIs(t, err, auth.ErrScheme, tc.Scheme)
		}
	}
	require.GreaterOrEqual(t, verified, 6)
}

func FuzzVerifyPassword(f *testing.F) {
	f.Add("{SHA512-CRYPT}$6$saltstring$x", "p")
	f.Add("$2y$05$XAuUyuC5GWq2ZeeZ8/i5h.B9r6Z11/I7E1ZLe4q1/iSsKyOXoqVIG", "password")
	f.Add("{ARGON2ID}$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "x")
	f.Fuzz(func(t *testing.T, hash, _ string) {
		_ = auth.CheckHash(hash) // must not panic; verifying could cost what the hash asks for
	})
}
