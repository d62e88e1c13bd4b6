package dkim

import (
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/dkim/internal/wire"
	"github.com/mailbricks/mailbricks/internal/domainname"
)

// ErrSigner says that a Signer's fields are not such that it can sign.
var ErrSigner = errors.New("dkim: unusable signer")

// ErrMessage says that a message begins with white space: a field in front of it would swallow its first line.
var ErrMessage = errors.New("dkim: message begins with white space")

// ErrFrom says that a message has no From field or more than one. Its signature could not tell of an author: the From field
// must be signed (RFC 6376 §5.4), and what breaks RFC 5322 should not be (RFC 6376 §3.8).
var ErrFrom = errors.New("dkim: message has not exactly one From field")

// Signer makes signatures for one domain with one key. Domain, Selector and Key must be set; the zero value of the rest
// is a good choice. A Signer is not changed by use and may be used by many goroutines if its Key may.
type Signer struct {
	// Domain is d=, the domain that answers for the message. U-labels become A-labels.
	Domain string
	// Selector is s=, the name of the key under the domain.
	Selector string
	// Key has a *rsa.PublicKey of at least 1024 bits or an ed25519.PublicKey as its Public. It may live elsewhere: Sign
	// gets the SHA-256 digest.
	Key crypto.Signer

	// Identifier is i=, an address in Domain or below it; its local part may be empty. "" leaves i= out.
	Identifier string
	// Headers are the names of the fields to sign where a message has them, all of one name up to 16 of them (the
	// lowest). nil: DefaultHeaders. From is always signed.
	Headers []string
	// Oversign are names to list once more than the message has them, so that nobody can add one. Date and Message-ID are
	// left out where the message has none, as relays add them (RFC 5321 §6.4). nil: DefaultOversign; empty: none.
	Oversign []string
	// Canonicalization is c=, header/body of "simple" and "relaxed". "": "relaxed/relaxed".
	Canonicalization string
	// Expiration is how long the signature holds (x=), in whole seconds. 0: no limit.
	Expiration time.Duration
	// MaxHeader is how many octets the header may have. 0: DefaultMaxHeader.
	MaxHeader int
	// Now is the clock of t=. nil: time.Now.
	Now func() time.Time
}

// DefaultHeaders are the names that a Signer signs when it is not told: what a reader sees or what decides how the body
// is shown, and what its standard wants signed (RFC 8058 §4, RFC 9477). No trace fields, no Return-Path: these
// change on the way (RFC 6376 §5.4.1).
func DefaultHeaders() []string {
	return []string{
		"From", "Sender", "Reply-To", "To", "Cc", "Subject", "Date", "Message-ID", "In-Reply-To", "References",
		"MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "Content-ID",
		"Content-Description", "Content-Language",
		"Resent-Date", "Resent-From", "Resent-Sender", "Resent-To", "Resent-Cc", "Resent-Message-ID",
		"List-Id", "List-Help", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Subscribe", "List-Post",
		"List-Owner", "List-Archive", "Feedback-ID", "CFBL-Address", "CFBL-Feedback-ID",
	}
}

// DefaultOversign are the names that a Signer lists once more when it is not told: those that may stand in a message only
// once (RFC 5322 §3.6, RFC 2045) and whose addition would deceive. Sender, Resent-* and List-* are not among
// them, as mailing lists and people who redirect mail add these.
func DefaultOversign() []string {
	return []string{
		"From", "Reply-To", "To", "Cc", "Subject", "Date", "Message-ID", "In-Reply-To", "References",
		"MIME-Version", "Content-Type", "Content-Transfer-Encoding",
	}
}

// Sign reads a message and returns the DKIM-Signature field to put in front of it, folded and with its CRLF. The
// header is held in memory (MaxHeader), the body is not. Any header with one From field can be signed: lines that are no
// fields are left aside. Errors are ErrSigner, ErrMessage, ErrFrom, ErrHeaderTooLarge, and those of r and the key.
func (s *Signer) Sign(r io.Reader) (string, error) { return Sign(r, s) }

// Sign signs a message with each of the signers and returns their DKIM-Signature fields, one behind the other in their
// order. It reads the message once; without signers not at all. If one signer fails, all do.
func Sign(r io.Reader, signers ...*Signer) (string, error) {
	if len(signers) == 0 {
		return "", nil
	}
	jobs := make([]*job, len(signers))
	split := wire.Splitter{}
	var body wire.Body
	for i, s := range signers {
		var err error
		if jobs[i], err = s.prepare(); err != nil {
			return "", err
		}
		jobs[i].body = body.Hash(jobs[i].relaxedBody, wire.Whole)
		split.Limit = max(split.Limit, jobs[i].maxHeader)
	}
	if _, err := io.Copy(&splitWriter{&split, &body}, r); err != nil {
		return "", fmt.Errorf("dkim: signing: reading the message: %w", err)
	}
	body.Close()
	h := split.Header()
	if len(h) > 0 && (h[0] == ' ' || h[0] == '\t') {
		return "", ErrMessage
	}
	if _, n := h.First("from", 0); n != 1 {
		return "", fmt.Errorf("%w, but %d", ErrFrom, n)
	}
	var fields strings.Builder
	for _, j := range jobs {
		field, err := j.sign(h)
		if err != nil {
			return "", fmt.Errorf("dkim: signing for %s with selector %s: %w", j.place.Domain, j.place.Selector, err)
		}
		fields.WriteString(field)
	}
	return fields.String(), nil
}

// splitWriter sends a message's body into its hashes.
type splitWriter struct {
	split *wire.Splitter
	body  *wire.Body
}

func (w *splitWriter) Write(p []byte) (int, error) {
	body, err := w.split.Feed(p)
	if err != nil {
		return 0, fmt.Errorf("%w: more than %d octets", ErrHeaderTooLarge, w.split.Limit)
	}
	w.body.Write(body)
	return len(p), nil
}

// job is one signature in the making: a Signer with its fields checked.
type job struct {
	*Signer
	place                      wire.Place
	identifier                 string
	algorithm                  string
	fields                     wire.Choice
	canonicalization           string
	relaxedHeader, relaxedBody bool
	maxHeader                  int
	body                       *wire.BodyHash
}

func (s *Signer) prepare() (*job, error) {
	j := &job{Signer: s, maxHeader: s.MaxHeader, canonicalization: strings.ToLower(s.Canonicalization)}
	if j.maxHeader <= 0 {
		j.maxHeader = DefaultMaxHeader
	}
	if j.canonicalization == "" {
		j.canonicalization = "relaxed/relaxed"
	}
	for _, step := range []func() error{j.preparePlace, j.prepareIdentifier, j.prepareKey, j.prepareFields} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSigner, err)
		}
	}
	var err error
	if j.relaxedHeader, j.relaxedBody, err = wire.ParseCanonicalization(j.canonicalization); err != nil {
		return nil, fmt.Errorf("%w: canonicalization %w", ErrSigner, err)
	}
	return j, nil
}

func (j *job) preparePlace() error {
	var err error
	j.place, err = wire.NewPlace(j.Domain, j.Selector)
	return err
}

func (j *job) prepareKey() error {
	var err error
	if j.algorithm, err = wire.Algorithm(j.Key); err != nil {
		return err
	}
	if bits := publicBits(j.Key.Public()); j.algorithm == wire.RSASHA256 && bits < MinRSABits { // RFC 8301 §3.2
		return fmt.Errorf("%w: %d bits", ErrWeakKey, bits)
	}
	return nil
}

// maxIdentifier is a local part and a domain of full length (RFC 5321 §4.5.3.1), so that a line holds the encoded form.
const maxIdentifier = 64 + 1 + 255

func (j *job) prepareIdentifier() error {
	if j.Identifier == "" {
		return nil
	}
	at := strings.LastIndexByte(j.Identifier, '@')
	if at < 0 || len(j.Identifier) > maxIdentifier {
		return fmt.Errorf("identifier %.40q is no address", j.Identifier)
	}
	domain, err := wire.ASCII(j.Identifier[at+1:])
	if err != nil || !domainname.Within(domain, j.place.Domain) {
		return fmt.Errorf("identifier %.40q is not within domain %s", j.Identifier, j.place.Domain)
	}
	j.identifier = encodeQP(j.Identifier[:at]) + "@" + domain
	return nil
}

func (j *job) prepareFields() error {
	names := j.Headers
	if names == nil {
		names = DefaultHeaders()
	}
	oversign := j.Oversign
	if oversign == nil {
		oversign = DefaultOversign()
	}
	var err error
	j.fields, err = wire.Choose(append([]string{"From"}, names...), oversign)
	return err
}

func (j *job) sign(h wire.Header) (string, error) {
	names := j.fields.In(h)
	f := j.field(names)
	digest := wire.Digest(h, wire.Form{Names: names, Skip: -1, Field: f.String(), Relaxed: j.relaxedHeader})
	sig, err := wire.SignDigest(j.Key, digest)
	if err != nil {
		return "", err
	}
	f.Base64(sig)
	return f.String() + "\r\n", nil
}

// field is the DKIM-Signature field up to its "b=".
func (j *job) field(names []string) *wire.Folder {
	now := time.Now
	if j.Now != nil {
		now = j.Now
	}
	t := now().Unix()
	f := new(wire.Folder)
	f.Word("DKIM-Signature:")
	f.Word("v=1;")
	f.Word("a=" + j.algorithm + ";")
	f.Word("c=" + j.canonicalization + ";")
	f.Word("d=" + j.place.Domain + ";")
	f.Word("s=" + j.place.Selector + ";")
	if j.identifier != "" {
		f.Word("i=" + j.identifier + ";")
	}
	f.Word("t=" + strconv.FormatInt(t, 10) + ";")
	if seconds := int64(j.Expiration / time.Second); seconds > 0 {
		f.Word("x=" + strconv.FormatInt(t+seconds, 10) + ";")
	}
	f.List("h", names)
	f.Word("bh=" + base64.StdEncoding.EncodeToString(j.body.Sum) + ";")
	f.Word("b=")
	return f
}

// encodeQP makes dkim-quoted-printable (RFC 6376 §2.11); UTF-8 is encoded too, which any verifier reads.
func encodeQP(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == ';' || c == '=' || c == '|' {
			fmt.Fprintf(&b, "=%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
