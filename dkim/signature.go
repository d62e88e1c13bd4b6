package dkim

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mailbricks/mailbricks/dkim/internal/wire"
	"github.com/mailbricks/mailbricks/internal/domainname"
)

const fieldName = "dkim-signature"

// signature is one DKIM-Signature field, read.
type signature struct {
	wire.Signature
	result Result
	at     int    // where its field begins in the header
	field  string // the field with the value of b= deleted
	full   string // b= without white space, for Prefix

	identity string // the domain of i=
	body     *wire.BodyHash
	keys     *lookup
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
	if err := s.parse(tags); errors.Is(err, wire.ErrAlgorithm) {
		s.refuse(PermError, fmt.Errorf("%w: %w", ErrAlgorithm, err))
	} else if err != nil {
		s.refuse(PermError, fmt.Errorf("%w: %w", ErrSyntax, err))
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
	s.result.Domain = wire.Clean(strings.ToLower(d))
	if ascii, err := wire.ASCII(d); err == nil {
		s.result.Domain = ascii
	}
	sel, _ := tags.Get("s")
	s.result.Selector = wire.Clean(sel)
	a, _ := tags.Get("a")
	s.result.Algorithm = wire.Clean(strings.ToLower(a))
}

// parse checks a signature field as RFC 6376 §6.1.1 asks: "meticulously".
func (s *signature) parse(tags wire.Tags) error {
	if v, ok := tags.Get("v"); ok && v != "1" {
		return fmt.Errorf("incompatible version v=%.20s", wire.Clean(v))
	}
	if err := wire.Require(tags, "v"); err != nil {
		return err
	}
	err := s.Parse(tags)
	r := &s.result
	r.Signed, r.Time, r.Expiration = s.Signed, s.Time, s.Expiration
	if _, ok := tags.Get("l"); ok {
		r.BodyLimited, r.BodyLength = true, max(s.Length, 0)
	}
	if err != nil {
		return err
	}
	r.Domain, r.Selector, r.Algorithm = s.Domain, s.Selector, s.Algorithm
	if !slices.Contains(s.Signed, "from") {
		return errors.New("h= does not list From")
	}
	return s.parseIdentifier(tags)
}

// parseIdentifier reads i=, whose domain must be that of d= or below it.
func (s *signature) parseIdentifier(tags wire.Tags) error {
	s.result.Identifier, s.identity = "@"+s.Domain, s.Domain
	i, ok := tags.Get("i")
	if !ok {
		return nil
	}
	id, err := decodeQP(wire.StripFWS(i))
	if err != nil {
		return fmt.Errorf("i= %w", err)
	}
	at := strings.LastIndexByte(id, '@')
	if at < 0 {
		return errors.New("i= has no domain")
	}
	domain, err := wire.ASCII(id[at+1:])
	if err != nil {
		return fmt.Errorf("i= %w", err)
	}
	if !domainname.Within(domain, s.Domain) {
		return errors.New("the domain of i= is not within d=")
	}
	s.result.Identifier, s.identity = wire.Clean(id), domain
	return nil
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
			return "", errors.New("is no dkim-quoted-printable")
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", errors.New("is no dkim-quoted-printable")
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
	if r < 0x80 && (r == '=' || wire.Base64Octet(byte(r))) {
		return r
	}
	return -1
}
