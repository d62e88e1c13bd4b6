package iprev_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd/iprev"
)

// zone has hosts with all kinds of names.
const zone = `
	; confirmed, in both families
	25.2.0.192.in-addr.arpa. PTR Mail.Sender.example.
	mail.sender.example. A 192.0.2.25
	mail.sender.example. AAAA 2001:db8::25
	5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR mail.sender.example.
	; somebody else's name
	66.2.0.192.in-addr.arpa. PTR mail.sender.example.
	; several, of which one is right
	26.2.0.192.in-addr.arpa. PTR gone.sender.example.
	26.2.0.192.in-addr.arpa. PTR other.sender.example.
	other.sender.example. A 198.51.100.1
	other.sender.example. A 192.0.2.26
	; by way of CNAMEs: RFC 2317
	27.2.0.192.in-addr.arpa. CNAME 27.rev.sender.example.
	27.rev.sender.example. PTR alias.sender.example.
	alias.sender.example. CNAME true.sender.example.
	true.sender.example. A 192.0.2.27
	; names that are none
	28.2.0.192.in-addr.arpa. PTR evil\013\010name.sender.example.
	29.2.0.192.in-addr.arpa. PTR localhost.
`

func lookUp(t *testing.T, r iprev.Resolver, addr string) iprev.Result {
	t.Helper()
	return iprev.LookUp(t.Context(), r, netip.MustParseAddr(addr))
}

func TestLookUp(t *testing.T) {
	t.Parallel()
	r := mailtest.MustZone(t, zone).Resolver()
	for addr, want := range map[string]string{
		"192.0.2.25":        "pass mail.sender.example",
		"2001:db8::25":      "pass mail.sender.example",
		"::ffff:192.0.2.25": "pass mail.sender.example",
		"2001:db8::25%eth0": "pass mail.sender.example",
		"192.0.2.26":        "pass other.sender.example",
		"192.0.2.27":        "pass alias.sender.example",
		"192.0.2.66":        "fail ",
		"192.0.2.28":        "fail ",
		"192.0.2.29":        "fail ",
		"192.0.2.99":        "permerror ",
		"2001:db8::99":      "permerror ",
	} {
		got := lookUp(t, r, addr)
		require.Equal(t, want, got.Value+" "+got.Name, addr)
		require.Equal(t, netip.MustParseAddr(addr).Unmap().WithZone(""), got.Addr)
	}
	require.Equal(t, iprev.Result{}, iprev.LookUp(t.Context(), r, netip.Addr{}))
}

// What the DNS does not say now may be said another time, unless what it does say is enough.
func TestLookUpThroughFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, rrtype, addr, want string }{
		{"25.2.0.192.in-addr.arpa", "PTR", "192.0.2.25", iprev.TempError},
		{"mail.sender.example", "A", "192.0.2.25", iprev.TempError},
		{"mail.sender.example", "AAAA", "192.0.2.25", iprev.Pass},
		{"mail.sender.example", "AAAA", "2001:db8::25", iprev.TempError},
		{"gone.sender.example", "A", "192.0.2.26", iprev.Pass},
		{"other.sender.example", "A", "192.0.2.26", iprev.TempError},
		{"true.sender.example", "A", "192.0.2.27", iprev.TempError},
	} {
		for _, failure := range []mailtest.Failure{mailtest.ServFail, mailtest.Refused, mailtest.Timeout} {
			dns := mailtest.MustZone(t, zone)
			dns.SetFailure(c.name, failure, c.rrtype)
			require.Equal(t, c.want, lookUp(t, dns.Resolver(), c.addr).Value, "%v", c)
		}
	}
}

// answers is a Resolver that always gives the same; where an answer is nil it waits for the end of the context.
type answers struct {
	names  []string
	err    error
	addrs  []netip.Addr
	asked  []string
	nobody bool // no name leads anywhere
}

func (a *answers) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	a.asked = append(a.asked, addr)
	if a.names == nil && a.err == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return a.names, a.err
}

func (a *answers) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	a.asked = append(a.asked, network+" "+host)
	switch {
	case a.nobody:
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	case a.addrs == nil:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return a.addrs, nil
}

func TestLookUpTakesLimitedTime(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{nil, {"mail.sender.example.", "mx.sender.example."}} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			require.Equal(t, iprev.TempError, lookUp(t, &answers{names: names}, "192.0.2.25").Value)
			require.Equal(t, iprev.MaxTime, time.Since(began))
		})
	}
}

func TestLookUpAsksLimitedQuestions(t *testing.T) {
	t.Parallel()
	for network, addr := range map[string]string{"ip4": "192.0.2.25", "ip6": "2001:db8::25"} {
		r := &answers{nobody: true}
		want := []string{addr}
		for i := range 1000 {
			r.names = append(r.names, fmt.Sprintf("host%d.example.", i))
			if i < iprev.MaxNames {
				want = append(want, fmt.Sprintf("%s host%d.example.", network, i))
			}
		}
		require.Equal(t, iprev.Fail, lookUp(t, r, addr).Value)
		require.Equal(t, want, r.asked)
	}
}

// *net.Resolver gives the names that are well formed and an error that says that there were others.
func TestLookUpOfInvalidNames(t *testing.T) {
	t.Parallel()
	addrs := []netip.Addr{netip.MustParseAddr("192.0.2.25")}
	invalid := &net.DNSError{Err: "DNS response contained records which contain invalid names"}
	for want, r := range map[string]*answers{
		"pass a.example": {names: []string{"a.example."}, err: invalid, addrs: addrs},
		"permerror ":     {names: []string{}, err: invalid, addrs: addrs},
		"temperror ":     {err: errors.New("broken"), addrs: addrs},
	} {
		got := lookUp(t, r, "192.0.2.25")
		require.Equal(t, want, got.Value+" "+got.Name)
	}
}

// Whatever a name is, only what can stand in a header field gets through.
func TestNamesAreClean(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z_.\r\n() ;=-]{0,80}`)).Draw(t, "name")
		addr := netip.MustParseAddr("192.0.2.25")
		r := iprev.LookUp(context.Background(), &answers{names: []string{name}, addrs: []netip.Addr{addr}}, addr)
		if r.Value == iprev.Pass {
			require.NotEmpty(t, r.Name)
			require.Empty(t, strings.Trim(r.Name, "abcdefghijklmnopqrstuvwxyz0123456789-_."))
			require.LessOrEqual(t, len(r.Name), 253)
		} else {
			require.Empty(t, r.Name)
		}
	})
}
