package spf_test

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/mailbricks/mailbricks/spf"
)

func Example() {
	// In production Resolver stays nil, which is net.DefaultResolver.
	dns := zone{"example.org": {"TXT": {"v=spf1 ip4:192.0.2.0/24 -all"}}}
	checker := &spf.Checker{Resolver: dns, Hostname: "mx.example.com"}

	verdict := checker.Check(context.Background(), spf.Client{
		IP:   netip.MustParseAddr("198.51.100.7"),
		Helo: "mail.example.net",
		From: "ann@example.org",
	})
	fmt.Println(verdict.Result, verdict.Domain, verdict.Mechanism)
	// Output: fail example.org all
}
