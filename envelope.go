package mailbricks

import (
	"strings"
	"time"
)

// Envelope is what SMTP says of a message outside of it: where it came from and where it goes (RFC 5321 §2.3.1), with
// every parameter of MAIL that was given. Handlers read it; they make a changed copy with WithRecipients or Clone.
type Envelope struct {
	// ID names the transaction in logs and in the Received field: letters and digits, unique in practice.
	ID string
	// From is the reverse-path without its angle brackets; empty for the null reverse-path <>.
	From string
	// Recipients are in the order of their RCPT commands.
	Recipients []Recipient
	// Peer is who handed the message over; its zero value stands for this program itself.
	Peer Peer
	// Received is when the transaction began.
	Received time.Time

	// Quarantine, when not empty, asks the store to put the message aside (into the mailbox with the use \Junk) and says
	// why: one line of text.
	Quarantine string

	// Body is the BODY parameter (RFC 6152, RFC 3030).
	Body BodyType
	// Size is the declared SIZE in octets (RFC 1870); 0 when none was declared.
	Size int64
	// SMTPUTF8 says that the envelope or a header field needs RFC 6531.
	SMTPUTF8 bool
	// RequireTLS is the parameter of RFC 8689: no hop without verified TLS.
	RequireTLS bool
	// Return is the RET parameter (RFC 3461 §4.3): how much of the message a DSN returns.
	Return Return
	// EnvelopeID is the ENVID parameter (RFC 3461 §4.4), decoded from xtext.
	EnvelopeID string
	// Auth is the AUTH parameter (RFC 4954 §5), decoded: a mailbox, nil when absent, "" for <>.
	Auth *string
	// Priority is MT-PRIORITY (RFC 6710), -9 to 9; nil when absent.
	Priority *int
	// DeliverBy is the BY parameter (RFC 2852); nil when absent.
	DeliverBy *DeliverBy
	// HoldUntil is when FUTURERELEASE (RFC 4865) lets the message go; zero: at once.
	HoldUntil time.Time
}

// Clone gives a copy whose recipients and fields can be changed without changing e.
func (e *Envelope) Clone() *Envelope {
	return e.WithRecipients(append([]Recipient(nil), e.Recipients...))
}

// WithRecipients gives a copy of e for other recipients.
func (e *Envelope) WithRecipients(rcpts []Recipient) *Envelope {
	c := *e
	c.Recipients = rcpts
	return &c
}

// Recipient is one forward-path with the parameters of its RCPT command.
type Recipient struct {
	// Address is the forward-path without its angle brackets and source route.
	Address string
	// Alias is the address that the peer gave, where expanding aliases made Address of it; empty otherwise.
	Alias string
	// Notify is the NOTIFY parameter (RFC 3461 §4.1); 0 when absent.
	Notify Notify
	// OriginalRecipient is the ORCPT parameter (RFC 3461 §4.2), decoded: "rfc822;user@example.com"; empty when absent.
	OriginalRecipient string
	// ValidSince is the RRVS parameter (RFC 7293); zero when absent.
	ValidSince time.Time
	// ValidSinceOptional is its no-support action ";C": a server that does not know RRVS may get the message, too.
	ValidSinceOptional bool
}

// Given is the address that the peer gave: Alias or, without one, Address.
func (r Recipient) Given() string {
	if r.Alias != "" {
		return r.Alias
	}
	return r.Address
}

// Domain is the part of Address behind its last "@"; empty when there is none.
func (r Recipient) Domain() string {
	_, domain := SplitAddress(r.Address)
	return domain
}

// SplitAddress cuts a mailbox address at its last "@", so that a quoted local part may hold one. Without an "@" all of
// it is the local part.
func SplitAddress(address string) (local, domain string) {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return address, ""
	}
	return address[:at], address[at+1:]
}

// BodyType is the value of MAIL's BODY parameter.
type BodyType string

// The body types of RFC 6152 and RFC 3030; the empty BodyType is that of a MAIL command without BODY.
const (
	Body7Bit   BodyType = "7BIT"
	Body8Bit   BodyType = "8BITMIME"
	BodyBinary BodyType = "BINARYMIME"
)

// Return is the value of MAIL's RET parameter.
type Return string

// What a DSN returns (RFC 3461 §4.3).
const (
	ReturnFull    Return = "FULL"
	ReturnHeaders Return = "HDRS"
)

// Notify says on which events a DSN is wanted, as a set of bits; NotifyNever stands alone (RFC 3461 §4.1).
type Notify uint8

// The events of NOTIFY.
const (
	NotifySuccess Notify = 1 << iota
	NotifyFailure
	NotifyDelay
	NotifyNever
)

// DeliverBy is the BY parameter of RFC 2852.
type DeliverBy struct {
	// Deadline is when the time given runs out.
	Deadline time.Time
	// Return asks for the message to come back when it is late; otherwise the sender is only told.
	Return bool
	// Trace asks for a report from each relay.
	Trace bool
}
