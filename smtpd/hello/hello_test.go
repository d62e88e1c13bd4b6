package hello_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/dialogue"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/hello"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const zone = `
	mail.sender.example. A 203.0.113.9
	v6.sender.example.   AAAA 2001:db8::9
	mx.sender.example.   MX 10 mail.sender.example.
	text.sender.example. TXT "no address"
`

// world is a server on a network in memory.
type world struct {
	t     *testing.T
	net   *mailtest.Network
	dns   *mailtest.DNS
	inbox *mailtest.Inbox
	rules chan hello.Rule // what Of said at the last MAIL
}

// inWorld runs f with a server that has the check.
func inWorld(t *testing.T, o hello.Options, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: mailtest.NewNetwork(), dns: mailtest.MustZone(t, zone)}
		w.inbox, w.rules = new(mailtest.Inbox), make(chan hello.Rule, 10)
		if o.Resolver == nil {
			o.Resolver = w.dns.Resolver()
		}
		see := smtpd.Check{Mail: func(_ context.Context, tx *smtpd.Transaction) error {
			w.rules <- hello.Of(tx.Session)
			return nil
		}}
		srv := &smtpd.Server{Hostname: "MX.example.com", Handler: w.inbox, Auth: anybody{}, AllowInsecureAuth: true}
		srv.Checks = []smtpd.Check{hello.Check(o), see}
		done := make(chan error, 2)
		for _, addr := range []string{"192.0.2.1:25", "[2001:db8::1]:25"} {
			l, err := w.net.Listen("tcp", addr)
			require.NoError(t, err)
			go func() { done <- srv.Serve(l) }()
		}
		defer func() { <-done; <-done }()
		defer srv.Close()
		f(w)
	})
}

// talk runs a dialogue over a new connection, behind the greeting.
func (w *world) talk(from, script string) {
	w.t.Helper()
	to := "192.0.2.1:25"
	if strings.Contains(from, ":") {
		to = "[2001:db8::1]:25"
	}
	conn, err := w.net.Dialer(from).Dial("tcp", to)
	require.NoError(w.t, err)
	defer conn.Close()
	c := dialogue.New(w.t, conn)
	c.Verbs = map[string]func(string){"S*": func(code string) {
		for {
			line, err := c.Line()
			require.NoError(w.t, err)
			require.Equal(w.t, code, line[:3], line)
			if line[3] == ' ' {
				return
			}
		}
	}}
	c.Talk("S* 220\n" + script)
}

// anybody lets all log in.
type anybody struct{}

func (anybody) Mechanisms(mailbricks.Peer) []string { return []string{"EXTERNAL"} }

func (anybody) Start(context.Context, string, mailbricks.Peer) (mailbricks.Exchange, error) {
	return anybody{}, nil
}

func (anybody) Next(context.Context, []byte) ([]byte, *mailbricks.Identity, error) {
	return nil, &mailbricks.Identity{Login: "ann@example.com", User: "ann@example.com"}, nil
}

const (
	client  = "203.0.113.9"
	from    = "C: MAIL FROM:<ann@example.net>\nS* 250\n"
	rcpt    = "C: RCPT TO:<bob@example.com>\n"
	message = from + rcpt + "S* 250\nC: DATA\nS* 354\nC: .\nS* 250\n"
)

// all is every rule at its strictest.
var all = hello.Options{
	Names: []string{"example.com", "Bücher.example", "not a name"}, Addrs: []netip.Addr{netip.MustParseAddr("198.51.100.1")},
	ForeignAddress: hello.Refuse, PrivateAddress: hello.Refuse, BareAddress: hello.Refuse, Localhost: hello.Refuse,
	Malformed: hello.Refuse, NotQualified: hello.Refuse, Unknown: hello.Refuse,
}

func TestRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		client, name string
		want         hello.Rule
		reply        string // of all, without the text
	}{
		{client, "mail.sender.example", hello.None, ""},
		{client, "MAIL.Sender.Example.", hello.None, ""},
		{client, "v6.sender.example", hello.None, ""},
		{client, "mx.sender.example", hello.None, ""},
		{client, "[203.0.113.9]", hello.None, ""},
		{"2001:db8::9", "[IPv6:2001:DB8::9]", hello.None, ""},
		{"2001:db8::9", "[2001:db8:0::9]", hello.None, ""},

		{client, "mx.example.com", hello.OwnName, "550 5.7.1"},
		{client, "MX.EXAMPLE.COM.", hello.OwnName, "550 5.7.1"},
		{client, "Example.com", hello.OwnName, "550 5.7.1"},
		{client, "xn--bcher-kva.example", hello.OwnName, "550 5.7.1"},
		{client, "[192.0.2.1]", hello.OwnAddress, "550 5.7.1"},
		{client, "192.0.2.1", hello.OwnAddress, "550 5.7.1"},
		{client, "[IPv6:::ffff:192.0.2.1]", hello.OwnAddress, "550 5.7.1"},
		{client, "[198.51.100.1]", hello.OwnAddress, "550 5.7.1"},
		{"2001:db8::9", "[IPv6:2001:db8::1]", hello.OwnAddress, "550 5.7.1"},
		{client, "[203.0.113.10]", hello.ForeignAddress, "550 5.7.1"},
		{client, "[IPv6:2001:db8::9]", hello.ForeignAddress, "550 5.7.1"},
		{client, "[10.1.2.3]", hello.PrivateAddress, "550 5.7.1"},
		{client, "[127.0.0.1]", hello.PrivateAddress, "550 5.7.1"},
		{client, "[100.64.1.2]", hello.PrivateAddress, "550 5.7.1"},
		{client, "[0.0.0.0]", hello.PrivateAddress, "550 5.7.1"},
		{client, "[IPv6:fd00::1]", hello.PrivateAddress, "550 5.7.1"},
		{client, "[IPv6:fe80::1]", hello.PrivateAddress, "550 5.7.1"},
		{client, "203.0.113.9", hello.BareAddress, "501 5.5.2"},
		{client, "203.0.113.10", hello.BareAddress, "501 5.5.2"},
		{client, "localhost", hello.Localhost, "550 5.7.1"},
		{client, "localhost.localdomain", hello.Localhost, "550 5.7.1"},
		{client, "a.LOCALHOST", hello.Localhost, "550 5.7.1"},
		{client, "my_host.example", hello.Malformed, "501 5.5.2"},
		{client, "x", hello.NotQualified, "504 5.5.2"},
		{client, "WIN-2K8", hello.NotQualified, "504 5.5.2"},
		{client, "nobody.sender.example", hello.Unknown, "550 5.7.1"},
		{client, "text.sender.example", hello.Unknown, "550 5.7.1"},

		// Who is on this host may call itself so.
		{"127.0.0.1", "mx.example.com", hello.Unknown, "550 5.7.1"},
		{"192.0.2.1", "localhost", hello.NotQualified, "504 5.5.2"},
		{"127.0.0.1", "[192.0.2.1]", hello.ForeignAddress, "550 5.7.1"},
		{"198.51.100.1", "example.com", hello.Unknown, "550 5.7.1"},
		{"127.0.0.1", "[127.0.0.1]", hello.None, ""},
	} {
		inWorld(t, all, func(w *world) {
			w.talk(c.client, "C: EHLO "+c.name+"\nS* 250\n"+refused(c.reply, c.name, c.want))
			require.Equal(t, c.want, <-w.rules, "%s from %s", c.name, c.client)
		})
	}
}

// transaction is one of a client that is not on this host.
func transaction(name string) *smtpd.Transaction {
	peer := mailbricks.Peer{Addr: netip.MustParseAddrPort("203.0.113.9:1"), Hello: name}
	peer.Local = netip.MustParseAddrPort("192.0.2.1:25")
	return &smtpd.Transaction{Session: &smtpd.Session{Hostname: "mx.example.com", Peer: peer}, Envelope: new(mailbricks.Envelope)}
}

// What a server lets through as a name need not be one; how much it lets through is its matter.
func TestMalformedNames(t *testing.T) {
	t.Parallel()
	check := hello.Check(hello.Options{})
	for _, name := range []string{
		"my_host.example", "-.example", "a-.example", "a..example", ".example", "1.2.3", "203.0.113.256",
		"", ".", "a b", "\x00", "\xff.example",
		"[1.2.3]", "[IPv6:1:2:3]", "[IPv6:]", "[]", "[", "[mail.example]", "2001:db8::9.example",
		strings.Repeat("a.", 126) + "aaa", strings.Repeat("a", 64) + ".example",
	} {
		tx := transaction(name)
		require.NoError(t, check.Mail(t.Context(), tx))
		require.Equal(t, hello.Malformed, hello.Of(tx.Session), "%q", name)
	}
}

// refused is a message that is refused at each RCPT.
func refused(reply, name string, rule hello.Rule) string {
	if reply == "" {
		return message
	}
	expect := "S: " + reply + " Hello from <" + name + "> rejected: " + rule.String() + "\n"
	return from + rcpt + expect + rcpt + expect + "C: QUIT\nS* 221\n"
}

// Honest servers have bad names of all kinds.
func TestDefaultIsLenient(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]hello.Rule{
		"[8.8.8.8]": hello.ForeignAddress, "[IPv6:2001:db8::9]": hello.ForeignAddress, // RFC 5321 §4.1.4
		"[10.1.2.3]": hello.PrivateAddress, "203.0.113.10": hello.BareAddress, "localhost": hello.Localhost,
		"my_host.local": hello.Malformed, "WIN-2K8": hello.NotQualified,
		"nobody.sender.example": hello.None, "[203.0.113.9]": hello.None, "example.com": hello.None,
	} {
		inWorld(t, hello.Options{}, func(w *world) {
			w.talk(client, "C: HELO "+name+"\nS* 250\n"+message)
			require.Equal(t, rule, <-w.rules, name)
			require.Empty(t, w.inbox.Messages()[0].Envelope.Quarantine)
			require.Empty(t, w.dns.Queries(), "the DNS is not asked")
		})
	}
	for name, text := range map[string]string{
		"mx.example.com": "that is this server's name",
		"[192.0.2.1]":    "that is this server's address",
	} {
		inWorld(t, hello.Options{}, func(w *world) {
			w.talk(client, "C: EHLO "+name+"\nS* 250\n"+from+rcpt+"S: 550 5.7.1 Hello from <"+name+"> rejected: "+text)
		})
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	const text = " Hello from <x> rejected: a fully qualified host name is needed"
	for _, c := range []struct {
		o    hello.Options
		rule hello.Rule
		want string // the reply at RCPT; with " ": the reason for the quarantine
	}{
		{hello.Options{NotQualified: hello.Off}, hello.None, ""},
		{hello.Options{NotQualified: hello.Off, Unknown: hello.Mark}, hello.Unknown, ""},
		{hello.Options{NotQualified: hello.Off, Unknown: hello.Defer}, hello.Unknown,
			"450 4.7.1 Hello from <x> rejected: that name is not found"},
		{hello.Options{NotQualified: hello.Mark}, hello.NotQualified, ""},
		{hello.Options{NotQualified: hello.Quarantine}, hello.NotQualified, " hello:" + text},
		{hello.Options{NotQualified: hello.Defer}, hello.NotQualified, "450 4.7.1" + text},
		{hello.Options{NotQualified: hello.Refuse}, hello.NotQualified, "504 5.5.2" + text},
	} {
		inWorld(t, c.o, func(w *world) {
			if c.want == "" || c.want[0] == ' ' {
				w.talk(client, "C: EHLO x\nS* 250\n"+message)
				require.Equal(t, strings.TrimPrefix(c.want, " "), w.inbox.Messages()[0].Envelope.Quarantine)
			} else {
				w.talk(client, "C: EHLO x\nS* 250\n"+from+rcpt+"S: "+c.want)
			}
			require.Equal(t, c.rule, <-w.rules)
		})
		c.o.AtHello = true
		inWorld(t, c.o, func(w *world) {
			if c.want == "" || c.want[0] == ' ' {
				w.talk(client, "C: EHLO x\nS* 250\n"+message)
				require.Equal(t, strings.TrimPrefix(c.want, " "), w.inbox.Messages()[0].Envelope.Quarantine)
				require.Equal(t, c.rule, <-w.rules)
				return
			}
			w.talk(client, "C: EHLO x\nS: "+c.want+"\nC: MAIL FROM:<>\nS: 503 *\nC: EHLO mail.sender.example\nS* 250\n"+message)
			require.Equal(t, hello.None, <-w.rules)
		})
	}
}

// A rule that is off does not hide the next.
func TestRulesBehindOthers(t *testing.T) {
	t.Parallel()
	off := hello.Options{OwnName: hello.Off, OwnAddress: hello.Off, ForeignAddress: hello.Refuse, BareAddress: hello.Refuse}
	for name, rule := range map[string]hello.Rule{
		"mx.example.com": hello.None, "[192.0.2.1]": hello.ForeignAddress, "192.0.2.1": hello.BareAddress,
	} {
		inWorld(t, off, func(w *world) {
			w.talk(client, "C: EHLO "+name+"\nS* 250\n"+from)
			require.Equal(t, rule, <-w.rules, name)
		})
	}
}

func TestFaultsOfTheDNS(t *testing.T) {
	t.Parallel()
	const name = "mail.sender.example"
	const fault = "S: 451 4.4.3 Hello from <" + name + "> rejected: that name cannot be looked up now\n"
	for _, failure := range []mailtest.Failure{mailtest.ServFail, mailtest.Refused, mailtest.Timeout} {
		for action, reply := range map[hello.Action]string{
			hello.Mark: "S* 250\n", hello.Quarantine: "S* 250\n", hello.Defer: fault, hello.Refuse: fault,
		} {
			inWorld(t, hello.Options{Unknown: action}, func(w *world) {
				w.dns.SetFailure(name, failure)
				w.talk(client, "C: EHLO "+name+"\nS* 250\n"+from+rcpt+reply)
				require.Equal(t, hello.Fault, <-w.rules)
			})
		}
		// The fault of one question does not count where the answer to another is enough.
		for _, known := range []string{"mail.sender.example", "mx.sender.example"} {
			inWorld(t, hello.Options{Unknown: hello.Refuse}, func(w *world) {
				w.dns.SetFailure("mail.sender.example", failure, "MX")
				w.dns.SetFailure("mx.sender.example", failure, "A", "AAAA")
				w.talk(client, "C: EHLO "+known+"\nS* 250\n"+message)
			})
		}
	}
}

// deaf does not answer until the time is over.
type deaf struct{}

func (deaf) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (deaf) LookupMX(ctx context.Context, _ string) ([]*net.MX, error) {
	<-ctx.Done()
	return nil, &net.DNSError{Err: ctx.Err().Error(), IsTimeout: true}
}

func TestLookUpsTakeLimitedTime(t *testing.T) {
	t.Parallel()
	inWorld(t, hello.Options{Unknown: hello.Refuse, Resolver: deaf{}}, func(w *world) {
		began := time.Now()
		w.talk(client, "C: EHLO mail.sender.example\nS* 250\n"+from+rcpt+"S: 451 *")
		require.Equal(t, hello.MaxTime, time.Since(began))
	})
}

// A name is looked up once a session, but another name or a fault is a new question.
func TestNameIsLookedUpOnce(t *testing.T) {
	t.Parallel()
	inWorld(t, hello.Options{Unknown: hello.Refuse}, func(w *world) {
		const first = "C: EHLO mail.sender.example\nS* 250\n" + message
		w.talk(client, first+message+"C: EHLO x.example\nS* 250\n"+from+rcpt+"S: 550 *\n"+first)
		require.Equal(t, 2, w.dns.Queries()["mail.sender.example. A"])
		require.Equal(t, 1, w.dns.Queries()["x.example. A"])
		require.Equal(t, 1, w.dns.Queries()["x.example. MX"])
	})
	r := mailtest.MustZone(t, zone)
	r.SetFailure("mail.sender.example", mailtest.ServFail)
	check := hello.Check(hello.Options{Unknown: hello.Mark, Resolver: r.Resolver()})
	tx := transaction("mail.sender.example")
	require.NoError(t, check.Mail(t.Context(), tx))
	require.Equal(t, hello.Fault, hello.Of(tx.Session))
	r.SetFailure("mail.sender.example", mailtest.NoFailure)
	require.NoError(t, check.Mail(t.Context(), tx))
	require.Equal(t, hello.None, hello.Of(tx.Session))
	tx.Session.Peer.Hello = "x"
	require.NoError(t, check.Mail(t.Context(), tx))
	require.Equal(t, hello.NotQualified, hello.Of(tx.Session))
	tx.Session.Peer.Addr = netip.MustParseAddrPort("203.0.113.10:1")
	require.Equal(t, hello.None, hello.Of(tx.Session), "a proxy has told of another client")
}

func TestWhoIsLeftAlone(t *testing.T) {
	t.Parallel()
	strict := all
	strict.Skip = func(s *smtpd.Session) bool { return s.Peer.Addr.Addr() == netip.MustParseAddr("203.0.113.77") }
	inWorld(t, strict, func(w *world) {
		w.talk("203.0.113.77", "C: EHLO mx.example.com\nS* 250\n"+message)
		w.talk(client, "C: EHLO mx.example.com\nS* 250\nC: AUTH EXTERNAL =\nS* 235\n"+message)
		require.Len(t, w.inbox.Messages(), 2)
		require.Empty(t, w.dns.Queries())
		w.talk(client, "C: EHLO mx.example.com\nS* 250\n"+from+rcpt+"S: 550 *")
	})
	strict.AtHello = true
	inWorld(t, strict, func(w *world) {
		w.talk("203.0.113.77", "C: EHLO mx.example.com\nS* 250\n"+message)
		w.talk(client, "C: EHLO mx.example.com\nS: 550 *")
	})
	tx := &smtpd.Transaction{Session: &smtpd.Session{Hostname: "mx.example.com", Peer: mailbricks.Peer{Hello: "mx.example.com"}}}
	require.NoError(t, hello.Check(all).Rcpt(t.Context(), tx, nil), "a client on a unix socket")
}

func TestRuleNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for r := hello.None; r <= hello.Fault; r++ {
		require.NotEmpty(t, r.String())
		require.False(t, seen[r.String()])
		seen[r.String()] = true
	}
	require.Equal(t, "Rule(11)", hello.Rule(11).String())
	require.Equal(t, "Rule(-1)", hello.Rule(-1).String())
}

// FuzzName gives the check any name, with or without what the server would have let through.
func FuzzName(f *testing.F) {
	for _, name := range []string{
		"mail.example.net", "[IPv6:2001:db8::9]", "[203.0.113.9]", "203.0.113.9", "[", "[]", "]", "localhost", "x", "mx.example.com.",
		"xn--", "\xff", "bücher.example",
	} {
		f.Add(name)
	}
	check := hello.Check(all)
	f.Fuzz(func(t *testing.T, name string) {
		tx := transaction(name)
		ended, end := context.WithCancel(context.Background())
		end() // nothing is looked up
		require.NoError(t, check.Mail(ended, tx))
		rule := hello.Of(tx.Session)
		require.Equal(t, rule == hello.None, check.Rcpt(ended, tx, nil) == nil, rule)
		switch a, err := netip.ParseAddr(name); {
		case name == "[203.0.113.9]":
			require.Equal(t, hello.None, rule)
		case err == nil:
			require.Contains(t, []hello.Rule{hello.OwnAddress, hello.BareAddress}, rule, a)
		case strings.EqualFold(strings.TrimSuffix(name, "."), "mx.example.com"):
			require.Equal(t, hello.OwnName, rule)
		case !strings.ContainsAny(name, ".[\u3002\uff0e\uff61"):
			require.Contains(t, []hello.Rule{hello.Malformed, hello.NotQualified, hello.Localhost}, rule)
		}
	})
}

func BenchmarkName(b *testing.B) {
	check := hello.Check(hello.Options{})
	b.ReportAllocs()
	for b.Loop() {
		if err := check.Mail(b.Context(), transaction("mail.sender.example")); err != nil {
			b.Fatal(err)
		}
	}
}
