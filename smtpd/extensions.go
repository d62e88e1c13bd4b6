package smtpd

import (
	"fmt"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks"
)

// Extensions are the SMTP extensions of which a [mailbricks.Handler] keeps what they promise. The server reads their parameters
// into the [mailbricks.Envelope]; what they ask for the Handler does. Those that are not named here need no Handler's help.
type Extensions struct {
	// BinaryMIME is BINARYMIME (RFC 3030 §3): every octet of a body is kept, though it has no lines. The engine refuses bare
	// line ends and NULs in the header only.
	BinaryMIME bool
	// DSN is RFC 3461: notifications are sent, or asked for further on, as Return, EnvelopeID and of each recipient Notify and
	// OriginalRecipient say.
	DSN bool
	// RequireTLS is RFC 8689: a message with Envelope.RequireTLS goes on with verified TLS only. It is offered over TLS only.
	RequireTLS bool
	// DeliverBy is RFC 2852: Envelope.DeliverBy is kept. MinDeliverBy, if positive, is the shortest time that is taken with
	// mode R, in whole seconds up to 999999999.
	DeliverBy    bool
	MinDeliverBy time.Duration
	// MaxHold is FUTURERELEASE (RFC 4865): messages are held until Envelope.HoldUntil, for so long at most, in whole seconds up
	// to 999999999; 0: it is not offered. As it is for submission only (RFC 4865 §4.2), it is offered where Server.RequireAuth
	// is set and to peers that have logged in, and taken from the latter alone.
	MaxHold time.Duration
	// Priority is MT-PRIORITY (RFC 6710): messages go in the order of Envelope.Priority. Anybody may lower the priority of a
	// message; a higher one than 0 becomes 0 if it comes from a peer that MayRaise does not name (RFC 6710 §4.1). A check at Mail
	// may change it, too. The client is told of either.
	Priority bool
	// PriorityPolicy is the name of the Priority Assignment Policy for EHLO, such as "MIXER": up to 20 letters, digits, "-", "_"
	// and "."; empty: it is not told.
	PriorityPolicy string
	// MayRaise says who may ask for more than priority 0; nil: whoever has logged in.
	MayRaise func(mailbricks.Peer) bool
	// RecipientValidSince is RRVS (RFC 7293): a message does not reach a mailbox that has another owner since
	// Recipient.ValidSince.
	RecipientValidSince bool
}

// Extender is what a [mailbricks.Handler] is, too, that keeps what extensions promise. Of one that is not a server offers none
// of [Extensions].
type Extender interface {
	// SMTPExtensions is asked at each connection and must return at once.
	SMTPExtensions() Extensions
}

// Keeps is h with the promise to keep e. A Handler that is wrapped in another loses its promises, as the other may break them;
// whoever puts them together knows better and says so again.
func Keeps(h mailbricks.Handler, e Extensions) mailbricks.Handler { return keeper{h, e} }

type keeper struct {
	mailbricks.Handler
	extensions Extensions
}

func (k keeper) SMTPExtensions() Extensions { return k.extensions }

// extensionsOf are the promises of a Handler.
func extensionsOf(h mailbricks.Handler) Extensions {
	if e, ok := h.(Extender); ok {
		return e.SMTPExtensions()
	}
	return Extensions{}
}

// utcTime is a time as FUTURERELEASE has it.
const utcTime = "2006-01-02T15:04:05Z"

// maxSeconds is the longest time that parameters have, in seconds.
const maxSeconds = 999999999

// offers are the lines of the EHLO reply that offer something.
func (c *conn) offers() []string {
	lines := []string{
		"PIPELINING", fmt.Sprintf("SIZE %d", max(c.set.maxMessageSize, 0)), "8BITMIME", "CHUNKING", "ENHANCEDSTATUSCODES",
	}
	if !c.set.NoSMTPUTF8 {
		lines = append(lines, "SMTPUTF8")
	}
	if limits := c.limits(); limits != "" {
		lines = append(lines, "LIMITS"+limits)
	}
	lines = append(lines, c.promises()...)
	if c.offersTLS() {
		lines = append(lines, "STARTTLS")
	}
	if names := c.mechanisms(); len(names) > 0 && c.session.Peer.Identity == nil {
		lines = append(lines, "AUTH "+strings.Join(names, " "))
	}
	if c.trusted() {
		lines = append(lines, "XCLIENT "+strings.Join(clientAttributes[:], " "))
	}
	return append(lines, "HELP")
}

// promises are the lines for what the Handler keeps.
func (c *conn) promises() []string {
	var lines []string
	add := func(offered bool, line string) {
		if offered {
			lines = append(lines, line)
		}
	}
	add(c.ext.BinaryMIME, "BINARYMIME")
	add(c.ext.DSN, "DSN")
	add(c.offersRequireTLS(), "REQUIRETLS")
	add(c.ext.DeliverBy && c.ext.MinDeliverBy <= 0, "DELIVERBY")
	add(c.ext.DeliverBy && c.ext.MinDeliverBy > 0, fmt.Sprintf("DELIVERBY %d", wholeSeconds(c.ext.MinDeliverBy)))
	add(c.offersFutureRelease(), fmt.Sprintf("FUTURERELEASE %d %s", c.maxHold(), c.latestHold.Format(utcTime)))
	add(c.ext.Priority, strings.TrimRight("MT-PRIORITY "+policyName(c.ext.PriorityPolicy), " "))
	add(c.ext.RecipientValidSince, "RRVS")
	return lines
}

// limits are the parameters of LIMITS (RFC 9422 §3), each with a space in front; a value has at most six digits.
func (c *conn) limits() string {
	const most = 999999
	var b strings.Builder
	for _, limit := range []struct {
		name  string
		value int
	}{{"MAILMAX", c.set.maxTransactions}, {"RCPTMAX", c.set.maxRecipients}} {
		if limit.value > 0 && limit.value <= most {
			fmt.Fprintf(&b, " %s=%d", limit.name, limit.value)
		}
	}
	return b.String()
}

// offersTLS says whether STARTTLS is on offer.
func (c *conn) offersTLS() bool {
	return c.set.TLSConfig != nil && c.session.Peer.TLS == nil && c.proxy == nil
}

// offersRequireTLS says whether REQUIRETLS is on offer: with TLS only (RFC 8689 §2).
func (c *conn) offersRequireTLS() bool { return c.ext.RequireTLS && c.session.Peer.TLS != nil }

// offersFutureRelease says whether FUTURERELEASE is on offer.
func (c *conn) offersFutureRelease() bool {
	return c.ext.MaxHold >= time.Second && (c.set.RequireAuth || c.session.Peer.Identity != nil)
}

// maxHold is for how many seconds a message may be held at most.
func (c *conn) maxHold() int64 { return min(int64(c.ext.MaxHold/time.Second), maxSeconds) }

// wholeSeconds is d in whole seconds, rounded up, at most nine digits of them.
func wholeSeconds(d time.Duration) int64 {
	return min(int64((d+time.Second-1)/time.Second), maxSeconds)
}

// policyName is name if it can stand behind MT-PRIORITY (RFC 6710 §7), otherwise empty.
func policyName(name string) string {
	if len(name) > 20 || !isHostname(name) {
		return ""
	}
	return name
}

// lowerPriority takes a priority above 0 from a message of a peer that may not ask for it (RFC 6710 §4.1).
func (c *conn) lowerPriority(env *mailbricks.Envelope) {
	if env.Priority == nil || *env.Priority <= 0 {
		return
	}
	may := c.ext.MayRaise
	if may == nil {
		may = func(peer mailbricks.Peer) bool { return peer.Identity != nil }
	}
	if !may(env.Peer) {
		env.Priority = new(int)
	}
}

// senderOk is the reply to MAIL, which tells of a priority that is not the one asked for (RFC 6710 §4.1).
func senderOk(env *mailbricks.Envelope, asked *int) *mailbricks.Reply {
	if env.Priority == nil || asked != nil && *asked == *env.Priority {
		return senderFits
	}
	return ok("2.3.6", fmt.Sprintf("%d is the new priority assigned to the message", *env.Priority))
}
