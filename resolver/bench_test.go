package resolver_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/resolver"
)

// benchmarkResolver is a resolver over an in-memory server.
func benchmarkResolver(b *testing.B) *resolver.Resolver {
	b.Helper()
	n := mailtest.NewNetwork()
	pc, err := n.ListenPacket("udp", ns1)
	require.NoError(b, err)
	zones, err := mailtest.ParseZone(zoneText + "\t*.bench.example. 3600 IN A 192.0.2.1\n")
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = zones.Serve(ctx, pc, nil) })
	b.Cleanup(func() { cancel(); wg.Wait() })
	return &resolver.Resolver{Servers: []string{ns1}, Dialer: n.Dialer("").DialContext}
}

func BenchmarkWarm(b *testing.B) {
	r, ctx := benchmarkResolver(b), context.Background()
	perSecond := func(b *testing.B) { b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lookups/s") }
	b.Run("TXT", func(b *testing.B) {
		defer perSecond(b)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.LookupTXT(ctx, "example.com."); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("MX", func(b *testing.B) {
		defer perSecond(b)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.LookupMX(ctx, "example.com."); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("NetIP", func(b *testing.B) {
		defer perSecond(b)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.LookupNetIP(ctx, "ip", "mail.example.com."); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		defer perSecond(b)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := r.LookupTXT(ctx, "example.com."); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

func BenchmarkCold(b *testing.B) {
	r, ctx := benchmarkResolver(b), context.Background()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := r.LookupNetIP(ctx, "ip4", fmt.Sprintf("n%d.bench.example.", i)); err != nil {
			b.Fatal(err)
		}
	}
}
