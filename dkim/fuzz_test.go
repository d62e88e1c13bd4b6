package dkim_test

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/stretchr/testify/require"
)

// Whatever the field, the message that follows is not what it signs: nothing must pass, crash, or reach a report dirty.
func FuzzSignatureField(f *testing.F) {
	for _, message := range []string{rfc6376Message, rfc8463Message} {
		field, _, _ := strings.Cut(message, "\r\nFrom:")
		f.Add(field)
	}
	f.Add("DKIM-Signature: " + goodTags + "; l=3; x=4; t=2; q=dns/txt; z=a:b|b=c; bh=AAAA; b=AAAA")
	f.Add("DKIM-Signature:v=1;a=ed25519-sha256;d=\u00e4.com;s=\u00e4;i=\u00e4@x.\u00e4.com;h=from;bh=;b=")
	z := rfcZone()
	f.Fuzz(func(t *testing.T, field string) {
		results := verify(t, field+"\r\nFrom: x@example.org\r\nX: \x01\r\n\r\nNot what was signed.\r\n", z, dkim.Options{})
		require.NotEmpty(t, results)
		for _, r := range results {
			require.NotEqual(t, dkim.Pass, r.Status)
			require.Equal(t, r.Status == dkim.None, r.Err == nil)
			for _, s := range append([]string{r.Domain, r.Selector, r.Identifier, r.Algorithm, r.Prefix}, r.Signed...) {
				require.False(t, strings.ContainsAny(s, "\r\n\x00"), "%q", s)
			}
		}
	})
}

// A message is verified in one piece and octet by octet; then it is signed, and the signature must verify.
func FuzzMessage(f *testing.F) {
	for _, message := range []string{rfc6376Message, rfc8463Message, letter, "", "\n", "From:\r\n b\r\n\r\n \t\r\n\r\n", "from :a\rb"} {
		f.Add(message, true)
		f.Add(message, false)
	}
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(f, err)
	record, err := dkim.NewRecord(key.Public(), dkim.RecordOptions{Domain: "example.com", Selector: "fuzz"})
	require.NoError(f, err)
	z := rfcZone()
	z[record.Name] = []string{record.Value}
	f.Fuzz(func(t *testing.T, message string, relaxed bool) {
		results := verify(t, message, z, dkim.Options{})
		v := dkim.NewVerifier(z, dkim.Options{})
		for i := range len(message) {
			_, err := v.Write([]byte(message[i : i+1]))
			require.NoError(t, err)
		}
		require.Equal(t, statuses(results), statuses(v.Results(t.Context())))

		s := &dkim.Signer{Domain: "example.com", Selector: "fuzz", Key: key}
		if !relaxed {
			s.Canonicalization = "simple/simple"
		}
		field, err := s.Sign(strings.NewReader(message))
		if err != nil {
			require.True(t, errors.Is(err, dkim.ErrMessage) || errors.Is(err, dkim.ErrFrom), "%v", err)
			return
		}
		signed := verify(t, field+message, z, dkim.Options{})[0]
		require.Equal(t, dkim.Pass, signed.Status, "%v", signed.Err)
	})
}

// What is no private key is refused, what is one signs and survives being written.
func FuzzParsePrivateKey(f *testing.F) {
	for _, key := range testKeys() {
		text, err := dkim.MarshalPrivateKey(key)
		require.NoError(f, err)
		f.Add(text)
		f.Add(append([]byte("a note\n"), text[:len(text)-40]...))
	}
	f.Add([]byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"))
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: x\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := dkim.ParsePrivateKey(text)
		if err != nil {
			require.ErrorIs(t, err, dkim.ErrPrivateKey)
			require.Nil(t, key)
			return
		}
		again, err := dkim.MarshalPrivateKey(key)
		require.NoError(t, err)
		reread, err := dkim.ParsePrivateKey(again)
		require.NoError(t, err)
		require.Equal(t, key.Public(), reread.Public())
		_, err = (&dkim.Signer{Domain: "example.com", Selector: "s", Key: key}).Sign(strings.NewReader(letter))
		require.NoError(t, err)
	})
}
