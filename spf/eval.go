package spf

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

// evaluation is one check with all its includes and redirects, which share its limits (RFC 7208 §4.1).
type evaluation struct {
	ctx   context.Context
	dns   querier
	ip    netip.Addr
	helo  string
	host  string
	local string
	// senderDomain is the domain of <sender>; it stays the same while <domain> changes.
	senderDomain string

	maxLookups, maxVoid, maxMX, maxPTR, maxExplain int

	lookups, voids int
	validated      []string // names of ip that lead back to it; valid once ptrDone
	ptrDone        bool
}

// outcome is what check_host() gives for one domain.
type outcome struct {
	result    Result
	mechanism string
	err       error
	domain    string      // whose record decided
	exp       macroString // of that record
}

// checkHost is check_host() of RFC 7208 §4 for a domain that is known to be well-formed.
func (e *evaluation) checkHost(domain string) outcome {
	rec, out := e.fetch(domain)
	if rec == nil {
		return out
	}
	for _, d := range rec.directives {
		matched, bad := e.match(d, domain)
		if bad != nil {
			return *bad
		}
		if matched {
			return outcome{result: d.result, mechanism: d.text, domain: domain, exp: rec.exp}
		}
	}
	if rec.redirect != nil {
		return e.redirect(rec.redirect, domain)
	}
	return outcome{result: Neutral, domain: domain} // RFC 7208 §4.7
}

// fetch gets and parses the record of a domain; without one it gives the outcome that follows (RFC 7208 §4.4, §4.5).
func (e *evaluation) fetch(domain string) (*record, outcome) {
	txts, err := e.dns.txt(e.ctx, domain)
	if err != nil {
		return nil, outcome{result: TempError, err: fail(domain, err)}
	}
	var found []string
	for _, txt := range txts {
		if isRecord(txt) {
			found = append(found, txt)
		}
	}
	switch len(found) {
	case 0:
		return nil, outcome{result: None, err: fail(domain, ErrNoRecord)}
	case 1:
	default:
		return nil, outcome{result: PermError, err: fail(domain, ErrMultipleRecords)}
	}
	rec, err := parseRecord(found[0])
	if err != nil {
		return nil, outcome{result: PermError, err: fail(domain, err)}
	}
	return rec, outcome{}
}

// match evaluates one mechanism. An outcome that is not nil ends the check.
func (e *evaluation) match(d directive, domain string) (bool, *outcome) {
	switch d.name {
	case "all":
		return true, nil
	case "ip4", "ip6":
		return d.prefix.Contains(e.ip), nil // of two families none contains the other
	}
	if bad := e.count(domain); bad != nil {
		return false, bad
	}
	target := domain
	if d.target != nil {
		if d.target.needsLocalPart() && !isASCII(e.local) {
			return false, nil // RFC 8616 §4
		}
		target = e.expandName(d.target, domain)
	}
	if d.name == "include" {
		return e.include(target)
	}
	target, ok := domainname.DNS(target) // a mechanism may well ask for a name that is no host name
	if !ok {
		return false, nil // RFC 7208 §4.8 leaves this open
	}
	switch d.name {
	case "a":
		return e.matchA(d, target)
	case "mx":
		return e.matchMX(d, target)
	case "exists":
		addrs, bad := e.addrs("ip4", target) // A, whatever the client's family (RFC 7208 §5.7)
		return len(addrs) > 0, bad
	default:
		return e.matchPTR(target)
	}
}

// count takes one of the terms that may ask the DNS, and looks at the clock.
func (e *evaluation) count(domain string) *outcome {
	if err := e.ctx.Err(); err != nil {
		return &outcome{result: TempError, err: fail(domain, err)} // RFC 7208 §4.6.4
	}
	if e.lookups++; e.lookups > e.maxLookups {
		return &outcome{result: PermError, err: fail(domain, ErrTooManyLookups)}
	}
	return nil
}

// void counts a term whose question found nothing.
func (e *evaluation) void(name string) *outcome {
	if e.voids++; e.voids > e.maxVoid {
		return &outcome{result: PermError, err: fail(name, ErrTooManyVoidLookups)}
	}
	return nil
}

// include evaluates another domain's record (the table in RFC 7208 §5.2).
func (e *evaluation) include(target string) (bool, *outcome) {
	name, ok := domainname.DNS(target)
	if !ok || domainname.Parent(name) == "" {
		return false, &outcome{result: PermError, err: fail("include:"+target, ErrTarget)}
	}
	switch out := e.checkHost(name); out.result {
	case Pass:
		return true, nil
	case Fail, SoftFail, Neutral:
		return false, nil
	case TempError:
		return false, &outcome{result: TempError, err: out.err}
	default:
		return false, &outcome{result: PermError, err: out.err}
	}
}

// redirect goes on with another domain's record in place of this one (RFC 7208 §6.1).
func (e *evaluation) redirect(spec macroString, domain string) outcome {
	if bad := e.count(domain); bad != nil {
		return *bad
	}
	target := e.expandName(spec, domain)
	name, ok := domainname.DNS(target)
	if !ok || domainname.Parent(name) == "" {
		return outcome{result: PermError, err: fail("redirect="+target, ErrTarget)}
	}
	out := e.checkHost(name)
	if out.result == None {
		out.result = PermError
	}
	return out
}

// family is the network of the client's address.
func (e *evaluation) family() string {
	if e.ip.Is4() {
		return "ip4"
	}
	return "ip6"
}

// hit says whether the client is in the network that addr and the prefix lengths give.
func (e *evaluation) hit(d directive, addrs []netip.Addr) bool {
	for _, addr := range addrs {
		bits := d.bits6
		if e.ip.Is4() {
			addr, bits = addr.Unmap(), d.bits4
		}
		if addr.BitLen() == e.ip.BitLen() && netip.PrefixFrom(addr.WithZone(""), bits).Contains(e.ip) {
			return true
		}
	}
	return false
}

// addrs asks for addresses on behalf of a term.
func (e *evaluation) addrs(network, name string) ([]netip.Addr, *outcome) {
	addrs, err := e.dns.addrs(e.ctx, network, name)
	if err != nil {
		return nil, &outcome{result: TempError, err: fail(name, err)}
	}
	if len(addrs) == 0 {
		return nil, e.void(name)
	}
	return addrs, nil
}

func (e *evaluation) matchA(d directive, target string) (bool, *outcome) {
	addrs, bad := e.addrs(e.family(), target)
	return e.hit(d, addrs), bad
}

// matchMX asks for the MX hosts and their addresses; there is no implicit MX (RFC 7208 §5.4). The term counts as void
// once, when it has no hosts or none of them has an address.
func (e *evaluation) matchMX(d directive, target string) (bool, *outcome) {
	hosts, err := e.dns.mx(e.ctx, target)
	if err != nil {
		return false, &outcome{result: TempError, err: fail(target, err)}
	}
	if len(hosts) > e.maxMX {
		return false, &outcome{result: PermError, err: fail(target, ErrTooManyMX)}
	}
	found := 0
	for _, host := range hosts {
		host, ok := domainname.DNS(host)
		if !ok {
			found++ // a null MX (RFC 7505) is an answer
			continue
		}
		addrs, err := e.dns.addrs(e.ctx, e.family(), host)
		if err != nil {
			return false, &outcome{result: TempError, err: fail(host, err)}
		}
		if e.hit(d, addrs) {
			return true, nil
		}
		found += len(addrs)
	}
	if found == 0 {
		return false, e.void(target)
	}
	return false, nil
}

// matchPTR looks for a validated name of the client within target (RFC 7208 §5.5). Errors of the DNS are no match: the
// owner of the address, not the domain, answers for its reverse zone.
func (e *evaluation) matchPTR(target string) (bool, *outcome) {
	if none := e.validate(); none {
		return false, e.void(e.ip.String())
	}
	for _, name := range e.validated {
		if domainname.Within(name, target) {
			return true, nil
		}
	}
	return false, nil
}

// validate fills e.validated once. It says whether the address has no names at all.
func (e *evaluation) validate() (none bool) {
	if e.ptrDone {
		return false
	}
	e.ptrDone = true
	names, err := e.dns.ptr(e.ctx, e.ip)
	if err != nil {
		return false
	}
	for _, name := range names[:min(len(names), e.maxPTR)] { // RFC 7208 §4.6.4: the others are ignored
		name, ok := domainname.DNS(name)
		if !ok {
			continue
		}
		addrs, err := e.dns.addrs(e.ctx, e.family(), name)
		if err == nil && e.hit(directive{bits4: 32, bits6: 128}, addrs) {
			e.validated = append(e.validated, name)
		}
	}
	return len(names) == 0
}

// validatedName is the macro %{p}: the domain itself, else a subdomain of it, else any name (RFC 7208 §7.3).
func (e *evaluation) validatedName(domain string) string {
	e.validate()
	best, rank := "unknown", 0
	for _, name := range e.validated {
		r := 1
		switch {
		case name == domain:
			r = 3
		case domainname.Within(name, domain):
			r = 2
		}
		if r > rank {
			best, rank = name, r
		}
	}
	return best
}

// explain fetches the domain's explanation (RFC 7208 §6.2); whatever goes wrong there counts as no explanation.
func (e *evaluation) explain(out outcome) string {
	if out.exp == nil || (out.exp.needsLocalPart() && !isASCII(e.local)) {
		return ""
	}
	target, ok := domainname.DNS(e.expandName(out.exp, out.domain))
	if !ok {
		return ""
	}
	txts, err := e.dns.txt(e.ctx, target)
	if err != nil || len(txts) != 1 {
		return ""
	}
	text, ok := parseMacros(txts[0], true)
	if !ok {
		return ""
	}
	return e.expandText(text, out.domain)
}

// fail says what failed for which name.
func fail(what string, err error) error {
	return fmt.Errorf("spf: %.253q: %w", what, err)
}
