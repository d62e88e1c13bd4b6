package arc

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/internal/wire"
)

// signature is one of the two signatures of a set.
type signature struct {
	wire.Signature
	body   *wire.BodyHash // of a message signature
	result Signature
}

// readMessage reads the tags of an ARC-Message-Signature: those of a DKIM-Signature except v= and, as AUID, i= (RFC 8617
// §4.1.2). What is wrong with it is in its result.
func readMessage(tags wire.Tags) *signature {
	s := new(signature)
	tags = slices.Clone(tags)
	for i, tag := range tags {
		if tag.Name == "h" {
			tags[i].Value = withoutEmpty(tag.Value)
		}
	}
	err := s.Parse(tags)
	s.describe(tags)
	switch {
	case err != nil:
	case !slices.Contains(s.Signed, "from"): // RFC 6376 §6.1.1
		err = errors.New("h= does not list From")
	case slices.Contains(s.Signed, sealName): // RFC 8617 §4.1.2
		err = errors.New("h= lists ARC-Seal")
	}
	s.refuse(syntax(err))
	return s
}

// readSeal reads the tags of an ARC-Seal (RFC 8617 §4.1.3). What is wrong with it is in its result.
func readSeal(tags wire.Tags) *signature {
	s := new(signature)
	err := s.ParseSeal(tags)
	s.describe(tags)
	if _, ok := tags.Get("h"); ok && err == nil {
		err = errors.New("h= is not allowed in a seal")
	}
	s.refuse(syntax(err))
	return s
}

// withoutEmpty takes empty names out of h=. They are against the grammar, but name nothing and are in use.
func withoutEmpty(h string) string {
	names := slices.DeleteFunc(wire.SplitList(h), func(name string) bool { return name == "" })
	return strings.Join(names, ":")
}

func syntax(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, wire.ErrAlgorithm):
		return fmt.Errorf("%w: %w", dkim.ErrAlgorithm, err)
	}
	return fmt.Errorf("%w: %w", dkim.ErrSyntax, err)
}

// describe takes over what a report needs, also of a signature that turns out invalid.
func (s *signature) describe(tags wire.Tags) {
	r := &s.result
	r.Domain, r.Selector, r.Algorithm = s.Domain, s.Selector, wire.Clean(s.Algorithm)
	r.Signed, r.Time, r.Expiration = s.Signed, s.Time, s.Expiration
	for name, at := range map[string]*string{"d": &r.Domain, "s": &r.Selector, "a": &r.Algorithm} {
		if v, ok := tags.Get(name); ok && *at == "" {
			*at = wire.Clean(strings.ToLower(v))
		}
	}
	if _, ok := tags.Get("l"); ok && s.Length != wire.Whole {
		r.BodyLimited, r.BodyLength = true, s.Length
	}
}

// refuse makes err the reason why s failed, unless it is nil or s had failed before.
func (s *signature) refuse(err error) {
	if err != nil && s.result.Err == nil {
		s.result.Status, s.result.Err = Fail, err
	}
}

// checkTimes compares x= and t= with the time now.
func (s *signature) checkTimes(now time.Time, skew time.Duration) {
	if x := s.Expiration; !x.IsZero() && now.Add(-skew).After(x) {
		s.refuse(dkim.ErrExpired)
	}
	if s.Time.After(now.Add(skew)) {
		s.refuse(dkim.ErrFuture)
	}
}

// checkBody compares bh= with the body.
func (s *signature) checkBody() {
	if s.body == nil {
		return
	}
	s.result.BodyUnsigned = s.body.Beyond
	switch {
	case s.body.Sum == nil: // RFC 6376 §3.5: l= must not be larger than the body
		s.refuse(dkim.ErrBodyLength)
	case !bytes.Equal(s.body.Sum, s.BodySum):
		s.refuse(dkim.ErrBody)
	}
}

// checkKeys looks for the key that made the signature. The first key speaks for all that did not, but one that fits
// the signature before one that does not.
func (s *signature) checkKeys(keys []*dkim.Key, digest []byte, minRSABits int) {
	var reason error
	for i, key := range keys {
		err := key.Check(s.Algorithm, minRSABits)
		if err == nil && !key.Verify(digest, s.Sum) {
			err = dkim.ErrSignature
		}
		if i == 0 || err == nil || err == dkim.ErrSignature && reason != dkim.ErrSignature {
			reason = err
			s.result.KeyBits, s.result.Testing = key.Bits(), key.Testing
		}
		if err == nil {
			s.result.Status = Pass
			return
		}
	}
	s.refuse(reason)
}
