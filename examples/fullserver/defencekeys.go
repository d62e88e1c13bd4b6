package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/internal/domainname"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/ban"
	"github.com/mailbricks/mailbricks/smtpd/dnsbl"
	"github.com/mailbricks/mailbricks/smtpd/earlytalker"
	"github.com/mailbricks/mailbricks/smtpd/greylist"
	"github.com/mailbricks/mailbricks/smtpd/hello"
	"github.com/mailbricks/mailbricks/smtpd/senderdomain"
)

// defence is the part of the configuration that says who is let in, and how often.
type defence struct {
	exempt     []netip.Prefix // from all of it but the limits
	greetDelay time.Duration
	early      earlytalker.Options
	hello      hello.Options
	sender     senderdomain.Options

	dnsbl    dnsblConfig
	greylist greylistConfig
	ban      banConfig
	rates    rates
	session  sessionConfig
}

// dnsblConfig are the keys of the section dnsbl.
type dnsblConfig struct {
	lists                             []string
	rejectAt, deferAt, junkAt, goodAt int
	timeout                           time.Duration
}

// greylistConfig are the keys of the section greylist.
type greylistConfig struct {
	on                          bool
	delay, window, maxAge       time.Duration
	autoWhitelist               int
	clients                     []netip.Prefix
	clientNames, recipientNames []string
}

// banConfig are the keys of the section ban.
type banConfig struct {
	on                       bool
	threshold                int
	halfLife, first, longest time.Duration
	never                    []netip.Prefix
}

// rates are how much may come in a time.
type rates struct {
	clientConnections, clientMessages, clientRecipients rate
	userMessages, userRecipients                        rate
}

// sessionConfig are the limits of a session.
type sessionConfig struct {
	perNetwork, errors, badRecipients, deferredRecipients, authFailures, minDataRate, stress int

	command, data, whole          time.Duration
	repairLineEnds, hideSubmitter bool
	xclientFrom                   []netip.Prefix
}

// maxGreetDelay is the longest delay of a greeting. Clients wait for five minutes (RFC 5321 §4.5.3.2.1), but hold a connection.
const maxGreetDelay = time.Minute

// privateNetworks are those of RFC 1918, RFC 6598 and RFC 4193: many hosts can be behind one of their addresses, such as all
// users of a webmail or all that comes through a NAT.
func privateNetworks() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fc00::/7"),
	}
}

func defaultDefence() defence {
	return defence{
		exempt:     []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		greetDelay: earlytalker.DefaultDelay,
		hello:      hello.Options{ForeignAddress: hello.Mark}, // RFC 5321 §4.1.4 forbids to refuse for it
		dnsbl:      dnsblConfig{rejectAt: dnsbl.DefaultRefuseAt, goodAt: dnsbl.DefaultGoodAt, timeout: dnsbl.DefaultMaxTime},
		greylist: greylistConfig{
			delay: greylist.DefaultDelay, window: greylist.DefaultWindow, maxAge: greylist.DefaultMaxAge,
			autoWhitelist: greylist.DefaultAutoWhitelist, recipientNames: []string{"postmaster@", "abuse@"},
		},
		ban: banConfig{
			on: true, threshold: ban.DefaultThreshold, halfLife: ban.DefaultHalfLife, first: ban.DefaultFirstBan, longest: ban.DefaultMaxBan,
			never: privateNetworks(),
		},
		rates: rates{
			clientConnections: rate{60, time.Minute, 120}, clientMessages: rate{120, time.Minute, 500},
			clientRecipients: rate{600, time.Minute, 2000},
			userMessages:     rate{300, time.Hour, 150}, userRecipients: rate{2000, 24 * time.Hour, 1000},
		},
		session: sessionConfig{
			perNetwork: smtpd.DefaultMaxConnectionsPerNetwork, errors: smtpd.DefaultMaxErrors, badRecipients: smtpd.DefaultMaxBadRecipients,
			deferredRecipients: smtpd.DefaultMaxDeferredRecipients, authFailures: smtpd.DefaultMaxAuthFailures, minDataRate: smtpd.DefaultMinDataRate, stress: 100 * smtpd.DefaultStressThreshold,
			command: smtpd.DefaultCommandTimeout, data: smtpd.DefaultDataTimeout, whole: smtpd.DefaultSessionTimeout,
			hideSubmitter: true,
		},
	}
}

// keys are the keys with what sets them.
func (d *defence) keys() map[string]setter {
	s := &d.session
	keys := map[string]setter{
		"policy.exempt_networks": parsed(&d.exempt, parseNetwork),
		"policy.greet_delay":     durationOrNone(&d.greetDelay, maxGreetDelay),
		"policy.bare_line_ends":  choice(&s.repairLineEnds, map[string]bool{"reject": false, "repair": true}),
		"policy.hide_submitter":  boolean(&s.hideSubmitter),
		"policy.xclient_from":    parsed(&s.xclientFrom, parseNetwork),

		"dnsbl.lists":     texts(&d.dnsbl.lists, dnsList),
		"dnsbl.reject_at": number(&d.dnsbl.rejectAt, 0, 1000),
		"dnsbl.defer_at":  number(&d.dnsbl.deferAt, 0, 1000),
		"dnsbl.junk_at":   number(&d.dnsbl.junkAt, 0, 1000),
		"dnsbl.good_at":   number(&d.dnsbl.goodAt, -1000, -1),
		"dnsbl.timeout":   duration(&d.dnsbl.timeout),

		"greylist.enabled":        boolean(&d.greylist.on),
		"greylist.delay":          duration(&d.greylist.delay),
		"greylist.window":         duration(&d.greylist.window),
		"greylist.max_age":        duration(&d.greylist.maxAge),
		"greylist.auto_whitelist": number(&d.greylist.autoWhitelist, 0, 1000),
		"greylist.clients":        parsed(&d.greylist.clients, parseNetwork),
		"greylist.client_names":   texts(&d.greylist.clientNames, domainName),
		"greylist.recipients":     texts(&d.greylist.recipientNames, greylistRecipient),

		"ban.enabled":   boolean(&d.ban.on),
		"ban.threshold": number(&d.ban.threshold, 1, 1_000_000),
		"ban.half_life": duration(&d.ban.halfLife),
		"ban.first":     duration(&d.ban.first),
		"ban.longest":   duration(&d.ban.longest),
		"ban.never":     parsed(&d.ban.never, parseNetwork),

		"limits.client_connections":      rateKey(&d.rates.clientConnections),
		"limits.client_messages":         rateKey(&d.rates.clientMessages),
		"limits.client_recipients":       rateKey(&d.rates.clientRecipients),
		"limits.user_messages":           rateKey(&d.rates.userMessages),
		"limits.user_recipients":         rateKey(&d.rates.userRecipients),
		"limits.connections_per_network": number(&s.perNetwork, 1, 1_000_000),
		"limits.errors":                  number(&s.errors, 1, 1000),
		"limits.bad_recipients":          number(&s.badRecipients, 1, 100_000),
		"limits.deferred_recipients":     number(&s.deferredRecipients, 1, 1_000_000),
		"limits.auth_failures":           number(&s.authFailures, 1, 1000),
		"limits.min_data_rate":           number(&s.minDataRate, 0, 1<<20),
		"limits.stress":                  number(&s.stress, 0, 100),
		"limits.command_timeout":         duration(&s.command),
		"limits.data_timeout":            duration(&s.data),
		"limits.session_timeout":         duration(&s.whole),
	}
	for key, set := range d.actionKeys() {
		keys["policy."+key] = set
	}
	return keys
}

// actionKeys are the keys that say what becomes of a client or its mail for one finding.
func (d *defence) actionKeys() map[string]setter {
	early := map[string]earlytalker.Action{"reject": earlytalker.Refuse, "junk": earlytalker.Quarantine, "tag": earlytalker.Mark, "off": earlytalker.Ignore}
	keys := map[string]setter{"early_talker": choice(&d.early.Early, early), "pipelining": choice(&d.early.Pipelining, early)}
	names := map[string]hello.Action{"reject": hello.Refuse, "defer": hello.Defer, "junk": hello.Quarantine, "tag": hello.Mark, "off": hello.Off}
	for key, to := range map[string]*hello.Action{
		"own_name": &d.hello.OwnName, "own_address": &d.hello.OwnAddress, "foreign_address": &d.hello.ForeignAddress,
		"private_address": &d.hello.PrivateAddress, "bare_address": &d.hello.BareAddress, "localhost": &d.hello.Localhost,
		"malformed": &d.hello.Malformed, "not_qualified": &d.hello.NotQualified, "unknown": &d.hello.Unknown,
	} {
		keys["hello_"+key] = choice(to, names)
	}
	domains := map[string]senderdomain.Action{
		"reject": senderdomain.Refuse, "defer": senderdomain.Defer, "junk": senderdomain.Quarantine, "tag": senderdomain.Mark, "off": senderdomain.Off,
	}
	for key, to := range map[string]*senderdomain.Action{
		"null_mx": &d.sender.NullMX, "unknown": &d.sender.Unknown, "nonexistent": &d.sender.Nonexistent,
		"unroutable": &d.sender.Unroutable, "literal": &d.sender.Literal,
	} {
		keys["sender_"+key] = choice(to, domains)
	}
	keys["sender_fault"] = choice(&d.sender.Fault, map[string]senderdomain.Action{ // never a reason to refuse for good
		"defer": senderdomain.Defer, "junk": senderdomain.Quarantine, "tag": senderdomain.Mark, "off": senderdomain.Off,
	})
	return keys
}

// finish checks what must agree. The key that it names is one that was set.
func (d *defence) finish() error {
	l, b := d.greylist, d.ban
	switch {
	case l.window <= l.delay && l.window == greylist.DefaultWindow:
		return &keyError{"greylist.delay", "must be shorter than greylist.window, which is " + inDays(l.window)}
	case l.window <= l.delay:
		return &keyError{"greylist.window", "must be longer than greylist.delay, which is " + inDays(l.delay)}
	case b.longest < b.first && b.longest == ban.DefaultMaxBan:
		return &keyError{"ban.first", "must not be longer than ban.longest, which is " + inDays(b.longest)}
	case b.longest < b.first:
		return &keyError{"ban.longest", "must not be shorter than ban.first, which is " + inDays(b.first)}
	}
	return nil
}

// dnsList is an entry of dnsbl.lists.
func dnsList(s string) error {
	_, err := dnsbl.ParseList(s)
	return err
}

// greylistRecipient is an address, a local part with an "@" behind it, or a domain.
func greylistRecipient(s string) error {
	local, domain, at := strings.Cut(s, "@")
	if at && local != "" && domain == "" {
		return nil
	}
	if at && local != "" {
		return mailAddress(s)
	}
	if !at {
		domain = local
	}
	if _, ok := domainname.DKIM(domain); !ok {
		return fmt.Errorf(`%.80q is neither an address, nor "postmaster@", nor a domain`, s)
	}
	return nil
}

// rate is how much there may be: count in the time per in the long run, burst at once. The zero rate is none.
type rate struct {
	count int
	per   time.Duration
	burst int
}

// rateKey takes a rate such as "60/1m", or "60/1m+120" with what may come at once after a rest; 0 and "off" are none.
func rateKey(to *rate) setter {
	return func(value any) error {
		var s string
		if n, ok := value.(int64); ok && n == 0 {
			value = "off"
		}
		if err := text(&s, anything)(value); err != nil {
			return errors.New(`must be a rate such as "60/1m", or "off"`)
		}
		r, err := parseRate(s)
		if err != nil {
			return fmt.Errorf(`%.80q is not a rate such as "60/1m" or "60/1m+120", or "off"`, s)
		}
		*to = r
		return nil
	}
}

// maxRate is the most that a rate can count.
const maxRate = 100_000_000

func parseRate(s string) (rate, error) {
	if s == "off" || s == "0" {
		return rate{}, nil
	}
	count, rest, _ := strings.Cut(s, "/")
	per, burst, hasBurst := strings.Cut(rest, "+")
	var r rate
	var err error
	if r.count, err = strconv.Atoi(count); err != nil {
		return rate{}, err
	}
	if r.per, err = parseDuration(per); err != nil {
		return rate{}, err
	}
	r.burst = r.count
	if hasBurst {
		if r.burst, err = strconv.Atoi(burst); err != nil {
			return rate{}, err
		}
	}
	if r.count < 1 || r.count > maxRate || r.burst < 1 || r.burst > maxRate || r.per < time.Second {
		return rate{}, errors.New("out of range")
	}
	_, err = limiter(rates{clientConnections: r}.inbound(), nil) // whether it can be counted
	return r, err
}
