package dkim

import (
	"errors"
	"strings"

	"golang.org/x/net/idna"
)

// maxDomain is the length of the longest domain name in text form, without the final dot (RFC 1035 §2.3.4).
const maxDomain = 253

var (
	errNotDomain = errors.New("is no domain name")
	errNotLabel  = errors.New("is no domain name that the DNS can hold")
)

// toASCII gives a domain name or selector in lower case with A-labels (RFC 8616 §5), or says that it is none. Labels may
// hold "_", which selectors and domains in use do.
func toASCII(name string) (string, error) {
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
	if len(name) > maxDomain {
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

// keyName is where the key record stands (RFC 6376 §3.6.2.1), as an absolute name.
func keyName(selector, domain string) string { return selector + "._domainkey." + domain + "." }
