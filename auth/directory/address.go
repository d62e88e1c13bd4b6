package directory

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/domainname"
)

// ErrNoDomain is the error of an address without a domain.
var ErrNoDomain = errors.New("should include the domain (eg: user@example.com)")

// maxAddress is the longest address taken, in octets (RFC 5321 §4.5.3.1.1 and §4.5.3.1.2, and the "@").
const maxAddress = maxLocalPart + 1 + 255

// Canonical gives the form in which an address is kept and compared: lower case, Unicode in NFC, the domain in A-labels.
func Canonical(address string) (string, error) {
	local, domain := mailbricks.SplitAddress(strings.TrimSpace(address))
	if domain == "" {
		return "", fmt.Errorf("%q %w", address, ErrNoDomain)
	}
	local = norm.NFC.String(strings.ToLower(local))
	domain, err := CanonicalDomain(domain)
	if err != nil {
		return "", fmt.Errorf("%q has an invalid domain: %w", address, err)
	}
	switch {
	case local == "":
		return "", fmt.Errorf("%q has nothing before the @", address)
	case len(local)+1+len(domain) > maxAddress:
		return "", fmt.Errorf("%.40q… is too long", address)
	case strings.ContainsFunc(local, unfit):
		return "", fmt.Errorf("%q holds a character that an address here must not hold", address)
	}
	return local + "@" + domain, nil
}

// CanonicalDomain gives the form in which a domain is kept and compared: lower case, A-labels, no dot at its end.
func CanonicalDomain(domain string) (string, error) {
	if strings.HasPrefix(domain, "[") {
		return strings.ToLower(strings.TrimSuffix(domain, ".")), nil // an address literal (RFC 5321 §4.1.3)
	}
	name, ok := domainname.Identity(domain) // also with "_": mail to others may go wherever the DNS leads
	if !ok {
		return "", errors.New("not a domain name")
	}
	return name, nil
}

// unfit says which characters would break the files' lines, or be seen for something else.
func unfit(r rune) bool {
	return !unicode.IsPrint(r) || unicode.IsSpace(r) || strings.ContainsRune("|,@", r)
}

// newAddress is Canonical for an address that is to be an account or an alias: one that mail can be sent to without
// quotes (RFC 5321 §4.1.2, RFC 6531 §3.3), in a domain that can be in the DNS as a host's.
func newAddress(address string) (string, error) {
	canonical, err := Canonical(address)
	if err != nil {
		return "", err
	}
	local, domain := mailbricks.SplitAddress(canonical)
	if err := newDomain(domain); err != nil {
		return "", fmt.Errorf("%q: %w", address, err)
	}
	switch {
	case len(local) > maxLocalPart:
		return "", fmt.Errorf("%.40q… has more than %d octets before the @", address, maxLocalPart)
	case strings.HasPrefix(local, ".") || strings.HasSuffix(local, ".") || strings.Contains(local, ".."):
		return "", fmt.Errorf("%q has a dot where none can be", address)
	case strings.ContainsAny(local, `"()<>[]:;\`) || local[0] == '#' || local[0] == '/':
		return "", fmt.Errorf("%q holds a character that an address here must not hold", address)
	}
	return canonical, nil
}

// maxLocalPart is the longest local part in octets (RFC 5321 §4.5.3.1.1).
const maxLocalPart = 64

// newDomain checks a canonical domain that mail is to be taken for.
func newDomain(domain string) error {
	if _, ok := domainname.Host(domain); !ok {
		return fmt.Errorf("%q is not a domain that mail can be taken for", domain)
	}
	return nil
}

// withoutDetail cuts the sub-address (RFC 5233) from a canonical address.
func withoutDetail(address string) (string, bool) {
	local, domain := mailbricks.SplitAddress(address)
	base, _, found := strings.Cut(local, "+")
	if !found || base == "" || strings.HasPrefix(local, `"`) {
		return "", false
	}
	return base + "@" + domain, true
}
