package spf_test

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/resolver"
	"github.com/mailbricks/mailbricks/spf"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

// serveDNS answers from a zone over UDP and TCP, and gives the address.
func serveDNS(t *testing.T, z zone) string {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	l, err := net.Listen("tcp", pc.LocalAddr().String())
	if err != nil {
		pc.Close()
		t.Skipf("no TCP port to go with the UDP port: %v", err)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		if r.Question[0].Qtype == dns.TypeSPF {
			t.Error("type 99 was asked for (RFC 7208 §3.1)")
		}
		_ = w.WriteMsg(answerDNS(z, r))
	})
	for _, server := range []*dns.Server{{PacketConn: pc, Handler: handler}, {Listener: l, Handler: handler}} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() { _ = server.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = server.Shutdown() })
	}
	return pc.LocalAddr().String()
}

func answerDNS(z zone, r *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(r)
	m.RecursionAvailable = true
	q := r.Question[0]
	typ := dns.TypeToString[q.Qtype]
	name := strings.NewReplacer(`\032`, " ", `\ `, " ").Replace(q.Name)
	values, err := z.find(context.Background(), name, typ)
	if err != nil && !strings.Contains(err.Error(), "no such host") {
		m.Rcode = dns.RcodeServerFailure
		return m
	}
	if len(values) == 0 {
		if _, exists := z[strings.ToLower(strings.TrimSuffix(q.Name, "."))]; !exists {
			m.Rcode = dns.RcodeNameError
		}
		return m
	}
	for i, v := range values {
		rr := resourceRecord(q, v)
		if mx, ok := rr.(*dns.MX); ok {
			mx.Preference = uint16(i) // equal records are one (RFC 2181 §5)
		}
		m.Answer = append(m.Answer, rr)
	}
	if len(r.Extra) == 0 || r.IsEdns0() == nil {
		m.Truncate(dns.MinMsgSize)
	} else {
		m.Truncate(int(r.IsEdns0().UDPSize()))
	}
	return m
}

func resourceRecord(q dns.Question, v string) dns.RR {
	h := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: 60}
	switch q.Qtype {
	case dns.TypeTXT:
		rr := &dns.TXT{Hdr: h}
		for chunk := range slices.Chunk([]byte(v), 200) { // RFC 7208 §3.3
			rr.Txt = append(rr.Txt, escapeTXT(chunk))
		}
		if len(rr.Txt) == 0 {
			rr.Txt = []string{""}
		}
		return rr
	case dns.TypeA:
		return &dns.A{Hdr: h, A: netip.MustParseAddr(v).AsSlice()}
	case dns.TypeAAAA:
		return &dns.AAAA{Hdr: h, AAAA: netip.MustParseAddr(v).AsSlice()}
	case dns.TypeMX:
		return &dns.MX{Hdr: h, Mx: dns.Fqdn(v)}
	default:
		return &dns.PTR{Hdr: h, Ptr: dns.Fqdn(v)}
	}
}

func escapeTXT(b []byte) string {
	var out strings.Builder
	for _, c := range b {
		out.WriteString(`\` + string([]byte{'0' + c/100, '0' + c/10%10, '0' + c%10}))
	}
	return out.String()
}

// The suite once more with real packets.
func TestRFC7208SuiteOverDNS(t *testing.T) {
	t.Parallel()
	runSuite(t, nil, func(t *testing.T, z zone) spf.Resolver {
		return &resolver.Resolver{Servers: []string{serveDNS(t, z)}}
	})
}

// noHost is why a case is skipped with *net.Resolver.
const noHost = "RFC 1123 §2.1: foo:bar/baz.example.com is no name of a host, which is all that *net.Resolver knows"

// And with *net.Resolver, which does not even ask for names that are not of hosts.
func TestRFC7208SuiteWithTheStandardResolver(t *testing.T) {
	t.Parallel()
	skip := map[string]string{
		"mx-colon-domain": noHost, "mx-colon-domain-ip4mapped": noHost, "a-colon-domain": noHost, "a-colon-domain-ip4mapped": noHost,
		"macro-mania-in-domain": noHost,
	}
	runSuite(t, skip, func(t *testing.T, z zone) spf.Resolver {
		addr := serveDNS(t, z)
		return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}}
	})
}
