package dmarc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrNoRecord: a text is no DMARC policy record.
var ErrNoRecord = errors.New("no DMARC policy record")

// PSD is the psd tag (RFC 9989 §4.7): what a domain says of its place in the tree.
type PSD uint8

// The values of the psd tag.
const (
	PSDUnknown PSD = iota // psd=u or absent
	PSDYes                // a public suffix domain
	PSDNo                 // an organizational domain
)

// String is the value as a record has it.
func (p PSD) String() string {
	switch p {
	case PSDYes:
		return "y"
	case PSDNo:
		return "n"
	}
	return "u"
}

// Record is a DMARC policy record (RFC 9989 §4.7).
type Record struct {
	// Policy is p, Subdomain is sp or else p, Nonexistent is np or else Subdomain.
	Policy, Subdomain, Nonexistent Policy
	// Invalid says that p, sp or np is wrong and that no valid rua makes up for it: such a record asks for nothing (RFC 9989
	// §4.10.1). With a valid rua all three policies are PolicyNone instead. A p that is missing is not wrong: it counts as
	// p=none (RFC 9989 §4.7). For an Evaluator with PublicSuffixes it is as wrong as any (RFC 7489 §6.6.3).
	Invalid bool
	// StrictDKIM and StrictSPF are adkim=s and aspf=s.
	StrictDKIM, StrictSPF bool
	// Testing is t=y.
	Testing bool
	PSD     PSD
	// Percent is pct, from 0 to 100; 100 when absent or wrong. RFC 9989 has no such tag: it only matters to an Evaluator
	// with PublicSuffixes (RFC 7489 §6.3).
	Percent int
	// AggregateURIs are the valid URIs of rua, FailureURIs those of ruf, without obsolete size limits. [MailAddress] has the
	// address of one.
	AggregateURIs, FailureURIs []string
	// FailureOptions is fo; "0" when it is absent or wrong, or when there is no ruf for it.
	FailureOptions string
	// Text is the record as published.
	Text string
	// Warnings tell the record's author what is wrong with it, 16 at most. They change nothing.
	Warnings []Warning
}

// Warning is something that is wrong with a record, or that does nothing although it looks as if it did.
type Warning struct {
	// Tag is the name of the tag; empty for what is no tag.
	Tag string
	// Problem is a phrase such as "is obsolete (RFC 9989)", in printable ASCII.
	Problem string
}

// String is the warning in one line.
func (w Warning) String() string {
	if w.Tag == "" {
		return w.Problem
	}
	return w.Tag + " " + w.Problem
}

// maxWarnings is how many warnings a record can have.
const maxWarnings = 16

// ParseRecord parses the text of a TXT record by RFC 9989. Only a text that does not begin with v=DMARC1 is an error,
// [ErrNoRecord]; unknown tags, wrong values and doubled tags are ignored, as RFC 9989 §4.8 wants it, and lead to warnings.
func ParseRecord(text string) (*Record, error) { return parseRecord(text, false) }

// parseRecord leaves out the tags that RFC 7489 does not know when legacy is set.
func parseRecord(text string, legacy bool) (*Record, error) {
	rest, err := cutVersion(text)
	if err != nil {
		return nil, err
	}
	p := parser{Record: &Record{Text: text, FailureOptions: "0"}, legacy: legacy}
	for i := 0; rest != ""; i++ {
		var spec string
		spec, rest, _ = strings.Cut(rest, ";")
		p.collect(spec, i)
	}
	p.StrictDKIM = p.letter("adkim", "rs") == 's'
	p.StrictSPF = p.letter("aspf", "rs") == 's'
	p.Testing = p.letter("t", "ny") == 'y'
	switch p.letter("psd", "uyn") {
	case 'y':
		p.PSD = PSDYes
	case 'n':
		p.PSD = PSDNo
	}
	p.percent()
	p.AggregateURIs = p.uris("rua")
	p.FailureURIs = p.uris("ruf")
	p.failureOptions()
	p.policies()
	return p.Record, nil
}

// cutVersion takes v=DMARC1 away, the first tag of a record (RFC 9989 §4.7, "v"). Its name may be in upper case, its
// value not.
func cutVersion(text string) (rest string, err error) {
	version, rest, _ := strings.Cut(text, ";")
	name, value, ok := strings.Cut(version, "=")
	value = trim(value)
	switch {
	case !ok || !strings.EqualFold(trim(name), "v") || !strings.EqualFold(value, "DMARC1"):
		return "", fmt.Errorf("dmarc: %w: it does not begin with v=DMARC1", ErrNoRecord)
	case value != "DMARC1":
		return "", fmt.Errorf("dmarc: %w: the value of v is not in upper case", ErrNoRecord)
	case name[0] == ' ' || name[0] == '\t':
		return "", fmt.Errorf("dmarc: %w: a blank stands in front of v=DMARC1", ErrNoRecord)
	}
	return rest, nil
}

// era says which standard has a tag besides "v" (RFC 9989 §9.3, RFC 7489 §11.4).
type era uint8

const (
	unknownTag era = iota
	commonTag
	historicTag // RFC 7489 only
	newTag      // since RFC 9989
)

func eraOf(tag string) era {
	switch tag {
	case "p", "sp", "rua", "ruf", "adkim", "aspf", "fo":
		return commonTag
	case "pct", "rf", "ri":
		return historicTag
	case "np", "t", "psd":
		return newTag
	}
	return unknownTag
}

// parser fills a record.
type parser struct {
	*Record
	legacy bool
	tags   []tag // the known ones, each once
}

type tag struct{ name, value string }

func (p *parser) warn(name, problem string) {
	if len(p.Warnings) < maxWarnings {
		p.Warnings = append(p.Warnings, Warning{Tag: name, Problem: problem})
	}
}

// collect takes the i-th tag behind v.
func (p *parser) collect(spec string, i int) {
	name, value, ok := strings.Cut(spec, "=")
	name, value = lowerASCII(trim(name)), trim(value)
	_, double := p.value(name)
	switch {
	case !ok && trim(spec) == "": // doubled or final semicolon
	case !ok:
		p.warn("", "has "+quote(trim(spec))+", which is no tag=value")
	case name == "v" || double:
		p.warn(quoteName(name), "is there more than once; only the first counts")
	case eraOf(name) == unknownTag:
		p.warn(quoteName(name), "is no tag of DMARC")
	case p.legacy && eraOf(name) == newTag:
	default:
		if eraOf(name) == historicTag {
			p.warn(name, "is obsolete: RFC 9989 does not have it")
		}
		if name == "p" && i > 0 {
			p.warn(name, "should stand right behind v, as RFC 7489 has it")
		}
		p.tags = append(p.tags, tag{name, value})
	}
}

func (p *parser) value(name string) (string, bool) {
	for _, t := range p.tags {
		if t.name == name {
			return t.value, true
		}
	}
	return "", false
}

// letter gives the value of a tag that is one of a few letters; the first of them is the default.
func (p *parser) letter(name, letters string) byte {
	value, ok := p.value(name)
	if !ok {
		return letters[0]
	}
	if len(value) == 1 {
		if i := strings.IndexByte(letters, value[0]|0x20); i >= 0 {
			return letters[i]
		}
	}
	p.warn(name, "cannot be "+quote(value)+"; the default counts")
	return letters[0]
}

// percent takes pct (RFC 7489 §6.3).
func (p *parser) percent() {
	p.Percent = 100
	value, ok := p.value("pct")
	if !ok {
		return
	}
	n, err := strconv.ParseUint(value, 10, 8)
	if err != nil || n > 100 {
		p.warn("pct", "cannot be "+quote(value)+"; 100 counts")
		return
	}
	p.Percent = int(n)
}

// failureOptions takes fo, which says nothing without ruf (RFC 9989 §4.7).
func (p *parser) failureOptions() {
	value, ok := p.value("fo")
	if !ok {
		return
	}
	fo := lowerASCII(withoutBlanks(value))
	_, wanted := p.value("ruf")
	switch {
	case !validFailureOptions(fo, p.legacy):
		p.warn("fo", "cannot be "+quote(value)+"; 0 counts")
	case !wanted:
		p.warn("fo", "says nothing without ruf")
	default:
		p.FailureOptions = fo
	}
}

// validFailureOptions: each of 0 or 1, d and s at most once, in any order (RFC 9989 §4.8, dmarc-fo). RFC 7489 §6.4 has any
// list of them.
func validFailureOptions(fo string, legacy bool) bool {
	seen := 0
	for o := range strings.SplitSeq(fo, ":") {
		class := 0
		switch o {
		case "0", "1":
			class = 1
		case "d":
			class = 2
		case "s":
			class = 4
		}
		if class == 0 || seen&class != 0 && !legacy {
			return false
		}
		seen |= class
	}
	return true
}

// policies takes p, sp and np (RFC 9989 §4.7, §4.10.1). RFC 7489 §6.3 demands p.
func (p *parser) policies() {
	_, found := p.value("p")
	if !found {
		p.warn("p", "is missing")
	}
	policy, valid := p.policy("p", PolicyNone)
	subdomain, ok := p.policy("sp", policy)
	valid = valid && ok && (found || !p.legacy)
	nonexistent, ok := p.policy("np", subdomain)
	if valid && ok {
		p.Policy, p.Subdomain, p.Nonexistent = policy, subdomain, nonexistent
		if !found {
			p.warn("", "the record counts as p=none")
		}
		return
	}
	if p.Invalid = len(p.AggregateURIs) == 0; p.Invalid {
		p.warn("", "the record asks for nothing, as it has neither valid policies nor a valid rua")
	} else {
		p.warn("", "the record counts as p=none, as its policies are not valid")
	}
}

// policy gives the value of p, sp or np; ok is false for a wrong one.
func (p *parser) policy(name string, missing Policy) (policy Policy, ok bool) {
	value, found := p.value(name)
	if !found {
		return missing, true
	}
	for _, policy := range []Policy{PolicyNone, PolicyQuarantine, PolicyReject} {
		if strings.EqualFold(value, policy.String()) {
			return policy, true
		}
	}
	p.warn(name, "cannot be "+quote(value))
	return missing, false
}

// quote shows a part of a record in printable ASCII.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + "..."
	}
	return strconv.QuoteToASCII(s)
}

// quoteName shows what stands for a tag's name.
func quoteName(name string) string {
	for i := range len(name) {
		if name[i] < 'a' || name[i] > 'z' || i == 16 {
			return quote(name)
		}
	}
	if name == "" {
		return `""`
	}
	return name
}

// lowerASCII changes ASCII letters only.
func lowerASCII(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for j, c := range b[i:] {
				if 'A' <= c && c <= 'Z' {
					b[i+j] = c | 0x20
				}
			}
			return string(b)
		}
	}
	return s
}

func withoutBlanks(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' {
			return -1
		}
		return r
	}, s)
}

// trim removes the white space of the grammar, WSP, at both ends.
func trim(s string) string { return strings.Trim(s, " \t") }
