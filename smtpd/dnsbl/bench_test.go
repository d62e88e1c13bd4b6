package dnsbl_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/resolver"
	"github.com/mailbricks/mailbricks/smtpd/dnsbl"
)

// warmLists are eight lists on a server in memory, behind a resolver that caches. The client is on the first.
func warmLists(b *testing.B) (*resolver.Resolver, string) {
	b.Helper()
	var zone, lists strings.Builder
	zone.WriteString("9.113.0.203.list0.example. 3600 A 127.0.0.2\n9.113.0.203.list0.example. TXT https://list0.example/\n")
	for i := range 6 {
		fmt.Fprintf(&lists, "list%d.example=127.0.0.[2..11]*2 ", i)
	}
	lists.WriteString("list6.example=127.0.[0..255].[1..3]*-2 helo+sender:list7.example")
	for i := range 8 {
		for _, name := range []string{test4, test6, "test."} {
			fmt.Fprintf(&zone, "%slist%d.example. A 127.0.0.2\n", name, i)
		}
	}
	network := mailtest.NewNetwork()
	pc, err := network.ListenPacket("udp", "192.0.2.53:53")
	require.NoError(b, err)
	dns := mailtest.MustZone(b, zone.String())
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = dns.Serve(ctx, pc, nil) })
	b.Cleanup(func() { cancel(); wg.Wait() })
	return &resolver.Resolver{Servers: []string{"192.0.2.53:53"}, Dialer: network.Dialer("").DialContext}, lists.String()
}

// BenchmarkCheck is a session with one transaction and eight lists whose answers are all in the resolver's cache.
func BenchmarkCheck(b *testing.B) {
	r, lists := warmLists(b)
	c := newChecker(b, dnsbl.Options{Resolver: r}, lists)
	for _, s := range c.Test(b.Context()) {
		require.Equal(b, dnsbl.Up, s.State, s)
	}
	check := c.Check()
	for _, test := range []struct {
		name, addr string
		refused    bool
	}{
		{"clean", "203.0.113.10", false},
		{"clean6", "2001:db8::1", false},
		{"listed", client, true},
		{"skipped", "192.168.1.1", false},
	} {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				v := arrive(b, check, test.addr)
				if _, err := v.mail("ann@example.net", "bob@example.com"); (err != nil) != test.refused {
					b.Fatal(err)
				}
				v.leave()
			}
		})
	}
}

func BenchmarkParseList(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := dnsbl.ParseList("zen.spamhaus.org=127.0.0.[2..11]*3"); err != nil {
			b.Fatal(err)
		}
	}
}
