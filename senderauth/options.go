package senderauth

import (
	"context"
	"net"
	"net/netip"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/spf"
)

// Action is what becomes of a message.
type Action uint8

// The actions.
const (
	// Tag accepts the message; its Authentication-Results field tells.
	Tag Action = iota
	// Junk accepts it and has the store put it aside (Envelope.Quarantine).
	Junk
	// Reject refuses it.
	Reject
)

// Resolver asks the DNS; *net.Resolver is one. See the interfaces of spf, dkim and dmarc for what it must do, and
// dmarc.ExactResolver for what it may do besides.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

// Options say how to check and what to do about it. The zero value checks and tags.
type Options struct {
	// AuthServID is the authserv-id of the Authentication-Results field (RFC 8601 §2.5); empty: the server's Hostname.
	AuthServID string
	// Resolver asks the DNS; nil: net.DefaultResolver. A resolver with a cache serves best.
	Resolver Resolver

	// EnforceDMARC does as the policy of the author's domain says when DMARC fails: p=reject is 550 5.7.1, p=quarantine
	// is Junk.
	EnforceDMARC bool
	// DeferTempError refuses a message for now (451 4.7.0) when DMARC cannot be decided because the DNS does not answer.
	// Without it the message is accepted, with temperror in the field.
	DeferTempError bool
	// SPFFail is what becomes of a message that SPF fails and DMARC does not pass; Reject is 550 5.7.23 (RFC 7372 §3.2).
	// Where DMARC cannot be decided for now, Reject is no more than Junk.
	SPFFail Action
	// CheckHelo also checks the EHLO name by SPF (RFC 7208 §2.3), which otherwise is checked for the null reverse-path
	// only. Its Fail counts for SPFFail as that of the reverse-path does.
	CheckHelo bool
	// AcceptPartialBody counts a DKIM signature that covers only the beginning of the body (l=) although more follows.
	// Without it such a signature is "policy" and no reason for DMARC to pass: the rest may be anybody's (RFC 6376 §8.2).
	AcceptPartialBody bool

	// Skip names sessions that are not checked and whose Authentication-Results fields are believed, such as those from
	// one's own servers. It is asked at each message; nil: none.
	Skip func(s *smtpd.Session) bool
	// OnResult is told what was found for each message before anything is done about it; nil: nobody. It must not change
	// the result, and may be called by several sessions at once.
	OnResult func(ctx context.Context, tx *smtpd.Transaction, r *Result)

	// SPF, DKIM and DMARC have limits; their Resolver and, for SPF, Hostname are set here if they are not.
	SPF   spf.Checker
	DKIM  dkim.Options
	DMARC dmarc.Evaluator
}
