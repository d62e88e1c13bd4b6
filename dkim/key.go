package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"slices"

	"github.com/mailbricks/mailbricks/dkim/internal/wire"
)

// Key is a key record as it stands in the DNS (RFC 6376 §3.6.1).
type Key struct {
	// Type is k=: "rsa" or "ed25519".
	Type string
	// Public is a *rsa.PublicKey or an ed25519.PublicKey.
	Public crypto.PublicKey
	// Hashes is h=, the hash algorithms that may be used; nil for any.
	Hashes []string
	// Services is s=; nil for any, as is "*".
	Services []string
	// Testing is the flag t=y: the domain is trying DKIM out.
	Testing bool
	// Strict is the flag t=s: i= must have the very domain of d=.
	Strict bool
	// Notes is n=, for people. It may hold anything but control characters.
	Notes string

	remarks []string // what else is odd about its record, for Warnings
}

// Bits is the size of the key: the modulus of RSA, 256 for Ed25519.
func (k *Key) Bits() int { return publicBits(k.Public) }

func publicBits(pub crypto.PublicKey) int {
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		return pub.N.BitLen()
	case ed25519.PublicKey:
		return 8 * len(pub)
	}
	return 0
}

// Check says why k may not verify signatures that an algorithm ("rsa-sha256" or "ed25519-sha256") made: ErrKeyUse when
// its k=, h= or s= forbids it (RFC 6376 §6.1.2), ErrWeakKey when it is an RSA key of less than minRSABits or MinRSABits,
// ErrKeyTooLarge when it has more than MaxRSABits. The flags are the caller's to obey.
func (k *Key) Check(algorithm string, minRSABits int) error {
	typ, err := wire.KeyType(algorithm)
	switch bits := k.Bits(); {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrKeyUse, err)
	case !k.forMail():
		return fmt.Errorf("%w: its s= does not list email", ErrKeyUse)
	case !k.forSHA256():
		return fmt.Errorf("%w: its h= does not list sha256", ErrKeyUse)
	case k.Type != typ:
		return fmt.Errorf("%w: its k=%s, the signature is %s", ErrKeyUse, k.Type, algorithm)
	case k.Type == wire.RSA && bits < max(minRSABits, MinRSABits):
		return fmt.Errorf("%w: %d bits", ErrWeakKey, bits)
	case k.Type == wire.RSA && bits > MaxRSABits:
		return fmt.Errorf("%w: %d bits", ErrKeyTooLarge, bits)
	}
	return nil
}

// Verify says whether sig is k's signature of a SHA-256 digest.
func (k *Key) Verify(digest, sig []byte) bool { return wire.VerifyDigest(k.Public, digest, sig) }

func (k *Key) forMail() bool {
	return k.Services == nil || slices.Contains(k.Services, "email") || slices.Contains(k.Services, "*")
}

func (k *Key) forSHA256() bool { return k.Hashes == nil || slices.Contains(k.Hashes, "sha256") }
