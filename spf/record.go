package spf

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// record is a parsed SPF record (RFC 7208 §4.6.1).
type record struct {
	directives []directive
	redirect   macroString // nil: none
	exp        macroString // nil: none
}

// directive is a qualifier with a mechanism.
type directive struct {
	result Result // what the qualifier gives on a match
	name   string // lower-case
	text   string // as written, without the qualifier
	target macroString
	prefix netip.Prefix // ip4, ip6
	bits4  int          // a, mx
	bits6  int
}

// isRecord says whether a TXT record is an SPF record: its version section ends with a space or with the record
// (RFC 7208 §4.5).
func isRecord(txt string) bool {
	const version = "v=spf1"
	return len(txt) >= len(version) && strings.EqualFold(txt[:len(version)], version) &&
		(len(txt) == len(version) || txt[len(version)] == ' ')
}

// parseRecord parses all of a record: a syntax error anywhere in it voids it (RFC 7208 §4.6).
func parseRecord(txt string) (*record, error) {
	const usual = 8 // directives
	rec := record{directives: make([]directive, 0, usual)}
	for term := range strings.SplitSeq(txt[len("v=spf1"):], " ") { // terms = *( 1*SP ( directive / modifier ) )
		if term == "" {
			continue
		}
		if err := rec.parseTerm(term); err != nil {
			return nil, err
		}
	}
	return &rec, nil
}

func (rec *record) parseTerm(term string) error {
	if name, value, ok := strings.Cut(term, "="); ok && isModifierName(name) {
		return rec.parseModifier(term, lower(name), value)
	}
	d := directive{bits4: 32, bits6: 128}
	d.result, term = qualifier(term)
	d.text = term
	end := strings.IndexAny(term, ":/")
	if end < 0 {
		end = len(term)
	}
	d.name = lower(term[:end])
	if err := d.parseArgument(term[end:]); err != nil {
		return err
	}
	rec.directives = append(rec.directives, d)
	return nil
}

// qualifier takes the qualifier off a directive; without one it is Pass (RFC 7208 §4.6.2).
func qualifier(term string) (Result, string) {
	switch term[0] {
	case '+':
		return Pass, term[1:]
	case '-':
		return Fail, term[1:]
	case '~':
		return SoftFail, term[1:]
	case '?':
		return Neutral, term[1:]
	}
	return Pass, term
}

// isModifierName says whether s is a name (RFC 7208 §12).
func isModifierName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return s != "" && isAlpha(s[0])
}

// parseModifier takes redirect and exp, each at most once, and ignores every other modifier as long as its value is a
// macro-string (RFC 7208 §6).
func (rec *record) parseModifier(term, name, value string) error {
	var slot *macroString
	switch name {
	case "redirect":
		slot = &rec.redirect
	case "exp":
		slot = &rec.exp
	default:
		if _, ok := parseMacros(value, true); !ok {
			return syntax(term)
		}
		return nil
	}
	spec, ok := parseDomainSpec(value)
	if !ok || *slot != nil {
		return syntax(term)
	}
	*slot = spec
	return nil
}

// parseArgument parses what follows a mechanism's name: nothing, or text that begins with ":" or "/".
func (d *directive) parseArgument(arg string) error {
	var ok bool
	switch d.name {
	case "all":
		ok = arg == ""
	case "include", "exists":
		ok = d.parseTarget(arg)
	case "ptr":
		ok = arg == "" || d.parseTarget(arg)
	case "a", "mx":
		arg, ok = d.parseDualCIDR(arg)
		ok = ok && (arg == "" || d.parseTarget(arg))
	case "ip4", "ip6":
		ok = d.parseNetwork(arg)
	}
	if !ok {
		return syntax(d.text)
	}
	return nil
}

func (d *directive) parseTarget(arg string) (ok bool) {
	if arg == "" || arg[0] != ':' {
		return false
	}
	d.target, ok = parseDomainSpec(arg[1:])
	return ok
}

// parseDualCIDR takes a dual-cidr-length from the end of arg: [ "/" digits ] [ "//" digits ].
func (d *directive) parseDualCIDR(arg string) (rest string, ok bool) {
	if head, digits, found := cutLength(arg); found && strings.HasSuffix(head, "/") {
		if d.bits6, ok = cidrLength(digits, 128); !ok {
			return "", false
		}
		arg = head[:len(head)-1]
	}
	if head, digits, found := cutLength(arg); found {
		if d.bits4, ok = cidrLength(digits, 32); !ok {
			return "", false
		}
		arg = head
	}
	return arg, true
}

// cutLength cuts a slash with digits behind it off the end of s.
func cutLength(s string) (head, digits string, found bool) {
	head = strings.TrimRight(s, "0123456789")
	if head == s || !strings.HasSuffix(head, "/") {
		return s, "", false
	}
	return head[:len(head)-1], s[len(head):], true
}

// cidrLength is a prefix length without leading zeros.
func cidrLength(digits string, limit int) (int, bool) {
	n, err := strconv.Atoi(digits)
	if err != nil || n > limit || (len(digits) > 1 && digits[0] == '0') || !isDigit(digits[0]) {
		return 0, false
	}
	return n, true
}

// parseNetwork parses the argument of ip4 and ip6 (RFC 7208 §5.6).
func (d *directive) parseNetwork(arg string) bool {
	if arg == "" || arg[0] != ':' {
		return false
	}
	bits := 32
	if d.name == "ip6" {
		bits = 128
	}
	text, digits, found := strings.Cut(arg[1:], "/")
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" || addr.BitLen() != bits {
		return false
	}
	if found {
		if digits == "" {
			return false
		}
		var ok bool
		if bits, ok = cidrLength(digits, bits); !ok {
			return false
		}
	}
	d.prefix = netip.PrefixFrom(addr, bits)
	return true
}

// parseDomainSpec parses a macro-string that ends with a macro or with a dot and a top-level label, which may have a
// dot behind it (RFC 7208 §7.1).
func parseDomainSpec(s string) (macroString, bool) {
	spec, ok := parseMacros(s, false)
	if !ok || len(spec) == 0 {
		return nil, false
	}
	last := spec[len(spec)-1]
	if last.letter != 0 || last.percent {
		return spec, true
	}
	tail := strings.TrimSuffix(last.literal, ".")
	dot := strings.LastIndexByte(tail, '.')
	return spec, dot >= 0 && isTopLabel(tail[dot+1:])
}

// isTopLabel: letters, digits and hyphens, no hyphen at either end, not digits only.
func isTopLabel(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' || strings.Trim(s, "0123456789") == "" {
		return false
	}
	for i := range len(s) {
		if !isAlnum(s[i]) && s[i] != '-' {
			return false
		}
	}
	return true
}

func syntax(term string) error {
	return fmt.Errorf("%w in %.200q", ErrSyntax, term)
}
