package reporting

import (
	"slices"

	"github.com/mailbricks/mailbricks/dmarc"
)

// Limits on what is kept of a policy record.
const (
	// maxURIs is how many mailto URIs of rua are kept, and maxURI the longest that is.
	maxURIs = 8
	maxURI  = 512
	// maxErrors is how many of the record's faults a report names, and maxError how long the text for one is.
	maxErrors = 5
	maxError  = 120
)

// isReported says whether a report names the faults of a tag (RFC 9990 §3.1.5). That a record has tags which do nothing, as
// most have, is no error.
func isReported(tag string) bool {
	switch tag {
	case "p", "sp", "np", "adkim", "aspf", "rua":
		return true
	}
	return false
}

// policy is what a report tells of a policy record, and where it goes.
type policy struct {
	P          string   `json:"p"`
	SP         string   `json:"sp"`
	NP         string   `json:"np,omitempty"`
	StrictDKIM bool     `json:"adkim,omitempty"`
	StrictSPF  bool     `json:"aspf,omitempty"`
	Testing    bool     `json:"t,omitempty"`
	Options    string   `json:"fo,omitempty"`
	Discovery  string   `json:"by"`
	URIs       []string `json:"rua"`
	Errors     []string `json:"err,omitempty"`
}

func newPolicy(v *dmarc.Verdict) *policy {
	r := v.Record
	p := &policy{
		P: r.Policy.String(), SP: r.Subdomain.String(), NP: r.Nonexistent.String(), StrictDKIM: r.StrictDKIM,
		StrictSPF: r.StrictSPF, Testing: r.Testing, Options: cut(r.FailureOptions, maxName), Discovery: v.Discovery.String(),
		URIs: mailURIs(r),
	}
	if v.Discovery == dmarc.PublicSuffixes { // RFC 7489 has no np
		p.NP = ""
	}
	for _, w := range r.Warnings {
		if isReported(w.Tag) && len(p.Errors) < maxErrors {
			p.Errors = append(p.Errors, cut(w.String(), maxError))
		}
	}
	return p
}

// mailURIs are the first addresses in rua that reports can be sent to.
func mailURIs(r *dmarc.Record) []string {
	var out []string
	for _, uri := range r.AggregateURIs {
		if _, ok := dmarc.MailAddress(uri); ok && len(uri) <= maxURI && len(out) < maxURIs {
			out = append(out, uri)
		}
	}
	return out
}

// addresses are the mail addresses of the record. That they agree to reports has not been found out.
func (p *policy) addresses() []string {
	var out []string
	for _, uri := range p.URIs {
		if a, ok := dmarc.MailAddress(uri); ok && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// report is the policy in a report.
func (p *policy) report(domain string) dmarc.ReportPolicy {
	return dmarc.ReportPolicy{
		Domain: domain, DiscoveryMethod: p.Discovery, Policy: p.P, Subdomain: p.SP, Nonexistent: p.NP,
		FailureOptions: p.Options, DKIMAlignment: mode(p.StrictDKIM), SPFAlignment: mode(p.StrictSPF), Testing: yesNo(p.Testing),
	}
}

func mode(strict bool) string {
	if strict {
		return "s"
	}
	return "r"
}

func yesNo(b bool) string {
	if b {
		return "y"
	}
	return "n"
}
