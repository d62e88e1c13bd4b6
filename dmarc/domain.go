package dmarc

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

// normalize gives a domain name in lower case, with A-labels and without a final dot; false when it is no host name
// (RFC 9989 §5.3.1, RFC 4343).
func normalize(name string) (string, bool) {
	name = strings.TrimSuffix(name, ".")
	if strings.IndexFunc(name, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
		if !utf8.ValidString(name) || !convertible(name) {
			return "", false
		}
		ascii, err := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false)).ToASCII(name)
		if err != nil {
			return "", false
		}
		name = ascii
	}
	if name == "" || len(name) > maxName {
		return "", false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabel {
			return "", false
		}
		for i := range len(label) {
			if c := label[i]; (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return "", false
			}
		}
	}
	return strings.ToLower(name), true
}

// convertible says whether a name may have A-labels that are short enough. It keeps long labels from the conversion, which
// takes time in step with the square of their length.
func convertible(name string) bool {
	label := 0
	for _, r := range name {
		switch r {
		case '.', '\u3002', '\uff0e', '\uff61': // the dots of UTS #46 §4.5
			label = 0
		default:
			label++
		}
		if label > maxLabel {
			return false
		}
	}
	return len(name) <= utf8.UTFMax*maxName
}

// parent removes the left-most label; it is empty for a name of one label.
func parent(name string) string {
	_, rest, _ := strings.Cut(name, ".")
	return rest
}

// within says whether name is domain or one of its subdomains. Both are normalized.
func within(name, domain string) bool {
	return name == domain || strings.HasSuffix(name, "."+domain)
}
