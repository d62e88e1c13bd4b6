package dmarc

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// reportView is a report as a person is shown it.
type reportView struct {
	Org, Domain, ID, Email, Contact, Generator string
	Period, Policy                             string
	Total                                      ReportSource // the sums
	Sources                                    []ReportSource
	Advice                                     []adviceGroup
	Errors, Warnings                           []string
}

// maxAddresses is how many addresses are named that have the same advice.
const maxAddresses = 8

// adviceGroup is the advice that is the same for some sources.
type adviceGroup struct {
	Addresses []string // the first of them
	Sources   int64    // how many
	Failed    int64    // messages
	Lines     []string
}

// Heading says whom the advice is about.
func (g *adviceGroup) Heading() string {
	names := strings.Join(g.Addresses, ", ")
	if more := g.Sources - int64(len(g.Addresses)); more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	return names + ": " + count(g.Failed, "message", "messages") + " failed"
}

// groupAdvice puts sources with the same advice together, those with the most failures first.
func groupAdvice(sources []ReportSource) []adviceGroup {
	index := map[string]int{}
	var groups []adviceGroup
	for i := range sources {
		s := &sources[i]
		if s.Failed() == 0 {
			continue
		}
		key := strings.Join(s.Advice, "\n")
		k, known := index[key]
		if !known {
			k = len(groups)
			index[key] = k
			groups = append(groups, adviceGroup{Lines: s.Advice})
		}
		g := &groups[k]
		g.Sources++
		g.Failed += s.Failed()
		addTo(&g.Addresses, s.Name(), maxAddresses)
	}
	slices.SortStableFunc(groups, func(a, b adviceGroup) int { return cmp.Compare(b.Failed, a.Failed) })
	return groups
}

func (r *Report) view() *reportView {
	m, p := &r.Metadata, &r.Policy
	v := &reportView{
		Org: orElse(shown(m.OrgName), "an unnamed receiver"), Domain: orElse(shown(p.Domain), "an unnamed domain"),
		ID: shown(m.ReportID), Email: shown(m.Email), Contact: shown(m.ExtraContactInfo), Generator: shown(m.Generator),
		Period: period(m.Begin, m.End), Policy: p.text(), Sources: r.Sources(),
	}
	for i := range v.Sources {
		s := &v.Sources[i]
		v.Total.Messages += s.Messages
		v.Total.Passed += s.Passed
		v.Total.DKIM += s.DKIM
		v.Total.SPF += s.SPF
		v.Total.Quarantined += s.Quarantined
		v.Total.Rejected += s.Rejected
	}
	v.Advice = groupAdvice(v.Sources)
	for _, e := range m.Errors {
		v.Errors = append(v.Errors, cleanText(e))
	}
	for _, w := range r.Warnings {
		v.Warnings = append(v.Warnings, cleanText(w))
	}
	return v
}

// period is a date range in UTC, without the times for whole days.
func period(begin, end time.Time) string {
	begin, end = begin.UTC(), end.UTC()
	const day, minute = "2006-01-02", "2006-01-02 15:04"
	length := end.Sub(begin)
	switch {
	case begin.IsZero() || end.IsZero():
		return "an unknown time"
	case begin.Equal(begin.Truncate(24*time.Hour)) && length > 24*time.Hour-time.Minute && length <= 24*time.Hour:
		return begin.Format(day) + " (UTC)"
	}
	return begin.Format(minute) + " to " + end.Format(minute) + " (UTC)"
}

// text is the policy in the tags of a record.
func (p *ReportPolicy) text() string {
	var b strings.Builder
	for _, tag := range [][2]string{
		{"p", orNone(p.Policy)}, {"sp", p.Subdomain}, {"np", p.Nonexistent},
		{"adkim", p.DKIMAlignment}, {"aspf", p.SPFAlignment}, {"fo", p.FailureOptions}, {"t", p.Testing}, {"pct", p.Percent},
	} {
		if value := shown(tag[1]); value != "" {
			b.WriteString(tag[0] + "=" + value + " ")
		}
	}
	return strings.TrimSuffix(b.String(), " ")
}

// percent is part of whole, rounded, but 100 means all and 0 means none.
func percent(part, whole int64) int64 {
	switch {
	case whole <= 0 || part <= 0:
		return 0
	case part >= whole:
		return 100
	}
	hi, lo := bits.Mul64(uint64(part), 100)
	lo, carry := bits.Add64(lo, uint64(whole/2), 0)
	q, _ := bits.Div64(hi+carry, lo, uint64(whole)) // no more than 100
	return min(max(int64(q), 1), 99)
}

// count is a number with the noun for it.
func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// WriteText writes the report for a person at a terminal: what it is, the sums, a table with a line for each source, and
// for sources with failures why and what to do. Lines end in LF; those of the table are as long as their contents,
// the others can be longer than a terminal is wide. Nothing in it controls the terminal. The only errors are w's.
func (r *Report) WriteText(w io.Writer) error {
	v := r.view()
	var b bytes.Buffer
	fmt.Fprintf(&b, "DMARC report from %s about %s\n%s", v.Org, v.Domain, v.Period)
	if v.ID != "" {
		fmt.Fprintf(&b, ", report %s", v.ID)
	}
	fmt.Fprintf(&b, "\nPolicy published: %s\n\n", v.Policy)
	fmt.Fprintf(&b, "%s from %s: %d passed (%d %%), %d failed; %d quarantined, %d rejected\n\n",
		count(v.Total.Messages, "message", "messages"), count(int64(len(v.Sources)), "source", "sources"),
		v.Total.Passed, percent(v.Total.Passed, v.Total.Messages), v.Total.Failed(), v.Total.Quarantined, v.Total.Rejected)
	v.table(&b)
	for i := range v.Advice {
		notes(&b, v.Advice[i].Heading(), v.Advice[i].Lines)
	}
	notes(&b, "The receiver says of your policy record:", v.Errors)
	notes(&b, "The report does not keep to the standard:", v.Warnings)
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("dmarc: write report as text: %w", err)
	}
	return nil
}

func (v *reportView) table(b *bytes.Buffer) {
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0) // a bytes.Buffer takes everything
	_, _ = fmt.Fprintln(t, "source\tmessages\tpassed\tDKIM\tSPF\tquarantined\trejected\tFrom\tidentified as")
	for i := range v.Sources {
		s := &v.Sources[i]
		_, _ = fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n",
			s.Name(), s.Messages, s.Passed, s.DKIM, s.SPF, s.Quarantined, s.Rejected,
			orElse(strings.Join(s.From, ", "), "-"), orElse(strings.Join(s.Identified, ", "), "-"))
	}
	_ = t.Flush()
}

// notes writes a heading and a list, if there is anything in it.
func notes(b *bytes.Buffer, heading string, lines []string) {
	if len(lines) == 0 {
		return
	}
	b.WriteString("\n" + heading + "\n")
	for _, line := range lines {
		b.WriteString("  - " + line + "\n")
	}
}
