package resolver_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/resolver"
)

func TestTruncatedAnswersAreFetchedOverTCP(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var zones strings.Builder
		for i := range 300 {
			fmt.Fprintf(&zones, "big.example. TXT \"%d %s\"\n", i, strings.Repeat("x", 150))
		}
		w.serve(ns1, zones.String())
		r := w.resolver(ns1)
		var networks []string
		r.Trace = &resolver.Trace{QuerySent: func(q resolver.Query) { networks = append(networks, q.Network) }}
		txt, err := r.LookupTXT(t.Context(), "big.example")
		require.NoError(t, err)
		require.Len(t, txt, 300)
		require.Equal(t, []string{"udp", "tcp"}, networks)
	})
}

func TestADeadServerIsPassedOver(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		dead, d := w.serve(ns1, zoneText), w.serve(ns2, zoneText)
		r := w.resolver("192.0.2.53", "192.0.2.54:53") // the first without a port
		w.network.Blackhole("192.0.2.53")
		lookup := func(name string) func() {
			return func() {
				_, err := r.LookupTXT(t.Context(), name)
				require.Equal(t, "not found", class(t, err))
			}
		}
		require.Equal(t, resolver.DefaultTimeout, took(lookup("a.example.com")))
		require.Zero(t, took(lookup("b.example.com")), "the dead one is remembered")
		w.network.Restore("192.0.2.53")
		time.Sleep(resolver.DeadTime)
		require.Zero(t, took(lookup("c.example.com")))
		require.Equal(t, map[string]int{"c.example.com. TXT": 1}, dead.Queries(), "and gets another chance")

		w.network.Refuse("192.0.2.53:53")
		require.Zero(t, took(lookup("d.example.com")), "a refusal needs no waiting")
		w.network.Blackhole("192.0.2.54")
		w.network.Restore("192.0.2.53:53")
		require.Equal(t, resolver.DefaultTimeout, took(lookup("e.example.com")), "a dead one is asked after all others")
		require.Equal(t, map[string]int{"a.example.com. TXT": 1, "b.example.com. TXT": 1, "d.example.com. TXT": 1}, d.Queries())
	})
}

func TestServersWithoutAnAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		d := w.serve(ns1, zoneText)
		d.SetFailure("slow.example.com", mailtest.Timeout)
		d.SetFailure("broken.example.com", mailtest.ServFail)
		d.SetFailure("refused.example.com", mailtest.Refused)
		r := w.resolver(ns1)
		r.Timeout, r.Attempts = time.Second, 3
		require.Equal(t, 3*time.Second, took(func() {
			_, err := r.LookupTXT(t.Context(), "slow.example.com")
			require.Equal(t, "timeout", class(t, err))
			require.Equal(t, "lookup slow.example.com on 192.0.2.53:53: i/o timeout", err.Error())
		}))
		require.Equal(t, 3, d.Queries()["slow.example.com. TXT"])
		for _, name := range []string{"broken.example.com", "refused.example.com"} {
			_, err := r.LookupTXT(t.Context(), name)
			require.Equal(t, "temporary", class(t, err))
			require.Contains(t, err.Error(), "server misbehaving")
			_, err = r.Lookup(t.Context(), name, "TXT")
			require.Equal(t, "temporary", class(t, err))
			require.Equal(t, 1, d.Queries()[name+". TXT"], "a server that answers is asked once, also by the second look-up")
		}
		w.network.Unreachable("192.0.2.54")
		r = w.resolver("192.0.2.54:53")
		r.Dialer = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return w.network.Dialer("").DialContext(ctx, "tcp", "192.0.2.54:53")
		}
		_, err := r.LookupTXT(t.Context(), "example.com")
		require.Equal(t, "temporary", class(t, err))
		require.ErrorIs(t, err, syscall.EHOSTUNREACH)
	})
}

func TestAFailureOfOneServerIsNotThatOfAll(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		first, second, third := w.serve(ns1, zoneText), w.serve(ns2, zoneText), w.serve(ns3, zoneText)
		first.SetFailure("example.com", mailtest.ServFail)
		second.SetFailure("example.com", mailtest.Refused)
		r := w.resolver(ns1, ns2, ns3)
		_, err := r.LookupTXT(t.Context(), "example.com")
		require.NoError(t, err)
		_, err = r.LookupTXT(t.Context(), "_dmarc.example.com")
		require.NoError(t, err)
		require.Equal(t, map[string]int{"example.com. TXT": 1, "_dmarc.example.com. TXT": 1}, first.Queries(), "one that fails is not dead")
		require.Equal(t, map[string]int{"example.com. TXT": 1}, third.Queries())
	})
}

func TestADeadServerThatAnswersIsAlive(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.serve(ns1, zoneText)
		w.serve(ns2, zoneText)
		r := w.resolver(ns1, ns2)
		w.network.Blackhole("192.0.2.53")
		w.network.Blackhole("192.0.2.54")
		_, err := r.LookupTXT(t.Context(), "a.example.com")
		require.Equal(t, "timeout", class(t, err))
		w.network.Restore("192.0.2.54")
		lookup := func(name string) time.Duration {
			return took(func() {
				_, err := r.LookupTXT(t.Context(), name)
				require.Equal(t, "not found", class(t, err))
			})
		}
		require.Equal(t, resolver.DefaultTimeout, lookup("b.example.com"), "both are dead, so the first comes first")
		require.Zero(t, lookup("c.example.com"))
	})
}

func TestAnAnswerInPartsIsAuthenticIfAllAre(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.answer(ns1, func(q *dns.Msg) [][]byte {
			name := q.Question[0].Name
			m := new(dns.Msg).SetReply(q)
			m.AuthenticatedData = name != "one.example." // also for who did not ask for it
			if name == "mail.example." {
				m.Answer = []dns.RR{rr(t, "mail.example. A 192.0.2.1")}
			} else {
				m.Answer = []dns.RR{rr(t, name+" CNAME mail.example.")}
			}
			return [][]byte{pack(t, m)}
		})
		trusting, other := w.resolver(ns1), w.resolver(ns1)
		trusting.TrustAD = true
		for name, want := range map[string]bool{"one.example": false, "two.example": true, "mail.example": true} {
			a, err := trusting.Lookup(t.Context(), name, "A")
			require.NoError(t, err)
			require.Equal(t, want, a.Authentic, name)
			a, err = other.Lookup(t.Context(), name, "A")
			require.NoError(t, err)
			require.False(t, a.Authentic, name)
		}
	})
}

func TestForgedAnswersAreNotRead(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var real atomic.Bool
		real.Store(true)
		w.answer(ns1, func(q *dns.Msg) [][]byte {
			require.True(t, q.RecursionDesired)
			require.EqualValues(t, resolver.UDPSize, q.IsEdns0().UDPSize())
			forged := func(change func(m *dns.Msg)) []byte {
				m := new(dns.Msg).SetReply(q)
				m.Answer = []dns.RR{rr(t, q.Question[0].Name+` 300 TXT "forged"`)}
				change(m)
				return pack(t, m)
			}
			packets := [][]byte{
				{}, []byte("short"),
				forged(func(m *dns.Msg) { m.Id++ }),
				forged(func(m *dns.Msg) { m.Response = false }),
				forged(func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }),
				forged(func(m *dns.Msg) { m.Question[0].Name = "other.example." }),
				forged(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeMX }),
				forged(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }),
				forged(func(m *dns.Msg) { m.Question = nil }),
				forged(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }),
				forged(func(m *dns.Msg) { m.Id++; m.Rcode = dns.RcodeNameError }),
				forged(func(m *dns.Msg) { m.Question[0].Name = "other.example."; m.Truncated = true }),
			}
			if !real.Load() {
				return packets
			}
			return append(packets, forged(func(m *dns.Msg) {
				m.Question[0].Name = strings.ToUpper(m.Question[0].Name)
				m.Answer[0].(*dns.TXT).Txt = []string{"real"}
				m.Answer = append(m.Answer,
					rr(t, `extra.example. 300 TXT "not asked for"`),
					rr(t, q.Question[0].Name+` 300 MX 10 mail.example.`),
					rr(t, q.Question[0].Name+` 300 CH TXT "another class"`),
					rr(t, q.Question[0].Name+` 30 TXT "real"`))
			}))
		})
		r := w.resolver(ns1)
		a, err := r.Lookup(t.Context(), "a.example", "TXT")
		require.NoError(t, err)
		require.Equal(t, []string{"real"}, a.Records)
		require.Equal(t, 30*time.Second, a.TTL)
		real.Store(false)
		_, err = r.LookupTXT(t.Context(), "b.example")
		require.Equal(t, "timeout", class(t, err))
		_, err = r.LookupTXT(t.Context(), "extra.example")
		require.Equal(t, "timeout", class(t, err), "what was not asked for is not in the cache")
	})
}

func TestQueriesDifferInIDAndPort(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		ids, ports := map[uint16]bool{}, map[string]bool{}
		r := w.resolver(ns1)
		r.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := w.network.Dialer("192.0.2.200").DialContext(ctx, network, addr)
			if err == nil {
				ports[c.LocalAddr().String()] = true
			}
			return c, err
		}
		w.answer(ns1, func(q *dns.Msg) [][]byte {
			ids[q.Id] = true
			return [][]byte{pack(t, new(dns.Msg).SetRcode(q, dns.RcodeNameError))}
		})
		for i := range 64 {
			_, err := r.LookupTXT(t.Context(), fmt.Sprintf("a%d.example", i))
			require.Equal(t, "not found", class(t, err))
		}
		require.Len(t, ports, 64)
		require.Greater(t, len(ids), 60)
	})
}

// replyWith makes an answer to a query of records and of others for the authority section.
func replyWith(t *testing.T, q *dns.Msg, rcode int, answer []string, authority ...string) []byte {
	t.Helper()
	m := new(dns.Msg).SetRcode(q, rcode)
	m.RecursionAvailable = true
	for _, text := range answer {
		m.Answer = append(m.Answer, rr(t, text))
	}
	for _, text := range authority {
		m.Ns = append(m.Ns, rr(t, text))
	}
	return pack(t, m)
}

func TestCNAMEs(t *testing.T) {
	chain := func(from, to int) []string {
		var rrs []string
		for i := from; i < to; i++ {
			rrs = append(rrs, fmt.Sprintf("%d.example. 300 CNAME %d.example.", i, i+1))
		}
		return rrs
	}
	for name, c := range map[string]struct {
		answers map[string][]string // by the name asked for
		rcode   int
		want    string // class of error, or the record
	}{
		"in any order":         {answers: map[string][]string{"0.example.": {"2.example. 300 A 192.0.2.1", "1.example. 300 CNAME 2.example.", "0.example. 300 CNAME 1.example."}}, want: "192.0.2.1"},
		"as many as allowed":   {answers: map[string][]string{"0.example.": append(chain(0, 10), "10.example. 300 A 192.0.2.1")}, want: "192.0.2.1"},
		"one too many":         {answers: map[string][]string{"0.example.": append(chain(0, 11), "11.example. 300 A 192.0.2.1")}, want: "temporary"},
		"loop":                 {answers: map[string][]string{"0.example.": append(chain(0, 2), "2.example. 300 CNAME 0.example.")}, want: "temporary"},
		"loop to itself":       {answers: map[string][]string{"0.example.": {"0.example. 300 CNAME 0.example."}}, want: "temporary"},
		"left to the client":   {answers: map[string][]string{"0.example.": chain(0, 2), "2.example.": append(chain(2, 3), "3.example. 300 A 192.0.2.1")}, want: "192.0.2.1"},
		"loop over queries":    {answers: map[string][]string{"0.example.": chain(0, 1), "1.example.": {"1.example. 300 CNAME 0.example."}}, want: "temporary"},
		"the last left":        {answers: map[string][]string{"0.example.": chain(0, 10), "10.example.": {"10.example. 300 A 192.0.2.1"}}, want: "192.0.2.1"},
		"too many queries":     {answers: map[string][]string{"0.example.": chain(0, 5), "5.example.": chain(5, 10), "10.example.": append(chain(10, 11), "11.example. 300 A 192.0.2.1")}, want: "temporary"},
		"to a missing name":    {answers: map[string][]string{"0.example.": chain(0, 1)}, rcode: dns.RcodeNameError, want: "not found"},
		"to nothing, in parts": {answers: map[string][]string{"0.example.": chain(0, 1), "1.example.": nil}, want: "not found"},
		"not from the name":    {answers: map[string][]string{"0.example.": append(chain(1, 2), "2.example. 300 A 192.0.2.1")}, want: "not found"},
		"records and NXDOMAIN": {answers: map[string][]string{"0.example.": {"0.example. 300 A 192.0.2.1"}}, rcode: dns.RcodeNameError, want: "temporary"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.answer(ns1, func(q *dns.Msg) [][]byte {
					return [][]byte{replyWith(t, q, c.rcode, c.answers[q.Question[0].Name])}
				})
				ips, err := w.resolver(ns1).LookupNetIP(t.Context(), "ip4", "0.example")
				if err != nil {
					require.Equal(t, c.want, class(t, err))
					return
				}
				require.Equal(t, c.want, ips[0].String())
			})
		})
	}
}

func TestAnswersOfBrokenServers(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(t *testing.T, q *dns.Msg) []byte
		want   string
	}{
		"cut short": {func(t *testing.T, q *dns.Msg) []byte {
			raw := replyWith(t, q, 0, []string{q.Question[0].Name + ` 300 TXT "abc"`})
			return raw[:len(raw)-2]
		}, "temporary"},
		"referral": {func(t *testing.T, q *dns.Msg) []byte {
			m := new(dns.Msg).SetReply(q)
			m.Ns = []dns.RR{rr(t, "example. 300 NS ns.example.")}
			return pack(t, m)
		}, "temporary"},
		"FORMERR with and without EDNS": {func(t *testing.T, q *dns.Msg) []byte {
			return pack(t, new(dns.Msg).SetRcode(q, dns.RcodeFormatError))
		}, "temporary"},
		"an unknown rcode": {func(t *testing.T, q *dns.Msg) []byte {
			return pack(t, new(dns.Msg).SetRcode(q, 15))
		}, "temporary"},
		"no records, no SOA": {func(t *testing.T, q *dns.Msg) []byte {
			return replyWith(t, q, dns.RcodeSuccess, nil)
		}, "not found"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.answer(ns1, func(q *dns.Msg) [][]byte { return [][]byte{c.answer(t, q)} })
				_, err := w.resolver(ns1).LookupTXT(t.Context(), "a.example")
				require.Equal(t, c.want, class(t, err), "%v", err)
			})
		})
	}
}

func TestServersFromBeforeEDNS(t *testing.T) {
	for name, refuse := range map[string]func(m *dns.Msg){
		"FORMERR":              func(m *dns.Msg) { m.Rcode = dns.RcodeFormatError },
		"FORMERR, header only": func(m *dns.Msg) { m.Rcode, m.Question = dns.RcodeFormatError, nil },
		"NOTIMP":               func(m *dns.Msg) { m.Rcode = dns.RcodeNotImplemented },
		"BADVERS":              func(m *dns.Msg) { m.SetEdns0(512, false).Rcode = dns.RcodeBadVers },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.answer(ns1, func(q *dns.Msg) [][]byte {
					if q.IsEdns0() == nil {
						return [][]byte{replyWith(t, q, 0, []string{`a.example. 300 TXT "old"`})}
					}
					m := new(dns.Msg).SetReply(q)
					refuse(m)
					return [][]byte{pack(t, m)}
				})
				txt, err := w.resolver(ns1).LookupTXT(t.Context(), "a.example")
				require.NoError(t, err)
				require.Equal(t, []string{"old"}, txt)
			})
		})
	}
}

// A forger has few guesses at the ID; then TCP is asked.
func TestAFloodOfForgedAnswersLeadsToTCP(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		truth := mailtest.MustZone(t, `a.example. TXT "real"`)
		l, err := w.network.Listen("tcp", ns1)
		require.NoError(t, err)
		pc, err := w.network.ListenPacket("udp", "192.0.2.99:53") // not asked
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { _ = truth.Serve(ctx, pc, l) })
		t.Cleanup(func() { cancel(); wg.Wait() })
		w.answer(ns1, func(q *dns.Msg) [][]byte {
			var packets [][]byte
			for i := range 200 {
				forged := new(dns.Msg).SetReply(q)
				forged.Id += uint16(200 - i) // never right within the first 65
				forged.Answer = []dns.RR{rr(t, `a.example. 300 TXT "forged"`)}
				packets = append(packets, pack(t, forged))
			}
			return packets
		})
		txt, err := w.resolver(ns1).LookupTXT(t.Context(), "a.example")
		require.NoError(t, err)
		require.Equal(t, []string{"real"}, txt)
		require.Equal(t, map[string]int{"a.example. TXT": 1}, truth.Queries())
	})
}

func TestBrokenTCP(t *testing.T) {
	frame := func(raw []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(raw))), raw...) }
	for name, c := range map[string]struct {
		answer func(t *testing.T, q *dns.Msg) []byte // what is written before the connection ends
		want   string
	}{
		"closed at once": {func(t *testing.T, q *dns.Msg) []byte { return nil }, "temporary"},
		"half an answer": {func(t *testing.T, q *dns.Msg) []byte {
			raw := frame(replyWith(t, q, 0, []string{`a.example. 300 TXT "tcp"`}))
			return raw[:len(raw)/2]
		}, "temporary"},
		"another's answer": {func(t *testing.T, q *dns.Msg) []byte {
			q.Id++
			return frame(replyWith(t, q, 0, []string{`a.example. 300 TXT "tcp"`}))
		}, "temporary"},
		"truncated still": {func(t *testing.T, q *dns.Msg) []byte {
			m := new(dns.Msg).SetReply(q)
			m.Truncated = true
			return frame(pack(t, m))
		}, "temporary"},
		"an empty frame": {func(t *testing.T, q *dns.Msg) []byte { return []byte{0, 0} }, "temporary"},
		"all well": {func(t *testing.T, q *dns.Msg) []byte {
			return frame(replyWith(t, q, 0, []string{`a.example. 300 TXT "tcp"`}))
		}, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.answer(ns1, func(q *dns.Msg) [][]byte {
					m := new(dns.Msg).SetReply(q)
					m.Truncated = true
					raw := pack(t, m)
					return [][]byte{raw}
				})
				l, err := w.network.Listen("tcp", ns1)
				require.NoError(t, err)
				defer l.Close()
				go func() {
					for {
						conn, err := l.Accept()
						if err != nil {
							return
						}
						var length [2]byte
						_, _ = io.ReadFull(conn, length[:])
						buf := make([]byte, binary.BigEndian.Uint16(length[:]))
						_, _ = io.ReadFull(conn, buf)
						q := new(dns.Msg)
						if err := q.Unpack(buf); err == nil {
							_, _ = conn.Write(c.answer(t, q))
						}
						conn.Close()
					}
				}()
				_, err = w.resolver(ns1).LookupTXT(t.Context(), "a.example")
				require.Equal(t, c.want, class(t, err), "%v", err)
			})
		})
	}
}

func TestManyCallersCauseOneQuery(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		d := w.serve(ns1, zoneText)
		w.network.Blackhole("192.0.2.53") // until all wait
		r := w.resolver(ns1)
		var wg sync.WaitGroup
		var cancelled atomic.Int32
		for i := range 100 {
			ctx, cancel := context.WithCancel(t.Context())
			if i%2 == 0 { // half of them give up, also the first one
				time.AfterFunc(time.Second, cancel)
			}
			wg.Go(func() {
				defer cancel()
				txt, err := r.LookupTXT(ctx, "example.com")
				if err != nil {
					require.ErrorIs(t, err, context.Canceled)
					require.Equal(t, "temporary", class(t, err))
					cancelled.Add(1)
					return
				}
				require.Len(t, txt, 2)
				txt[0] = "changed" // each has a slice of its own
			})
		}
		time.Sleep(2 * time.Second)
		w.network.Restore("192.0.2.53")
		wg.Wait()
		require.EqualValues(t, 50, cancelled.Load())
		require.Equal(t, map[string]int{"example.com. TXT": 1}, d.Queries())
		txt, err := r.LookupTXT(t.Context(), "example.com")
		require.NoError(t, err)
		require.NotContains(t, txt, "changed")
		require.Equal(t, map[string]int{"example.com. TXT": 1}, d.Queries())
	})
}

func TestAQueryEndsWithItsLastCaller(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		d := w.serve(ns1, zoneText)
		d.SetFailure("example.com", mailtest.Timeout)
		r := w.resolver(ns1)
		var failed error
		r.Trace = &resolver.Trace{QueryDone: func(q resolver.Query, elapsed time.Duration, err error) {
			require.Equal(t, resolver.Query{Name: "example.com", Type: "TXT", Server: ns1, Network: "udp"}, q)
			if elapsed > 0 {
				require.Equal(t, time.Second, elapsed)
				failed = err
			}
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := r.LookupTXT(ctx, "example.com")
		require.Equal(t, "timeout", class(t, err))
		synctest.Wait()
		require.ErrorIs(t, failed, context.Canceled)

		d.SetFailure("example.com", mailtest.NoFailure)
		_, err = r.LookupTXT(t.Context(), "example.com")
		require.NoError(t, err, "and being given up is not remembered as a failure")
		_, err = r.LookupTXT(ctx, "example.com")
		require.Equal(t, "timeout", class(t, err), "an ended context counts even where the cache has the answer")
	})
}

func TestALookupIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		r := w.resolver("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5")
		r.Timeout, r.Attempts = 5*time.Second, 5
		w.network.Blackhole("192.0.2.1")
		for _, last := range []string{"2", "3", "4", "5"} {
			w.network.Blackhole("192.0.2." + last)
		}
		require.Equal(t, resolver.MaxLookupTime, took(func() {
			_, err := r.LookupTXT(t.Context(), "example.com")
			require.Equal(t, "timeout", class(t, err))
		}))
	})
}

func TestQueriesUnderWayAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.network.Blackhole("192.0.2.53")
		r := w.resolver(ns1)
		r.MaxQueries, r.Attempts = 3, 1
		var now, most, all atomic.Int32
		r.Trace = &resolver.Trace{
			QuerySent: func(resolver.Query) { all.Add(1); most.Store(max(most.Load(), now.Add(1))) },
			QueryDone: func(resolver.Query, time.Duration, error) { now.Add(-1) },
		}
		var wg sync.WaitGroup
		for i := range 12 {
			wg.Go(func() {
				_, err := r.LookupTXT(t.Context(), fmt.Sprintf("a%d.example", i))
				require.Equal(t, "timeout", class(t, err))
			})
		}
		require.Equal(t, 4*resolver.DefaultTimeout, took(wg.Wait))
		require.EqualValues(t, 12, all.Load())

		for i := range 3 {
			wg.Go(func() { _, _ = r.LookupTXT(t.Context(), fmt.Sprintf("b%d.example", i)) })
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Equal(t, time.Second, took(func() {
			_, err := r.LookupTXT(ctx, "given-up.example")
			require.Equal(t, "timeout", class(t, err))
		}))
		wg.Wait()
		synctest.Wait()
		require.EqualValues(t, 15, all.Load(), "who gave up while waiting sends nothing")
		require.EqualValues(t, 3, most.Load())
	})
}

func TestFailuresAreLogged(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var log bytes.Buffer
		r := w.resolver(ns1)
		r.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		_, err := r.LookupTXT(t.Context(), "example.com")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.Equal(t, 2, strings.Count(log.String(), "level=DEBUG"))
		require.Equal(t, 1, strings.Count(log.String(), "level=WARN"), "once a server:\n%s", log.String())
		require.Contains(t, log.String(), "server="+ns1)
	})
}

func TestRealSockets(t *testing.T) {
	t.Parallel()
	zones := zoneText
	for i := range 50 {
		zones += fmt.Sprintf("\tbig.example.com. TXT \"%d %s\"\n", i, strings.Repeat("x", 100))
	}
	d := mailtest.MustZone(t, zones)
	var pc net.PacketConn
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	if pc, err = net.ListenPacket("udp", l.Addr().String()); err != nil {
		l.Close()
		t.Skipf("the UDP port is taken: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = d.Serve(ctx, pc, l) })
	defer wg.Wait()
	defer cancel()
	r := &resolver.Resolver{Servers: []string{l.Addr().String()}}
	mx, err := r.LookupMX(t.Context(), "example.com")
	require.NoError(t, err)
	require.Len(t, mx, 2)
	txt, err := r.LookupTXT(t.Context(), "big.example.com")
	require.NoError(t, err)
	require.Len(t, txt, 50)
	_, err = r.LookupTXT(t.Context(), "nowhere.example.com")
	require.Equal(t, "not found", class(t, err))

	d.SetFailure("slow.example.com", mailtest.Timeout)
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	_, err = r.LookupTXT(short, "slow.example.com")
	require.Equal(t, "timeout", class(t, err))
	require.True(t, errors.Is(err, context.DeadlineExceeded))
}
