package dmarc

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits on what a parsed report may cost beside those of ReportParser.
const (
	// MaxReportWarnings is how many Warnings a report has.
	MaxReportWarnings = 20
	// maxReportErrors is how many Errors it has.
	maxReportErrors = 20
	// maxReportSPF is how many SPF results a record has.
	maxReportSPF = 10
	// detailsPerRecord times MaxRecords is how many results and reasons all records have together.
	detailsPerRecord = 4
	// maxInterned is how many short texts are kept to be used again, and maxInternedText how long they are: the same domain
	// stands in record after record.
	maxInterned     = 4096
	maxInternedText = 80
	// maxReportTime is the last second of the year 9999.
	maxReportTime = 253402300799
)

// openElement is one of the elements that the decoder is in.
type openElement struct {
	kind container
	name string // with its prefix
}

// reportDecoder makes a Report of XML. It keeps the records and nothing else.
type reportDecoder struct {
	xmlScanner
	charset    string
	maxRecords int
	details    int // results and reasons so far
	report     *Report
	prefix     string // of the feedback element, with its colon
	open       []openElement
	target     *string // of the textElement that is open
	interned   map[string]string

	// What is being read.
	begin, end, metaError string
	record                ReportRecord
	source, count         string
	reason                ReportOverride
	dkim                  ReportDKIM
	spf                   ReportSPF
}

// decodeReport reads a document through the end of its feedback element. What is missing or wrong in it is worth a
// warning; errors are ErrNoReport, ErrReportInvalid, ErrReportTooLarge, and the reader's.
func decodeReport(r *bufio.Reader, maxRecords int) (*Report, error) {
	d := &reportDecoder{maxRecords: maxRecords, report: &Report{}, interned: map[string]string{}}
	r, d.charset = encodingOf(r)
	d.xmlScanner = xmlScanner{r: r, line: 1, warn: d.warning}
	for {
		tag, err := d.next()
		if err != nil {
			return nil, d.cutShort(err)
		}
		inside := len(d.open) > 0
		if tag.start {
			err = d.start(tag.name)
			inside = inside || len(d.open) > 0
		}
		if tag.end && inside && err == nil {
			err = d.close(tag.name)
		}
		switch {
		case err != nil:
			return nil, err
		case inside && len(d.open) == 0:
			return d.report, d.finish()
		}
	}
}

// cutShort says what it means that the input ends in the middle.
func (d *reportDecoder) cutShort(err error) error {
	switch {
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return err
	case len(d.open) == 0:
		return ErrNoReport
	}
	return fmt.Errorf("%w: it ends in line %d, before its end", ErrReportInvalid, d.line)
}

func (d *reportDecoder) warning(format string, args ...any) {
	if len(d.report.Warnings) < MaxReportWarnings {
		d.report.Warnings = append(d.report.Warnings, fmt.Sprintf("line %d: "+format, append([]any{d.line}, args...)...))
	}
}

// start opens an element. In front of the feedback element everything is passed over.
func (d *reportDecoder) start(name []byte) error {
	lower(name)
	local, prefix := name, ""
	if i := bytes.IndexByte(name, ':'); i >= 0 {
		local, prefix = name[i+1:], d.intern(name[:i+1])
	}
	kind := unknownElement
	switch {
	case len(d.open) >= maxXMLDepth:
		return fmt.Errorf("%w: line %d: more than %d elements inside each other", ErrReportInvalid, d.line, maxXMLDepth)
	case len(d.open) == 0 && string(local) != "feedback":
		return nil
	case len(d.open) == 0:
		d.prefix, kind = prefix, feedbackElement
	case prefix == "" || prefix == d.prefix: // others belong to extensions (RFC 9990 §5)
		if err := d.closeForgotten(local); err != nil {
			return err
		}
		parent := d.open[len(d.open)-1].kind
		kind = parent.inside(local)
		if target := d.field(parent, local); target != nil {
			kind, d.target = textElement, target
			d.collect()
		}
	}
	d.open = append(d.open, openElement{kind, d.intern(name)})
	switch kind {
	case recordElement:
		d.record, d.source, d.count = ReportRecord{}, "", ""
	case reasonElement:
		d.reason = ReportOverride{}
	case dkimElement:
		d.dkim = ReportDKIM{}
	case spfElement:
		d.spf = ReportSPF{}
	}
	return nil
}

// closeForgotten ends elements without an end tag: a text, when the next element beside it starts, and any element, when a
// container starts that belongs further out.
func (d *reportDecoder) closeForgotten(local []byte) error {
	last := len(d.open) - 1
	for i := last; i >= 0 && d.open[i].kind != unknownElement; i-- {
		outer := d.open[i].kind
		besideText := i == last-1 && d.open[last].kind == textElement && d.field(outer, local) != nil
		if outer.inside(local) == unknownElement && !besideText {
			continue
		}
		if i < last {
			d.warning("an element without an end")
		}
		return d.closeTo(i + 1)
	}
	return nil
}

// close ends the innermost element of that name, and with it those inside it that were left open.
func (d *reportDecoder) close(name []byte) error {
	lower(name)
	i := len(d.open) - 1
	for i >= 0 && d.open[i].name != string(name) {
		i--
	}
	if i < 0 {
		d.warning("the end of an element that has no start")
		return nil
	}
	if i < len(d.open)-1 && d.target == nil {
		d.warning("an element without an end")
	}
	return d.closeTo(i)
}

// closeTo ends the innermost elements until only n are open.
func (d *reportDecoder) closeTo(n int) error {
	for len(d.open) > n {
		kind := d.open[len(d.open)-1].kind
		d.open = d.open[:len(d.open)-1]
		if err := d.closed(kind); err != nil {
			return err
		}
	}
	return nil
}

// closed takes over what an element said.
func (d *reportDecoder) closed(kind container) error {
	switch kind {
	case textElement:
		*d.target = d.value(d.text)
		d.collecting, d.target = false, nil
		if d.metaError != "" && len(d.report.Metadata.Errors) < maxReportErrors {
			d.report.Metadata.Errors = append(d.report.Metadata.Errors, d.metaError)
		}
		d.metaError = ""
	case reasonElement:
		d.reason.Type = word(d.reason.Type)
		return keep(d, &d.record.Overrides, d.reason, MaxReportOverrides)
	case dkimElement:
		d.dkim.Result = word(d.dkim.Result)
		if d.dkim != (ReportDKIM{}) {
			d.known("dkim result", d.dkim.Result, dkimValues)
		}
		return keep(d, &d.record.DKIMResults, d.dkim, MaxReportSignatures)
	case spfElement:
		d.spf.Scope, d.spf.Result = word(d.spf.Scope), spfResult(word(d.spf.Result))
		if d.spf != (ReportSPF{}) {
			d.known("spf result", d.spf.Result, spfValues)
		}
		return keep(d, &d.record.SPFResults, d.spf, maxReportSPF)
	case recordElement:
		return d.endRecord()
	}
	return nil
}

// keep appends a detail of a record, if there is anything in it.
func keep[T comparable](d *reportDecoder, list *[]T, detail T, most int) error {
	var empty T
	switch {
	case detail == empty:
		return nil
	case len(*list) >= most:
		d.warning("more results or reasons than a record may have")
		return nil
	case d.details >= detailsPerRecord*d.maxRecords:
		return fmt.Errorf("%w: more than %d results and reasons", ErrReportTooLarge, d.details)
	}
	d.details++
	*list = append(*list, detail)
	return nil
}

// endRecord adds the record to the report.
func (d *reportDecoder) endRecord() error {
	if len(d.report.Records) >= d.maxRecords {
		return fmt.Errorf("%w: more than %d records", ErrReportTooLarge, d.maxRecords)
	}
	r := &d.record
	addr, err := netip.ParseAddr(strings.Trim(d.source, "[]"))
	if err != nil {
		d.warning("source_ip %q is no address", cut(d.source, maxInternedText))
	}
	r.Source = addr.Unmap().WithZone("")
	r.Count = d.number("count", d.count, MaxReportCount)
	r.Disposition, r.DKIM, r.SPF = word(r.Disposition), word(r.DKIM), word(r.SPF)
	d.known("disposition", r.Disposition, dispositionValues)
	d.known("aligned dkim", r.DKIM, alignedValues)
	d.known("aligned spf", r.SPF, alignedValues)
	d.present("header_from", r.HeaderFrom)
	d.report.Records = append(d.report.Records, *r)
	return nil
}

// finish completes what is not in records.
func (d *reportDecoder) finish() error {
	m, p := &d.report.Metadata, &d.report.Policy
	if p.Domain == "" && len(d.report.Records) == 0 {
		return fmt.Errorf("%w: a feedback element without domain and records", ErrNoReport)
	}
	m.Begin, m.End = d.date("begin", d.begin), d.date("end", d.end)
	if m.End.Before(m.Begin) {
		d.warning("date_range ends before it begins")
	}
	for _, w := range []*string{
		&p.Policy, &p.Subdomain, &p.Nonexistent, &p.DiscoveryMethod, &p.FailureOptions, &p.DKIMAlignment, &p.SPFAlignment,
		&p.Testing,
	} {
		*w = word(*w)
	}
	p.DKIMAlignment, p.SPFAlignment = alignmentMode(p.DKIMAlignment), alignmentMode(p.SPFAlignment)
	d.known("p", p.Policy, policyValues)
	d.known("sp", orNone(p.Subdomain), policyValues)
	d.known("np", orNone(p.Nonexistent), policyValues)
	d.present("org_name", m.OrgName)
	d.present("email", m.Email)
	d.present("report_id", m.ReportID)
	d.present("policy_published domain", p.Domain)
	if len(d.report.Records) == 0 {
		d.warning("no record")
	}
	return nil
}

// present warns about what the schema demands and the report does not have.
func (d *reportDecoder) present(name, value string) {
	if value == "" {
		d.warning("no %s", name)
	}
}

// known warns about a value that the schema does not know. It is kept.
func (d *reportDecoder) known(name, value, values string) {
	if !oneOf(value, values) {
		d.warning("%s %q is none of: %s", name, cut(value, maxInternedText), values)
	}
}

// number reads a number from 0 to most; what is not one is nearly one.
func (d *reportDecoder) number(name, text string, most int64) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err == nil && n >= 0 && n <= most {
		return n
	}
	d.warning("%s %q is no number from 0 to %d", name, cut(text, maxInternedText), most)
	return max(0, min(n, most)) // ParseInt gives 0 for what is no number, and the nearest one for what is too large
}

// date reads seconds since 1970.
func (d *reportDecoder) date(name, text string) time.Time {
	whole, _, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n <= 0 || n > maxReportTime {
		d.warning("%s %q is no time in seconds since 1970", name, cut(text, maxInternedText))
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

// value makes a text of what stands in an element.
func (d *reportDecoder) value(raw []byte) string {
	raw = bytes.TrimRight(raw, " \t\r\n")
	if s, ok := d.interned[string(raw)]; ok {
		return s
	}
	s := decodeCharset(string(raw), d.charset)
	if !utf8.ValidString(s) {
		d.warning("a text that is not in its character set")
	}
	s = unescape(s)
	if len(s) > MaxReportText {
		d.warning("a text that is too long")
	}
	s = cleanText(s)
	if s == string(raw) {
		return d.intern(raw)
	}
	return s
}

// intern gives the string of b, the same one each time for a short one.
func (d *reportDecoder) intern(b []byte) string {
	if s, ok := d.interned[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(s) <= maxInternedText && len(d.interned) < maxInterned && isPlain(s) {
		d.interned[s] = s
	}
	return s
}

// lower makes the ASCII letters of a name small.
func lower(name []byte) {
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			name[i] = c | 0x20
		}
	}
}

// word is a value from a list, as the schema writes it.
func word(s string) string { return strings.ToLower(s) }

// spfResult puts the results right that reports have by other names: RFC 7489 appendix C tells of the first two.
func spfResult(s string) string {
	switch s {
	case "unknown":
		return "temperror"
	case "error":
		return "permerror"
	case "hardfail", "hard_fail":
		return "fail"
	case "soft_fail":
		return "softfail"
	}
	return s
}

// alignmentMode does the same for adkim and aspf.
func alignmentMode(s string) string {
	switch s {
	case "relaxed":
		return "r"
	case "strict":
		return "s"
	}
	return s
}
