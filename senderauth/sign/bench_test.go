package sign_test

import (
	"bytes"
	"testing"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/senderauth/sign"
	"github.com/stretchr/testify/require"
)

// letter4k is a message of 4 KiB as senderauth leaves it.
func letter4k() *mailbricks.Message {
	msg := mailbricks.NewMessage(append([]byte("From: a@example.com\r\nTo: b@example.net\r\nSubject: Hi\r\n\r\n"),
		bytes.Repeat([]byte("Some more text that fills a line of the message.\r\n"), 80)...))
	msg.Prepend("Authentication-Results",
		"mx.example.com; spf=pass smtp.mailfrom=example.com; arc=none; dmarc=pass header.from=example.com")
	return msg
}

// BenchmarkSign signs with an RSA key of 1024 bits and an Ed25519 key, from files.
func BenchmarkSign(b *testing.B) {
	d := &sign.Dir{Root: b.TempDir()}
	for selector, keyType := range map[string]string{"a": "rsa", "b": "ed25519"} {
		_, _, err := d.Ensure("example.com", selector, keyType, 1024)
		require.NoError(b, err)
	}
	step := sign.With(d)
	for b.Loop() {
		require.NoError(b, step(b.Context(), own, letter4k()))
	}
}

// BenchmarkSeal seals with the RSA key.
func BenchmarkSeal(b *testing.B) {
	f, env := forward(), forwarded("a@example.com")
	for b.Loop() {
		require.NoError(b, f.Seal(b.Context(), env, letter4k()))
	}
}
