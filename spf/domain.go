package spf

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxName and maxLabel are the lengths of a domain name in its text form and of a label (RFC 1035 §2.3.4).
const (
	maxName  = 253
	maxLabel = 63
)

// mailDomain gives the domain of an identity with A-labels and without a final dot, or false when it is no valid,
// multi-label domain name (RFC 7208 §4.3, §2.3): an address literal, a bare host name, a dotted quad.
func mailDomain(name string) (string, bool) {
	name, ok := toASCII(strings.TrimSuffix(name, "."))
	if !ok || !validName(name) || !strings.Contains(name, ".") {
		return "", false
	}
	for i := range len(name) {
		if c := name[i]; !isAlnum(c) && c != '-' && c != '_' && c != '.' {
			return "", false
		}
	}
	if strings.Trim(name[strings.LastIndexByte(name, '.'):], ".0123456789") == "" {
		return "", false
	}
	return name, true
}

// toASCII makes A-labels of U-labels (RFC 8616 §4). A name that is ASCII already stays as it is.
func toASCII(name string) (string, bool) {
	if isASCII(name) {
		return name, true
	}
	if !utf8.ValidString(name) {
		return "", false
	}
	name, err := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false)).ToASCII(name)
	return name, err == nil && isASCII(name)
}

// validName says whether the DNS can be asked for name: labels of 1 to 63 octets, 253 in all (RFC 1035 §2.3.4), and
// none of them a control character or beyond ASCII. A mechanism may well ask for a name that is no host name.
func validName(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabel {
			return false
		}
	}
	for i := range len(name) {
		if name[i] < ' ' || name[i] >= 0x7f {
			return false
		}
	}
	return true
}

// shorten removes labels from the left until the name fits (RFC 7208 §7.3).
func shorten(name string) string {
	for len(name) > maxName {
		_, rest, found := strings.Cut(name, ".")
		if !found {
			break
		}
		name = rest
	}
	return name
}

// within says whether name is domain or one of its subdomains; only ASCII letters have case (RFC 4343).
func within(name, domain string) bool {
	name, domain = lower(strings.TrimSuffix(name, ".")), lower(domain)
	return name == domain || strings.HasSuffix(name, "."+domain)
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
