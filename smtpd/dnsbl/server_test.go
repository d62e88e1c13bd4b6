package dnsbl_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/dialogue"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/dnsbl"
)

// world is a server on a network in memory, within a synctest bubble.
type world struct {
	t     *testing.T
	net   *mailtest.Network
	inbox *mailtest.Inbox
	dns   *fakeDNS
	srv   *smtpd.Server
}

const serverAddr = "192.0.2.1:25"

// inWorld runs f with a server that asks lists; setUp may change it.
func inWorld(t *testing.T, o dnsbl.Options, lists string, setUp func(*world), f func(*world, *dnsbl.Checker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: mailtest.NewNetwork(), inbox: new(mailtest.Inbox), dns: newDNS("a.example", "b.example", "d.example")}
		o.Resolver = w.dns
		c := newChecker(t, o, lists)
		w.srv = &smtpd.Server{Hostname: "mail.example.com", Handler: w.inbox, Checks: []smtpd.Check{c.Check()}}
		if setUp != nil {
			setUp(w)
		}
		l, err := w.net.Listen("tcp", serverAddr)
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- w.srv.Serve(l) }()
		f(w, c)
		require.NoError(t, w.srv.Close())
		require.ErrorIs(t, <-done, smtpd.ErrServerClosed)
	})
}

func (w *world) dial(from string) *dialogue.Client {
	w.t.Helper()
	conn, err := w.net.Dialer(from).Dial("tcp", serverAddr)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { conn.Close() })
	return dialogue.New(w.t, conn)
}

const greeting = `
	S: 220 mail.example.com ESMTP
	C: HELO client.example.net
	S: 250 mail.example.com
`

func TestServerRefusesAtRcpt(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var refusals []error
	inWorld(t, dnsbl.Options{}, "a.example", func(w *world) {
		w.dns.set(entry4+"a.example", entry{codes: []string{someCode}, txt: []string{"see\r\n250 https://a.example/?203.0.113.9"}})
		w.srv.Trace.Rcpt = func(_ *smtpd.Transaction, _ mailbricks.Recipient, err error) {
			mu.Lock()
			defer mu.Unlock()
			refusals = append(refusals, err)
		}
	}, func(w *world, _ *dnsbl.Checker) {
		w.dial(client).Talk(greeting + `
			C: MAIL FROM:<ann@example.net>
			S: 250 2.1.0 *
			C: RCPT TO:<bob@example.com>
			S: 554 5.7.1 Service unavailable; client [203.0.113.9] blocked using a.example; see??250 https://a.example/?203.0.113.9
			C: RCPT TO:<postmaster>
			S: 250 2.1.5 *
			C: RCPT TO:<carol@example.com>
			S: 554 5.7.1 Service unavailable; client [203.0.113.9] blocked using a.example; see*
			C: DATA
			S: 354 *
			C: Subject: why?
			C: .
			S: 250 *
			C: QUIT
			S: 221 *
			S$
		`)
		got := w.inbox.Messages()
		require.Len(w.t, got, 1)
		require.Len(w.t, got[0].Envelope.Recipients, 1)
		require.Equal(w.t, "postmaster", got[0].Envelope.Recipients[0].Address)
		require.Equal(w.t, 1, w.dns.count("TXT "+entry4+"a.example"), "a transaction is decided once")
		require.Len(w.t, refusals, 3)
		require.ErrorContains(w.t, refusals[0], "dnsbl: score 1: client [203.0.113.9] listed by a.example (+1, 127.0.0.2)")
		require.NoError(w.t, refusals[1])

		w.dial("203.0.113.10").Talk(greeting + `
			C: MAIL FROM:<ann@example.net>
			S: 250 2.1.0 *
			C: RCPT TO:<bob@example.com>
			S: 250 2.1.5 *
		`)
	})
}

func TestServerRefusesForNow(t *testing.T) {
	t.Parallel()
	inWorld(t, dnsbl.Options{RefuseAt: 2, TemporaryAt: 1}, "sender:d.example", func(w *world) {
		w.dns.set("bad.example.d.example", entry{codes: []string{"127.0.1.2"}})
	}, func(w *world, _ *dnsbl.Checker) {
		w.dial(client).Talk(greeting + `
			C: MAIL FROM:<ann@bad.example>
			C: RCPT TO:<bob@example.com>
			C: DATA
			S: 250 2.1.0 *
			S: 451 4.7.1 Service unavailable; sender domain [bad.example] blocked using d.example
			S: 5*
			C: RSET
			S: 250 *
			C: MAIL FROM:<ann@good.example>
			C: RCPT TO:<bob@example.com>
			S: 250 2.1.0 *
			S: 250 2.1.5 *
		`)
	})
}

func TestServerPutsMailAside(t *testing.T) {
	t.Parallel()
	var seen []bool
	inWorld(t, dnsbl.Options{RefuseAt: 2, QuarantineAt: 1}, "a.example b.example*-5", func(w *world) {
		w.dns.list("a.example")
		w.dns.set("10.113.0.203.b.example", entry{codes: []string{"127.0.10.3"}})
		later := func(_ context.Context, tx *smtpd.Transaction, _ *mailbricks.Recipient) error {
			r, ok := dnsbl.From(tx.Session)
			require.True(w.t, ok)
			seen = append(seen, r.Good)
			return nil
		}
		w.srv.Checks = append(w.srv.Checks, smtpd.Check{Name: "later", Rcpt: later})
	}, func(w *world, _ *dnsbl.Checker) {
		const letter = greeting + `
			C: MAIL FROM:<ann@example.net>
			S: 250 2.1.0 *
			C: RCPT TO:<bob@example.com>
			S: 250 2.1.5 *
			C: DATA
			S: 354 *
			C: Subject: hello
			C: .
			S: 250 *
		`
		w.dial(client).Talk(letter)
		w.dial("203.0.113.10").Talk(letter)
		got := w.inbox.Messages()
		require.Len(w.t, got, 2)
		require.Equal(w.t, "client [203.0.113.9] listed by a.example", got[0].Envelope.Quarantine)
		require.Empty(w.t, got[1].Envelope.Quarantine)
		require.Equal(w.t, []bool{false, true}, seen)
	})
}

func TestServerWithDeadDNSTakesMail(t *testing.T) {
	t.Parallel()
	for _, stressed := range []bool{false, true} {
		inWorld(t, dnsbl.Options{}, "a.example helo:d.example", func(w *world) {
			for _, zone := range []string{"a.example", "d.example"} {
				w.dns.set("*."+zone, entry{hangs: true})
			}
			if stressed {
				w.srv.MaxConnections, w.srv.StressThreshold = 100, 0.01
			}
		}, func(w *world, c *dnsbl.Checker) {
			start := time.Now()
			w.dial(client).Talk(greeting)
			require.Zero(w.t, time.Since(start), "the greeting waits for nobody")
			w.dial(client).Talk(greeting + `
				C: MAIL FROM:<ann@example.net>
				C: RCPT TO:<bob@example.com>
				C: RCPT TO:<carol@example.com>
				S: 250 2.1.0 *
				S: 250 2.1.5 *
				S: 250 2.1.5 *
				C: QUIT
				S: 221 *
				S$
			`)
			want := dnsbl.DefaultMaxTime
			if stressed {
				want = dnsbl.DefaultStressTime
			}
			require.Equal(w.t, want, time.Since(start), "stressed: %v", stressed)
		})
	}
}

func TestServerUnderStressAsksForNoText(t *testing.T) {
	t.Parallel()
	inWorld(t, dnsbl.Options{}, "a.example", func(w *world) {
		w.dns.list("a.example")
		w.srv.MaxConnections, w.srv.StressThreshold = 100, 0.01
	}, func(w *world, _ *dnsbl.Checker) {
		w.dial(client).Talk(greeting + `
			C: MAIL FROM:<ann@example.net>
			S: 250 2.1.0 *
			C: RCPT TO:<bob@example.com>
			S: 554 5.7.1 Service unavailable; client [203.0.113.9] blocked using a.example
		`)
		require.Zero(w.t, w.dns.count("TXT "+entry4+"a.example"))
	})
}

func TestServerForgetsWhoLeaves(t *testing.T) {
	t.Parallel()
	inWorld(t, dnsbl.Options{MaxTime: time.Hour}, "a.example helo:d.example", func(w *world) {
		w.dns.set("*.a.example", entry{hangs: true})
		w.dns.set("*.d.example", entry{hangs: true})
	}, func(w *world, c *dnsbl.Checker) {
		for _, script := range []string{
			"",
			greeting,
			greeting + "C: MAIL FROM:<ann@example.net>\nS: 250 2.1.0 *",
			greeting + "C: MAIL FROM:<ann@example.net>\nC: RCPT TO:<bob@example.com>\nS: 250 2.1.0 *",
		} {
			conn := w.dial(client)
			conn.Talk(script)
			synctest.Wait()
			require.NotZero(w.t, w.dns.underWay(), script)
			require.NoError(w.t, conn.Conn.Close())
			synctest.Wait()
			require.Zero(w.t, w.dns.underWay(), script)
		}
	})
}

func TestServerWithManySessionsAtOnce(t *testing.T) {
	t.Parallel()
	inWorld(t, dnsbl.Options{MaxLookups: 40}, "a.example b.example helo+sender:d.example", func(w *world) {
		w.dns.set("*.113.0.203.a.example", entry{codes: []string{someCode}, after: 10 * time.Millisecond})
		w.dns.set("7.100.51.198.a.example", entry{after: time.Second, fails: true})
		w.srv.StressThreshold = -1
	}, func(w *world, c *dnsbl.Checker) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		codes := map[string]int{}
		for i := range 200 {
			wg.Go(func() {
				addr := fmt.Sprintf("203.0.113.%d", i)
				if i%4 == 0 {
					addr = fmt.Sprintf("198.51.100.%d", i)
				}
				conn := w.dial(addr)
				conn.Talk(greeting + "C: MAIL FROM:<ann@example.net>\nS: 250 2.1.0 *\nC: RCPT TO:<bob@example.com>")
				line, err := conn.Line()
				mu.Lock()
				defer mu.Unlock()
				if err == nil && i%4 == 0 && line[:3] != "250" {
					codes["wrong"]++
				}
				codes[line[:3]]++
			})
		}
		wg.Wait()
		require.Zero(w.t, codes["wrong"], "nobody is refused who is not listed")
		require.GreaterOrEqual(w.t, codes["554"], 10, codes)
		require.Equal(w.t, 200, codes["554"]+codes["250"], codes)
		require.LessOrEqual(w.t, w.dns.most(), 40+2*2+2, "queries, and the tests")
	})
}
