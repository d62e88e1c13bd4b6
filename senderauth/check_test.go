package senderauth_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/smtp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/resolver"
	"github.com/mailbricks/mailbricks/senderauth"
	"github.com/mailbricks/mailbricks/senderauth/authres"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/iprev"
	"github.com/mailbricks/mailbricks/spf"
	"github.com/stretchr/testify/require"
)

func enforce(o *senderauth.Options, _ *smtpd.Server) { o.Policy = senderauth.Enforce() }

func spfFail(a senderauth.Action) func(*senderauth.Options, *smtpd.Server) {
	return func(o *senderauth.Options, _ *smtpd.Server) { o.Policy = strictly(a) }
}

// strictly enforces DMARC and does this with what SPF fails.
func strictly(spfFail senderauth.Action) senderauth.Policy {
	p := senderauth.Enforce()
	p.SPFFail = spfFail
	return p
}

const reject, none = "v=DMARC1; p=reject", "v=DMARC1; p=none"

func TestEverythingPasses(t *testing.T) {
	t.Parallel()
	inWorld(t, reject, enforce, func(w *world) {
		require.Empty(t, w.send(honest(signed(t, letter, "rsa", "ed"))))
		got, ours := w.only()
		require.Len(t, ours, 1)
		f, err := authres.Parse(ours[0])
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(got.Raw), "Authentication-Results: mx.example.com;\r\n\tiprev=pass"), "in front of all fields")
		require.Contains(t, string(got.Raw), "\r\nReceived: from mail.sender.example (mail.sender.example [192.0.2.25])")

		var words []string
		for _, r := range f.Results {
			words = append(words, r.Method+"="+r.Value)
			require.Empty(t, r.Reason)
			if r.Method == "dkim" {
				b, _ := r.Get("header", "b")
				require.GreaterOrEqual(t, len(b), 8)
				require.Contains(t, strings.ReplaceAll(string(got.Raw), "\r\n\t", ""), "b="+b)
			}
		}
		require.Equal(t, "iprev=pass spf=pass dkim=pass dkim=pass arc=none dmarc=pass", strings.Join(words, " "))
		get := func(i int, ptype, name string) string { v, _ := f.Results[i].Get(ptype, name); return v }
		require.Equal(t, "192.0.2.25", get(0, "policy", "iprev"))
		require.Equal(t, "sender.example", get(1, "smtp", "mailfrom"))
		require.Equal(t, "sender.example rsa rsa-sha256", get(2, "header", "d")+" "+get(2, "header", "s")+" "+get(2, "header", "a"))
		require.Equal(t, "sender.example ed ed25519-sha256", get(3, "header", "d")+" "+get(3, "header", "s")+" "+get(3, "header", "a"))
		require.NotEqual(t, get(2, "header", "b"), get(3, "header", "b"))
		require.Equal(t, "sender.example reject", get(5, "header", "from")+" "+get(5, "policy", "dmarc"))
		require.Empty(t, got.Envelope.Quarantine)
	})
}

func TestIPv6AndTheNullReversePath(t *testing.T) {
	t.Parallel()
	inWorld(t, reject, enforce, func(w *world) {
		require.Empty(t, w.send(mail{ip: "2001:db8::25", helo: "mail.sender.example", raw: letter}))
		_, ours := w.only()
		require.Contains(t, ours[0], `iprev=pass (mail.sender.example) policy.iprev="2001:db8::25"`)
		require.Contains(t, ours[0], "spf=pass smtp.helo=mail.sender.example")
		require.Contains(t, ours[0], "dkim=none;")
		require.Contains(t, ours[0], "dmarc=pass header.from=sender.example", "HELO stands in for the null reverse-path: RFC 9989 §3.2.4")
	})
}

func TestDMARCPolicies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		policy     string
		set        func(*senderauth.Options, *smtpd.Server)
		reply      string
		quarantine string
		field      string
	}{
		{reject, enforce, "550 5.7.1 Email rejected per DMARC policy for sender.example", "", ""},
		{reject, nil, "", "", "dmarc=fail header.from=sender.example policy.dmarc=reject"},
		{"v=DMARC1; p=quarantine", enforce, "", "DMARC policy for sender.example", "dmarc=fail header.from=sender.example policy.dmarc=quarantine"},
		{"v=DMARC1; p=quarantine", nil, "", "", "policy.dmarc=quarantine"},
		{"v=DMARC1; p=reject; t=y", enforce, "", "DMARC policy for sender.example", "policy.dmarc=quarantine"},
		{none, enforce, "", "", "policy.dmarc=none"},
		{"v=spf1", enforce, "", "", "dmarc=none header.from=sender.example"},
		{"v=DMARC1; p=?", enforce, "", "", "dmarc=permerror reason="},
	} {
		inWorld(t, c.policy, c.set, func(w *world) {
			require.Equal(t, c.reply, w.send(forged(letter)), c.policy)
			if c.reply != "" {
				require.Empty(t, w.inbox.Messages())
				return
			}
			got, ours := w.only()
			require.Equal(t, c.quarantine, got.Envelope.Quarantine)
			require.Len(t, ours, 1)
			require.Contains(t, ours[0], c.field)
			require.Contains(t, ours[0], "spf=fail smtp.mailfrom=sender.example")
			require.Contains(t, ours[0], "iprev=permerror policy.iprev=198.51.100.7")
		})
	}
}

// The resolvers of this project tell names that do not exist from those without some record, as np needs it.
var (
	_ dmarc.ExactResolver = (*resolver.Resolver)(nil)
	_ dmarc.ExactResolver = (*mailtest.Resolver)(nil)
	_ senderauth.Resolver = (*resolver.Resolver)(nil)
	_ senderauth.Resolver = (*net.Resolver)(nil)
)

func TestPolicyForNamesThatDoNotExist(t *testing.T) {
	t.Parallel()
	o := senderauth.Options{Resolver: zones(t, "v=DMARC1; p=none; np=reject").Resolver(), Policy: senderauth.Enforce()}
	for name, refused := range map[string]bool{"mail": false, "_domainkey": false /* an empty non-terminal */, "ghost": true} {
		_, _, err := run(t, o, forged(strings.Replace(letter, "sender.example", name+".sender.example", 1)))
		require.Equal(t, refused, err != nil, name)
	}
}

func TestSPFFail(t *testing.T) {
	t.Parallel()
	const refused = "550 5.7.23 SPF: sender.example does not permit 198.51.100.7 to send its mail\n5.7.23 sender.example explains: 198.51.100.7 is not ours"
	for _, c := range []struct {
		name       string
		policy     string
		set        func(*senderauth.Options, *smtpd.Server)
		mail       mail
		reply      string
		quarantine string
	}{
		{"tag", none, spfFail(senderauth.Tag), forged(letter), "", ""},
		{"junk", none, spfFail(senderauth.Junk), forged(letter), "", "SPF fails for sender.example"},
		{"reject", none, spfFail(senderauth.Reject), forged(letter), refused, ""},
		{"without a DMARC policy", "", spfFail(senderauth.Reject), forged(letter), refused, ""},
		{"DMARC passes by DKIM (RFC 9989 §7.1)", none, spfFail(senderauth.Reject), forged(signed(t, letter, "ed")), "", ""},
		{"DMARC's quarantine first, then SPF's rejection", "v=DMARC1; p=quarantine", spfFail(senderauth.Reject), forged(letter), refused, ""},
		{"DMARC's quarantine gives the reason", "v=DMARC1; p=quarantine", spfFail(senderauth.Junk), forged(letter), "", "DMARC policy for sender.example"},
		{"softfail and the like are no fail", none, spfFail(senderauth.Reject), mail{ip: "198.51.100.7", helo: "x.example.net", from: "x@nothing.example", raw: letter}, "", ""},
		{"the null reverse-path", none, spfFail(senderauth.Reject), mail{ip: "198.51.100.7", helo: "mail.sender.example", raw: letter}, "550 5.7.23 SPF: mail.sender.example does not permit 198.51.100.7 to send its mail", ""},
		{"the EHLO name only when asked for", none, spfFail(senderauth.Reject), mail{ip: "192.0.2.99", helo: "mail.sender.example", from: "x@list.example", raw: letter}, "", ""},
		{"the EHLO name", none, func(o *senderauth.Options, _ *smtpd.Server) { o.Policy.SPFFail, o.CheckHelo = senderauth.Reject, true },
			mail{ip: "192.0.2.99", helo: "mail.sender.example", from: "x@list.example", raw: letter}, "550 5.7.23 SPF: mail.sender.example does not permit 192.0.2.99 to send its mail", ""},
	} {
		inWorld(t, c.policy, c.set, func(w *world) {
			require.Equal(t, c.reply, w.send(c.mail), c.name)
			if c.reply == "" {
				got, _ := w.only()
				require.Equal(t, c.quarantine, got.Envelope.Quarantine, c.name)
			} else {
				require.Empty(t, w.inbox.Messages(), c.name)
			}
		})
	}
}

func TestTheEHLONameIsCheckedToo(t *testing.T) {
	t.Parallel()
	inWorld(t, none, func(o *senderauth.Options, _ *smtpd.Server) { o.CheckHelo = true }, func(w *world) {
		require.Empty(t, w.send(honest(letter)))
		_, ours := w.only()
		require.Contains(t, ours[0], "spf=pass smtp.mailfrom=sender.example;")
		require.Contains(t, ours[0], "spf=pass smtp.helo=mail.sender.example;")
	})
}

// A DNS that does not answer never refuses a message for good.
func TestTemporaryErrors(t *testing.T) {
	t.Parallel()
	strict := func(o *senderauth.Options, _ *smtpd.Server) { o.Policy = strictly(senderauth.Reject) }
	refuseDKIM := func(o *senderauth.Options, _ *smtpd.Server) {
		o.Policy = senderauth.Policy{DKIMNone: senderauth.Reject, DKIMFail: senderauth.Reject}
	}
	broken := strings.Replace(signed(t, letter, "ed"), "Hello Bob", "Hullo", 1)
	for _, c := range []struct {
		name       string
		set        func(*senderauth.Options, *smtpd.Server)
		fail       []string // names and types
		mail       mail
		reply      string
		quarantine string
		field      string
	}{
		{"the policy", strict, []string{"_dmarc.sender.example TXT"}, honest(letter), "", "", "dmarc=temperror"},
		{"the policy, SPF fails", strict, []string{"_dmarc.sender.example TXT"}, forged(letter), "", "SPF fails for sender.example", "dmarc=temperror"},
		{"the policy, deferred", func(o *senderauth.Options, _ *smtpd.Server) { o.Policy.DMARCTempError = senderauth.Defer }, []string{"_dmarc.sender.example TXT"}, honest(letter),
			"451 4.7.0 The DMARC policy of the author's domain cannot be checked now, please try again later", "", ""},
		{"the policy, no signature", refuseDKIM, []string{"_dmarc.sender.example TXT"}, honest(letter), "",
			"no DKIM signature", "dmarc=temperror"},
		{"the policy, a broken signature", refuseDKIM, []string{"_dmarc.sender.example TXT"}, honest(broken), "", "DKIM fails",
			"dmarc=temperror"},
		{"SPF", strict, []string{"sender.example TXT"}, forged(letter), "", "", "dmarc=temperror"},
		{"SPF, but DKIM passes", strict, []string{"sender.example TXT"}, forged(signed(t, letter, "ed")), "", "", "dmarc=pass"},
		{"SPF of another domain", strict, []string{"list.example TXT"}, mail{ip: "192.0.2.99", helo: "x.example", from: "x@list.example", raw: letter},
			"550 5.7.1 Email rejected per DMARC policy for sender.example", "", ""},
		{"a key", strict, []string{"ed._domainkey.sender.example TXT"}, forged(signed(t, letter, "ed")), "", "SPF fails for sender.example", "dkim=temperror"},
		{"PTR", strict, []string{"25.2.0.192.in-addr.arpa PTR"}, honest(letter), "", "", "iprev=temperror policy.iprev=192.0.2.25"},
		{"the name's address", strict, []string{"mail.sender.example A"}, honest(letter), "", "", "iprev=temperror"},
		{"everything", strict, []string{"sender.example TXT", "25.2.0.192.in-addr.arpa PTR", "_dmarc.sender.example TXT", "mail.sender.example A"}, honest(letter), "", "", "spf=temperror"},
	} {
		inWorld(t, reject, c.set, func(w *world) {
			for _, f := range c.fail {
				name, typ, _ := strings.Cut(f, " ")
				w.dns.SetFailure(name, mailtest.ServFail, typ)
			}
			require.Equal(t, c.reply, w.send(c.mail), c.name)
			if c.reply == "" {
				got, ours := w.only()
				require.Equal(t, c.quarantine, got.Envelope.Quarantine, c.name)
				require.Contains(t, ours[0], c.field, c.name)
			}
		})
	}
}

func TestForgedFieldsGo(t *testing.T) {
	t.Parallel()
	foreign := []string{
		"Authentication-Results: other.example; dkim=pass header.d=other.example\r\n",
		"X-Authentication-Results: mx.example.com; spf=pass\r\n",
		"ARC-Authentication-Results: i=1; mx.example.com; spf=pass\r\n",
	}
	ours := []string{
		"Authentication-Results: mx.example.com; spf=pass smtp.mailfrom=paypal.example\r\n",
		"AUTHENTICATION-RESULTS: MX.Example.Com 1;\r\n\tdkim=pass header.d=paypal.example\r\n",
		"Authentication-Results : \"mx.example.com\" (hi); dmarc=pass\r\n",
		"Authentication-Results:\r\n (c) mx.example.com.; dmarc=pass\r\n",
		"Authentication-Results\t: mx.example.com\r\n",
		"Authentication-Results\r\n : mx.example.com; dmarc=pass\r\n",
		"Authentication-Results: dkim=pass header.d=paypal.example\r\n",
		"Authentication-Results: other.example 7; future\r\n",
	}
	raw := ours[0] + foreign[0] + strings.Join(ours[1:], "") + strings.Join(foreign[1:], "") + letter
	inWorld(t, none, nil, func(w *world) {
		require.Empty(t, w.send(honest(raw)))
		got, fields := w.only()
		require.Len(t, fields, 1)
		require.NotContains(t, string(got.Raw), "paypal")
		rest := string(got.Raw)[strings.Index(string(got.Raw), foreign[0]):]
		require.Equal(t, strings.Join(foreign, "")+letter, rest)
	})
	// From a user who has logged in they go as well, and nothing is added.
	inWorld(t, reject, func(o *senderauth.Options, s *smtpd.Server) {
		o.Policy, s.Auth, s.AllowInsecureAuth = strictly(senderauth.Reject), users{}, true
	}, func(w *world) {
		m := forged(raw)
		m.login = true
		require.Empty(t, w.send(m))
		got, fields := w.only()
		require.Empty(t, fields)
		require.NotContains(t, string(got.Raw), "paypal")
		require.Contains(t, string(got.Raw), strings.Join(foreign, "")+letter)
		require.NotContains(t, w.dns.Queries(), "sender.example. TXT")
	})
	// Sessions that are trusted are let be.
	inWorld(t, reject, func(o *senderauth.Options, _ *smtpd.Server) {
		o.Policy = strictly(senderauth.Reject)
		o.Skip = func(s *smtpd.Session) bool {
			return netip.MustParsePrefix("198.51.100.0/24").Contains(s.Peer.Addr.Addr())
		}
	}, func(w *world) {
		require.Empty(t, w.send(forged(raw)))
		got, _ := w.only()
		require.Contains(t, string(got.Raw), raw)
		require.Empty(t, w.dns.Queries())
	})
}

// A message that begins with a fold must not go on in our field.
func TestAFoldAtTheHeadOfTheMessage(t *testing.T) {
	t.Parallel()
	msg, _, err := run(t, senderauth.Options{Resolver: zones(t, none).Resolver()}, honest(" dkim=pass header.d=paypal.example;\r\n\tx=y\r\n"+letter))
	require.NoError(t, err)
	require.NotContains(t, string(msg.Header()), "paypal")
	require.Len(t, msg.Values("Authentication-Results"), 1)
}

// users lets anybody log in.
type users struct{}

func (users) Mechanisms(mailbricks.Peer) []string { return []string{"PLAIN"} }

func (u users) Start(context.Context, string, mailbricks.Peer) (mailbricks.Exchange, error) {
	return u, nil
}

func (users) Next(context.Context, []byte) ([]byte, *mailbricks.Identity, error) {
	return nil, &mailbricks.Identity{Login: "ann@example.com", User: "ann@example.com"}, nil
}

// A signature may cover a field that is removed.
func TestSignaturesAreCheckedBeforeFieldsGo(t *testing.T) {
	t.Parallel()
	raw := "Authentication-Results: mx.example.com; spf=pass\r\n" + letter
	field, err := (&dkim.Signer{Domain: "sender.example", Selector: "ed", Key: keys().ed, Now: longAgo, Headers: []string{"From", "Authentication-Results"}}).Sign(strings.NewReader(raw))
	require.NoError(t, err)
	inWorld(t, reject, enforce, func(w *world) {
		require.Empty(t, w.send(forged(field+raw)))
		_, ours := w.only()
		require.Len(t, ours, 1)
		require.Contains(t, ours[0], "dkim=pass")
	})
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	broken := strings.Replace(signed(t, letter, "rsa"), "Hello Bob", "Hullo Bob", 1)
	many := strings.Repeat(strings.SplitAfter(signed(t, letter, "ed"), "=\r\n")[0], 12) + letter
	limited := signed(t, letter, "ed")
	for _, c := range []struct {
		name, raw string
		want      []string
		count     int
		dmarc     string
	}{
		{"none", letter, []string{"dkim=none;"}, 1, "dmarc=fail"},
		{"one of two is broken", signed(t, broken, "ed"), []string{"dkim=pass header.d=sender.example header.s=ed", `dkim=fail reason="body hash did not verify`}, 2, "dmarc=pass"},
		{"malformed", "DKIM-Signature: nonsense\r\n" + letter, []string{"dkim=permerror reason="}, 1, "dmarc=fail"},
		{"no key", strings.Replace(limited, "s=ed", "s=xx", 1), []string{"dkim=permerror reason=", "header.s=xx"}, 1, "dmarc=fail"},
		{"too many", many, []string{"dkim=neutral reason="}, 11, "dmarc="},
	} {
		inWorld(t, none, nil, func(w *world) {
			require.Empty(t, w.send(forged(c.raw)), c.name)
			_, ours := w.only()
			for _, want := range append(c.want, c.dmarc) {
				require.Contains(t, ours[0], want, c.name)
			}
			require.Equal(t, c.count, strings.Count(ours[0], "dkim="), c.name)
		})
	}
}

// RFC 6376 §8.2: what stands behind l= is not the signer's.
func TestPartlySignedBodies(t *testing.T) {
	t.Parallel()
	verdict := func(accept bool, extra string) (r *senderauth.Result) {
		raw := withLength(t)
		o := senderauth.Options{Resolver: zones(t, reject).Resolver(), AcceptPartialBody: accept}
		o.OnResult = func(_ context.Context, _ *smtpd.Transaction, _ *mailbricks.Message, got *senderauth.Result) { r = got }
		run(t, o, forged(raw+extra))
		return r
	}
	r := verdict(false, "")
	require.Equal(t, []any{dkim.Pass, dmarc.Pass}, []any{r.DKIM[0].Status, r.DMARC.Result})
	r = verdict(false, "Buy this!\r\n")
	require.Equal(t, []any{dkim.Policy, dmarc.Fail}, []any{r.DKIM[0].Status, r.DMARC.Result})
	require.Contains(t, r.Field("x").String(), `dkim=policy reason="part of the body is not signed"`)
	r = verdict(true, "Buy this!\r\n")
	require.Equal(t, []any{dkim.Pass, dmarc.Pass}, []any{r.DKIM[0].Status, r.DMARC.Result})
}

// run gives one message to the check without a server.
func run(t *testing.T, o senderauth.Options, m mail) (*mailbricks.Message, *mailbricks.Envelope, error) {
	t.Helper()
	check := senderauth.Check(o)
	addr, _ := netip.ParseAddr(m.ip)
	s := &smtpd.Session{Hostname: "mx.example.com", Peer: mailbricks.Peer{Addr: netip.AddrPortFrom(addr, 4000), Hello: m.helo}}
	tx := &smtpd.Transaction{Session: s, Envelope: &mailbricks.Envelope{From: m.from, Peer: s.Peer}}
	require.NoError(t, check.Mail(t.Context(), tx))
	msg := mailbricks.NewMessage([]byte(m.raw))
	t.Cleanup(func() { msg.Close() })
	return msg, tx.Envelope, check.Message(t.Context(), tx, msg)
}

func TestSeveralAuthorsAreFailedByTheStrictest(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"From: x@list.example\r\n" + letter,
		strings.Replace(letter, "Ann <ann@", "x@list.example, Ann <ann@", 1),
		strings.Replace(letter, "Ann <ann@", "<x@list.example> <ann@", 1),
	} {
		_, _, err := run(t, senderauth.Options{Resolver: zones(t, reject).Resolver(), Policy: senderauth.Enforce()}, mail{ip: "192.0.2.99", helo: "mx.list.example", from: "x@list.example", raw: raw})
		var reply *mailbricks.Reply
		require.ErrorAs(t, err, &reply)
		require.Equal(t, "Email rejected per DMARC policy for sender.example", reply.Text)
	}
}

// Names that clients, messages and the DNS give cannot break out of the field.
func TestNothingIsInjected(t *testing.T) {
	t.Parallel()
	evil := "x\r\nX-Evil: 1\r\n\r\n\"; dkim=pass header.d=paypal.example; x=\"(\x00\xff"
	for _, m := range []mail{
		{ip: "192.0.2.99", helo: evil, raw: letter},
		{ip: "192.0.2.99", helo: "x.example", from: evil + "@" + evil, raw: letter},
		{ip: "192.0.2.99", helo: "x.example", from: "a@list.example", raw: "From: " + `"; dkim=pass (x@y;dmarc=pass.example` + "\r\n\r\n"},
		{ip: "192.0.2.99", helo: "x.example", raw: "DKIM-Signature: v=1; a=rsa\"; d=evil\"; dkim=pass; s=(; b=;,,; bh=x; h=from\r\n" + letter},
		{helo: "x.example", from: "a@list.example", raw: letter},
		{ip: "192.0.2.99", helo: "x.example", from: "a@list.example", raw: ""},
	} {
		msg, _, err := run(t, senderauth.Options{Resolver: evilNames{zones(t, none).Resolver(), evil}}, m)
		require.NoError(t, err)
		require.Equal(t, 1, len(msg.Values("Authentication-Results")))
		require.Empty(t, msg.Values("X-Evil"))
		f, err := authres.Parse(msg.Get("Authentication-Results"))
		require.NoError(t, err)
		for _, r := range f.Results {
			require.NotEqual(t, "dkim pass", r.Method+" "+r.Value)
			for _, p := range r.Props {
				require.NotContains(t, p.Value, "paypal")
			}
		}
	}
}

// evilNames has a PTR record that leads back to the client, with a name that is none.
type evilNames struct {
	senderauth.Resolver
	name string
}

func (e evilNames) LookupAddr(context.Context, string) ([]string, error) {
	return []string{e.name, "x;y.", e.name + "."}, nil
}

func (e evilNames) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("192.0.2.99")}, nil
}

func TestIPRev(t *testing.T) {
	t.Parallel()
	for ip, want := range map[string]string{
		"192.0.2.25":   "iprev=pass (mail.sender.example) policy.iprev=192.0.2.25",
		"192.0.2.66":   "iprev=fail policy.iprev=192.0.2.66", // somebody else's name
		"192.0.2.99":   "iprev=permerror policy.iprev=192.0.2.99",
		"2001:db8::25": `iprev=pass (mail.sender.example) policy.iprev="2001:db8::25"`,
		"":             "mx.example.com;\r\n\tspf=none",
	} {
		msg, _, err := run(t, senderauth.Options{Resolver: zones(t, none).Resolver()}, mail{ip: ip, helo: "x.example", raw: letter})
		require.NoError(t, err)
		require.Contains(t, string(msg.Header()), want)
	}
	// Of many names ten are looked up.
	r := &manyNames{Resolver: zones(t, none).Resolver()}
	msg, _, err := run(t, senderauth.Options{Resolver: r}, mail{ip: "192.0.2.25", helo: "x.example", raw: letter})
	require.NoError(t, err)
	require.Contains(t, string(msg.Header()), "iprev=fail")
	require.Equal(t, iprev.MaxNames, r.asked)
}

type manyNames struct {
	senderauth.Resolver
	asked int
}

func (m *manyNames) LookupAddr(context.Context, string) ([]string, error) {
	var names []string
	for i := range 30 {
		names = append(names, fmt.Sprintf("n%d.example.", i))
	}
	return append(names, "mail.sender.example."), nil
}

func (m *manyNames) LookupNetIP(_ context.Context, _, name string) ([]netip.Addr, error) {
	m.asked++
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// slow answers everything after three seconds.
type slow struct{ senderauth.Resolver }

func (s slow) LookupTXT(ctx context.Context, name string) ([]string, error) {
	time.Sleep(3 * time.Second)
	return s.Resolver.LookupTXT(ctx, name)
}

func (s slow) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	time.Sleep(3 * time.Second)
	return s.Resolver.LookupAddr(ctx, addr)
}

func TestEarlyLookupsRunSideBySide(t *testing.T) {
	t.Parallel()
	resolver := zones(t, none).Resolver()
	synctest.Test(t, func(t *testing.T) {
		check := senderauth.Check(senderauth.Options{Resolver: slow{resolver}, CheckHelo: true})
		s := &smtpd.Session{Peer: mailbricks.Peer{Addr: netip.MustParseAddrPort("192.0.2.25:4000"), Hello: "mail.sender.example"}}
		start := time.Now()
		require.NoError(t, check.Mail(t.Context(), &smtpd.Transaction{Session: s, Envelope: &mailbricks.Envelope{From: "ann@sender.example"}}))
		require.InDelta(t, 3, time.Since(start).Seconds(), 0.1)
		require.Equal(t, "mail.sender.example", s.ReverseName)
	})
}

// Keys for DKIM, the key for ARC and the records of DMARC, here four up the tree, do not wait for each other.
func TestLookupsForTheMessageRunSideBySide(t *testing.T) {
	t.Parallel()
	deep := strings.Replace(letter, "ann@sender.example", "ann@a.b.sender.example", 1)
	for raw, rounds := range map[string]int{
		signed(t, sealed(t, letter, "list.example", arc.None, sawPass), "ed", "rsa"): 1,
		signed(t, sealed(t, deep, "list.example", arc.None, sawPass), "ed", "rsa"):   4,
	} {
		resolver := zones(t, none).Resolver()
		synctest.Test(t, func(t *testing.T) {
			check := senderauth.Check(senderauth.Options{Resolver: slow{resolver}})
			s := &smtpd.Session{Hostname: "mx.example.com", Peer: mailbricks.Peer{Addr: netip.MustParseAddrPort("192.0.2.25:4000"), Hello: "mail.sender.example"}}
			tx := &smtpd.Transaction{Session: s, Envelope: &mailbricks.Envelope{From: "ann@sender.example"}}
			require.NoError(t, check.Mail(t.Context(), tx))
			msg := mailbricks.NewMessage([]byte(raw))
			defer msg.Close()
			start := time.Now()
			require.NoError(t, check.Message(t.Context(), tx, msg))
			require.InDelta(t, rounds*3, time.Since(start).Seconds(), 0.1)
			r, _ := tx.Value(senderauth.ResultKey).(*senderauth.Result)
			require.Equal(t, []any{dkim.Pass, arc.Pass, dmarc.Pass}, []any{r.DKIM[0].Status, r.ARC.Status, r.DMARC.Result})
		})
	}
}

// hung never answers, but heeds its context.
type hung struct{}

func (hung) LookupTXT(ctx context.Context, _ string) ([]string, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (hung) LookupMX(ctx context.Context, _ string) ([]*net.MX, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (hung) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (hung) LookupAddr(ctx context.Context, _ string) ([]string, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestADeadDNSCostsLimitedTime(t *testing.T) {
	t.Parallel()
	raw := signed(t, letter, "ed")
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, env, err := run(t, senderauth.Options{Resolver: hung{}, Policy: strictly(senderauth.Reject)}, forged(raw))
		require.NoError(t, err)
		require.Empty(t, env.Quarantine)
		require.Equal(t, senderauth.DefaultMaxTime, time.Since(start))
	})
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		o := senderauth.Options{Resolver: hung{}, CheckHelo: true, MaxTime: 6 * time.Second, OnResult: func(_ context.Context, _ *smtpd.Transaction, _ *mailbricks.Message, r *senderauth.Result) {
			require.True(t, r.Undecided())
			require.Equal(t, []any{"temperror", spf.TempError, spf.TempError, dkim.TempError, dmarc.TempError},
				[]any{r.IPRev.Value, r.SPF.Result, r.Helo.Result, r.DKIM[0].Status, r.DMARC.Result})
		}}
		_, _, err := run(t, o, forged(raw))
		require.NoError(t, err)
		require.Equal(t, 6*time.Second, time.Since(start))
	})
}

// iprev is looked up once a session, the rest for each message; later checks and the Handler get the results.
func TestResultsForLaterChecks(t *testing.T) {
	t.Parallel()
	var seen []string
	note := func(where string, ctx context.Context) {
		r, ok := senderauth.From(ctx)
		if !ok {
			seen = append(seen, where+" nothing")
			return
		}
		seen = append(seen, fmt.Sprintf("%s %s %s %d %s", where, r.IPRev.Value, r.SPF.Result, len(r.DKIM), r.DMARC.Result))
	}
	inWorld(t, reject, func(_ *senderauth.Options, s *smtpd.Server) {
		inbox := s.Handler
		s.Checks = []smtpd.Check{{
			Hello: func(ctx context.Context, _ *smtpd.Session, _ string) error { note("hello", ctx); return nil },
			Rcpt: func(ctx context.Context, _ *smtpd.Transaction, _ *mailbricks.Recipient) error {
				note("rcpt", ctx)
				return nil
			},
		}}
		s.Handler = mailbricks.HandlerFunc(func(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
			note("handler", ctx)
			return inbox.Handle(ctx, env, msg)
		})
	}, func(w *world) {
		conn, err := w.net.Dialer("192.0.2.25").Dial("tcp", "192.0.2.1:25")
		require.NoError(t, err)
		c, err := smtp.NewClient(conn, "localhost")
		require.NoError(t, err)
		defer c.Close()
		require.NoError(t, c.Hello("mail.sender.example"))
		require.NoError(t, sendOn(c, honest(letter)))
		require.NoError(t, sendOn(c, mail{from: "x@list.example", raw: letter}))
		require.Equal(t, []string{
			"hello nothing", "rcpt pass pass 0 none", "handler pass pass 1 pass", "rcpt pass fail 0 none", "handler pass fail 1 fail",
		}, seen)
		require.Equal(t, 1, w.dns.Queries()["25.2.0.192.in-addr.arpa. PTR"])
	})
}

func TestAuthServIDAndOnResult(t *testing.T) {
	t.Parallel()
	var got *senderauth.Result
	o := senderauth.Options{
		Resolver: zones(t, reject).Resolver(), AuthServID: "example.com", Policy: senderauth.Enforce(),
		OnResult: func(_ context.Context, tx *smtpd.Transaction, _ *mailbricks.Message, r *senderauth.Result) {
			require.Equal(t, "ann@sender.example", tx.Envelope.From)
			got = r
		},
	}
	msg, _, err := run(t, o, forged("Authentication-Results: mx.example.com; x=y\r\nAuthentication-Results: example.com; x=y\r\n"+letter))
	require.Error(t, err)
	require.NotNil(t, got, "also of a message that is refused")
	require.True(t, got.SPFFailed())
	values := msg.Values("Authentication-Results")
	require.Len(t, values, 2)
	require.True(t, strings.HasPrefix(values[0], "example.com;"))
	require.Equal(t, "mx.example.com; x=y", values[1])
}
