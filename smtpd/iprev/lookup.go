package iprev

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/mailbricks/mailbricks/internal/dnserror"
	"github.com/mailbricks/mailbricks/internal/domainname"
	"github.com/mailbricks/mailbricks/internal/ipaddr"
)

// The limits of a look-up.
const (
	// MaxNames is how many names of an address are looked up (RFC 8601 §3, RFC 7208 §4.6.4).
	MaxNames = 10
	// MaxTime is how long the look-ups of one address may take. What is not known then is a TempError.
	MaxTime = 10 * time.Second
)

// Resolver asks the DNS; *net.Resolver is one. That there is nothing is an error that is a *net.DNSError with IsNotFound. Any
// other error is one that may pass. Names are asked for with a final dot.
type Resolver interface {
	LookupAddr(ctx context.Context, addr string) ([]string, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// The values of a Result (RFC 8601 §2.7.3).
const (
	Pass      = "pass"      // a name leads back to the address
	Fail      = "fail"      // the address has names, and none leads back to it
	TempError = "temperror" // the DNS does not answer: another time it may
	PermError = "permerror" // the address has no name
)

// Result is what was found out about an address.
type Result struct {
	// Value is Pass, Fail, TempError or PermError; empty: there is no address.
	Value string
	// Addr is the client's address.
	Addr netip.Addr
	// Name is the name that leads back, in lower case without a final dot; empty unless Value is Pass. It is made of letters,
	// digits, "-", "_" and dots.
	Name string
}

// LookUp looks an address up.
func LookUp(ctx context.Context, resolver Resolver, addr netip.Addr) Result {
	addr = ipaddr.Plain(addr)
	if !addr.IsValid() {
		return Result{}
	}
	ctx, cancel := context.WithTimeout(ctx, MaxTime)
	defer cancel()
	names, err := resolver.LookupAddr(ctx, addr.String())
	switch {
	case err != nil && names == nil && !dnserror.NotFound(err): // names beside an error are the valid ones of an answer
		return Result{Value: TempError, Addr: addr}
	case len(names) == 0:
		return Result{Value: PermError, Addr: addr}
	}
	r := Result{Value: Fail, Addr: addr}
	for _, name := range names[:min(len(names), MaxNames)] {
		name, ok := domainname.Identity(name) // it may go into a header field
		if !ok {
			continue
		}
		addrs, err := resolver.LookupNetIP(ctx, family(addr), name+".")
		if slices.ContainsFunc(addrs, func(a netip.Addr) bool { return ipaddr.Plain(a) == addr }) {
			return Result{Value: Pass, Addr: addr, Name: name}
		}
		if err != nil && !dnserror.NotFound(err) {
			r.Value = TempError
		}
	}
	return r
}

// family is what to ask a name for.
func family(a netip.Addr) string {
	if a.Is4() {
		return "ip4"
	}
	return "ip6"
}
