package hello

import "fmt"

// Rule is a rule for names. The first in this order that a name breaks counts.
type Rule int

// The rules.
const (
	None           Rule = iota // no rule is broken
	OwnName                    // a name of this server, from elsewhere
	OwnAddress                 // an address of this server, in brackets or not, from elsewhere
	ForeignAddress             // an address in brackets that is public and not the client's
	PrivateAddress             // an address in brackets that is private and not the client's, as a client behind NAT may give
	BareAddress                // an address without brackets
	Localhost                  // a name that each host has for itself, from elsewhere
	Malformed                  // no host name (RFC 1123 §2.1): "_", a number as the last label, brackets without an address
	NotQualified               // a name without a dot
	Unknown                    // a name without address and MX in the DNS
	Fault                      // the DNS could not be asked: another time it may be
)

// String says what is wrong, for a log or a reply.
func (r Rule) String() string {
	texts := [...]string{
		None:           "nothing is wrong with it",
		OwnName:        "that is this server's name",
		OwnAddress:     "that is this server's address",
		ForeignAddress: "that is not your address",
		PrivateAddress: "that is not your address here",
		BareAddress:    "an address must be in brackets",
		Localhost:      "that is every host's name",
		Malformed:      "that is not a host name",
		NotQualified:   "a fully qualified host name is needed",
		Unknown:        "that name is not found",
		Fault:          "that name cannot be looked up now",
	}
	if r < 0 || int(r) >= len(texts) {
		return fmt.Sprintf("Rule(%d)", int(r))
	}
	return texts[r]
}

// codes are the reply code and the enhanced one with which the rule is refused for good.
func (r Rule) codes() (int, string) {
	switch r {
	case BareAddress, Malformed:
		return 501, "5.5.2"
	case NotQualified:
		return 504, "5.5.2"
	}
	return 550, "5.7.1"
}

// Action is what is done about a client whose name breaks a rule.
type Action int

// The actions.
const (
	// Default is what Options says for the rule.
	Default Action = iota
	// Off does not look: the name may break a later rule.
	Off
	// Mark does nothing but what Of tells.
	Mark
	// Quarantine puts its mail aside when it is stored.
	Quarantine
	// Defer refuses it for now, with 450 4.7.1.
	Defer
	// Refuse refuses it for good: with 501 5.5.2 for what is malformed, 504 5.5.2 for what is not qualified, else 550 5.7.1.
	Refuse
)
