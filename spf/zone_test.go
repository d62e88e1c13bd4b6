package spf_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
)

// zone is a DNS for tests: name in lower case without final dot, type, values. A value "TIMEOUT" under the type "*" makes
// every type that the name does not have fail for now.
type zone map[string]map[string][]string

func notFound(name string) error {
	return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (z zone) find(ctx context.Context, name, typ string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	for range 8 {
		records, ok := z[name]
		if !ok {
			return nil, notFound(name)
		}
		if values := records[typ]; len(values) > 0 {
			return values, nil
		}
		if _, bad := records["*"]; bad {
			return nil, &net.DNSError{Err: "i/o timeout", Name: name, IsTimeout: true}
		}
		alias := records["CNAME"]
		if len(alias) == 0 {
			return nil, notFound(name)
		}
		name = strings.ToLower(strings.TrimSuffix(alias[0], "."))
	}
	return nil, &net.DNSError{Err: "CNAME loop", Name: name, IsTemporary: true}
}

func (z zone) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return z.find(ctx, name, "TXT")
}

func (z zone) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	hosts, err := z.find(ctx, name, "MX")
	var out []*net.MX
	for _, h := range hosts {
		out = append(out, &net.MX{Host: h + "."})
	}
	return out, err
}

func (z zone) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	typ := map[string]string{"ip4": "A", "ip6": "AAAA"}[network]
	values, err := z.find(ctx, host, typ)
	var out []netip.Addr
	for _, v := range values {
		out = append(out, netip.MustParseAddr(v))
	}
	return out, err
}

func (z zone) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	names, err := z.find(ctx, arpa(netip.MustParseAddr(addr)), "PTR")
	var out []string
	for _, n := range names {
		out = append(out, strings.TrimSuffix(n, ".")+".")
	}
	return out, err
}

func arpa(ip netip.Addr) string {
	var b strings.Builder
	octets := ip.AsSlice()
	for i := len(octets) - 1; i >= 0; i-- {
		if ip.Is4() {
			b.WriteString(netip.AddrFrom4([4]byte{0, 0, 0, octets[i]}).String()[6:] + ".")
			continue
		}
		const hex = "0123456789abcdef"
		b.Write([]byte{hex[octets[i]&15], '.', hex[octets[i]>>4], '.'})
	}
	if ip.Is4() {
		return b.String() + "in-addr.arpa"
	}
	return b.String() + "ip6.arpa"
}
