package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/dkim/internal/wire"
)

// ErrSigner says that a Signer's fields are not such that it can sign.
var ErrSigner = errors.New("dkim: unusable signer")

// ErrMessage says that a message begins with white space: a field in front of it would swallow its first line.
var ErrMessage = errors.New("dkim: message begins with white space")

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

// maxInstances is how many fields of one name are signed, so that a message cannot make h= long without end.
const maxInstances = 16

// Sign reads a message and returns the DKIM-Signature field to put in front of it, folded and with its CRLF. The
// header is held in memory (MaxHeader), the body is not. Any header can be signed: lines that are no fields are left
// aside.
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
	if h := split.Header(); len(h) > 0 && (h[0] == ' ' || h[0] == '\t') {
		return "", ErrMessage
	}
	var fields strings.Builder
	for _, j := range jobs {
		field, err := j.sign(split.Header())
		if err != nil {
			return "", fmt.Errorf("dkim: signing for %s with selector %s: %w", j.domain, j.selector, err)
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
	domain, selector, identifier string
	algorithm                    string
	hash                         crypto.Hash // for Key.Sign
	headers, oversign            []string    // in lower case
	canonicalization             string
	relaxedHeader, relaxedBody   bool
	maxHeader                    int
	body                         *wire.BodyHash
}

func (s *Signer) prepare() (*job, error) {
	j := &job{Signer: s, maxHeader: s.MaxHeader, canonicalization: s.Canonicalization}
	if j.maxHeader <= 0 {
		j.maxHeader = DefaultMaxHeader
	}
	if j.canonicalization == "" {
		j.canonicalization = "relaxed/relaxed"
	}
	var err error
	if j.domain, err = toASCII(s.Domain); err != nil {
		return nil, fmt.Errorf("%w: domain %q %w", ErrSigner, s.Domain, err)
	}
	if j.selector, err = toASCII(s.Selector); err != nil {
		return nil, fmt.Errorf("%w: selector %q %w", ErrSigner, s.Selector, err)
	}
	if len(keyName(j.selector, j.domain)) > maxDomain+len(".") {
		return nil, fmt.Errorf("%w: selector and domain together are too long for the DNS", ErrSigner)
	}
	if j.relaxedHeader, j.relaxedBody, err = parseCanonicalization(j.canonicalization); err != nil {
		return nil, fmt.Errorf("%w: canonicalization %q is unknown", ErrSigner, s.Canonicalization)
	}
	if err := j.prepareIdentifier(); err != nil {
		return nil, err
	}
	if err := j.prepareKey(); err != nil {
		return nil, err
	}
	return j, j.prepareNames()
}

func (j *job) prepareKey() error {
	if j.Key == nil {
		return fmt.Errorf("%w: no key", ErrSigner)
	}
	switch pub := j.Key.Public().(type) {
	case *rsa.PublicKey:
		if bits := pub.N.BitLen(); bits < MinRSABits { // RFC 8301 §3.2
			return fmt.Errorf("%w: %w: %d bits", ErrSigner, ErrWeakKey, bits)
		}
		j.algorithm, j.hash = "rsa-sha256", crypto.SHA256
	case ed25519.PublicKey:
		j.algorithm, j.hash = "ed25519-sha256", crypto.Hash(0) // RFC 8463 §3: PureEdDSA over the digest
	default:
		return fmt.Errorf("%w: keys of type %T cannot sign", ErrSigner, pub)
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
		return fmt.Errorf("%w: identifier %.40q is no address", ErrSigner, j.Identifier)
	}
	domain, err := toASCII(j.Identifier[at+1:])
	if err != nil || domain != j.domain && !strings.HasSuffix(domain, "."+j.domain) {
		return fmt.Errorf("%w: identifier %.40q is not within domain %s", ErrSigner, j.Identifier, j.domain)
	}
	j.identifier = encodeQP(j.Identifier[:at]) + "@" + domain
	return nil
}

func (j *job) prepareNames() error {
	names := j.Headers
	if names == nil {
		names = DefaultHeaders()
	}
	oversign := j.Oversign
	if oversign == nil {
		oversign = DefaultOversign()
	}
	seen := make(map[string]bool)
	add := func(name string) error {
		if !wire.IsFieldName(name) || strings.Contains(name, ";") || len(name) > 64 {
			return fmt.Errorf("%w: %.40q is no field name", ErrSigner, name)
		}
		if name = strings.ToLower(name); !seen[name] {
			seen[name] = true
			j.headers = append(j.headers, name)
		}
		return nil
	}
	for _, list := range [][]string{{"From"}, names, oversign} {
		for _, name := range list {
			if err := add(name); err != nil {
				return err
			}
		}
	}
	for _, name := range oversign {
		j.oversign = append(j.oversign, strings.ToLower(name))
	}
	return nil
}

// signed makes h= for a message.
func (j *job) signed(h wire.Header) []string {
	present := h.Counts(j.headers)
	var names []string
	for _, name := range j.headers {
		n := min(present[name], maxInstances)
		if name == "from" {
			n = max(n, 1) // RFC 6376 §5.4: From must be listed, also where it is missing
		}
		if present[name] <= maxInstances && count(j.oversign, name) > 0 && (present[name] > 0 || !addedByRelays(name)) {
			n = present[name] + 1
		}
		for range n {
			names = append(names, name)
		}
	}
	return names
}

func addedByRelays(name string) bool { return name == "date" || name == "message-id" }

func (j *job) sign(h wire.Header) (string, error) {
	names := j.signed(h)
	field := j.field(names)
	digest := headerDigest(h, names, -1, headerForm{field, j.relaxedHeader})
	sig, err := j.Key.Sign(rand.Reader, digest, j.hash)
	if err != nil {
		return "", err
	}
	f := folder{text: field, column: len(field) - strings.LastIndexByte(field, '\n') - 1 + len("\t")}
	f.base64(sig)
	return f.text + "\r\n", nil
}

// field is the DKIM-Signature field up to its "b=".
func (j *job) field(names []string) string {
	now := time.Now
	if j.Now != nil {
		now = j.Now
	}
	t := now().Unix()
	f := folder{text: "DKIM-Signature:", column: len("DKIM-Signature:")}
	f.word("v=1;")
	f.word("a=" + j.algorithm + ";")
	f.word("c=" + j.canonicalization + ";")
	f.word("d=" + j.domain + ";")
	f.word("s=" + j.selector + ";")
	if j.identifier != "" {
		f.word("i=" + j.identifier + ";")
	}
	f.word("t=" + strconv.FormatInt(t, 10) + ";")
	if seconds := int64(j.Expiration / time.Second); seconds > 0 {
		f.word("x=" + strconv.FormatInt(t+seconds, 10) + ";")
	}
	for i, name := range names {
		if i == 0 {
			name = "h=" + name
		}
		if i < len(names)-1 {
			name += ":"
		} else {
			name += ";"
		}
		f.piece(name, i == 0)
	}
	f.word("bh=" + base64.StdEncoding.EncodeToString(j.body.Sum) + ";")
	f.word("b=")
	return f.text
}

// folder writes a header field in lines of at most maxColumn octets where words allow it (RFC 5322 §2.1.1).
type folder struct {
	text   string
	column int
}

const maxColumn = 76

// word adds a word behind a space or a fold.
func (f *folder) word(s string) { f.piece(s, true) }

// piece adds what may stand behind a fold, and else behind a space if asked for.
func (f *folder) piece(s string, space bool) {
	switch {
	case f.column+1+len(s) > maxColumn:
		f.text += "\r\n\t"
		f.column = 8 // where a TAB leads
	case space:
		f.text += " "
		f.column++
	}
	f.text += s
	f.column += len(s)
}

// base64 adds octets in as many lines as they need.
func (f *folder) base64(p []byte) {
	s := base64.StdEncoding.EncodeToString(p)
	for s != "" {
		n := min(len(s), max(maxColumn-f.column, 0))
		if n == 0 {
			f.text += "\r\n\t"
			f.column = 8
			continue
		}
		f.text += s[:n]
		f.column += n
		s = s[n:]
	}
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
