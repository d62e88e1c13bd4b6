package senderauth

import (
	"context"
	"slices"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/smtpd/iprev"
	"github.com/mailbricks/mailbricks/spf"
)

// Result is what was found for a message. From MAIL on it has IPRev, SPF and Helo, once the message is there all of it.
type Result struct {
	// IPRev tells of the client's name; its Value is empty for a client without an IP address.
	IPRev iprev.Result
	// SPF is the verdict about the reverse-path or, where that is null, about the EHLO name.
	SPF spf.Verdict
	// Helo is the verdict about the EHLO name where that was checked besides; otherwise nil.
	Helo *spf.Verdict
	// DKIM has a result for each signature, and one for none.
	DKIM []dkim.Result
	// ARC is the chain of servers that tell how the message came to them. What it says is true as far as they are.
	ARC arc.Result
	// DMARC is the verdict about the author's domain.
	DMARC dmarc.Verdict

	// Vouched is the domain of the trusted sealer that saw the message pass DMARC which fails it now, so that the failure
	// does not count (Options.TrustedSealers); empty: there is none.
	Vouched string
	// Decision is what Options.Policy makes of all this.
	Decision Decision
	// Disposition is what is done for DMARC's sake, for aggregate reports (RFC 9990 §3.1.1.9): it differs from
	// DMARC.Disposition where Options.Policy does not do as the author's domain asks. What is done because of other checks
	// does not count.
	Disposition dmarc.Policy
	// Overrides are the reasons why Disposition is not what the domain's record has, for aggregate reports.
	Overrides []dmarc.ReportOverride

	state        state
	mayBeVouched bool // a chain could not be checked for now that might have been trusted
}

type resultKey struct{}

// From gives what was found for the transaction whose context ctx is: that of a later check from MAIL on, or of the
// Handler. There is nothing for sessions that were not checked. It must not be changed.
func From(ctx context.Context) (*Result, bool) {
	r, ok := ctx.Value(resultKey{}).(*Result)
	return r, ok
}

// SPFFailed says whether SPF fails: for the reverse-path, or for the EHLO name where that was checked.
func (r *Result) SPFFailed() bool {
	return r.SPF.Result == spf.Fail || r.Helo != nil && r.Helo.Result == spf.Fail
}

// Author is the author's domain, and whether the message is proven to be from there: DMARC passes, or a trusted sealer
// saw it pass. Otherwise anybody may have written that name.
func (r *Result) Author() (domain string, proven bool) {
	return r.DMARC.AuthorDomain, r.authentic()
}

func (r *Result) authentic() bool {
	return r.DMARC.Result == dmarc.Pass || r.Vouched != ""
}

// Domains are the domains that provably answer for the message: those of passing signatures and of the reverse-path or
// EHLO name that passes SPF, each once, in lower case with A-labels. Lists of good and bad senders go by them.
func (r *Result) Domains() []string {
	var out []string
	add := func(domain string, pass bool) {
		if pass && domain != "" && !slices.Contains(out, domain) {
			out = append(out, domain)
		}
	}
	for i := range r.DKIM {
		add(r.DKIM[i].Domain, r.DKIM[i].Status == dkim.Pass)
	}
	add(r.SPF.Domain, r.SPF.Result == spf.Pass)
	if r.Helo != nil {
		add(r.Helo.Domain, r.Helo.Result == spf.Pass)
	}
	return out
}

// Undecided says whether something could not be checked for now because the DNS did not answer.
func (r *Result) Undecided() bool {
	return r.IPRev.Value == iprev.TempError || r.ARC.Temporary || r.DMARC.Result == dmarc.TempError ||
		r.SPF.Result == spf.TempError || r.Helo != nil && r.Helo.Result == spf.TempError ||
		slices.ContainsFunc(r.DKIM, func(d dkim.Result) bool { return d.Status == dkim.TempError })
}
