package senderdomain

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/internal/dnserror"
	"github.com/mailbricks/mailbricks/internal/domainname"
	"github.com/mailbricks/mailbricks/internal/ipaddr"
)

// judge finds out about a domain as it stands in the reverse-path. What is Off is not found.
func (c *checker) judge(ctx context.Context, domain string) Finding {
	if literal, ok := strings.CutPrefix(domain, "["); ok {
		return c.literal(strings.TrimSuffix(literal, "]"))
	}
	name, ok := domainname.Identity(domain)
	switch {
	case !ok: // it does not fit into the DNS
		return c.found(Nonexistent, Unknown)
	case domainname.TopLabel(name) == "localhost": // RFC 6761 §6.3: always this host, nothing that others have
		return c.found(Unroutable)
	}
	ctx, cancel := context.WithTimeout(ctx, MaxTime)
	defer cancel()
	mxs, err := c.Resolver.LookupMX(ctx, name+".")
	switch {
	case len(mxs) > 0:
		return c.hosts(ctx, mxs)
	case err == nil, dnserror.NotFound(err):
		return c.implicit(ctx, name)
	case mxs != nil: // there are MX records, and none of them names a host
		return c.found(Unroutable)
	}
	return c.found(Fault)
}

// found is the first of these findings that is not Off.
func (c *checker) found(findings ...Finding) Finding {
	for _, f := range findings {
		if c.action(f) != Off {
			return f
		}
	}
	return Fine
}

// literal is for an address (RFC 5321 §4.1.3).
func (c *checker) literal(text string) Finding {
	if len(text) > 5 && strings.EqualFold(text[:5], "IPv6:") {
		text = text[5:]
	}
	a, err := netip.ParseAddr(text)
	if err != nil || !ipaddr.Reachable(a) {
		return c.found(Unroutable, Literal)
	}
	return c.found(Literal)
}

// hosts is for a domain with MX records.
func (c *checker) hosts(ctx context.Context, mxs []*net.MX) Finding {
	mxs = slices.DeleteFunc(slices.Clone(mxs), func(mx *net.MX) bool { return mx.Host == "." })
	if len(mxs) == 0 { // RFC 7505 §3: beside others a null MX says nothing
		return c.found(NullMX)
	}
	if c.action(Unroutable) == Off {
		return Fine
	}
	finding := Unroutable
	for _, mx := range mxs[:min(len(mxs), MaxHosts)] {
		addrs, err := c.Resolver.LookupNetIP(ctx, "ip", strings.TrimSuffix(mx.Host, ".")+".")
		switch {
		case slices.ContainsFunc(addrs, ipaddr.Reachable):
			return Fine
		case err != nil && !dnserror.NotFound(err):
			finding = Fault
		}
	}
	if len(mxs) > MaxHosts {
		return Fine
	}
	return c.found(finding)
}

// implicit is for a domain without MX records, whose addresses count then (RFC 5321 §5.1).
func (c *checker) implicit(ctx context.Context, name string) Finding {
	addrs, err := c.Resolver.LookupNetIP(ctx, "ip", name+".")
	switch {
	case slices.ContainsFunc(addrs, ipaddr.Reachable):
		return Fine
	case len(addrs) > 0:
		return c.found(Unroutable)
	case err != nil && !dnserror.NotFound(err):
		return c.found(Fault)
	case c.action(Nonexistent) != c.action(Unknown) && c.isNonexistent(ctx, name):
		return c.found(Nonexistent, Unknown)
	}
	return c.found(Unknown)
}

// isNonexistent says whether a domain does not exist, as far as the resolver can tell.
func (c *checker) isNonexistent(ctx context.Context, name string) bool {
	exact, ok := c.Resolver.(ExactResolver)
	if !ok {
		return false
	}
	answer, err := exact.Lookup(ctx, name+".", "MX")
	return err == nil && answer.NXDomain
}
