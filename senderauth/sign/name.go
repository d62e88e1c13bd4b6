package sign

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/net/idna"
)

// ErrName says that something is no domain name or no selector.
var ErrName = errors.New("not a domain name")

// canonical gives a domain name or selector in lower case with A-labels. What it returns is also a file name that cannot
// lead out of its folder: labels of letters, digits, "-" and "_" with single dots between them.
func canonical(name string) (string, error) {
	ascii := name
	if strings.IndexFunc(name, func(r rune) bool { return r >= 0x80 }) >= 0 {
		var err error
		ascii, err = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false)).ToASCII(name)
		if err != nil {
			return "", fmt.Errorf("%.80q: %w", name, ErrName)
		}
	}
	ascii = strings.ToLower(ascii)
	if len(ascii) > 253 { // RFC 1035 §2.3.4
		return "", fmt.Errorf("%.80q: %w", name, ErrName)
	}
	for label := range strings.SplitSeq(ascii, ".") {
		if !isLabel(label) {
			return "", fmt.Errorf("%.80q: %w", name, ErrName)
		}
	}
	return ascii, nil
}

func isLabel(s string) bool {
	if len(s) == 0 || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// canonicalOr is canonical, and name as it is where that fails.
func canonicalOr(name string) string {
	if c, err := canonical(name); err == nil {
		return c
	}
	return name
}
