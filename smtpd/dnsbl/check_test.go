package dnsbl_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/resolver"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/dnsbl"
)

func TestEntriesOfTheStandard(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ list, client, from, name, subject string }{
		// RFC 5782 §2.1, §2.4 and §3.
		{"bad.example.com", "192.0.2.99", "", "99.2.0.192.bad.example.com", "client [192.0.2.99]"},
		{
			"ugly.example.com", "2001:db8:1:2:3:4:567:89ab", "",
			"b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ugly.example.com", "client [2001:db8:1:2:3:4:567:89ab]",
		},
		{"sender:doms.example.net", "203.0.113.9", "phish@invalid.edu", "invalid.edu.doms.example.net",
			"sender domain [invalid.edu]"},
		// Names in the form that the DNS has.
		{"sender:doms.example.net", "203.0.113.9", "a@B\u00dcCHER.example", "xn--bcher-kva.example.doms.example.net",
			"sender domain [xn--bcher-kva.example]"},
	} {
		synctest.Test(t, func(t *testing.T) {
			l, err := dnsbl.ParseList(test.list)
			require.NoError(t, err)
			dns := newDNS(l.Zone)
			const why = "Dynamic address, see http://bad.example.com?192.0.2.99"
			dns.set(test.name, entry{codes: []string{"127.0.0.2"}, txt: []string{why}})
			c := newChecker(t, dnsbl.Options{Resolver: dns}, test.list)
			v := arrive(t, c.Check(), test.client)
			defer v.leave()
			r, err := v.mail(test.from, "bob@example.com")
			require.Equal(t, dnsbl.Refuse, r.Decision, test.name)
			reply := mailbricks.ReplyTo(err)
			require.Equal(t, "Service unavailable; "+test.subject+" blocked using "+l.Zone+"; "+why, reply.Text)
			require.Equal(t, "554 5.7.1", reply.Error()[:9])
		})
	}
}

func TestScores(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		lists, codes string // codes: of a.example, b.example and c.example
		o            dnsbl.Options
		score        int
		decision     dnsbl.Decision
		good         bool
	}{
		{lists: "a.example b.example", codes: "- -"},
		{lists: "a.example b.example", codes: "127.0.0.2 -", score: 1, decision: dnsbl.Refuse},
		{lists: "a.example b.example", codes: "127.0.0.2 127.0.0.3", score: 2, decision: dnsbl.Refuse},
		{lists: "a.example", codes: "127.0.0.2", o: dnsbl.Options{RefuseAt: -1}, score: 1},
		{lists: "a.example", codes: "127.0.0.2", o: dnsbl.Options{RefuseAt: -1, TemporaryAt: 1}, score: 1, decision: dnsbl.Temporary},
		{lists: "a.example*2", codes: "127.0.0.2", o: dnsbl.Options{RefuseAt: 2, TemporaryAt: 1}, score: 2, decision: dnsbl.Refuse},
		{lists: "a.example*3 b.example*2 c.example*-4", codes: "127.0.0.2 127.0.0.2 127.0.10.1", score: 1, decision: dnsbl.Refuse},
		{lists: "a.example*3 c.example*-4", codes: "127.0.0.2 - 127.0.10.1", score: -1, good: true},
		{lists: "c.example*-4", codes: "- - 127.0.10.1", o: dnsbl.Options{GoodAt: -5}, score: -4},
		{lists: "c.example*-4", codes: "- - 127.0.10.1", o: dnsbl.Options{GoodAt: 1}, score: -4},
		{lists: "a.example*2 b.example", codes: "- 127.0.0.2", o: dnsbl.Options{RefuseAt: 3, TemporaryAt: 2, QuarantineAt: 1},
			score: 1, decision: dnsbl.Quarantine},
		{lists: "a.example*2 b.example", codes: "127.0.0.2 -", o: dnsbl.Options{RefuseAt: 3, TemporaryAt: 2, QuarantineAt: 1},
			score: 2, decision: dnsbl.Temporary},
		{lists: "a.example*2 b.example", codes: "127.0.0.2 127.0.0.2", o: dnsbl.Options{RefuseAt: 3, TemporaryAt: 2, QuarantineAt: 1},
			score: 3, decision: dnsbl.Refuse},
		// Codes: ranges, sublists of one zone that count each, and several codes that count once.
		{lists: "a.example=127.0.0.[2..11]*3", codes: "127.0.0.12"},
		{lists: "a.example=127.0.0.[2..11]*3", codes: "127.0.0.11", score: 3, decision: dnsbl.Refuse},
		{lists: "a.example=127.0.0.[2..11]*3", codes: "127.0.0.2,127.0.0.3,127.0.0.4", score: 3, decision: dnsbl.Refuse},
		{lists: "a.example=127.0.0.[2..3]*3 a.example=127.0.0.[10..11]*4", codes: "127.0.0.2,127.0.0.10",
			score: 7, decision: dnsbl.Refuse},
		{lists: "a.example=127.0.0.[&4]*5", codes: "127.0.0.6", score: 5, decision: dnsbl.Refuse}, // RFC 5782 §2.3
		{lists: "a.example=127.0.0.[&4]*5", codes: "127.0.0.10"},
		// What is no entry.
		{lists: "a.example", codes: "127.0.0.1"},
		{lists: "a.example", codes: "127.255.255.254"},
		{lists: "a.example=127.[0..255].[0..255].[0..255]", codes: "127.255.255.255"},
		{lists: "a.example", codes: "192.0.2.80"},
		{lists: "a.example", codes: "192.0.2.80,127.0.0.2", score: 1, decision: dnsbl.Refuse},
	} {
		synctest.Test(t, func(t *testing.T) {
			dns := newDNS("a.example", "b.example", "c.example")
			for i, codes := range strings.Fields(test.codes) {
				if codes != "-" {
					dns.set(entry4+string("abc"[i])+".example", entry{codes: strings.Split(codes, ",")})
				}
			}
			test.o.Resolver = dns
			r, err := visit(t, newChecker(t, test.o, test.lists), client)
			require.Equal(t, test.score, r.Score, test)
			require.Equal(t, test.decision, r.Decision, test)
			require.Equal(t, test.good, r.Good, test)
			require.Equal(t, netip.MustParseAddr(client), r.Client)
			switch test.decision {
			case dnsbl.Pass:
				require.NoError(t, err)
			case dnsbl.Quarantine:
				require.EqualError(t, err, "smtpd: quarantine: client [203.0.113.9] listed by b.example")
			case dnsbl.Temporary:
				require.ErrorContains(t, err, "451 4.7.1 Service unavailable; client [203.0.113.9] blocked using a.example")
			case dnsbl.Refuse:
				require.ErrorContains(t, err, "554 5.7.1 Service unavailable; client [203.0.113.9] blocked using ")
			}
		})
	}
}

func TestRefusalNamesTheHeaviestListAndTheLogAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns := newDNS("a.example", "b.example", "c.example").list("a.example", "b.example", "c.example")
		_, err := visit(t, newChecker(t, dnsbl.Options{Resolver: dns}, "a.example b@b.example*3 c.example*-2"), client)
		require.EqualError(t, err, "554 5.7.1 Service unavailable; client [203.0.113.9] blocked using b: dnsbl: score 2: "+
			"client [203.0.113.9] listed by a.example (+1, 127.0.0.2), client [203.0.113.9] listed by b (+3, 127.0.0.2), "+
			"client [203.0.113.9] listed by c.example (-2, 127.0.0.2)")
		require.Zero(t, dns.count("TXT "+entry4+"a.example"), "only what is named is asked for")
		require.Equal(t, 1, dns.count("TXT "+entry4+"b.example"))
	})
}

func TestRefusalNamesTheFirstOfEqualLists(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns := newDNS("a.example", "b.example", "c.example").list("a.example", "b.example", "c.example")
		_, err := visit(t, newChecker(t, dnsbl.Options{Resolver: dns}, "c.example b.example*2 a.example*2"), client)
		require.Equal(t, "Service unavailable; client [203.0.113.9] blocked using b.example", mailbricks.ReplyTo(err).Text)
	})
}

func TestTextOfAList(t *testing.T) {
	t.Parallel()
	const plain = "Service unavailable; client [203.0.113.9] blocked using spam"
	for _, test := range []struct {
		txt  []string
		want string
	}{
		{nil, ""},
		{[]string{"", "  "}, ""},
		{[]string{"https://spam.example/203.0.113.9"}, "; https://spam.example/203.0.113.9"},
		{[]string{"zzz", "aaa"}, "; aaa"},
		{[]string{"ok\r\n250 2.0.0 Ok\x00\x1b[31m"}, "; ok??250 2.0.0 Ok??[31m"},
		{[]string{"b\u00f6se \u202e \xff"}, "; b?se ? ?"},
		{[]string{strings.Repeat("x", 4000)}, "; " + strings.Repeat("x", dnsbl.MaxText)},
		{[]string{"see http://Key123.List.Example/?KEY123.list.example"}, "; see http://spam/?spam"},
	} {
		synctest.Test(t, func(t *testing.T) {
			dns := newDNS("key123.list.example")
			dns.set(entry4+"key123.list.example", entry{codes: []string{someCode}, txt: test.txt})
			c := newChecker(t, dnsbl.Options{Resolver: dns}, "spam@key123.list.example")
			_, err := visit(t, c, client)
			require.Equal(t, plain+test.want, mailbricks.ReplyTo(err).Text)
			require.NotContains(t, err.Error(), "key123")
			require.Equal(t, "spam", c.Status()[0].Name)
		})
	}
	for _, e := range []entry{{fails: true}, {hangs: true}, {panic: true}} {
		synctest.Test(t, func(t *testing.T) {
			dns := newDNS("a.example").list("a.example")
			dns.set("TXT "+entry4+"a.example", e)
			start := time.Now()
			_, err := visit(t, newChecker(t, dnsbl.Options{Resolver: dns}, "spam@a.example"), client)
			require.Equal(t, plain, mailbricks.ReplyTo(err).Text)
			require.LessOrEqual(t, time.Since(start), dnsbl.TextTime)
		})
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		list, hello, reverse, from string
		kind                       dnsbl.Kind // 0: not listed
		text                       string
	}{
		{"helo:d.example", "bad.example", "", "", dnsbl.Hello, "HELO name [bad.example]"},
		{"helo:d.example", "BAD.example.", "", "", dnsbl.Hello, "HELO name [bad.example]"},
		{"helo:d.example", "good.example", "bad.example", "a@bad.example", 0, ""},
		{"reverse:d.example", "bad.example", "bad.example", "a@bad.example", dnsbl.ReverseName, "client name [bad.example]"},
		{"reverse:d.example", "bad.example", "", "a@bad.example", 0, ""},
		{"sender:d.example", "bad.example", "bad.example", "a@bad.example", dnsbl.Sender, "sender domain [bad.example]"},
		{"sender:d.example", "bad.example", "bad.example", "", 0, ""},
		{"helo+sender:d.example", "good.example", "", "a@bad.example", dnsbl.Sender, "sender domain [bad.example]"},
		{"helo+sender:d.example", "bad.example", "", "a@bad.example", dnsbl.Hello, "HELO name [bad.example]"},
		// Names that no domain is, some of which lists have entries for.
		{"helo+sender:d.example", "test", "", "a@test", 0, ""},
		{"helo+sender:d.example", "[192.0.2.2]", "", "a@[192.0.2.2]", 0, ""},
		{"helo+sender:d.example", "127.0.0.2", "", "a@127.0.0.2", 0, ""},
		{"helo+sender:d.example", "bad..example", "", "a@b ad.example", 0, ""},
		{"helo+sender:d.example", strings.Repeat("a.", 122) + "example", "", "", 0, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			dns := newDNS("d.example")
			for _, name := range []string{"bad.example", "127.0.0.2", "2.0.0.127", "[192.0.2.2]", "b ad.example", "bad..example"} {
				dns.set(name+".d.example", entry{codes: []string{"127.0.1.2"}})
			}
			v := arrive(t, newChecker(t, dnsbl.Options{Resolver: dns}, test.list).Check(), client)
			defer v.leave()
			v.s.Peer.Hello, v.s.ReverseName = test.hello, test.reverse
			r, err := v.mail(test.from, "bob@example.com")
			if test.kind == 0 {
				require.NoError(t, err, test)
				return
			}
			require.Len(t, r.Listings, 1, test)
			require.Equal(t, 1, r.Score)
			require.Equal(t, test.kind, r.Listings[0].Kind)
			require.Equal(t, "bad.example", r.Listings[0].Subject)
			require.Equal(t, []netip.Addr{netip.MustParseAddr("127.0.1.2")}, r.Listings[0].Codes)
			require.Contains(t, mailbricks.ReplyTo(err).Text, test.text+" blocked using d.example")
			require.LessOrEqual(t, dns.count("bad.example.d.example"), 1)
		})
	}
}

func TestNameThatDoesNotFitIsNotAsked(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ length, queries int }{{243, 1}, {244, 0}} { // 253 octets with .d.example (RFC 1035 §2.3.4)
		synctest.Test(t, func(t *testing.T) {
			name := strings.Repeat("a.", 121)[:test.length-2] + "ab"
			dns := newDNS("d.example")
			v := arrive(t, newChecker(t, dnsbl.Options{Resolver: dns}, "helo:d.example").Check(), client)
			v.s.Peer.Hello = name
			r, err := v.mail("ann@example.net", "bob@example.com")
			v.leave()
			require.NoError(t, err)
			require.Empty(t, r.Unknown)
			require.Equal(t, test.queries, dns.count(name+".d.example"))
		})
	}
}

func TestOneZoneForAddressesAndNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns := newDNS("all.example").list("all.example")
		dns.set("bad.example.all.example", entry{codes: []string{"127.0.1.2"}})
		c := newChecker(t, dnsbl.Options{Resolver: dns}, "sender:all.example=127.0.1.2*4 client:all.example=127.0.0.2 "+
			"client+sender:all.example*10")
		v := arrive(t, c.Check(), client)
		defer v.leave()
		r, _ := v.mail("ann@bad.example", "bob@example.com")
		require.Equal(t, 15, r.Score)
		require.Len(t, c.Status(), 3)
	})
}

func TestTransactionsHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns := newDNS("a.example", "d.example").list("a.example")
		dns.set("bad.example.d.example", entry{codes: []string{"127.0.1.2"}})
		var told []int
		note := func(_ context.Context, tx *smtpd.Transaction, r dnsbl.Result) {
			got, ok := dnsbl.From(tx.Session)
			require.True(t, ok)
			require.Equal(t, r, got)
			told = append(told, r.Score)
		}
		c := newChecker(t, dnsbl.Options{Resolver: dns, RefuseAt: 3, OnResult: note}, "a.example sender:d.example*2")
		v := arrive(t, c.Check(), client)
		defer v.leave()
		for range 3 {
			_, err := v.mail("ann@good.example", "bob@example.com")
			require.NoError(t, err)
			_, err = v.mail("ann@bad.example", "bob@example.com")
			require.Error(t, err)
		}
		require.Equal(t, []int{1, 3, 1, 3, 1, 3}, told)
		require.Equal(t, 1, dns.count(entry4+"a.example"), "the client is the same")
		_, err := v.mail("ann@bad.example", "postmaster@example.com")
		require.NoError(t, err)
		_, ok := dnsbl.From(v.s)
		require.False(t, ok, "nothing is said of this one")

		time.Sleep(dnsbl.AnswerTime)
		dns.remove(entry4 + "a.example")
		r, err := v.mail("ann@bad.example", "bob@example.com")
		require.NoError(t, err)
		require.Equal(t, 2, r.Score, "a session that goes on is asked about again")

		v.s.Peer.Addr = netip.MustParseAddrPort("198.51.100.7:25") // as a proxy may tell
		dns.set("7.100.51.198.a.example", entry{codes: []string{someCode}})
		r, _ = v.mail("ann@bad.example", "bob@example.com")
		require.Equal(t, 3, r.Score)
		require.Equal(t, "198.51.100.7", r.Client.String())
	})
}

func TestWhoIsNotAskedAbout(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{
		"127.0.0.2", "::1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.1.1", "fe80::1", "fd00::1", "100.64.0.1",
		"100.127.255.255", "0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "ff02::1", "::ffff:10.1.2.3", "::ffff:127.0.0.2",
		"fe80::1%eth0", "0.1.2.3", "240.0.0.1", "255.255.255.254", "::ffff:250.1.2.3",
	} {
		dns := newDNS("a.example", "d.example")
		dns.set("*.a.example", entry{codes: []string{someCode}})
		c := newChecker(t, dnsbl.Options{Resolver: dns}, "a.example helo:d.example")
		_, err := visit(t, c, addr)
		require.NoError(t, err, addr)
		require.Zero(t, dns.total(), addr)
	}
	dns := newDNS("a.example")
	trusted := netip.MustParsePrefix("203.0.113.0/24")
	c := newChecker(t, dnsbl.Options{Resolver: dns, Skip: func(s *smtpd.Session) bool {
		return trusted.Contains(s.Peer.Addr.Addr())
	}}, "a.example")
	_, err := visit(t, c, client)
	require.NoError(t, err)
	require.Zero(t, dns.total())
	_, err = visit(t, c, "100.128.0.1")
	require.NoError(t, err)
	require.NotZero(t, dns.total())

	v := visitor{t, c.Check(), &smtpd.Session{}} // no address at all
	_, err = v.mail("ann@example.net", "bob@example.com")
	require.NoError(t, err)
	_, ok := dnsbl.From(v.s)
	require.False(t, ok)
}

func TestUsersWhoLogInAreNotChecked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns := newDNS("a.example").list("a.example")
		v := arrive(t, newChecker(t, dnsbl.Options{Resolver: dns}, "a.example").Check(), client)
		defer v.leave()
		_, err := v.mail("ann@example.net", "bob@example.com")
		require.Error(t, err)
		v.s.Peer.Identity = &mailbricks.Identity{Login: "ann"}
		_, err = v.mail("ann@example.net", "bob@example.com")
		require.NoError(t, err)
		_, ok := dnsbl.From(v.s)
		require.False(t, ok)
	})
}

func TestExemptRecipients(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		rcpt   mailbricks.Recipient
		exempt bool
	}{
		{mailbricks.Recipient{Address: "postmaster"}, true},
		{mailbricks.Recipient{Address: "PostMaster@example.com"}, true},
		{mailbricks.Recipient{Address: "ann@example.com", Alias: "postmaster@example.com"}, true},
		{mailbricks.Recipient{Address: "postmaster@example.com", Alias: "ann@example.com"}, false},
		{mailbricks.Recipient{Address: "postmasters@example.com"}, false},
		{mailbricks.Recipient{Address: "bob@postmaster"}, false},
	} {
		require.Equal(t, test.exempt, dnsbl.Postmaster(test.rcpt), test.rcpt)
	}
	synctest.Test(t, func(t *testing.T) {
		dns := newDNS("a.example").list("a.example")
		exempt := func(r mailbricks.Recipient) bool { return r.Domain() == "open.example" }
		c := newChecker(t, dnsbl.Options{Resolver: dns, Exempt: exempt}, "a.example")
		v := arrive(t, c.Check(), client)
		defer v.leave()
		_, err := v.mail("ann@example.net", "bob@open.example")
		require.NoError(t, err)
		_, err = v.mail("ann@example.net", "postmaster@example.com")
		require.Error(t, err)
	})
}

func TestAnswersAreWaitedForTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns := newDNS("a.example", "b.example", "c.example", "d.example").list("a.example")
		c := newChecker(t, dnsbl.Options{Resolver: dns, RefuseAt: 3}, "a.example b.example c.example sender:d.example")
		c.Test(t.Context())
		dns.set(entry4+"a.example", entry{codes: []string{someCode}, after: 3 * time.Second})
		dns.set(entry4+"b.example", entry{hangs: true})
		dns.set(entry4+"c.example", entry{codes: []string{someCode}, after: dnsbl.DefaultMaxTime + 1})
		dns.set("example.net.d.example", entry{codes: []string{someCode}, after: 3 * time.Second})
		start := time.Now()
		v := arrive(t, c.Check(), client)
		require.Zero(t, time.Since(start), "the greeting waits for nobody")
		time.Sleep(2 * time.Second) // as the session goes on
		r, err := v.mail("ann@example.net", "bob@example.com")
		require.Equal(t, dnsbl.DefaultMaxTime+time.Second, time.Since(start), "the names were asked for two seconds later")
		require.Equal(t, 2, r.Score)
		require.Equal(t, []string{"b.example", "c.example"}, r.Unknown)
		require.NoError(t, err)
		v.leave()
	})
}

func TestClientThatLeavesTakesItsQuestionsAlong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns := newDNS()
		dns.set("*.a.example", entry{hangs: true})
		c := newChecker(t, dnsbl.Options{Resolver: dns, MaxTime: time.Hour}, "a.example helo:a.example")
		start := time.Now()
		v := arrive(t, c.Check(), client)
		tx := &smtpd.Transaction{Session: v.s, Envelope: &mailbricks.Envelope{}}
		require.NoError(t, v.check.Mail(t.Context(), tx))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // it leaves while it waits
		defer cancel()
		require.NoError(t, v.check.Rcpt(ctx, tx, &mailbricks.Recipient{Address: "bob@example.com"}))
		v.leave()
		require.Equal(t, time.Second, time.Since(start))
		require.Zero(t, dns.underWay())
	})
}

func TestNewTransactionEndsTheQuestionsOfTheLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns := newDNS("d.example")
		c := newChecker(t, dnsbl.Options{Resolver: dns}, "sender:d.example")
		c.Test(t.Context())
		dns.most()
		dns.set("*.d.example", entry{hangs: true})
		v := arrive(t, c.Check(), client)
		for range 100 {
			tx := &smtpd.Transaction{Session: v.s, Envelope: &mailbricks.Envelope{From: "ann@slow.example"}}
			require.NoError(t, v.check.Mail(t.Context(), tx))
			synctest.Wait()
		}
		require.LessOrEqual(t, dns.most(), 2, "one at a time, beside the one that is ending")
		v.leave()
	})
}

func TestQueriesUnderWayAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns := newDNS("a.example", "b.example").list("a.example", "b.example")
		c := newChecker(t, dnsbl.Options{Resolver: dns, MaxLookups: 3}, "a.example b.example")
		c.Test(t.Context())
		dns.most()
		dns.set("*.a.example", entry{hangs: true})
		dns.set("*.b.example", entry{hangs: true})
		hang1, hang2 := arrive(t, c.Check(), "203.0.113.1"), arrive(t, c.Check(), "203.0.113.2")
		r, err := visit(t, c, client)
		require.NoError(t, err)
		require.Equal(t, []string{"a.example", "b.example"}, r.Unknown)
		require.LessOrEqual(t, dns.most(), 3)
		hang1.leave()
		hang2.leave()
		require.Zero(t, status(t, c, dnsbl.IPv4).Unanswered, "who was not asked did not fail to answer")
		r, _ = visit(t, c, client)
		require.Equal(t, 2, r.Score)
	})
	synctest.Test(t, func(t *testing.T) { // nor is there a text then
		dns := newDNS("a.example").list("a.example")
		dns.set(entry4+"a.example", entry{codes: []string{someCode}, txt: []string{"because"}})
		c := newChecker(t, dnsbl.Options{Resolver: dns, MaxLookups: 1}, "a.example")
		c.Test(t.Context())
		dns.set("*.a.example", entry{hangs: true})
		v := arrive(t, c.Check(), client)
		synctest.Wait()
		hang := arrive(t, c.Check(), "203.0.113.1")
		_, err := v.mail("ann@example.net", "bob@example.com")
		require.Equal(t, "Service unavailable; client [203.0.113.9] blocked using a.example", mailbricks.ReplyTo(err).Text)
		hang.leave()
		_, err = v.mail("ann@example.net", "bob@example.com")
		require.Equal(t, "Service unavailable; client [203.0.113.9] blocked using a.example; because", mailbricks.ReplyTo(err).Text)
		v.leave()
	})
}

func TestHastyClientsFindOutDeadListsToo(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		stay  time.Duration
		found bool
	}{{dnsbl.DefaultStressTime, true}, {dnsbl.DefaultStressTime - 1, false}} {
		synctest.Test(t, func(t *testing.T) {
			dns := newDNS("a.example")
			c := newChecker(t, dnsbl.Options{Resolver: dns}, "a.example")
			c.Test(t.Context())
			dns.set("*.a.example", entry{hangs: true})
			dns.remove(test4 + "a.example")
			for range dnsbl.DefaultMaxUnanswered + 1 {
				v := arrive(t, c.Check(), client)
				time.Sleep(test.stay)
				v.leave()
			}
			synctest.Wait()
			require.Equal(t, test.found, status(t, c, dnsbl.IPv4).State == dnsbl.Down)
		})
	}
}

func TestOnlySoManyCodesAreLookedAt(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ more, score int }{{dnsbl.MaxCodes - 1, 1}, {dnsbl.MaxCodes, 0}} {
		synctest.Test(t, func(t *testing.T) {
			codes := make([]string, test.more, test.more+1)
			for i := range codes {
				codes[i] = "127.0.0.2"
			}
			dns := newDNS("a.example")
			dns.set(entry4+"a.example", entry{codes: append(codes, "127.0.0.3")})
			r, _ := visit(t, newChecker(t, dnsbl.Options{Resolver: dns}, "a.example=127.0.0.3"), client)
			require.Equal(t, test.score, r.Score)
		})
	}
}

func TestResolvers(t *testing.T) {
	t.Parallel()
	for _, r := range []dnsbl.Resolver{new(net.Resolver), new(resolver.Resolver), new(mailtest.Resolver)} {
		_, err := dnsbl.New(dnsbl.Options{Resolver: r})
		require.NoError(t, err)
	}
}

func TestWithoutLists(t *testing.T) {
	t.Parallel()
	c := newChecker(t, dnsbl.Options{}, "")
	r, err := visit(t, c, client)
	require.NoError(t, err)
	require.Zero(t, r)
	require.Empty(t, c.Status())
}
