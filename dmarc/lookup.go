package dmarc

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/internal/dnserror"
	"github.com/mailbricks/mailbricks/internal/domainname"
)

// Resolver asks the DNS. *net.Resolver is one. Names come with a final dot, and the strings of a TXT record are to be joined
// (RFC 9989 §4.5). A *net.DNSError with IsNotFound, anywhere in an error's chain, says that the name or the type does not
// exist; any other error counts as temporary.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// ExactResolver is what a [Resolver] may have besides: it tells a name that does not exist (NXDOMAIN, RFC 8020) from one
// that has no records of some type, which matters to records with an np tag (RFC 9989 §3.2.13). The Resolver of package
// resolver is one. For a Resolver that is not, a name exists when it has an address, MX, NS or TXT record, as far as the
// Resolver has *net.Resolver's methods for these.
type ExactResolver interface {
	// Lookup gives the records of a type. Name is where the CNAME records of the name asked for lead to, with a final dot,
	// NXDomain says that it does not exist. That there are no records is no error.
	Lookup(ctx context.Context, name, rrtype string) (struct {
		Name      string
		Records   []string
		TTL       time.Duration
		Authentic bool
		NXDomain  bool
	}, error)
}

// absolute keeps resolvers from trying a search list.
func absolute(name string) string { return name + "." }

// text gives the TXT records of a name; none when it does not exist or would be too long.
func (e *Evaluator) text(ctx context.Context, name string) ([]string, error) {
	if len(name) > domainname.MaxName {
		return nil, nil
	}
	txts, err := e.resolver().LookupTXT(ctx, absolute(name))
	if err != nil && !dnserror.NotFound(err) {
		return nil, lookupError(name, err)
	}
	return txts, nil
}

func (e *Evaluator) resolver() Resolver {
	if e.Resolver == nil {
		return net.DefaultResolver
	}
	return e.Resolver
}

// exists says whether the DNS has the name.
func (s *session) exists(ctx context.Context, name string) (bool, error) {
	if r, ok := s.resolver().(ExactResolver); ok {
		answer, err := r.Lookup(ctx, absolute(name), "A")
		if err != nil && !dnserror.NotFound(err) {
			return false, lookupError(name, err)
		}
		alias := !strings.EqualFold(strings.TrimSuffix(answer.Name, "."), name) // has a CNAME record, whatever it leads to
		return err == nil && (alias || !answer.NXDomain), nil
	}
	able := false
	for _, probe := range s.probes() {
		switch found, err := probe(ctx, absolute(name)); {
		case found:
			return true, nil
		case err != nil && !dnserror.NotFound(err):
			return false, lookupError(name, err)
		}
		able = true
	}
	return !able, nil // who cannot ask takes names to exist
}

// probes are the questions that show that a name exists.
func (s *session) probes() []func(context.Context, string) (bool, error) {
	var out []func(context.Context, string) (bool, error)
	if r, ok := s.resolver().(interface {
		LookupNetIP(context.Context, string, string) ([]netip.Addr, error)
	}); ok {
		out = append(out, func(ctx context.Context, name string) (bool, error) {
			addrs, err := r.LookupNetIP(ctx, "ip", name)
			return len(addrs) > 0, err
		})
	}
	if r, ok := s.resolver().(interface {
		LookupMX(context.Context, string) ([]*net.MX, error)
	}); ok {
		out = append(out, func(ctx context.Context, name string) (bool, error) {
			hosts, err := r.LookupMX(ctx, name)
			return hosts != nil, err // also an empty list beside an error about invalid names
		})
	}
	if r, ok := s.resolver().(interface {
		LookupNS(context.Context, string) ([]*net.NS, error)
	}); ok {
		out = append(out, func(ctx context.Context, name string) (bool, error) {
			hosts, err := r.LookupNS(ctx, name)
			return hosts != nil, err
		})
	}
	if len(out) > 0 {
		out = append(out, func(ctx context.Context, name string) (bool, error) {
			txts, err := s.resolver().LookupTXT(ctx, name)
			return len(txts) > 0, err
		})
	}
	return out
}

func lookupError(name string, err error) error {
	return fmt.Errorf("dmarc: look-up of %q: %w", name, err)
}
