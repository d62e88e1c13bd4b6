package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/mailbricks/mailbricks/dkim/internal/wire"
)

// Sizes of RSA keys that GenerateKey makes: RFC 8301 §3.2 wants 2048 bits, and verifiers must know up to 4096.
const (
	// DefaultRSABits is what GenerateKey takes for 0.
	DefaultRSABits = 2048
	// MaxGeneratedBits is the largest RSA key that every verifier must accept.
	MaxGeneratedBits = 4096
)

// ErrPrivateKey says that something is no private key that can sign.
var ErrPrivateKey = errors.New("dkim: unusable private key")

// GenerateKey makes a private key. keyType is "rsa", with bits from 1024 to 4096 and 0 for DefaultRSABits, or "ed25519",
// where bits do not matter.
func GenerateKey(keyType string, bits int) (crypto.Signer, error) {
	switch keyType {
	case wire.RSA:
		if bits == 0 {
			bits = DefaultRSABits
		}
		if bits < MinRSABits || bits > MaxGeneratedBits {
			return nil, fmt.Errorf("dkim: generating a key: %d bits, not %d to %d", bits, MinRSABits, MaxGeneratedBits)
		}
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			return nil, fmt.Errorf("dkim: generating a key: %w", err)
		}
		return key, nil
	case wire.Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("dkim: generating a key: %w", err)
		}
		return key, nil
	}
	return nil, fmt.Errorf("dkim: generating a key: type %q is neither rsa nor ed25519", keyType)
}

// MarshalPrivateKey gives a *rsa.PrivateKey or an ed25519.PrivateKey as PEM (PKCS #8, RFC 5958).
func MarshalPrivateKey(key crypto.Signer) ([]byte, error) {
	switch key.(type) {
	case *rsa.PrivateKey, ed25519.PrivateKey:
	default:
		return nil, fmt.Errorf("%w: type %T cannot be written", ErrPrivateKey, key)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPrivateKey, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ParsePrivateKey reads the first private key of a PEM file: PKCS #8 for RSA and Ed25519, PKCS #1 for RSA. Keys that
// cannot sign are refused: other types, RSA under 1024 bits, encrypted ones.
func ParsePrivateKey(data []byte) (crypto.Signer, error) {
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil, fmt.Errorf("%w: there is no private key in PEM", ErrPrivateKey)
		}
		data = rest
		switch block.Type {
		case "PRIVATE KEY":
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			return signingKey(key, err)
		case "RSA PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, fmt.Errorf("%w: it is encrypted", ErrPrivateKey)
			}
			key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
			return signingKey(key, err)
		case "ENCRYPTED PRIVATE KEY":
			return nil, fmt.Errorf("%w: it is encrypted", ErrPrivateKey)
		case "EC PRIVATE KEY", "DSA PRIVATE KEY":
			typ, _, _ := strings.Cut(block.Type, " ")
			return nil, fmt.Errorf("%w: DKIM has no keys of type %s: only rsa and ed25519", ErrPrivateKey, typ)
		}
	}
}

func signingKey(key any, err error) (crypto.Signer, error) {
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPrivateKey, err)
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if bits := key.N.BitLen(); bits < MinRSABits {
			return nil, fmt.Errorf("%w: %w: %d bits", ErrPrivateKey, ErrWeakKey, bits)
		}
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("%w: DKIM has no keys of type %T: only rsa and ed25519", ErrPrivateKey, key)
}
