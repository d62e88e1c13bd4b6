package spf

import (
	"strings"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

// mailDomain gives the domain of an identity with A-labels and without a final dot, or false when it is no valid,
// multi-label domain name (RFC 7208 §4.3, §2.3): an address literal, a bare host name, a dotted quad.
func mailDomain(name string) (string, bool) {
	name, ok := domainname.Identity(name)
	if !ok || domainname.Parent(name) == "" || strings.Trim(domainname.TopLabel(name), "0123456789") == "" {
		return "", false
	}
	return name, true
}

// shorten removes labels from the left until the name fits, beside which a final dot may stand (RFC 7208 §7.3).
func shorten(name string) string {
	for len(strings.TrimSuffix(name, ".")) > domainname.MaxName {
		_, rest, found := strings.Cut(name, ".")
		if !found {
			break
		}
		name = rest
	}
	return name
}

// lower makes ASCII letters lower-case and leaves every other octet alone.
func lower(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return lowered(s)
		}
	}
	return s
}

func lowered(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func isAlpha(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isAlnum(c byte) bool { return isAlpha(c) || isDigit(c) }
