package senderdomain

import "fmt"

// Finding is what was found about a domain.
type Finding int

// The findings.
const (
	Fine        Finding = iota // it can take mail, or was not looked at
	NullMX                     // it says that it takes no mail (RFC 7505)
	Unknown                    // it has neither MX nor addresses
	Nonexistent                // it does not exist at all (NXDOMAIN, RFC 8020); where that cannot be told it is Unknown
	Unroutable                 // its hosts have no addresses, or only such as no one else can reach
	Literal                    // it is an address in brackets
	Fault                      // the DNS could not be asked: another time it may be
)

// String says what is wrong, for a log or a reply.
func (f Finding) String() string {
	texts := [...]string{
		Fine:        "can take mail",
		NullMX:      "takes no mail (null MX)",
		Unknown:     "not found",
		Nonexistent: "does not exist",
		Unroutable:  "has no host that can be reached",
		Literal:     "is an address, not a domain",
		Fault:       "cannot be looked up now",
	}
	if f < 0 || int(f) >= len(texts) {
		return fmt.Sprintf("Finding(%d)", int(f))
	}
	return texts[f]
}

// Action is what is done about a message for what was found.
type Action int

// The actions.
const (
	// Default is what Options says for the finding.
	Default Action = iota
	// Off does not look: the domain is Fine, or what another finding says.
	Off
	// Mark does nothing but what Of tells.
	Mark
	// Quarantine puts the message aside when it is stored.
	Quarantine
	// Defer refuses MAIL for now, with 450 4.1.8, for a Fault with 451 4.4.3.
	Defer
	// Refuse refuses MAIL for good, with 550 5.1.8, for a NullMX with 550 5.7.27 (RFC 7505 §4.2). A Fault it refuses for now.
	Refuse
)
