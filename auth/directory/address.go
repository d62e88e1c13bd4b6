package directory

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"github.com/mailbricks/mailbricks"
)

// ErrNoDomain is the error of an address without a domain.
var ErrNoDomain = errors.New("should include the domain (eg: user@example.com)")

// maxAddress is the longest address taken, in octets (RFC 5321 §4.5.3.1.1 and §4.5.3.1.2, and the "@").
const maxAddress = 64 + 1 + 255

// domains maps a domain to lower case and A-labels. Underscores and the like are let through: what is in the DNS decides.
var domains = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false), idna.VerifyDNSLength(true))

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
	domain = strings.TrimSuffix(domain, ".")
	if strings.HasPrefix(domain, "[") {
		return strings.ToLower(domain), nil // an address literal (RFC 5321 §4.1.3)
	}
	ascii, err := domains.ToASCII(domain)
	if err != nil {
		return "", err
	}
	if ascii == "" || len(ascii) > 255 || strings.ContainsFunc(ascii, unfit) {
		return "", errors.New("not a domain name")
	}
	return strings.ToLower(ascii), nil
}

// unfit says which characters would break the files' lines.
func unfit(r rune) bool {
	return r <= ' ' || r == 0x7f || strings.ContainsRune("|,@/", r)
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
