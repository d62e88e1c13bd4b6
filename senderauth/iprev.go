package senderauth

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/mailbricks/mailbricks/internal/domainname"
	"github.com/mailbricks/mailbricks/senderauth/authres"
)

// The limits of the iprev check.
const (
	// MaxIPRevNames is how many names of an address are looked up (RFC 8601 §3, RFC 7208 §4.6.4).
	MaxIPRevNames = 10
	// MaxIPRevTime is how long the look-ups may take where Options.MaxTime leaves more; what is not known then is a
	// temperror.
	MaxIPRevTime = 10 * time.Second
)

// IPRev is the outcome of the iprev method (RFC 8601 §2.7.3, §3): whether a name of the client's address leads back to
// the address.
type IPRev struct {
	// Value is "pass", "fail", "temperror" or "permerror" (the address has no name); empty: there is no address.
	Value string
	// Addr is the client's address.
	Addr netip.Addr
	// Name is the name that leads back, in lower case without a final dot; empty unless Value is "pass".
	Name string
}

func (r IPRev) field() authres.Result {
	return authres.Result{Method: "iprev", Value: r.Value, Comment: r.Name, Props: []authres.Property{
		{Type: "policy", Name: "iprev", Value: r.Addr.String()},
	}}
}

// lookUp runs the iprev method for an address.
func lookUp(ctx context.Context, resolver Resolver, addr netip.Addr) IPRev {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() {
		return IPRev{}
	}
	ctx, cancel := context.WithTimeout(ctx, MaxIPRevTime)
	defer cancel()
	r := IPRev{Value: "permerror", Addr: addr}
	names, err := resolver.LookupAddr(ctx, addr.String())
	if err != nil && names == nil && !notFound(err) { // names beside an error are the valid ones of an answer
		r.Value = "temperror"
		return r
	}
	network := "ip4"
	if addr.Is6() {
		network = "ip6"
	}
	for _, name := range names[:min(len(names), MaxIPRevNames)] {
		if r.Value == "permerror" {
			r.Value = "fail"
		}
		name, ok := domainname.Identity(name) // it may go into a header field
		if !ok {
			continue
		}
		addrs, err := resolver.LookupNetIP(ctx, network, name+".")
		if err != nil && !notFound(err) {
			r.Value = "temperror"
		}
		for _, a := range addrs {
			if a.Unmap().WithZone("") == addr {
				r.Value, r.Name = "pass", name
				return r
			}
		}
	}
	return r
}

func notFound(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}
