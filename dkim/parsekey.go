package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/dkim/internal/wire"
)

// KeyError says what is wrong with a key record, and where. It wraps ErrKeySyntax.
type KeyError struct {
	// Tag is the name of the tag that is wrong; "" when it is none in particular.
	Tag string
	// Offset is the octet of the record at which the trouble begins, counted from 0.
	Offset int
	// Reason is for a person. It holds no control characters.
	Reason string
}

func (e *KeyError) Error() string {
	tag := ""
	if e.Tag != "" {
		tag = " in " + e.Tag + "="
	}
	return fmt.Sprintf("%v: octet %d%s: %s", ErrKeySyntax, e.Offset, tag, e.Reason)
}

// Unwrap is ErrKeySyntax.
func (e *KeyError) Unwrap() error { return ErrKeySyntax }

// ParseKey reads a key record: the strings of one TXT record joined without white space. Its error is ErrKeyRevoked when
// p= is empty, else a *KeyError.
//
// An RSA key may be a SubjectPublicKeyInfo, as everybody publishes it and as the examples of RFC 6376 have it, or the bare
// RSAPublicKey that its §3.6.1 asks for (erratum 3017). Tags that nobody knows, g= of former standards among them, are
// ignored. A key that is read need not be of use for mail: see [Key.Check] and [Key.Warnings].
func ParseKey(txt string) (*Key, error) {
	k, err := parseKey(txt)
	var wrong *KeyError
	if errors.As(err, &wrong) {
		wrong.Reason = wire.Clean(wrong.Reason + hint(txt))
	}
	return k, err
}

func parseKey(txt string) (*Key, error) {
	if strings.TrimSpace(txt) == "" {
		return nil, &KeyError{Reason: "the record is empty"}
	}
	tags, err := wire.ParseTags(txt)
	if err != nil {
		wrong := &KeyError{Reason: err.Error()}
		if e, ok := errors.AsType[*wire.TagError](err); ok {
			wrong.Tag, wrong.Offset = e.Name, e.At
		}
		return nil, wrong
	}
	k := &Key{Type: wire.RSA}
	for i, tag := range tags {
		if err := k.read(tag, i == 0); err != nil {
			return nil, err
		}
	}
	i := slices.IndexFunc(tags, func(tag wire.Tag) bool { return tag.Name == "p" })
	switch {
	case i < 0:
		return nil, &KeyError{Tag: "p", Offset: len(txt), Reason: "p= is missing"}
	case tags[i].Value == "":
		return nil, ErrKeyRevoked
	}
	if err := k.readPublic(tags[i]); err != nil {
		return nil, err
	}
	if _, ok := tags.Get("v"); !ok {
		k.remarks = append(k.remarks, "v=DKIM1 is missing, with which a record should begin")
	}
	return k, nil
}

// read takes over one tag other than p=.
func (k *Key) read(tag wire.Tag, first bool) error {
	switch tag.Name {
	case "v": // RFC 6376 §3.6.1: the first, and nothing else than this
		if tag.Value != "DKIM1" {
			return keyError(tag, 0, fmt.Sprintf("v=%.20s is not v=DKIM1", tag.Value))
		} else if !first {
			return keyError(tag, 0, "v= is not the first tag")
		}
	case "k":
		k.Type = wire.Clean(strings.ToLower(tag.Value))
		if k.Type != wire.RSA && k.Type != wire.Ed25519 {
			return keyError(tag, 0, fmt.Sprintf("key type k=%.20s is unknown", k.Type))
		}
	case "h":
		k.Hashes = k.list(tag, "sha1", "sha256")
	case "s":
		k.Services = k.list(tag, "email", "*")
	case "t":
		flags := k.list(tag, "y", "s")
		k.Testing, k.Strict = slices.Contains(flags, "y"), slices.Contains(flags, "s")
	case "n":
		k.Notes = wire.Clean(tag.Value)
	case "p":
	case "g":
		k.remarks = append(k.remarks, "g= has no meaning any more and is ignored (RFC 6376 appendix C.1)")
	default:
		k.remarks = append(k.remarks, fmt.Sprintf("the tag %.20s= is unknown and ignored", tag.Name))
	}
	return nil
}

// list reads a list of names, and remarks on those that are not known, which verifiers ignore.
func (k *Key) list(tag wire.Tag, known ...string) []string {
	names := wire.SplitList(wire.Clean(strings.ToLower(tag.Value)))
	for _, name := range names {
		if !slices.Contains(known, name) {
			k.remarks = append(k.remarks, fmt.Sprintf("%.20q in %s= is unknown and ignored", name, tag.Name))
		}
	}
	return names
}

// readPublic reads p= according to k=.
func (k *Key) readPublic(tag wire.Tag) error {
	der, err := wire.DecodeBase64(tag.Value)
	if err != nil {
		return base64Error(tag)
	}
	switch k.Type {
	case wire.RSA:
		var reason string
		if k.Public, reason = k.readRSA(der); reason != "" {
			return keyError(tag, 0, reason)
		}
	case wire.Ed25519: // RFC 8463 §4.2: the bare key, no SubjectPublicKeyInfo
		if len(der) != ed25519.PublicKeySize {
			reason := fmt.Sprintf("p= has %d octets, an Ed25519 key has %d", len(der), ed25519.PublicKeySize)
			if len(der) == ed25519.PublicKeySize+12 && der[0] == 0x30 {
				reason += ": leave its SubjectPublicKeyInfo away"
			}
			return keyError(tag, 0, reason)
		}
		k.Public = ed25519.PublicKey(der)
	}
	return nil
}

// readRSA reads an RSA key, or says why it is none.
func (k *Key) readRSA(der []byte) (pub crypto.PublicKey, reason string) {
	if n, ok := derLength(der); ok && n > len(der) {
		return nil, fmt.Sprintf("p= holds no RSA key: it is cut off, of %d octets there are %d", n, len(der))
	} else if ok && n < len(der) {
		return nil, fmt.Sprintf("p= holds no RSA key: behind its %d octets there are %d more", n, len(der)-n)
	}
	var key *rsa.PublicKey
	if any, err := x509.ParsePKIXPublicKey(der); err == nil {
		var ok bool
		if key, ok = any.(*rsa.PublicKey); !ok {
			return nil, fmt.Sprintf("p= holds a key of another type than k=%s: %T", k.Type, any)
		}
	} else if key, err = x509.ParsePKCS1PublicKey(der); err != nil {
		return nil, "p= holds no RSA key"
	} else {
		k.remarks = append(k.remarks, "p= is a bare RSAPublicKey, which some verifiers cannot read: publish it as a "+
			"SubjectPublicKeyInfo (RFC 6376 erratum 3017)")
	}
	if key.E < 3 || key.E%2 == 0 || key.N.Bit(0) == 0 {
		return nil, "p= holds an RSA key that cannot be: its exponent or modulus is even, or the exponent below 3"
	}
	return key, ""
}

// derLength is how many octets the ASN.1 SEQUENCE that p begins with says it has, with its own head.
func derLength(p []byte) (n int, ok bool) {
	if len(p) < 2 || p[0] != 0x30 {
		return 0, false
	}
	if p[1] < 0x80 {
		return 2 + int(p[1]), true
	}
	digits := int(p[1] & 0x7f)
	if digits == 0 || digits > 3 || len(p) < 2+digits {
		return 0, false
	}
	for _, c := range p[2 : 2+digits] {
		n = n<<8 | int(c)
	}
	return 2 + digits + n, true
}

// base64Error says where the value of p= stops to be base64.
func base64Error(tag wire.Tag) error {
	text := strings.TrimRight(tag.Value, "=")
	for i := range len(text) {
		switch c := text[i]; {
		case c == '=':
			return keyError(tag, i, "p= goes on behind the padding that ends base64")
		case !wire.Base64Octet(c) && wire.StripFWS(text[i:i+1]) != "":
			return keyError(tag, i, fmt.Sprintf("p= holds %q, which is no base64", c))
		}
	}
	return keyError(tag, len(tag.Value), "p= is no base64: its length is impossible, so it is cut off or has lost a character")
}

func keyError(tag wire.Tag, offset int, reason string) *KeyError {
	return &KeyError{Tag: tag.Name, Offset: tag.At + offset, Reason: reason}
}

// hint guesses how a record that cannot be read came to be.
func hint(txt string) string {
	switch {
	case strings.Count(txt, "DKIM1") > 1:
		return "; it looks like two records in one"
	case strings.Contains(txt, `"`):
		return "; it holds quotation marks, which belong to the zone file and not into the record"
	case strings.Contains(txt, `\;`):
		return "; its semicolons have a backslash in front of them, which belongs to some zone files and not into the record"
	case strings.Contains(txt, "-----"):
		return "; it holds the lines that begin and end a PEM file, which do not belong into the record"
	case strings.HasPrefix(strings.ToLower(strings.TrimSpace(txt)), "v=spf1"), strings.HasPrefix(txt, "v=DMARC1"):
		return "; it is a record of another kind"
	}
	return ""
}
