package reporting

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/dmarc"
)

// Limits on what a row holds. They keep a message from costing more than a few kilobytes.
const (
	// maxName is the longest domain or selector in a row; a longer one is cut.
	maxName = 255
	// maxComment is the longest comment of an override.
	maxComment = 255
	// maxSignatures is how many DKIM results a row has. RFC 9990 §3.1.3 wants no more than 100; those that tell most come
	// first.
	maxSignatures = 20
	// maxOverrides is how many override reasons a row has.
	maxOverrides = 5
)

// row is what a record of a report has beside its count. Its JSON form is the key under which equal messages are counted.
type row struct {
	Source       netip.Addr   `json:"ip"`
	Disposition  string       `json:"disp"`
	DKIM         bool         `json:"dkim,omitempty"` // aligned
	SPF          bool         `json:"spf,omitempty"`  // aligned
	Overrides    []override   `json:"over,omitempty"`
	HeaderFrom   string       `json:"from"`
	EnvelopeFrom string       `json:"env,omitempty"`
	Signatures   []signature  `json:"sigs,omitempty"`
	SPFResult    *mailFromSPF `json:"mfrom,omitempty"`
}

type override struct {
	Type    string `json:"t"`
	Comment string `json:"c,omitempty"`
}

type signature struct {
	Domain   string `json:"d"`
	Selector string `json:"s"`
	Result   string `json:"r"`
}

type mailFromSPF struct {
	Domain string `json:"d"`
	Result string `json:"r"`
}

// newRow takes from an evaluation what a report tells of it.
func newRow(e *Evaluation) *row {
	v := &e.Verdict
	r := &row{
		Source: e.Source.Unmap().WithZone(""), Disposition: disposition(e), Overrides: overrides(e),
		HeaderFrom: cut(v.AuthorDomain, maxName), EnvelopeFrom: cut(domainOf(e.ReversePath), maxName),
		DKIM: v.DKIMAligned, SPF: v.SPFAligned, Signatures: signatures(e),
	}
	if e.SPF.Domain != "" {
		r.SPFResult = &mailFromSPF{Domain: cut(e.SPF.Domain, maxName), Result: oneOf(e.SPF.Result, spfResults)}
	}
	return r
}

// key is the row as a line of a log has it.
func (r *row) key() (string, error) {
	text, err := json.Marshal(r)
	return string(text), err
}

// record is the row in a report.
func (r *row) record(count int64) dmarc.ReportRecord {
	out := dmarc.ReportRecord{
		Source: r.Source, Count: count, Disposition: r.Disposition, DKIM: aligned(r.DKIM), SPF: aligned(r.SPF),
		HeaderFrom: r.HeaderFrom, EnvelopeFrom: r.EnvelopeFrom,
	}
	for _, o := range r.Overrides {
		out.Overrides = append(out.Overrides, dmarc.ReportOverride{Type: o.Type, Comment: o.Comment})
	}
	for _, s := range r.Signatures {
		out.DKIMResults = append(out.DKIMResults, dmarc.ReportDKIM{Domain: s.Domain, Selector: s.Selector, Result: s.Result})
	}
	if s := r.SPFResult; s != nil {
		out.SPFResults = []dmarc.ReportSPF{{Domain: s.Domain, Scope: "mfrom", Result: s.Result}}
	}
	return out
}

func aligned(ok bool) string {
	if ok {
		return dmarc.AlignedPass
	}
	return dmarc.AlignedFail
}

// disposition is what became of a message: "pass" says that it passed and that the policy would have had something done
// otherwise (RFC 9990 appendix A, ActionDispositionType).
func disposition(e *Evaluation) string {
	switch {
	case e.Disposition == dmarc.PolicyReject:
		return dmarc.DispositionReject
	case e.Disposition == dmarc.PolicyQuarantine:
		return dmarc.DispositionQuarantine
	case e.Verdict.Result == dmarc.Pass && published(&e.Verdict) != dmarc.PolicyNone:
		return dmarc.DispositionPass
	}
	return dmarc.DispositionNone
}

// published is the policy that the record has for the author's domain.
func published(v *dmarc.Verdict) dmarc.Policy {
	p := v.Policy
	if v.TestMode && p < dmarc.PolicyReject {
		p++
	}
	if v.SampledOut && p < dmarc.PolicyReject {
		p++
	}
	return p
}

// overrides are the caller's reasons. Where there are none, although the message failed and what was done is not what the
// record asks for, RFC 9990 §3.1.1.9 demands one.
func overrides(e *Evaluation) []override {
	var out []override
	for _, o := range e.Overrides[:min(len(e.Overrides), maxOverrides)] {
		out = append(out, override{Type: oneOf(o.Type, overrideTypes), Comment: cut(o.Comment, maxComment)})
	}
	if len(out) > 0 || e.Verdict.Result != dmarc.Fail || e.Disposition == published(&e.Verdict) {
		return out
	}
	switch asked := e.Disposition == e.Verdict.Disposition; {
	case asked && e.Verdict.SampledOut: // RFC 9990 has no type for it, RFC 7489 had this one
		return []override{{Type: dmarc.OverrideOther, Comment: "sampled_out"}}
	case asked && e.Verdict.TestMode:
		return []override{{Type: dmarc.OverridePolicyTestMode}}
	}
	return []override{{Type: dmarc.OverrideLocalPolicy}}
}

// signatures gives the results of the signatures, those that tell most first (RFC 9990 §3.1.3).
func signatures(e *Evaluation) []signature {
	rank := func(d dmarc.ReportDKIM) int {
		switch {
		case d.Result != "pass":
			return 3
		case strings.EqualFold(d.Domain, e.Verdict.AuthorDomain):
			return 0
		case slices.Contains(e.Verdict.Aligned, dmarc.Identifier{Method: "dkim", Domain: strings.ToLower(d.Domain)}):
			return 1
		}
		return 2
	}
	results := slices.DeleteFunc(slices.Clone(e.DKIM), func(d dmarc.ReportDKIM) bool { return d.Domain == "" })
	slices.SortStableFunc(results, func(a, b dmarc.ReportDKIM) int { return cmp.Compare(rank(a), rank(b)) })
	var out []signature
	for _, d := range results[:min(len(results), maxSignatures)] {
		out = append(out, signature{
			Domain: cut(d.Domain, maxName), Selector: cut(d.Selector, maxName), Result: oneOf(d.Result, dkimResults),
		})
	}
	return out
}

// The values that the schema of RFC 9990 appendix A allows; the first stands for what it does not know.
const (
	spfResults    = "none pass fail softfail policy neutral temperror permerror"
	dkimResults   = "none pass fail policy neutral temperror permerror"
	overrideTypes = "other local_policy mailing_list policy_test_mode trusted_forwarder"
)

func oneOf(value, values string) string {
	first := ""
	for v := range strings.FieldsSeq(values) {
		if v == value {
			return v
		}
		if first == "" {
			first = v
		}
	}
	return first
}

// cut shortens a text to n octets, and makes it valid UTF-8 so that its JSON form says the same.
func cut(s string, n int) string {
	return strings.ToValidUTF8(s[:min(len(s), n)], "?")
}

// domainOf is the domain of an address in lower case; empty for the null reverse-path.
func domainOf(address string) string {
	return strings.ToLower(address[strings.LastIndexByte(address, '@')+1:])
}
