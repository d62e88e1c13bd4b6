package sealed

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
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

// What a key file may ask for at most: a forged one must not use up the memory, nor keep a processor for minutes.
const (
	maxTime    = 16
	maxMemory  = 256 << 10 // KiB
	maxThreads = 16
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

// lock is one way to the master key. The secret gives its key pair, for which the master key is sealed, and its bind key, which
// says that somebody who had a master key has done that: the public key alone would let anybody put another master key there.
type lock struct {
	Kind   string `json:"kind"`
	Salt   []byte `json:"salt"`
	Cost   *Cost  `json:"cost,omitempty"` // of a password
	Public []byte `json:"public"`
	Master []byte `json:"master"` // sealed
	Bind   []byte `json:"bind"`   // the bind key, sealed with the master key
	Tag    []byte `json:"tag"`    // of what is above, by the bind key
}

// id names a lock.
func (l *lock) id() ID { return idOf(l.Public) }

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

// newLock makes a lock that the secret opens, with its bind key. seal puts the master key behind it.
func newLock(secret Secret, cost Cost) (l *lock, bind []byte, err error) {
	kind, err := secret.kind()
	if err != nil {
		return nil, nil, err
	}
	l = &lock{Kind: kind, Salt: make([]byte, lockSaltSize)}
	_, _ = rand.Read(l.Salt) // never fails
	if kind == passwordLock {
		l.Cost = &cost
	}
	key, bind, err := l.keys(secret)
	if err != nil {
		return nil, nil, err
	}
	l.Public = key.PublicKey().Bytes()
	return l, bind, nil
}

// seed is what the keys of a lock are made of.
func (l *lock) seed(secret Secret) ([]byte, error) {
	switch l.Kind {
	case passwordLock:
		if l.Cost == nil {
			return nil, fmt.Errorf("%w: password without its cost", ErrDamaged)
		}
		if err := l.Cost.check(); err != nil {
			return nil, err
		}
		return argon2.IDKey([]byte(secret.Password), l.Salt, l.Cost.Time, l.Cost.Memory, l.Cost.Threads, keySize), nil
	case recoveryLock:
		raw, err := parseRecovery(secret.Recovery)
		if err != nil {
			return nil, err
		}
		defer clear(raw)
		return hkdf.Key(sha256.New, raw, l.Salt, "mailbricks-keys recovery", keySize)
	case serverLock:
		if len(secret.Server) != ServerKeySize {
			return nil, fmt.Errorf("%w: the server's key is not %d octets long", ErrSecret, ServerKeySize)
		}
		return hkdf.Key(sha256.New, secret.Server, l.Salt, "mailbricks-keys server", keySize)
	}
	return nil, fmt.Errorf("%w: lock of kind %.20q", ErrDamaged, l.Kind)
}

// keys derives the key pair and the bind key of a lock from the secret.
func (l *lock) keys(secret Secret) (pair hpke.PrivateKey, bind []byte, err error) {
	seed, err := l.seed(secret)
	if err != nil {
		return nil, nil, err
	}
	defer clear(seed)
	ikm, err := hkdf.Key(sha256.New, seed, nil, "mailbricks-keys lock pair", keySize)
	if err == nil {
		defer clear(ikm)
		bind, err = hkdf.Key(sha256.New, seed, nil, "mailbricks-keys lock bind", keySize)
	}
	if err == nil {
		pair, err = kem().DeriveKeyPair(ikm)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("sealed: derive key: %w", err)
	}
	return pair, bind, nil
}

func (l *lock) info() []byte { return []byte("mailbricks-keys lock " + l.Kind) }

// tag is that of the lock.
func (l *lock) tag(bind []byte) []byte {
	h := hmac.New(sha256.New, bind)
	for _, part := range [][]byte{l.info(), l.Public, l.Master} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write(part)
	}
	return h.Sum(nil)
}

// seal puts a master key behind the lock. It does not need the secret.
func (l *lock) seal(master, bind []byte) error {
	public, err := kem().NewPublicKey(l.Public)
	if err != nil {
		return fmt.Errorf("%w: public key of a lock: %w", ErrDamaged, err)
	}
	if l.Master, err = hpke.Seal(public, kdf(), hpke.ChaCha20Poly1305(), l.info(), master); err != nil {
		return fmt.Errorf("sealed: lock: %w", err)
	}
	if l.Bind, err = sealSmall(master, bind, l.bindUse()); err != nil {
		return err
	}
	l.Tag = l.tag(bind)
	return nil
}

func (l *lock) bindUse() string { return "bind " + l.Kind }

// change puts another master key behind a lock.
func (l *lock) change(from, to []byte) error {
	bind, err := openSmall(from, l.Bind, l.bindUse())
	if err != nil {
		return err
	}
	defer clear(bind)
	return l.seal(to, bind)
}

// fits says whether the secret opens the lock, and gives the keys if so.
func (l *lock) fits(secret Secret) (pair hpke.PrivateKey, bind []byte, err error) {
	pair, bind, err = l.keys(secret)
	if err == nil && subtle.ConstantTimeCompare(pair.PublicKey().Bytes(), l.Public) != 1 {
		err = ErrSecret
	}
	return pair, bind, err
}

// open gives the master key.
func (l *lock) open(secret Secret) ([]byte, error) {
	pair, bind, err := l.fits(secret)
	if err != nil {
		return nil, err
	}
	defer clear(bind)
	if !hmac.Equal(l.Tag, l.tag(bind)) {
		return nil, errForged()
	}
	master, err := hpke.Open(pair, kdf(), hpke.ChaCha20Poly1305(), l.info(), l.Master)
	if err != nil || len(master) != keySize {
		return nil, errors.Join(fmt.Errorf("%w: lock of kind %s", ErrDamaged, l.Kind), err)
	}
	return master, nil
}

func errForged() error { return fmt.Errorf("%w: somebody else has changed the key file", ErrDamaged) }
