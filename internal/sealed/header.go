package sealed

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"
)

// The first line says what it is: the last letter whether a file or a log. Behind it come the id, the encapsulated key and the
// salt. All headers are equally long, so that the size of what is in a file follows from the file's.
const (
	magicName = "mailbricks-sealed "
	fileMagic = magicName + "1 f\n"
	logMagic  = magicName + "1 l\n"
	magicSize = len(fileMagic)
	saltSize  = 32

	// HeaderSize is what comes in front of the chunks or frames, in octets.
	HeaderSize = magicSize + len(ID{}) + encapsulatedSize + saltSize
	// PeekSize is how much of a file Peek wants to see.
	PeekSize = magicSize + len(ID{})
)

// Form says how a file is kept.
type Form byte

// The forms.
const (
	Plain Form = iota // not sealed
	File              // of chunks
	Log               // of frames
)

// Peek looks at the first octets of a file, PeekSize or all there are. It fails with ErrNewer for a sealed file of another version,
// and with ErrDamaged for what was a sealed file once: nobody's plain text begins nearly like one.
func Peek(first []byte) (Form, ID, error) {
	head := first[:min(len(first), magicSize)]
	line := fileMagic
	if wrong(head, logMagic) < wrong(head, fileMagic) {
		line = logMagic
	}
	switch n := wrong(head, line); {
	case len(head) < clearlySealed || n > maxWrong:
		return Plain, ID{}, nil
	case len(first) >= PeekSize && n == 0 && line == fileMagic:
		return File, ID(first[magicSize:PeekSize]), nil
	case len(first) >= PeekSize && n == 0:
		return Log, ID(first[magicSize:PeekSize]), nil
	case n == 0 || !bytes.HasPrefix(head, []byte(magicName)):
		return Plain, ID{}, fmt.Errorf("%w: first line %.30q", ErrDamaged, head)
	}
	return Plain, ID{}, fmt.Errorf("%w: first line %.30q", ErrNewer, head)
}

const (
	// clearlySealed is how many octets of a file say whether it was a sealed one, and maxWrong how many of them may have changed.
	clearlySealed = 12
	maxWrong      = 3
)

// wrong counts the octets in which a file begins in another way than the line.
func wrong(head []byte, line string) (n int) {
	for i, c := range head {
		if c != line[i] {
			n++
		}
	}
	return n
}

// One encapsulated key serves so many files, and for so long: the process could read these files itself for that time.
const (
	maxShared    = 1000
	maxSharedAge = 10 * time.Minute
)

// exportContext is what the exported secret of HPKE is for.
const exportContext = "mailbricks-sealed files"

// Sealer begins sealed files for one public key. Its methods may be called from several goroutines at once.
type Sealer struct {
	to *PublicKey

	mu     sync.Mutex
	enc    []byte
	secret []byte
	used   int
	made   time.Time
	expiry *time.Timer // forgets them
}

// NewSealer makes a Sealer.
func NewSealer(to *PublicKey) *Sealer { return &Sealer{to: to} }

// ID names the key that it seals for.
func (s *Sealer) ID() ID { return s.to.id }

// begin gives the header and the key of a new file.
func (s *Sealer) begin(magic, kind string) (header, key []byte, err error) {
	enc, secret, err := s.encapsulated()
	if err != nil {
		return nil, nil, err
	}
	defer clear(secret)
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails
	header = make([]byte, 0, HeaderSize)
	header = append(header, magic...)
	header = append(header, s.to.id[:]...)
	header = append(header, enc...)
	header = append(header, salt...)
	key, err = fileKey(secret, header, kind)
	return header, key, err
}

// encapsulated gives an encapsulated key and its secret: those of the last file while they may be shared.
func (s *Sealer) encapsulated() (enc, secret []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.enc == nil || s.used >= maxShared || time.Since(s.made) > maxSharedAge {
		enc, sender, err := hpke.NewSender(s.to.PublicKey, kdf(), hpke.ExportOnly(), []byte(exportContext))
		if err != nil {
			return nil, nil, fmt.Errorf("sealed: encapsulate: %w", err)
		}
		secret, err := sender.Export(exportContext, keySize)
		if err != nil {
			return nil, nil, fmt.Errorf("sealed: encapsulate: %w", err)
		}
		s.forget()
		s.enc, s.secret, s.used, s.made = enc, secret, 0, time.Now()
		s.expiry = time.AfterFunc(maxSharedAge, func() { s.expire(enc) })
	}
	s.used++
	return s.enc, bytes.Clone(s.secret), nil
}

// expire forgets an encapsulated key and its secret, if they are still shared.
func (s *Sealer) expire(enc []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes.Equal(s.enc, enc) {
		s.forget()
	}
}

// forget forgets the secret. s.mu is held.
func (s *Sealer) forget() {
	if s.expiry != nil {
		s.expiry.Stop()
	}
	clear(s.secret)
	s.enc, s.secret, s.expiry = nil, nil, nil
}

// fileKey makes the key of one file. All of its header goes into it, and its kind.
func fileKey(secret, header []byte, kind string) ([]byte, error) {
	sum := sha256.Sum256(header)
	key, err := hkdf.Key(sha256.New, secret, sum[:], "mailbricks-sealed key "+kind, keySize)
	if err != nil {
		return nil, fmt.Errorf("sealed: derive key: %w", err)
	}
	return key, nil
}

// maxKnown is how many encapsulated keys a Keyring remembers the secrets of.
const maxKnown = 256

// Keyring opens files. Its methods may be called from several goroutines at once.
type Keyring struct {
	keys map[ID]*PrivateKey

	mu    sync.Mutex
	known map[[sha256.Size]byte][]byte // secrets, by the hash of id and encapsulated key
}

// NewKeyring makes a Keyring of private keys.
func NewKeyring(keys ...*PrivateKey) *Keyring {
	k := &Keyring{keys: map[ID]*PrivateKey{}, known: map[[sha256.Size]byte][]byte{}}
	for _, key := range keys {
		k.keys[key.id] = key
	}
	return k
}

// Also has the Keyring open what another one opens. It is called before the Keyring is used.
func (k *Keyring) Also(other *Keyring) {
	if other == nil {
		return
	}
	for id, key := range other.keys {
		if k.keys[id] == nil {
			k.keys[id] = key
		}
	}
}

// Wipe forgets everything: nothing opens any more.
func (k *Keyring) Wipe() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, secret := range k.known {
		clear(secret)
	}
	clear(k.known)
	clear(k.keys)
}

// open gives the key of a file by its header.
func (k *Keyring) open(header []byte, kind string) ([]byte, error) {
	id := ID(header[magicSize:PeekSize])
	secret, err := k.secret(id, header[PeekSize:PeekSize+encapsulatedSize])
	if err != nil {
		return nil, err
	}
	return fileKey(secret, header, kind)
}

// secret gives the secret of an encapsulated key.
func (k *Keyring) secret(id ID, enc []byte) ([]byte, error) {
	sum := sha256.Sum256(append(id[:], enc...))
	k.mu.Lock()
	defer k.mu.Unlock()
	if secret, ok := k.known[sum]; ok {
		return bytes.Clone(secret), nil
	}
	key := k.keys[id]
	if key == nil {
		return nil, fmt.Errorf("%w: %v", ErrNoKey, id)
	}
	recipient, err := hpke.NewRecipient(enc, key.PrivateKey, kdf(), hpke.ExportOnly(), []byte(exportContext))
	if err != nil {
		return nil, fmt.Errorf("%w: encapsulated key: %w", ErrDamaged, err)
	}
	secret, err := recipient.Export(exportContext, keySize)
	if err != nil {
		return nil, fmt.Errorf("sealed: decapsulate: %w", err)
	}
	for other := range k.known {
		if len(k.known) < maxKnown {
			break
		}
		delete(k.known, other) // whichever: files that share one are read together
	}
	k.known[sum] = secret
	return bytes.Clone(secret), nil
}
