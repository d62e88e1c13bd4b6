package auth

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/argon2"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
)

// The cost of new hashes: the first of the argon2id settings that OWASP recommends, which need little memory.
const (
	argonMemoryKiB   = 19 * 1024
	argonIterations  = 2
	argonParallelism = 1
)

// MaxPassword is the longest password taken, in octets, so that hashing one has a bounded cost.
const MaxPassword = 1024

// ErrScheme says that a stored hash is of a scheme that is not supported, or damaged.
var ErrScheme = errors.New("auth: unknown or damaged password hash")

// HashPassword makes a hash for storing: "{ARGON2ID}" and an argon2id hash (RFC 9106) in PHC form. It fails for an empty
// password, one longer than MaxPassword and one with a NUL, which SASL PLAIN cannot carry.
func HashPassword(password string) (string, error) {
	if err := checkPassword(password); err != nil {
		return "", err
	}
	hasher, err := argon2.New(argon2.WithVariantID(), argon2.WithM(argonMemoryKiB),
		argon2.WithT(argonIterations), argon2.WithP(argonParallelism))
	if err != nil {
		return "", fmt.Errorf("auth: hash password: %w", err)
	}
	digest, err := hasher.Hash(password)
	if err != nil {
		return "", fmt.Errorf("auth: hash password: %w", err)
	}
	return "{ARGON2ID}" + digest.Encode(), nil
}

func checkPassword(password string) error {
	switch {
	case password == "":
		return errors.New("auth: the password is empty")
	case len(password) > MaxPassword:
		return fmt.Errorf("auth: the password is longer than %d octets", MaxPassword)
	case strings.ContainsRune(password, 0):
		return errors.New("auth: the password holds a NUL")
	}
	return nil
}

// VerifyPassword says whether password fits a stored hash, in a time that does not depend on where they differ.
//
// The hash has the form that docker-mailserver and Dovecot store, {SCHEME}hash: SHA512-CRYPT and SHA256-CRYPT
// ("$6$", "$5$"), BLF-CRYPT (bcrypt), ARGON2ID and ARGON2I, and CRYPT for any of them; the scheme may be left out where
// the hash begins with "$". For anything else it fails with ErrScheme.
func VerifyPassword(hash, password string) (bool, error) {
	digest, err := decodeHash(hash)
	if err != nil {
		return false, err
	}
	if checkPassword(password) != nil {
		return false, nil
	}
	ok, err := digest.MatchAdvanced(password)
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrScheme, err)
	}
	return ok, nil
}

// decodeHash takes a stored hash apart.
func decodeHash(hash string) (algorithm.Digest, error) {
	scheme, encoded := splitScheme(hash)
	decode := decoderOf(encoded)
	if decode == nil || !schemeFits(scheme, encoded) {
		return nil, ErrScheme
	}
	digest, err := decode(encoded)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrScheme, err)
	}
	return digest, nil
}

func splitScheme(hash string) (scheme, encoded string) {
	if rest, ok := strings.CutPrefix(hash, "{"); ok {
		if name, encoded, ok := strings.Cut(rest, "}"); ok {
			return strings.ToUpper(name), encoded
		}
	}
	return "", hash
}

// decoderOf finds the decoder by the prefix of the encoded hash.
func decoderOf(encoded string) func(string) (algorithm.Digest, error) {
	prefix := encoded[:strings.IndexByte(encoded+"$", '$')]
	if prefix != "" {
		return nil
	}
	switch name, _, _ := strings.Cut(encoded[min(1, len(encoded)):], "$"); name {
	case "5", "6":
		return shacrypt.Decode
	case "2a", "2b", "2x", "2y":
		return bcrypt.Decode
	case "argon2id", "argon2i":
		return argon2.Decode
	}
	return nil
}

// schemeFits says whether a scheme's name and the prefix of the hash agree.
func schemeFits(scheme, encoded string) bool {
	prefixes := map[string][]string{
		"":             {"$"},
		"CRYPT":        {"$5$", "$6$", "$2"},
		"SHA512-CRYPT": {"$6$"},
		"SHA256-CRYPT": {"$5$"},
		"BLF-CRYPT":    {"$2"},
		"BCRYPT":       {"$2"},
		"ARGON2ID":     {"$argon2id$"},
		"ARGON2I":      {"$argon2i$"},
	}
	for _, prefix := range prefixes[scheme] {
		if strings.HasPrefix(encoded, prefix) {
			return true
		}
	}
	return false
}

// CheckHash fails with ErrScheme for a stored hash that VerifyPassword cannot use.
func CheckHash(hash string) error {
	_, err := decodeHash(hash)
	return err
}
