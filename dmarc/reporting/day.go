package reporting

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// date is a UTC day, in days since 1 January 1970.
type date int

const dayLength = 24 * time.Hour

func dateOf(t time.Time) date {
	secs := t.Unix()
	d := secs / int64(dayLength/time.Second)
	if secs%int64(dayLength/time.Second) < 0 {
		d--
	}
	return date(d)
}

func (d date) begin() time.Time { return time.Unix(int64(d)*int64(dayLength/time.Second), 0).UTC() }
func (d date) end() time.Time   { return (d + 1).begin() }
func (d date) String() string   { return d.begin().Format(time.DateOnly) }

func parseDate(s string) (date, bool) {
	t, err := time.Parse(time.DateOnly, s)
	return dateOf(t), err == nil && t.Year() >= 1970
}

// day is what was recorded in a UTC day. It is open, and takes evaluations, until it is closed; then its rows are on disk
// alone, while the domains stay in memory until the last report is sent.
//
// Reporter.mu protects a day, except for the fields at the end.
type day struct {
	date    date
	id      string // a random text of letters and digits, from which the IDs of the reports are made
	domains map[string]*domain
	bytes   int64 // what the domains and rows take in memory, roughly
	parties map[party]usage
	denied  party // the last that had had its share; the zero party: it was another limit
	full    bool  // an evaluation was left out, and that was logged
	shared  bool  // the same for one that was over a party's share
	closed  bool
	// changed says that the file does not have all of it. Rows and Domains list what has changed in an open day.
	changed     bool
	newRows     []*countedRow
	newDomains  []*domain
	closeStored bool // the file says that the day is closed

	// The rest belongs to whoever holds Reporter.files.
	file dayFile
}

func newDay(d date) *day {
	return &day{date: d, id: rand.Text(), domains: map[string]*domain{}, parties: map[party]usage{}}
}

// domain is what was recorded of the mail under one policy record, and what became of the report.
type domain struct {
	name   string
	org    party
	policy *policy
	hash   uint64 // of the record's text
	// wanted says that an evaluation was not an optional one, so that there is to be a report.
	wanted   bool
	messages int64
	dropped  int64                  // messages beyond the limits, which have no row
	rows     map[string]*countedRow // nil in a closed day
	rowCount int

	sent  []string  // addresses that have got the report
	done  bool      // nothing is left to be sent
	tries int       // that failed
	retry time.Time // not before that
	err   string    // of the last try

	listed bool // in day.newDomains
}

// countedRow is a row and how often it was seen.
type countedRow struct {
	domain *domain
	key    string
	count  int64
	stored int64 // of count, what the file has or is about to get
	listed bool  // in day.newRows
	number int   // in the file, 0: it is not there. It belongs to whoever holds Reporter.files.
}

// What domains and rows take in memory beside their texts, roughly, and what is noted of their parties with it.
const (
	domainSize = 640
	rowSize    = 256
)

// domain gives the domain of a name, nil when that would be one too many.
func (d *day) domain(name string, from party, lim limits) *domain {
	if dom := d.domains[name]; dom != nil {
		return dom
	}
	dom := &domain{name: name, org: organization(name), rows: map[string]*countedRow{}}
	if !d.take(usage{domains: 1, bytes: domainSize}, lim, from, dom.org) {
		return nil
	}
	d.domains[name] = dom
	return dom
}

// setPolicy notes the policy that a domain has now: where there are several in a day, a report has the last (RFC 9990
// §3.1, §3.3).
func (d *day) setPolicy(dom *domain, p *policy) {
	d.bytes -= dom.policy.size()
	dom.policy = p
	d.bytes += p.size()
}

func (p *policy) size() int64 {
	if p == nil {
		return 0
	}
	n := domainSize
	for _, s := range slices.Concat(p.URIs, p.Errors) {
		n += len(s)
	}
	return int64(n)
}

// rowKey is a row as a file has it, and where its messages came from.
type rowKey struct {
	text string
	from party
}

// add counts n messages of a row. It is false when the row would be one too many.
func (d *day) add(dom *domain, key rowKey, n int64, lim limits) bool {
	r := dom.rows[key.text]
	if r == nil {
		size := usage{bytes: int64(len(key.text) + rowSize)}
		if len(dom.rows) >= lim.rows || !d.take(size, lim, key.from, dom.org) {
			return false
		}
		r = &countedRow{domain: dom, key: key.text}
		dom.rows[key.text] = r
		dom.rowCount++
	}
	r.count += n
	dom.messages += n
	if !r.listed {
		r.listed = true
		d.newRows = append(d.newRows, r)
	}
	d.changed = true
	return true
}

// touch has the state of a domain written.
func (d *day) touch(dom *domain) {
	if !dom.listed {
		dom.listed = true
		d.newDomains = append(d.newDomains, dom)
	}
	d.changed = true
}

// limits bound what a day takes.
type limits struct {
	domains, rows int
	bytes         int64
}

// finished says that the day is closed and that there is nothing more to be sent of it.
func (d *day) finished() bool {
	if !d.closeStored {
		return false
	}
	for _, dom := range d.domains {
		if dom.wanted && !dom.done {
			return false
		}
	}
	return true
}

// forgetRows leaves the rows to the file.
func (d *day) forgetRows() {
	for _, dom := range d.domains {
		dom.rows = nil
	}
	d.parties = nil
	d.newRows, d.newDomains = nil, nil
}

// reportID is the ID of the report about a domain: letters and digits only, as it is the unique-id in the file name too,
// which must be the same (RFC 9990 §3.1.4, §3.5.2).
func (d *day) reportID(domain string) string {
	sum := sha256.Sum256([]byte(d.id + "\x00" + domain))
	return strings.ReplaceAll(d.date.String(), "-", "") + hex.EncodeToString(sum[:])[:24]
}
