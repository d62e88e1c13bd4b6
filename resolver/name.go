package resolver

import (
	"net"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/miekg/dns"
	"golang.org/x/net/idna"
)

// question is what a query asks for, in class IN. It is the key of the cache.
type question struct {
	name string // lower-case ASCII in the form that the dns package gives it, without the final dot
	typ  uint16
}

func (q question) fqdn() string { return q.name + "." }

func (q question) typeName() string { return dns.TypeToString[q.typ] }

// Limits of names in octets (RFC 1035 §2.3.4): of one in text without its final dot, of a label, and of what may be
// given, where each octet may be an escape of four or part of a U-label.
const (
	maxName  = 253
	maxLabel = 63
	maxText  = 4 * 255
)

// canonical turns a name as it is given into that of a question: U-labels become A-labels (RFC 5891), letters
// lower-case. It fails for what cannot be a name.
func canonical(name string) (string, bool) {
	if name == "." {
		return "", true
	}
	if plain(name) {
		name = strings.TrimSuffix(name, ".")
		return name, fits(name)
	}
	var ok bool
	if name, ok = toASCII(name); !ok {
		return "", false
	}
	// Through the wire form and back, so that a name has one spelling whatever escapes it was written with.
	var wire [256]byte
	if _, err := dns.PackDomainName(dns.Fqdn(name), wire[:], 0, nil, false); err != nil {
		return "", false
	}
	name, _, err := dns.UnpackDomainName(wire[:], 0)
	if err != nil || name == "." {
		return "", false
	}
	return asciiLower(name[:len(name)-1]), true
}

// plain says whether all octets of a name are lower-case letters, digits, "-", "_" and ".".
func plain(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// fits checks the lengths of a plain name and its labels.
func fits(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	label := 0
	for i := range len(name) {
		if name[i] != '.' {
			label++
			continue
		}
		if label == 0 || label > maxLabel {
			return false
		}
		label = 0
	}
	return label > 0 && label <= maxLabel
}

// toASCII makes A-labels of U-labels and leaves all other labels alone, as IDNA would refuse the underscores of
// "_dmarc". Control characters are no part of names.
func toASCII(name string) (string, bool) {
	if len(name) > maxText || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", false
	}
	if isASCII(name) {
		return name, true
	}
	if !utf8.ValidString(name) {
		return "", false
	}
	// The other dots of RFC 3490 §3.1, which people type.
	labels := strings.Split(strings.NewReplacer("\u3002", ".", "\uff0e", ".", "\uff61", ".").Replace(name), ".")
	for i, label := range labels {
		if isASCII(label) {
			continue
		}
		ascii, err := idna.Lookup.ToASCII(label)
		if err != nil || !plain(ascii) || strings.Contains(ascii, ".") {
			return "", false
		}
		labels[i] = ascii
	}
	return strings.Join(labels, "."), true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// asciiLower lowers letters of ASCII only: DNS compares no others (RFC 4343 §3).
func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// isHostname says whether a name from an answer can be that of a host, so that it is safe to show and to look up.
func isHostname(name string) bool {
	name = strings.TrimSuffix(asciiLower(name), ".")
	return plain(name) && fits(name)
}

// reserved answers what never leaves this host. ok is false for all other names.
func reserved(q question) (a Answer, ok bool) {
	switch top := q.name[strings.LastIndexByte(q.name, '.')+1:]; {
	case top == "localhost": // RFC 6761 §6.3
		a.Records = map[uint16][]string{dns.TypeA: {"127.0.0.1"}, dns.TypeAAAA: {"::1"}}[q.typ]
	case q.name == reverse4Localhost || q.name == reverse6Localhost:
		a.Records = map[uint16][]string{dns.TypePTR: {"localhost."}}[q.typ]
	case top == "invalid", top == "onion": // RFC 6761 §6.4, RFC 7686 §2
		a.NXDomain = true
	case looksLikeIP(top) && isIP(q.name): // no name, and the root has no such domain
		a.NXDomain = true
	default:
		return a, false
	}
	a.Name, a.TTL = q.fqdn(), DefaultMaxTTL
	return a, true
}

const (
	reverse4Localhost = "1.0.0.127.in-addr.arpa"
	reverse6Localhost = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa"
)

// looksLikeIP says whether a top-level domain may be the end of an IP address.
func looksLikeIP(top string) bool {
	return top != "" && (isDigit(top[0]) || strings.IndexByte(top, ':') >= 0)
}

func isIP(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// reverseName is the name under which an address has its PTR records (RFC 1035 §3.5, RFC 3596 §2.5).
func reverseName(addr string) (string, error) {
	ip, err := netip.ParseAddr(addr)
	if err != nil || ip.Zone() != "" {
		return "", &net.DNSError{Err: "unrecognized address", Name: addr}
	}
	name, err := dns.ReverseAddr(ip.Unmap().String())
	if err != nil {
		return "", &net.DNSError{Err: "unrecognized address", Name: addr}
	}
	return name, nil
}
