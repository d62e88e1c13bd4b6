package sealed

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/mailbricks/mailbricks/internal/durable"
	"golang.org/x/crypto/chacha20poly1305"
)

const (
	keyFileName    = "mailbricks-keys"
	keyFileVersion = 1
	// MaxKeyFile is the longest key file that is read, in octets.
	MaxKeyFile = 1 << 20
	// maxPairs and maxLocks bound what a key file may have.
	maxPairs = 16
	maxLocks = 6
	// maxPasswords is how many of the locks may be passwords': two while one takes the other's place, and those of changes
	// before that were interrupted.
	maxPasswords = 4
)

// State says what is done with the files of a key file's owner.
type State string

// The states.
const (
	Sealing State = "sealing" // new files are sealed; there may be plain ones, and such as are for older keys
	Sealed  State = "sealed"  // all files are sealed for the first key
	Opening State = "opening" // new files are plain; there may be sealed ones
)

// KeyFile is what is in a key file. What it says is not certain until Unlock has looked: whoever can write to the disk can
// replace it. Unlock notices that, but for a whole file that was the right one once.
type KeyFile struct {
	state State
	pairs []pair // the first is for new files
	locks []lock
	names []byte // the secret of names, sealed with the master key

	body, mac []byte // as they were read
}

// pair is a key pair; Private is sealed with the master key.
type pair struct {
	Public  []byte `json:"public"`
	Private []byte `json:"private"`
}

// keyFileBody is the second line of the file, keyFileMAC the third. The lines are those of package durable.
type keyFileBody struct {
	State State  `json:"state"`
	Pairs []pair `json:"pairs"`
	Locks []lock `json:"locks"`
	Names []byte `json:"names"`
}

type keyFileMAC struct {
	MAC []byte `json:"mac"`
}

// ParseKeyFile reads a key file. It fails with ErrNewer or ErrDamaged.
func ParseKeyFile(data []byte) (*KeyFile, error) {
	lines := bytes.Split(data, []byte("\n"))
	if err := durable.CheckFormat(lines[0], keyFileName, keyFileVersion); err != nil {
		if errors.Is(err, durable.ErrNewer) {
			return nil, fmt.Errorf("%w: key file: %w", ErrNewer, err)
		}
		return nil, fmt.Errorf("%w: key file: %w", ErrDamaged, err)
	}
	var body keyFileBody
	var mac keyFileMAC
	if len(lines) != 4 || len(lines[3]) > 0 {
		return nil, fmt.Errorf("%w: key file has %d lines", ErrDamaged, len(lines))
	}
	if err := errors.Join(durable.ParseRecord(lines[1], &body), durable.ParseRecord(lines[2], &mac)); err != nil {
		return nil, fmt.Errorf("%w: key file: %w", ErrDamaged, err)
	}
	if again, err := formatKeyFile(body, mac); err != nil || !bytes.Equal(again, data) {
		return nil, fmt.Errorf("%w: key file is not as it is written", ErrDamaged)
	}
	if len(body.Pairs) == 0 || len(body.Pairs) > maxPairs || !knownState(body.State) || !fewLocks(body.Locks) {
		return nil, fmt.Errorf("%w: key file", ErrDamaged)
	}
	return &KeyFile{state: body.State, pairs: body.Pairs, locks: body.Locks, names: body.Names,
		body: bytes.Clone(lines[1]), mac: mac.MAC}, nil
}

func knownState(s State) bool { return s == Sealing || s == Sealed || s == Opening }

// fewLocks says whether the locks are no more than there can be: each is tried, and a password takes its time.
func fewLocks(locks []lock) bool {
	n := map[string]int{}
	for i := range locks {
		n[locks[i].Kind]++
	}
	return len(locks) <= maxLocks && n[passwordLock] <= maxPasswords && n[recoveryLock] <= 1 && n[serverLock] <= 1
}

// State is what the file says is done.
func (k *KeyFile) State() State { return k.state }

// Public is the key that new files are for.
func (k *KeyFile) Public() (*PublicKey, error) { return ParsePublicKey(k.pairs[0].Public) }

// Keys is how many key pairs there are: more than one while files are for older ones.
func (k *KeyFile) Keys() int { return len(k.pairs) }

// Locks says which secrets may open it.
func (k *KeyFile) Locks() (password, recovery, server bool) {
	for i := range k.locks {
		switch k.locks[i].Kind {
		case passwordLock:
			password = true
		case recoveryLock:
			recovery = true
		case serverLock:
			server = true
		}
	}
	return password, recovery, server
}

// Same says whether two key files that were read have the same contents.
func (k *KeyFile) Same(other *KeyFile) bool {
	return other != nil && bytes.Equal(k.body, other.body) && bytes.Equal(k.mac, other.mac)
}

// Sum is a hash of the contents of a key file that was read.
func (k *KeyFile) Sum() []byte {
	sum := sha256.Sum256(append(bytes.Clone(k.body), k.mac...))
	return sum[:]
}

// Has says whether it has the lock of this name.
func (k *KeyFile) Has(id ID) bool {
	return slices.ContainsFunc(k.locks, func(l lock) bool { return l.id() == id })
}

// Passwords is how many passwords open it: two while one takes the other's place.
func (k *KeyFile) Passwords() (n int) {
	for i := range k.locks {
		if k.locks[i].Kind == passwordLock {
			n++
		}
	}
	return n
}

// Fits says whether a secret opens it. Nothing else is looked at.
func (k *KeyFile) Fits(secret Secret) bool {
	kind, err := secret.kind()
	for i := range k.locks {
		if err == nil && k.locks[i].Kind == kind {
			if _, _, err := k.locks[i].fits(secret); err == nil {
				return true
			}
		}
	}
	return false
}

// Keys is a key file that is open: with it all can be read, and the key file be changed.
type Keys struct {
	file    *KeyFile
	master  []byte
	private []*PrivateKey
	names   []byte
	by      ID // the lock that was opened
}

// NewKeys makes keys that nothing opens yet: AddLock comes next.
func NewKeys() (*Keys, error) {
	k := &Keys{file: &KeyFile{state: Sealing}, names: make([]byte, keySize)}
	_, _ = rand.Read(k.names) // never fails
	return k, k.Rotate()
}

// Unlock opens a key file. It fails with ErrSecret if the secret is not one of it, and with ErrDamaged if somebody else has
// changed it.
func (k *KeyFile) Unlock(secret Secret) (*Keys, error) {
	kind, err := secret.kind()
	if err != nil {
		return nil, err
	}
	err = fmt.Errorf("%w: there is no %s", ErrSecret, kind)
	for i := range k.locks {
		if k.locks[i].Kind != kind {
			continue
		}
		var master []byte
		if master, err = k.locks[i].open(secret); err == nil {
			keys, err := k.unlocked(master)
			if err == nil {
				keys.by = k.locks[i].id()
			}
			return keys, err
		}
		if !errors.Is(err, ErrSecret) {
			return nil, err
		}
	}
	return nil, err
}

// Again opens a key file that has been changed with the master key of keys that are open. It fails with ErrDamaged if it has
// another one.
func (k *Keys) Again(file *KeyFile) (*Keys, error) {
	again, err := file.unlocked(bytes.Clone(k.master))
	if err == nil {
		again.by = k.by
	}
	return again, err
}

func (k *KeyFile) unlocked(master []byte) (*Keys, error) {
	if !hmac.Equal(k.mac, macOf(master, k.body)) {
		return nil, errForged()
	}
	out := &Keys{file: k, master: master}
	for _, p := range k.pairs {
		raw, err := openSmall(master, p.Private, "key")
		if err != nil {
			return nil, err
		}
		key, err := ParsePrivateKey(raw)
		clear(raw)
		if err != nil {
			return nil, err
		}
		out.private = append(out.private, key)
	}
	names, err := openSmall(master, k.names, "names")
	if err != nil {
		return nil, err
	}
	out.names = names
	return out, nil
}

// macOf authenticates a line of the key file.
func macOf(master, line []byte) []byte {
	key, err := hkdf.Key(sha256.New, master, nil, "mailbricks-keys mac", keySize)
	if err != nil {
		return nil // no key fits: the lengths are fixed
	}
	h := hmac.New(sha256.New, key)
	h.Write([]byte(fmt.Sprintf("%s %d\n", keyFileName, keyFileVersion)))
	h.Write(line)
	return h.Sum(nil)
}

// Format gives the contents of the key file.
func (k *Keys) Format() ([]byte, error) {
	f := k.file
	body := keyFileBody{f.state, f.pairs, f.locks, f.names}
	line, err := durable.AppendRecord(nil, body)
	if err != nil {
		return nil, fmt.Errorf("sealed: key file: %w", err)
	}
	return formatKeyFile(body, keyFileMAC{macOf(k.master, bytes.TrimSuffix(line, []byte("\n")))})
}

func formatKeyFile(body keyFileBody, mac keyFileMAC) ([]byte, error) {
	out := fmt.Appendf(nil, "%s %d\n", keyFileName, keyFileVersion)
	for _, v := range []any{body, mac} {
		var err error
		if out, err = durable.AppendRecord(out, v); err != nil {
			return nil, fmt.Errorf("sealed: key file: %w", err)
		}
	}
	return out, nil
}

// Clone gives keys that can be changed while others use these.
func (k *Keys) Clone() *Keys {
	f := *k.file
	f.pairs, f.locks = slices.Clone(f.pairs), slices.Clone(f.locks)
	return &Keys{file: &f, master: bytes.Clone(k.master), private: slices.Clone(k.private), names: bytes.Clone(k.names), by: k.by}
}

// File is the key file that is open.
func (k *Keys) File() *KeyFile { return k.file }

// Keyring opens all files.
func (k *Keys) Keyring() *Keyring { return NewKeyring(k.private...) }

// Names is the secret that names are hidden with, 32 octets; it stays the same for ever.
func (k *Keys) Names() []byte { return k.names }

// SetState says what is done with the files. Where all are sealed for the first key, the others are forgotten.
func (k *Keys) SetState(s State) {
	k.file.state = s
	if s == Sealed {
		k.private, k.file.pairs = k.private[:1], k.file.pairs[:1]
	}
}

// Freshen has the key file be one that never was before: whoever compares its contents notices each change, also one that was
// taken back.
func (k *Keys) Freshen() (err error) {
	k.file.names, err = sealSmall(k.master, k.names, "names")
	return err
}

// NewLock is a lock that no key file has yet. It may be put into several.
type NewLock struct {
	lock lock
	bind []byte
}

// MakeLock makes a lock for the secret. With a password this takes what cost says.
func MakeLock(secret Secret, cost Cost) (*NewLock, error) {
	l, bind, err := newLock(secret, cost)
	if err != nil {
		return nil, err
	}
	return &NewLock{*l, bind}, nil
}

// SetLock is MakeLock and Set.
func (k *Keys) SetLock(secret Secret, cost Cost) error {
	l, err := MakeLock(secret, cost)
	if err != nil {
		return err
	}
	return k.Set(l)
}

// AddLock is MakeLock and Add.
func (k *Keys) AddLock(secret Secret, cost Cost) (ID, error) {
	l, err := MakeLock(secret, cost)
	if err != nil {
		return ID{}, err
	}
	return k.Add(l)
}

// Set puts a lock in the place of those of its kind.
func (k *Keys) Set(l *NewLock) error {
	id, err := k.Add(l)
	if err != nil {
		return err
	}
	k.OnlyLock(id)
	return nil
}

// Add adds a lock to those of its kind, and gives its name. The oldest goes where there are too many.
func (k *Keys) Add(new *NewLock) (ID, error) {
	l := new.lock
	if err := l.seal(k.master, new.bind); err != nil {
		return ID{}, err
	}
	k.DropLock(l.id()) // where it is put in once more
	k.file.locks = append(k.file.locks, l)
	if !fewLocks(k.file.locks) {
		oldest := slices.IndexFunc(k.file.locks, func(other lock) bool { return other.Kind == l.Kind })
		k.file.locks = slices.Delete(k.file.locks, oldest, oldest+1)
	}
	return l.id(), nil
}

// OpenedBy names the lock that Unlock has opened.
func (k *Keys) OpenedBy() ID { return k.by }

// OnlyLock drops all other locks of the kind that this one has.
func (k *Keys) OnlyLock(id ID) {
	for _, l := range k.file.locks {
		if l.id() == id {
			k.file.locks = slices.DeleteFunc(k.file.locks, func(other lock) bool { return other.Kind == l.Kind && other.id() != id })
			return
		}
	}
}

// DropLock drops one.
func (k *Keys) DropLock(id ID) {
	k.file.locks = slices.DeleteFunc(k.file.locks, func(l lock) bool { return l.id() == id })
}

// DropServerLock has the server's key open nothing any more.
func (k *Keys) DropServerLock() { k.dropLocks(serverLock) }

func (k *Keys) dropLocks(kind string) {
	k.file.locks = slices.DeleteFunc(k.file.locks, func(l lock) bool { return l.Kind == kind })
}

// Rotate makes a new key pair, which new files are for, and a new master key behind the same locks.
func (k *Keys) Rotate() error {
	if len(k.private) == maxPairs {
		return fmt.Errorf("sealed: more than %d keys", maxPairs)
	}
	key, err := GenerateKey()
	if err != nil {
		return err
	}
	k.private = append([]*PrivateKey{key}, k.private...)
	before := k.master
	k.master = make([]byte, keySize)
	_, _ = rand.Read(k.master) // never fails
	k.file.state, k.file.pairs = Sealing, nil
	for _, key := range k.private {
		raw, err := key.Bytes()
		if err != nil {
			return fmt.Errorf("sealed: private key: %w", err)
		}
		small, err := sealSmall(k.master, raw, "key")
		clear(raw)
		if err != nil {
			return err
		}
		k.file.pairs = append(k.file.pairs, pair{key.PublicKey().Bytes(), small})
	}
	if k.file.names, err = sealSmall(k.master, k.names, "names"); err != nil {
		return err
	}
	k.file.locks = slices.Clone(k.file.locks)
	for i := range k.file.locks {
		if err := k.file.locks[i].change(before, k.master); err != nil {
			return err
		}
	}
	clear(before)
	return nil
}

// Wipe clears what is secret, as far as memory can be cleared.
func (k *Keys) Wipe() {
	clear(k.master)
	clear(k.names)
	clear(k.private)
}

// sealSmall seals a secret with the master key.
func sealSmall(master, secret []byte, what string) ([]byte, error) {
	aead, err := smallAEAD(master, what)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(secret)+aead.Overhead())
	_, _ = rand.Read(nonce) // never fails
	return aead.Seal(nonce, nonce, secret, nil), nil
}

func openSmall(master, data []byte, what string) ([]byte, error) {
	aead, err := smallAEAD(master, what)
	if err != nil {
		return nil, err
	}
	if len(data) < aead.NonceSize() {
		return nil, fmt.Errorf("%w: key file: %s", ErrDamaged, what)
	}
	secret, err := aead.Open(nil, data[:aead.NonceSize()], data[aead.NonceSize():], nil)
	if err != nil {
		return nil, fmt.Errorf("%w: key file: %s", ErrDamaged, what)
	}
	return secret, nil
}

func smallAEAD(master []byte, what string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, master, nil, "mailbricks-keys "+what, keySize)
	if err != nil {
		return nil, fmt.Errorf("sealed: %w", err)
	}
	defer clear(key)
	return chacha20poly1305.NewX(key)
}
