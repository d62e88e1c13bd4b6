package spf

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// Resolver asks the DNS. *net.Resolver is one. A *net.DNSError with IsNotFound, anywhere in an error's chain, says that
// the name or the type does not exist; any other error counts as temporary (RFC 7208 §5). Names come with a final dot,
// except for the address of LookupAddr.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

// querier asks a resolver and keeps a log.
type querier struct {
	resolver Resolver // nil: net.DefaultResolver
	log      []Lookup
}

func (q *querier) res() Resolver {
	if q.resolver == nil {
		return net.DefaultResolver
	}
	return q.resolver
}

// txt gives the TXT records of name. Nothing found is no error.
func (q *querier) txt(ctx context.Context, name string) ([]string, error) {
	answer, err := q.res().LookupTXT(ctx, absolute(name))
	return settle(q, Lookup{Type: "TXT", Name: name, Answers: len(answer), Err: err}, answer)
}

// mx gives the MX records of name. Beside an error that tells of invalid names in an answer, *net.Resolver returns the
// valid ones in a slice that is never nil; they are the answer.
func (q *querier) mx(ctx context.Context, name string) ([]*net.MX, error) {
	answer, err := q.res().LookupMX(ctx, absolute(name))
	if answer != nil && ctx.Err() == nil {
		err = nil
	}
	return settle(q, Lookup{Type: "MX", Name: name, Answers: len(answer), Err: err}, answer)
}

// addrs gives the A records of name when network is "ip4", its AAAA records when it is "ip6".
func (q *querier) addrs(ctx context.Context, network, name string) ([]netip.Addr, error) {
	answer, err := q.res().LookupNetIP(ctx, network, absolute(name))
	typ := "A"
	if network == "ip6" {
		typ = "AAAA"
	}
	return settle(q, Lookup{Type: typ, Name: name, Answers: len(answer), Err: err}, answer)
}

// ptr gives the names of ip, valid ones as for mx.
func (q *querier) ptr(ctx context.Context, ip netip.Addr) ([]string, error) {
	answer, err := q.res().LookupAddr(ctx, ip.String())
	if answer != nil && ctx.Err() == nil {
		err = nil
	}
	return settle(q, Lookup{Type: "PTR", Name: ip.String(), Answers: len(answer), Err: err}, answer)
}

// settle logs a look-up and makes an empty answer of "not found".
func settle[T any](q *querier, l Lookup, answer []T) ([]T, error) {
	q.log = append(q.log, l)
	if l.Err == nil {
		return answer, nil
	}
	if dns, ok := errors.AsType[*net.DNSError](l.Err); ok && dns.IsNotFound {
		return nil, nil
	}
	return nil, l.Err
}

// absolute keeps resolvers from trying a search list: the names in SPF are fully qualified (RFC 7208 §4.3).
func absolute(name string) string { return lower(name) + "." }
