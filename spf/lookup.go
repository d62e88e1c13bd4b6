package spf

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"
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

// ExactResolver is what a [Resolver] may have besides: it gives the MX records with all names that the DNS has, also those
// that LookupMX leaves out as they are no names of hosts (RFC 1123 §2.1). The Resolver of package resolver is one.
type ExactResolver interface {
	// Lookup gives the records of a type in presentation form, such as "10 mail.example.com." for MX. That there are none
	// is no error.
	Lookup(ctx context.Context, name, rrtype string) (struct {
		Name      string
		Records   []string
		TTL       time.Duration
		Authentic bool
		NXDomain  bool
	}, error)
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

// mx gives the MX hosts of name.
func (q *querier) mx(ctx context.Context, name string) ([]string, error) {
	hosts, err := q.mxHosts(ctx, absolute(name))
	return settle(q, Lookup{Type: "MX", Name: name, Answers: len(hosts), Err: err}, hosts)
}

func (q *querier) mxHosts(ctx context.Context, name string) (hosts []string, err error) {
	if exact, ok := q.res().(ExactResolver); ok {
		answer, err := exact.Lookup(ctx, name, "MX")
		for _, record := range answer.Records {
			_, host, _ := strings.Cut(record, " ")
			hosts = append(hosts, host)
		}
		return hosts, err
	}
	answer, err := q.res().LookupMX(ctx, name)
	for _, mx := range answer {
		hosts = append(hosts, mx.Host)
	}
	// Beside an error that tells of invalid names in an answer, *net.Resolver returns the valid ones in a slice that is
	// never nil; they are the answer.
	if answer != nil && ctx.Err() == nil {
		err = nil
	}
	return hosts, err
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
func absolute(name string) string { return name + "." }
