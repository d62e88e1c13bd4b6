package dmarc

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

// Limits on what is told of one source.
const (
	maxAdvice = 6  // lines
	maxListed = 8  // of From fields, and of identifiers
	maxShown  = 64 // length of a domain or another word from a report
)

// ReportSource is what a report says of one address that sends mail in the domain's name.
type ReportSource struct {
	// Addr is the zero Addr for the records that have no address which can be read.
	Addr netip.Addr
	// Messages is how many came from there. Of these Passed passed DMARC, DKIM and SPF were aligned by one method or the
	// other, Quarantined and Rejected were treated so.
	Messages, Passed, DKIM, SPF, Quarantined, Rejected int64
	// From are the domains in the From fields, and Identified those for which DKIM or SPF passed, aligned or not: they tell
	// who the sender is. Both have at most 8, the first that were met.
	From, Identified []string
	// Advice is why messages failed and what the owner of the domain can do, in plain English, at most 6 lines; empty where
	// all passed.
	Advice []string
}

// Failed is how many messages did not pass.
func (s *ReportSource) Failed() int64 { return s.Messages - s.Passed }

// Name is the address as it is shown.
func (s *ReportSource) Name() string {
	if !s.Addr.IsValid() {
		return "unknown"
	}
	return s.Addr.String()
}

// Sources gives what the report says of each address: those with the most messages first.
func (r *Report) Sources() []ReportSource {
	index := map[netip.Addr]int{}
	var sources []ReportSource
	for i := range r.Records {
		rec := &r.Records[i]
		k, known := index[rec.Source]
		if !known {
			k = len(sources)
			index[rec.Source] = k
			sources = append(sources, ReportSource{Addr: rec.Source})
		}
		sources[k].add(rec)
		if !rec.Passed() && len(sources[k].Advice) < maxAdvice {
			for _, line := range r.advice(rec) {
				addTo(&sources[k].Advice, line, maxAdvice)
			}
		}
	}
	slices.SortStableFunc(sources, func(a, b ReportSource) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), a.Addr.Compare(b.Addr))
	})
	return sources
}

func (s *ReportSource) add(r *ReportRecord) {
	n := min(max(r.Count, 0), MaxReportCount)
	s.Messages += n
	if r.Passed() {
		s.Passed += n
	}
	if r.DKIM == AlignedPass {
		s.DKIM += n
	}
	if r.SPF == AlignedPass {
		s.SPF += n
	}
	switch r.Disposition {
	case DispositionQuarantine:
		s.Quarantined += n
	case DispositionReject:
		s.Rejected += n
	}
	addTo(&s.From, shown(r.HeaderFrom), maxListed)
	for _, d := range r.DKIMResults {
		if d.Result == AlignedPass {
			addTo(&s.Identified, shown(d.Domain), maxListed)
		}
	}
	for _, spf := range r.SPFResults {
		if spf.Result == AlignedPass {
			addTo(&s.Identified, shown(spf.Domain), maxListed)
		}
	}
}

// addTo appends a text that is not there yet, while there is room.
func addTo(list *[]string, text string, most int) {
	if text != "" && len(*list) < most && !slices.Contains(*list, text) {
		*list = append(*list, text)
	}
}

// shown is a word from a report as it is shown: clean, since not every Report comes from ParseReport, and not too long.
func shown(s string) string {
	if s = cleanText(s); len(s) > maxShown {
		s = cut(s, maxShown-len("...")) + "..."
	}
	return s
}

// advice says why the messages of a record failed, and what to do.
func (r *Report) advice(rec *ReportRecord) []string {
	var lines []string
	identified, listed := false, false
	for _, d := range rec.DKIMResults {
		identified = identified || d.Result == "pass"
		lines = append(lines, r.dkimAdvice(d, rec.HeaderFrom))
	}
	for _, s := range rec.SPFResults {
		line := r.spfAdvice(s, rec.HeaderFrom)
		identified, listed = identified || s.Result == "pass", listed || line != ""
		lines = append(lines, line)
	}
	if !identified {
		lines = append(lines, r.strangerAdvice(listed, rec.HeaderFrom))
	}
	for _, o := range rec.Overrides {
		lines = append(lines, overrideAdvice(o))
	}
	return slices.DeleteFunc(lines, func(s string) bool { return s == "" })
}

// strangerAdvice is for mail for which no domain speaks; known says that the SPF record has been spoken of.
func (r *Report) strangerAdvice(known bool, from string) string {
	end := r.abuseAdvice(from)
	if known {
		return "If it is not yours, " + end
	}
	if from = shown(from); from == "" {
		from = "the domain in the From field"
	}
	return fmt.Sprintf("Nothing shows who sent this. If the address is yours, add it to the SPF record of %s and sign with "+
		"DKIM; if it is not, %s", from, end)
}

// abuseAdvice is what the policy does about mail that somebody forges.
func (r *Report) abuseAdvice(from string) string {
	tag, policy := "p", r.Policy.Policy
	name, ok := domainname.Identity(from)
	domain, ok2 := domainname.Identity(r.Policy.Domain)
	if ok && ok2 && name != domain && domainname.Within(name, domain) {
		tag, policy = "sp", orElse(r.Policy.Subdomain, policy)
	}
	pct, err := strconv.Atoi(r.Policy.Percent)
	switch {
	case policy != PolicyReject.String():
		return "somebody uses your name, which " + tag + "=reject would stop."
	case r.Policy.Testing == "y":
		return "somebody uses your name, which your policy would have receivers reject without t=y."
	case err == nil && pct < 100:
		return fmt.Sprintf("somebody uses your name, which your policy would have receivers reject without pct=%d.", pct)
	}
	return "somebody uses your name, and your policy has receivers reject that."
}

// ours says whether a domain belongs with a From domain of this report: all of them are under the policy's domain.
func (r *Report) ours(domain, from string) bool {
	d, ok := domainname.Identity(domain)
	f, ok2 := domainname.Identity(from)
	p, ok3 := domainname.Identity(r.Policy.Domain)
	return ok && ok2 && (domainname.Within(d, f) || domainname.Within(f, d) || ok3 && domainname.Within(d, p) && domainname.Within(f, p))
}

func (r *Report) dkimAdvice(d ReportDKIM, from string) string {
	domain, sender := shown(d.Domain), shown(from)
	switch {
	case domain == "":
		return ""
	case d.Result == "pass" && !r.ours(d.Domain, from):
		return fmt.Sprintf("DKIM passes for %s but is not aligned with %s: have the sender sign with d=%[2]s.", domain, sender)
	case d.Result == "pass" && r.Policy.DKIMAlignment == "s" && !strings.EqualFold(d.Domain, from):
		return fmt.Sprintf("DKIM passes for %s, but adkim=s wants a signature of %s itself.", domain, sender)
	case d.Result == "pass":
		return fmt.Sprintf("DKIM passes for %s, and yet the receiver does not count it as aligned.", domain)
	case !r.ours(d.Domain, from):
		return "" // a signature that fails, and would be of no use
	case d.Result == "fail" || d.Result == "permerror" || d.Result == "neutral" || d.Result == "policy":
		return fmt.Sprintf("The DKIM signature of %s, selector %q, gives %s: check the key record, and whether something "+
			"changes messages on their way.", domain, shown(d.Selector), d.Result)
	case d.Result == "temperror":
		return fmt.Sprintf("The receiver could not look up the DKIM key of %s: check the name servers.", domain)
	}
	return ""
}

func (r *Report) spfAdvice(s ReportSPF, from string) string {
	domain, sender := shown(s.Domain), shown(from)
	ours := r.ours(s.Domain, from)
	switch {
	case domain == "":
		return ""
	case s.Result == "pass" && s.Scope == "helo":
		return fmt.Sprintf("SPF passes for the host name %s, which does not count: the bounce address has to be of %s.",
			domain, sender)
	case s.Result == "pass" && !ours:
		return fmt.Sprintf("SPF passes for %s but is not aligned with %s: have the sender use a bounce address of %[2]s.",
			domain, sender)
	case s.Result == "pass" && r.Policy.SPFAlignment == "s" && !strings.EqualFold(s.Domain, from):
		return fmt.Sprintf("SPF passes for %s, but aspf=s wants a bounce address of %s itself.", domain, sender)
	case s.Result == "pass":
		return fmt.Sprintf("SPF passes for %s, and yet the receiver does not count it as aligned.", domain)
	case !ours:
		return ""
	case s.Result == "fail" || s.Result == "softfail" || s.Result == "neutral":
		return fmt.Sprintf("SPF of %s gives %s: its record does not list this address. Add it if it is yours.",
			domain, s.Result)
	case s.Result == "none":
		return fmt.Sprintf("%s has no SPF record.", domain)
	case s.Result == "permerror":
		return fmt.Sprintf("The SPF record of %s cannot be used: check it.", domain)
	case s.Result == "temperror":
		return fmt.Sprintf("The receiver could not look up the SPF record of %s: check the name servers.", domain)
	}
	return ""
}

// overrideAdvice is what the receiver says of its treatment of the messages.
func overrideAdvice(o ReportOverride) string {
	line := "The receiver made an exception"
	switch o.Type {
	case OverrideMailingList:
		line += ": it takes this for mail of a mailing list, which breaks signatures"
	case OverrideTrustedForwarder, "forwarded":
		line += ": it takes this for forwarded mail"
	case OverrideLocalPolicy:
		line += ": a policy of its own goes before yours"
	case OverridePolicyTestMode:
		line += ": your record is in test mode, t=y"
	case "sampled_out":
		line += ": your record has pct below 100"
	default:
		line = "The receiver had a reason of its own for what it did"
	}
	if comment := shown(o.Comment); comment != "" {
		line += " (" + comment + ")"
	}
	return line + "."
}
