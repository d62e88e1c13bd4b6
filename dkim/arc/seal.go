package arc

import (
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/internal/wire"
	"github.com/mailbricks/mailbricks/internal/domainname"
)

var (
	// ErrSealer says that a Sealer's fields are not such that it can seal.
	ErrSealer = errors.New("arc: unusable sealer")
	// ErrStatus says that the status given to Seal is not one of the message's chain.
	ErrStatus = errors.New("arc: status does not fit the message")
	// ErrResults says that the results given to Seal cannot stand in a header field.
	ErrResults = errors.New("arc: unusable results")
)

// Sealer adds sets to chains, for one domain with one key. Domain, Selector and Key must be set; the zero value of the
// rest is a good choice. A Sealer is not changed by use and may be used by many goroutines if its Key may.
type Sealer struct {
	// Domain is d=, the domain that answers for the set. U-labels become A-labels.
	Domain string
	// Selector is s=, the name of the key under the domain. Keys are published as for DKIM.
	Selector string
	// Key has a *rsa.PublicKey of at least 1024 bits or an ed25519.PublicKey as its Public. It may live elsewhere: Sign
	// gets the SHA-256 digest. Not all verifiers know Ed25519, and a chain with a signature that one does not know fails.
	Key crypto.Signer

	// AuthServID is the authserv-id of ARC-Authentication-Results: best that of the server's Authentication-Results.
	// "": Domain.
	AuthServID string
	// Headers are the names of the fields to sign where a message has them, all of one name up to 16 of them (the
	// lowest). From is always signed. Authentication-Results and ARC fields cannot be (RFC 8617 §4.1.2). nil:
	// DefaultHeaders.
	Headers []string
	// Oversign are names to list once more than the message has them, so that nobody can add one. nil:
	// dkim.DefaultOversign; empty: none.
	Oversign []string
	// Canonicalization is c= of the message signature, header/body of "simple" and "relaxed". "": "relaxed/relaxed".
	Canonicalization string
	// SortTags writes the tags in the order of their names and b= in one line, as the published test data have it, in place
	// of the order of the standard's grammar, which has i= in front. Verifiers take both.
	SortTags bool
	// MaxHeader is how many octets the header may have. 0: DefaultMaxHeader.
	MaxHeader int
	// Now is the clock of t=. nil: time.Now.
	Now func() time.Time
}

// DefaultHeaders are the names that a Sealer signs when it is not told: those of DKIM and the DKIM-Signature fields
// (RFC 8617 §4.1.2).
func DefaultHeaders() []string { return append(dkim.DefaultHeaders(), "DKIM-Signature") }

// Seal reads a message as it is about to be sent, with all changes and DKIM-Signature fields made (RFC 8617 §5.1), and
// returns the set to put in front of it: ARC-Seal, ARC-Message-Signature and ARC-Authentication-Results, folded, each
// with its CRLF. The header is held in memory (MaxHeader), the body is not.
//
// Status is what a Verifier found of the chain when the message came in; it becomes cv=. A chain that is broken by its
// structure now is sealed as failed all the same. It is an error, ErrStatus, to give None for a message with a chain or Pass
// for one without.
//
// Results is what the server found of the message when it came in: the text of its Authentication-Results field behind
// the authserv-id and the semicolon. "" becomes "none". It is folded anew.
//
// A message without exactly one From field cannot be sealed, as it cannot be signed: dkim.ErrFrom.
//
// Seal returns "" when no set can be added: the newest seal has cv=fail already, or the chain has MaxSets sets.
func (s *Sealer) Seal(r io.Reader, status Status, results string) (string, error) {
	j, err := s.prepare()
	if err != nil {
		return "", err
	}
	if _, err := io.Copy(j, r); err != nil {
		return "", fmt.Errorf("arc: sealing: reading the message: %w", err)
	}
	j.body.Close()
	h := j.split.Header()
	if len(h) > 0 && (h[0] == ' ' || h[0] == '\t') {
		return "", fmt.Errorf("arc: sealing: %w", dkim.ErrMessage)
	}
	if _, n := h.First("from", 0); n != 1 {
		return "", fmt.Errorf("arc: sealing: %w, but %d", dkim.ErrFrom, n)
	}
	c := readChain(h)
	if c.tooMany || c.markedFail() || len(c.sets) == MaxSets {
		return "", nil
	}
	if status, err = c.next(status); err != nil {
		return "", err
	}
	set, err := j.seal(h, c, setInfo{status, results})
	if err != nil {
		return "", fmt.Errorf("arc: sealing for %s with selector %s: %w", j.place.Domain, j.place.Selector, err)
	}
	return set, nil
}

// next is the cv= of the set that follows, for the status that the chain had when the message came.
func (c *chain) next(status Status) (Status, error) {
	switch {
	case status != None && status != Pass && status != Fail:
		return "", fmt.Errorf("%w: %.20q is none", ErrStatus, string(status))
	case status == None && !c.empty():
		return "", fmt.Errorf("%w: none, but it has a chain", ErrStatus)
	case status == Pass && c.empty():
		return "", fmt.Errorf("%w: pass, but it has no chain", ErrStatus)
	case c.err != nil:
		return Fail, nil
	}
	return status, nil
}

// job is one set in the making: a Sealer with its fields checked, to which the message is written.
type job struct {
	*Sealer
	place                      wire.Place
	servID                     string
	algorithm                  string
	fields                     wire.Choice
	canonicalization           string
	relaxedHeader, relaxedBody bool

	split wire.Splitter
	body  wire.Body
	sum   *wire.BodyHash
}

func (s *Sealer) prepare() (*job, error) {
	j := &job{Sealer: s, canonicalization: strings.ToLower(s.Canonicalization)}
	if j.split.Limit = s.MaxHeader; s.MaxHeader <= 0 {
		j.split.Limit = DefaultMaxHeader
	}
	if j.canonicalization == "" {
		j.canonicalization = "relaxed/relaxed"
	}
	for _, step := range []func() error{j.preparePlace, j.prepareKey, j.prepareFields} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSealer, err)
		}
	}
	var err error
	if j.relaxedHeader, j.relaxedBody, err = wire.ParseCanonicalization(j.canonicalization); err != nil {
		return nil, fmt.Errorf("%w: canonicalization %w", ErrSealer, err)
	}
	j.sum = j.body.Hash(j.relaxedBody, wire.Whole)
	return j, nil
}

func (j *job) preparePlace() error {
	var err error
	if j.place, err = wire.NewPlace(j.Domain, j.Selector); err != nil {
		return err
	}
	if j.servID = wire.Clean(j.AuthServID); j.servID == "" {
		j.servID = j.place.Domain
	}
	if len(j.servID) > domainname.MaxName {
		return fmt.Errorf("authserv-id of %d octets", len(j.servID))
	}
	return nil
}

func (j *job) prepareKey() error {
	var err error
	if j.algorithm, err = wire.Algorithm(j.Key); err != nil {
		return err
	}
	typ, err := wire.KeyType(j.algorithm)
	if err != nil {
		return err
	}
	return (&dkim.Key{Type: typ, Public: j.Key.Public()}).Check(j.algorithm, dkim.MinRSABits)
}

func (j *job) prepareFields() error {
	names, oversign := j.Headers, j.Oversign
	if names == nil {
		names = DefaultHeaders()
	}
	if oversign == nil {
		oversign = dkim.DefaultOversign()
	}
	for _, name := range slices.Concat(names, oversign) {
		switch strings.ToLower(name) {
		case "authentication-results", resultsName, messageName, sealName:
			return fmt.Errorf("%s must not be signed", name) // RFC 8617 §4.1.2
		}
	}
	var err error
	j.fields, err = wire.Choose(slices.Concat(names, []string{"From"}), oversign)
	return err
}

// Write takes the next piece of the message.
func (j *job) Write(p []byte) (int, error) {
	body, err := j.split.Feed(p)
	if err != nil {
		return 0, fmt.Errorf("%w: more than %d octets", dkim.ErrHeaderTooLarge, j.split.Limit)
	}
	j.body.Write(body)
	return len(p), nil
}

// setInfo is what a set says of the message as it came.
type setInfo struct {
	cv      Status
	results string
}

// seal makes the three fields of the set behind those of c.
func (j *job) seal(h wire.Header, c *chain, info setInfo) (string, error) {
	i := strconv.Itoa(len(c.sets) + 1)
	now := time.Now
	if j.Now != nil {
		now = j.Now
	}
	t := strconv.FormatInt(now().Unix(), 10)
	results, err := writeResults(i, j.servID, info.results)
	if err != nil {
		return "", err
	}
	names := j.fields.In(h)
	message := j.write("ARC-Message-Signature", []tag{
		{"i", i}, {"a", j.algorithm}, {"c", j.canonicalization}, {"d", j.place.Domain}, {"s", j.place.Selector}, {"t", t},
		{"h", strings.Join(names, ":")}, {"bh", base64.StdEncoding.EncodeToString(j.sum.Sum)}, {"b", ""},
	})
	form := wire.Form{Names: names, Skip: -1, Field: message.unsigned(), Relaxed: j.relaxedHeader}
	messageField, err := message.sign(j.Key, wire.Digest(h, form))
	if err != nil {
		return "", err
	}
	seal := j.write("ARC-Seal", []tag{
		{"i", i}, {"a", j.algorithm}, {"cv", string(info.cv)}, {"d", j.place.Domain}, {"s", j.place.Selector}, {"t", t}, {"b", ""},
	})
	var fields covered
	if info.cv != Fail { // RFC 8617 §5.1.2: of a failed chain only the new set is covered
		for _, p := range c.sets {
			fields.add(p.results.Raw, p.message.Raw, p.seal.Raw)
		}
	}
	fields.add([]byte(results), []byte(messageField))
	sealField, err := seal.sign(j.Key, fields.digest(seal.unsigned()))
	if err != nil {
		return "", err
	}
	return sealField + messageField + results, nil
}
