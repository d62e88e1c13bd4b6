package resolver_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/resolver"
)

// Where *net.Resolver has an answer, this one has the same, and so has mailtest's.
func TestSameAsTheStandardResolver(t *testing.T) {
	t.Parallel()
	n := mailtest.NewNetwork()
	d := mailtest.MustZone(t, zoneText)
	pc, err := n.ListenPacket("udp", ns1)
	require.NoError(t, err)
	l, err := n.Listen("tcp", ns1)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = d.Serve(ctx, pc, l) })
	defer wg.Wait()
	defer cancel()

	dialer := n.Dialer("192.0.2.200")
	standard := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network[:3], ns1)
	}}
	others := map[string]lookups{
		"resolver": &resolver.Resolver{Servers: []string{ns1}, Dialer: dialer.DialContext},
		"mailtest": d.Resolver(),
	}
	for _, name := range []string{
		"example.com.", "EXAMPLE.com.", "mail.example.com.", "www.example.com.", "dangling.example.com.", "nodata.example.com.",
		"nowhere.example.com.", "_dmarc.example.com.", "_tcp.mail.example.com.", "null.example.net.", "empty.example.com.",
		"192.0.2.1", "2001:db8::1", "192.0.2.9", "192.0.2.77", "a..b.",
	} {
		want := everything(ctx, standard, name)
		for who, r := range others {
			require.Equal(t, want, everything(ctx, r, name), "%s of %s", name, who)
		}
	}
}

// everything is what a resolver says about a name, in a form that can be compared.
func everything(ctx context.Context, r lookups, name string) map[string]string {
	out := map[string]string{}
	note := func(method string, values []string, err error) {
		slices.Sort(values)
		out[method] = fmt.Sprintf("%q", values)
		if _, ok := err.(*net.AddrError); ok { // how the standard library says that an address is not of the family
			err = &net.DNSError{IsNotFound: true}
		}
		if e, ok := err.(*net.DNSError); ok {
			out[method] = fmt.Sprintf("not found %v, temporary %v, timeout %v", e.IsNotFound, e.IsTemporary, e.IsTimeout)
		}
	}
	if net.ParseIP(name) != nil {
		names, err := r.LookupAddr(ctx, name)
		note("Addr", names, err)
	} else {
		txt, err := r.LookupTXT(ctx, name)
		note("TXT", txt, err)
		mx, err := r.LookupMX(ctx, name)
		var mxs []string
		for _, m := range mx {
			mxs = append(mxs, fmt.Sprint(m.Pref, " ", m.Host))
		}
		note("MX", mxs, err)
	}
	for _, network := range []string{"ip", "ip4", "ip6"} {
		ips, err := r.LookupNetIP(ctx, network, name)
		var texts []string
		for _, ip := range ips {
			texts = append(texts, ip.Unmap().String())
		}
		note(network, texts, err)
	}
	hosts, err := r.LookupHost(ctx, name)
	note("Host", hosts, err)
	return out
}
