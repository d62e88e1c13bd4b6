package dmarc

import (
	"net/netip"
	"time"
)

// Limits on failure reports.
const (
	// MaxFailureBytes is how large a failure report may be that is read.
	MaxFailureBytes = 10 << 20
	// MaxFailureHeader and MaxFailureBody are how much of the failed message a report quotes; the rest is left out, from the
	// header by whole fields.
	MaxFailureHeader = 64 << 10
	MaxFailureBody   = 1 << 20
	// maxFailureFields is how often a field counts that may be there more than once.
	maxFailureFields = 100
)

// AuthFailureDMARC is the failure type of DMARC (RFC 9991 §4). The others are adsp, bodyhash, revoked, signature and spf
// (RFC 6591 §3.3).
const AuthFailureDMARC = "dmarc"

// Values of FailureReport.DeliveryResult (RFC 6591 §3.2.2).
const (
	DeliveryDelivered = "delivered" // somewhere
	DeliverySpam      = "spam"      // to the spam folder
	DeliveryPolicy    = "policy"    // kept out of the inbox because of the failure
	DeliveryReject    = "reject"
	DeliveryOther     = "other"
)

// FailureReport is a report on one message that failed authentication (RFC 9991), in the Abuse Reporting Format (RFC 5965)
// with the extensions for authentication failures (RFC 6591). ParseFailureReport reads one, Write writes one.
//
// Such reports tell of persons: RFC 9991 §7 is worth reading before sending any. Write quotes the header of the failed
// message only, unless Body is set.
//
// As with Report, nothing in a report that was read is to be trusted; texts are clean in the same way. Header, Body and
// the two canonicalized texts are the bytes as they came.
type FailureReport struct {
	// UserAgent is the program that made the report, as "name/version"; Write has a default.
	UserAgent string
	// AuthFailure is what failed: AuthFailureDMARC, for which empty stands when writing.
	AuthFailure string
	// AuthenticationResults is the value of such a field (RFC 8601) with the result of one method. When it is empty, Write
	// makes one for a failure of DMARC out of ReportingMTA and ReportedDomain.
	AuthenticationResults string
	// IdentityAlignment are the methods, "dkim" and "spf", that did not give an aligned identifier (RFC 9991 §4).
	IdentityAlignment []string
	// DeliveryResult is one of the Delivery constants; optional. Write makes DeliveryOther of what it does not know.
	DeliveryResult string
	// ReportedDomain is the domain of the From field. Write demands it.
	ReportedDomain string

	// OriginalMailFrom is the reverse-path without angle brackets, empty for the null reverse-path or where the report does
	// not tell; OriginalRecipients are the recipients, OriginalEnvelopeID is the ENVID (RFC 3461 §4.4). All are optional.
	OriginalMailFrom   string
	OriginalRecipients []string
	OriginalEnvelopeID string
	// ArrivalDate is when the message arrived; SourceIP and SourcePort (RFC 6692) are the client's. All are optional.
	ArrivalDate time.Time
	SourceIP    netip.Addr
	SourcePort  uint16
	// ReportingMTA is the host name of the receiver; optional.
	ReportingMTA string
	// Incidents is how many messages the report stands for; 0 means one.
	Incidents uint32

	// DKIMDomain, DKIMIdentity and DKIMSelector are d=, i= and s= of the signature that failed. RFC 9991 §4 demands them for
	// a failure of an aligned one.
	DKIMDomain, DKIMIdentity, DKIMSelector string
	// DKIMSelectorDNS is the key record; optional.
	DKIMSelectorDNS string
	// DKIMCanonicalizedHeader and DKIMCanonicalizedBody are what the verifier hashed; optional. They say as much about
	// persons as the message does.
	DKIMCanonicalizedHeader, DKIMCanonicalizedBody []byte
	// SPFDNS are the SPF records that were used. RFC 9991 §4 demands them for a failure of an aligned identifier.
	SPFDNS []FailureSPF

	// Text is the part of the report for a person, with lines that end in LF; Write has a default.
	Text string
	// Header is the header of the failed message, without the empty line that ends it. Write demands it.
	Header []byte
	// Body is the body of the failed message, nil when it is not told.
	Body []byte

	// Warnings say what the parser found amiss; at most MaxReportWarnings.
	Warnings []string
}

// FailureSPF is a record that SPF looked up (RFC 6591 §3.2.6).
type FailureSPF struct {
	Type   string // "txt", for which empty stands when writing, or the obsolete "spf"
	Domain string // where it was found
	Record string
}
