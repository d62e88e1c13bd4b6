package dkim_test

import (
	"crypto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/stretchr/testify/require"
)

// keys for all tests of this package, made once.
var testKeys = sync.OnceValue(func() map[string]crypto.Signer {
	keys := make(map[string]crypto.Signer)
	for name, bits := range map[string]int{"rsa": 1024, "rsa2048": 2048, "ed25519": 0} {
		key, err := dkim.GenerateKey(strings.TrimSuffix(name, "2048"), bits)
		if err != nil {
			panic(err)
		}
		keys[name] = key
	}
	return keys
})

func signer(key string) *dkim.Signer {
	return &dkim.Signer{Domain: "example.com", Selector: key, Key: testKeys()[key]}
}

// keyZone publishes the keys that signer signs with.
func keyZone(t testing.TB) zone {
	z := zone{}
	for name, key := range testKeys() {
		record, err := dkim.NewRecord(key.Public(), dkim.RecordOptions{Domain: "example.com", Selector: name})
		require.NoError(t, err)
		z[record.Name] = []string{record.Value}
	}
	return z
}

func sign(t *testing.T, message string, signers ...*dkim.Signer) string {
	t.Helper()
	fields, err := dkim.Sign(strings.NewReader(message), signers...)
	require.NoError(t, err)
	return fields
}

func TestSignedWithTwoKeysVerifies(t *testing.T) {
	t.Parallel()
	fields := sign(t, rfc8463Unsigned, signer("rsa2048"), signer("ed25519"))
	results := verify(t, fields+rfc8463Unsigned, keyZone(t), dkim.Options{})
	require.Len(t, results, 2)
	for i, algorithm := range []string{"rsa-sha256", "ed25519-sha256"} {
		require.NoError(t, results[i].Err)
		require.Equal(t, dkim.Pass, results[i].Status)
		require.Equal(t, algorithm, results[i].Algorithm)
		require.True(t, results[i].FromOversigned)
		require.WithinDuration(t, time.Now(), results[i].Time, time.Minute)
	}
	require.Equal(t, 2048, results[0].KeyBits)
}

func TestSignatureIsFolded(t *testing.T) {
	t.Parallel()
	field := sign(t, rfc8463Unsigned, signer("rsa2048"))
	lines := strings.Split(strings.TrimSuffix(field, "\r\n"), "\r\n")
	require.Greater(t, len(lines), 5)
	for i, line := range lines {
		require.LessOrEqual(t, len(line), 78, line)
		require.Equal(t, i > 0, strings.HasPrefix(line, "\t"), line)
		require.NotContains(t, line, "\n")
	}
}
