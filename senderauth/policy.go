package senderauth

import "fmt"

// Action is what becomes of a message.
type Action uint8

// The actions, from the mildest to the strictest.
const (
	// Tag accepts the message; its Authentication-Results field tells.
	Tag Action = iota
	// Junk accepts it and has the store put it aside (Envelope.Quarantine).
	Junk
	// Defer refuses it for now (451), so that the sender tries again.
	Defer
	// Reject refuses it for good (550). For an outcome that another try may mend (the fields of [Policy] whose names end
	// in TempError) it is Defer: a DNS that does not answer never loses a message.
	Reject
)

// String is the action's name as [Action.UnmarshalText] reads it: "tag", "junk", "defer" or "reject".
func (a Action) String() string {
	switch a {
	case Tag:
		return "tag"
	case Junk:
		return "junk"
	case Defer:
		return "defer"
	case Reject:
		return "reject"
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}

// MarshalText is String, for configuration files.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads an action's name.
func (a *Action) UnmarshalText(text []byte) error {
	for known := Tag; known <= Reject; known++ {
		if known.String() == string(text) {
			*a = known
			return nil
		}
	}
	return fmt.Errorf("senderauth: %.40q is no action: tag, junk, defer or reject is one", text)
}

// Policy says what becomes of a message, one action for each outcome. Of several that apply the strictest is taken. The
// zero value tags everything; [Enforce] is a good choice otherwise.
type Policy struct {
	// DMARCReject and DMARCQuarantine are for messages that fail DMARC and whose author's domain asks for "reject" and
	// "quarantine". RFC 9989 §7.4 wants a receiver that has no other knowledge of its mail to use Junk for both.
	// [Options.TrustedSealers] are such knowledge.
	DMARCReject, DMARCQuarantine Action
	// DMARCTempError is for messages whose DMARC policy or alignment cannot be found out for now.
	DMARCTempError Action
	// DMARCPermError is for messages of a domain whose policy record cannot be used.
	DMARCPermError Action

	// NoFrom is for messages without a From field that has a domain, which nobody answers for. BadFrom is for those with
	// several From fields, one that can be read in more than one way or not to its end, or more author domains than
	// DMARC looks at; each domain's own policy holds besides.
	NoFrom, BadFrom Action

	// The SPF actions are for messages that DMARC does not pass (RFC 9989 §7.1), by the outcome for the reverse-path and,
	// where it was checked, the EHLO name. Where DMARC cannot be decided for now, Reject is no more than Junk.
	SPFFail, SPFSoftFail, SPFNeutral, SPFNone, SPFTempError, SPFPermError Action

	// The DKIM actions are for messages that DMARC does not pass either and that have no passing signature: for a lack of
	// signatures (None), for signatures that fail or are not valid (Fail), and for some that cannot be checked for now
	// (TempError). RFC 6376 §6.1 advises against anything but Tag for the first two. Here too Reject is no more than Junk
	// where DMARC cannot be decided for now.
	DKIMNone, DKIMFail, DKIMTempError Action

	// The iprev actions are for clients whose names do not lead back to their address (Fail), that have no name (None,
	// which is iprev's "permerror"), or whose name cannot be found out for now (TempError), whatever DMARC says.
	IPRevFail, IPRevNone, IPRevTempError Action
}

// Enforce is the policy that does as the domains of authors ask with mail that fails DMARC, and tags otherwise.
func Enforce() Policy { return Policy{DMARCReject: Reject, DMARCQuarantine: Junk} }
