package iprev_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/dialogue"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/iprev"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a server on a network in memory.
type world struct {
	t     *testing.T
	net   *mailtest.Network
	dns   *mailtest.DNS
	inbox *mailtest.Inbox
}

// inWorld runs f with a server that has the check and others behind it.
func inWorld(t *testing.T, o iprev.Options, f func(w *world), others ...smtpd.Check) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: mailtest.NewNetwork(), dns: mailtest.MustZone(t, zone), inbox: new(mailtest.Inbox)}
		if o.Resolver == nil {
			o.Resolver = w.dns.Resolver()
		}
		srv := &smtpd.Server{Hostname: "mx.example.com", Handler: w.inbox, Checks: append([]smtpd.Check{iprev.Check(o)}, others...)}
		l, err := w.net.Listen("tcp", "192.0.2.1:25")
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		defer func() { <-done }()
		defer srv.Close()
		f(w)
	})
}

// talk runs a dialogue over a connection from an address, behind the greeting and EHLO.
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

const message = `
	C: MAIL FROM:<ann@example.net>
	C: RCPT TO:<bob@example.com>
	C: DATA
	S* 250
	S* 250
	S* 354
	C: .
	S* 250
`

func TestNameGoesIntoReceived(t *testing.T) {
	t.Parallel()
	for _, atConnect := range []bool{false, true} {
		inWorld(t, iprev.Options{AtConnect: atConnect}, func(w *world) {
			w.talk("192.0.2.25", message+message)
			w.talk("192.0.2.66", message)
			got := w.inbox.Messages()
			require.Len(t, got, 3)
			require.Contains(t, string(got[1].Raw), "Received: from client.example.net (mail.sender.example [192.0.2.25])")
			require.Contains(t, string(got[2].Raw), "Received: from client.example.net (unknown [192.0.2.66])")
			require.Equal(t, 1, w.dns.Queries()["25.2.0.192.in-addr.arpa. PTR"], "once a session")
		})
	}
}

func TestAtConnectIsBeforeTheGreeting(t *testing.T) {
	t.Parallel()
	for _, atConnect := range []bool{false, true} {
		var value string
		see := smtpd.Check{Connect: func(_ context.Context, s *smtpd.Session) error {
			r, known := iprev.Of(s)
			require.Equal(t, atConnect, known)
			value = r.Value
			return nil
		}}
		inWorld(t, iprev.Options{AtConnect: atConnect, Unconfirmed: iprev.Refuse}, func(w *world) {
			w.talk("192.0.2.66", "C: MAIL FROM:<>\nS* 550")
		}, see)
		if atConnect {
			require.Equal(t, iprev.Fail, value)
		}
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	const (
		fault       = "192.0.2.77"
		noName      = "no name found for your address [192.0.2.99]"
		unconfirmed = "the name of your address [192.0.2.66] does not lead back to it"
		noAnswer    = "the name of your address [192.0.2.77] cannot be looked up now"
	)
	for _, c := range []struct {
		client string
		o      iprev.Options
		want   string // the reply; with " ": the reason for the quarantine
	}{
		{"192.0.2.99", iprev.Options{}, ""},
		{"192.0.2.66", iprev.Options{}, ""},
		{fault, iprev.Options{}, ""},
		{"192.0.2.25", iprev.Options{NoName: iprev.Refuse, Unconfirmed: iprev.Refuse, Fault: iprev.Refuse}, ""},
		{"192.0.2.99", iprev.Options{NoName: iprev.Defer}, "450 4.7.25 Client host rejected: " + noName},
		{"192.0.2.99", iprev.Options{NoName: iprev.Refuse}, "550 5.7.25 Client host rejected: " + noName},
		{"192.0.2.99", iprev.Options{NoName: iprev.Quarantine}, " iprev: " + noName},
		{"192.0.2.99", iprev.Options{Unconfirmed: iprev.Refuse, Fault: iprev.Refuse}, ""},
		{"192.0.2.66", iprev.Options{Unconfirmed: iprev.Defer}, "450 4.7.25 Client host rejected: " + unconfirmed},
		{"192.0.2.66", iprev.Options{Unconfirmed: iprev.Refuse}, "550 5.7.25 Client host rejected: " + unconfirmed},
		{"192.0.2.66", iprev.Options{Unconfirmed: iprev.Quarantine}, " iprev: " + unconfirmed},
		{"192.0.2.66", iprev.Options{NoName: iprev.Refuse, Fault: iprev.Refuse}, ""},
		{fault, iprev.Options{NoName: iprev.Refuse, Unconfirmed: iprev.Refuse}, ""},
		{fault, iprev.Options{Fault: iprev.Defer}, "451 4.4.3 Client host rejected: " + noAnswer},
		{fault, iprev.Options{Fault: iprev.Refuse}, "451 4.4.3 Client host rejected: " + noAnswer},
		{fault, iprev.Options{Fault: iprev.Quarantine}, " iprev: " + noAnswer},
	} {
		inWorld(t, c.o, func(w *world) {
			w.dns.SetFailure("77.2.0.192.in-addr.arpa", mailtest.ServFail)
			if c.want != "" && c.want[0] != ' ' {
				w.talk(c.client, "C: MAIL FROM:<ann@example.net>\nS: "+c.want)
				return
			}
			w.talk(c.client, message)
			require.Equal(t, strings.TrimPrefix(c.want, " "), w.inbox.Messages()[0].Envelope.Quarantine)
		})
	}
}

// A fault may be over with the next message.
func TestFaultsAreTriedAgain(t *testing.T) {
	t.Parallel()
	inWorld(t, iprev.Options{Fault: iprev.Defer}, func(w *world) {
		w.dns.SetFailure("mail.sender.example", mailtest.Timeout)
		conn, err := w.net.Dialer("192.0.2.25").Dial("tcp", "192.0.2.1:25")
		require.NoError(t, err)
		defer conn.Close()
		c := dialogue.New(t, conn)
		c.Talk("S: 220 *\nC: HELO client.example.net\nS: 250 *\nC: MAIL FROM:<>\nS: 451 4.4.3 *")
		w.dns.SetFailure("mail.sender.example", mailtest.NoFailure)
		c.Talk("C: MAIL FROM:<>\nS: 250 *")
	})
}

func TestWhoIsLeftAlone(t *testing.T) {
	t.Parallel()
	strict := iprev.Options{NoName: iprev.Refuse, Unconfirmed: iprev.Refuse, AtConnect: true}
	strict.Skip = func(s *smtpd.Session) bool { return s.Peer.Addr.Addr() == netip.MustParseAddr("192.0.2.99") }
	inWorld(t, strict, func(w *world) {
		w.talk("192.0.2.99", message)
		require.Empty(t, w.dns.Queries())
		w.talk("192.0.2.66", "C: MAIL FROM:<>\nS* 550")
	})

	check := iprev.Check(iprev.Options{NoName: iprev.Refuse, Fault: iprev.Refuse, Resolver: &answers{}})
	for name, s := range map[string]*smtpd.Session{
		"no address": {},
		"logged in":  {Peer: mailbricks.Peer{Addr: netip.MustParseAddrPort("192.0.2.66:1"), Identity: &mailbricks.Identity{}}},
	} {
		require.NoError(t, check.Mail(t.Context(), &smtpd.Transaction{Session: s}), name)
	}
}

// Behind a trusted proxy the client is another one than it was.
func TestAnotherClient(t *testing.T) {
	t.Parallel()
	r := mailtest.MustZone(t, zone).Resolver()
	s := &smtpd.Session{Peer: mailbricks.Peer{Addr: netip.MustParseAddrPort("192.0.2.66:1")}}
	require.Equal(t, iprev.Fail, iprev.OfSession(t.Context(), r, s).Value)
	s.Peer.Addr = netip.MustParseAddrPort("192.0.2.25:1")
	_, known := iprev.Of(s)
	require.False(t, known)
	require.Equal(t, "mail.sender.example", iprev.OfSession(t.Context(), r, s).Name)
	require.Equal(t, "mail.sender.example", s.ReverseName)
}

func BenchmarkMail(b *testing.B) {
	check := iprev.Check(iprev.Options{Resolver: mailtest.MustZone(b, zone).Resolver()})
	tx := &smtpd.Transaction{Session: &smtpd.Session{Peer: mailbricks.Peer{Addr: netip.MustParseAddrPort("192.0.2.25:1")}}}
	b.ReportAllocs()
	for b.Loop() {
		if err := check.Mail(b.Context(), tx); err != nil {
			b.Fatal(err)
		}
	}
}
