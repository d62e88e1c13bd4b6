package dkim

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks/dkim/internal/wire"
)

const fieldName = "dkim-signature"

// signature is one DKIM-Signature field, read.
type signature struct {
	result Result
	at     int    // where its field begins in the header
	field  string // the field with the value of b= deleted
	b, bh  []byte
	full   string // b= without white space, for Prefix

	keyType       string // "rsa" or "ed25519"
	relaxedHeader bool
	relaxedBody   bool
	strictDomain  string // the domain of i=
	body          *wire.BodyHash
	keys          *lookup
}

// parseSignature reads a signature field; froms is how many From fields the message has. A field that breaks a rule has
// its status set.
func parseSignature(f wire.Field, froms int) *signature {
	s := &signature{at: f.At}
	value := string(f.Value())
	tags, err := wire.ParseTags(value)
	if err != nil {
		s.refuse(PermError, fmt.Errorf("%w: %w", ErrSyntax, err))
		return s
	}
	s.field = string(f.Raw[:len(f.Raw)-len(value)]) + tags.Without(value, "b")
	s.describe(tags)
	if err := s.parse(tags); err != nil {
		s.refuse(PermError, err)
	}
	s.result.FromOversigned = count(s.result.Signed, "from") > froms
	return s
}

// refuse ends the evaluation of s, unless it has ended before.
func (s *signature) refuse(status Status, err error) {
	if s.result.Status == "" {
		s.result.Status, s.result.Err = status, err
	}
}

// describe takes over what a report needs, also of a signature that turns out invalid.
func (s *signature) describe(tags wire.Tags) {
	b, _ := tags.Get("b")
	s.full = strings.Map(base64Only, b)
	d, _ := tags.Get("d")
	s.result.Domain = clean(strings.ToLower(d))
	if ascii, err := toASCII(d); err == nil {
		s.result.Domain = ascii
	}
	sel, _ := tags.Get("s")
	s.result.Selector = clean(sel)
	a, _ := tags.Get("a")
	s.result.Algorithm = clean(strings.ToLower(a))
}

// parse checks a signature field as RFC 6376 §6.1.1 asks: "meticulously".
func (s *signature) parse(tags wire.Tags) error {
	if v, ok := tags.Get("v"); ok && v != "1" {
		return fmt.Errorf("%w: incompatible version v=%.20s", ErrSyntax, clean(v))
	}
	for _, name := range []string{"v", "a", "b", "bh", "d", "h", "s"} {
		if v, ok := tags.Get(name); !ok || v == "" {
			return fmt.Errorf("%w: required tag %s= is missing", ErrSyntax, name)
		}
	}
	steps := []func(wire.Tags) error{
		s.parseDomain, s.parseIdentifier, s.parseSigned, s.parseAlgorithm, s.parseCanonicalization,
		s.parseHashes, s.parseLength, s.parseTimes, parseQuery,
	}
	for _, step := range steps {
		if err := step(tags); err != nil {
			return err
		}
	}
	return nil
}

func (s *signature) parseDomain(tags wire.Tags) error {
	d, _ := tags.Get("d")
	domain, err := toASCII(d)
	if err != nil {
		return fmt.Errorf("%w: d= %w", ErrSyntax, err)
	}
	sel, _ := tags.Get("s")
	selector, err := toASCII(sel)
	if err != nil {
		return fmt.Errorf("%w: s= %w", ErrSyntax, err)
	}
	s.result.Domain, s.result.Selector = domain, selector
	if len(keyName(selector, domain)) > maxDomain+len(".") {
		return fmt.Errorf("%w: s= and d= together are too long for the DNS", ErrSyntax)
	}
	return nil
}

// parseIdentifier reads i=, whose domain must be that of d= or below it.
func (s *signature) parseIdentifier(tags wire.Tags) error {
	s.result.Identifier, s.strictDomain = "@"+s.result.Domain, s.result.Domain
	i, ok := tags.Get("i")
	if !ok {
		return nil
	}
	id, err := decodeQP(wire.StripFWS(i))
	if err != nil {
		return fmt.Errorf("%w: i= %w", ErrSyntax, err)
	}
	at := strings.LastIndexByte(id, '@')
	if at < 0 {
		return fmt.Errorf("%w: i= has no domain", ErrSyntax)
	}
	domain, err := toASCII(id[at+1:])
	if err != nil {
		return fmt.Errorf("%w: i= %w", ErrSyntax, err)
	}
	if domain != s.result.Domain && !strings.HasSuffix(domain, "."+s.result.Domain) {
		return fmt.Errorf("%w: the domain of i= is not within d=", ErrSyntax)
	}
	s.result.Identifier, s.strictDomain = clean(id), domain
	return nil
}

func (s *signature) parseSigned(tags wire.Tags) error {
	h, _ := tags.Get("h")
	if strings.Count(h, ":") >= MaxSignedNames {
		return fmt.Errorf("%w: h= lists more than %d names", ErrSyntax, MaxSignedNames)
	}
	names := wire.SplitList(strings.ToLower(h))
	for _, name := range names {
		if !wire.IsFieldName(name) {
			return fmt.Errorf("%w: h= lists %.40q, which is no field name", ErrSyntax, name)
		}
	}
	s.result.Signed = names
	if count(names, "from") == 0 {
		return fmt.Errorf("%w: From is not signed", ErrSyntax)
	}
	return nil
}

func (s *signature) parseAlgorithm(wire.Tags) error {
	switch s.result.Algorithm {
	case "rsa-sha256":
		s.keyType = keyRSA
	case "ed25519-sha256":
		s.keyType = keyEd25519
	case "rsa-sha1": // RFC 8301 §3.1: must not be used for verifying, has permanently failed
		return fmt.Errorf("%w: rsa-sha1 is no longer valid", ErrAlgorithm)
	default:
		return fmt.Errorf("%w: a=%.40s is unknown", ErrAlgorithm, s.result.Algorithm)
	}
	return nil
}

func (s *signature) parseCanonicalization(tags wire.Tags) error {
	c, ok := tags.Get("c")
	if !ok {
		return nil // simple/simple
	}
	var err error
	s.relaxedHeader, s.relaxedBody, err = parseCanonicalization(strings.ToLower(c))
	if err != nil {
		return fmt.Errorf("%w: c=%.40s is unknown", ErrSyntax, clean(c))
	}
	return nil
}

func (s *signature) parseHashes(tags wire.Tags) error {
	var err error
	b, _ := tags.Get("b")
	if s.b, err = base64.StdEncoding.DecodeString(wire.StripFWS(b)); err != nil {
		return fmt.Errorf("%w: b= is no base64", ErrSyntax)
	}
	bh, _ := tags.Get("bh")
	if s.bh, err = base64.StdEncoding.DecodeString(wire.StripFWS(bh)); err != nil {
		return fmt.Errorf("%w: bh= is no base64", ErrSyntax)
	}
	return nil
}

func (s *signature) parseLength(tags wire.Tags) error {
	l, ok := tags.Get("l")
	if !ok {
		return nil
	}
	s.result.BodyLimited = true
	n, err := parseNumber(l, 76)
	if err != nil {
		return fmt.Errorf("%w: l= %w", ErrSyntax, err)
	}
	s.result.BodyLength = n
	return nil
}

func (s *signature) parseTimes(tags wire.Tags) error {
	for name, at := range map[string]*time.Time{"t": &s.result.Time, "x": &s.result.Expiration} {
		v, ok := tags.Get(name)
		if !ok {
			continue
		}
		n, err := parseNumber(v, 76)
		if err != nil {
			return fmt.Errorf("%w: %s= %w", ErrSyntax, name, err)
		}
		*at = time.Unix(min(n, maxTime), 0).UTC()
	}
	if t, x := s.result.Time, s.result.Expiration; !t.IsZero() && !x.IsZero() && !x.After(t) {
		return fmt.Errorf("%w: x= is not after t=", ErrSyntax) // RFC 6376 §3.5
	}
	return nil
}

// maxTime is the largest t= and x= that 12 digits can say; larger ones may count as infinite (RFC 6376 §3.5).
const maxTime = 999_999_999_999

// parseQuery looks for the one query method there is; unknown ones are ignored.
func parseQuery(tags wire.Tags) error {
	q, ok := tags.Get("q")
	if !ok {
		return nil
	}
	for _, method := range wire.SplitList(q) {
		if strings.EqualFold(method, "dns/txt") {
			return nil
		}
	}
	return fmt.Errorf("%w: q= offers no known query method", ErrSyntax)
}

// parseCanonicalization reads c= in lower case: header/body, or the header's alone (RFC 6376 §3.5).
func parseCanonicalization(c string) (header, body bool, err error) {
	first, second, ok := strings.Cut(c, "/")
	if !ok {
		second = "simple"
	}
	known := func(s string) bool { return s == "simple" || s == "relaxed" }
	if !known(first) || !known(second) {
		return false, false, ErrSyntax
	}
	return first == "relaxed", second == "relaxed", nil
}

// parseNumber reads an unsigned decimal of at most so many digits; what does not fit into an int64 becomes its maximum.
func parseNumber(s string, digits int) (int64, error) {
	if s == "" || len(s) > digits {
		return 0, fmt.Errorf("has %d digits", len(s))
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, fmt.Errorf("is no number")
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 1<<63 - 1, nil
	}
	return n, nil
}

// decodeQP decodes dkim-quoted-printable without its white space (RFC 6376 §2.11).
func decodeQP(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '=' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) || strings.ContainsAny(s[i+1:i+3], "abcdef") {
			return "", fmt.Errorf("is no dkim-quoted-printable")
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", fmt.Errorf("is no dkim-quoted-printable")
		}
		b.WriteByte(byte(n))
		i += 2
	}
	return b.String(), nil
}

func count(names []string, name string) int {
	n := 0
	for _, s := range names {
		if s == name {
			n++
		}
	}
	return n
}

func base64Only(r rune) rune {
	if r < 0x80 && (r == '+' || r == '/' || r == '=' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z') {
		return r
	}
	return -1
}

// clean makes text of a message fit for logs and header fields.
func clean(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "?")
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s)
}
