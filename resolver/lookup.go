package resolver

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// LookupTXT gives the TXT records of a name; the strings of one record are joined. They may hold any octets.
func (r *Resolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	a, err := r.lookup(ctx, name, dns.TypeTXT)
	if err == nil && len(a.Records) == 0 {
		err = notFound(name)
	}
	return slices.Clone(a.Records), err
}

// LookupMX gives the MX records of a name: the most preferred first, those of one preference in random order
// (RFC 5321 §5.1). The null MX (RFC 7505) is there with the host ".". Hosts whose names cannot be names of hosts are
// left out; if there are only such, the error is neither IsNotFound nor IsTemporary.
func (r *Resolver) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	a, err := r.lookup(ctx, name, dns.TypeMX)
	mxs, err := hosts(name, a, err, func(record string) (*net.MX, bool) {
		pref, host, _ := strings.Cut(record, " ")
		n, err := strconv.ParseUint(pref, 10, 16)
		return &net.MX{Host: host, Pref: uint16(n)}, err == nil && (host == "." || isHostname(host))
	})
	rand.Shuffle(len(mxs), func(i, j int) { mxs[i], mxs[j] = mxs[j], mxs[i] })
	slices.SortStableFunc(mxs, func(a, b *net.MX) int { return int(a.Pref) - int(b.Pref) })
	return mxs, err
}

// LookupAddr gives the names that an IP address has by its PTR records. They are not verified in any way, but that they
// can be names of hosts.
func (r *Resolver) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	name, err := reverseName(addr)
	if err != nil {
		return nil, err
	}
	a, err := r.lookup(ctx, name, dns.TypePTR)
	return hosts(addr, a, err, func(record string) (string, bool) { return record, isHostname(record) })
}

// hosts gives what get makes of the records, where it can.
func hosts[T any](name string, a Answer, err error, get func(record string) (T, bool)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	if len(a.Records) == 0 {
		return nil, notFound(name)
	}
	out := make([]T, 0, len(a.Records))
	for _, record := range a.Records {
		if v, ok := get(record); ok {
			out = append(out, v)
		}
	}
	if len(out) == 0 {
		return out, &net.DNSError{Err: "the answer has only invalid names", Name: name}
	}
	return out, nil
}

// LookupCNAME gives the name at the end of the CNAME records of a host, which must have an IP address. Without CNAME
// records it is the host itself.
func (r *Resolver) LookupCNAME(ctx context.Context, host string) (string, error) {
	var last error
	for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA} {
		a, err := r.lookup(ctx, host, typ)
		switch {
		case err != nil:
			last = err
		case len(a.Records) > 0 && isHostname(a.Name):
			return a.Name, nil
		}
	}
	if last == nil {
		last = notFound(host)
	}
	return "", last
}

// LookupNetIP gives the addresses of a host, IPv4 before IPv6; the network is "ip", "ip4" or "ip6". An IP address is its
// own answer.
//
// With "ip", what is found of one family is the answer even if the look-up of the other fails.
func (r *Resolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	families := [2]uint16{dns.TypeA, dns.TypeAAAA}
	types := families[:]
	switch network {
	case "ip":
	case "ip4":
		types = types[:1]
	case "ip6":
		types = types[1:]
	default:
		return nil, &net.DNSError{UnwrapErr: net.UnknownNetworkError(network), Err: "unknown network " + network, Name: host}
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip = ip.Unmap(); (network == "ip4" && !ip.Is4()) || (network == "ip6" && ip.Is4()) {
			return nil, &net.DNSError{Err: "no suitable address", Name: host, IsNotFound: true}
		}
		return []netip.Addr{ip}, nil
	}
	var looks [2]pending // both under way at once
	for i, typ := range types {
		p, err := r.prepare(ctx, host, typ)
		if err != nil {
			if i > 0 && looks[0].flight != nil {
				r.leave(looks[0])
			}
			return nil, err
		}
		looks[i] = p
	}
	var answers [2]Answer
	var failed error
	for i := range types {
		a, err := r.finish(ctx, host, looks[i])
		if err != nil {
			failed = err
		}
		answers[i] = a
	}
	if ips := addresses(answers[0].Records, answers[1].Records); len(ips) > 0 {
		return ips, nil
	}
	if failed == nil {
		failed = notFound(host)
	}
	return nil, failed
}

// addresses reads the records of both families.
func addresses(v4, v6 []string) []netip.Addr {
	ips := make([]netip.Addr, 0, len(v4)+len(v6))
	for _, records := range [2][]string{v4, v6} {
		for _, record := range records {
			if ip, err := netip.ParseAddr(record); err == nil {
				ips = append(ips, ip)
			}
		}
	}
	return ips
}

// LookupIPAddr gives the IPv4 and IPv6 addresses of a host.
func (r *Resolver) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	ips, err := r.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	addrs := make([]net.IPAddr, len(ips))
	for i, ip := range ips {
		addrs[i] = net.IPAddr{IP: ip.AsSlice(), Zone: ip.Zone()}
	}
	return addrs, nil
}

// LookupHost gives the IPv4 and IPv6 addresses of a host as text.
func (r *Resolver) LookupHost(ctx context.Context, host string) ([]string, error) {
	ips, err := r.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	addrs := make([]string, len(ips))
	for i, ip := range ips {
		addrs[i] = ip.String()
	}
	return addrs, nil
}
