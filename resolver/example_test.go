package resolver_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/resolver"
)

// A program needs no more than r := &resolver.Resolver{}. Here it asks a server that the example runs in memory.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	network := mailtest.NewNetwork()
	server, err := network.ListenPacket("udp", "192.0.2.53:53")
	if err != nil {
		fmt.Println(err)
		return
	}
	zones, err := mailtest.ParseZone(`
		example.com.               3600 MX   10 mail.example.com.
		_25._tcp.mail.example.com. 300  TLSA 3 1 1 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
	`)
	if err != nil {
		fmt.Println(err)
		return
	}
	zones.SetAuthentic("example.com", true)
	var wg sync.WaitGroup
	wg.Go(func() { _ = zones.Serve(ctx, server, nil) })
	defer wg.Wait()
	defer cancel()

	r := &resolver.Resolver{
		Servers: []string{"192.0.2.53"},
		Dialer:  network.Dialer("192.0.2.1").DialContext,
		TrustAD: true,
	}
	// As with *net.Resolver.
	mx, err := r.LookupMX(ctx, "example.com")
	fmt.Println(mx[0].Pref, mx[0].Host, err)
	_, err = r.LookupHost(ctx, "www.example.com")
	fmt.Println(err)
	// What that one cannot say.
	tlsa, err := r.Lookup(ctx, "_25._tcp.mail.example.com", "TLSA")
	fmt.Println(len(tlsa.Records), tlsa.Authentic, tlsa.TTL, err)
	none, err := r.Lookup(ctx, "nowhere.example.com", "MX")
	fmt.Println(len(none.Records), none.NXDomain, err)

	// Output:
	// 10 mail.example.com. <nil>
	// lookup www.example.com: no such host
	// 1 true 5m0s <nil>
	// 0 true <nil>
}
