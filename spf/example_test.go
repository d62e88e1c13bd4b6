package spf_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/mailbricks/mailbricks/spf"
)

// published answers in place of the DNS. Programs leave Checker.Resolver nil, or take package resolver's for its cache.
type published struct{ net.Resolver }

func (*published) LookupTXT(context.Context, string) ([]string, error) {
	return []string{"v=spf1 ip4:192.0.2.0/24 -all"}, nil
}

func Example() {
	checker := &spf.Checker{Resolver: &published{}, Hostname: "mx.example.com"}
	client := spf.Client{IP: netip.MustParseAddr("198.51.100.7"), Helo: "mail.example.net", From: "ann@example.org"}
	verdict := checker.Check(context.Background(), client)
	fmt.Println(verdict.Result, verdict.Mechanism, verdict.Resinfo()) // Output: fail all spf=fail smtp.mailfrom=example.org
}
