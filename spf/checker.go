package spf

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

// The defaults of a Checker's limits, RFC 7208 §4.6.4.
const (
	DefaultMaxLookups     = 10
	DefaultMaxVoidLookups = 2
	DefaultMaxMX          = 10
	DefaultMaxPTR         = 10
	DefaultMaxTime        = 20 * time.Second
	// DefaultMaxExplanation leaves room for a code and some words of one's own in an SMTP reply line (RFC 5321 §4.5.3.1.5).
	DefaultMaxExplanation = 400
)

// What Verdict.Err may have in its chain.
var (
	// ErrNoDomain: the identity is no fully qualified domain name (None).
	ErrNoDomain = errors.New("no fully qualified domain name to check")
	// ErrNoAddress: the client has no IP address (None).
	ErrNoAddress = errors.New("client has no IP address")
	// ErrNoRecord: the domain has no SPF record (None; PermError where include or redirect name it).
	ErrNoRecord = errors.New("no SPF record")
	// ErrMultipleRecords: the domain has more than one SPF record (PermError).
	ErrMultipleRecords = errors.New("more than one SPF record")
	// ErrSyntax: a record does not follow the grammar (PermError).
	ErrSyntax = errors.New("syntax error")
	// ErrTooManyLookups: more terms ask the DNS than RFC 7208 §4.6.4 allows (PermError).
	ErrTooManyLookups = errors.New("too many terms that need DNS look-ups")
	// ErrTooManyVoidLookups: more terms found nothing in the DNS than RFC 7208 §4.6.4 allows (PermError).
	ErrTooManyVoidLookups = errors.New("too many DNS look-ups without an answer")
	// ErrTooManyMX: a domain has more MX hosts than RFC 7208 §4.6.4 allows (PermError).
	ErrTooManyMX = errors.New("too many MX hosts")
	// ErrTarget: include or redirect lead to what is no domain name (PermError).
	ErrTarget = errors.New("target is no fully qualified domain name")
)

// Client is what is known of an SMTP client.
type Client struct {
	// IP is where it connects from. An IPv4-mapped IPv6 address counts as IPv4 (RFC 7208 §5).
	IP netip.Addr
	// Helo is the name it gave with EHLO or HELO, as it was given.
	Helo string
	// From is the reverse-path without angle brackets; empty for the null reverse-path and when only Helo is to be
	// checked. Its domain may have U-labels (SMTPUTF8). One without "@" is a domain, whose local part is "postmaster"
	// (RFC 7208 §4.3).
	From string
}

// Checker evaluates SPF records. Its zero value is ready for use; its fields must not change while it is in use. One
// Checker serves any number of checks at once.
//
// In the limits, 0 stands for the default and a negative value for none allowed.
type Checker struct {
	// Resolver asks the DNS; nil: net.DefaultResolver.
	Resolver Resolver
	// Hostname is the name of the receiving host for the macro %{r}; empty: "unknown".
	Hostname string
	// MaxLookups limits the terms that ask the DNS; more give PermError.
	MaxLookups int
	// MaxVoidLookups limits the terms that ask the DNS and find nothing; more give PermError.
	MaxVoidLookups int
	// MaxMX limits the MX hosts of one mx mechanism; more give PermError.
	MaxMX int
	// MaxPTR limits the names of the client's address; more are ignored.
	MaxPTR int
	// MaxTime limits the time of one check, which is TempError behind it. RFC 7208 asks for at least 20 seconds. Negative:
	// only the context limits it.
	MaxTime time.Duration
	// MaxExplanation limits Verdict.Explanation, in octets; what is longer is cut.
	MaxExplanation int
}

// Check finds out whether c.IP may send mail with the reverse-path c.From or, when that is empty, as the host c.Helo:
// check_host() of RFC 7208 §4 with the identities of §2.3 and §2.4. Errors are in the verdict.
func (k *Checker) Check(ctx context.Context, c Client) Verdict {
	c.IP = c.IP.Unmap().WithZone("")
	v := Verdict{Client: c}
	local, domain := "", c.Helo
	if c.From == "" {
		v.Identity = Helo
	} else {
		at := strings.LastIndexByte(c.From, '@') // without one all is domain: <sender> has no local part (RFC 7208 §4.3)
		local, domain = c.From[:max(at, 0)], c.From[at+1:]
	}
	if local == "" {
		local = "postmaster" // RFC 7208 §4.3
	}
	domain, ok := mailDomain(domain)
	switch {
	case !ok:
		v.Err = fail("check", ErrNoDomain)
		return v
	case !c.IP.IsValid():
		v.Err = fail("check", ErrNoAddress)
		return v
	}
	v.Domain = domain
	if limit := orDefault(k.MaxTime, DefaultMaxTime); k.MaxTime >= 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	e := k.evaluation(ctx, c)
	e.local, e.senderDomain = local, domain
	out := e.checkHost(domain)
	v.Result, v.Mechanism, v.Err = out.result, out.mechanism, out.err
	if out.result == Fail {
		v.Explanation = e.explain(out)
	}
	v.Lookups = e.dns.log
	return v
}

// Check is Checker.Check with the defaults and a resolver, nil for net.DefaultResolver.
func Check(ctx context.Context, resolver Resolver, c Client) Verdict {
	return (&Checker{Resolver: resolver}).Check(ctx, c)
}

func (k *Checker) evaluation(ctx context.Context, c Client) *evaluation {
	e := &evaluation{
		ctx: ctx, ip: c.IP, helo: c.Helo, host: k.Hostname,
		maxLookups: max(0, orDefault(k.MaxLookups, DefaultMaxLookups)),
		maxVoid:    max(0, orDefault(k.MaxVoidLookups, DefaultMaxVoidLookups)),
		maxMX:      max(0, orDefault(k.MaxMX, DefaultMaxMX)),
		maxPTR:     max(0, orDefault(k.MaxPTR, DefaultMaxPTR)),
		maxExplain: max(0, orDefault(k.MaxExplanation, DefaultMaxExplanation)),
	}
	e.dns.resolver = k.Resolver
	if e.host == "" {
		e.host = "unknown" // RFC 7208 §7.3
	}
	if !isASCII(e.helo) { // RFC 8616 §4
		if helo, ok := domainname.DNS(e.helo); ok {
			e.helo = helo
		}
	}
	return e
}

func orDefault[T int | time.Duration](n, def T) T {
	if n == 0 {
		return def
	}
	return n
}
