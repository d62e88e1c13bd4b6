package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/mailbricks/mailbricks/dkim/internal/wire"
)

// Record is a key record to publish as TXT in the DNS.
type Record struct {
	// Name is where it stands, without a final dot: "mail._domainkey.example.com".
	Name string
	// Value is the text in one piece, as most forms of DNS providers want it.
	Value string
}

// RecordOptions are what a key record may say beside the key (RFC 6376 §3.6.1).
type RecordOptions struct {
	// Domain and Selector give Record.Name, as in the Signer.
	Domain, Selector string
	// Testing sets the flag t=y.
	Testing bool
	// Strict sets the flag t=s.
	Strict bool
}

// NewRecord makes the record of a public key: a *rsa.PublicKey or an ed25519.PublicKey.
func NewRecord(pub crypto.PublicKey, opts RecordOptions) (Record, error) {
	domain, err := wire.ASCII(opts.Domain)
	if err != nil {
		return Record{}, fmt.Errorf("dkim: key record: domain %q %w", opts.Domain, err)
	}
	selector, err := wire.ASCII(opts.Selector)
	if err != nil {
		return Record{}, fmt.Errorf("dkim: key record: selector %q %w", opts.Selector, err)
	}
	var typ string
	var p []byte
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		typ = wire.RSA
		if p, err = x509.MarshalPKIXPublicKey(pub); err != nil {
			return Record{}, fmt.Errorf("dkim: key record: %w", err)
		}
	case ed25519.PublicKey:
		typ, p = wire.Ed25519, pub
	default:
		return Record{}, fmt.Errorf("dkim: key record: keys of type %T cannot sign", pub)
	}
	value := "v=DKIM1; k=" + typ + "; "
	if opts.Testing && opts.Strict {
		value += "t=y:s; "
	} else if opts.Testing {
		value += "t=y; "
	} else if opts.Strict {
		value += "t=s; "
	}
	value += "p=" + base64.StdEncoding.EncodeToString(p)
	name, err := wire.KeyName(selector, domain)
	if err != nil {
		return Record{}, fmt.Errorf("dkim: key record: selector and domain %w", err)
	}
	return Record{Name: strings.TrimSuffix(name, "."), Value: value}, nil
}

// maxString is how many octets one string of a TXT record holds (RFC 1035 §3.3).
const maxString = 255

// Strings is Value cut into the strings of a TXT record, of at most 255 octets each.
func (r Record) Strings() []string {
	var parts []string
	rest := r.Value
	for len(rest) > maxString {
		parts = append(parts, rest[:maxString])
		rest = rest[maxString:]
	}
	return append(parts, rest)
}

// Quoted is Strings in quotation marks with spaces between them, as zone files and some forms want it.
func (r Record) Quoted() string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	parts := r.Strings()
	for i, part := range parts {
		parts[i] = `"` + escape.Replace(part) + `"`
	}
	return strings.Join(parts, " ")
}

// Zone is the record as one line of a zone file (RFC 1035 §5.1): NAME. IN TXT ( "…" "…" ).
func (r Record) Zone() string { return r.Name + ". IN TXT ( " + r.Quoted() + " )" }
