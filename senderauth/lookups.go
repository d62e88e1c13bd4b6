package senderauth

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/dmarc"
)

// Resolver asks the DNS; *net.Resolver is one. See the interfaces of spf, dkim and dmarc for what it must do, and
// dmarc.ExactResolver for what it may do besides. Answers are shared by the methods and not changed.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

// lookups are the look-ups of one message: each question is put to the resolver once, whichever methods need the answer.
type lookups struct {
	resolver Resolver
	txt      memo[[]string]
	mx       memo[[]*net.MX]
	ip       memo[[]netip.Addr]
	addr     memo[[]string]
	ns       memo[[]*net.NS]
}

// share makes the resolver of one message. It has dmarc.ExactResolver's method if r has.
func share(r Resolver) Resolver {
	l := &lookups{resolver: r}
	if exact, ok := r.(dmarc.ExactResolver); ok {
		return &exactLookups{lookups: l, resolver: exact}
	}
	return l
}

func (l *lookups) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return l.txt.get(ctx, strings.ToLower(name), func(ctx context.Context) ([]string, error) {
		return l.resolver.LookupTXT(ctx, name)
	})
}

func (l *lookups) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	return l.mx.get(ctx, strings.ToLower(name), func(ctx context.Context) ([]*net.MX, error) {
		return l.resolver.LookupMX(ctx, name)
	})
}

func (l *lookups) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return l.ip.get(ctx, network+" "+strings.ToLower(host), func(ctx context.Context) ([]netip.Addr, error) {
		return l.resolver.LookupNetIP(ctx, network, host)
	})
}

func (l *lookups) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	return l.addr.get(ctx, addr, func(ctx context.Context) ([]string, error) { return l.resolver.LookupAddr(ctx, addr) })
}

// LookupNS is what package dmarc asks for where it can. A resolver that cannot has no NS records, which leaves dmarc with
// the other records that show that a name exists.
func (l *lookups) LookupNS(ctx context.Context, name string) ([]*net.NS, error) {
	r, ok := l.resolver.(interface {
		LookupNS(context.Context, string) ([]*net.NS, error)
	})
	if !ok {
		return nil, &net.DNSError{Err: "not asked for", Name: name, IsNotFound: true}
	}
	return l.ns.get(ctx, strings.ToLower(name), func(ctx context.Context) ([]*net.NS, error) { return r.LookupNS(ctx, name) })
}

// exactAnswer is what dmarc.ExactResolver gives.
type exactAnswer = struct {
	Name      string
	Records   []string
	TTL       time.Duration
	Authentic bool
	NXDomain  bool
}

// exactLookups are those of a resolver that tells names that do not exist from names without some record.
type exactLookups struct {
	*lookups
	resolver dmarc.ExactResolver
	exact    memo[exactAnswer]
}

func (l *exactLookups) Lookup(ctx context.Context, name, rrtype string) (exactAnswer, error) {
	return l.exact.get(ctx, rrtype+" "+strings.ToLower(name), func(ctx context.Context) (exactAnswer, error) {
		return l.resolver.Lookup(ctx, name, rrtype)
	})
}
