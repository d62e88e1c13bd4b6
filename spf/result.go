package spf

// Result is the outcome of a check, RFC 7208 §2.6.
type Result uint8

// The results of RFC 7208 §2.6.
const (
	// None: there is no domain to check, or it has no SPF record.
	None Result = iota
	// Neutral: the domain says nothing about the host.
	Neutral
	// Pass: the host may send for the domain.
	Pass
	// Fail: the host may not send for the domain.
	Fail
	// SoftFail: the host probably may not send for the domain.
	SoftFail
	// TempError: the DNS did not answer; a later check may succeed.
	TempError
	// PermError: the domain's records cannot be interpreted; somebody has to mend them.
	PermError
)

// String is the result as RFC 7208 and RFC 8601 write it, in lower case.
func (r Result) String() string {
	switch r {
	case None:
		return "none"
	case Neutral:
		return "neutral"
	case Pass:
		return "pass"
	case Fail:
		return "fail"
	case SoftFail:
		return "softfail"
	case TempError:
		return "temperror"
	case PermError:
		return "permerror"
	}
	return "unknown"
}

// Identity is the name that was checked, RFC 7208 §2.3 and §2.4.
type Identity uint8

// The identities.
const (
	// MailFrom: the domain of the reverse-path.
	MailFrom Identity = iota
	// Helo: the name given with HELO or EHLO. It also stands in for a null reverse-path.
	Helo
)

// String is the word for the identity in a Received-SPF field (RFC 7208 §9.1).
func (i Identity) String() string {
	if i == Helo {
		return "helo"
	}
	return "mailfrom"
}

// Verdict is what a check found.
type Verdict struct {
	Result Result
	// Identity is which of the client's names was checked, Domain is its domain in lower case and with A-labels. Domain
	// is empty when the identity has no valid domain name, which gives None.
	Identity Identity
	Domain   string
	// Client is what was checked.
	Client Client
	// Mechanism is the directive of Domain's record (or of that which a redirect led to) that matched, as it is written
	// there but without its qualifier, such as "ip4:192.0.2.0/24" or "all"; empty when none matched.
	Mechanism string
	// Explanation is the domain's own text about a Fail (RFC 7208 §6.2), printable ASCII without line breaks; empty when
	// it gives none. A third party wrote it: say so where people read it.
	Explanation string
	// Err is the reason for TempError, PermError and None, with [ErrSyntax] and its like in its chain; nil otherwise. Its
	// text may quote the record.
	Err error
	// Lookups are the questions that were put to the DNS, in their order.
	Lookups []Lookup
}

// Lookup is one question to the DNS.
type Lookup struct {
	// Type is "TXT", "A", "AAAA", "MX" or "PTR".
	Type string
	// Name is the domain name, for PTR the address.
	Name string
	// Answers says how many records came back.
	Answers int
	// Err is the resolver's error, nil when there was none.
	Err error
}
