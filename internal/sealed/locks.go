package sealed

import (
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"

	"golang.org/x/crypto/argon2"
)

// Secret opens the key file of an account. Exactly one of its fields is set.
type Secret struct {
	Password string
	// Recovery is what NewRecovery gave, as somebody has typed it.
	Recovery string
	// Server is a key of the server, 32 octets.
	Server []byte
}

// Cost is what argon2id is to cost for a password (RFC 9106).
type Cost struct {
	Time    uint32 `json:"time"`
	Memory  uint32 `json:"memory"` // KiB
	Threads uint8  `json:"threads"`
}

// DefaultCost is the second recommended option of RFC 9106 §4: 64 MiB, about a tenth of a second.
func DefaultCost() Cost { return Cost{Time: 3, Memory: 64 << 10, Threads: 4} }

// What a key file may ask for at most: a forged one must not use up the memory.
const (
	maxTime    = 32
	maxMemory  = 1 << 20 // KiB
	maxThreads = 64
)

func (c Cost) check() error {
	if c.Time < 1 || c.Time > maxTime || c.Memory < 8*uint32(c.Threads) || c.Memory > maxMemory || c.Threads < 1 || c.Threads > maxThreads {
		return fmt.Errorf("%w: cost of a password out of bounds", ErrDamaged)
	}
	return nil
}

// kinds of locks
const (
	passwordLock = "password"
	recoveryLock = "recovery"
	serverLock   = "server"
)

const (
	// ServerKeySize is how long a key of the server is, in octets.
	ServerKeySize = 32
	lockSaltSize  = 16
)

// lock is one way to the master key.
type lock struct {
	Kind   string `json:"kind"`
	Salt   []byte `json:"salt"`
	Cost   *Cost  `json:"cost,omitempty"` // of a password
	Public []byte `json:"public"`
	Master []byte `json:"master"` // sealed
}

// kind gives the kind of lock that the secret is for.
func (s *Secret) kind() (string, error) {
	kind, n := "", 0
	for name, set := range map[string]bool{passwordLock: s.Password != "", recoveryLock: s.Recovery != "", serverLock: s.Server != nil} {
		if set {
			kind = name
			n++
		}
	}
	if n != 1 {
		return "", fmt.Errorf("%w: exactly one is needed", ErrSecret)
	}
	return kind, nil
}

// newLock makes a lock that the secret opens. seal puts the master key behind it.
func newLock(secret Secret, cost Cost) (*lock, error) {
	kind, err := secret.kind()
	if err != nil {
		return nil, err
	}
	l := &lock{Kind: kind, Salt: make([]byte, lockSaltSize)}
	_, _ = rand.Read(l.Salt) // never fails
	if kind == passwordLock {
		l.Cost = &cost
	}
	key, err := l.key(secret)
	if err != nil {
		return nil, err
	}
	l.Public = key.PublicKey().Bytes()
	return l, nil
}

// key derives the key pair of a lock from the secret.
func (l *lock) key(secret Secret) (hpke.PrivateKey, error) {
	var seed []byte
	switch l.Kind {
	case passwordLock:
		if l.Cost == nil {
			return nil, fmt.Errorf("%w: password without its cost", ErrDamaged)
		}
		if err := l.Cost.check(); err != nil {
			return nil, err
		}
		seed = argon2.IDKey([]byte(secret.Password), l.Salt, l.Cost.Time, l.Cost.Memory, l.Cost.Threads, keySize)
	case recoveryLock:
		raw, err := parseRecovery(secret.Recovery)
		if err != nil {
			return nil, err
		}
		if seed, err = hkdf.Key(sha256.New, raw, l.Salt, "mailbricks-keys recovery", keySize); err != nil {
			return nil, fmt.Errorf("sealed: %w", err)
		}
	case serverLock:
		if len(secret.Server) != ServerKeySize {
			return nil, fmt.Errorf("%w: the server's key is not %d octets long", ErrSecret, ServerKeySize)
		}
		var err error
		if seed, err = hkdf.Key(sha256.New, secret.Server, l.Salt, "mailbricks-keys server", keySize); err != nil {
			return nil, fmt.Errorf("sealed: %w", err)
		}
	default:
		return nil, fmt.Errorf("%w: lock of kind %.20q", ErrDamaged, l.Kind)
	}
	defer clear(seed)
	key, err := kem().DeriveKeyPair(seed)
	if err != nil {
		return nil, fmt.Errorf("sealed: derive key: %w", err)
	}
	return key, nil
}

func (l *lock) info() []byte { return []byte("mailbricks-keys lock " + l.Kind) }

// seal puts a master key behind the lock. It does not need the secret.
func (l *lock) seal(master []byte) error {
	public, err := kem().NewPublicKey(l.Public)
	if err != nil {
		return fmt.Errorf("%w: public key of a lock: %w", ErrDamaged, err)
	}
	if l.Master, err = hpke.Seal(public, kdf(), hpke.ChaCha20Poly1305(), l.info(), master); err != nil {
		return fmt.Errorf("sealed: lock: %w", err)
	}
	return nil
}

// open gives the master key.
func (l *lock) open(secret Secret) ([]byte, error) {
	key, err := l.key(secret)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(key.PublicKey().Bytes(), l.Public) != 1 {
		return nil, ErrSecret
	}
	master, err := hpke.Open(key, kdf(), hpke.ChaCha20Poly1305(), l.info(), l.Master)
	if err != nil || len(master) != keySize {
		return nil, errors.Join(fmt.Errorf("%w: lock of kind %s", ErrDamaged, l.Kind), err)
	}
	return master, nil
}
