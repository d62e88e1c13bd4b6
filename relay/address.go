package relay

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/domainname"
)

// maxPath is the most octets of an address. RFC 5321 §4.5.3.1.3 asks for 256; UTF-8 and generous peers need more.
const maxPath = 512

// validPath says whether an address can be sent between angle brackets without being read as anything else: a local part
// that is a dot-string or a quoted string, and a domain or an address literal (RFC 5321 §4.1.2, RFC 6531 §3.3).
func validPath(address string) bool {
	if len(address) > maxPath || !utf8.ValidString(address) {
		return false
	}
	local, domain := mailbricks.SplitAddress(address)
	return validLocal(local) && validDomain(domain)
}

// validRecipient is validPath; <postmaster> needs no domain (RFC 5321 §4.5.1).
func validRecipient(address string) bool {
	return validPath(address) || strings.EqualFold(address, "postmaster")
}

func validLocal(local string) bool {
	if quoted, ok := strings.CutPrefix(local, `"`); ok {
		quoted, ok = strings.CutSuffix(quoted, `"`)
		return ok && validQuoted(quoted)
	}
	return validAtoms(local, "()<>[]:;@\\,\"")
}

// validQuoted checks what is inside the quotes.
func validQuoted(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c < ' ' || c == 0x7f || c == '"':
			return false
		case c == '\\':
			if i++; i == len(s) || s[i] < ' ' || s[i] >= 0x7f {
				return false
			}
		}
	}
	return true
}

// validAtoms checks for atoms with dots between them, none of specials in them. Dots at odd places are seen in real
// addresses and do no harm.
func validAtoms(s, specials string) bool {
	for _, r := range s {
		if r <= ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || strings.ContainsRune(specials, r) {
			return false
		}
	}
	return s != ""
}

func validDomain(domain string) bool {
	if strings.HasPrefix(domain, "[") {
		_, ok := literal(domain)
		return ok
	}
	for _, r := range domain {
		if r < 0x80 && r != '-' && r != '.' && r != '_' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z') {
			return false
		}
		if r >= 0x80 && r < 0xa0 || r == utf8.RuneError {
			return false
		}
	}
	return domain != "" && len(domain) <= 255 && domain[0] != '.' && domain[0] != '-'
}

// literal reads an address literal (RFC 5321 §4.1.3).
func literal(domain string) (netip.Addr, bool) {
	text, ok := strings.CutPrefix(domain, "[")
	if ok {
		text, ok = strings.CutSuffix(text, "]")
	}
	if !ok {
		return netip.Addr{}, false
	}
	six := len(text) > 5 && strings.EqualFold(text[:5], "IPv6:")
	if six {
		text = text[5:]
	}
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" || six != ip.Is6() {
		return netip.Addr{}, false
	}
	return ip.Unmap(), true
}

// asciiDomain gives a domain as DNS has it: in A-labels (RFC 5890) and lower case, without a dot at its end.
// What is no name, like an address literal, changes its case alone; it fails for that beyond ASCII.
func asciiDomain(domain string) (string, bool) {
	if name, ok := domainname.Identity(domain); ok { // also with "_": the DNS knows what can be delivered to
		return name, true
	}
	if isASCII(domain) {
		return strings.ToLower(strings.TrimSuffix(domain, ".")), true
	}
	return "", false
}

// asciiPath gives an address without UTF-8, if that can be: only the domain has an ASCII form (RFC 6531 §3.2).
func asciiPath(address string) (string, bool) {
	if isASCII(address) {
		return address, true
	}
	local, domain := mailbricks.SplitAddress(address)
	ascii, ok := asciiDomain(domain)
	if !ok || !isASCII(local) {
		return "", false
	}
	return local + "@" + ascii, true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// xtext encodes a parameter's value (RFC 3461 §4).
func xtext(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c > ' ' && c < 0x7f && c != '+' && c != '=' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "+%02X", c)
		}
	}
	return b.String()
}
