package dmarc

// Result is the outcome of an evaluation, with the names of RFC 9989 §9.2.
type Result uint8

// The results of RFC 9989 §9.2.
const (
	// None: there is no policy record for the author domain.
	None Result = iota
	// Pass: an authenticated identifier is aligned with the author domain.
	Pass
	// Fail: there is a policy record, and no authenticated identifier is aligned.
	Fail
	// TempError: the DNS did not answer, so that the message can neither pass nor fail (RFC 9989 §5.3.6).
	TempError
	// PermError: the message has no single author domain, or the policy record cannot be used.
	PermError
)

// String is the result as an Authentication-Results field has it.
func (r Result) String() string {
	switch r {
	case None:
		return "none"
	case Pass:
		return "pass"
	case Fail:
		return "fail"
	case TempError:
		return "temperror"
	case PermError:
		return "permerror"
	}
	return "unknown"
}

// Policy is what a domain owner asks for when a message fails, from the mildest to the strictest (RFC 9989 §4.7, "p").
type Policy uint8

// The policies of RFC 9989 §4.7.
const (
	PolicyNone Policy = iota
	PolicyQuarantine
	PolicyReject
)

// String is the policy as a record has it.
func (p Policy) String() string {
	switch p {
	case PolicyQuarantine:
		return "quarantine"
	case PolicyReject:
		return "reject"
	}
	return "none"
}

// milder is one level below p, for records in test mode (RFC 9989 §4.7, "t").
func (p Policy) milder() Policy {
	if p == PolicyNone {
		return p
	}
	return p - 1
}

// Discovery is how policies and organizational domains are found.
type Discovery uint8

// The ways of discovery.
const (
	TreeWalk       Discovery = iota // the DNS tree walk of RFC 9989 §4.10
	PublicSuffixes                  // a public suffix list and RFC 7489 §6.6.3
)

// String is the way as an aggregate report has it (RFC 9990, "discovery_method").
func (d Discovery) String() string {
	if d == PublicSuffixes {
		return DiscoveryPSL
	}
	return DiscoveryTreeWalk
}

// Verdict is what an evaluation found.
type Verdict struct {
	Result Result
	// AuthorDomain is the domain of the From field that decided, in lower case with A-labels; empty when there is none.
	AuthorDomain string
	// Policy is the policy for AuthorDomain, taken from p, sp or np after test mode and sampling. That the domain does not
	// exist, so that np counts, and sampling are looked at for Fail only. It says nothing for None, TempError and PermError.
	Policy Policy
	// Disposition is what is asked for this message: Policy for Fail, PolicyNone otherwise.
	Disposition Policy
	// TestMode says that Policy is one level below what the record has, as it is in test mode (t=y).
	TestMode bool
	// SampledOut says that Policy is one level below what the record has, as the message is not among those to which the
	// policy applies (pct, RFC 7489 §6.6.4).
	SampledOut bool
	// Discovery is how Record and OrgDomain were found.
	Discovery Discovery
	// Record is the policy record, nil when none was found, and RecordDomain the domain that published it: AuthorDomain,
	// its organizational domain or its public suffix domain.
	Record       *Record
	RecordDomain string
	// OrgDomain is the organizational domain of AuthorDomain; empty where nothing depended on it.
	OrgDomain string
	// Aligned are the identifiers that made the message pass. SPFAligned and DKIMAligned say of which methods there are any.
	Aligned                 []Identifier
	SPFAligned, DKIMAligned bool
	// Err is the reason for TempError and PermError, and it tells what is wrong with the From field whenever something
	// is; nil otherwise.
	Err error
}

// Identifier is an authenticated identifier (RFC 9989 §3.2.1).
type Identifier struct {
	Method string // "spf" or "dkim"
	Domain string // lower case, A-labels
}
