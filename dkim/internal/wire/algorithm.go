package wire

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
)

// Key types, as in k= (RFC 6376 §3.6.1, RFC 8463 §4.2).
const (
	RSA     = "rsa"
	Ed25519 = "ed25519"
)

// The algorithms of a= (RFC 6376 §3.3, RFC 8301 §3.1, RFC 8463 §3).
const (
	RSASHA256     = "rsa-sha256"
	Ed25519SHA256 = "ed25519-sha256"
)

// ErrAlgorithm says that an algorithm is unknown or no longer valid.
var ErrAlgorithm = errors.New("unacceptable algorithm")

// KeyType is the type of key that an algorithm needs.
func KeyType(algorithm string) (string, error) {
	switch algorithm {
	case RSASHA256:
		return RSA, nil
	case Ed25519SHA256:
		return Ed25519, nil
	case "rsa-sha1": // RFC 8301 §3.1: must not be used for verifying, has permanently failed
		return "", algorithmError("rsa-sha1 is no longer valid")
	}
	return "", algorithmError(fmt.Sprintf("a=%.40s is unknown", Clean(algorithm)))
}

// algorithmError is an ErrAlgorithm that says no more than why, as all errors of signature tags do.
type algorithmError string

func (e algorithmError) Error() string { return string(e) }

func (e algorithmError) Is(target error) bool { return target == ErrAlgorithm }

// Algorithm is what a key signs with.
func Algorithm(key crypto.Signer) (string, error) {
	if key == nil {
		return "", errors.New("no key")
	}
	switch pub := key.Public().(type) {
	case *rsa.PublicKey:
		return RSASHA256, nil
	case ed25519.PublicKey:
		return Ed25519SHA256, nil
	default:
		return "", fmt.Errorf("keys of type %T cannot sign", pub)
	}
}

// SignDigest signs a SHA-256 digest.
func SignDigest(key crypto.Signer, digest []byte) ([]byte, error) {
	hash := crypto.SHA256
	if _, ok := key.Public().(ed25519.PublicKey); ok {
		hash = crypto.Hash(0) // RFC 8463 §3: PureEdDSA over the digest
	}
	return key.Sign(rand.Reader, digest, hash)
}

// VerifyDigest says whether sig is the signature of a SHA-256 digest by the key.
func VerifyDigest(pub crypto.PublicKey, digest, sig []byte) bool {
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest, sig) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(pub, digest, sig)
	}
	return false
}
