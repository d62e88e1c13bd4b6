package senderdomain_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/dialogue"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/senderdomain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const zone = `
	mx.example.         MX 10 host.mx.example.
	host.mx.example.    A 203.0.113.9
	a.example.          A 203.0.113.9
	aaaa.example.       AAAA 2001:db8::9
	alias.example.      CNAME mx.example.
	loose.example.      CNAME gone.example.
	xn--bcher-kva.example. A 203.0.113.9
	under_score.example. A 203.0.113.9
	null.example.       MX 0 .
	null.example.       A 203.0.113.9
	half.example.       MX 0 .
	half.example.       MX 10 host.mx.example.
	text.example.       TXT "no mail"
	; hosts that no one can reach
	gone-mx.example.    MX 10 gone.example.
	literal.example.    MX 10 203.0.113.9.
	localhost.example.  MX 10 localhost.
	private.example.    MX 10 a.private.example.
	private.example.    MX 20 b.private.example.
	a.private.example.  A 10.0.0.1
	a.private.example.  A 0.0.0.0
	b.private.example.  A 127.0.0.1
	b.private.example.  AAAA ::1
	private-a.example.  A 192.168.1.1
	partly.example.     MX 10 a.private.example.
	partly.example.     MX 20 host.mx.example.
`

// strict is every action at its strictest.
var strict = senderdomain.Options{
	Unknown: senderdomain.Refuse, Unroutable: senderdomain.Refuse, Literal: senderdomain.Refuse, Fault: senderdomain.Refuse,
}

// world is a server on a network in memory.
type world struct {
	t     *testing.T
	net   *mailtest.Network
	dns   *mailtest.DNS
	inbox *mailtest.Inbox
	found chan senderdomain.Finding
}

// inWorld runs f with a server that has the check.
func inWorld(t *testing.T, o senderdomain.Options, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: mailtest.NewNetwork(), dns: mailtest.MustZone(t, zone)}
		w.inbox, w.found = new(mailtest.Inbox), make(chan senderdomain.Finding, 10)
		if o.Resolver == nil {
			o.Resolver = w.dns.Resolver()
		}
		see := smtpd.Check{Around: func(ctx context.Context, step *smtpd.Step, next func(context.Context) error) error {
			err := next(ctx)
			if step.Phase == smtpd.PhaseMail {
				w.found <- senderdomain.Of(step.Transaction)
			}
			return err
		}}
		srv := &smtpd.Server{Hostname: "mx.example.com", Handler: w.inbox, Auth: anybody{}, AllowInsecureAuth: true}
		srv.Checks = []smtpd.Check{see, senderdomain.Check(o)}
		l, err := w.net.Listen("tcp", "192.0.2.1:25")
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		defer func() { <-done }()
		defer srv.Close()
		f(w)
	})
}

// talk runs a dialogue over a new connection, behind the greeting and EHLO.
func (w *world) talk(from, script string) {
	w.t.Helper()
	conn, err := w.net.Dialer(from).Dial("tcp", "192.0.2.1:25")
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
	c.Talk("S* 220\nC: EHLO client.example.net\nS* 250\n" + script)
}

// mail is a MAIL command and the refusal; empty for one that is let in, and then the message.
func (w *world) mail(domain, reply string) {
	w.t.Helper()
	const rest = "C: RCPT TO:<bob@example.com>\nC: DATA\nS* 250\nS* 354\nC: .\nS* 250\n"
	if reply == "" {
		w.talk(client, "C: MAIL FROM:<ann@"+domain+"> SMTPUTF8\nS* 250\n"+rest)
		return
	}
	w.talk(client, "C: MAIL FROM:<ann@"+domain+"> SMTPUTF8\nS: "+reply+"\n")
}

const client = "203.0.113.9"

// anybody lets all log in.
type anybody struct{}

func (anybody) Mechanisms(mailbricks.Peer) []string { return []string{"EXTERNAL"} }

func (anybody) Start(context.Context, string, mailbricks.Peer) (mailbricks.Exchange, error) {
	return anybody{}, nil
}

func (anybody) Next(context.Context, []byte) ([]byte, *mailbricks.Identity, error) {
	return nil, &mailbricks.Identity{Login: "ann@example.com", User: "ann@example.com"}, nil
}

func TestFindings(t *testing.T) {
	t.Parallel()
	for domain, c := range map[string]struct {
		lenient, strict senderdomain.Finding
		reply           string // of the default
	}{
		"mx.example":            {},
		"MX.Example":            {},
		"a.example":             {},
		"aaaa.example":          {},
		"alias.example":         {},
		"bücher.example":        {},
		"BÜCHER.example":        {},
		"xn--bcher-kva.example": {},
		"half.example":          {},
		"partly.example":        {},
		"null.example":          {senderdomain.NullMX, senderdomain.NullMX, "550 5.7.27"},
		"nobody.example":        {senderdomain.Unknown, senderdomain.Unknown, "450 4.1.8"},
		"loose.example":         {senderdomain.Unknown, senderdomain.Unknown, "450 4.1.8"},
		"text.example":          {senderdomain.Unknown, senderdomain.Unknown, "450 4.1.8"},
		"example":               {senderdomain.Unknown, senderdomain.Unknown, "450 4.1.8"},
		"1.2.3.4":               {senderdomain.Unknown, senderdomain.Unknown, "450 4.1.8"},
		"gone-mx.example":       {senderdomain.Fine, senderdomain.Unroutable, ""},
		"literal.example":       {senderdomain.Fine, senderdomain.Unroutable, ""},
		"localhost.example":     {senderdomain.Fine, senderdomain.Unroutable, ""},
		"private.example":       {senderdomain.Fine, senderdomain.Unroutable, ""},
		"private-a.example":     {senderdomain.Fine, senderdomain.Unroutable, ""},
		"localhost":             {senderdomain.Fine, senderdomain.Unroutable, ""},
		"a.localhost":           {senderdomain.Fine, senderdomain.Unroutable, ""},
		"[203.0.113.9]":         {senderdomain.Fine, senderdomain.Literal, ""},
		"[IPv6:2001:db8::9]":    {senderdomain.Fine, senderdomain.Literal, ""},
		"[127.0.0.1]":           {senderdomain.Fine, senderdomain.Unroutable, ""},
		"[IPv6:fd00::1]":        {senderdomain.Fine, senderdomain.Unroutable, ""},
	} {
		t.Run(domain, func(t *testing.T) {
			t.Parallel()
			inWorld(t, senderdomain.Options{}, func(w *world) {
				reply := c.reply
				if reply != "" {
					reply += " Sender address rejected: domain " + domain + " " + c.lenient.String()
				}
				w.mail(domain, reply)
				require.Equal(t, c.lenient, <-w.found)
				asked := 0
				for _, n := range w.dns.Queries() {
					asked += n
				}
				require.LessOrEqual(t, asked, 3, "MX, A and AAAA")
			})
			inWorld(t, strict, func(w *world) {
				reply := ""
				switch c.strict {
				case senderdomain.Fine:
				case senderdomain.NullMX:
					reply = "550 5.7.27 *"
				default:
					reply = "550 5.1.8 Sender address rejected: domain " + domain + " " + c.strict.String()
				}
				w.mail(domain, reply)
				require.Equal(t, c.strict, <-w.found)
			})
		})
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	const Off, Mark, Quarantine = senderdomain.Off, senderdomain.Mark, senderdomain.Quarantine
	const Defer, Refuse = senderdomain.Defer, senderdomain.Refuse
	for _, c := range []struct {
		domain  string
		o       senderdomain.Options
		finding senderdomain.Finding
		want    string // the codes of the reply; "quarantine"; empty: accepted
	}{
		{"null.example", senderdomain.Options{NullMX: Off}, senderdomain.Fine, ""},
		{"null.example", senderdomain.Options{NullMX: Mark}, senderdomain.NullMX, ""},
		{"null.example", senderdomain.Options{NullMX: Quarantine}, senderdomain.NullMX, "quarantine"},
		{"null.example", senderdomain.Options{NullMX: Defer}, senderdomain.NullMX, "450 4.1.8"},
		{"null.example", senderdomain.Options{NullMX: Refuse}, senderdomain.NullMX, "550 5.7.27"},
		{"nobody.example", senderdomain.Options{Unknown: Off}, senderdomain.Fine, ""},
		{"nobody.example", senderdomain.Options{Unknown: Mark}, senderdomain.Unknown, ""},
		{"nobody.example", senderdomain.Options{Unknown: Quarantine}, senderdomain.Unknown, "quarantine"},
		{"nobody.example", senderdomain.Options{Unknown: Refuse}, senderdomain.Unknown, "550 5.1.8"},
		// What does not exist at all can be told from what has no record.
		{"nobody.example", senderdomain.Options{Nonexistent: Refuse}, senderdomain.Nonexistent, "550 5.1.8"},
		{"text.example", senderdomain.Options{Nonexistent: Refuse}, senderdomain.Unknown, "450 4.1.8"},
		{"nobody.example", senderdomain.Options{Nonexistent: Off}, senderdomain.Unknown, "450 4.1.8"},
		{"nobody.example", senderdomain.Options{Nonexistent: Mark, Unknown: Off}, senderdomain.Nonexistent, ""},
		{"private.example", senderdomain.Options{Unroutable: Mark}, senderdomain.Unroutable, ""},
		{"private.example", senderdomain.Options{Unroutable: Quarantine}, senderdomain.Unroutable, "quarantine"},
		{"private.example", senderdomain.Options{Unroutable: Defer}, senderdomain.Unroutable, "450 4.1.8"},
		{"[127.0.0.1]", senderdomain.Options{Literal: Refuse}, senderdomain.Literal, "550 5.1.8"},
		{"[203.0.113.9]", senderdomain.Options{Literal: Quarantine, Unroutable: Refuse}, senderdomain.Literal, "quarantine"},
		{"fault.example", senderdomain.Options{}, senderdomain.Fault, "451 4.4.3"},
		{"fault.example", senderdomain.Options{Fault: Off}, senderdomain.Fine, ""},
		{"fault.example", senderdomain.Options{Fault: Mark}, senderdomain.Fault, ""},
		{"fault.example", senderdomain.Options{Fault: Quarantine}, senderdomain.Fault, "quarantine"},
		{"fault.example", senderdomain.Options{Fault: Refuse}, senderdomain.Fault, "451 4.4.3"},
	} {
		inWorld(t, c.o, func(w *world) {
			w.dns.SetFailure("fault.example", mailtest.ServFail)
			text := fmt.Sprintf("Sender address rejected: domain %s %s", c.domain, c.finding)
			switch c.want {
			case "":
				w.mail(c.domain, "")
				require.Empty(t, w.inbox.Messages()[0].Envelope.Quarantine)
			case "quarantine":
				w.mail(c.domain, "")
				require.Equal(t, "senderdomain: "+text, w.inbox.Messages()[0].Envelope.Quarantine)
			default:
				w.mail(c.domain, c.want+" "+text)
			}
			require.Equal(t, c.finding, <-w.found, "%v", c)
		})
	}
}

// A fault of the DNS never refuses for good, and does not count where other answers are enough.
func TestFaultsOfTheDNS(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, types, domain string
		want                senderdomain.Finding
	}{
		{"mx.example", "MX", "mx.example", senderdomain.Fault},
		{"a.example", "MX", "a.example", senderdomain.Fault},
		{"a.example", "A", "a.example", senderdomain.Fault},
		{"a.example", "AAAA", "a.example", senderdomain.Fine},
		{"text.example", "AAAA", "text.example", senderdomain.Fault},
		{"host.mx.example", "A", "mx.example", senderdomain.Fault},
		{"a.private.example", "A", "partly.example", senderdomain.Fine},
		{"b.private.example", "A", "private.example", senderdomain.Unroutable}, // its AAAA says enough
		{"a.private.example", "A", "private.example", senderdomain.Fault},
	} {
		for _, failure := range []mailtest.Failure{mailtest.ServFail, mailtest.Refused, mailtest.Timeout} {
			inWorld(t, strict, func(w *world) {
				w.dns.SetFailure(c.name, failure, c.types)
				switch c.want {
				case senderdomain.Fault:
					w.mail(c.domain, "451 4.4.3 *")
				case senderdomain.Unroutable:
					w.mail(c.domain, "550 *")
				default:
					w.mail(c.domain, "")
				}
				require.Equal(t, c.want, <-w.found, "%v", c)
			})
		}
	}
}

// script is a Resolver that gives what it is made with; where that is nil it waits for the end of the context.
type script struct {
	mxs    []*net.MX
	mxErr  error
	addrs  []netip.Addr
	addErr error
	asked  int
}

func (s *script) LookupMX(ctx context.Context, _ string) ([]*net.MX, error) {
	s.asked++
	if s.mxs == nil && s.mxErr == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.mxs, s.mxErr
}

func (s *script) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	s.asked++
	if s.addrs == nil && s.addErr == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.addrs, s.addErr
}

func TestLookUpsTakeLimitedTime(t *testing.T) {
	t.Parallel()
	none := &net.DNSError{Err: "no such host", IsNotFound: true}
	for _, r := range []*script{{}, {mxErr: none}, {mxs: []*net.MX{{Host: "a.example."}, {Host: "b.example."}}}} {
		o := strict
		o.Resolver = r
		inWorld(t, o, func(w *world) {
			began := time.Now()
			w.mail("slow.example", "451 4.4.3 *")
			require.Equal(t, senderdomain.MaxTime, time.Since(began))
		})
	}
}

func TestLookUpsAreLimited(t *testing.T) {
	t.Parallel()
	private := []netip.Addr{netip.MustParseAddr("10.0.0.1")}
	for hosts, want := range map[int]senderdomain.Finding{
		senderdomain.MaxHosts: senderdomain.Unroutable, senderdomain.MaxHosts + 1: senderdomain.Fine, 10_000: senderdomain.Fine,
	} {
		r := &script{addrs: private}
		for i := range hosts {
			r.mxs = append(r.mxs, &net.MX{Host: fmt.Sprintf("h%d.example.", i)})
		}
		require.Equal(t, want, find(t, senderdomain.Options{Resolver: r, Unroutable: senderdomain.Mark}, "many.example"))
		require.Equal(t, 1+senderdomain.MaxHosts, r.asked)
		require.Len(t, r.mxs, hosts, "the answer is the resolver's")
	}
}

// find runs the check without a server.
func find(t *testing.T, o senderdomain.Options, domain string) senderdomain.Finding {
	t.Helper()
	tx := &smtpd.Transaction{
		Session:  &smtpd.Session{Peer: mailbricks.Peer{Addr: netip.MustParseAddrPort("203.0.113.9:1")}},
		Envelope: &mailbricks.Envelope{From: "ann@" + domain},
	}
	_ = senderdomain.Check(o).Mail(t.Context(), tx) // what matters is the finding
	return senderdomain.Of(tx)
}

func TestStrangeResolvers(t *testing.T) {
	t.Parallel()
	none := &net.DNSError{Err: "no such host", IsNotFound: true}
	invalid := &net.DNSError{Err: "DNS response contained records which contain invalid names"}
	public := []netip.Addr{netip.MustParseAddr("203.0.113.9")}
	mapped := []netip.Addr{netip.MustParseAddr("::ffff:127.0.0.1")}
	host := []*net.MX{{Host: "a.example."}}
	for name, c := range map[string]struct {
		r    *script
		want senderdomain.Finding
	}{
		"only invalid hosts":        {&script{mxs: []*net.MX{}, mxErr: invalid}, senderdomain.Unroutable},
		"one valid host":            {&script{mxs: host, mxErr: invalid, addrs: public}, senderdomain.Fine},
		"hosts without a final dot": {&script{mxs: []*net.MX{{Host: "a.example"}}, addrs: public}, senderdomain.Fine},
		"empty answers":             {&script{mxs: []*net.MX{}, addrs: []netip.Addr{}}, senderdomain.Unknown},
		"another error":             {&script{mxErr: errors.New("broken")}, senderdomain.Fault},
		"another error later":       {&script{mxErr: none, addErr: errors.New("broken")}, senderdomain.Fault},
		"mapped addresses":          {&script{mxErr: none, addrs: mapped}, senderdomain.Unroutable},
		// It cannot tell, and so the other action counts.
		"not exact": {&script{mxErr: none, addErr: none}, senderdomain.Unknown},
	} {
		o := strict
		o.Resolver, o.Nonexistent = c.r, senderdomain.Mark
		require.Equal(t, c.want, find(t, o, "some.example"), name)
	}
}

func TestWhoIsLeftAlone(t *testing.T) {
	t.Parallel()
	o := strict
	o.Skip = func(s *smtpd.Session) bool { return s.Peer.Addr.Addr() == netip.MustParseAddr("203.0.113.77") }
	inWorld(t, o, func(w *world) {
		w.talk("203.0.113.77", "C: MAIL FROM:<ann@nobody.example>\nS* 250\n")
		w.talk(client, "C: MAIL FROM:<>\nS* 250\n")
		w.talk(client, "C: AUTH EXTERNAL =\nS* 235\nC: MAIL FROM:<ann@nobody.example>\nS* 250\n")
		require.Empty(t, w.dns.Queries())
		w.talk(client, "C: MAIL FROM:<ann@nobody.example>\nS* 550\n")
	})
	tx := &smtpd.Transaction{Session: new(smtpd.Session), Envelope: &mailbricks.Envelope{From: "ann@nobody.example"}}
	require.NoError(t, senderdomain.Check(strict).Mail(t.Context(), tx), "a client on a unix socket")
}

// What does not fit into the DNS is not asked for there.
func TestNoNameOfTheDNS(t *testing.T) {
	t.Parallel()
	for _, domain := range []string{
		strings.Repeat("a.", 126) + "aa", strings.Repeat("a", 64) + ".example", "a..example", "", "sp ace.example", "x\x00.example",
	} {
		r := new(script)
		o := strict
		o.Resolver, o.Nonexistent = r, senderdomain.Defer
		require.Equal(t, senderdomain.Nonexistent, find(t, o, domain))
		o.Nonexistent = senderdomain.Off
		require.Equal(t, senderdomain.Unknown, find(t, o, domain))
		require.Zero(t, r.asked)
	}
}

// Each transaction has its own finding.
func TestNextTransaction(t *testing.T) {
	t.Parallel()
	inWorld(t, senderdomain.Options{Unknown: senderdomain.Mark}, func(w *world) {
		const rset = "S* 250\nC: RSET\nS* 250\n"
		w.talk(client, "C: MAIL FROM:<ann@nobody.example>\n"+rset+"C: MAIL FROM:<ann@mx.example>\n"+rset+"C: MAIL FROM:<>\nS* 250\n")
		for _, want := range []senderdomain.Finding{senderdomain.Unknown, senderdomain.Fine, senderdomain.Fine} {
			require.Equal(t, want, <-w.found)
		}
	})
}

func TestFindingNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for f := senderdomain.Fine; f <= senderdomain.Fault; f++ {
		require.NotEmpty(t, f.String())
		require.False(t, seen[f.String()])
		seen[f.String()] = true
	}
	require.Equal(t, "Finding(7)", senderdomain.Finding(7).String())
	require.Equal(t, "Finding(-1)", senderdomain.Finding(-1).String())
}

// FuzzDomain gives the check any domain, with or without what the server would have let through.
func FuzzDomain(f *testing.F) {
	for _, domain := range []string{
		"mx.example", "[IPv6:2001:db8::9]", "[127.0.0.1]", "[", "[]", "", ".", "localhost", "xn--", "\xff", "bücher.example", "a@b",
	} {
		f.Add(domain)
	}
	dns := mailtest.MustZone(f, zone)
	o := strict
	o.Resolver = dns.Resolver()
	f.Fuzz(func(t *testing.T, domain string) {
		finding := find(t, o, domain)
		require.NotEqual(t, senderdomain.Fault, finding, "this DNS has no faults")
		if strings.HasPrefix(domain[strings.LastIndexByte(domain, '@')+1:], "[") {
			require.Contains(t, []senderdomain.Finding{senderdomain.Literal, senderdomain.Unroutable}, finding)
		}
		if !strings.ContainsFunc(domain, func(r rune) bool { return r > unicode.MaxASCII }) {
			require.Equal(t, finding, find(t, o, strings.ToUpper(domain)), "case does not matter")
		}
	})
}

func BenchmarkMail(b *testing.B) {
	check := senderdomain.Check(senderdomain.Options{Resolver: mailtest.MustZone(b, zone).Resolver()})
	s := &smtpd.Session{Peer: mailbricks.Peer{Addr: netip.MustParseAddrPort("203.0.113.9:1")}}
	b.ReportAllocs()
	for b.Loop() {
		tx := &smtpd.Transaction{Session: s, Envelope: &mailbricks.Envelope{From: "ann@mx.example"}}
		if err := check.Mail(b.Context(), tx); err != nil {
			b.Fatal(err)
		}
	}
}
