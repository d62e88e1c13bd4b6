package senderauth_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// withLength gives letter with a signature, made by hand as package dkim makes none, that has l=: it covers the body as it is and nothing that
// might follow. Header and body are canonicalized as "simple".
func withLength(t *testing.T) string {
	t.Helper()
	header, body, _ := strings.Cut(letter, "\r\n\r\n")
	from, _, _ := strings.Cut(header, "\r\n")
	hash := sha256.Sum256([]byte(body))
	field := fmt.Sprintf("DKIM-Signature: v=1; a=ed25519-sha256; c=simple/simple; d=sender.example; s=ed; h=From; l=%d; bh=%s; b=",
		len(body), base64.StdEncoding.EncodeToString(hash[:]))
	digest := sha256.Sum256([]byte(from + "\r\n" + field))
	sig, err := keys().ed.Sign(rand.Reader, digest[:], crypto.Hash(0)) // RFC 8463 §3
	require.NoError(t, err)
	return field + base64.StdEncoding.EncodeToString(sig) + "\r\n" + letter
}
