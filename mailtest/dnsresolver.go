package mailtest

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/miekg/dns"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

// Resolver answers from a [DNS] at once, without packets and without a cache. Its methods have the signatures and
// results of those of *net.Resolver: names of hosts in answers end with a dot, errors are of type *net.DNSError.
// Every name is absolute. An ended ctx is an error.
type Resolver struct{ dns *DNS }

// Resolver gives a resolver over d, also over what d becomes later.
func (d *DNS) Resolver() *Resolver { return &Resolver{dns: d} }

// LookupTXT gives the TXT records of a name; the strings of one record are joined.
func (r *Resolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return lookup(ctx, r, name, dns.TypeTXT, func(rr *dns.TXT) string { return joinText(rr.Txt) })
}

// LookupMX gives the MX records of a name, the most preferred first. The null MX (RFC 7505) has the host ".".
func (r *Resolver) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	mxs, err := lookup(ctx, r, name, dns.TypeMX, func(rr *dns.MX) *net.MX { return &net.MX{Host: rr.Mx, Pref: rr.Preference} })
	slices.SortStableFunc(mxs, func(a, b *net.MX) int { return int(a.Pref) - int(b.Pref) })
	return mxs, err
}

// LookupNetIP gives the addresses of a host; the network is "ip", "ip4" or "ip6". An IP address is its own answer.
func (r *Resolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if network != "ip" && network != "ip4" && network != "ip6" {
		return nil, net.UnknownNetworkError(network)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip = ip.Unmap(); (network == "ip4" && !ip.Is4()) || (network == "ip6" && ip.Is4()) {
			return nil, &net.DNSError{Err: "no suitable address", Name: host, IsNotFound: true}
		}
		return []netip.Addr{ip}, nil
	}
	var ips []netip.Addr
	var err4, err6 error
	if network != "ip6" {
		ips, err4 = lookup(ctx, r, host, dns.TypeA, func(rr *dns.A) netip.Addr {
			ip, _ := netip.AddrFromSlice(rr.A)
			return ip.Unmap()
		})
	}
	if network != "ip4" {
		var more []netip.Addr
		more, err6 = lookup(ctx, r, host, dns.TypeAAAA, func(rr *dns.AAAA) netip.Addr {
			ip, _ := netip.AddrFromSlice(rr.AAAA)
			return ip
		})
		ips = append(ips, more...)
	}
	if len(ips) > 0 {
		return ips, nil
	}
	if e, ok := err6.(*net.DNSError); ok && (err4 == nil || e.IsTemporary) {
		return nil, err6
	}
	return nil, err4
}

// LookupIPAddr gives the IPv4 and IPv6 addresses of a host.
func (r *Resolver) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	ips, err := r.LookupNetIP(ctx, "ip", host)
	var addrs []net.IPAddr
	for _, ip := range ips {
		addrs = append(addrs, net.IPAddr{IP: ip.AsSlice(), Zone: ip.Zone()})
	}
	return addrs, err
}

// LookupHost gives the addresses of a host as text.
func (r *Resolver) LookupHost(ctx context.Context, host string) ([]string, error) {
	ips, err := r.LookupNetIP(ctx, "ip", host)
	var addrs []string
	for _, ip := range ips {
		addrs = append(addrs, ip.String())
	}
	return addrs, err
}

// LookupAddr gives the names that an IP address has by its PTR records.
func (r *Resolver) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	name, err := dns.ReverseAddr(addr)
	if err != nil {
		return nil, &net.DNSError{Err: "unrecognized address", Name: addr}
	}
	return lookup(ctx, r, name, dns.TypePTR, func(rr *dns.PTR) string { return rr.Ptr })
}

// LookupCNAME gives the name at the end of the CNAME records of a host, which must have an address.
func (r *Resolver) LookupCNAME(ctx context.Context, host string) (string, error) {
	for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA} {
		if a, err := r.ask(ctx, host, typ); err != nil {
			return "", err
		} else if a.soa == nil {
			return a.name, nil
		}
	}
	return "", notFound(host)
}

// Lookup is what *net.Resolver cannot say: it gives the records of any type with the data in presentation form (for TXT
// the joined octets), their TTL, whether DNSSEC proves the answer, whether the name does not exist at all, and the name
// at the end of the CNAMEs. That there is nothing is no error, but an answer without records.
//
// The result is an unnamed struct, so that packages can declare this method in an interface without importing this one.
func (r *Resolver) Lookup(ctx context.Context, name, rrtype string) (struct {
	Name      string
	Records   []string
	TTL       time.Duration
	Authentic bool
	NXDomain  bool
}, error) {
	var out struct {
		Name      string
		Records   []string
		TTL       time.Duration
		Authentic bool
		NXDomain  bool
	}
	typ, ok := dns.StringToType[strings.ToUpper(rrtype)]
	if !ok {
		return out, &net.DNSError{Err: "unknown record type " + rrtype, Name: name}
	}
	a, err := r.ask(ctx, name, typ)
	if err != nil {
		return out, err
	}
	out.Name, out.Authentic, out.NXDomain = a.name, a.authentic, a.rcode == dns.RcodeNameError
	ttl := ^uint32(0)
	for _, rr := range a.records {
		ttl = min(ttl, rr.Header().Ttl)
		if rr.Header().Rrtype == typ {
			out.Records = append(out.Records, presentation(rr))
		}
	}
	if a.soa != nil {
		ttl = min(ttl, a.soa.Hdr.Ttl, a.soa.Minttl) // RFC 2308 §5
	}
	out.TTL = time.Duration(ttl) * time.Second
	return out, nil
}

// presentation is the data of a record as text.
func presentation(rr dns.RR) string {
	if txt, ok := rr.(*dns.TXT); ok {
		return joinText(txt.Txt)
	}
	return strings.TrimPrefix(rr.String(), rr.Header().String())
}

// lookup gives what get makes of the records of one type.
func lookup[RR dns.RR, T any](ctx context.Context, r *Resolver, name string, typ uint16, get func(RR) T) ([]T, error) {
	a, err := r.ask(ctx, name, typ)
	if err != nil {
		return nil, err
	}
	var all []T
	for _, rr := range a.records {
		if rr, ok := rr.(RR); ok {
			all = append(all, get(rr))
		}
	}
	if len(all) == 0 {
		return nil, notFound(name)
	}
	return all, nil
}

// ask gives an answer or, when there is none, an error.
func (r *Resolver) ask(ctx context.Context, name string, typ uint16) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, &net.DNSError{
			UnwrapErr: err, Err: err.Error(), Name: name,
			IsTimeout: err == context.DeadlineExceeded, IsTemporary: true,
		}
	}
	ascii, ok := name, true
	if strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf }) {
		ascii, ok = domainname.DNS(name)
	}
	if _, fits := dns.IsDomainName(ascii); !ok || !fits || ascii == "" {
		return answer{}, notFound(name)
	}
	a := r.dns.ask(ascii, typ)
	switch {
	case a.silent:
		return a, &net.DNSError{Err: "i/o timeout", Name: name, IsTimeout: true, IsTemporary: true}
	case a.loop:
		return a, &net.DNSError{Err: "too many CNAME records", Name: name, IsTemporary: true}
	case a.rcode != dns.RcodeSuccess && a.rcode != dns.RcodeNameError:
		return a, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
	}
	return a, nil
}

func notFound(name string) error {
	return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// joinText joins the strings of a TXT record and undoes the escapes of their presentation form (RFC 1035 §5.1).
func joinText(parts []string) string {
	s := strings.Join(parts, "")
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\' || i+1 == len(s):
			b.WriteByte(s[i])
		case i+3 < len(s) && isDigit(s[i+1]) && isDigit(s[i+2]) && isDigit(s[i+3]):
			b.WriteByte((s[i+1]-'0')*100 + (s[i+2]-'0')*10 + s[i+3] - '0')
			i += 3
		default:
			i++
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
