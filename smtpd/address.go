package smtpd

import (
	"errors"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/fieldtext"
	"github.com/mailbricks/mailbricks/internal/serving"
)

// Limits of addresses in octets (RFC 5321 §4.5.3.1).
const (
	maxDomain = 255
	maxPath   = 256 // with its angle brackets
)

// What can be wrong with an address.
var (
	errBrackets     = errors.New("address must be in angle brackets")
	errUnqualified  = errors.New("address has no domain")
	errLocalPart    = errors.New("local part is malformed")
	errDomain       = errors.New("domain is malformed")
	errLiteral      = errors.New("address literal is malformed")
	errRoute        = errors.New("source route is malformed")
	errUTF8         = errors.New("address is not UTF-8")
	errLocalTooLong = errors.New("local part is too long")
	errDomainLong   = errors.New("domain is too long")
	errPathLong     = errors.New("path is too long")
	errEmptyPath    = errors.New("address is empty")
)

// ParseAddress checks a mailbox address, without angle brackets, by the syntax of RFC 5321 §4.1.2 with what RFC 6531 §3.3
// adds to it, and the lengths of RFC 5321 §4.5.3.1. It gives the address with the least quoting of its local part that
// has the same meaning ("ann"@example.com is ann@example.com); the domain stays as it is. What is wrong is told by the error's
// text alone, which is fit for a reply.
//
// A label of a domain in UTF-8 must be normalised and in order otherwise (hyphens, joiners, directions), as UTS #46 checks it;
// of the characters that UTS #46 lets pass and IDNA 2008 does not, such as symbols, none is refused.
func ParseAddress(address string) (string, error) {
	if strings.HasPrefix(address, "@") { // no source route here
		return "", errLocalPart
	}
	return parsePath(address, DefaultMaxLocalPart)
}

// splitPath cuts the arguments of MAIL or RCPT into the path without its brackets and the words of the parameters.
func splitPath(arg string) (path string, words []string, reply *mailbricks.Reply) {
	if !strings.HasPrefix(arg, "<") {
		return "", nil, badArgument("The " + errBrackets.Error())
	}
	end := pathEnd(arg)
	if end < 0 {
		return "", nil, badArgument("The " + errBrackets.Error())
	}
	rest := arg[end+1:]
	if rest != "" && rest[0] != ' ' {
		return "", nil, badArgument("There is something behind the address")
	}
	return arg[1:end], strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' || r == '\t' }), nil
}

// pathEnd is the index of the ">" that ends the path at the start of s, or -1. One within a quoted string does not.
func pathEnd(s string) int {
	quoted := false
	for i := 1; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '>' && !quoted:
			return i
		}
	}
	return -1
}

// parsePath checks a path without its angle brackets and gives its mailbox; a source route is dropped (RFC 5321 §3.3 and
// appendix C). For a local part alone it gives that and errUnqualified.
func parsePath(path string, maxLocal int) (string, error) {
	switch {
	case path == "":
		return "", errEmptyPath
	case len(path)+2 > maxPath:
		return "", errPathLong
	case !utf8.ValidString(path):
		return "", errUTF8
	}
	if path[0] == '@' {
		var err error
		if path, err = dropRoute(path); err != nil {
			return "", err
		}
	}
	local, rest, err := cutLocalPart(path)
	if err != nil {
		return "", err
	}
	if serving.Over(len(local), maxLocal) {
		return "", errLocalTooLong
	}
	if rest == "" {
		return local, errUnqualified
	}
	domain := rest[1:] // behind the "@"
	if err := checkDomain(domain); err != nil {
		return "", err
	}
	if local == path[:len(path)-len(rest)] { // not quoted
		return path, nil
	}
	return local + "@" + domain, nil
}

// dropRoute gives what is behind a source route "@a,@b:".
func dropRoute(path string) (string, error) {
	for rest := path; ; {
		hop, at := strings.CutPrefix(rest, "@")
		end := strings.IndexAny(hop, ",:")
		if strings.HasPrefix(hop, "[") { // an IPv6 literal has colons of its own
			end = strings.IndexByte(hop, ']') + 1
		}
		if !at || end <= 0 || end == len(hop) || checkDomain(hop[:end]) != nil {
			return "", errRoute
		}
		separator, behind := hop[end], hop[end+1:]
		switch {
		case separator == ':' && behind != "" && behind[0] != '@':
			return behind, nil
		case separator != ',':
			return "", errRoute
		}
		rest = behind
	}
}

// cutLocalPart cuts a valid local part off, and gives it with the least quoting; rest is empty or begins with "@".
func cutLocalPart(s string) (local, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		content, length, ok := unquote(s)
		if !ok {
			return "", "", errLocalPart
		}
		local, rest = quoteLocal(content), s[length:]
	} else {
		at := strings.IndexByte(s, '@')
		if at < 0 {
			at = len(s)
		}
		local, rest = s[:at], s[at:]
		if !isDotString(local) {
			return "", "", errLocalPart
		}
	}
	if rest != "" && rest[0] != '@' {
		return "", "", errLocalPart
	}
	return local, rest, nil
}

// unquote gives the content of the quoted string at the start of s and its length with the quotes (RFC 5321 §4.1.2).
func unquote(s string) (content string, length int, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch ch := s[i]; {
		case ch == '"':
			return b.String(), i + 1, true
		case ch == '\\':
			if i++; i == len(s) || s[i] < ' ' || s[i] > '~' {
				return "", 0, false
			}
			b.WriteByte(s[i])
		case ch < ' ' || ch == 0x7f, isC1(s[i:]):
			return "", 0, false
		default:
			b.WriteByte(ch)
		}
	}
	return "", 0, false
}

// isC1 says whether s begins with a control character of those beyond US-ASCII (U+0080 to U+009F).
func isC1(s string) bool { return len(s) > 1 && s[0] == 0xc2 && s[1] < 0xa0 }

// quoteLocal is the local part that means content, with as little quoting as can be.
func quoteLocal(content string) string {
	if isDotString(content) {
		return content
	}
	return fieldtext.Quote(content)
}

// isDotString says whether s is a Dot-string: atoms with single dots between them.
func isDotString(s string) bool {
	if isPlainDomain(s) { // as simple as most are
		return true
	}
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for _, r := range atom {
			if r < utf8.RuneSelf && !isAtext(byte(r)) || r >= 0x80 && r < 0xa0 { // C1 controls are controls
				return false
			}
		}
	}
	return true
}

// isAtext says whether b is atext (RFC 5322 §3.2.3).
func isAtext(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", b) >= 0
}

// labels checks U-labels (RFC 5890 §2.3.2.1). Package domainname will not do: it takes what only becomes one by mapping, and other
// dots, and an address stays as it was given.
var labels = idna.New(idna.ValidateForRegistration(), idna.VerifyDNSLength(true))

// checkDomain says what is wrong with a domain or address literal.
func checkDomain(domain string) error {
	if len(domain) > maxDomain {
		return errDomainLong
	}
	if literal, ok := strings.CutPrefix(domain, "["); ok {
		if !isLiteral(literal) {
			return errLiteral
		}
		return nil
	}
	if isPlainDomain(domain) { // nearly all
		return nil
	}
	length := -1 // of the domain as the DNS has it, without the root
	for label := range strings.SplitSeq(domain, ".") {
		label, ok := ldhLabel(label)
		if !ok {
			return errDomain
		}
		if length += len(label) + 1; length > maxDomain {
			return errDomainLong
		}
	}
	return nil
}

// ldhLabel gives a label of a domain as the DNS has it. One that looks like an A-label may be any: whether it exists the DNS
// knows, and there are such that IDNA 2008 does not allow.
func ldhLabel(label string) (string, bool) {
	if !isASCII(label) {
		var err error
		if label, err = labels.ToASCII(strings.ToLower(label)); err != nil {
			return "", false
		}
	}
	if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' { // RFC 1035 §2.3.4
		return "", false
	}
	return label, isLDH(label)
}

// isPlainDomain says whether domain has labels of letters and digits with single hyphens between them: none is an A-label.
func isPlainDomain(domain string) bool {
	start := 0 // of the label
	for i := range len(domain) {
		switch b := domain[i]; {
		case b == '-' || b == '.':
			if i == start || i+1 == len(domain) || domain[i+1] == '-' || domain[i+1] == '.' {
				return false
			}
			if b == '.' {
				start = i + 1
			}
		case !isAlnum(b):
			return false
		}
		if i-start >= 63 { // RFC 1035 §2.3.4
			return false
		}
	}
	return domain != ""
}

// isLDH says whether s has letters, digits and hyphens only.
func isLDH(s string) bool {
	for i := range len(s) {
		if s[i] != '-' && !isAlnum(s[i]) {
			return false
		}
	}
	return true
}

func isAlnum(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
}

// isLiteral checks an address literal behind its "[" (RFC 5321 §4.1.3). Of the tagged forms only IPv6 is registered.
func isLiteral(s string) bool {
	s, ok := strings.CutSuffix(s, "]")
	if !ok {
		return false
	}
	if len(s) > 5 && strings.EqualFold(s[:5], "IPv6:") {
		return isIPv6(s[5:])
	}
	return isIPv4(s)
}

// isIPv4 checks an IPv4-address-literal, whose numbers may have zeros in front (RFC 5321 §4.1.3).
func isIPv4(s string) bool {
	numbers := 0
	for snum := range strings.SplitSeq(s, ".") {
		if n, ok := number(snum, 3); !ok || n > 255 {
			return false
		}
		numbers++
	}
	return numbers == 4
}

// isIPv6 checks an IPv6-addr (RFC 5321 §4.1.3), in which "::" stands for two groups at least.
func isIPv6(s string) bool {
	if colon := strings.LastIndexByte(s, ':'); colon >= 0 && isIPv4(s[colon+1:]) {
		s = s[:colon+1] + "0:0" // as long as that in groups
	}
	addr, err := netip.ParseAddr(s)
	if err != nil || !addr.Is6() || addr.Zone() != "" {
		return false
	}
	groups := 0
	for group := range strings.SplitSeq(s, ":") {
		if group != "" {
			groups++
		}
	}
	return groups == 8 || groups <= 6
}

// validHello says whether name is fit for EHLO: a domain, which in practice may have underscores and a dot at its end, or
// something that looks like an address literal (RFC 5321 §4.1.1.1; what it names is no reason to refuse, §4.1.4).
func validHello(name string) bool {
	if name == "" || len(name) > maxDomain {
		return false
	}
	if literal, ok := strings.CutPrefix(name, "["); ok {
		literal, ok = strings.CutSuffix(literal, "]")
		return ok && literal != "" && strings.Trim(literal, "0123456789abcdefABCDEFIPVipv:.") == ""
	}
	return isHostname(name)
}

// anyHello gives a name that is not fit for EHLO as it is kept: any word of printable characters will do. Clients have also such
// as are no UTF-8.
func anyHello(name string) (string, bool) {
	if name == "" || len(name) > maxDomain {
		return "", false
	}
	name = strings.ToValidUTF8(name, "?")
	return name, !strings.ContainsFunc(name, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) })
}

// isASCII says whether s has no octet above 127.
func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
