package reporting

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mailbricks/mailbricks/dmarc"
)

// ErrNoData: nothing was recorded of a domain, or its report was sent.
var ErrNoData = errors.New("reporting: nothing is recorded")

// Pending is a report that is to be sent, as far as it is known now.
type Pending struct {
	// Day is the day that it is about, the beginning of it in UTC.
	Day time.Time
	// Domain is the policy domain.
	Domain string
	// ReportID is what the report will be known by.
	ReportID string
	// Due is when it will be sent; zero when it will not be, as all messages are from reporters and the like (see
	// Reporter.Record).
	Due time.Time
	// Messages are in Rows different rows. Dropped were more messages, as there may be no more rows.
	Messages, Dropped int64
	Rows              int
	// Destinations are the addresses that the policy record names. Whether they agree to that is found out when the report
	// is sent, and they may name others then. Sent are those that have got it already.
	Destinations, Sent []string
	// Unchecked are those of Destinations in other domains, which get the report only if these agree to it (RFC 9990 §4).
	// They are asked when the report is sent. Suppressed are those that get nothing for now; see Reporter.Suppress.
	Unchecked, Suppressed []string
	// Err is why the last try failed.
	Err string
}

// Pending lists what was recorded and not sent, the earliest day first and by domain.
func (r *Reporter) Pending(ctx context.Context) ([]Pending, error) {
	if err := r.enter(ctx); err != nil {
		return nil, err
	}
	defer r.users.Done()
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.time()
	var out []Pending
	for _, d := range r.days {
		for _, dom := range d.domains {
			if dom.done {
				continue
			}
			out = append(out, r.pending(d, dom, now))
		}
	}
	slices.SortFunc(out, func(a, b Pending) int { return cmp.Or(a.Day.Compare(b.Day), cmp.Compare(a.Domain, b.Domain)) })
	return out, nil
}

// pending says what is known of a domain's report. The caller holds mu.
func (r *Reporter) pending(d *day, dom *domain, now time.Time) Pending {
	p := Pending{
		Day: d.date.begin(), Domain: dom.name, ReportID: d.reportID(dom.name), Messages: dom.messages, Dropped: dom.dropped,
		Rows: dom.rowCount, Destinations: dom.policy.addresses(), Sent: slices.Clone(dom.sent), Err: dom.err,
	}
	free := r.suppressed.without(p.Destinations, now)
	for _, to := range p.Destinations {
		if host := domainOf(to); !within(host, dom.name) && !within(dom.name, host) {
			p.Unchecked = append(p.Unchecked, to)
		}
		if !slices.Contains(free, to) {
			p.Suppressed = append(p.Suppressed, to)
		}
	}
	if dom.wanted {
		p.Due = r.dueAt(d, dom, now)
	}
	return p
}

// Preview is the report about a domain as it would be sent now. Day is any time within the day, in UTC. ErrNoData says that
// there is none.
func (r *Reporter) Preview(ctx context.Context, day time.Time, domain string) (*dmarc.Report, error) {
	if err := r.enter(ctx); err != nil {
		return nil, err
	}
	defer r.users.Done()
	d, dom, err := r.find(dateOf(day), domain)
	if err != nil {
		return nil, err
	}
	if len(dom.rows) == 0 {
		return nil, ErrNoData
	}
	rep, _, err := r.pack(d, dom)
	return rep, err
}

// find gives a domain with its rows, as it is now.
func (r *Reporter) find(n date, name string) (*day, *domain, error) {
	r.files.Lock()
	defer r.files.Unlock()
	d, dom := r.current(n, name)
	if dom == nil {
		return nil, nil, ErrNoData
	}
	if dom.rows != nil {
		return d, dom, nil
	}
	full, _, err := r.readDay(n)
	if err != nil {
		return nil, nil, err
	}
	if dom = full.domains[name]; dom == nil {
		return nil, nil, ErrNoData
	}
	return d, dom, nil
}

// current gives a copy of a domain, without rows when they are on disk alone.
func (r *Reporter) current(n date, name string) (*day, *domain) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.days[n]
	if d == nil || d.domains[name] == nil {
		return nil, nil
	}
	return &day{date: d.date, id: d.id}, d.domains[name].clone()
}

// clone is a domain that nobody changes any more.
func (dom *domain) clone() *domain {
	c := *dom
	if dom.rows == nil {
		return &c
	}
	c.rows = make(map[string]*countedRow, len(dom.rows))
	for key, row := range dom.rows {
		c.rows[key] = &countedRow{domain: &c, key: key, count: row.count}
	}
	return &c
}
