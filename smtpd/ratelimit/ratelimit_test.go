package ratelimit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble runs f with a limiter on a clock that passes only when f sleeps.
func bubble(t *testing.T, o Options, f func(t *testing.T, l *Limiter)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, err := New(o)
		require.NoError(t, err)
		f(t, l)
	})
}

func session(addr, login string) *smtpd.Session {
	s := &smtpd.Session{}
	if addr != "" {
		s.Peer.Addr = netip.AddrPortFrom(netip.MustParseAddr(addr), 4711)
	}
	if login != "" {
		s.Peer.Identity = &mailbricks.Identity{Login: login, User: login}
	}
	return s
}

func transaction(s *smtpd.Session, from string) *smtpd.Transaction {
	return &smtpd.Transaction{Session: s, Envelope: &mailbricks.Envelope{From: from}}
}

// connect, mail and rcpt ask the check about a step.
func (l *Limiter) connect(s *smtpd.Session) error { return l.Check().Connect(context.Background(), s) }

func (l *Limiter) mail(tx *smtpd.Transaction) error {
	return l.behind(smtpd.PhaseMail, tx, nil, nil, func() error { return l.Check().Mail(context.Background(), tx) })
}

// rcpt is a RCPT of which a check behind says what.
func (l *Limiter) rcpt(tx *smtpd.Transaction, to string, what error) error {
	rcpt := &mailbricks.Recipient{Address: to}
	return l.behind(smtpd.PhaseRcpt, tx, rcpt, what, func() error { return l.Check().Rcpt(context.Background(), tx, rcpt) })
}

// message is the end of a message of which the Handler says what.
func (l *Limiter) message(tx *smtpd.Transaction, what error) error {
	return l.behind(smtpd.PhaseMessage, tx, nil, what, func() error { return nil })
}

// behind does a step as the server does: the check's own function, and then what goes around the rest.
func (l *Limiter) behind(p smtpd.Phase, tx *smtpd.Transaction, rcpt *mailbricks.Recipient, what error, own func() error) error {
	if err := own(); err != nil {
		return err
	}
	around := l.Check().Around
	if around == nil {
		return what
	}
	step := &smtpd.Step{Phase: p, Session: tx.Session, Transaction: tx, Recipient: rcpt}
	return around(context.Background(), step, func(context.Context) error { return what })
}

func (l *Limiter) left(t *testing.T, rule, key string) int {
	b, ok := l.Lookup(rule, key)
	require.True(t, ok, "%s %s", rule, key)
	return b.Left
}

var errNo = &mailbricks.Reply{Code: 550, Text: "No"}

func one(r Rule) Options { return Options{Rules: []Rule{r}} }

func TestConnections(t *testing.T) {
	rule := Rule{Name: "c", What: Connections, Key: Network(24, 64), Count: 60, Per: time.Minute, Burst: 3}
	bubble(t, one(rule), func(t *testing.T, l *Limiter) {
		for range 3 {
			require.NoError(t, l.connect(session("203.0.113.9", "")))
		}
		require.EqualError(t, l.connect(session("203.0.113.9", "")), `421 4.7.0 Ratelimit "c" exceeded, please try again in 1 seconds`)
		require.Error(t, l.connect(session("203.0.113.77", "")), "the same network")
		require.Error(t, l.connect(session("::ffff:203.0.113.77", "")))
		require.NoError(t, l.connect(session("203.0.114.9", "")))
		require.NoError(t, l.connect(session("2001:db8::1", "")))
		require.NoError(t, l.connect(session("", "")), "no address, no limit")
		time.Sleep(time.Second)
		require.NoError(t, l.connect(session("203.0.113.9", "")), "what is refused is not charged")
		require.Error(t, l.connect(session("203.0.113.9", "")))
		time.Sleep(time.Hour)
		for range 3 {
			require.NoError(t, l.connect(session("203.0.113.9", "")))
		}
		require.Error(t, l.connect(session("203.0.113.9", "")), "never more than Burst")
	})
}

func TestMessagesAndRecipientsByLogin(t *testing.T) {
	o := Options{Rules: []Rule{
		{Name: "user", What: Messages, Key: Login(), Count: 2, Per: time.Hour},
		{Name: "rcpts", What: Recipients, Key: Login(), Count: 3, Per: time.Hour},
	}}
	bubble(t, o, func(t *testing.T, l *Limiter) {
		tx := transaction(session("203.0.113.9", "ann"), "ann@example.com")
		require.NoError(t, l.mail(tx))
		for range 3 {
			require.NoError(t, l.rcpt(tx, "bob@example.org", nil))
		}
		require.EqualError(t, l.rcpt(tx, "cleo@example.org", nil), `451 4.7.1 Ratelimit "rcpts" exceeded, please try again in 1200 seconds`)
		require.NoError(t, l.mail(transaction(session("198.51.100.1", "ann"), "ann@example.com")))
		require.EqualError(t, l.mail(transaction(session("192.0.2.1", "ann"), "ann@example.com")), `451 4.7.1 Ratelimit "user" exceeded, please try again in 1800 seconds`)
		require.NoError(t, l.mail(transaction(session("192.0.2.1", "eve"), "ann@example.com")))
		for range 10 {
			require.NoError(t, l.mail(transaction(session("192.0.2.1", ""), "ann@example.com")), "nobody has logged in")
		}
	})
}

func TestKeys(t *testing.T) {
	same := func(key Key, from, to string, others ...string) {
		t.Helper()
		l, err := New(one(Rule{What: Recipients, Key: key, Count: 1, Per: time.Hour}))
		require.NoError(t, err)
		try := func(from, to string) error { return l.rcpt(transaction(session("203.0.113.9", "ann"), from), to, nil) }
		require.NoError(t, try(from, to))
		for i := 0; i < len(others); i += 3 {
			err := try(others[i], others[i+1])
			require.Equal(t, others[i+2] == "same", err != nil, "%s: %s %s", key, others[i], others[i+1])
		}
	}
	t.Parallel()
	a, b := "Ann@Example.ORG", "Bob@Example.com"
	same(Address(), a, b, "", "", "same")
	same(Everything(), a, b, "", "", "same")
	same(Sender(), a, b, "ann@example.org", b, "same", "eve@example.org", b, "other", "", b, "other", "", b, "other")
	same(SenderDomain(), a, b, "x@example.org.", b, "same", "ann@example.net", b, "other")
	same(Recipient(), a, b, "x@x", "bob@example.com", "same", a, "cleo@example.com", "other")
	same(RecipientDomain(), a, b, a, "x@EXAMPLE.com", "same", a, "x@example.net", "other", a, "postmaster", "other", a, "postmaster", "other")
	same(By("first letter", func(s *smtpd.Step) string { return s.Recipient.Address[:1] }), a, b, a, "Bx", "same", a, "x", "other")

	l, err := New(one(Rule{What: Recipients, Key: Recipient(), Count: 1, Per: time.Hour}))
	require.NoError(t, err)
	tx := transaction(session("", ""), a)
	rcpt := &mailbricks.Recipient{Address: "target@example.com", Alias: b}
	require.NoError(t, l.Check().Rcpt(context.Background(), tx, rcpt))
	require.Zero(t, l.left(t, "recipients by recipient", "bob@example.com"), "what the client gave")
}

func TestAllRulesHoldOrNoneIsCharged(t *testing.T) {
	o := Options{Rules: []Rule{
		{Name: "wide", What: Connections, Key: Network(16, 48), Count: 10, Per: time.Hour},
		{Name: "narrow", What: Connections, Key: Network(32, 64), Count: 2, Per: time.Hour},
	}}
	bubble(t, o, func(t *testing.T, l *Limiter) {
		// IPv6: each /64 has its limit, and the /48 over it.
		for i := range 5 {
			s := session(fmt.Sprintf("2001:db8:0:%d::1", i), "")
			require.NoError(t, l.connect(s))
			require.NoError(t, l.connect(s))
			require.ErrorContains(t, l.connect(s), "narrow")
			require.Equal(t, 8-2*i, l.left(t, "wide", "2001:db8::"), "what narrow refuses is not charged to wide")
		}
		require.ErrorContains(t, l.connect(session("2001:db8:0:9::1", "")), "wide")
		require.Equal(t, 2, l.left(t, "narrow", "2001:db8:0:9::1"))
		require.NoError(t, l.connect(session("2001:db9::1", "")))
	})
}

func TestWeights(t *testing.T) {
	rule := Rule{Name: "octets", What: Messages, Key: Address(), Count: 100, Per: time.Hour, Weight: func(s *smtpd.Step) int {
		return int(s.Transaction.Envelope.Size)
	}}
	bubble(t, one(rule), func(t *testing.T, l *Limiter) {
		try := func(size int64) error {
			tx := transaction(session("203.0.113.9", ""), "")
			tx.Envelope.Size = size
			return l.mail(tx)
		}
		require.NoError(t, try(0))
		require.NoError(t, try(-5))
		require.NoError(t, try(70))
		require.Equal(t, 30, l.left(t, "octets", "203.0.113.9"))
		require.Error(t, try(31))
		require.NoError(t, try(30))
		require.NoError(t, try(0), "for free")
		time.Sleep(time.Hour)
		require.NoError(t, try(math.MaxInt64>>10), "as much as Burst")
		require.Equal(t, 0, l.left(t, "octets", "203.0.113.9"))
	})
}

func TestRefund(t *testing.T) {
	rules := func(refund bool) Options {
		return Options{Rules: []Rule{
			{Name: "m", What: Messages, Key: Login(), Count: 10, Per: time.Hour, Refund: refund},
			{Name: "r", What: Recipients, Key: Login(), Count: 10, Per: time.Hour, Refund: refund},
		}}
	}
	for name, test := range map[string]struct {
		do            func(l *Limiter, s *smtpd.Session)
		m, r          int // used, of those that refund
		allM, allRcpt int // used, of those that do not
	}{
		"taken": {func(l *Limiter, s *smtpd.Session) {
			tx := transaction(s, "")
			_ = l.mail(tx)
			_ = l.rcpt(tx, "a@b", nil)
			_ = l.rcpt(tx, "b@b", nil)
			_ = l.message(tx, nil)
		}, 1, 2, 1, 2},
		"a recipient refused": {func(l *Limiter, s *smtpd.Session) {
			tx := transaction(s, "")
			_ = l.mail(tx)
			_ = l.rcpt(tx, "a@b", errNo)
			_ = l.rcpt(tx, "b@b", nil)
			_ = l.rcpt(tx, "c@b", errors.New("other"))
			_ = l.message(tx, nil)
		}, 1, 1, 1, 3},
		"a recipient discarded": {func(l *Limiter, s *smtpd.Session) {
			tx := transaction(s, "")
			_ = l.mail(tx)
			_ = l.rcpt(tx, "a@b", smtpd.Discard("spam"))
			_ = l.message(tx, smtpd.Discard("spam"))
		}, 1, 1, 1, 1},
		"message refused": {func(l *Limiter, s *smtpd.Session) {
			tx := transaction(s, "")
			_ = l.mail(tx)
			_ = l.rcpt(tx, "a@b", nil)
			_ = l.message(tx, errNo)
		}, 0, 0, 1, 1},
		"message taken for some": {func(l *Limiter, s *smtpd.Session) {
			tx := transaction(s, "")
			_ = l.mail(tx)
			for _, to := range []string{"a@b", "b@b", "c@b", "c@b", "d@b", "d@b"} {
				_ = l.rcpt(tx, to, nil)
				tx.Envelope.Recipients = append(tx.Envelope.Recipients, mailbricks.Recipient{Address: to})
			}
			_ = l.rcpt(tx, "e@b", smtpd.Discard("spam")) // is none of the envelope's
			_ = l.message(tx, mailbricks.Results{nil, errNo, errNo, nil, errNo, errNo})
		}, 1, 4, 1, 7}, // a, both of c, e
		"message refused for each": {func(l *Limiter, s *smtpd.Session) {
			tx := transaction(s, "")
			_ = l.mail(tx)
			for _, to := range []string{"a@b", "b@b"} {
				_ = l.rcpt(tx, to, nil)
				tx.Envelope.Recipients = append(tx.Envelope.Recipients, mailbricks.Recipient{Address: to})
			}
			_ = l.message(tx, mailbricks.Results{errNo, errNo})
		}, 0, 0, 1, 2},
		"given up": {func(l *Limiter, s *smtpd.Session) {
			tx := transaction(s, "")
			_ = l.mail(tx)
			_ = l.rcpt(tx, "a@b", nil)
			tx = transaction(s, "") // after RSET
			_ = l.mail(tx)
			_ = l.rcpt(tx, "b@b", nil)
			_ = l.rcpt(tx, "c@b", nil)
			_ = l.message(tx, nil)
		}, 1, 2, 2, 3},
		"connection lost": {func(l *Limiter, s *smtpd.Session) {
			tx := transaction(s, "")
			_ = l.mail(tx)
			_ = l.rcpt(tx, "a@b", nil)
		}, 0, 0, 1, 1},
		"MAIL refused behind": {func(l *Limiter, s *smtpd.Session) {
			tx := transaction(s, "")
			_ = l.behind(smtpd.PhaseMail, tx, nil, errNo, func() error { return l.Check().Mail(context.Background(), tx) })
		}, 0, 0, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for _, refund := range []bool{true, false} {
				t.Run(fmt.Sprint(refund), func(t *testing.T) {
					bubble(t, rules(refund), func(t *testing.T, l *Limiter) {
						s := session("203.0.113.9", "ann")
						for range 2 { // the state of one transaction does not touch the next session
							test.do(l, s)
							if d := l.Check().Disconnect; d != nil {
								d(context.Background(), s)
							}
							m, r := test.m, test.r
							if !refund {
								m, r = test.allM, test.allRcpt
							}
							require.Equal(t, 10-m, l.left(t, "m", "ann"))
							require.Equal(t, 10-r, l.left(t, "r", "ann"))
							require.Equal(t, m+r > 0, l.Reset("", "ann") && m+r > 0)
							s = session("203.0.113.9", "ann")
						}
					})
				})
			}
		})
	}
}

func TestRefundNeverGivesMoreThanWasTaken(t *testing.T) {
	rule := Rule{Name: "m", What: Messages, Key: Login(), Count: 3, Per: time.Hour, Refund: true}
	bubble(t, one(rule), func(t *testing.T, l *Limiter) {
		s := session("", "ann")
		for range 10 {
			tx := transaction(s, "")
			require.NoError(t, l.mail(tx))
			require.Error(t, l.message(tx, errNo))
			require.Error(t, l.message(tx, errNo), "twice")
		}
		for range 3 {
			tx := transaction(s, "")
			require.NoError(t, l.mail(tx))
			require.NoError(t, l.message(tx, nil))
		}
		require.Error(t, l.mail(transaction(s, "")))
		l.Check().Disconnect(context.Background(), s)
		require.Error(t, l.mail(transaction(s, "")))
	})
}

func TestStatusLookupAndReset(t *testing.T) {
	o := Options{Rules: []Rule{
		{Name: "net", What: Connections, Key: Network(24, 64), Count: 1, Per: time.Hour},
		{Name: "user", What: Messages, Key: Login(), Count: 2, Per: time.Hour},
	}}
	bubble(t, o, func(t *testing.T, l *Limiter) {
		require.Empty(t, l.Status())
		require.NoError(t, l.connect(session("203.0.113.9", "")))
		require.NoError(t, l.connect(session("2001:db8::1", "")))
		require.NoError(t, l.mail(transaction(session("", "ann"), "")))
		require.NoError(t, l.mail(transaction(session("", "ann"), "")))
		require.NoError(t, l.mail(transaction(session("", "eve"), "")))
		time.Sleep(time.Minute)
		require.Equal(t, []Bucket{
			{Rule: "net", Key: "2001:db8::/64", Wait: 59 * time.Minute},
			{Rule: "net", Key: "203.0.113.0/24", Wait: 59 * time.Minute},
			{Rule: "user", Key: "ann", Wait: 29 * time.Minute},
		}, l.Status())
		require.Equal(t, 4, l.Len())
		b, ok := l.Lookup("user", "eve")
		require.True(t, ok)
		require.Equal(t, Bucket{Rule: "user", Key: "eve", Left: 1}, b)
		_, ok = l.Lookup("user", "")
		require.False(t, ok)
		_, ok = l.Lookup("none", "eve")
		require.False(t, ok)
		_, ok = l.Lookup("net", "no address")
		require.False(t, ok)
		require.Equal(t, 1, l.left(t, "net", "192.0.2.1"), "never used")

		require.False(t, l.Reset("user", "nobody"))
		require.False(t, l.Reset("none", "ann"))
		require.True(t, l.Reset("net", "203.0.113.0/24"))
		require.True(t, l.Reset("net", "2001:db8::77"))
		require.True(t, l.Reset("", "ann"))
		require.Empty(t, l.Status())
		require.NoError(t, l.connect(session("203.0.113.9", "")))
	})
}

func TestSkipAndOnLimit(t *testing.T) {
	var told []string
	o := one(Rule{Name: "c", What: Connections, Key: Address(), Count: 1, Per: time.Minute})
	o.Skip = func(s *smtpd.Session) bool { return s.Peer.Addr.Addr().IsPrivate() }
	o.OnLimit = func(s *smtpd.Step, over Bucket) { told = append(told, fmt.Sprintf("%v %+v", s.Phase, over)) }
	bubble(t, o, func(t *testing.T, l *Limiter) {
		for range 5 {
			require.NoError(t, l.connect(session("10.0.0.1", "")))
		}
		require.NoError(t, l.connect(session("203.0.113.9", "")))
		require.Error(t, l.connect(session("203.0.113.9", "")))
		require.Equal(t, []string{"connect {Rule:c Key:203.0.113.9 Left:0 Wait:1m0s}"}, told)
	})
}

func TestRulesThatMakeNoSense(t *testing.T) {
	t.Parallel()
	ok := Rule{Name: "ok", What: Messages, Key: Address(), Count: 1, Per: time.Second}
	for name, change := range map[string]func(*Rule){
		"no key":             func(r *Rule) { r.Key = Key{} },
		"counts nothing":     func(r *Rule) { r.What = 7 },
		"no count":           func(r *Rule) { r.Count = 0 },
		"negative count":     func(r *Rule) { r.Count = -1 },
		"negative burst":     func(r *Rule) { r.Burst = -1 },
		"no time":            func(r *Rule) { r.Per = 0 },
		"too fast":           func(r *Rule) { r.Count = 2e9 },
		"too long":           func(r *Rule) { r.Per, r.Burst = math.MaxInt64, 2 },
		"key known later":    func(r *Rule) { r.Key = Recipient() },
		"login at a connect": func(r *Rule) { r.What, r.Key = Connections, Login() },
	} {
		r := ok
		change(&r)
		_, err := New(one(r))
		require.ErrorIs(t, err, ErrRule, name)
	}
	_, err := New(Options{Rules: []Rule{ok, ok}})
	require.ErrorIs(t, err, ErrRule, "two of a name")
	l, err := New(one(ok))
	require.NoError(t, err)
	require.Equal(t, 1, l.Rules()[0].Burst)
}

func TestRulesOfOurOwn(t *testing.T) {
	t.Parallel()
	l, err := New(Options{})
	require.NoError(t, err)
	require.Len(t, l.Rules(), len(Inbound()))
	for _, r := range Inbound() {
		require.Nil(t, r.Weight)
	}
	l, err = New(Options{Rules: append(Inbound(), Outbound()...)})
	require.NoError(t, err)
	require.NotNil(t, l.Check().Around)
	require.Equal(t, "connections by network /32 /64", l.Rules()[0].Name)
	require.Equal(t, "What(9)", What(9).String())
	text, err := json.Marshal(Recipients)
	require.NoError(t, err)
	require.Equal(t, `"recipients"`, string(text))
}
