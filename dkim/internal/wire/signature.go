package wire

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MaxSignedNames is how many names h= may list.
const MaxSignedNames = 4096

// Signature is what the tags of signature fields say that DKIM and ARC have in common (RFC 6376 §3.5, RFC 8617 §4.1).
type Signature struct {
	Domain    string // d= with A-labels, in lower case
	Selector  string // s= likewise
	Algorithm string // a= in lower case
	KeyType   string // that Algorithm needs
	Sum       []byte // b=
	Time      time.Time

	Signed        []string // h= in lower case
	RelaxedHeader bool     // c=
	RelaxedBody   bool
	BodySum       []byte // bh=
	Length        int64  // l=, or Whole
	Expiration    time.Time
}

// ParseSeal reads d=, s=, a=, b= and t=: all that an ARC-Seal has of a signature. Its errors are for a person, and wrap
// ErrAlgorithm where a= is the reason. What was read before an error stays in s.
func (s *Signature) ParseSeal(tags Tags) error {
	if err := Require(tags, "a", "b", "d", "s"); err != nil {
		return err
	}
	if err := s.parsePlace(tags); err != nil {
		return err
	}
	var err error
	if s.Sum, err = parseBase64(tags, "b"); err != nil {
		return err
	}
	if s.Time, err = parseTime(tags, "t"); err != nil {
		return err
	}
	a, _ := tags.Get("a")
	s.Algorithm = strings.ToLower(a)
	s.KeyType, err = KeyType(s.Algorithm)
	return err
}

// Parse reads what ParseSeal does and h=, c=, bh=, l=, x= and q=: all that DKIM-Signature and ARC-Message-Signature
// have in common.
func (s *Signature) Parse(tags Tags) error {
	s.Length = Whole
	if err := Require(tags, "bh", "h"); err != nil {
		return err
	}
	if err := s.ParseSeal(tags); err != nil {
		return err
	}
	for _, step := range []func(Tags) error{s.parseSigned, s.parseCanonicalization, s.parseBody, s.parseExpiration, parseQuery} {
		if err := step(tags); err != nil {
			return err
		}
	}
	return nil
}

// Require says which of the tags is missing or empty.
func Require(tags Tags, names ...string) error {
	for _, name := range names {
		switch v, ok := tags.Get(name); {
		case !ok:
			return fmt.Errorf("required tag %s= is missing", name)
		case v == "":
			return fmt.Errorf("required tag %s= is empty", name)
		}
	}
	return nil
}

// parsePlace reads where the key is.
func (s *Signature) parsePlace(tags Tags) error {
	d, _ := tags.Get("d")
	domain, err := ASCII(d)
	if err != nil {
		return fmt.Errorf("d= %w", err)
	}
	sel, _ := tags.Get("s")
	selector, err := ASCII(sel)
	if err != nil {
		return fmt.Errorf("s= %w", err)
	}
	s.Domain, s.Selector = domain, selector
	if _, err := KeyName(selector, domain); err != nil {
		return fmt.Errorf("s= and d= %w", err)
	}
	return nil
}

func (s *Signature) parseSigned(tags Tags) error {
	h, _ := tags.Get("h")
	if strings.Count(h, ":") >= MaxSignedNames {
		return fmt.Errorf("h= lists more than %d names", MaxSignedNames)
	}
	names := SplitList(strings.ToLower(h))
	for _, name := range names {
		if !IsFieldName(name) {
			return fmt.Errorf("h= lists %.40q, which is no field name", name)
		}
	}
	s.Signed = names
	return nil
}

func (s *Signature) parseCanonicalization(tags Tags) error {
	c, ok := tags.Get("c")
	if !ok {
		return nil // simple/simple
	}
	var err error
	s.RelaxedHeader, s.RelaxedBody, err = ParseCanonicalization(c)
	return err
}

// ParseCanonicalization reads c=: header/body, or the header's alone (RFC 6376 §3.5).
func ParseCanonicalization(c string) (header, body bool, err error) {
	first, second, ok := strings.Cut(strings.ToLower(c), "/")
	if !ok {
		second = "simple"
	}
	known := func(s string) bool { return s == "simple" || s == "relaxed" }
	if !known(first) || !known(second) {
		return false, false, fmt.Errorf("c=%.40s is unknown", Clean(c))
	}
	return first == "relaxed", second == "relaxed", nil
}

// maxDigits is how long l=, t= and x= may be (RFC 6376 §3.5 says so of l=).
const maxDigits = 76

func (s *Signature) parseBody(tags Tags) error {
	var err error
	if s.BodySum, err = parseBase64(tags, "bh"); err != nil {
		return err
	}
	l, ok := tags.Get("l")
	if !ok {
		return nil
	}
	if s.Length, err = parseNumber(l); err != nil {
		return fmt.Errorf("l= %w", err)
	}
	return nil
}

func (s *Signature) parseExpiration(tags Tags) error {
	var err error
	if s.Expiration, err = parseTime(tags, "x"); err != nil {
		return err
	}
	if t, x := s.Time, s.Expiration; !t.IsZero() && !x.IsZero() && !x.After(t) {
		return errors.New("x= is not after t=") // RFC 6376 §3.5
	}
	return nil
}

// parseQuery looks for the one query method there is; unknown ones are ignored.
func parseQuery(tags Tags) error {
	q, ok := tags.Get("q")
	if !ok {
		return nil
	}
	for _, method := range SplitList(q) {
		if strings.EqualFold(method, "dns/txt") {
			return nil
		}
	}
	return errors.New("q= offers no known query method")
}

func parseBase64(tags Tags, name string) ([]byte, error) {
	v, _ := tags.Get(name)
	p, err := DecodeBase64(v)
	if err != nil {
		return nil, fmt.Errorf("%s= %w", name, err)
	}
	return p, nil
}

// maxTime is the largest time that 12 digits can say; larger ones may count as infinite (RFC 6376 §3.5).
const maxTime = 999_999_999_999

func parseTime(tags Tags, name string) (time.Time, error) {
	v, ok := tags.Get(name)
	if !ok {
		return time.Time{}, nil
	}
	n, err := parseNumber(v)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s= %w", name, err)
	}
	return time.Unix(min(n, maxTime), 0).UTC(), nil
}

// parseNumber reads an unsigned decimal; what does not fit into an int64 becomes its maximum.
func parseNumber(s string) (int64, error) {
	if s == "" || len(s) > maxDigits {
		return 0, fmt.Errorf("has %d digits", len(s))
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, errors.New("is no number")
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 1<<63 - 1, nil
	}
	return n, nil
}
