package dkim

import (
	"crypto/ed25519"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// However many signatures a message has, its body goes into a hash once for each canonicalization.
func TestBodyIsHashedOnce(t *testing.T) {
	t.Parallel()
	message := "From: a@example.com\r\n\r\n" + strings.Repeat("A line of text.\r\n", 1000)
	_, body, _ := strings.Cut(message, "\r\n\r\n")
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	fields := func(n int, canonicalization string) string {
		s := &Signer{Domain: "example.com", Selector: "s", Key: key, Canonicalization: canonicalization}
		field, err := s.Sign(strings.NewReader(message))
		require.NoError(t, err)
		return strings.Repeat(field, n)
	}
	limited := func(l string) string { return strings.Replace(fields(1, ""), "v=1;", "v=1; l="+l+";", 1) }
	for name, c := range map[string]struct {
		signatures string
		bodies     int
	}{
		"one":                     {fields(1, ""), 1},
		"ten":                     {fields(10, ""), 1},
		"ten of two forms":        {fields(5, "relaxed/simple") + fields(5, "simple/relaxed"), 2},
		"ten of any length":       {fields(6, "") + limited("0") + limited("1") + limited("17000") + limited("18000"), 1},
		"none":                    {"", 0},
		"more than are looked at": {fields(50, "") + fields(50, "simple/simple"), 1},
		"malformed":               {strings.Repeat("DKIM-Signature: v=2\r\n", 3), 0},
	} {
		v := NewVerifier(nil, Options{})
		_, err := io.WriteString(v, c.signatures+message)
		require.NoError(t, err)
		v.body.Close()
		require.EqualValues(t, c.bodies*len(body), v.body.Hashed(), name)
	}
}
