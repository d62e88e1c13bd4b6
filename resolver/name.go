package resolver

import (
	"net"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/miekg/dns"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

// question is what a query asks for, in class IN. It is the key of the cache.
type question struct {
	name string // lower-case ASCII in the form that the dns package gives it, without the final dot
	typ  uint16
}

func (q question) fqdn() string { return q.name + "." }

func (q question) typeName() string { return dns.TypeToString[q.typ] }

// maxText is the most octets of what may be given as a name, where each octet may be an escape of four.
const maxText = 4 * (domainname.MaxName + 2)

// canonical turns a name as it is given into that of a question: U-labels become A-labels (RFC 5891), letters
// lower-case. It fails for what cannot be a name. Names may have escapes (RFC 1035 §5.1), but no control characters.
func canonical(name string) (string, bool) {
	if name == "." {
		return "", true
	}
	if plain, ok := domainname.Identity(name); ok {
		return plain, true
	}
	if !isASCII(name) {
		var ok bool
		if name, ok = domainname.DNS(name); !ok {
			return "", false
		}
	}
	if len(name) > maxText || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
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

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
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
	_, ok := domainname.Identity(name)
	return ok
}

// reserved answers what never leaves this host. ok is false for all other names.
func reserved(q question) (a Answer, ok bool) {
	switch top := domainname.TopLabel(q.name); {
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
