package arc

import (
	"errors"
	"time"
)

// Status is a chain validation status, in the words of RFC 8617 §4.4 that cv= and Authentication-Results use.
type Status string

// The statuses of RFC 8617 §4.4.
const (
	// None: the message has no chain.
	None Status = "none"
	// Pass: the chain is what its sealers made, and the message what the last of them sent.
	Pass Status = "pass"
	// Fail: it is not. The message is to be treated as if it had no chain (RFC 8617 §5.2).
	Fail Status = "fail"
)

// What Result.Err wraps when a chain failed. ErrMessageSignature and ErrSeal come with one of package dkim's errors, as
// dkim.ErrNoKey or dkim.ErrBody; a header that is too large is dkim.ErrHeaderTooLarge.
var (
	// ErrTooManySets: there are more than MaxSets.
	ErrTooManySets = errors.New("arc: too many sets")
	// ErrMarkedFail: the newest seal says that the chain had failed before.
	ErrMarkedFail = errors.New("arc: chain was sealed as failed")
	// ErrStructure: sets are incomplete, missing or there twice, or have a wrong i= or cv=.
	ErrStructure = errors.New("arc: bad structure")
	// ErrMessageSignature: the newest ARC-Message-Signature did not verify.
	ErrMessageSignature = errors.New("arc: message signature did not verify")
	// ErrSeal: an ARC-Seal did not verify.
	ErrSeal = errors.New("arc: seal did not verify")
)

// Result is the outcome for the chain of a message. Strings come from the message and hold no control characters.
type Result struct {
	// Status is the chain validation status.
	Status Status
	// Err says why Status is Fail; nil otherwise.
	Err error
	// Instance is the set in which the chain failed; 0 when it did not or when that is in no particular one.
	Instance int
	// Temporary says that the chain failed only because the DNS did not answer, so that another try may have another
	// outcome. The standard counts it as a failure all the same (RFC 8617 §5.2.1): with a message that would be refused
	// for it, one may ask the client to come again; a sealer writes cv=fail.
	Temporary bool
	// OldestPass is the instance of the oldest ARC-Message-Signature up to which all verify, counted from the newest; 0
	// when all do (RFC 8617 §5.2, header.oldest-pass). The message was not changed since that sealer sent it. It has a
	// meaning only if Status is Pass.
	OldestPass int
	// Sets are the sets of the chain, oldest first: Sets[i] has instance i+1 unless the chain failed for its structure,
	// when only what could be read is there. They are nil if there were too many. Believe nothing of them unless Status
	// is Pass.
	Sets []Set
}

// Set is what one server added to a message.
type Set struct {
	// Instance is i=, from 1 for the oldest to 50.
	Instance int
	// CV is what the server found of the chain when the message came to it: None in the oldest set, else Pass. In a chain
	// that failed it may be anything.
	CV Status
	// MessageSignature is the set's ARC-Message-Signature, which covers the message.
	MessageSignature Signature
	// Seal is the set's ARC-Seal, which covers this set and all older ones.
	Seal Signature
	// AuthServID is the server that the ARC-Authentication-Results are from; "" when they do not say.
	AuthServID string
	// Results are the ARC-Authentication-Results behind the first semicolon that follows AuthServID, unfolded: the text
	// of an Authentication-Results field, as "spf=pass smtp.mailfrom=example.org; dmarc=pass".
	Results string
}

// Signature is one of the two signatures of a Set. What a malformed field did not tell is zero.
type Signature struct {
	// Status is Pass or Fail; "" when the signature was not checked, since the outcome was clear without it.
	Status Status
	// Err says why Status is Fail; it wraps one of package dkim's errors.
	Err error

	// Domain is d= in lower case, as A-labels.
	Domain string
	// Selector is s=.
	Selector string
	// Algorithm is a=, as "rsa-sha256".
	Algorithm string
	// KeyBits is the size of the key, 256 for Ed25519; 0 when no key was found or looked for.
	KeyBits int
	// Testing is the key's flag t=y: the domain is trying its signatures out.
	Testing bool
	// Time is t=, when the signature was made; zero when absent.
	Time time.Time

	// Expiration is x=; zero when absent, as in a seal.
	Expiration time.Time
	// Signed has the names of h= in lower case, in their order; nil in a seal.
	Signed []string
	// BodyLimited says that l= is present: text may be added to the body (RFC 6376 §8.2).
	BodyLimited bool
	// BodyLength is l=, 0 when absent.
	BodyLength int64
	// BodyUnsigned is how many octets of the body (in canonical form) lie beyond l= and may be anybody's.
	BodyUnsigned int64
}
