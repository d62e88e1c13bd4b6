package reporting

import (
	"context"
	"fmt"
	"hash/maphash"
	"net/netip"
	"strings"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/internal/domainname"
)

// maxDays is how many days are kept, those to come after the clock was set back among them. Mail in a further one is not
// counted.
const maxDays = 16

// Evaluation is what became of one message.
type Evaluation struct {
	// Verdict is what dmarc's Evaluator found. Only Pass, Fail and PermError under a policy record with a mailto URI in rua
	// lead to a report.
	Verdict dmarc.Verdict
	// Source is the address of the client. Without one nothing is counted: reports have a row an address.
	Source netip.Addr
	// ReversePath is that of the envelope, empty when it is null, and Recipients are its recipients. Reports tell the
	// domain of the reverse-path and nothing of the recipients.
	ReversePath string
	Recipients  []string
	// SPF is the result for the MAIL FROM identity: Domain and Result, in the words of RFC 8601 §2.7.2.
	SPF dmarc.ReportSPF
	// DKIM has a result for each signature: Domain, Selector and Result, in the words of RFC 8601 §2.7.1. Where there are
	// more than 20, those that tell least are left out.
	DKIM []dmarc.ReportDKIM
	// Disposition is what was done about the message: refused, put aside or neither.
	Disposition dmarc.Policy
	// Overrides say why Disposition is not what the policy asks for. Where a message failed and there is none although one
	// must be, it is test mode or local policy.
	Overrides []dmarc.ReportOverride
	// Automated says whether a program wrote the message, and what kind of one; the function of that name finds it out.
	Automated Automation
}

// Automation is what kind of program wrote a message.
type Automation uint8

// The kinds of Automation.
const (
	// Personal: none, as far as can be seen.
	Personal Automation = iota
	// AutoSubmitted: the message is a report of some kind, or a reply that nobody typed.
	AutoSubmitted
	// AggregateReport: it says that it is an aggregate report of DMARC, as Reporter sends them.
	AggregateReport
)

// Automated says, by a message's header, whether a program wrote it (RFC 3834 §5). Get gives the value of a header field,
// empty where there is none.
func Automated(get func(field string) string) Automation {
	subject := strings.ToLower(strings.Join(strings.Fields(get("Subject")), " "))
	auto := strings.FieldsFunc(get("Auto-Submitted"), func(c rune) bool { return strings.ContainsRune(" \t\r\n;(", c) })
	kind, _, _ := strings.Cut(get("Content-Type"), ";")
	switch {
	case strings.HasPrefix(subject, "report domain:") && strings.Contains(subject, "submitter:"): // RFC 9990 §3.5.2
		return AggregateReport
	case len(auto) > 0 && !strings.EqualFold(auto[0], "no"),
		strings.EqualFold(strings.TrimSpace(kind), "multipart/report"), // RFC 6522
		strings.HasPrefix(subject, "report domain:"),
		get("TLS-Report-Domain") != "": // RFC 8460 §5.3
		return AutoSubmitted
	}
	return Personal
}

// Record counts a message. It does no more than add to a row in memory, so that it can be called while the client waits;
// see Reporter.Flush for when that is on disk. What need not be counted, or is over a limit, is no error; ErrClosed is.
//
// Reports about reports would go on for ever. So a message counts in the report but is no reason for one when it came to no
// address but Email, when it is an AggregateReport, or when it is AutoSubmitted or has a null reverse-path and passed. The
// first two hold for mail that does not pass, too: a server whose own reports fail must not be told so each day by another
// that has the same trouble. The third does not, as anybody can write Auto-Submitted into what he forges.
func (r *Reporter) Record(_ context.Context, e Evaluation) error {
	v := &e.Verdict
	counts := decided(v) && e.Source.IsValid() && len(mailURIs(v.Record)) > 0
	var key string
	if counts {
		var err error
		if key, err = newRow(&e).key(); err != nil {
			return fmt.Errorf("reporting: record: %w", err)
		}
	}
	wanted := !r.optional(&e)

	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.open {
		return ErrClosed
	}
	if !counts {
		return nil
	}
	d := r.openDay(dateOf(r.time()))
	if d == nil {
		return nil
	}
	c := counted{
		verdict: v, key: rowKey{text: key, from: network(e.Source)}, hash: maphash.String(r.seed, v.Record.Text), wanted: wanted,
	}
	if !d.count(c, r.limits()) {
		r.logLimit(d)
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return nil
}

// logLimit says once a day that a limit is reached. The caller holds mu.
func (r *Reporter) logLimit(d *day) {
	const text = "reporting: a limit is reached; not all messages of the day are in the reports"
	switch over := d.denied != (party{}); {
	case over && !d.shared:
		d.shared = true
		r.log().Warn(text, "day", d.date.String(), "share_of", d.denied.String())
	case !over && !d.full:
		d.full = true
		r.log().Warn(text, "day", d.date.String(), "domains", len(d.domains), "bytes", d.bytes)
	}
}

// decided says that a message passed or did not, under a policy record of a domain that can be named.
func decided(v *dmarc.Verdict) bool {
	return (v.Result == dmarc.Pass || v.Result == dmarc.Fail || v.Result == dmarc.PermError) &&
		v.Record != nil && isHostname(v.RecordDomain) && v.AuthorDomain != ""
}

// optional says that a message is no reason for a report.
func (r *Reporter) optional(e *Evaluation) bool {
	if e.Automated == AggregateReport {
		return true
	}
	if e.Verdict.Result == dmarc.Pass && (e.Automated != Personal || e.ReversePath == "") {
		return true
	}
	for _, to := range e.Recipients {
		if !sameAddress(to, r.Email) {
			return false
		}
	}
	return len(e.Recipients) > 0
}

// sameAddress compares without regard to case and to how the domain is written.
func sameAddress(a, b string) bool {
	i, j := strings.LastIndexByte(a, '@')+1, strings.LastIndexByte(b, '@')+1
	if strings.EqualFold(a, b) {
		return true
	}
	x, ok := domainname.Identity(a[i:])
	y, ok2 := domainname.Identity(b[j:])
	return ok && ok2 && x == y && strings.EqualFold(a[:i], b[:j])
}

// openDay gives the day to which a message of today counts. Where that is closed, as the clock was set back and its
// reports may be under way, it is the next; nil: there is none. The caller holds mu.
func (r *Reporter) openDay(today date) *day {
	for n := today; n < today+maxDays; n++ {
		d := r.days[n]
		if d == nil {
			if len(r.days) >= maxDays {
				return nil
			}
			d = newDay(n)
			r.days[n] = d
		}
		if !d.closed {
			return d
		}
	}
	return nil
}

// counted is a message that counts.
type counted struct {
	verdict *dmarc.Verdict
	key     rowKey
	hash    uint64 // of the policy record
	wanted  bool
}

// count adds a message; false: it is over a limit.
func (d *day) count(c counted, lim limits) bool {
	d.denied = party{}
	dom := d.domain(c.verdict.RecordDomain, c.key.from, lim)
	if dom == nil {
		return false
	}
	if dom.policy == nil || dom.hash != c.hash {
		dom.hash = c.hash
		d.setPolicy(dom, newPolicy(c.verdict))
		d.touch(dom)
	}
	if c.wanted && !dom.wanted {
		dom.wanted = true
		d.touch(dom)
	}
	if !d.add(dom, c.key, 1, lim) {
		dom.dropped++
		d.touch(dom)
		return false
	}
	return true
}
