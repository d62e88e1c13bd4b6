package greylist

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/domainname"
	"github.com/mailbricks/mailbricks/internal/ipaddr"
	"github.com/mailbricks/mailbricks/internal/serving"
	"github.com/mailbricks/mailbricks/smtpd"
)

// Defaults of Options.
const (
	DefaultDelay         = 5 * time.Minute     // Postgrey's; RFC 6647 §5 asks for one minute at least
	DefaultWindow        = 48 * time.Hour      // Postgrey's; RFC 6647 §5 asks for 24 hours at least
	DefaultMaxAge        = 35 * 24 * time.Hour // Postgrey's; RFC 6647 §5 asks for a week at least
	DefaultAutoWhitelist = 5
	DefaultSuccessEvery  = time.Hour
	DefaultIPv4Bits      = 24
	DefaultIPv6Bits      = 64
	DefaultMaxWaiting    = 200_000
	DefaultMaxPerClient  = 1_000
	DefaultMaxKnown      = 200_000
	DefaultMaxClients    = 50_000
)

// Options are how mail is greylisted. The zero value does it as Postgrey does.
type Options struct {
	// Delay is how long a new triplet waits; default DefaultDelay.
	Delay time.Duration
	// Window is the age up to which a triplet that waits can come back; then it is as new. Default DefaultWindow.
	Window time.Duration
	// MaxAge is how long a triplet or a client is known after its last mail; default DefaultMaxAge.
	MaxAge time.Duration
	// AutoWhitelist is how many successes make a client known, whose mail is no longer greylisted; 1 does what RFC 6647 §5
	// recommends. Default DefaultAutoWhitelist; negative: never.
	AutoWhitelist int
	// SuccessEvery is the least time between two successes of a client that count, so that one burst does not make it known;
	// default DefaultSuccessEvery, negative: all count.
	SuccessEvery time.Duration
	// IPv4Bits and IPv6Bits are the length of the networks that count as one client, as large senders try again from another
	// address of theirs; default DefaultIPv4Bits and DefaultIPv6Bits.
	IPv4Bits, IPv6Bits int

	// Client, if not nil, may name who counts as the client instead of its network: the domain of a sender that has passed SPF,
	// say, for those who send from many networks. Empty: the network.
	Client func(*smtpd.Transaction) string
	// Clients are networks whose mail is not greylisted. That of this machine itself is not unless Client gives it a name.
	Clients []netip.Prefix
	// ClientNames are domains: mail from hosts in them is not greylisted, where a check in front (iprev, senderauth) has
	// put the confirmed host name into Session.ReverseName.
	ClientNames []string
	// Recipients are those whose mail is not greylisted: addresses, "local@" for a local part in all domains, "@domain" or
	// "domain" for a domain. Nil: postmaster@ and abuse@, which people write to when their mail does not get through.
	Recipients []string
	// Exempt, if not nil, says what other mail is not greylisted: that of a client on a DNSWL, say. It is asked last, and once
	// in a transaction, at the first recipient that is not one of Recipients.
	Exempt func(*smtpd.Transaction) bool
	// Skip, if not nil, says which sessions the check is not for. Those of users who have logged in are never greylisted
	// (RFC 6647 §5).
	Skip func(*smtpd.Session) bool

	// MaxWaiting is how many triplets that wait are kept; beyond, the oldest are dropped and have to wait anew. Default
	// DefaultMaxWaiting.
	MaxWaiting int
	// MaxPerClient is how many of them one client has; beyond, its own oldest are dropped. Default DefaultMaxPerClient.
	MaxPerClient int
	// MaxKnown is how many triplets are kept that came back; beyond, those without mail for the longest time are dropped.
	// Default DefaultMaxKnown.
	MaxKnown int
	// MaxClients is how many known clients are kept, and how many that are on their way there; beyond, those without mail for
	// the longest time are dropped. Default DefaultMaxClients.
	MaxClients int

	// OnDecision, if not nil, is told of each decision: for metrics. It should return at once.
	OnDecision func(ctx context.Context, tx *smtpd.Transaction, rcpt string, d Decision)
	// Logger gets a line for each decision at debug level, and what is wrong with the file; nil: none.
	Logger *slog.Logger
}

// complete fills in the defaults.
func (o *Options) complete() {
	o.Delay = serving.Positive(o.Delay, DefaultDelay)
	o.Window = max(serving.Positive(o.Window, DefaultWindow), o.Delay)
	o.MaxAge = serving.Positive(o.MaxAge, DefaultMaxAge)
	if o.AutoWhitelist == 0 {
		o.AutoWhitelist = DefaultAutoWhitelist
	}
	if o.SuccessEvery == 0 {
		o.SuccessEvery = DefaultSuccessEvery
	}
	o.IPv4Bits = min(serving.Positive(o.IPv4Bits, DefaultIPv4Bits), 32)
	o.IPv6Bits = min(serving.Positive(o.IPv6Bits, DefaultIPv6Bits), 128)
	o.MaxWaiting = serving.Positive(o.MaxWaiting, DefaultMaxWaiting)
	o.MaxPerClient = serving.Positive(o.MaxPerClient, DefaultMaxPerClient)
	o.MaxKnown = serving.Positive(o.MaxKnown, DefaultMaxKnown)
	o.MaxClients = serving.Positive(o.MaxClients, DefaultMaxClients)
	if o.Recipients == nil {
		o.Recipients = []string{"postmaster@", "abuse@"}
	}
	o.Logger = serving.Logger(o.Logger)
}

// recipients is a set of recipients that are not greylisted, in lower case.
type recipients map[string]bool

func newRecipients(list []string) recipients {
	set := recipients{}
	for _, r := range list {
		r = strings.ToLower(strings.TrimSpace(r))
		if !strings.Contains(r, "@") {
			r = "@" + r
		}
		local, domain := mailbricks.SplitAddress(r)
		set[local+"@"+canonical(domain)] = true
	}
	return set
}

// has says whether the set has the recipient, whose address is in lower case.
func (r recipients) has(address string) bool {
	local, domain := mailbricks.SplitAddress(address)
	return r[local+"@"+canonical(domain)] || r[local+"@"] || r["@"+canonical(domain)]
}

// canonical gives the form in which domains are compared.
func canonical(domain string) string {
	if form, ok := domainname.DNS(domain); ok {
		return form
	}
	return domain
}

// networks gives those that are some in the one form in which addresses are compared: IPv4 as itself, no zone.
func networks(list []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		if p = ipaddr.Network(p); p.IsValid() {
			out = append(out, p)
		}
	}
	return out
}

func canonicals(domains []string) []string {
	var out []string
	for _, d := range domains {
		if d = canonical(strings.TrimPrefix(strings.TrimSpace(d), ".")); d != "" {
			out = append(out, d)
		}
	}
	return out
}
