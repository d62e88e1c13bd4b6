package dmarc

import (
	"errors"
	"net/url"
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

// Record is a DMARC policy record (RFC 9989 §4.7).
type Record struct {
	// Policy is p, Subdomain is sp or else p, Nonexistent is np or else Subdomain.
	Policy, Subdomain, Nonexistent Policy
	// Invalid says that p is missing or wrong, or sp or np are wrong, and that no valid rua makes up for it: such a record
	// asks for nothing (RFC 9989 §4.10.1). With a valid rua all three policies are PolicyNone instead.
	Invalid bool
	// StrictDKIM and StrictSPF are adkim=s and aspf=s.
	StrictDKIM, StrictSPF bool
	// Testing is t=y.
	Testing bool
	PSD     PSD
	// AggregateURIs are the valid URIs of rua, FailureURIs those of ruf, without obsolete size limits.
	AggregateURIs, FailureURIs []string
	// FailureOptions is fo; "0" when absent or wrong.
	FailureOptions string
	// Text is the record as published.
	Text string
}

// ParseRecord parses the text of a TXT record. Only a text that does not begin with v=DMARC1 is an error, ErrNoRecord;
// unknown tags, wrong values and doubled tags are ignored, as RFC 9989 §4.8 wants it.
func ParseRecord(text string) (*Record, error) {
	version, rest, _ := strings.Cut(text, ";")
	name, value, ok := strings.Cut(version, "=")
	if !ok || !strings.EqualFold(trim(name), "v") || name[0] == ' ' || name[0] == '\t' || trim(value) != "DMARC1" {
		return nil, ErrNoRecord
	}
	tags := map[string]string{}
	for spec := range strings.SplitSeq(rest, ";") {
		name, value, ok := strings.Cut(spec, "=")
		name = strings.ToLower(trim(name))
		if _, double := tags[name]; ok && !double {
			tags[name] = trim(value)
		}
	}
	r := &Record{
		StrictDKIM: strings.EqualFold(tags["adkim"], "s"), StrictSPF: strings.EqualFold(tags["aspf"], "s"),
		Testing: strings.EqualFold(tags["t"], "y"), FailureOptions: "0", Text: text,
		AggregateURIs: parseURIs(tags["rua"]), FailureURIs: parseURIs(tags["ruf"]),
	}
	switch strings.ToLower(tags["psd"]) {
	case "y":
		r.PSD = PSDYes
	case "n":
		r.PSD = PSDNo
	}
	if fo := strings.ToLower(withoutBlanks(tags["fo"])); validFailureOptions(fo) {
		r.FailureOptions = fo
	}
	r.setPolicies(tags)
	return r, nil
}

// setPolicies takes p, sp and np (RFC 9989 §4.7, §4.10.1).
func (r *Record) setPolicies(tags map[string]string) {
	var ok bool
	valid := true
	if r.Policy, ok = parsePolicy(tags["p"]); !ok {
		valid = false
	}
	r.Subdomain = r.Policy
	if sp, found := tags["sp"]; found {
		r.Subdomain, ok = parsePolicy(sp)
		valid = valid && ok
	}
	r.Nonexistent = r.Subdomain
	if np, found := tags["np"]; found {
		r.Nonexistent, ok = parsePolicy(np)
		valid = valid && ok
	}
	if !valid {
		r.Policy, r.Subdomain, r.Nonexistent = PolicyNone, PolicyNone, PolicyNone
		r.Invalid = len(r.AggregateURIs) == 0
	}
}

func parsePolicy(s string) (Policy, bool) {
	for _, p := range []Policy{PolicyNone, PolicyQuarantine, PolicyReject} {
		if strings.EqualFold(s, p.String()) {
			return p, true
		}
	}
	return PolicyNone, false
}

// validFailureOptions: each of 0 or 1, d and s at most once, in any order (RFC 9989 §4.8, dmarc-fo).
func validFailureOptions(fo string) bool {
	seen := map[string]bool{}
	for o := range strings.SplitSeq(fo, ":") {
		class := o
		switch o {
		case "0", "1":
			class = "01"
		case "d", "s":
		default:
			return false
		}
		if seen[class] {
			return false
		}
		seen[class] = true
	}
	return true
}

// parseURIs takes the valid URIs of a comma-separated list. Blanks in them, as in "mailto: dmarc@example.com", are what
// people write and no URI; they are removed.
func parseURIs(list string) []string {
	var out []string
	for text := range strings.SplitSeq(list, ",") {
		text = withoutBlanks(text)
		text, _, _ = strings.Cut(text, "!") // obs-dmarc-report-size
		uri, err := url.Parse(text)
		if err != nil || uri.Scheme == "" || !printable(text) {
			continue
		}
		if uri.Scheme == "mailto" {
			if local, domain, ok := strings.Cut(uri.Opaque, "@"); !ok || local == "" || domain == "" {
				continue
			}
		} else if uri.Host == "" && uri.Opaque == "" {
			continue
		}
		out = append(out, text)
	}
	return out
}

func withoutBlanks(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' {
			return -1
		}
		return r
	}, s)
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// trim removes the white space of the grammar, WSP, at both ends.
func trim(s string) string { return strings.Trim(s, " \t") }
