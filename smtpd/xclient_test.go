package smtpd_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

// proxied trusts 198.51.100.1 to speak for others.
func proxied(s *smtpd.Server) {
	s.TrustXCLIENT = smtpd.PeerIn(netip.MustParsePrefix("198.51.100.0/30"), netip.MustParsePrefix("2001:db8::/32"))
}

const proxyHello = `
	S: 220 mail.example.com ESMTP
	C: EHLO proxy.example.com
	S: 250-mail.example.com
	S: 250-PIPELINING
	S: 250-SIZE *
	S: 250-8BITMIME
	S: 250-CHUNKING
	S: 250-ENHANCEDSTATUSCODES
	S: 250-SMTPUTF8
	S: 250-LIMITS *
	S: 250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT
	S: 250 HELP
`

func TestXCLIENTMakesAnotherClient(t *testing.T) {
	var connected []string
	set := func(s *smtpd.Server) {
		proxied(s)
		s.Checks = []smtpd.Check{{Connect: func(_ context.Context, s *smtpd.Session) error {
			connected = append(connected, strings.Join([]string{s.Peer.Addr.String(), s.ReverseName, s.Peer.Hello, s.Peer.Protocol, s.Peer.Local.String()}, " "))
			return nil
		}}}
	}
	inWorld(t, set, func(w *world) {
		w.dial("198.51.100.1").Talk(proxyHello + `
			C: XCLIENT NAME=spike.example.net ADDR=203.0.113.77 PORT=4321 PROTO=esmtp HELO=spike+20x
			S: 501 5.5.4 Malformed HELO
			C: xclient name=spike.example.net addr=203.0.113.77 port=4321 PROTO=esmtp HELO=spike DESTADDR=IPV6:2001:db8::25 DESTPORT=2525
			S: 220 mail.example.com ESMTP
			C: MAIL FROM:<wietse@example.net>
			S: 503 5.5.1 EHLO first
			C: EHLO spike.example.net
			S* 250
			C: MAIL FROM:<wietse@example.net>
			S* 250
			C: RCPT TO:<bob@example.com>
			S* 250
			C: XCLIENT ADDR=203.0.113.78
			S: 503 5.5.1 Not within a mail transaction
			C: BDAT 0 LAST
			S* 250
			C: XCLIENT NAME=[unavailable] ADDR=ipv6:2001:db8:1::9
			S* 220
			C: XCLIENT HELO=second PORT=[UNAVAILABLE]
			S* 220
			C: XCLIENT ADDR=[UNAVAILABLE] NAME=[tempunavail] PORT=25
			S* 220
			C: QUIT
			S* 221
			S$
		`)
		require.Equal(w.t, []string{
			"198.51.100.1:49152    192.0.2.1:25",
			"203.0.113.77:4321 spike.example.net spike ESMTP [2001:db8::25]:2525",
			"[2001:db8:1::9]:0    [2001:db8::25]:2525",
			"[2001:db8:1::9]:0  second  [2001:db8::25]:2525",
			"invalid AddrPort  second  [2001:db8::25]:2525",
		}, connected)
		got := w.messages()[0]
		require.Equal(w.t, "203.0.113.77:4321", got.Envelope.Peer.Addr.String())
		require.Contains(w.t, string(got.Raw), "Received: from spike.example.net (spike.example.net [203.0.113.77])\r\n")
	})
}

func TestXCLIENTIsForTrustedPeersOnly(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.talk(hello + `
			C: XCLIENT ADDR=203.0.113.77
			S: 502 5.5.1 Command not implemented
		`)
	})
	t.Run("some trusted", func(t *testing.T) {
		inWorld(t, proxied, func(w *world) {
			w.talk(`
				S* 220
				C: XCLIENT ADDR=203.0.113.77
				S: 550 5.7.0 You are not trusted to speak for others
				C: EHLO client.example.net
				S: 250-mail.example.com
				S: 250-PIPELINING
				S: 250-SIZE *
				S: 250-8BITMIME
				S: 250-CHUNKING
				S: 250-ENHANCEDSTATUSCODES
				S: 250-SMTPUTF8
				S: 250-LIMITS *
				S: 250 HELP
			`)
			w.dial("198.51.100.2").Talk("S* 220\nC: XCLIENT ADDR=198.51.100.200\nS* 220\nC: XCLIENT ADDR=203.0.113.77\nS* 220")
			w.dial("198.51.100.4").Talk("S* 220\nC: XCLIENT ADDR=203.0.113.77\nS* 550")
		})
	})
}

func TestXCLIENTAttributes(t *testing.T) {
	for words, ok := range map[string]bool{
		"ADDR=203.0.113.77":                      true,
		"ADDR=IPV6:2001:db8::1":                  true,
		"ADDR=IPV6:::ffff:203.0.113.77":          true,
		"ADDR=[UNAVAILABLE]":                     true,
		"NAME=a.example HELO=[IPv6:2001:db8::1]": true,
		"NAME=[TEMPUNAVAIL]":                     true,
		"HELO=+5B203.0.113.77+5D":                true,
		"PORT=0":                                 true,
		"PORT=65535":                             true,
		"PROTO=[UNAVAILABLE]":                    true,
		"PROTO=SMTP":                             true,
		"LOGIN=ann=x@example.com":                true,
		"":                                       false,
		"ADDR":                                   false,
		"ADDR=":                                  false,
		"ADDR=2001:db8::1":                       false,
		"ADDR=IPV6:203.0.113.77":                 false,
		"ADDR=IPV6:":                             false,
		"ADDR=[203.0.113.77]":                    false,
		"ADDR=IPV6:fe80::1%25eth0":               false,
		"ADDR=203.0.113.77 ADDR=203.0.113.78":    false,
		"ADDR=x":                                 false,
		"NAME=a+0D+0Ab":                          false,
		"NAME=[203.0.113.77]":                    false,
		"NAME=a<b>":                              false,
		"HELO=a+20b":                             false,
		"HELO=" + strings.Repeat("x", 256):       false,
		"PORT=65536":                             false,
		"PORT=-1":                                false,
		"PORT=+2B1":                              false,
		"PROTO=HTTP":                             false,
		"LOGIN=+FF":                              false,
		"REVERSE_NAME=a.example":                 false,
		"ADDR=203.0.113.77 X=y":                  false,
		"ADDR=203.0.113.77 NAME":                 false,
		"SOURCE=LOCAL":                           false,
		"NAME=a.example ADDR=IPV6:2001:db8::1 DESTPORT=port": false,
	} {
		t.Run(words, func(t *testing.T) {
			inWorld(t, proxied, func(w *world) {
				reply := "S: 501 5.5.4 *"
				if ok {
					reply = "S: 220 *"
				}
				w.dial("198.51.100.1").Talk("S* 220\nC: XCLIENT " + words + "\n" + reply)
			})
		})
	}
}

func TestXCLIENTAsksTheConnectChecksAgain(t *testing.T) {
	var log notes
	set := func(s *smtpd.Server) {
		proxied(s)
		s.Checks = []smtpd.Check{{
			Connect: func(_ context.Context, s *smtpd.Session) error {
				log.add("connect %s %v", s.Peer.Addr.Addr(), s.Value("seen"))
				s.Set("seen", true)
				switch s.Peer.Addr.Addr().String() {
				case "203.0.113.1":
					return smtpd.Temporary("Later")
				case "203.0.113.2":
					return smtpd.Permanent("Never")
				case "203.0.113.3":
					return smtpd.Quarantine("odd")
				}
				return nil
			},
			Disconnect: func(_ context.Context, s *smtpd.Session) {
				log.add("disconnect %s %d", s.Peer.Addr.Addr(), s.Counts().Errors)
			},
		}}
		s.Trace.Connected = func(s *smtpd.Session, _ error) { log.add("connected %s", s.Peer.Addr.Addr()) }
		s.Trace.Disconnected = func(s *smtpd.Session, err error) { log.add("disconnected %s", s.Peer.Addr.Addr()) }
		s.Trace.Command = func(_ *smtpd.Session, verb string, code int) { log.add("%s %d", verb, code) }
	}
	inWorld(t, set, func(w *world) {
		w.dial("198.51.100.1").Talk(`
			S* 220
			C: XCLIENT ADDR=203.0.113.1
			S: 421 4.7.1 Later
			S$
		`)
		time.Sleep(time.Second) // for which the server lingers
		w.dial("198.51.100.1").Talk(`
			S* 220
			C: FOO
			S* 500
			C: XCLIENT ADDR=203.0.113.2
			S: 554 5.7.1 Never
			C: XCLIENT ADDR=203.0.113.3
			S* 503
			C: QUIT
			S* 221
			S$
		`)
		w.dial("198.51.100.1").Talk(`
			S* 220
			C: XCLIENT ADDR=203.0.113.3
			S* 220
			C: XCLIENT ADDR=203.0.113.4
			S* 220
			C: EHLO a.example
			S* 250
			C: MAIL FROM:<>
			C: RCPT TO:<bob@example.com>
			C: BDAT 0 LAST
			S* 250
			S* 250
			S* 250
			C: QUIT
			S* 221
			S$
		`)
		require.Empty(w.t, w.messages()[0].Envelope.Quarantine, "which was for another client")
	})
	require.Equal(t, []string{
		"connect 198.51.100.1 <nil>", "connected 198.51.100.1",
		"disconnect 198.51.100.1 0", "disconnected 198.51.100.1", "connect 203.0.113.1 <nil>", "connected 203.0.113.1", "XCLIENT 421",
		"disconnect 203.0.113.1 0", "disconnected 203.0.113.1",
		"connect 198.51.100.1 <nil>", "connected 198.51.100.1", "UNKNOWN 500",
		"disconnect 198.51.100.1 1", "disconnected 198.51.100.1", "connect 203.0.113.2 <nil>", "connected 203.0.113.2", "XCLIENT 554", "XCLIENT 503", "QUIT 221",
		"disconnect 203.0.113.2 1", "disconnected 203.0.113.2",
		"connect 198.51.100.1 <nil>", "connected 198.51.100.1",
		"disconnect 198.51.100.1 0", "disconnected 198.51.100.1", "connect 203.0.113.3 <nil>", "connected 203.0.113.3", "XCLIENT 220",
		"disconnect 203.0.113.3 0", "disconnected 203.0.113.3", "connect 203.0.113.4 <nil>", "connected 203.0.113.4", "XCLIENT 220",
		"EHLO 250", "MAIL 250", "RCPT 250", "BDAT 250", "QUIT 221",
		"disconnect 203.0.113.4 0", "disconnected 203.0.113.4",
	}, log.all())
}

func TestXCLIENTMayBePipelined(t *testing.T) {
	var log notes
	set := func(s *smtpd.Server) {
		proxied(s)
		s.Checks = []smtpd.Check{{Connect: func(_ context.Context, s *smtpd.Session) error {
			if s.Proxy != nil {
				log.add("%s for %s, %d ahead", s.Proxy.Addr.Addr(), s.Peer.Addr.Addr(), s.Pending())
			}
			return nil
		}, Hello: func(_ context.Context, s *smtpd.Session, _ string) error {
			log.add("%d ahead", s.Pending())
			return nil
		}}}
	}
	inWorld(t, set, func(w *world) {
		w.dial("198.51.100.1").Talk(`
			S* 220
			R: "XCLIENT ADDR=203.0.113.77\r\nEHLO client.example.net\r\nNOOP\r\n"
			S* 220
			S* 250
			S* 250
		`)
	})
	require.Equal(t, []string{"198.51.100.1 for 203.0.113.77, 0 ahead", "6 ahead"}, log.all())
}

func TestXCLIENTMovesTheLimitsToTheClient(t *testing.T) {
	var refused []string
	set := func(s *smtpd.Server) {
		proxied(s)
		s.MaxConnectionsPerIP = 2
		s.Trace.Refused = func(addr netip.AddrPort, _ *mailbricks.Reply) { refused = append(refused, addr.String()) }
	}
	inWorld(t, set, func(w *world) {
		first := w.dial("198.51.100.1")
		first.Talk("S* 220\nC: XCLIENT ADDR=203.0.113.77\nS* 220")
		w.dial("198.51.100.1").Talk("S* 220\nC: XCLIENT ADDR=203.0.113.77\nS* 220")
		w.dial("198.51.100.1").Talk("S* 220\nC: XCLIENT ADDR=203.0.113.77 PORT=99\nS: 421 4.7.0 Too many connections from your address\nS$")
		w.dial("203.0.113.77").Talk("S: 421 4.7.0 Too many connections from your address\nS$")
		w.dial("198.51.100.1").Talk("S* 220\nC: XCLIENT ADDR=203.0.113.77 LOGIN=ann@example.com\nS* 220")
		first.Talk("C: QUIT\nS* 221\nS$")
		w.dial("203.0.113.77").Talk("S* 220")
		require.Len(w.t, refused, 2)
		require.Equal(w.t, "203.0.113.77:99", refused[0])
	})
}

func TestXCLIENTLogsIn(t *testing.T) {
	set := func(s *smtpd.Server) {
		proxied(s)
		s.Auth, s.AllowInsecureAuth, s.RequireAuth, s.HideSubmitter = users{}, true, true, true
	}
	inWorld(t, set, func(w *world) {
		const mail = `
			C: EHLO client.example.net
			S* 250
			C: MAIL FROM:<ann@example.com>
		`
		w.dial("198.51.100.1").Talk(`
			S* 220
			C: XCLIENT ADDR=203.0.113.77 LOGIN=ann@example.com
			S* 220
		` + mail + `
			S* 250
			C: RCPT TO:<bob@example.com>
			S* 250
			C: BDAT 0 LAST
			S* 250
			C: XCLIENT LOGIN=[UNAVAILABLE]
			S* 220
		` + mail + `
			S* 530
		`)
		got := w.messages()[0]
		require.Equal(w.t, &mailbricks.Identity{Login: "ann@example.com", User: "ann@example.com"}, got.Envelope.Peer.Identity)
		require.True(w.t, strings.HasPrefix(string(got.Raw), "Received: from localhost\r\n\tby mail.example.com with ESMTPA id "), string(got.Raw))
		require.NotContains(w.t, string(got.Raw), "203.0.113.77")
		require.NotContains(w.t, string(got.Raw), "client.example.net")

		// Several of them say of one client what does not fit into a line.
		w.dial("198.51.100.1").Talk(`
			S* 220
			C: XCLIENT LOGIN=ann@example.com
			S* 220
			C: XCLIENT ADDR=203.0.113.77
			S* 220
		` + mail + `
			S* 250
		`)

		// A client's log-in is not the next one's.
		w.dial("198.51.100.1").Talk(`
			S* 220
			C: XCLIENT ADDR=203.0.113.77
			S* 220
			C: EHLO client.example.net
			S* 250
		` + login + `
			C: XCLIENT ADDR=203.0.113.78
			S* 220
		` + mail + `
			S* 530
		`)

		// The proxy's own log-in is not its client's.
		w.dial("198.51.100.1").Talk(hello + login + `
			C: XCLIENT ADDR=203.0.113.77
			S* 220
		` + mail + `
			S* 530
		`)
	})
}

func TestNoSTARTTLSAfterXCLIENT(t *testing.T) {
	ca := mailtest.NewCA()
	inWorld(t, func(s *smtpd.Server) { proxied(s); s.TLSConfig = ca.ServerConfig("mail.example.com") }, func(w *world) {
		w.dial("198.51.100.1").Talk("S* 220\nC: XCLIENT ADDR=203.0.113.77\n" + proxyHello + `
			C: STARTTLS
			S: 503 5.5.1 Not after XCLIENT
		`)
		c := w.dial("198.51.100.1")
		c.Talk(hello + "C: STARTTLS\nS* 220")
		c.startTLS(ca.ClientConfig("mail.example.com"))
		c.Talk("C: XCLIENT ADDR=203.0.113.77\n" + proxyHello + `
			C: MAIL FROM:<>
			S* 250
			C: RCPT TO:<bob@example.com>
			S* 250
			C: BDAT 0 LAST
			S* 250
		`)
		got := w.messages()[0].Envelope.Peer
		require.NotNil(w.t, got.TLS)
		require.Equal(w.t, "203.0.113.77", got.Addr.Addr().String())
	})
}

func TestPeerIn(t *testing.T) {
	t.Parallel()
	in := smtpd.PeerIn(netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("fe80::/10"))
	for addr, want := range map[string]bool{"192.0.2.1": true, "::ffff:192.0.2.1": true, "192.0.3.1": false, "fe80::1%eth0": true, "2001:db8::1": false} {
		require.Equal(t, want, in(mailbricks.Peer{Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 25)}), addr)
	}
	require.False(t, in(mailbricks.Peer{}))
	require.False(t, smtpd.PeerIn()(mailbricks.Peer{Addr: netip.MustParseAddrPort("192.0.2.1:25")}))
}

func TestSubmittersAreHidden(t *testing.T) {
	set := func(s *smtpd.Server) { s.Auth, s.AllowInsecureAuth, s.HideSubmitter = users{}, true, true }
	inWorld(t, set, func(w *world) {
		w.deliver("")
		require.Contains(w.t, string(w.messages()[0].Raw), "from client.example.net (unknown [203.0.113.9])", "strangers are shown")
		w.talk(hello + login + `
			C: MAIL FROM:<ann@example.com>
			S* 250
			C: RCPT TO:<bob@example.com>
			S* 250
			C: BDAT 0 LAST
			S* 250
		`)
		got := string(w.messages()[1].Raw)
		require.True(w.t, strings.HasPrefix(got, "Received: from localhost\r\n\tby mail.example.com with ESMTPA id "), got)
		require.Equal(w.t, "203.0.113.9", w.messages()[1].Envelope.Peer.Addr.Addr().String())
	})
}
