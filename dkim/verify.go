package dkim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/mailbricks/mailbricks/dkim/internal/wire"
)

// Verifier verifies the signatures of one message that is written to it. It need not be closed or written to the end:
// it holds nothing but memory, which grows with the header (not the body) up to a few times Options.MaxHeader.
type Verifier struct {
	resolver Resolver
	opts     Options

	split   wire.Splitter
	parsed  bool
	sigs    []*signature
	header  wire.Header
	body    wire.Body
	skipped int // signatures beyond Options.MaxSignatures
	tooBig  bool
	results []Result // not nil: done
}

// NewVerifier makes a Verifier. A nil resolver stands for net.DefaultResolver.
func NewVerifier(resolver Resolver, opts Options) *Verifier {
	opts = opts.withDefaults()
	return &Verifier{resolver: resolverOr(resolver), opts: opts, split: wire.Splitter{Limit: opts.MaxHeader}}
}

// Verify verifies the signatures of the message that r has. It fails only when r does.
func Verify(ctx context.Context, r io.Reader, resolver Resolver, opts Options) ([]Result, error) {
	v := NewVerifier(resolver, opts)
	if _, err := io.Copy(v, r); err != nil {
		return nil, fmt.Errorf("dkim: reading the message: %w", err)
	}
	return v.Results(ctx), nil
}

var errDone = errors.New("dkim: write after Results")

// Write takes the next piece of the message. It fails only after Results.
func (v *Verifier) Write(p []byte) (int, error) {
	if v.results != nil {
		return 0, errDone
	}
	body, err := v.split.Feed(p)
	if err != nil {
		v.tooBig = true
	}
	if v.split.Done() && !v.parsed {
		v.parseHeader()
	}
	v.body.Write(body)
	return len(p), nil
}

// Results ends the message, asks for the keys and gives one result a signature, in the order of the header. A message
// without a signature has one result too, None; so there is always at least one. It can be called again.
func (v *Verifier) Results(ctx context.Context) []Result {
	if v.results != nil {
		return v.results
	}
	if !v.parsed {
		v.parseHeader()
	}
	v.body.Close()
	ctx, cancel := context.WithTimeout(ctx, v.opts.LookupTimeout)
	defer cancel()
	lookupKeys(ctx, v.resolver, v.sigs)
	for _, s := range v.sigs {
		v.evaluate(s)
	}
	v.results = v.collect()
	return v.results
}

// fieldsPerSignature times Options.MaxSignatures is how many fields are read, so that invalid ones, which cost no look-up,
// do not hide those below them.
const fieldsPerSignature = 4

// parseHeader reads the signatures when the header is complete, so that the body can be hashed as it comes.
func (v *Verifier) parseHeader() {
	v.parsed = true
	if v.tooBig {
		return
	}
	v.header = v.split.Header()
	fields, all := v.header.First(fieldName, fieldsPerSignature*v.opts.MaxSignatures)
	_, froms := v.header.First("from", 0)
	evaluated := 0
	for _, field := range fields {
		if evaluated == v.opts.MaxSignatures {
			break
		}
		s := parseSignature(field, froms)
		v.checkTimes(s)
		if s.result.Status == "" {
			s.body = v.body.Hash(s.RelaxedBody, s.Length)
			evaluated++
		}
		v.sigs = append(v.sigs, s)
	}
	v.skipped = all - len(v.sigs)
}

func (v *Verifier) checkTimes(s *signature) {
	now := v.opts.Now()
	if x := s.result.Expiration; !x.IsZero() && now.Add(-v.opts.MaxSkew).After(x) {
		s.refuse(PermError, ErrExpired)
	}
	if t := s.result.Time; t.After(now.Add(v.opts.MaxSkew)) {
		s.refuse(Policy, ErrFuture)
	}
}

// evaluate is RFC 6376 §6.1.2 from step 2 and §6.1.3, for the keys that were found.
func (v *Verifier) evaluate(s *signature) {
	if s.result.Status != "" {
		return
	}
	s.result.BodyUnsigned = s.body.Beyond
	if err := s.keys.err; errors.Is(err, ErrLookup) {
		s.refuse(TempError, err)
		return
	} else if err != nil {
		s.refuse(PermError, err)
		return
	}
	digest := wire.Digest(v.header, wire.Form{Names: s.Signed, Skip: s.at, Field: s.field, Relaxed: s.RelaxedHeader})
	for i, key := range s.keys.keys {
		status, err := v.try(s, key, digest)
		// The first key speaks for all that fail, but one that fits the signature before one that does not.
		if i == 0 || status == Pass || status == Fail && s.result.Status != Fail {
			s.result.Status, s.result.Err = status, err
			s.result.KeyBits, s.result.Testing, s.result.Strict = key.Bits(), key.Testing, key.Strict
		}
		if status == Pass {
			return
		}
	}
}

func (v *Verifier) try(s *signature, key *Key, digest []byte) (Status, error) {
	err := key.Check(s.Algorithm, v.opts.MinRSABits)
	switch {
	case errors.Is(err, ErrWeakKey) && key.Bits() >= MinRSABits, errors.Is(err, ErrKeyTooLarge):
		return Policy, err
	case err != nil: // RFC 8301 §3.2 has less than MinRSABits among it
		return PermError, err
	case key.Strict && s.identity != s.Domain: // RFC 6376 §3.6.1, t=s
		return PermError, fmt.Errorf("%w: its t=s forbids that i= is in a subdomain", ErrKeyUse)
	case s.body.Sum == nil: // RFC 6376 §3.5: l= must not be larger than the body
		return PermError, ErrBodyLength
	case !bytes.Equal(s.body.Sum, s.BodySum):
		return Fail, ErrBody
	case !key.Verify(digest, s.Sum):
		return Fail, ErrSignature
	}
	return Pass, nil
}

// collect makes the list of results.
func (v *Verifier) collect() []Result {
	if v.tooBig {
		err := fmt.Errorf("%w: more than %d octets", ErrHeaderTooLarge, v.opts.MaxHeader)
		return []Result{{Status: PermError, Err: err}}
	}
	if len(v.sigs) == 0 {
		return []Result{{Status: None}}
	}
	setPrefixes(v.sigs)
	results := make([]Result, 0, len(v.sigs)+1)
	for _, s := range v.sigs {
		results = append(results, s.result)
	}
	if v.skipped > 0 {
		err := fmt.Errorf("%w: %d more were not evaluated", ErrTooManySignatures, v.skipped)
		results = append(results, Result{Status: Neutral, Err: err})
	}
	return results
}

// setPrefixes gives each result as much of b= as tells it from the others (RFC 6008 §4).
func setPrefixes(sigs []*signature) {
	for _, s := range sigs {
		n := 8
		for _, other := range sigs {
			if other != s && other.full != s.full {
				n = max(n, commonPrefix(s.full, other.full)+1)
			}
		}
		s.result.Prefix = s.full[:min(n, len(s.full))]
	}
}

func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
