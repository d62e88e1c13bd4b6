package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

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
}

// ParseKey reads a key record: the strings of one TXT record joined without white space. Its error wraps ErrKeyRevoked
// when p= is empty, else ErrKeySyntax, and says in words what is wrong.
func ParseKey(txt string) (*Key, error) {
	if err := looksPasted(txt); err != nil {
		return nil, err
	}
	tags, err := wire.ParseTags(txt)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeySyntax, err)
	}
	if v, ok := tags.Get("v"); ok && v != "DKIM1" {
		return nil, fmt.Errorf("%w: v=%.20s is not v=DKIM1", ErrKeySyntax, wire.Clean(v))
	} else if ok && tags[0].Name != "v" {
		return nil, fmt.Errorf("%w: v= is not the first tag", ErrKeySyntax)
	}
	k := &Key{Type: wire.RSA}
	if v, ok := tags.Get("k"); ok {
		k.Type = wire.Clean(strings.ToLower(v))
	}
	k.Hashes = tagList(tags, "h")
	k.Services = tagList(tags, "s")
	flags := tagList(tags, "t")
	k.Testing, k.Strict = slices.Contains(flags, "y"), slices.Contains(flags, "s")
	if n, ok := tags.Get("n"); ok {
		k.Notes = wire.Clean(n)
	}
	p, ok := tags.Get("p")
	switch p = wire.StripFWS(p); {
	case !ok:
		return nil, fmt.Errorf("%w: p= is missing", ErrKeySyntax)
	case p == "":
		return nil, ErrKeyRevoked
	}
	der, err := base64.StdEncoding.DecodeString(p)
	if err != nil {
		return nil, fmt.Errorf("%w: p= is no base64 (cut off?)", ErrKeySyntax)
	}
	if k.Public, err = parsePublic(k.Type, der); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeySyntax, err)
	}
	return k, nil
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

// looksPasted catches what goes wrong when a record is pasted into a form.
func looksPasted(txt string) error {
	switch {
	case strings.TrimSpace(txt) == "":
		return fmt.Errorf("%w: the record is empty", ErrKeySyntax)
	case strings.Contains(txt, `"`):
		return fmt.Errorf("%w: the record holds quotation marks, which belong to the zone file only", ErrKeySyntax)
	case strings.Contains(txt, `\;`):
		return fmt.Errorf(`%w: semicolons have a backslash in front of them`, ErrKeySyntax)
	}
	return nil
}

func tagList(tags wire.Tags, name string) []string {
	v, ok := tags.Get(name)
	if !ok {
		return nil
	}
	return wire.SplitList(wire.Clean(strings.ToLower(v)))
}

func parsePublic(typ string, der []byte) (crypto.PublicKey, error) {
	switch typ {
	case wire.RSA:
		return parseRSA(der)
	case wire.Ed25519: // RFC 8463 §4.2: the bare key, no SubjectPublicKeyInfo
		if len(der) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("p= has %d octets, an Ed25519 key has %d", len(der), ed25519.PublicKeySize)
		}
		return ed25519.PublicKey(der), nil
	}
	return nil, fmt.Errorf("key type k=%.20s is unknown", typ)
}

// parseRSA takes both forms in use: the RSAPublicKey of RFC 6376's text and the SubjectPublicKeyInfo of its examples.
func parseRSA(der []byte) (*rsa.PublicKey, error) {
	var pub *rsa.PublicKey
	if any, err := x509.ParsePKIXPublicKey(der); err == nil {
		var ok bool
		if pub, ok = any.(*rsa.PublicKey); !ok {
			return nil, errors.New("p= holds a key of another type than k= says")
		}
	} else if pub, err = x509.ParsePKCS1PublicKey(der); err != nil {
		return nil, errors.New("p= holds no RSA key")
	}
	if pub.E < 3 || pub.E%2 == 0 || pub.N.Bit(0) == 0 {
		return nil, errors.New("p= holds an RSA key that cannot be")
	}
	return pub, nil
}

// Check says why k may not verify signatures that an algorithm ("rsa-sha256" or "ed25519-sha256") made: ErrKeyUse when
// its k=, h= or s= forbids it (RFC 6376 §6.1.2), ErrWeakKey when it is an RSA key of less than minRSABits or MinRSABits,
// ErrKeyTooLarge when it has more than MaxRSABits. The flags are the caller's to obey.
func (k *Key) Check(algorithm string, minRSABits int) error {
	typ, err := wire.KeyType(algorithm)
	switch bits := k.Bits(); {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrKeyUse, err)
	case k.Services != nil && !slices.Contains(k.Services, "email") && !slices.Contains(k.Services, "*"):
		return fmt.Errorf("%w: its s= does not list email", ErrKeyUse)
	case k.Hashes != nil && !slices.Contains(k.Hashes, "sha256"):
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
