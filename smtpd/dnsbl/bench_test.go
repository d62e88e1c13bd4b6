package dnsbl_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/smtpd/dnsbl"
)

// warm is a Resolver that has all answers: the test entries, and that nothing else is listed.
type warm struct{}

func (warm) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if strings.HasPrefix(host, test4) || strings.HasPrefix(host, test6) || strings.HasPrefix(host, "test.") {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 2})}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (warm) LookupTXT(_ context.Context, name string) ([]string, error) {
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// BenchmarkCheck is a session with one transaction and eight lists whose answers are all in the resolver's cache.
func BenchmarkCheck(b *testing.B) {
	var lists []string
	for i := range 6 {
		lists = append(lists, fmt.Sprintf("list%d.example=127.0.0.[2..11]*2", i))
	}
	lists = append(lists, "list6.example=127.0.[0..255].[1..3]*-2", "helo+sender:list7.example")
	c := newChecker(b, dnsbl.Options{Resolver: warm{}}, strings.Join(lists, " "))
	c.Test(b.Context())
	check := c.Check()
	for _, addr := range []string{"203.0.113.9", "2001:db8::1"} {
		b.Run(addr, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				v := arrive(b, check, addr)
				if _, err := v.mail("ann@example.net", "bob@example.com"); err != nil {
					b.Fatal(err)
				}
				v.leave()
			}
		})
	}
	b.Run("skipped", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v := arrive(b, check, "192.168.1.1")
			if _, err := v.mail("ann@example.net", "bob@example.com"); err != nil {
				b.Fatal(err)
			}
			v.leave()
		}
	})
}

func BenchmarkParseList(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := dnsbl.ParseList("zen.spamhaus.org=127.0.0.[2..11]*3"); err != nil {
			b.Fatal(err)
		}
	}
}
