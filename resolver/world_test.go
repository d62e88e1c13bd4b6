package resolver_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/resolver"
)

const zoneText = `
	$ORIGIN example.com.
	$TTL 300
	@          IN SOA   ns hostmaster 1 3600 600 86400 120
	           IN MX    20 backup
	           IN MX    10 Mail
	           IN TXT   "v=spf1 " "mx -all"
	           IN TXT   "other \"quoted\" \200\\"
	mail       IN A     192.0.2.1
	           IN AAAA  2001:db8::1
	           IN A     192.0.2.2
	backup     IN A     192.0.2.3
	www    60  IN CNAME alias
	alias      IN CNAME mail.example.net.
	dangling   IN CNAME nowhere
	nodata     IN CNAME backup
	empty  0   IN TXT   "not for the cache"
	zero   0   IN A     192.0.2.4
	long   4294967295 IN TXT "a TTL with the highest bit set"
	forever 2147483647 IN TXT "the longest TTL there is"
	_dmarc     IN TXT   "v=DMARC1; p=reject"
	odd        IN MX    10 a\032b.example.com.
	halfodd    IN MX    10 a\032b.example.com.
	           IN MX    20 mail
	_25._tcp.mail 30 IN TLSA 3 1 1 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
	_imaps._tcp IN SRV 0 1 993 mail
	$ORIGIN example.net.
	mail       IN A     198.51.100.1
	null       IN MX    0 .
	xn--bcher-kva IN TXT "books"
	$ORIGIN .
	1.2.0.192.in-addr.arpa. IN PTR mail.example.com.
	9.2.0.192.in-addr.arpa. IN CNAME 9.0/25.2.0.192.in-addr.arpa.
	9.0/25.2.0.192.in-addr.arpa. IN PTR mail.example.com.
	8.2.0.192.in-addr.arpa. IN PTR a\010b.example.com.
	1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. IN PTR mail.example.com.
`

// world is a network with DNS servers on it.
type world struct {
	t       *testing.T
	network *mailtest.Network
}

func newWorld(t *testing.T) *world { return &world{t: t, network: mailtest.NewNetwork()} }

// serve starts a server at an address and gives the zones that it serves.
func (w *world) serve(addr, zones string) *mailtest.DNS {
	w.t.Helper()
	d := mailtest.MustZone(w.t, zones)
	pc, err := w.network.ListenPacket("udp", addr)
	require.NoError(w.t, err)
	l, err := w.network.Listen("tcp", addr)
	require.NoError(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := d.Serve(ctx, pc, l); err != nil {
			w.t.Errorf("Serve: %v", err)
		}
	})
	w.t.Cleanup(func() { cancel(); wg.Wait() })
	return d
}

// answer starts a UDP server at an address that answers each query with what f makes of it: any packets.
func (w *world) answer(addr string, f func(q *dns.Msg) [][]byte) {
	w.t.Helper()
	pc, err := w.network.ListenPacket("udp", addr)
	require.NoError(w.t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			q := new(dns.Msg)
			if err := q.Unpack(buf[:n]); err != nil {
				w.t.Errorf("query: %v", err)
			}
			for _, raw := range f(q) {
				_, _ = pc.WriteTo(raw, from)
			}
		}
	})
	w.t.Cleanup(func() { pc.Close(); wg.Wait() })
}

// resolver gives one that asks these servers over the network.
func (w *world) resolver(servers ...string) *resolver.Resolver {
	return &resolver.Resolver{Servers: servers, Dialer: w.network.Dialer("192.0.2.200").DialContext}
}

// inBubble runs a test on the fake clock.
func inBubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { f(t, newWorld(t)) })
}

// class says what kind of error it is; every error must be a *net.DNSError.
func class(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return "none"
	}
	var e *net.DNSError
	require.ErrorAs(t, err, &e)
	switch {
	case e.IsNotFound && !e.IsTemporary && !e.IsTimeout:
		return "not found"
	case e.IsTimeout && e.IsTemporary && !e.IsNotFound:
		return "timeout"
	case e.IsTemporary && !e.IsNotFound:
		return "temporary"
	case e.IsNotFound || e.IsTimeout:
		return fmt.Sprintf("contradictory: %+v", e)
	}
	return "permanent"
}

func pack(t *testing.T, m *dns.Msg) []byte {
	t.Helper()
	raw, err := m.Pack()
	require.NoError(t, err)
	return raw
}

func rr(t *testing.T, text string) dns.RR {
	t.Helper()
	r, err := dns.NewRR(text)
	require.NoError(t, err)
	return r
}

const (
	ns1 = "192.0.2.53:53"
	ns2 = "192.0.2.54:53"
	ns3 = "192.0.2.55:53"
)

// took is the time that f takes on the bubble's clock.
func took(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}
