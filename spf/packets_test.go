package spf_test

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/spf"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

// serveDNS answers from a zone over UDP and TCP, and gives a resolver that asks there.
func serveDNS(t *testing.T, z zone) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	l, err := net.Listen("tcp", pc.LocalAddr().String())
	if err != nil {
		pc.Close()
		t.Skipf("no TCP port to go with the UDP port: %v", err)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) { _ = w.WriteMsg(answerDNS(z, r)) })
	for _, server := range []*dns.Server{{PacketConn: pc, Handler: handler}, {Listener: l, Handler: handler}} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() { _ = server.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = server.Shutdown() })
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, pc.LocalAddr().String())
	}}
}

func answerDNS(z zone, r *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(r)
	m.RecursionAvailable = true
	q := r.Question[0]
	typ := dns.TypeToString[q.Qtype]
	values, err := z.find(context.Background(), q.Name, typ)
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
	for _, v := range values {
		m.Answer = append(m.Answer, resourceRecord(q, v))
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

// The suite once more with *net.Resolver and real packets.
func TestRFC7208SuiteOverDNS(t *testing.T) {
	t.Parallel()
	skipped := map[string]string{
		"a-colon-domain":           "*net.Resolver asks for host names only",
		"a-colon-domain-ip4mapped": "*net.Resolver asks for host names only",
		"mx-colon-domain":          "*net.Resolver asks for host names only", "mx-colon-domain-ip4mapped": "*net.Resolver asks for host names only",
		"macro-mania-in-domain": "*net.Resolver asks for host names only",
	}
	for _, group := range loadSuite(t) {
		resolver := serveDNS(t, suiteZone(group.Zonedata))
		for name, c := range group.Tests {
			t.Run(name, func(t *testing.T) {
				if why := skipped[name]; why != "" {
					t.Skip(why)
				}
				checker := spf.Checker{Resolver: resolver}
				v := checker.Check(t.Context(), spf.Client{IP: netip.MustParseAddr(c.Host), Helo: c.Helo, From: c.Mailfrom})
				require.Contains(t, wanted(c.Result), v.Result.String(), "%v", v.Err)
				if c.Explanation != "" && c.Explanation != "DEFAULT" {
					require.Equal(t, c.Explanation, v.Explanation)
				}
			})
		}
	}
}
