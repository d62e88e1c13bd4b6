package dkim

import (
	"errors"
	"time"
)

// Status is the outcome for one signature, in the words of RFC 8601 §2.7.1.
type Status string

// The statuses of RFC 8601 §2.7.1. A message is authenticated only by Pass.
const (
	// None: the message has no signature.
	None Status = "none"
	// Pass: the signature is that of the domain.
	Pass Status = "pass"
	// Fail: header or body are not what was signed.
	Fail Status = "fail"
	// Policy: the signature was not accepted for a reason that lies with the Options.
	Policy Status = "policy"
	// Neutral: the signature was not looked at.
	Neutral Status = "neutral"
	// TempError: the key could not be had for now.
	TempError Status = "temperror"
	// PermError: signature or key are invalid, and will be another time.
	PermError Status = "permerror"
)

// What Result.Err wraps when a signature did not pass.
var (
	// ErrHeaderTooLarge: the header is longer than Options.MaxHeader (PermError).
	ErrHeaderTooLarge = errors.New("dkim: header too large")
	// ErrTooManySignatures: beyond Options.MaxSignatures (Neutral).
	ErrTooManySignatures = errors.New("dkim: too many signatures")
	// ErrSyntax: the DKIM-Signature field is malformed or against a rule of RFC 6376 §6.1.1 (PermError).
	ErrSyntax = errors.New("dkim: bad signature field")
	// ErrAlgorithm: the algorithm is unknown or, as rsa-sha1, no longer valid (PermError).
	ErrAlgorithm = errors.New("dkim: unacceptable algorithm")
	// ErrExpired: x= has passed (PermError).
	ErrExpired = errors.New("dkim: signature has expired")
	// ErrFuture: t= lies ahead by more than Options.MaxSkew (Policy).
	ErrFuture = errors.New("dkim: signature from the future")
	// ErrNoKey: the DNS has no key record for domain and selector, or answers that another try will not mend (PermError).
	ErrNoKey = errors.New("dkim: no key")
	// ErrKeyRevoked: the key record has an empty p= (PermError).
	ErrKeyRevoked = errors.New("dkim: key is revoked")
	// ErrKeySyntax: the key record is malformed (PermError).
	ErrKeySyntax = errors.New("dkim: bad key record")
	// ErrKeyUse: the key record does not allow this use of the key (PermError).
	ErrKeyUse = errors.New("dkim: key not for this signature")
	// ErrWeakKey: RSA with less than 1024 bits (PermError, RFC 8301 §3.2) or than Options.MinRSABits (Policy).
	ErrWeakKey = errors.New("dkim: key too weak")
	// ErrKeyTooLarge: RSA with more than MaxRSABits (Policy).
	ErrKeyTooLarge = errors.New("dkim: key too large")
	// ErrLookup: the DNS did not answer, for now (TempError).
	ErrLookup = errors.New("dkim: key lookup failed")
	// ErrBody: the body is not the one that was signed (Fail).
	ErrBody = errors.New("dkim: body hash did not verify")
	// ErrBodyLength: l= is larger than the body (PermError).
	ErrBodyLength = errors.New("dkim: body shorter than l=")
	// ErrSignature: header fields are not those that were signed, or not by this key (Fail).
	ErrSignature = errors.New("dkim: signature did not verify")
)

// Result is the outcome for one signature. What an invalid DKIM-Signature field did not tell is zero; strings come from
// the message and hold no control characters.
type Result struct {
	Status Status
	// Err says why Status is not Pass; it wraps one of the package's errors. It is nil for Pass and None.
	Err error

	// Domain is d= in lower case, as A-labels: the domain that answers for the message if Status is Pass (header.d).
	Domain string
	// Selector is s= (header.s).
	Selector string
	// Identifier is i=, or "@" and the domain where there is none (header.i).
	Identifier string
	// Algorithm is a=, as "rsa-sha256" (header.a).
	Algorithm string
	// Prefix is the beginning of b=, at least 8 characters and as many as tell the message's signatures apart (header.b,
	// RFC 6008).
	Prefix string

	// KeyBits is the size of the key, 256 for Ed25519; 0 when no key was found.
	KeyBits int
	// Testing is the key's flag t=y: the domain is trying DKIM out, and its mail is not to be treated differently from
	// unsigned mail, even if the signature fails (RFC 6376 §3.6.1). The status is what it would be without.
	Testing bool
	// Strict is the key's flag t=s: i= must not be in a subdomain of d=.
	Strict bool

	// Time is t=, when the signature was made; zero when absent.
	Time time.Time
	// Expiration is x=; zero when absent.
	Expiration time.Time

	// Signed has the names of h= in lower case, in their order.
	Signed []string
	// FromOversigned says that h= lists From more often than the message has it, so that none can be added.
	FromOversigned bool
	// BodyLimited says that l= is present: the signer allowed text to be added to the body, which makes a signature
	// unsafe to rely on (RFC 6376 §8.2).
	BodyLimited bool
	// BodyLength is l=, 0 when absent.
	BodyLength int64
	// BodyUnsigned is how many octets of the body (in canonical form) lie beyond l= and may be anybody's.
	BodyUnsigned int64
}
