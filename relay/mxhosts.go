package relay

import (
	"cmp"
	"context"
	"iter"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/internal/dnserror"
)

// mxHost is one host of a domain with its addresses.
type mxHost struct {
	name  string
	addrs []netip.Addr
}

// hosts gives the hosts of a domain in the order in which they are tried. Their addresses are looked up when it is their
// turn. Errors are replies; after one there may be more hosts.
func (m *MX) hosts(ctx context.Context, domain string) iter.Seq2[mxHost, error] {
	return func(yield func(mxHost, error) bool) {
		if ip, ok := literal(domain); ok { // RFC 5321 §4.1.3
			m.yieldLiteral(domain, ip, yield)
			return
		}
		records, err := m.lookupMX(ctx, domain)
		if err != nil {
			yield(mxHost{}, err)
			return
		}
		limit := maxHosts
		for k, mx := range records {
			if k == limit {
				return
			}
			host := mxHost{name: strings.TrimSuffix(mx.Host, ".")}
			if strings.EqualFold(host.name, strings.TrimSuffix(m.hostname(ctx), ".")) {
				m.yieldLoop(domain, k, yield)
				return
			}
			host.addrs, err = m.lookupAddrs(ctx, host.name, len(records) == 1 && mx.Pref == implicit)
			if err == nil && slices.ContainsFunc(host.addrs, m.isOwn) {
				m.yieldLoop(domain, k, yield)
				return
			}
			if !yield(host, err) {
				return
			}
		}
	}
}

// isOwn says whether an address is this server's.
func (m *MX) isOwn(ip netip.Addr) bool {
	return slices.ContainsFunc(m.Own, func(own netip.Addr) bool { return own.Unmap() == ip })
}

func (m *MX) yieldLiteral(domain string, ip netip.Addr, yield func(mxHost, error) bool) {
	if m.isOwn(ip) {
		m.yieldLoop(domain, 0, yield)
		return
	}
	if _, ok := m.source(ip); !ok {
		yield(mxHost{}, temporary("4.4.4", "No source address of the family of "+domain, nil))
		return
	}
	yield(mxHost{name: domain, addrs: []netip.Addr{ip}}, nil)
}

// yieldLoop ends the list at this server itself: hosts behind it would give the mail back to it. If it is the best one,
// the mail is for a domain that should be known here.
func (m *MX) yieldLoop(domain string, before int, yield func(mxHost, error) bool) {
	if before == 0 {
		yield(mxHost{}, permanent(554, "5.4.6", "Mail for "+domain+" loops back to this server"))
	}
}

// implicit is the preference of the host that a domain without MX records is itself; no record has it.
const implicit = 0xffff

// lookupMX gives the MX records of a domain in their order; without any, the domain itself.
func (m *MX) lookupMX(ctx context.Context, domain string) ([]*net.MX, error) {
	if domain == "" {
		return nil, permanent(550, "5.1.3", "Recipient address has no domain")
	}
	if !validDomain(domain) {
		return nil, permanent(550, "5.1.3", "Domain "+clip(domain)+" is not valid")
	}
	records, err := m.resolver().LookupMX(ctx, domain+".")
	if err != nil && len(records) == 0 {
		if dnserror.NotFound(err) {
			return []*net.MX{{Host: domain, Pref: implicit}}, nil
		}
		return nil, temporary("4.4.3", "Mail servers of "+domain+" cannot be looked up now", err)
	}
	if len(records) == 1 && (records[0].Host == "." || records[0].Host == "") { // RFC 7505 §4.2
		return nil, permanent(556, "5.1.10", "Domain "+domain+" does not accept mail")
	}
	sorted := slices.Clone(records)
	rand.Shuffle(len(sorted), func(i, j int) { sorted[i], sorted[j] = sorted[j], sorted[i] })
	slices.SortStableFunc(sorted, func(a, b *net.MX) int { return cmp.Compare(a.Pref, b.Pref) })
	return sorted, nil
}

// lookupAddrs gives the addresses of a host that can be spoken to from here, those of the two families in turns.
func (m *MX) lookupAddrs(ctx context.Context, host string, itself bool) ([]netip.Addr, error) {
	if !validDomain(host) {
		return nil, permanent(550, "5.4.4", "Mail server name "+clip(host)+" is not valid")
	}
	ips, err := m.resolver().LookupNetIP(ctx, "ip", host+".")
	switch {
	case err != nil && dnserror.NotFound(err) && itself:
		return nil, permanent(550, "5.1.2", "Domain "+host+" does not exist or has no mail server")
	case err != nil && dnserror.NotFound(err):
		return nil, permanent(550, "5.4.4", "Mail server "+host+" has no address")
	case err != nil:
		return nil, temporary("4.4.3", "Address of "+host+" cannot be looked up now", err)
	}
	var six, four []netip.Addr
	for _, ip := range ips {
		ip = ip.Unmap()
		switch _, ok := m.source(ip); {
		case !ok:
		case ip.Is4():
			four = append(four, ip)
		default:
			six = append(six, ip)
		}
	}
	if len(six)+len(four) == 0 {
		return nil, temporary("4.4.4", "Mail server "+host+" has no address of a family that is used here", nil)
	}
	return interleave(six, four), nil
}

// interleave takes from both lists in turns, so that the limit of addresses leaves some of each.
func interleave(a, b []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(a)+len(b))
	for i := range max(len(a), len(b)) {
		if i < len(a) {
			out = append(out, a[i])
		}
		if i < len(b) {
			out = append(out, b[i])
		}
	}
	return out
}

func (m *MX) resolver() Resolver {
	if m.Resolver == nil {
		return net.DefaultResolver
	}
	return m.Resolver
}
