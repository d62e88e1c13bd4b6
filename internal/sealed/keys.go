package sealed

import (
	"crypto/hpke"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

var (
	// ErrDamaged says that something sealed is not what was written: bits have changed, are missing or are in another place.
	ErrDamaged = errors.New("sealed: damaged")
	// ErrNoKey says that none of the keys at hand opens a file.
	ErrNoKey = errors.New("sealed: no key for it")
	// ErrNewer says that a later version has written it.
	ErrNewer = errors.New("sealed: written by a newer version")
	// ErrSecret says that a password or another secret opens nothing.
	ErrSecret = errors.New("sealed: wrong password or key")
)

// What HPKE is used with.
func kem() hpke.KEM { return hpke.MLKEM768X25519() }
func kdf() hpke.KDF { return hpke.HKDFSHA256() }

const (
	encapsulatedSize = 1120 // octets of an encapsulated key of MLKEM768-X25519
	keySize          = 32
)

// ID names a key pair: the first octets of the hash of its public key.
type ID [8]byte

// String is the id in hexadecimal.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// PublicKey seals.
type PublicKey struct {
	hpke.PublicKey
	id ID
}

// PrivateKey opens what its public key has sealed.
type PrivateKey struct {
	hpke.PrivateKey
	id ID
}

func idOf(public []byte) (id ID) {
	sum := sha256.Sum256(public)
	copy(id[:], sum[:])
	return id
}

// ID names the pair.
func (k *PublicKey) ID() ID { return k.id }

// ID names the pair.
func (k *PrivateKey) ID() ID { return k.id }

// Public is the other half.
func (k *PrivateKey) Public() *PublicKey { return &PublicKey{k.PublicKey(), k.id} }

// PublicKey is the other half as crypto/hpke has it.
func (k *PrivateKey) PublicKey() hpke.PublicKey { return k.PrivateKey.PublicKey() }

// GenerateKey makes a new pair.
func GenerateKey() (*PrivateKey, error) {
	key, err := kem().GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("sealed: new key: %w", err)
	}
	return newPrivateKey(key), nil
}

func newPrivateKey(key hpke.PrivateKey) *PrivateKey {
	return &PrivateKey{key, idOf(key.PublicKey().Bytes())}
}

// ParsePublicKey is the reverse of PublicKey.Bytes.
func ParsePublicKey(data []byte) (*PublicKey, error) {
	key, err := kem().NewPublicKey(data)
	if err != nil {
		return nil, fmt.Errorf("%w: public key: %w", ErrDamaged, err)
	}
	return &PublicKey{key, idOf(data)}, nil
}

// ParsePrivateKey is the reverse of PrivateKey.Bytes.
func ParsePrivateKey(data []byte) (*PrivateKey, error) {
	key, err := kem().NewPrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("%w: private key: %w", ErrDamaged, err)
	}
	return newPrivateKey(key), nil
}
