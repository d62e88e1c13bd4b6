package wire

import (
	"errors"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

// ASCII gives a domain name or selector in lower case with A-labels (RFC 8616 §5), or an error that completes a sentence
// like "d= is no domain name". Labels may hold "_", which selectors and domains in use do.
func ASCII(name string) (string, error) {
	ascii, ok := domainname.DKIM(name)
	if !ok {
		return "", errors.New("is no domain name")
	}
	return ascii, nil
}

// KeyName is where the key record stands (RFC 6376 §3.6.2.1), as an absolute name. It fails with an error that completes
// a sentence when that would be too long for the DNS. Selector and domain must be ASCII's.
func KeyName(selector, domain string) (string, error) {
	name := selector + "._domainkey." + domain
	if len(name) > domainname.MaxName {
		return "", errors.New("are together too long for the DNS")
	}
	return name + ".", nil
}
