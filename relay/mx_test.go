package relay_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/relay"
)

const manyHosts = `
	example.net.   MX 10 a.example.net.
	example.net.   MX 20 b.example.net.
	example.net.   MX 30 c.example.net.
	a.example.net. A  192.0.2.1
	b.example.net. A  192.0.2.2
	b.example.net. AAAA 2001:db8::2
	c.example.net. A  192.0.2.3
`

func TestHostsAreTriedInTheirOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, manyHosts)
		a := w.peer("192.0.2.1:25", &peer{name: "a.example.net"})
		b := w.peer("[2001:db8::2]:25", &peer{name: "b.example.net"})
		c := w.peer("192.0.2.3:25", &peer{name: "c.example.net"})
		mx := w.mx()
		require.Equal(t, "a.example.net", send(t, mx, "bob@example.net")[0].Host)
		require.Equal(t, []int{1, 0, 0}, []int{a.count(), b.count(), c.count()})
		pass(10 * time.Second)

		w.net.Refuse("192.0.2.1:25")
		out := send(t, mx, "bob@example.net")
		require.NoError(t, out[0].Err)
		require.Equal(t, "b.example.net", out[0].Host)
		require.Equal(t, "[2001:db8::2]:25", out[0].Addr.String())
		pass(10 * time.Second)

		w.net.Restore("192.0.2.1:25")
		w.net.Unreachable("2001:db8::2")
		w.net.Blackhole("192.0.2.1")
		begin := time.Now()
		out = send(t, mx, "bob@example.net") // b has an address of each family
		require.NoError(t, out[0].Err)
		require.Equal(t, "c.example.net", out[0].Host)
		require.Equal(t, relay.DefaultDialTimeout, time.Since(begin))
	})
}

func TestNextHostWhenOneFailsForNow(t *testing.T) {
	for name, tc := range map[string]struct {
		script map[string]string
		want   string // of bob; cleo is always taken somewhere
		first  int    // messages at the first host
		second int
	}{
		"greeting for now":      {map[string]string{"connect": "421 busy"}, "", 0, 1},
		"greeting never":        {map[string]string{"connect": "554 no"}, "", 0, 1},
		"EHLO and HELO never":   {map[string]string{"ehlo": "550 no", "helo": "550 no"}, "", 0, 1},
		"MAIL for now":          {map[string]string{"mail": "451 later"}, "", 0, 1},
		"one RCPT for now":      {map[string]string{"rcpt:bob@example.net": "450 later"}, "", 1, 1},
		"one RCPT never":        {map[string]string{"rcpt:bob@example.net": "550 no"}, "550 5.0.0", 1, 0},
		"dot for now":           {map[string]string{"dot": "452 full"}, "", 0, 1},
		"connection is lost":    {map[string]string{"rcpt": "close"}, "", 0, 1},
		"not one of SMTP":       {map[string]string{"connect": "raw:SSH-2.0-x\r\n"}, "", 0, 1},
		"handshake, then clear": {map[string]string{"starttls": "454 no"}, "", 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, manyHosts)
				a := w.peer("192.0.2.1:25", &peer{name: "a.example.net", script: tc.script, ext: []string{"STARTTLS"}})
				b := w.peer("192.0.2.2:25", &peer{name: "b.example.net"})
				out := send(t, w.mx(), "bob@example.net", "cleo@example.net")
				if tc.want == "" {
					require.NoError(t, out[0].Err)
				} else {
					requireReply(t, tc.want, out[0].Err)
				}
				require.NoError(t, out[1].Err)
				require.Equal(t, []int{tc.first, tc.second}, []int{len(a.mails()), len(b.mails())})
			})
		})
	}
}

func TestUnknownOutcomeIsNotTriedAtTheNextHost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, manyHosts)
		w.peer("192.0.2.1:25", &peer{script: map[string]string{"dot": "close"}})
		b := w.peer("192.0.2.2:25", &peer{})
		out := send(t, w.mx(), "bob@example.net")
		require.True(t, out[0].Unknown)
		require.False(t, out[0].Unreachable)
		require.Zero(t, b.count())
	})
}

func TestWhatCountsWhenNoHostTakesIt(t *testing.T) {
	for name, tc := range map[string]struct {
		a, b        map[string]string
		want        string
		unreachable bool
	}{
		"refused, then not there":       {map[string]string{"connect": "554 5.7.1 no"}, nil, "451 4.4.1", true},
		"refused by all":                {map[string]string{"connect": "554 5.7.1 no"}, map[string]string{"connect": "521 no"}, "521 5.0.0", false},
		"for now, then refused to talk": {map[string]string{"rcpt": "450 4.2.0 later"}, map[string]string{"connect": "554 no"}, "450 4.2.0", false},
		"for now, then not there":       {map[string]string{"rcpt": "450 4.2.0 later"}, nil, "450 4.2.0", false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, "example.net. MX 1 a.example.net.\nexample.net. MX 2 b.example.net.\na.example.net. A 192.0.2.1\nb.example.net. A 192.0.2.2\n")
				w.peer("192.0.2.1:25", &peer{script: tc.a})
				if tc.b != nil {
					w.peer("192.0.2.2:25", &peer{script: tc.b})
				}
				out := send(t, w.mx(), "bob@example.net")
				requireReply(t, tc.want, out[0].Err)
				require.Equal(t, tc.unreachable, out[0].Unreachable)
			})
		})
	}
}

// A host that refuses to talk is not the last word while the address of another one cannot be looked up.
func TestRefusalDoesNotCountWhileDNSFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, "example.net. MX 1 a.example.net.\nexample.net. MX 2 b.example.net.\na.example.net. A 192.0.2.1\n")
		w.dns.SetFailure("b.example.net", mailtest.ServFail)
		w.peer("192.0.2.1:25", &peer{script: map[string]string{"connect": "554 no"}})
		requireReply(t, "451 4.4.3", send(t, w.mx(), "bob@example.net")[0].Err)
	})
}

func TestEqualHostsShareTheLoad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, "example.net. MX 5 a.example.net.\nexample.net. MX 5 b.example.net.\na.example.net. A 192.0.2.1\nb.example.net. A 192.0.2.2\n")
		a, b := w.peer("192.0.2.1:25", &peer{}), w.peer("192.0.2.2:25", &peer{})
		mx := w.mx()
		for range 60 {
			require.NoError(t, send(t, mx, "bob@example.net")[0].Err)
		}
		require.Greater(t, len(a.mails()), 5)
		require.Greater(t, len(b.mails()), 5)
	})
}

func TestWhatDNSSays(t *testing.T) {
	const records = `
		null.test.      MX 0 .
		nodata.test.    TXT "only text"
		implicit.test.  A 192.0.2.25
		six.test.       AAAA 2001:db8::25
		alias.test.     CNAME implicit.test.
		mxalias.test.   MX 10 alias.test.
		nohost.test.    MX 10 missing.test.
		second.test.    MX 10 missing.test.
		second.test.    MX 20 implicit.test.
		servfail.test.  MX 10 broken.test.
		broken.test.    A 192.0.2.25
		mixed.test.     MX 10 missing.test.
		mixed.test.     MX 20 broken.test.
		bücher.test.    TXT "x"
		xn--bcher-kva.test. MX 10 implicit.test.
	`
	for to, want := range map[string]string{
		"bob@null.test":                  "556 5.1.10",
		"bob@missing.test":               "550 5.1.2",
		"bob@nodata.test":                "550 5.1.2",
		"bob@implicit.test":              "",
		"bob@IMPLICIT.test":              "",
		"bob@six.test":                   "",
		"bob@alias.test":                 "",
		"bob@mxalias.test":               "",
		"bob@nohost.test":                "550 5.4.4",
		"bob@second.test":                "",
		"bob@servfail.test":              "451 4.4.3",
		"bob@mixed.test":                 "451 4.4.3",
		"bob@failing.test":               "451 4.4.3",
		"bob@bücher.test":                "",
		"bob@[192.0.2.25]":               "",
		"bob@[IPv6:2001:db8::25]":        "",
		"bob@[ipv6:2001:DB8::25]":        "",
		"bob@[192.0.2.25.1]":             "550 5.1.3",
		"postmaster":                     "550 5.1.3",
		"bob@[IPv6:192.0.2.25]":          "550 5.1.3",
		"bob@" + strings.Repeat("ä", 80): "550 5.1.2",
	} {
		t.Run(to, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, records)
				w.dns.SetFailure("broken.test", mailtest.ServFail)
				w.dns.SetFailure("failing.test", mailtest.Timeout)
				w.peer("192.0.2.25:25", &peer{})
				w.peer("[2001:db8::25]:25", &peer{})
				out := send(t, w.mx(), to)
				if want == "" {
					require.NoError(t, out[0].Err)
					return
				}
				requireReply(t, want, out[0].Err)
				require.Equal(t, want[0] == '4', out[0].Unreachable)
			})
		})
	}
}

func TestMailDoesNotComeBackToThisServer(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("192.0.2.2")}
	for name, tc := range map[string]struct {
		zone, want string
	}{
		"best by address":  {"example.net. MX 1 b.test.\nb.test. A 192.0.2.2\nexample.net. MX 2 c.test.\nc.test. A 192.0.2.3\n", "554 5.4.6"},
		"best by name":     {"example.net. MX 1 OUT.example.com.\nexample.net. MX 2 c.test.\nc.test. A 192.0.2.3\n", "554 5.4.6"},
		"implicit":         {"example.net. A 192.0.2.2\n", "554 5.4.6"},
		"a better is down": {"example.net. MX 1 a.test.\nexample.net. MX 2 b.test.\nexample.net. MX 3 c.test.\na.test. A 192.0.2.1\nb.test. A 192.0.2.2\nc.test. A 192.0.2.3\n", "451 4.4.1"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, tc.zone)
				self, worse := w.peer("192.0.2.2:25", &peer{}), w.peer("192.0.2.3:25", &peer{})
				mx := w.mx()
				mx.Own = own
				requireReply(t, tc.want, send(t, mx, "bob@example.net")[0].Err)
				require.Zero(t, self.count()+worse.count())
			})
		})
	}
	t.Run("literal", func(t *testing.T) {
		t.Parallel()
		mx := &relay.MX{Hostname: "out.example.com", Own: own}
		requireReply(t, "554 5.4.6", send(t, mx, "bob@[192.0.2.2]")[0].Err)
	})
}

func TestAddressesAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var zone strings.Builder
		for i := range 26 {
			host := "x" + string(rune('a'+i)) + ".test."
			zone.WriteString("example.net. MX 10 " + host + "\n" + host + " A 192.0.2." + string(rune('1'+i%9)) + "\n")
		}
		w := newWorld(t, zone.String())
		dials := 0
		mx := w.mx()
		mx.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			dials++
			return w.net.Dialer("").DialContext(ctx, network, address)
		}
		requireReply(t, "451 4.4.1", send(t, mx, "bob@example.net")[0].Err)
		require.Equal(t, 8, dials)
	})
}

func TestSourceAddressDecidesTheFamily(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, "example.net. MX 1 a.test.\na.test. A 192.0.2.1\na.test. AAAA 2001:db8::1\nsix.test. AAAA 2001:db8::1\n")
		four, six := w.peer("192.0.2.1:25", &peer{}), w.peer("[2001:db8::1]:25", &peer{})
		mx := w.mx()
		mx.Bind = []netip.Addr{netip.MustParseAddr("198.51.100.5")}
		require.NoError(t, send(t, mx, "bob@example.net")[0].Err)
		require.Equal(t, []int{1, 0}, []int{four.count(), six.count()})
		requireReply(t, "451 4.4.4", send(t, mx, "bob@six.test")[0].Err)
		requireReply(t, "451 4.4.4", send(t, mx, "bob@[IPv6:2001:db8::1]")[0].Err)
	})
}

func TestBindOnARealSocket(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Skip("no loopback:", err)
	}
	defer l.Close()
	from := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			from <- err.Error()
			return
		}
		defer conn.Close()
		host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
		from <- host
	}()
	mx := &relay.MX{Hostname: "out.example.com", Port: l.Addr().(*net.TCPAddr).Port, Bind: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}
	defer mx.Close()
	require.Error(t, send(t, mx, "bob@[127.0.0.1]")[0].Err)
	require.Equal(t, "127.0.0.1", <-from)
}

func TestDomainsOfOneMessageGoToTheirServers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, "a.test. A 192.0.2.1\nb.test. A 192.0.2.2\n")
		a, b := w.peer("192.0.2.1:25", &peer{}), w.peer("192.0.2.2:25", &peer{script: map[string]string{"rcpt": "550 5.1.1 no"}})
		out := send(t, w.mx(), "1@a.test", "2@b.test", "3@A.test", "4@missing.test")
		require.NoError(t, out[0].Err)
		requireReply(t, "550 5.1.1", out[1].Err)
		require.NoError(t, out[2].Err)
		requireReply(t, "550 5.1.2", out[3].Err)
		require.Equal(t, []string{"1@a.test", "3@A.test"}, a.mails()[0].to)
		require.Empty(t, b.mails())
	})
}

func TestEndOfTheContextEndsTheAttempt(t *testing.T) {
	for _, phase := range []string{"connect", "ehlo", "mail", "rcpt", "data", "dot"} {
		t.Run(phase, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, manyHosts)
				w.peer("192.0.2.1:25", &peer{script: map[string]string{phase: "hang"}})
				b := w.peer("192.0.2.2:25", &peer{})
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				begin := time.Now()
				out := w.mx().Deliver(ctx, envelope("", "bob@example.net"), message(letter))
				require.Equal(t, 3*time.Second, time.Since(begin))
				requireReply(t, "451 4.4.2", out[0].Err)
				require.Equal(t, phase == "dot", out[0].Unknown)
				require.Zero(t, b.count())
			})
		})
	}
	t.Run("before", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		out := (&relay.MX{}).Deliver(ctx, envelope("", "bob@[192.0.2.1]"), message(letter))
		require.Error(t, out[0].Err)
	})
}

var _ relay.Resolver = net.DefaultResolver

func TestDestinationHasOneSpelling(t *testing.T) {
	t.Parallel()
	for recipient, want := range map[string]string{
		"bob@Example.COM": "example.com", "bob@example.com.": "example.com", "bob@BÜCHER.test": "xn--bcher-kva.test", "bob@xn--BCHER-kva.test": "xn--bcher-kva.test",
		"bob@under_score.test": "under_score.test", "bob@_x.bücher.test": "_x.xn--bcher-kva.test", "bob@[IPv6:2001:DB8::1]": "[ipv6:2001:db8::1]",
		"bob@1א.test": "1א.test", "bob@" + strings.Repeat("例", 100) + ".test": strings.Repeat("例", 100) + ".test", "bob": "",
	} {
		require.Equal(t, want, (&relay.MX{}).Destination("", recipient), recipient)
	}
}
