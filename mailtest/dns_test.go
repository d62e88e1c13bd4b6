package mailtest_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailtest"
)

const zoneText = `
	$ORIGIN example.com.
	$TTL 60
	@          IN SOA   ns hostmaster 1 3600 600 86400 120
	           IN MX    20 backup
	           IN MX    10 Mail
	           IN TXT   "v=spf1 " "mx -all"
	           IN TXT   "other \"quoted\" \200"
	mail       IN A     192.0.2.1
	           IN AAAA  2001:db8::1
	           IN A     192.0.2.2
	backup     IN A     192.0.2.3
	www        IN CNAME alias
	alias      IN CNAME mail.example.net.
	loop       IN CNAME pool
	pool       IN CNAME loop
	dangling   IN CNAME nowhere
	*.wild     IN A     192.0.2.9
	a.b.wild   IN TXT   "not the wildcard"
	_25._tcp.mail 30 IN TLSA 3 1 1 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
	$ORIGIN example.net.
	mail       IN A     198.51.100.1
	nomail.example.net.  IN MX 0 .
	1.2.0.192.in-addr.arpa. IN PTR mail.example.com.
`

func TestResolverAnswersLikeTheStandardOne(t *testing.T) {
	t.Parallel()
	ctx, r := t.Context(), mailtest.MustZone(t, zoneText).Resolver()

	txt, err := r.LookupTXT(ctx, "EXAMPLE.com")
	require.NoError(t, err)
	require.Equal(t, []string{"v=spf1 mx -all", "other \"quoted\" \xc8"}, txt)

	mx, err := r.LookupMX(ctx, "example.com.")
	require.NoError(t, err)
	require.Equal(t, []*net.MX{{Host: "Mail.example.com.", Pref: 10}, {Host: "backup.example.com.", Pref: 20}}, mx)
	mx, err = r.LookupMX(ctx, "nomail.example.net")
	require.NoError(t, err)
	require.Equal(t, []*net.MX{{Host: ".", Pref: 0}}, mx)

	for network, want := range map[string][]netip.Addr{
		"ip4": {netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")},
		"ip6": {netip.MustParseAddr("2001:db8::1")},
		"ip":  {netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::1")},
	} {
		ips, err := r.LookupNetIP(ctx, network, "mail.example.com")
		require.NoError(t, err)
		require.Equal(t, want, ips)
	}
	_, err = r.LookupNetIP(ctx, "tcp", "mail.example.com")
	require.ErrorAs(t, err, new(net.UnknownNetworkError))
	_, err = r.LookupNetIP(ctx, "ip6", "192.0.2.1")
	requireDNSError(t, err, "not found")
	_, err = r.LookupNetIP(ctx, "ip6", "backup.example.com")
	requireDNSError(t, err, "not found")

	addrs, err := r.LookupIPAddr(ctx, "www.example.com")
	require.NoError(t, err)
	require.Len(t, addrs, 1)
	require.Equal(t, "198.51.100.1", addrs[0].String())
	hosts, err := r.LookupHost(ctx, "2001:db8::7")
	require.NoError(t, err)
	require.Equal(t, []string{"2001:db8::7"}, hosts)

	names, err := r.LookupAddr(ctx, "192.0.2.1")
	require.NoError(t, err)
	require.Equal(t, []string{"mail.example.com."}, names)
	_, err = r.LookupAddr(ctx, "192.0.2.77")
	requireDNSError(t, err, "not found")
	_, err = r.LookupAddr(ctx, "mail.example.com")
	require.ErrorAs(t, err, new(*net.DNSError))

	cname, err := r.LookupCNAME(ctx, "www.example.com")
	require.NoError(t, err)
	require.Equal(t, "mail.example.net.", cname)
	_, err = r.LookupCNAME(ctx, "example.com")
	requireDNSError(t, err, "not found")
}

// requireDNSError checks the class of an error: "not found", "timeout" or "temporary".
func requireDNSError(t *testing.T, err error, class string) {
	t.Helper()
	var e *net.DNSError
	require.ErrorAs(t, err, &e)
	require.Equal(t, class == "not found", e.IsNotFound, "%v", err)
	require.Equal(t, class == "timeout", e.IsTimeout, "%v", err)
	require.Equal(t, class != "not found", e.IsTemporary, "%v", err)
}

func TestResolverTellsFailures(t *testing.T) {
	t.Parallel()
	d := mailtest.MustZone(t, zoneText)
	ctx, r := t.Context(), d.Resolver()
	for _, name := range []string{"nowhere.example.com", "dangling.example.com", "", "a..b", strings.Repeat("a", 64) + ".example.com"} {
		_, err := r.LookupTXT(ctx, name)
		requireDNSError(t, err, "not found")
	}
	_, err := r.LookupTXT(ctx, "loop.example.com")
	requireDNSError(t, err, "temporary")

	d.SetFailure("Example.com", mailtest.ServFail, "txt")
	_, err = r.LookupTXT(ctx, "example.com")
	requireDNSError(t, err, "temporary")
	_, err = r.LookupMX(ctx, "example.com")
	require.NoError(t, err)
	d.SetFailure("example.com", mailtest.Timeout)
	_, err = r.LookupMX(ctx, "example.com")
	requireDNSError(t, err, "timeout")
	_, err = r.LookupTXT(ctx, "example.com")
	requireDNSError(t, err, "temporary")
	d.SetFailure("example.com", mailtest.Refused)
	_, err = r.LookupMX(ctx, "example.com")
	requireDNSError(t, err, "temporary")
	d.SetFailure("example.com", mailtest.NXDomain)
	_, err = r.LookupMX(ctx, "example.com")
	requireDNSError(t, err, "not found")
	d.SetFailure("example.com", mailtest.NoFailure)
	d.SetFailure("example.com", mailtest.NXDomain, "NOTYPE")
	_, err = r.LookupMX(ctx, "example.com")
	require.NoError(t, err)

	d.SetFailure("mail.example.com", mailtest.ServFail, "AAAA")
	ips, err := r.LookupNetIP(ctx, "ip", "mail.example.com")
	require.NoError(t, err, "one family is enough")
	require.Len(t, ips, 2)
	d.SetFailure("backup.example.com", mailtest.ServFail, "A")
	_, err = r.LookupNetIP(ctx, "ip", "backup.example.com")
	requireDNSError(t, err, "temporary")
	_, err = r.LookupCNAME(ctx, "backup.example.com")
	requireDNSError(t, err, "temporary")

	d.SetFailure("mail.example.net", mailtest.ServFail)
	_, err = r.LookupHost(ctx, "www.example.com")
	requireDNSError(t, err, "temporary")

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = r.LookupTXT(cancelled, "example.com")
	require.ErrorIs(t, err, context.Canceled)
}

func TestLookupTellsMore(t *testing.T) {
	t.Parallel()
	d := mailtest.MustZone(t, zoneText)
	d.SetAuthentic("example.com", true)
	d.SetAuthentic("wild.example.com", false)
	ctx, r := t.Context(), d.Resolver()

	a, err := r.Lookup(ctx, "_25._tcp.mail.example.com", "tlsa")
	require.NoError(t, err)
	require.Equal(t, []string{"3 1 1 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}, a.Records)
	require.Equal(t, 30*time.Second, a.TTL)
	require.True(t, a.Authentic)
	require.Equal(t, "_25._tcp.mail.example.com.", a.Name)

	a, err = r.Lookup(ctx, "example.com", "MX")
	require.NoError(t, err)
	require.Equal(t, []string{"20 backup.example.com.", "10 Mail.example.com."}, a.Records)

	a, err = r.Lookup(ctx, "nowhere.example.com", "TXT")
	require.NoError(t, err)
	require.True(t, a.NXDomain)
	require.True(t, a.Authentic)
	require.Empty(t, a.Records)
	require.Equal(t, time.Minute, a.TTL, "the SOA's own TTL is below its minimum field")

	a, err = r.Lookup(ctx, "_tcp.mail.example.com", "TXT") // an empty non-terminal
	require.NoError(t, err)
	require.False(t, a.NXDomain)
	require.Empty(t, a.Records)

	a, err = r.Lookup(ctx, "www.example.com", "A")
	require.NoError(t, err)
	require.Equal(t, "mail.example.net.", a.Name)
	require.False(t, a.Authentic, "the chain leaves the authentic zone")

	for name, authentic := range map[string]bool{"x.wild.example.com": false, "example.net": false} {
		a, err = r.Lookup(ctx, name, "A")
		require.NoError(t, err)
		require.Equal(t, authentic, a.Authentic, name)
	}
	_, err = r.Lookup(ctx, "example.com", "NOTYPE")
	require.ErrorAs(t, err, new(*net.DNSError))
	d.SetFailure("example.com", mailtest.ServFail)
	_, err = r.Lookup(ctx, "example.com", "TXT")
	requireDNSError(t, err, "temporary")
}

func TestWildcards(t *testing.T) {
	t.Parallel()
	ctx, r := t.Context(), mailtest.MustZone(t, zoneText).Resolver()
	for name, want := range map[string]string{
		"x.wild.example.com":     "found",
		"x.y.wild.example.com":   "found",
		"b.wild.example.com":     "no data", // an empty non-terminal (RFC 4592 §2.2.2)
		"c.b.wild.example.com":   "no name", // its closest encloser has no wildcard
		"a.b.wild.example.com":   "no data",
		"wild.example.com":       "no data",
		"x.notwild.example.com":  "no name",
		"*.wild.example.com":     "found",
		"\\052.wild.example.com": "found",
		"x.*.wild.example.com":   "no name", // RFC 4592 §2.2.1: no wildcard below a wildcard's own name
	} {
		a, err := r.Lookup(ctx, name, "A")
		require.NoError(t, err, name)
		got := "no data"
		if a.NXDomain {
			got = "no name"
		} else if len(a.Records) > 0 {
			got = "found"
			require.Equal(t, []string{"192.0.2.9"}, a.Records)
		}
		require.Equal(t, want, got, name)
	}
}

func TestQueriesAreCounted(t *testing.T) {
	t.Parallel()
	d := mailtest.MustZone(t, zoneText)
	r := d.Resolver()
	_, _ = r.LookupTXT(t.Context(), "EXAMPLE.com")
	_, _ = r.LookupTXT(t.Context(), "example.com.")
	_, _ = r.LookupHost(t.Context(), "bücher.example")
	require.Equal(t, map[string]int{"example.com. TXT": 2, "xn--bcher-kva.example. A": 1, "xn--bcher-kva.example. AAAA": 1}, d.Queries())
}

func TestReplaceChangesTheZonesOrNothing(t *testing.T) {
	t.Parallel()
	d := mailtest.MustZone(t, `example.com. TXT "old"`)
	r := d.Resolver()
	require.Error(t, d.Replace("example.com. TXT"))
	txt, err := r.LookupTXT(t.Context(), "example.com")
	require.NoError(t, err)
	require.Equal(t, []string{"old"}, txt)
	require.NoError(t, d.Replace("example.com. TXT new"))
	txt, err = r.LookupTXT(t.Context(), "example.com")
	require.NoError(t, err)
	require.Equal(t, []string{"new"}, txt)
}

func TestZonesThatCannotBe(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"example.com. A 192.0.2.999",
		"example.com. CNAME a.\nexample.com. A 192.0.2.1",
		"example.com. CNAME a.\nexample.com. CNAME b.",
		"$INCLUDE /etc/passwd",
		"example.com. NOTYPE x",
	} {
		_, err := mailtest.ParseZone(text)
		require.Error(t, err, text)
		require.Regexp(t, "^mailtest: zone: ", err.Error())
		tb := &recorder{}
		mailtest.MustZone(tb, text)
		require.NotEmpty(t, tb.failed)
	}
	_, err := mailtest.ParseZone("")
	require.NoError(t, err)
}

// recorder is a TB that goes on after Fatalf.
type recorder struct{ failed string }

func (*recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) { r.failed = fmt.Sprintf(format, args...) }

// serve runs a DNS on a network and gives a function that asks it.
func serve(t *testing.T, d *mailtest.DNS) func(network string, m *dns.Msg) (*dns.Msg, error) {
	t.Helper()
	n := mailtest.NewNetwork()
	pc, err := n.ListenPacket("udp", "192.0.2.53:53")
	require.NoError(t, err)
	l, err := n.Listen("tcp", "192.0.2.53:53")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := d.Serve(ctx, pc, l); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return func(network string, m *dns.Msg) (*dns.Msg, error) {
		conn, err := n.Dialer("192.0.2.2").Dial(network, "192.0.2.53:53")
		require.NoError(t, err)
		defer conn.Close()
		c := dns.Client{Net: network, Timeout: 200 * time.Millisecond}
		resp, _, err := c.ExchangeWithConn(m, &dns.Conn{Conn: conn})
		return resp, err
	}
}

func question(name string, typ uint16) *dns.Msg { return new(dns.Msg).SetQuestion(name, typ) }

func TestServerAnswersOverBothTransports(t *testing.T) {
	t.Parallel()
	ask := serve(t, mailtest.MustZone(t, zoneText))
	for _, network := range []string{"udp", "tcp"} {
		resp, err := ask(network, question("wWw.example.com.", dns.TypeA))
		require.NoError(t, err)
		require.Equal(t, dns.RcodeSuccess, resp.Rcode)
		require.Len(t, resp.Answer, 3)
		require.Equal(t, "198.51.100.1", resp.Answer[2].(*dns.A).A.String())
		require.Equal(t, "wWw.example.com.", resp.Question[0].Name)

		for name, rcode := range map[string]int{"nowhere.example.com.": dns.RcodeNameError, "mail.example.com.": dns.RcodeSuccess} {
			resp, err = ask(network, question(name, dns.TypeMX))
			require.NoError(t, err)
			require.Equal(t, rcode, resp.Rcode)
			require.Empty(t, resp.Answer)
			require.Equal(t, "example.com.", resp.Ns[0].(*dns.SOA).Hdr.Name)
		}
		resp, err = ask(network, question("nowhere.example.org.", dns.TypeMX))
		require.NoError(t, err)
		require.Equal(t, ".", resp.Ns[0].(*dns.SOA).Hdr.Name)
	}
}

func TestServerTruncates(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for i := range 40 {
		fmt.Fprintf(&text, "big.example. TXT \"record %d of those that do not fit into 512 octets\"\n", i)
	}
	fmt.Fprintf(&text, "small.example. TXT %s\n", strings.Repeat("x", 200))
	ask := serve(t, mailtest.MustZone(t, text.String()))
	m := question("big.example.", dns.TypeTXT)
	for _, size := range []uint16{0, 100, 1232} {
		if size > 0 {
			m = question("big.example.", dns.TypeTXT).SetEdns0(size, false)
		}
		resp, err := ask("udp", m)
		require.NoError(t, err)
		require.True(t, resp.Truncated)
		require.Empty(t, resp.Answer)
		resp, err = ask("tcp", m)
		require.NoError(t, err)
		require.False(t, resp.Truncated)
		require.Len(t, resp.Answer, 40)
	}
	resp, err := ask("udp", question("small.example.", dns.TypeTXT).SetEdns0(100, false))
	require.NoError(t, err)
	require.False(t, resp.Truncated, "a size below 512 counts as 512 (RFC 6891 §6.2.3)")
	require.Len(t, resp.Answer, 1)
	resp, err = ask("udp", question("big.example.", dns.TypeTXT).SetEdns0(4096, false))
	require.NoError(t, err)
	require.False(t, resp.Truncated)
	require.Len(t, resp.Answer, 40)
}

func TestServerSetsADForWhoAsks(t *testing.T) {
	t.Parallel()
	d := mailtest.MustZone(t, zoneText)
	ask := serve(t, d)
	for _, secure := range []bool{false, true} {
		d.SetAuthentic(".", secure)
		m := question("example.com.", dns.TypeMX)
		resp, err := ask("udp", m)
		require.NoError(t, err)
		require.False(t, resp.AuthenticatedData)
		m.AuthenticatedData = true
		resp, err = ask("udp", m)
		require.NoError(t, err)
		require.Equal(t, secure, resp.AuthenticatedData)
		resp, err = ask("udp", question("example.com.", dns.TypeMX).SetEdns0(1232, true))
		require.NoError(t, err)
		require.Equal(t, secure, resp.AuthenticatedData)
	}
}

func TestServerFailsAsTold(t *testing.T) {
	t.Parallel()
	d := mailtest.MustZone(t, zoneText)
	ask := serve(t, d)
	for failure, rcode := range map[mailtest.Failure]int{
		mailtest.ServFail: dns.RcodeServerFailure, mailtest.Refused: dns.RcodeRefused, mailtest.NXDomain: dns.RcodeNameError,
	} {
		d.SetFailure("example.com", failure)
		resp, err := ask("udp", question("example.com.", dns.TypeMX))
		require.NoError(t, err)
		require.Equal(t, rcode, resp.Rcode)
		require.Empty(t, resp.Answer)
	}
	d.SetFailure("example.com", mailtest.Timeout)
	for _, network := range []string{"udp", "tcp"} {
		_, err := ask(network, question("example.com.", dns.TypeMX))
		var ne net.Error
		require.True(t, errors.As(err, &ne) && ne.Timeout(), "%v", err)
	}
}

func TestServerRefusesOddQueries(t *testing.T) {
	t.Parallel()
	ask := serve(t, mailtest.MustZone(t, zoneText))
	m := question("example.com.", dns.TypeMX)
	m.Opcode = dns.OpcodeUpdate
	resp, err := ask("tcp", m)
	require.NoError(t, err)
	require.Equal(t, dns.RcodeNotImplemented, resp.Rcode)
	m = question("example.com.", dns.TypeMX)
	m.Question[0].Qclass = dns.ClassCHAOS
	resp, err = ask("tcp", m)
	require.NoError(t, err)
	require.Equal(t, dns.RcodeRefused, resp.Rcode)
	m.Question = append(m.Question, m.Question[0])
	resp, err = ask("tcp", m)
	require.NoError(t, err)
	require.Equal(t, dns.RcodeFormatError, resp.Rcode)
	m.Response = true
	_, err = ask("tcp", m)
	require.Error(t, err, "an answer is not answered")
}

func TestServeEndsWithItsSockets(t *testing.T) {
	t.Parallel()
	n := mailtest.NewNetwork()
	d := mailtest.MustZone(t, zoneText)
	pc, err := n.ListenPacket("udp", "192.0.2.53:53")
	require.NoError(t, err)
	require.NoError(t, pc.Close())
	l, err := n.Listen("tcp", "192.0.2.53:53")
	require.NoError(t, err)
	require.ErrorIs(t, d.Serve(t.Context(), pc, l), net.ErrClosed)
	require.ErrorIs(t, d.Serve(t.Context(), nil, l), net.ErrClosed, "the other one was closed too")

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, d.Serve(cancelled, nil, nil))
}

// flaky is a socket of which some reads fail.
type flaky struct {
	net.PacketConn
	failures int
}

func (f *flaky) ReadFrom(p []byte) (int, net.Addr, error) {
	if f.failures > 0 {
		f.failures--
		return 0, nil, errors.New("not now")
	}
	return f.PacketConn.ReadFrom(p)
}

func TestServeOutlivesSomeReadErrors(t *testing.T) {
	t.Parallel()
	for failures, answers := range map[int]bool{16: true, 17: false} {
		n := mailtest.NewNetwork()
		pc, err := n.ListenPacket("udp", "192.0.2.53:53")
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- mailtest.MustZone(t, zoneText).Serve(ctx, &flaky{pc, failures}, nil) }()
		if answers {
			conn, err := n.Dialer("").Dial("udp", "192.0.2.53:53")
			require.NoError(t, err)
			_, _, err = new(dns.Client).ExchangeWithConn(question("example.com.", dns.TypeMX), &dns.Conn{Conn: conn})
			require.NoError(t, err)
			require.NoError(t, conn.Close())
			cancel()
			require.NoError(t, <-served)
		} else {
			require.ErrorContains(t, <-served, "not now")
		}
		cancel()
	}
}

func TestServeOnRealSockets(t *testing.T) {
	t.Parallel()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = mailtest.MustZone(t, zoneText).Serve(ctx, pc, nil) })
	defer wg.Wait()
	defer cancel()
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, pc.LocalAddr().String())
	}}
	txt, err := r.LookupTXT(ctx, "example.com.")
	require.NoError(t, err)
	require.Equal(t, []string{"v=spf1 mx -all", "other \"quoted\" \xc8"}, txt)
	_, err = r.LookupTXT(ctx, "nowhere.example.com.")
	requireDNSError(t, err, "not found")
}

func FuzzParseZone(f *testing.F) {
	f.Add(zoneText, "x.wild.example.com")
	f.Add("a. CNAME b.\nb. CNAME a.", "a")
	f.Add("*. A 192.0.2.1\n. TXT x", ".")
	f.Fuzz(func(t *testing.T, text, name string) {
		if strings.Contains(text, "$GENERATE") {
			return // makes many records on purpose
		}
		d, err := mailtest.ParseZone(text)
		if err != nil {
			return
		}
		r := d.Resolver()
		_, err = r.LookupTXT(t.Context(), name)
		if err != nil {
			require.ErrorAs(t, err, new(*net.DNSError))
		}
		_, _ = r.Lookup(t.Context(), name, "A")
	})
}
