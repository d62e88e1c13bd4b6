package dmarc

import (
	"errors"
	"net/netip"
	"time"
)

// Errors that a caller of the functions on aggregate reports may want to tell apart.
var (
	// ErrNoReport: there is no aggregate report in the input.
	ErrNoReport = errors.New("no DMARC aggregate report")
	// ErrReportTooLarge: the input, or what it unpacks to, is over a limit of ReportParser.
	ErrReportTooLarge = errors.New("report is too large")
	// ErrReportInvalid: a report cannot be written, or what was read is too broken to be used.
	ErrReportInvalid = errors.New("report is invalid")
)

// Dispositions of a ReportRecord (RFC 9990 §3.1.1.9): what became of the messages.
const (
	DispositionNone       = "none"       // no action taken
	DispositionPass       = "pass"       // passed, and the policy was an enforcing one; RFC 7489 reports have none instead
	DispositionQuarantine = "quarantine" // failed and marked for quarantine
	DispositionReject     = "reject"     // failed and marked for rejection
)

// Outcomes of the two alignment tests in a ReportRecord (RFC 9990 §3.1.1.9).
const (
	AlignedPass = "pass"
	AlignedFail = "fail"
)

// Types of a ReportOverride (RFC 9990 §3.1.6). RFC 7489 also had "forwarded" and "sampled_out".
const (
	OverrideLocalPolicy      = "local_policy"
	OverrideMailingList      = "mailing_list"
	OverrideOther            = "other"
	OverridePolicyTestMode   = "policy_test_mode"
	OverrideTrustedForwarder = "trusted_forwarder"
)

// Discovery methods of a ReportPolicy (RFC 9990 §3.1.1.5).
const (
	DiscoveryTreeWalk = "treewalk" // RFC 9989
	DiscoveryPSL      = "psl"      // RFC 7489, with the public suffix list
)

// Report is a DMARC aggregate report (RFC 9990, and RFC 7489 appendix C): what one receiver saw in one period of the mail
// that bears the domains of one DMARC policy record. ParseReport reads one, WriteXML writes one, and WriteText and
// WriteHTML show one to a person.
//
// What came from outside is not to be trusted in a Report that was parsed: anybody may send one. But its strings are
// valid UTF-8 on one line, without control characters, and no longer than MaxReportText.
type Report struct {
	// Version is the version element as it was read, empty when there was none. WriteXML always writes 1.0.
	Version  string
	Metadata ReportMetadata
	Policy   ReportPolicy
	// Records are in the order of the report.
	Records []ReportRecord
	// Warnings say in English what the parser found amiss and how it dealt with that; at most MaxReportWarnings. A report
	// with warnings does not keep to the standard, and RFC 9990 §3.1.1 leaves it to the reader whether to use its data.
	Warnings []string
}

// ReportMetadata says who made a report (RFC 9990 §3.1.1.3).
type ReportMetadata struct {
	OrgName          string // name of the reporting organization
	Email            string // whom to contact there
	ExtraContactInfo string // optional, often a URL
	ReportID         string // unique among the reports to one domain (RFC 9990 §3.5.1)
	// Begin and End are the reporting period, in UTC to the second. They are zero if the report had no usable ones.
	Begin, End time.Time
	// Errors tell the domain owner what was wrong with the policy record. RFC 9990 has room for one text, in which WriteXML
	// puts them all; RFC 7489 allowed many.
	Errors    []string
	Generator string // optional: name and version of the program that made the report
}

// ReportPolicy is the policy record that applied (RFC 9990 §3.1.1.5). The values are those of the record's tags in lower
// case, empty where the report does not give them.
type ReportPolicy struct {
	// Domain is where the policy record was found.
	Domain string
	// DiscoveryMethod is DiscoveryTreeWalk or DiscoveryPSL.
	DiscoveryMethod string
	// Policy, Subdomain and Nonexistent are p, sp and np: "none", "quarantine" or "reject".
	Policy, Subdomain, Nonexistent string
	// FailureOptions is fo, as "1:d:s".
	FailureOptions string
	// DKIMAlignment and SPFAlignment are adkim and aspf: "r" for relaxed, "s" for strict.
	DKIMAlignment, SPFAlignment string
	// Testing is t: "y" or "n".
	Testing string
	// Percent is pct, which only reports by RFC 7489 have; WriteXML leaves it out.
	Percent string
}

// ReportRecord counts the messages from one address that had the same identifiers and the same results (RFC 9990
// §3.1.1.7).
type ReportRecord struct {
	// Source is the address of the client that delivered the messages; the zero Addr when the report had none that can be
	// read.
	Source netip.Addr
	// Count is the number of messages, from 0 to MaxReportCount.
	Count int64
	// Disposition is one of the Disposition constants.
	Disposition string
	// DKIM and SPF are AlignedPass or AlignedFail: whether the method gave an identifier that is aligned with HeaderFrom.
	DKIM, SPF string
	// Overrides say why the disposition is not what the policy asks for.
	Overrides []ReportOverride
	// HeaderFrom is the domain of the From field.
	HeaderFrom string
	// EnvelopeFrom is the domain of the reverse-path, empty for the null reverse-path, and in reports that do not tell.
	EnvelopeFrom string
	// EnvelopeTo is the domain of the recipient, where the reporter gives it away.
	EnvelopeTo string
	// DKIMResults and SPFResults are what the methods found, aligned or not. WriteXML takes the first MaxReportSignatures
	// DKIM results, so the most telling ones should stand in front (RFC 9990 §3.1.3), and one SPF result.
	DKIMResults []ReportDKIM
	SPFResults  []ReportSPF
}

// Passed says whether the messages of the record passed DMARC: one of the two methods was aligned.
func (r *ReportRecord) Passed() bool { return r.DKIM == AlignedPass || r.SPF == AlignedPass }

// ReportOverride is a reason why a policy was not applied as published (RFC 9990 §3.1.6).
type ReportOverride struct {
	Type    string // one of the Override constants
	Comment string // optional
}

// ReportDKIM is the result for one DKIM signature (RFC 9990 §3.1.1.12).
type ReportDKIM struct {
	Domain   string // d=
	Selector string // s=
	// Result is a result of RFC 8601 §2.7.1: none, pass, fail, policy, neutral, temperror or permerror.
	Result string
	Human  string // optional: more about it for a person
}

// ReportSPF is the result of SPF (RFC 9990 §3.1.1.13).
type ReportSPF struct {
	Domain string // the domain that was checked
	// Scope is "mfrom", empty where the report does not say; RFC 7489 also had "helo".
	Scope string
	// Result is a result of RFC 8601 §2.7.2: none, pass, fail, softfail, policy, neutral, temperror or permerror.
	Result string
	Human  string // optional: more about it for a person
}
