package dmarc

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// ReportNamespace is the XML namespace of aggregate reports (RFC 9990 §6.1).
const ReportNamespace = "urn:ietf:params:xml:ns:dmarc-2.0"

// Limits on what a report may hold, in both directions.
const (
	// MaxReportText is the length in bytes to which a single text is cut.
	MaxReportText = 2048
	// MaxReportCount is the largest number of messages in a record; more is taken for it.
	MaxReportCount = 1_000_000_000_000
	// MaxReportSignatures is how many DKIM results a record has (RFC 9990 §3.1.3).
	MaxReportSignatures = 100
	// MaxReportOverrides is how many override reasons a record has.
	MaxReportOverrides = 20
)

// The values that the schema of RFC 9990 appendix A lists.
const (
	policyValues      = "none quarantine reject"
	dispositionValues = "none pass quarantine reject"
	alignmentValues   = "r s"
	testingValues     = "n y"
	discoveryValues   = "psl treewalk"
	alignedValues     = "pass fail"
	overrideValues    = "local_policy mailing_list other policy_test_mode trusted_forwarder"
	dkimValues        = "none pass fail policy neutral temperror permerror"
	spfValues         = "none pass fail softfail policy neutral temperror permerror"
)

// WriteXML writes the report as RFC 9990 appendix A has it, and nothing that its schema does not know: all Errors become
// one element, of SPFResults the first for the scope "mfrom" is taken (one without scope counts as such), override types
// of RFC 7489 become "other", and Percent is left out. Texts are cleaned, so that whatever an enemy put into a domain
// name, the XML stays valid.
//
// A report that lacks what the schema demands, or has a value that it does not allow, is refused with ErrReportInvalid
// before anything is written: OrgName, Email, ReportID, the period, the domain, at least one record, and in each record
// Source, a Count of at least 1, Disposition, DKIM, SPF and HeaderFrom. Other errors are w's.
func (r *Report) WriteXML(w io.Writer) error {
	if err := r.validate(); err != nil {
		return fmt.Errorf("dmarc: write report: %w: %w", ErrReportInvalid, err)
	}
	x := &xmlWriter{w: bufio.NewWriter(w)}
	x.raw(xml.Header)
	x.raw(`<feedback xmlns="` + ReportNamespace + `">` + "\n")
	x.element("version", "1.0")
	x.metadata(&r.Metadata)
	x.policy(&r.Policy)
	for i := range r.Records {
		x.record(&r.Records[i])
	}
	x.raw("</feedback>\n")
	if err := x.w.Flush(); err != nil {
		return fmt.Errorf("dmarc: write report: %w", err)
	}
	return nil
}

// xmlWriter writes elements; the first error of its bufio.Writer sticks until Flush.
type xmlWriter struct{ w *bufio.Writer }

func (x *xmlWriter) raw(s string) { _, _ = x.w.WriteString(s) }

// element writes an element that the schema demands.
func (x *xmlWriter) element(name, text string) {
	x.raw("<")
	x.raw(name)
	x.raw(">")
	if text = cleanText(text); strings.ContainsAny(text, "<>&'\"") {
		_ = xml.EscapeText(x.w, []byte(text))
	} else {
		x.raw(text) // clean text has nothing else that needs an escape
	}
	x.raw("</")
	x.raw(name)
	x.raw(">\n")
}

// optional writes an element that the schema allows to be missing.
func (x *xmlWriter) optional(name, text string) {
	if text != "" {
		x.element(name, text)
	}
}

// metadata writes report_metadata (RFC 9990 §3.1.1.3).
func (x *xmlWriter) metadata(m *ReportMetadata) {
	x.raw("<report_metadata>\n")
	x.element("org_name", m.OrgName)
	x.element("email", m.Email)
	x.optional("extra_contact_info", m.ExtraContactInfo)
	x.element("report_id", m.ReportID)
	x.raw("<date_range>\n")
	x.element("begin", strconv.FormatInt(m.Begin.Unix(), 10))
	x.element("end", strconv.FormatInt(m.End.Unix(), 10))
	x.raw("</date_range>\n")
	x.optional("error", strings.Join(m.Errors, "; "))
	x.optional("generator", m.Generator)
	x.raw("</report_metadata>\n")
}

// policy writes policy_published (RFC 9990 §3.1.1.5).
func (x *xmlWriter) policy(p *ReportPolicy) {
	x.raw("<policy_published>\n")
	x.element("domain", p.Domain)
	x.optional("discovery_method", p.DiscoveryMethod)
	x.element("p", orNone(p.Policy))
	x.optional("sp", p.Subdomain)
	x.optional("np", p.Nonexistent)
	x.optional("fo", p.FailureOptions)
	x.optional("adkim", p.DKIMAlignment)
	x.optional("aspf", p.SPFAlignment)
	x.optional("testing", p.Testing)
	x.raw("</policy_published>\n")
}

// orNone: a policy record without p, where it is usable at all, has the policy none (RFC 9989 §4.10.1).
func orNone(p string) string {
	if p == "" {
		return PolicyNone.String()
	}
	return p
}

// record writes one record (RFC 9990 §3.1.1.7). envelope_from is always there, as the schema of RFC 7489 wanted it; empty
// it stands for the null reverse-path.
func (x *xmlWriter) record(r *ReportRecord) {
	x.raw("<record>\n<row>\n")
	x.element("source_ip", r.Source.Unmap().WithZone("").String())
	x.element("count", strconv.FormatInt(min(r.Count, MaxReportCount), 10))
	x.raw("<policy_evaluated>\n")
	x.element("disposition", r.Disposition)
	x.element("dkim", r.DKIM)
	x.element("spf", r.SPF)
	for _, o := range r.Overrides[:min(len(r.Overrides), MaxReportOverrides)] {
		x.override(o)
	}
	x.raw("</policy_evaluated>\n</row>\n<identifiers>\n")
	x.element("header_from", r.HeaderFrom)
	x.element("envelope_from", r.EnvelopeFrom)
	x.optional("envelope_to", r.EnvelopeTo)
	x.raw("</identifiers>\n<auth_results>\n")
	for _, d := range r.DKIMResults[:min(len(r.DKIMResults), MaxReportSignatures)] {
		x.raw("<dkim>\n")
		x.element("domain", d.Domain)
		x.element("selector", d.Selector)
		x.element("result", d.Result)
		x.optional("human_result", d.Human)
		x.raw("</dkim>\n")
	}
	if s, ok := r.mailFromSPF(); ok {
		x.raw("<spf>\n")
		x.element("domain", s.Domain)
		x.optional("scope", s.Scope)
		x.element("result", s.Result)
		x.optional("human_result", s.Human)
		x.raw("</spf>\n")
	}
	x.raw("</auth_results>\n</record>\n")
}

// override writes a reason. A type that RFC 9990 does not know is "some policy exception not covered by the other
// entries", and its name goes into the comment (RFC 9990 §3.1.6).
func (x *xmlWriter) override(o ReportOverride) {
	if !oneOf(o.Type, overrideValues) {
		o.Comment = strings.TrimSuffix(o.Type+": "+o.Comment, ": ")
		o.Type = OverrideOther
	}
	x.raw("<reason>\n")
	x.element("type", o.Type)
	x.optional("comment", o.Comment)
	x.raw("</reason>\n")
}

// mailFromSPF is the SPF result for the MAIL FROM identity, the only one that DMARC uses (RFC 9990 §3.1.1.13).
func (r *ReportRecord) mailFromSPF() (ReportSPF, bool) {
	for _, s := range r.SPFResults {
		if s.Scope == "mfrom" || s.Scope == "" {
			return s, true
		}
	}
	return ReportSPF{}, false
}

// check is the first thing that is wrong with a report; the later ones are not looked at.
type check struct{ err error }

// present wants a text that is not empty.
func (c *check) present(name, value string) {
	if c.err == nil && cleanText(value) == "" {
		c.err = fmt.Errorf("no %s", name)
	}
}

// value wants one of the values that the schema lists.
func (c *check) value(name, value, values string) {
	if c.err == nil && !oneOf(value, values) {
		c.err = fmt.Errorf("%s %q is none of: %s", name, cleanText(value), values)
	}
}

// optional is the same for an element that may be missing.
func (c *check) optional(name, value, values string) {
	if value != "" {
		c.value(name, value, values)
	}
}

func (c *check) that(ok bool, complaint string) {
	if c.err == nil && !ok {
		c.err = errors.New(complaint)
	}
}

// oneOf says whether value is one of the words in values.
func oneOf(value, values string) bool {
	for v := range strings.FieldsSeq(values) {
		if v == value {
			return true
		}
	}
	return false
}

// validate says what keeps the report from being written.
func (r *Report) validate() error {
	var c check
	m, p := &r.Metadata, &r.Policy
	c.present("org_name", m.OrgName)
	c.present("email", m.Email)
	c.present("report_id", m.ReportID)
	c.that(!m.Begin.IsZero() && !m.End.Before(m.Begin), "no date_range, or one that ends before it begins")
	c.present("policy_published domain", p.Domain)
	c.value("p", orNone(p.Policy), policyValues)
	c.optional("sp", p.Subdomain, policyValues)
	c.optional("np", p.Nonexistent, policyValues)
	c.optional("adkim", p.DKIMAlignment, alignmentValues)
	c.optional("aspf", p.SPFAlignment, alignmentValues)
	c.optional("testing", p.Testing, testingValues)
	c.optional("discovery_method", p.DiscoveryMethod, discoveryValues)
	c.that(len(r.Records) > 0, "no record")
	if c.err != nil {
		return c.err
	}
	for i := range r.Records {
		if err := r.Records[i].validate(); err != nil {
			return fmt.Errorf("record %d: %w", i+1, err)
		}
	}
	return nil
}

func (r *ReportRecord) validate() error {
	var c check
	c.that(r.Source.IsValid(), "no source_ip")
	c.that(r.Count > 0, "no count")
	c.value("disposition", r.Disposition, dispositionValues)
	c.value("aligned dkim", r.DKIM, alignedValues)
	c.value("aligned spf", r.SPF, alignedValues)
	c.present("header_from", r.HeaderFrom)
	for _, d := range r.DKIMResults {
		c.value("dkim result", d.Result, dkimValues)
	}
	if s, ok := r.mailFromSPF(); ok {
		c.value("spf result", s.Result, spfValues)
	}
	return c.err
}
