package dnsbl_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/dnsbl"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// entry is what a fakeDNS has for a name.
type entry struct {
	codes []string
	txt   []string
	fails bool          // SERVFAIL
	hangs bool          // no answer until the caller gives up
	after time.Duration // until there is an answer
	panic bool
}

// fakeDNS is a Resolver. What it does not hold does not exist. A name that begins with "*." stands for all below the rest.
type fakeDNS struct {
	mu      sync.Mutex
	entries map[string]entry
	asked   map[string]int
	now     int // queries under way
	peak    int
}

// newDNS has good lists in these zones, with their test entries.
func newDNS(zones ...string) *fakeDNS {
	f := &fakeDNS{entries: map[string]entry{}, asked: map[string]int{}}
	for _, zone := range zones {
		for _, test := range []string{test4, test6, "test."} {
			f.set(test+zone, entry{codes: []string{"127.0.0.2"}})
		}
	}
	return f
}

// The test entries of RFC 5782 §5.
const (
	test4    = "2.0.0.127."
	test6    = "2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
	never4   = "1.0.0.127."
	never6   = "1.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
	client   = "203.0.113.9"
	entry4   = "9.113.0.203."
	someCode = "127.0.0.2"
)

func (f *fakeDNS) set(name string, e entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entries[name] = e
}

func (f *fakeDNS) remove(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.entries, name)
}

// list puts the client into zones.
func (f *fakeDNS) list(zones ...string) *fakeDNS {
	for _, zone := range zones {
		f.set(entry4+zone, entry{codes: []string{someCode}})
	}
	return f
}

// count says how often a name was asked for.
func (f *fakeDNS) count(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[name]
}

// total says how often anything was.
func (f *fakeDNS) total() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, times := range f.asked {
		n += times
	}
	return n
}

// most says how many queries were under way at a time since the last call, and underWay how many are.
func (f *fakeDNS) most() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	peak := f.peak
	f.peak = f.now
	return peak
}

func (f *fakeDNS) underWay() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fakeDNS) find(ctx context.Context, kind, name string) (entry, error) {
	name, absolute := strings.CutSuffix(name, ".")
	if !absolute {
		return entry{}, &net.DNSError{Err: "the test wants absolute names", Name: name}
	}
	f.mu.Lock()
	f.asked[kind+name]++
	f.now++
	f.peak = max(f.peak, f.now)
	e, ok := f.entries[kind+name]
	if !ok {
		e, ok = f.entries[name]
	}
	for rest := name; !ok && rest != ""; {
		_, rest, _ = strings.Cut(rest, ".")
		e, ok = f.entries["*."+rest]
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.now--
		f.mu.Unlock()
	}()
	if e.panic {
		panic("resolver")
	}
	var timer <-chan time.Time
	if !e.hangs {
		timer = time.After(e.after)
	}
	select {
	case <-timer:
	case <-ctx.Done():
		return entry{}, &net.DNSError{Err: "i/o timeout", Name: name, IsTimeout: true, IsTemporary: true, UnwrapErr: ctx.Err()}
	}
	switch {
	case e.fails:
		return entry{}, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
	case !ok:
		return entry{}, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return e, nil
}

func (f *fakeDNS) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if network != "ip4" {
		return nil, net.UnknownNetworkError(network)
	}
	e, err := f.find(ctx, "", host)
	var addrs []netip.Addr
	for _, code := range e.codes {
		addrs = append(addrs, netip.MustParseAddr(code))
	}
	return addrs, err
}

func (f *fakeDNS) LookupTXT(ctx context.Context, name string) ([]string, error) {
	e, err := f.find(ctx, "TXT ", name)
	return e.txt, err
}

// logs keeps what is logged.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// lines gives the lines since the last call, once all that is under way in the bubble is done.
func (l *logs) lines() []string {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.buf.Reset()
	return strings.Split(strings.TrimSuffix(l.buf.String(), "\n"), "\n")
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// newChecker makes a Checker of lists as text.
func newChecker(t testing.TB, o dnsbl.Options, lists string) *dnsbl.Checker {
	t.Helper()
	var err error
	o.Lists, err = dnsbl.ParseLists(lists)
	require.NoError(t, err)
	c, err := dnsbl.New(o)
	require.NoError(t, err)
	return c
}

// visit is a session without a server: what the check says to one recipient of a client, who then leaves.
func visit(t testing.TB, c *dnsbl.Checker, addr string) (dnsbl.Result, error) {
	t.Helper()
	v := arrive(t, c.Check(), addr)
	defer v.leave()
	return v.mail("ann@example.net", "bob@example.com")
}

// visitor is a session without a server.
type visitor struct {
	t     testing.TB
	check smtpd.Check
	s     *smtpd.Session
}

func arrive(t testing.TB, check smtpd.Check, addr string) visitor {
	t.Helper()
	s := &smtpd.Session{ID: "s", Hostname: "mail.example.com"}
	s.Peer.Addr = netip.AddrPortFrom(netip.MustParseAddr(addr), 40000)
	s.Peer.Hello = "client.example.net"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel() // as a step's context ends with the step
	require.NoError(t, check.Connect(ctx, s))
	return visitor{t, check, s}
}

// mail begins a transaction with one recipient.
func (v visitor) mail(from, to string) (dnsbl.Result, error) {
	v.t.Helper()
	tx := &smtpd.Transaction{Session: v.s, Envelope: &mailbricks.Envelope{From: from}}
	ctx, cancel := context.WithCancel(v.t.Context())
	require.NoError(v.t, v.check.Mail(ctx, tx))
	cancel()
	err := v.check.Rcpt(v.t.Context(), tx, &mailbricks.Recipient{Address: to})
	r, _ := dnsbl.From(v.s)
	return r, err
}

func (v visitor) leave() { v.check.Disconnect(context.Background(), v.s) }

// status is the status of the one list for a class.
func status(t testing.TB, c *dnsbl.Checker, class dnsbl.Class) dnsbl.ListStatus {
	t.Helper()
	for _, s := range c.Status() {
		if s.Class == class {
			return s
		}
	}
	require.FailNow(t, "no status", class)
	return dnsbl.ListStatus{}
}
