package spf

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

// macroString is a parsed macro-string, RFC 7208 §7.1.
type macroString []macroPart

// macroPart is literal text or, when letter is not 0, a macro.
type macroPart struct {
	literal string
	percent bool // literal was %%, %_ or %-
	letter  byte // lower-case
	escape  bool // the letter was upper-case
	parts   int  // how many right-hand parts to use; 0: all
	reverse bool
	delims  string
}

// parseMacros parses a macro-string; text says that it is an explanation, which may have spaces and the letters c, r
// and t (RFC 7208 §7.2).
func parseMacros(s string, text bool) (macroString, bool) {
	var out macroString
	for len(s) > 0 {
		if s[0] != '%' {
			n := 0
			for n < len(s) && s[n] != '%' {
				if s[n] < ' ' || s[n] >= 0x7f || (s[n] == ' ' && !text) { // macro-literal: %x21-24 / %x26-7E
					return nil, false
				}
				n++
			}
			out = append(out, macroPart{literal: s[:n]})
			s = s[n:]
			continue
		}
		part, rest, ok := parseMacro(s[1:], text)
		if !ok {
			return nil, false
		}
		out, s = append(out, part), rest
	}
	return out, true
}

// parseMacro parses what follows a percent sign.
func parseMacro(s string, text bool) (part macroPart, rest string, ok bool) {
	if s == "" {
		return part, "", false
	}
	switch s[0] {
	case '%':
		return macroPart{literal: "%", percent: true}, s[1:], true
	case '_':
		return macroPart{literal: " ", percent: true}, s[1:], true
	case '-':
		return macroPart{literal: "%20", percent: true}, s[1:], true
	case '{':
	default:
		return part, "", false
	}
	body, rest, closed := strings.Cut(s[1:], "}")
	if !closed || body == "" {
		return part, "", false
	}
	part.letter, part.escape = body[0]|0x20, body[0]&0x20 == 0
	if !isAlpha(body[0]) || !strings.Contains("slodiphv", string(part.letter)) &&
		(!text || !strings.Contains("crt", string(part.letter))) {
		return part, "", false
	}
	body = body[1:]
	digits := len(body) - len(strings.TrimLeft(body, "0123456789"))
	if digits > 0 {
		// More parts than a name or address can have are all of them; a value of zero is an error (RFC 7208 §7.3).
		n, err := strconv.ParseUint(body[:digits], 10, 16)
		if err != nil {
			n = 1 << 16
		}
		if n == 0 {
			return part, "", false
		}
		part.parts = int(n)
		body = body[digits:]
	}
	if body != "" && body[0]|0x20 == 'r' {
		part.reverse, body = true, body[1:]
	}
	if strings.Trim(body, ".-+,/_=") != "" {
		return part, "", false
	}
	part.delims = body
	return part, rest, true
}

// needsLocalPart says whether one of the macros expands to the local-part of the sender.
func (m macroString) needsLocalPart() bool {
	return slices.ContainsFunc(m, func(p macroPart) bool { return p.letter == 's' || p.letter == 'l' })
}

// transform applies transformers, delimiters and escaping to a macro's value (RFC 7208 §7.3).
func (p macroPart) transform(value string) string {
	if p.parts > 0 || p.reverse || p.delims != "" {
		delims := p.delims
		if delims == "" {
			delims = "."
		}
		parts := splitAny(value, delims)
		if p.reverse {
			slices.Reverse(parts)
		}
		if p.parts > 0 && p.parts < len(parts) {
			parts = parts[len(parts)-p.parts:]
		}
		value = strings.Join(parts, ".")
	}
	if p.escape {
		value = escapeURL(value)
	}
	return value
}

// splitAny splits at each octet of delims; empty parts stay (RFC 7208 §7.3).
func splitAny(s, delims string) []string {
	var parts []string
	for {
		i := strings.IndexAny(s, delims)
		if i < 0 {
			return append(parts, s)
		}
		parts, s = append(parts, s[:i]), s[i+1:]
	}
}

// escapeURL escapes all but the unreserved characters of RFC 3986 §2.3.
func escapeURL(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; isAlnum(c) || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// dotted is an address in the form of the macro %{i}: dotted quad, or the 32 hexadecimal digits of an IPv6 address with
// dots between them.
func dotted(ip netip.Addr) string {
	if ip.Is4() {
		return ip.String()
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, 63)
	for i, octet := range ip.As16() {
		if i > 0 {
			b = append(b, '.')
		}
		b = append(b, hex[octet>>4], '.', hex[octet&15])
	}
	return string(b)
}

// value is what a macro letter stands for while the record of domain is evaluated.
func (e *evaluation) value(letter byte, domain string) string {
	switch letter {
	case 's':
		return e.local + "@" + e.senderDomain
	case 'l':
		return e.local
	case 'o':
		return e.senderDomain
	case 'd':
		return domain
	case 'i':
		return dotted(e.ip)
	case 'p':
		return e.validatedName(domain)
	case 'v':
		if e.ip.Is4() {
			return "in-addr"
		}
		return "ip6"
	case 'h':
		return e.helo
	case 'c':
		return e.ip.String()
	case 'r':
		return e.host
	default: // t
		return strconv.FormatInt(time.Now().Unix(), 10)
	}
}

// expandName expands the domain-spec of a term to a name to ask for, which may be no valid one.
func (e *evaluation) expandName(m macroString, domain string) string {
	const keep = 4 * domainname.MaxName // only the right-hand end of what is longer counts
	var b []byte
	for _, p := range m {
		b = append(b, e.expandPart(p, domain)...)
		if len(b) > 2*keep {
			b = append(b[:0], b[len(b)-keep:]...)
		}
	}
	return shorten(string(b))
}

// expandText expands an explanation; it stops where the limit is reached.
func (e *evaluation) expandText(m macroString, domain string) string {
	var b strings.Builder
	for _, p := range m {
		if b.Len() >= e.maxExplain {
			break
		}
		b.WriteString(e.expandPart(p, domain))
	}
	text := []byte(b.String())
	text = text[:min(len(text), e.maxExplain)]
	for i, c := range text { // the sender wrote what the macros expand to
		if c < ' ' || c >= 0x7f {
			text[i] = '?'
		}
	}
	return string(text)
}

func (e *evaluation) expandPart(p macroPart, domain string) string {
	if p.letter == 0 {
		return p.literal
	}
	return p.transform(e.value(p.letter, domain))
}
