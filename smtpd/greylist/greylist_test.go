package greylist

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/smtpd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble runs f with a greylist on a clock that passes only when f sleeps.
func bubble(t *testing.T, o Options, f func(t *testing.T, g *Greylist)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, err := Open("", o)
		require.NoError(t, err)
		f(t, g)
		g.verify(t)
		require.NoError(t, g.Close())
	})
}

// verify checks that the queues are in step with the triplets that wait.
func (g *Greylist) verify(t testing.TB) {
	t.Helper()
	for _, s := range g.shards {
		live := 0
		for c, q := range s.queues {
			require.Positive(t, q.live, c)
			require.LessOrEqual(t, q.live, s.o.MaxPerClient)
			require.LessOrEqual(t, len(q.turns), 2*q.live+10)
			waiting := map[key]bool{}
			for _, turn := range q.turns {
				if s.waits(turn) {
					waiting[turn.key] = true
				}
			}
			require.Len(t, waiting, q.live)
			live += q.live
		}
		require.Equal(t, s.waiting.Len(), live)
	}
}

// transaction begins one from an address.
func transaction(addr, from string) *smtpd.Transaction {
	var peer mailbricks.Peer
	if addr != "" {
		peer.Addr = netip.AddrPortFrom(netip.MustParseAddr(addr), 4711)
	}
	return &smtpd.Transaction{Session: &smtpd.Session{Peer: peer}, Envelope: &mailbricks.Envelope{From: from}}
}

// try asks the check about a recipient and gives the text of the refusal; empty: it has passed.
func (g *Greylist) try(tx *smtpd.Transaction, to string) string {
	if err := g.Check().Rcpt(context.Background(), tx, &mailbricks.Recipient{Address: to}); err != nil {
		return err.Error()
	}
	tx.Envelope.Recipients = append(tx.Envelope.Recipients, mailbricks.Recipient{Address: to})
	return ""
}

// send tries to send from an address to bob@example.com and says whether it passes.
func (g *Greylist) send(addr, from string) bool {
	return g.try(transaction(addr, from), "bob@example.com") == ""
}

const peer, ann, bob = "203.0.113.9", "ann@example.org", "bob@example.com"

func TestTriplet(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, g *Greylist) {
		text := g.try(transaction(peer, ann), bob)
		require.Equal(t, "450 4.2.0 <bob@example.com>: Recipient address rejected: Greylisted, please try again in 300 seconds", text)
		time.Sleep(DefaultDelay - time.Second)
		require.Contains(t, g.try(transaction(peer, ann), bob), "in 1 seconds", "an early retry changes nothing")
		time.Sleep(time.Second)
		require.True(t, g.send(peer, ann))
		require.True(t, g.send(peer, ann), "and from now on")
		require.Equal(t, Stats{Known: 1, Coming: 1}, g.Stats())

		require.False(t, g.send(peer, "eve@example.org"), "another sender")
		require.NotEmpty(t, g.try(transaction(peer, ann), "cleo@example.com"), "another recipient")
		require.False(t, g.send("203.0.114.9", ann), "another network")
		require.True(t, g.send("203.0.113.200", ann), "the same network")
		require.True(t, g.send("::ffff:203.0.113.200", ann))
		require.True(t, g.send(peer, "Ann@EXAMPLE.org"))
		require.Empty(t, g.try(transaction(peer, ann), "BOB@Example.com"))
	})
}

func TestIPv6CountsByNetwork(t *testing.T) {
	bubble(t, Options{Delay: time.Minute}, func(t *testing.T, g *Greylist) {
		require.False(t, g.send("2001:db8::1", ann))
		time.Sleep(time.Minute)
		require.False(t, g.send("2001:db8:0:1::1", ann))
		require.True(t, g.send("2001:db8::ffff:1", ann))
	})
}

func TestWindowAndMaxAge(t *testing.T) {
	bubble(t, Options{AutoWhitelist: -1}, func(t *testing.T, g *Greylist) {
		require.False(t, g.send(peer, ann))
		time.Sleep(DefaultWindow)
		require.Contains(t, g.try(transaction(peer, ann), bob), "in 300 seconds", "too late: as new")
		time.Sleep(DefaultWindow - time.Second)
		require.True(t, g.send(peer, ann))
		for range 3 {
			time.Sleep(DefaultMaxAge - time.Second)
			require.True(t, g.send(peer, ann), "each mail keeps it")
		}
		time.Sleep(DefaultMaxAge)
		require.False(t, g.send(peer, ann))
		require.Zero(t, g.Stats().Clients+g.Stats().Coming)
	})
}

func TestOutOfDateIsDropped(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, g *Greylist) {
		for i := range 100 {
			g.send(peer, fmt.Sprintf("a%c%c@example.org", 'a'+i/26, 'a'+i%26))
		}
		require.Equal(t, 100, g.Stats().Waiting)
		time.Sleep(DefaultWindow)
		for range 30 {
			g.send(peer, ann)
		}
		require.Equal(t, 1, g.Stats().Waiting)
	})
}

func TestClientBecomesKnown(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, g *Greylist) {
		from := func(i int) string { return fmt.Sprintf("%c@example.org", 'a'+i) }
		for i := range 10 {
			require.False(t, g.send(peer, from(i)))
		}
		time.Sleep(DefaultDelay)
		for i := range 10 {
			require.True(t, g.send(peer, from(i)), "a burst is one success")
		}
		require.False(t, g.send(peer, "new@example.org"))
		for range DefaultAutoWhitelist - 1 {
			require.Equal(t, 0, g.Stats().Clients)
			time.Sleep(DefaultSuccessEvery)
			require.True(t, g.send(peer, from(0)))
		}
		require.Equal(t, 1, g.Stats().Clients)
		require.True(t, g.send(peer, "newer@example.org"))
		require.False(t, g.send("203.0.114.9", "newer@example.org"))
		for range 3 {
			time.Sleep(DefaultMaxAge - time.Second)
			require.True(t, g.send(peer, time.Now().Format("a")+"@example.org"))
		}
		time.Sleep(DefaultMaxAge)
		require.False(t, g.send(peer, from(0)), "all is forgotten")
	})
}

func TestAutoWhitelistCanBeOffOrImmediate(t *testing.T) {
	t.Run("off", func(t *testing.T) {
		bubble(t, Options{AutoWhitelist: -1}, func(t *testing.T, g *Greylist) {
			require.False(t, g.send(peer, ann))
			for range 20 {
				time.Sleep(DefaultSuccessEvery)
				require.True(t, g.send(peer, ann))
			}
			require.False(t, g.send(peer, "new@example.org"))
		})
	})
	t.Run("first success", func(t *testing.T) { // RFC 6647 §5 no. 1
		bubble(t, Options{AutoWhitelist: 1}, func(t *testing.T, g *Greylist) {
			require.False(t, g.send(peer, ann))
			time.Sleep(DefaultDelay)
			require.True(t, g.send(peer, ann))
			require.True(t, g.send(peer, "new@example.org"))
		})
	})
	t.Run("all successes count", func(t *testing.T) {
		bubble(t, Options{AutoWhitelist: 3, SuccessEvery: -1}, func(t *testing.T, g *Greylist) {
			require.False(t, g.send(peer, ann))
			time.Sleep(DefaultDelay)
			require.True(t, g.send(peer, ann))
			require.True(t, g.send(peer, ann))
			require.False(t, g.send(peer, "new@example.org"))
			require.True(t, g.send(peer, ann))
			require.True(t, g.send(peer, "new@example.org"))
		})
	})
}

func TestOnePassesForAllOfATransaction(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, g *Greylist) {
		tx := transaction(peer, ann)
		require.NotEmpty(t, g.try(tx, bob))
		require.NotEmpty(t, g.try(tx, "cleo@example.com"))
		time.Sleep(DefaultDelay)
		tx = transaction(peer, ann)
		require.Empty(t, g.try(tx, "cleo@example.com"), "in any order")
		require.Empty(t, g.try(tx, "dora@example.com"), "a new one as well")
		require.NotEmpty(t, g.try(transaction(peer, ann), "dora@example.com"), "but not alone")
		require.Empty(t, g.try(transaction(peer, ann), bob), "in a transaction of its own")
	})
}

// Null reverse-paths are for bounces, and for those who only ask whether an address exists.
func TestNullSenderWaitsAtData(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, g *Greylist) {
		data := func(to ...string) error {
			tx := transaction(peer, "")
			for _, to := range to {
				require.Empty(t, g.try(tx, to), "RCPT is not disturbed")
			}
			return g.Check().Data(context.Background(), tx)
		}
		require.EqualError(t, data(bob), "450 4.2.0 Greylisted, please try again in 300 seconds")
		time.Sleep(time.Minute)
		require.EqualError(t, data(bob, "cleo@example.com"), "450 4.2.0 Greylisted, please try again in 240 seconds")
		require.NoError(t, data(), "all recipients were discarded")
		require.NoError(t, data(bob, "postmaster@example.com"))
		time.Sleep(DefaultDelay)
		require.NoError(t, data(bob, "dora@example.com"))
		require.NoError(t, g.Check().Data(context.Background(), transaction(peer, ann)), "others were asked about before")
	})
}

func TestNotGreylisted(t *testing.T) {
	net := netip.MustParsePrefix("198.51.100.0/24")
	for name, test := range map[string]struct {
		o      Options
		change func(*smtpd.Transaction)
		to     string
		pass   bool
	}{
		"anybody else":          {pass: false},
		"logged in":             {change: func(tx *smtpd.Transaction) { tx.Session.Peer.Identity = new(mailbricks.Identity) }, pass: true},
		"skipped":               {o: Options{Skip: func(s *smtpd.Session) bool { return s.Peer.Addr.Addr().String() == peer }}, pass: true},
		"not skipped":           {o: Options{Skip: func(*smtpd.Session) bool { return false }}},
		"loopback":              {change: func(tx *smtpd.Transaction) { tx.Session.Peer.Addr = netip.MustParseAddrPort("[::1]:1") }, pass: true},
		"Unix socket":           {change: func(tx *smtpd.Transaction) { tx.Session.Peer.Addr = netip.AddrPort{} }, pass: true},
		"network":               {o: Options{Clients: []netip.Prefix{net, netip.MustParsePrefix("203.0.113.0/28")}}, pass: true},
		"IPv4 in IPv6":          {o: Options{Clients: []netip.Prefix{netip.MustParsePrefix("::ffff:203.0.113.0/124")}}, pass: true},
		"no network":            {o: Options{Clients: []netip.Prefix{{}}}},
		"other network":         {o: Options{Clients: []netip.Prefix{net}}},
		"host name":             {o: Options{ClientNames: []string{"Example.NET."}}, change: named("mx1.example.net"), pass: true},
		"domain":                {o: Options{ClientNames: []string{".example.net"}}, change: named("MX1.a.Example.net."), pass: true},
		"itself":                {o: Options{ClientNames: []string{"mx1.example.net"}}, change: named("mx1.example.net"), pass: true},
		"look-alike":            {o: Options{ClientNames: []string{"example.net"}}, change: named("badexample.net")},
		"parent":                {o: Options{ClientNames: []string{"mx1.example.net"}}, change: named("example.net")},
		"name not confirmed":    {o: Options{ClientNames: []string{"example.net"}}},
		"empty name":            {o: Options{ClientNames: []string{"", "."}}},
		"postmaster":            {to: "Postmaster@example.com", pass: true},
		"bare postmaster":       {to: "postmaster", pass: true},
		"abuse":                 {to: "abuse@example.com", pass: true},
		"not the default":       {o: Options{Recipients: []string{"x@y.example"}}, to: "postmaster@example.com"},
		"none":                  {o: Options{Recipients: []string{}}, to: "postmaster@example.com"},
		"recipient":             {o: Options{Recipients: []string{"Bob@Example.COM"}}, pass: true},
		"recipient's domain":    {o: Options{Recipients: []string{"example.com"}}, pass: true},
		"domain with @":         {o: Options{Recipients: []string{"@example.com"}}, pass: true},
		"international domain":  {o: Options{Recipients: []string{"bücher.example"}}, to: "bob@xn--bcher-kva.example", pass: true},
		"subdomain":             {o: Options{Recipients: []string{"example.com"}}, to: "bob@sub.example.com"},
		"other local part":      {o: Options{Recipients: []string{"bobby@"}}},
		"exempt":                {o: Options{Exempt: func(tx *smtpd.Transaction) bool { return tx.Envelope.From == ann }}, pass: true},
		"not exempt":            {o: Options{Exempt: func(tx *smtpd.Transaction) bool { return false }}},
		"loopback with a name":  {o: Options{Client: domainOf}, change: func(tx *smtpd.Transaction) { tx.Session.Peer.Addr = netip.AddrPort{} }},
		"local part everywhere": {o: Options{Recipients: []string{"bob@"}}, pass: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, test.o, func(t *testing.T, g *Greylist) {
				tx := transaction(peer, ann)
				if test.change != nil {
					test.change(tx)
				}
				to := test.to
				if to == "" {
					to = bob
				}
				require.Equal(t, test.pass, g.try(tx, to) == "")
				if test.pass {
					require.Zero(t, g.Stats(), "nothing is remembered")
				}
			})
		})
	}
}

func named(name string) func(*smtpd.Transaction) {
	return func(tx *smtpd.Transaction) { tx.Session.ReverseName = name }
}

func domainOf(tx *smtpd.Transaction) string {
	_, domain := mailbricks.SplitAddress(tx.Envelope.From)
	return domain
}

// Who sends from many networks goes by a name, such as a domain that SPF has proved.
func TestClientByName(t *testing.T) {
	passed := func(tx *smtpd.Transaction) string {
		if domain := domainOf(tx); strings.EqualFold(domain, "example.org") {
			return domain
		}
		return ""
	}
	bubble(t, Options{Client: passed}, func(t *testing.T, g *Greylist) {
		require.False(t, g.send(peer, ann))
		require.False(t, g.send(peer, "a@example.net"))
		time.Sleep(DefaultDelay)
		require.True(t, g.send("198.51.100.1", "ann@Example.org"))
		require.False(t, g.send("198.51.100.1", "a@example.net"))
	})
}

func TestAliasIsNotTold(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, g *Greylist) {
		rcpt := &mailbricks.Recipient{Address: "secret@example.com", Alias: "Bob@example.com"}
		err := g.Check().Rcpt(context.Background(), transaction(peer, ann), rcpt)
		require.ErrorContains(t, err, "<Bob@example.com>")
		require.NotContains(t, err.Error(), "secret")
	})
}

func TestDecisionsAreTold(t *testing.T) {
	var told []string
	o := Options{OnDecision: func(_ context.Context, tx *smtpd.Transaction, rcpt string, d Decision) {
		told = append(told, fmt.Sprintf("%s %s: %v %v", tx.Envelope.From, rcpt, d.Reason, d.Wait))
	}}
	bubble(t, o, func(t *testing.T, g *Greylist) {
		tx := transaction(peer, ann)
		g.try(tx, bob)
		g.try(tx, bob)
		g.try(tx, "abuse@example.com")
		time.Sleep(DefaultDelay)
		tx = transaction(peer, ann)
		g.try(tx, bob)
		g.try(tx, "cleo@example.com")
		g.send(peer, ann)
		require.Equal(t, []string{
			"ann@example.org bob@example.com: new 5m0s",
			"ann@example.org bob@example.com: early retry 5m0s",
			"ann@example.org abuse@example.com: recipient whitelist 0s",
			"ann@example.org bob@example.com: came back 0s",
			"ann@example.org cleo@example.com: same transaction 0s",
			"ann@example.org bob@example.com: triplet found 0s",
		}, told)
		require.Equal(t, "exempt", Exempted.String())
		require.Equal(t, "Reason(-1)", Reason(-1).String())
		text, err := json.Marshal(Decision{Reason: Returned})
		require.NoError(t, err)
		require.Equal(t, `{"Wait":0,"Reason":"came back"}`, string(text))
	})
}

func TestNormalize(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"Ann@Example.ORG", "ann@example.org", `"ann"@example.org`, "ann@example.org."},
		{"ann+a@example.org", "ann+b@example.org", "ann@example.org"},
		{"prvs=0123456789=ann@example.org", "PRVS=5554abcdef=ann@example.org", "ann@example.org"},
		{"btv1==123abc==ann@example.org", "ann@example.org"},
		{"SRS0=HHHH=TT=example.net=ann@example.org", "SRS0=abcd=UU=example.net=ann@example.org", "srs0+x=y=example.net=ann@example.org"},
		{"SRS1=HHHH=relay.example==GGGG=TT=example.net=ann@example.org", "SRS1=aaaa=relay.example==bbbb=UU=example.net=ann@example.org"},
		{"list-bounces-12345@example.org", "list-bounces-9@example.org"},
		{"bounce-mc.us1_1234.5678-0a1b2c3d@example.org", "bounce-mc.us1_99.1-ffff99999@example.org"},
		{"0102018f7a2b3c4d-1234abcd-00ff-4711-aaaa-000000@eu.example", "0102018f7a2b3999-1234999d-eeee-4712-bbb1-000001@eu.example"},
		{"bounces+12345-ab12-bob=example.com@em.example", "bounces+99999-ff00-bob=example.com@em.example"},
	} {
		for _, s := range same[1:] {
			require.Equal(t, normalize(same[0]), normalize(s), s)
		}
	}
	different := []string{
		"", "ann@example.org", "eve@example.org", "ann@example.net", "us1@example.org", "us2@example.org",
		"SRS0=HHHH=TT=example.net=ann@example.org", "SRS0=HHHH=TT=example.com=ann@example.org", "SRS0=HHHH=TT=example.net=eve@example.org",
		"srs0=x@example.org", "prvs=x@example.org", "+x@example.org", "srs1=a=b@example.org", "srs1=a@example.org",
		"SRS1=HHHH=relay.example==GGGG=TT=example.net=ann@example.org", "SRS1=HHHH=other.example==GGGG=TT=example.net=ann@example.org",
	}
	seen := map[string]string{}
	for _, s := range different {
		n := normalize(s)
		require.NotContains(t, seen, n, "%s is as %s", s, seen[n])
		seen[n] = s
	}
	require.Equal(t, "@", normalize(""))
}

func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"", "ann@example.org", "prvs=1=a@b", "SRS1=a=b==c=d=e=f@g", "a-1-2@b", "a\x00@b", `"a b"@c`, "=@", "srs0===@", "btv1==", strings.Repeat("\xff", 700)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := normalize(s)
		require.Equal(t, n, normalize(s))
		require.Contains(t, n, "@")
		require.LessOrEqual(t, len(n), 3*len(s)+300, "an octet that is no UTF-8 becomes three")
		local, _ := mailbricks.SplitAddress(n)
		require.NotRegexp(t, `(^|[^a-z0-9#])[0-9]+($|[^a-z0-9#])`, local, "no number stays")
	})
}

func TestFullTableDropsTheOldest(t *testing.T) {
	bubble(t, Options{MaxWaiting: 4, MaxKnown: 3, MaxClients: 2, AutoWhitelist: 1}, func(t *testing.T, g *Greylist) {
		require.Len(t, g.shards, 1)
		for i := range 10 {
			require.False(t, g.send(peer, fmt.Sprintf("%c@example.org", 'a'+i)))
			time.Sleep(time.Second)
		}
		require.Equal(t, Stats{Waiting: 4}, g.Stats())
		time.Sleep(DefaultDelay)
		require.False(t, g.send(peer, "f@example.org"), "the oldest have been dropped, and the newest came")
		require.True(t, g.send(peer, "h@example.org"))
	})
}

func TestFileRestoresAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New()
		reopen := func(o Options) *Greylist {
			g, err := open(fsys, "/greylist", o)
			require.NoError(t, err)
			g.verify(t)
			return g
		}
		g := reopen(Options{AutoWhitelist: 2, SuccessEvery: -1})
		require.False(t, g.send("198.51.100.1", ann)) // will be a known client
		require.False(t, g.send("198.51.101.1", ann)) // will be a known triplet
		time.Sleep(DefaultDelay - time.Minute)
		require.False(t, g.send(peer, ann)) // waits
		time.Sleep(time.Minute)
		require.True(t, g.send("198.51.100.1", ann))
		require.True(t, g.send("198.51.100.1", ann))
		require.True(t, g.send("198.51.101.1", ann))
		want := g.Stats()
		require.Equal(t, Stats{Waiting: 1, Known: 2, Coming: 1, Clients: 1}, want)
		require.NoError(t, g.Close())
		require.Error(t, g.Close())

		g = reopen(Options{AutoWhitelist: 2, SuccessEvery: -1})
		require.Equal(t, want, g.Stats())
		require.True(t, g.send("198.51.100.1", "new@example.org"))
		require.True(t, g.send("198.51.101.1", ann))
		require.Contains(t, g.try(transaction(peer, ann), bob), "in 240 seconds")
		time.Sleep(4 * time.Minute)
		require.True(t, g.send(peer, ann))
		require.NoError(t, g.Close())

		// What is kept is read with the options of now.
		g = reopen(Options{AutoWhitelist: 5})
		require.Equal(t, 0, g.Stats().Clients)
		require.NoError(t, g.Close())
		g = reopen(Options{AutoWhitelist: -1})
		require.Equal(t, Stats{Known: 3}, g.Stats())
		require.NoError(t, g.Close())
		time.Sleep(DefaultMaxAge)
		g = reopen(Options{})
		require.Zero(t, g.Stats())
		require.NoError(t, g.Close())
	})
}

// Mail once a day keeps a client, over restarts that come without a Close, too.
func TestLastMailIsWrittenNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New()
		g, err := open(fsys, "/greylist", Options{AutoWhitelist: 2, SuccessEvery: -1})
		require.NoError(t, err)
		g.send(peer, ann)
		time.Sleep(DefaultDelay)
		g.send(peer, ann)
		g.send(peer, ann) // a known client
		g.send("198.51.100.1", ann)
		time.Sleep(DefaultDelay)
		g.send("198.51.100.1", ann) // a known triplet
		time.Sleep(time.Minute)
		synctest.Wait()
		before := fsys.Calls()
		g.send(peer, ann)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, before, fsys.Calls(), "not each mail is written")
		for range 40 {
			time.Sleep(24 * time.Hour)
			require.True(t, g.send(peer, ann))
			require.True(t, g.send("198.51.100.1", ann))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		fsys.Crash()
		for state := range fsys.States() {
			again, err := open(state.FS, "/greylist", Options{AutoWhitelist: 2})
			require.NoError(t, err)
			require.True(t, again.send(peer, "new@example.org"), state.What)
			require.True(t, again.send("198.51.100.1", ann), state.What)
			require.NoError(t, again.Close())
		}
		require.NoError(t, g.Close())
	})
}
