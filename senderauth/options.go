package senderauth

import (
	"context"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/spf"
)

// DefaultMaxTime is the default of Options.MaxTime. It leaves SPF the twenty seconds of RFC 7208 §4.6.4.
const DefaultMaxTime = 30 * time.Second

// Options say how to check and what to do about it. The zero value checks and tags.
type Options struct {
	// AuthServID is the authserv-id of the Authentication-Results field (RFC 8601 §2.5); empty: the server's Hostname.
	AuthServID string
	// Resolver asks the DNS; nil: net.DefaultResolver. For one message each question is asked once. A resolver with a
	// cache makes it once for many.
	Resolver Resolver

	// Policy says what becomes of messages by what was found.
	Policy Policy

	// TrustedSealers are the domains of forwarders and lists whose word is taken for how a message came to them: a message
	// that fails DMARC is treated as if it passed when an ARC chain that passes shows that it did so before, and when the
	// set that says so and all newer ones are sealed by these domains (RFC 8617 §7.2.1). Such a domain must check mail
	// well and let nobody else seal: it can make any author's domain pass. Empty: chains are only reported.
	TrustedSealers []string

	// CheckHelo also checks the EHLO name by SPF (RFC 7208 §2.3), which otherwise is checked for the null reverse-path
	// only. Its outcome counts for Policy as that of the reverse-path does, except for None, which most names give.
	CheckHelo bool
	// AcceptPartialBody counts a DKIM signature that covers only the beginning of the body (l=) although more follows.
	// Without it such a signature is "policy" and no reason for DMARC to pass: the rest may be anybody's (RFC 6376 §8.2).
	AcceptPartialBody bool

	// MaxTime limits the time that the DNS may take for one message, two thirds of it at MAIL and what is left when the
	// message is there. What is not known then is a temperror. 0: DefaultMaxTime.
	MaxTime time.Duration

	// Skip names sessions that are not checked and whose Authentication-Results fields are believed, such as those from
	// one's own servers. It is asked at each message; nil: none.
	Skip func(s *smtpd.Session) bool
	// OnResult is told what was found for each message and what is about to be done; nil: nobody. It must not change the
	// message, which has the new field already, or the result, and may be called by several sessions at once.
	OnResult func(ctx context.Context, tx *smtpd.Transaction, msg *mailbricks.Message, r *Result)

	// SPF, DKIM, ARC and DMARC have limits. The Resolver of SPF and DMARC and the Hostname of SPF are set here if they are
	// not; a Resolver of their own does not share look-ups.
	SPF   spf.Checker
	DKIM  dkim.Options
	ARC   arc.Options
	DMARC dmarc.Evaluator
}
