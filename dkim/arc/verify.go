package arc

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/internal/wire"
)

// Verifier verifies the chain of one message that is written to it. It need not be closed or written to the end: it holds
// nothing but memory, which grows with the header (not the body) up to a few times Options.MaxHeader. Of a message
// without a chain it keeps nothing once the header has ended.
type Verifier struct {
	resolver dkim.Resolver
	opts     Options

	split  wire.Splitter
	header wire.Header
	chain  *chain
	signed []signedSet // one an instance, oldest first
	body   wire.Body
	keys   map[place]answer
	result *Result // not nil: the outcome is clear, whatever else comes
	done   bool
}

// signedSet has the signatures of a set.
type signedSet struct{ message, seal *signature }

// place is where the key of a signature is.
type place struct{ domain, selector string }

// answer is what the DNS has at a place.
type answer struct {
	keys []*dkim.Key
	err  error
}

// NewVerifier makes a Verifier. A nil resolver stands for net.DefaultResolver.
func NewVerifier(resolver dkim.Resolver, opts Options) *Verifier {
	opts = opts.withDefaults()
	return &Verifier{resolver: resolver, opts: opts, split: wire.Splitter{Limit: opts.MaxHeader}}
}

// Verify verifies the chain of the message that r has. It fails only when r does.
func Verify(ctx context.Context, r io.Reader, resolver dkim.Resolver, opts Options) (Result, error) {
	v := NewVerifier(resolver, opts)
	if _, err := io.Copy(v, r); err != nil {
		return Result{}, fmt.Errorf("arc: reading the message: %w", err)
	}
	return v.Result(ctx), nil
}

var errDone = errors.New("arc: write after Result")

// Write takes the next piece of the message. It fails only after Result.
func (v *Verifier) Write(p []byte) (int, error) {
	switch {
	case v.done:
		return 0, errDone
	case v.result != nil:
		return len(p), nil
	}
	body, err := v.split.Feed(p)
	if err != nil {
		v.end(Result{Status: Fail, Err: fmt.Errorf("arc: %w: more than %d octets", dkim.ErrHeaderTooLarge, v.opts.MaxHeader)})
		return len(p), nil
	}
	if v.split.Done() && v.chain == nil {
		v.readHeader()
	}
	v.body.Write(body)
	return len(p), nil
}

// Result ends the message, asks for the keys and gives the outcome. It can be called again.
func (v *Verifier) Result(ctx context.Context) Result {
	v.done = true
	if v.result == nil && v.chain == nil {
		v.readHeader()
	}
	if v.result == nil {
		v.body.Close()
		ctx, cancel := context.WithTimeout(ctx, v.opts.LookupTimeout)
		defer cancel()
		v.end(v.evaluate(ctx))
	}
	return *v.result
}

// end makes r the outcome and lets go of all else.
func (v *Verifier) end(r Result) {
	v.result = &r
	v.split, v.header, v.chain, v.signed, v.body, v.keys = wire.Splitter{}, nil, nil, nil, wire.Body{}, nil
}

// readHeader reads the chain when the header is complete, so that the body can be hashed as it comes. What can be decided
// without the DNS is: then the body does not matter.
func (v *Verifier) readHeader() {
	v.header = v.split.Header()
	v.chain = readChain(v.header)
	if v.chain.empty() {
		v.end(Result{Status: None})
		return
	}
	now := v.opts.Now()
	for _, p := range v.chain.sets {
		var s signedSet
		if p != nil {
			s = signedSet{readMessage(p.messageTags.tags), readSeal(p.sealTags.tags)}
			s.message.checkTimes(now, v.opts.MaxSkew)
			s.seal.checkTimes(now, v.opts.MaxSkew)
		}
		v.signed = append(v.signed, s)
	}
	if v.chain.err != nil {
		v.end(Result{Status: Fail, Err: v.chain.err, Instance: v.chain.at, Sets: v.describe()})
		return
	}
	newest := len(v.signed)
	if s := v.signed[newest-1].message; s.result.Err != nil {
		v.end(v.fail(newest, ErrMessageSignature, s))
		return
	}
	for i := newest; i > 0; i-- {
		if s := v.signed[i-1].seal; s.result.Err != nil {
			v.end(v.fail(i, ErrSeal, s))
			return
		}
	}
	for _, s := range v.signed {
		if s.message.result.Err == nil {
			s.message.body = v.body.Hash(s.message.RelaxedBody, s.message.Length)
		}
	}
}

// evaluate does the steps 4 to 7 of RFC 8617 §5.2.
func (v *Verifier) evaluate(ctx context.Context) Result {
	newest := len(v.signed)
	if !v.checkMessage(ctx, newest) {
		return v.fail(newest, ErrMessageSignature, v.signed[newest-1].message)
	}
	oldest := newest
	for oldest > 1 && v.checkMessage(ctx, oldest-1) {
		oldest--
	}
	digests := v.sealDigests()
	for i := newest; i > 0; i-- {
		if s := v.signed[i-1].seal; !v.check(ctx, s, digests[i-1]) {
			return v.fail(i, ErrSeal, s)
		}
	}
	if oldest == 1 {
		oldest = 0
	}
	return Result{Status: Pass, OldestPass: oldest, Sets: v.describe()}
}

// checkMessage verifies the message signature of an instance.
func (v *Verifier) checkMessage(ctx context.Context, instance int) bool {
	s, p := v.signed[instance-1].message, v.chain.sets[instance-1]
	if s.checkBody(); s.result.Err != nil {
		return false
	}
	return v.check(ctx, s, wire.Digest(v.header, wire.Form{
		Names: s.Signed, Skip: p.message.At, Field: p.messageTags.unsigned, Relaxed: s.RelaxedHeader,
	}))
}

// check verifies a signature of which nothing is known to be wrong.
func (v *Verifier) check(ctx context.Context, s *signature, digest []byte) bool {
	at := place{s.Domain, s.Selector}
	a, known := v.keys[at]
	if !known {
		a.keys, a.err = dkim.LookupKeys(ctx, v.resolver, at.domain, at.selector)
		if v.keys == nil {
			v.keys = make(map[place]answer)
		}
		v.keys[at] = a
	}
	s.refuse(a.err)
	s.checkKeys(a.keys, digest, v.opts.MinRSABits)
	return s.result.Status == Pass
}

// sealDigests are the digests of all seals. Each covers all older sets whole (RFC 8617 §5.1.1).
func (v *Verifier) sealDigests() [][]byte {
	var fields covered
	digests := make([][]byte, 0, len(v.chain.sets))
	for _, p := range v.chain.sets {
		fields.add(p.results.Raw, p.message.Raw)
		digests = append(digests, fields.digest(p.sealTags.unsigned))
		fields.add(p.seal.Raw)
	}
	return digests
}

// fail is the outcome when a signature has failed.
func (v *Verifier) fail(instance int, reason error, s *signature) Result {
	err := s.result.Err
	return Result{
		Status: Fail, Err: fmt.Errorf("%w: i=%d: %w", reason, instance, err), Instance: instance,
		Temporary: errors.Is(err, dkim.ErrLookup), Sets: v.describe(),
	}
}

// describe makes Result.Sets.
func (v *Verifier) describe() []Set {
	var sets []Set
	for i, p := range v.chain.sets {
		if p != nil {
			s := v.signed[i]
			sets = append(sets, Set{
				Instance: i + 1, CV: p.cv(), AuthServID: p.resultsField.servID, Results: p.resultsField.results,
				MessageSignature: s.message.result, Seal: s.seal.result,
			})
		}
	}
	return sets
}
