package wire

import (
	"errors"
	"strings"

	"golang.org/x/net/idna"
)

// MaxDomain is the length of the longest domain name in text form, without the final dot (RFC 1035 §2.3.4).
const MaxDomain = 253

var (
	errNotDomain = errors.New("is no domain name")
	errNotLabel  = errors.New("is no domain name that the DNS can hold")
)

// ASCII gives a domain name or selector in lower case with A-labels (RFC 8616 §5), or an error that completes a sentence
// like "d= is no domain name". Labels may hold "_", which selectors and domains in use do.
func ASCII(name string) (string, error) {
	if name == "" {
		return "", errNotDomain
	}
	for i := range len(name) {
		if name[i] >= 0x80 {
			profile := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false))
			ascii, err := profile.ToASCII(name)
			if err != nil {
				return "", errNotDomain
			}
			name = ascii
			break
		}
	}
	name = strings.ToLower(name)
	if len(name) > MaxDomain {
		return "", errNotLabel
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", errNotLabel
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return "", errNotDomain
			}
		}
	}
	return name, nil
}

// KeyName is where the key record stands (RFC 6376 §3.6.2.1), as an absolute name. It fails with an error that completes
// a sentence when that would be too long for the DNS. Selector and domain must be ASCII's.
func KeyName(selector, domain string) (string, error) {
	name := selector + "._domainkey." + domain
	if len(name) > MaxDomain {
		return "", errors.New("are together too long for the DNS")
	}
	return name + ".", nil
}
