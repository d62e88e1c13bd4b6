package senderauth_test

import (
	"context"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/senderauth"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/stretchr/testify/require"
)

// sealed puts a set in front of a message.
func sealed(t testing.TB, raw, domain string, status arc.Status, results string) string {
	t.Helper()
	s := &arc.Sealer{Domain: domain, Selector: "ed", Key: keys().ed, AuthServID: "mx." + domain, Now: longAgo}
	set, err := s.Seal(strings.NewReader(raw), status, results)
	require.NoError(t, err)
	require.NotEmpty(t, set)
	return set + raw
}

// fromList is mail that came to us from elsewhere than its author's servers.
func fromList(raw string) mail {
	return mail{ip: "192.0.2.99", helo: "mx.list.example", from: "bounce@list.example", raw: raw}
}

// outcome gives one message to the check and returns what it found and said.
func outcome(t *testing.T, o senderauth.Options, m mail) (r *senderauth.Result, field string, err error) {
	t.Helper()
	return outcomeAnd(t, o, m, new(string))
}

// outcomeAnd also says why the message is put aside.
func outcomeAnd(t *testing.T, o senderauth.Options, m mail, quarantine *string) (r *senderauth.Result, field string, err error) {
	t.Helper()
	o.OnResult = func(_ context.Context, _ *smtpd.Transaction, _ *mailbricks.Message, got *senderauth.Result) { r = got }
	msg, env, err := run(t, o, m)
	*quarantine = env.Quarantine
	return r, strings.ReplaceAll(msg.Get("Authentication-Results"), "\t", " "), err
}

const sawPass = "iprev=pass policy.iprev=192.0.2.25; dkim=pass header.d=sender.example; dmarc=pass header.from=sender.example"

func TestTrustedSealers(t *testing.T) {
	t.Parallel()
	two := func(domain, first, second string) string {
		return sealed(t, sealed(t, letter, domain, arc.None, first), "list.example", arc.Pass, second)
	}
	for _, c := range []struct {
		name    string
		raw     string
		trusted []string
		vouched string
	}{
		{"nobody is trusted", sealed(t, letter, "list.example", arc.None, sawPass), nil, ""},
		{"another is trusted", sealed(t, letter, "list.example", arc.None, sawPass), []string{"forward.example", "example", ""}, ""},
		{"dmarc=pass", sealed(t, letter, "list.example", arc.None, sawPass), []string{"LIST.example."}, "list.example"},
		{"dmarc=pass of another author", sealed(t, letter, "list.example", arc.None, "dmarc=pass header.from=evil.example"), []string{"list.example"}, ""},
		{"dmarc=pass of nobody", sealed(t, letter, "list.example", arc.None, "dmarc=pass"), []string{"list.example"}, ""},
		{"dmarc=fail", sealed(t, letter, "list.example", arc.None, "dmarc=fail header.from=sender.example"), []string{"list.example"}, ""},
		{"a method's version that is not known", sealed(t, letter, "list.example", arc.None, "dmarc/2=pass header.from=sender.example"), []string{"list.example"}, ""},
		{"aligned DKIM", sealed(t, letter, "list.example", arc.None, "dkim=pass header.d=mail.sender.example"), []string{"list.example"}, "list.example"},
		{"aligned DKIM by its i=", sealed(t, letter, "list.example", arc.None, "dkim=pass header.i=@sender.example"), []string{"list.example"}, "list.example"},
		{"aligned SPF", sealed(t, letter, "list.example", arc.None, "spf=pass smtp.mailfrom=ann@sender.example"), []string{"list.example"}, "list.example"},
		{"not aligned", sealed(t, letter, "list.example", arc.None, "spf=pass smtp.mailfrom=x@evil.example; dkim=pass header.d=evil.example"), []string{"list.example"}, ""},
		{"failed DKIM", sealed(t, letter, "list.example", arc.None, "dkim=fail header.d=sender.example"), []string{"list.example"}, ""},
		{"as Microsoft writes it", sealed(t, letter, "list.example", arc.None,
			"spf=fail (sender IP is 192.0.2.25) smtp.mailfrom=x.example; dmarc=pass (p=reject sp=reject pct=100) action=none header.from=sender.example; dkim=none"), []string{"list.example"}, "list.example"},
		{"the older set says so, both trusted", two("forward.example", sawPass, "arc=pass; dmarc=fail header.from=sender.example"), []string{"list.example", "forward.example"}, "forward.example"},
		{"the older set says so, it is not trusted", two("evil.example", sawPass, "arc=pass; dmarc=fail header.from=sender.example"), []string{"list.example"}, ""},
		{"the newer set says so", two("evil.example", "dmarc=fail header.from=sender.example", sawPass), []string{"list.example"}, "list.example"},
		{"the newest is not trusted", two("forward.example", sawPass, sawPass), []string{"forward.example"}, ""},
		{"the message was changed", strings.Replace(sealed(t, letter, "list.example", arc.None, sawPass), "Hello Bob", "Buy this", 1), []string{"list.example"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := senderauth.Options{Resolver: zones(t, reject).Resolver(), Policy: strictly(senderauth.Reject), TrustedSealers: c.trusted}
			r, field, err := outcome(t, o, fromList(c.raw))
			require.Equal(t, dmarc.Fail, r.DMARC.Result)
			require.Equal(t, c.vouched, r.Vouched)
			domain, proven := r.Author()
			require.Equal(t, []any{"sender.example", c.vouched != ""}, []any{domain, proven})
			if c.vouched == "" {
				require.ErrorContains(t, err, "Email rejected per DMARC policy for sender.example")
				require.Equal(t, dmarc.PolicyReject, r.Disposition)
				require.Empty(t, r.Overrides)
				return
			}
			require.NoError(t, err)
			require.Equal(t, dmarc.PolicyNone, r.Disposition)
			require.Len(t, r.Overrides, 1)
			require.Equal(t, dmarc.OverrideLocalPolicy, r.Overrides[0].Type)
			require.Contains(t, field, "dmarc=fail (passed before, says "+c.vouched+")")
			require.Contains(t, field, "arc=pass (i=")
		})
	}
}

// RFC 8617 §6, §7.2.2.
func TestChainsInFieldsAndReports(t *testing.T) {
	t.Parallel()
	raw := sealed(t, sealed(t, letter, "forward.example", arc.None, sawPass+"; arc=none smtp.remote-ip=2001:db8::1a"), "list.example", arc.Pass, "arc=pass")
	o := senderauth.Options{Resolver: zones(t, reject).Resolver(), Policy: senderauth.Enforce(), TrustedSealers: []string{"list.example", "forward.example"}}
	r, field, err := outcome(t, o, fromList(raw))
	require.NoError(t, err)
	require.Equal(t, []dmarc.ReportOverride{{Type: dmarc.OverrideLocalPolicy, Comment: "arc=pass as[2].d=list.example as[2].s=ed as[1].d=forward.example as[1].s=ed remote-ip[1]=2001:db8::1a"}}, r.Overrides)
	require.Contains(t, field, "arc=pass (i=2 list.example) header.oldest-pass=0 smtp.remote-ip=192.0.2.99")

	_, field, err = outcome(t, o, fromList(strings.Replace(raw, "Hello Bob", "Hullo", 1)))
	require.Error(t, err)
	require.Contains(t, field, `arc=fail reason="message signature did not verify" smtp.remote-ip=192.0.2.99`)
	_, field, _ = outcome(t, o, fromList(letter))
	require.Contains(t, field, "arc=none smtp.remote-ip=192.0.2.99; dmarc=")
}

// A chain that would have decided is worth another try (RFC 8617 §5.2.1 calls it a failure all the same).
func TestAChainThatCannotBeCheckedForNow(t *testing.T) {
	t.Parallel()
	raw := sealed(t, letter, "list.example", arc.None, sawPass)
	for _, trusted := range []bool{true, false} {
		dns := zones(t, reject)
		dns.SetFailure("ed._domainkey.list.example", mailtest.ServFail, "TXT")
		o := senderauth.Options{Resolver: dns.Resolver(), Policy: senderauth.Enforce()}
		want := "550 5.7.1 Email rejected per DMARC policy for sender.example"
		if trusted {
			o.TrustedSealers = []string{"list.example"}
			want = "451 4.7.1 Email deferred per DMARC policy for sender.example"
		}
		r, field, err := outcome(t, o, fromList(raw))
		require.ErrorContains(t, err, want)
		require.True(t, r.Undecided())
		require.Contains(t, field, `arc=fail reason="key lookup failed"`)

		// Nor is it refused for good because of what DMARC would have made unimportant.
		o.Policy = senderauth.Policy{SPFFail: senderauth.Reject, DKIMNone: senderauth.Reject}
		m := fromList(raw)
		m.from = "ann@sender.example"
		r, _, err = outcome(t, o, m)
		require.Error(t, err)
		require.Equal(t, map[bool]senderauth.Action{true: senderauth.Defer, false: senderauth.Reject}[trusted], r.Decision.Action)
	}
}

// One key serves DKIM and ARC, one TXT record SPF and DMARC: each name is asked for once.
func TestLookupsAreShared(t *testing.T) {
	t.Parallel()
	dns := zones(t, reject)
	raw := signed(t, sealed(t, sealed(t, letter, "sender.example", arc.None, sawPass), "list.example", arc.Pass, sawPass), "ed")
	r, _, err := outcome(t, senderauth.Options{Resolver: plainResolver{dns.Resolver()}, Policy: senderauth.Enforce(), CheckHelo: true}, honest(raw))
	require.NoError(t, err)
	require.Equal(t, arc.Pass, r.ARC.Status)
	for q, n := range dns.Queries() {
		require.Equal(t, 1, n, q)
	}
	require.Equal(t, 1, dns.Queries()["ed._domainkey.sender.example. TXT"])
}

// plainResolver hides what the resolver can do beyond *net.Resolver.
type plainResolver struct{ senderauth.Resolver }
