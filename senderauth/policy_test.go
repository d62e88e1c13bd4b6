package senderauth_test

import (
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/senderauth"
	"github.com/stretchr/testify/require"
)

func TestActionsAsText(t *testing.T) {
	t.Parallel()
	for a, name := range map[senderauth.Action]string{senderauth.Tag: "tag", senderauth.Junk: "junk", senderauth.Defer: "defer", senderauth.Reject: "reject"} {
		text, err := a.MarshalText()
		require.NoError(t, err)
		require.Equal(t, name, string(text))
		var got senderauth.Action
		require.NoError(t, got.UnmarshalText(text))
		require.Equal(t, a, got)
	}
	got := senderauth.Junk
	require.EqualError(t, got.UnmarshalText([]byte("Reject")), `senderauth: "Reject" is no action: tag, junk, defer or reject is one`)
	require.Equal(t, senderauth.Junk, got)
	require.Equal(t, "Action(9)", senderauth.Action(9).String())
}

// policyCase is a message that one action is for.
type policyCase struct {
	name   string
	policy string // of sender.example
	fail   string // a name and a type that the DNS does not answer
	mail   mail
	set    func(*senderauth.Policy, senderauth.Action)
	// What each action comes to.
	junk, deferred, rejected string
}

// Each outcome has an action of its own, and it does what it says.
func TestEachOutcomeHasItsAction(t *testing.T) {
	t.Parallel()
	elsewhere := mail{ip: "198.51.100.7", helo: "x.example.net", from: "x@nothing.example", raw: strings.Replace(letter, "sender.example", "nothing.example", 1)}
	from := func(sender string) mail { m := elsewhere; m.from = sender; return m }
	with := func(raw string) mail { m := honest(raw); return m }
	unsigned := elsewhere.raw // with signatures of sender.example, DMARC still does not pass
	for _, c := range []policyCase{
		{"DMARC reject", reject, "", forged(letter), func(p *senderauth.Policy, a senderauth.Action) { p.DMARCReject = a },
			"DMARC policy for sender.example", "451 4.7.1 Email deferred per DMARC policy for sender.example", "550 5.7.1 Email rejected per DMARC policy for sender.example"},
		{"DMARC quarantine", "v=DMARC1; p=quarantine", "", forged(letter), func(p *senderauth.Policy, a senderauth.Action) { p.DMARCQuarantine = a },
			"DMARC policy for sender.example", "451 4.7.1 Email deferred per DMARC policy for sender.example", "550 5.7.1 Email rejected per DMARC policy for sender.example"},
		{"DMARC temperror", reject, "_dmarc.sender.example TXT", forged(letter), func(p *senderauth.Policy, a senderauth.Action) { p.DMARCTempError = a },
			"DMARC cannot be checked for sender.example", "451 4.7.0 The DMARC policy of the author's domain cannot be checked now, please try again later", ""},
		{"DMARC permerror", "v=DMARC1; p=?", "", forged(letter), func(p *senderauth.Policy, a senderauth.Action) { p.DMARCPermError = a },
			"The DMARC policy record of sender.example cannot be used", "451 4.7.1 *", "550 5.7.1 The DMARC policy record of sender.example cannot be used"},
		{"no From", reject, "", with("To: x@y.example\r\n\r\n"), func(p *senderauth.Policy, a senderauth.Action) { p.NoFrom = a },
			"no From field with an address", "451 4.7.1 *", "550 5.7.1 A message must have a From field with an address"},
		{"From without a domain", reject, "", with("From: FBI\r\n\r\n"), func(p *senderauth.Policy, a senderauth.Action) { p.NoFrom = a },
			"no From field with an address", "451 4.7.1 *", "550 5.7.1 *"},
		{"two From fields", none, "", with("From: ann@sender.example\r\n" + letter), func(p *senderauth.Policy, a senderauth.Action) { p.BadFrom = a },
			"From field is not clear", "451 4.7.1 *", "550 5.7.1 A message must have one From field that can be read in one way (RFC 5322 section 3.6.2)"},
		{"SPF fail", none, "", forged(letter), func(p *senderauth.Policy, a senderauth.Action) { p.SPFFail = a },
			"SPF fails for sender.example", "451 4.7.23 SPF: *", "550 5.7.23 SPF: sender.example does not permit 198.51.100.7 to send its mail\n*"},
		{"SPF softfail", none, "", from("x@soft.example"), func(p *senderauth.Policy, a senderauth.Action) { p.SPFSoftFail = a },
			"SPF softly fails for soft.example", "451 4.7.23 *", "550 5.7.23 SPF: soft.example probably does not permit 198.51.100.7 to send its mail"},
		{"SPF neutral", none, "", from("x@neutral.example"), func(p *senderauth.Policy, a senderauth.Action) { p.SPFNeutral = a },
			"SPF is neutral for neutral.example", "451 4.7.23 *", "550 5.7.23 SPF: neutral.example does not say whether 198.51.100.7 may send its mail"},
		{"SPF none", none, "", elsewhere, func(p *senderauth.Policy, a senderauth.Action) { p.SPFNone = a },
			"no SPF record", "451 4.7.23 *", "550 5.7.23 SPF: the sender's domain does not say who may send its mail"},
		{"SPF permerror", none, "", from("x@broken.example"), func(p *senderauth.Policy, a senderauth.Action) { p.SPFPermError = a },
			"SPF record cannot be used: broken.example", "451 4.7.24 *", "550 5.7.24 SPF: the record of broken.example cannot be used"},
		{"SPF temperror", none, "soft.example TXT", from("x@soft.example"), func(p *senderauth.Policy, a senderauth.Action) { p.SPFTempError = a },
			"SPF cannot be checked for soft.example", "451 4.7.24 SPF: the record of soft.example cannot be checked now, please try again later", ""},
		{"DKIM none", none, "", elsewhere, func(p *senderauth.Policy, a senderauth.Action) { p.DKIMNone = a },
			"no DKIM signature", "451 4.7.20 *", "550 5.7.20 DKIM: the message has no signature"},
		{"DKIM fail", none, "", with(strings.Replace(signed(t, unsigned, "ed"), "Hello Bob", "Hullo", 1)), func(p *senderauth.Policy, a senderauth.Action) { p.DKIMFail = a },
			"DKIM fails", "451 4.7.20 *", "550 5.7.20 DKIM: no signature passes"},
		{"DKIM policy", none, "", forged(withLength(t) + "more\r\n"), func(p *senderauth.Policy, a senderauth.Action) { p.DKIMFail = a },
			"DKIM is not acceptable", "451 4.7.21 *", "550 5.7.21 DKIM: no signature is acceptable"},
		{"DKIM temperror", none, "ed._domainkey.sender.example TXT", with(signed(t, unsigned, "ed")), func(p *senderauth.Policy, a senderauth.Action) { p.DKIMTempError = a },
			"DKIM cannot be checked", "451 4.7.20 *", ""},
		{"iprev fail", none, "", mail{ip: "192.0.2.66", helo: "x", from: "ann@sender.example", raw: letter}, func(p *senderauth.Policy, a senderauth.Action) { p.IPRevFail = a },
			"the client's names do not lead back to it", "451 4.7.25 *", "550 5.7.25 The names of 192.0.2.66 do not lead back to it"},
		{"iprev none", none, "", forged(letter), func(p *senderauth.Policy, a senderauth.Action) { p.IPRevNone = a },
			"the client has no name", "451 4.7.25 *", "550 5.7.25 198.51.100.7 has no name (PTR record)"},
		{"iprev temperror", none, "25.2.0.192.in-addr.arpa PTR", honest(letter), func(p *senderauth.Policy, a senderauth.Action) { p.IPRevTempError = a },
			"the client's name cannot be checked", "451 4.7.25 *", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, a := range []senderauth.Action{senderauth.Tag, senderauth.Junk, senderauth.Defer, senderauth.Reject} {
				c.check(t, a)
			}
		})
	}
}

func (c policyCase) check(t *testing.T, a senderauth.Action) {
	t.Helper()
	dns := zones(t, c.policy)
	if name, rrtype, ok := strings.Cut(c.fail, " "); ok {
		dns.SetFailure(name, mailtest.ServFail, rrtype)
	}
	o := senderauth.Options{Resolver: dns.Resolver()}
	c.set(&o.Policy, a)
	var quarantine string
	r, _, err := outcomeAnd(t, o, c.mail, &quarantine)
	want, reply := a, ""
	switch a {
	case senderauth.Junk:
		require.Equal(t, c.junk, quarantine)
	case senderauth.Defer:
		reply = c.deferred
	case senderauth.Reject:
		if reply = c.rejected; reply == "" { // another try may mend it
			want, reply = senderauth.Defer, c.deferred
		}
	}
	require.Equal(t, want, r.Decision.Action)
	require.Equal(t, a == senderauth.Tag, r.Decision.Reason == "")
	if reply == "" {
		require.NoError(t, err)
		return
	}
	require.Error(t, err)
	if start, found := strings.CutSuffix(reply, "*"); found {
		require.Contains(t, err.Error(), strings.ReplaceAll(start, "\n", " / "))
	} else {
		require.Contains(t, err.Error(), reply)
	}
}

func TestTheStrictestActionIsTaken(t *testing.T) {
	t.Parallel()
	all := senderauth.Policy{SPFFail: senderauth.Reject, DKIMNone: senderauth.Reject, IPRevNone: senderauth.Reject}
	o := senderauth.Options{Resolver: zones(t, none).Resolver(), Policy: all}
	_, _, err := outcome(t, o, forged(letter))
	require.ErrorContains(t, err, "550 5.7.26 SPF: sender.example does not permit 198.51.100.7 to send its mail", "RFC 7372 §3.4")
	require.ErrorContains(t, err, "DKIM: the message has no signature / 198.51.100.7 has no name (PTR record)")

	o.Policy.DMARCReject = senderauth.Reject
	o.Resolver = zones(t, reject).Resolver()
	_, _, err = outcome(t, o, forged(letter))
	require.ErrorContains(t, err, "550 5.7.1 Email rejected per DMARC policy for sender.example", "RFC 9989 §7.2")

	o.Policy = senderauth.Policy{DMARCReject: senderauth.Junk, SPFFail: senderauth.Defer}
	r, _, err := outcome(t, o, forged(letter))
	require.ErrorContains(t, err, "451 4.7.23")
	require.Equal(t, dmarc.PolicyQuarantine, r.Disposition, "what DMARC asked for alone")

	// A passing DMARC leaves the client's name to be judged, and nothing else.
	o.Policy = all
	_, _, err = outcome(t, o, forged(signed(t, letter, "ed")))
	require.ErrorContains(t, err, "550 5.7.25")
}

// What aggregate reports are told: RFC 9990 §3.1.6.
func TestDispositionsAndOverrides(t *testing.T) {
	t.Parallel()
	local, test := dmarc.ReportOverride{Type: dmarc.OverrideLocalPolicy}, dmarc.ReportOverride{Type: dmarc.OverridePolicyTestMode}
	for _, c := range []struct {
		record      string
		policy      senderauth.Policy
		raw         string
		disposition dmarc.Policy
		overrides   []dmarc.ReportOverride
	}{
		{reject, senderauth.Enforce(), letter, dmarc.PolicyReject, nil},
		{reject, senderauth.Policy{}, letter, dmarc.PolicyNone, []dmarc.ReportOverride{local}},
		{reject, senderauth.Policy{DMARCReject: senderauth.Junk}, letter, dmarc.PolicyQuarantine, []dmarc.ReportOverride{local}},
		{"v=DMARC1; p=reject; t=y", senderauth.Enforce(), letter, dmarc.PolicyQuarantine, []dmarc.ReportOverride{test}},
		{"v=DMARC1; p=reject; t=y", senderauth.Policy{}, letter, dmarc.PolicyNone, []dmarc.ReportOverride{test, local}},
		{none, strictly(senderauth.Reject), letter, dmarc.PolicyNone, nil},
		{reject, senderauth.Enforce(), signed(t, letter, "ed"), dmarc.PolicyNone, nil},
	} {
		r, _, _ := outcome(t, senderauth.Options{Resolver: zones(t, c.record).Resolver(), Policy: c.policy}, forged(c.raw))
		require.Equal(t, c.disposition, r.Disposition, c.record)
		require.Equal(t, c.overrides, r.Overrides, c.record)
	}
}

// lastLabel takes the last label of a name for its public suffix.
type lastLabel struct{}

func (lastLabel) PublicSuffix(domain string) string {
	return domain[strings.LastIndexByte(domain, '.')+1:]
}

// RFC 7489 §6.6.4: a message that the policy is not applied to gets the next weaker one.
func TestAMessageThatIsSampledOutIsReportedAsOther(t *testing.T) {
	t.Parallel()
	sampledOut := dmarc.ReportOverride{Type: dmarc.OverrideOther, Comment: "sampled_out"}
	local := dmarc.ReportOverride{Type: dmarc.OverrideLocalPolicy}
	for _, c := range []struct {
		sample      bool
		policy      senderauth.Policy
		disposition dmarc.Policy
		overrides   []dmarc.ReportOverride
	}{
		{true, senderauth.Enforce(), dmarc.PolicyReject, nil},
		{false, senderauth.Enforce(), dmarc.PolicyQuarantine, []dmarc.ReportOverride{sampledOut}},
		{false, senderauth.Policy{}, dmarc.PolicyNone, []dmarc.ReportOverride{sampledOut, local}},
	} {
		o := senderauth.Options{Resolver: zones(t, "v=DMARC1; p=reject; pct=50").Resolver(), Policy: c.policy}
		o.DMARC = dmarc.Evaluator{PublicSuffixes: lastLabel{}, Sample: func(int) bool { return c.sample }}
		r, _, _ := outcome(t, o, forged(letter))
		require.Equal(t, c.disposition, r.Disposition)
		require.Equal(t, c.overrides, r.Overrides)
	}
}

func TestWhatLaterFiltersRead(t *testing.T) {
	t.Parallel()
	o := senderauth.Options{Resolver: zones(t, reject).Resolver(), CheckHelo: true}
	r, _, err := outcome(t, o, honest(signed(t, letter, "ed", "rsa")))
	require.NoError(t, err)
	domain, proven := r.Author()
	require.Equal(t, []any{"sender.example", true}, []any{domain, proven})
	require.Equal(t, []string{"sender.example", "mail.sender.example"}, r.Domains())
	require.False(t, r.Undecided())
	r, _, err = outcome(t, o, forged(letter))
	require.NoError(t, err)
	domain, proven = r.Author()
	require.Equal(t, []any{"sender.example", false}, []any{domain, proven})
	require.Empty(t, r.Domains())
	require.True(t, r.SPFFailed())
}
