package reporting

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/internal/durable"
)

// What is known of a day is in the file YYYY-MM-DD.log:
//
//	mailbricks-dmarc-day 1
//	CRC JSON                    an entry
//
// Entries are appended. The file is written anew, in one step, when it has become twice as long as it need be, after a
// fault, and before anything is added to what an earlier process wrote, so that nothing is ever appended to a torn line.

const (
	dayFormat  = "mailbricks-dmarc-day"
	dayVersion = 1
	daySuffix  = ".log"
	// minRewrite is the size in octets below which a day's file is not written anew.
	minRewrite = 1 << 20
	fileMode   = 0o600
	dirMode    = 0o700
)

// entry is a line of a day's file. It is one of
//
//	ID                       the ID of the day
//	Domain, State            what is known of a domain; the last such line counts
//	Domain, Number, Row, Count   a row, its number in this file, and how often it was seen
//	Number, Count            how often it was seen besides
//	Closed                   there will be no more of these
type entry struct {
	ID     string          `json:"id,omitempty"`
	Domain string          `json:"domain,omitempty"`
	State  *state          `json:"state,omitempty"`
	Number int             `json:"n,omitempty"`
	Row    json.RawMessage `json:"row,omitempty"`
	Count  int64           `json:"c,omitempty"`
	Closed bool            `json:"closed,omitempty"`
}

// state is what is known of a domain beside its rows.
type state struct {
	Policy  *policy  `json:"policy"`
	Wanted  bool     `json:"wanted,omitempty"`
	Dropped int64    `json:"dropped,omitempty"`
	Sent    []string `json:"sent,omitempty"`
	Done    bool     `json:"done,omitempty"`
}

// dayFile is how far the file of a day is.
type dayFile struct {
	f     durable.File // open for appending, or nil: then it must be written anew first
	size  int64
	limit int64 // the size at which it is written anew
	rows  int   // the last number given
}

// drop gives up the file.
func (f *dayFile) drop() {
	if f.f != nil {
		_ = f.f.Close() // what counts has been synced
		f.f = nil
	}
}

// image is what one save writes.
type image struct {
	whole   bool
	id      string
	closed  bool
	domains []entry
	rows    []imageRow
}

type imageRow struct {
	*countedRow
	n int64 // to be written
}

func (d *day) fileName() string { return d.date.String() + daySuffix }

func (r *Reporter) path(d *day) string { return filepath.Join(r.Dir, d.fileName()) }

// save writes what has changed in a day, and returns nil when it is on disk. After an error the next save writes all of it.
// The caller holds files.
func (r *Reporter) save(d *day) error {
	img, ok := r.takeChanges(d)
	if !ok {
		return nil
	}
	err := r.write(d, img)
	if err != nil {
		d.file.drop()
		err = fmt.Errorf("reporting: write %s: %w", d.fileName(), err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	d.changed = d.changed || err != nil
	if err == nil && img.closed && !d.closeStored {
		d.closeStored = true
		d.forgetRows()
	}
	return err
}

// takeChanges gives what is to be written, as it is at this moment.
func (r *Reporter) takeChanges(d *day) (img image, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !d.changed {
		return image{}, false
	}
	img = image{whole: d.file.f == nil || d.file.size >= d.file.limit, id: d.id, closed: d.closed}
	domains, rows := d.newDomains, d.newRows
	if img.whole {
		domains, rows = d.all()
	}
	img.domains = make([]entry, 0, len(domains))
	for _, dom := range domains {
		img.domains = append(img.domains, dom.entry())
		dom.listed = false
	}
	img.rows = make([]imageRow, 0, len(rows))
	for _, row := range rows {
		n := row.count - row.stored
		if img.whole {
			n = row.count
		}
		row.stored, row.listed = row.count, false
		img.rows = append(img.rows, imageRow{countedRow: row, n: n})
	}
	d.newDomains, d.newRows, d.changed = nil, nil, false
	return img, true
}

// all gives the domains and their rows.
func (d *day) all() (domains []*domain, rows []*countedRow) {
	for _, dom := range d.domains {
		domains = append(domains, dom)
		rows = slices.AppendSeq(rows, maps.Values(dom.rows))
	}
	return domains, rows
}

// sort brings an image into an order of its own, so that the same is always written in the same way.
func (img *image) sort() {
	slices.SortFunc(img.domains, func(a, b entry) int { return cmp.Compare(a.Domain, b.Domain) })
	slices.SortFunc(img.rows, func(a, b imageRow) int {
		return cmp.Or(cmp.Compare(a.domain.name, b.domain.name), cmp.Compare(a.key, b.key))
	})
}

func (dom *domain) entry() entry {
	return entry{Domain: dom.name, State: &state{
		Policy: dom.policy, Wanted: dom.wanted, Dropped: dom.dropped, Sent: dom.sent, Done: dom.done,
	}}
}

func (r *Reporter) write(d *day, img image) error {
	if img.whole {
		return r.rewrite(d, img)
	}
	lines, err := d.file.encode(nil, img)
	if err != nil {
		return err
	}
	if _, err := d.file.f.Write(lines); err != nil {
		return err
	}
	d.file.size += int64(len(lines))
	return durable.SyncData(d.file.f)
}

// rewrite writes the file anew. The rows of a day that was closed before are in the old file.
func (r *Reporter) rewrite(d *day, img image) error {
	d.file.drop()
	if d.closeStored && len(img.domains) > 0 {
		old, _, err := r.readDay(d.date)
		if err != nil {
			return err
		}
		_, rows := old.all()
		for _, row := range rows { // their domains are in the image: while it has any, it has all
			img.rows = append(img.rows, imageRow{countedRow: row, n: row.count})
		}
	}
	img.sort()
	for _, row := range img.rows {
		row.number = 0
	}
	d.file.rows = 0
	lines, err := d.file.encode(fmt.Appendf(nil, "%s %d\n", dayFormat, dayVersion), img)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(r.fs, r.path(d), lines, fileMode); err != nil {
		return err
	}
	f, err := r.fs.OpenFile(r.path(d), os.O_WRONLY|os.O_APPEND, fileMode)
	if err != nil {
		return err
	}
	d.file.f, d.file.size = f, int64(len(lines))
	d.file.limit = max(r.minRewrite, 2*d.file.size)
	return nil
}

// encode appends the lines of an image, and numbers the rows that have no number yet.
func (f *dayFile) encode(buf []byte, img image) (_ []byte, err error) {
	if img.whole {
		if buf, err = appendLine(buf, entry{ID: img.id}); err != nil {
			return nil, err
		}
	}
	for _, e := range img.domains {
		if buf, err = appendLine(buf, e); err != nil {
			return nil, err
		}
	}
	for _, row := range img.rows {
		e := entry{Number: row.number, Count: row.n}
		if row.number == 0 {
			f.rows++
			row.number = f.rows
			e = entry{Domain: row.domain.name, Number: row.number, Row: json.RawMessage(row.key), Count: row.n}
		}
		if buf, err = appendLine(buf, e); err != nil {
			return nil, err
		}
	}
	if img.closed {
		if buf, err = appendLine(buf, entry{Closed: true}); err != nil {
			return nil, err
		}
	}
	return buf, nil
}

// readDay reads the file of a day; skipped counts the lines that could not be read.
func (r *Reporter) readDay(date date) (d *day, skipped int, err error) {
	name := date.String() + daySuffix
	f, err := r.fs.OpenFile(filepath.Join(r.Dir, name), os.O_RDONLY, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("reporting: read %s: %w", name, err)
	}
	defer f.Close()
	d, skipped, err = parseDay(f, date)
	if err != nil {
		return nil, 0, fmt.Errorf("reporting: read %s: %w", name, err)
	}
	if d.id == "" { // it was in a line that is lost
		d.id = rand.Text()
	}
	return d, skipped, nil
}

// parseDay reads the contents of a day's file.
func parseDay(f io.Reader, date date) (d *day, skipped int, err error) {
	d = &day{date: date, domains: map[string]*domain{}, parties: map[party]usage{}}
	rows := map[int]*countedRow{}
	skipped, err = readLines(f, dayFormat, dayVersion, func(line []byte) error {
		var e entry
		if err := durable.ParseRecord(line, &e); err != nil {
			return err
		}
		return d.apply(e, rows)
	})
	d.changed, d.newRows = false, nil
	for _, dom := range d.domains {
		for _, row := range dom.rows {
			row.stored, row.listed = row.count, false
		}
	}
	return d, skipped, err
}

// apply adds an entry to a day.
func (d *day) apply(e entry, rows map[int]*countedRow) error {
	unlimited := limits{domains: math.MaxInt, rows: math.MaxInt, bytes: math.MaxInt64} // it was within them when written
	switch known := rows[e.Number]; {
	case e.ID != "":
		d.id = e.ID
	case e.Closed:
		d.closed, d.closeStored = true, true
	case e.State != nil && e.Domain != "" && e.State.Policy != nil:
		dom := d.domain(e.Domain, party{}, unlimited)
		d.setPolicy(dom, e.State.Policy)
		dom.wanted, dom.dropped, dom.sent, dom.done = e.State.Wanted, max(0, e.State.Dropped), e.State.Sent, e.State.Done
	case e.Number <= 0 || e.Count <= 0 || e.Count > dmarc.MaxReportCount:
		return fmt.Errorf("%w: no entry", durable.ErrCorrupt)
	case e.Row != nil && known == nil && d.domains[e.Domain] != nil:
		var row row
		if json.Unmarshal(e.Row, &row) != nil {
			return fmt.Errorf("%w: row", durable.ErrCorrupt)
		}
		dom, key := d.domains[e.Domain], rowKey{text: string(e.Row), from: network(row.Source)}
		d.add(dom, key, e.Count, unlimited)
		if len(dom.rows) == 1 { // the file does not say whose mail was the domain's first
			d.charge(key.from, usage{domains: 1})
		}
		rows[e.Number] = dom.rows[key.text]
	case e.Row == nil && known != nil:
		d.add(known.domain, rowKey{text: known.key}, e.Count, unlimited)
	default:
		return fmt.Errorf("%w: entry without what it belongs to", durable.ErrCorrupt)
	}
	return nil
}

// load reads all days at the start.
func (r *Reporter) load() error {
	names, err := r.fs.ReadNames(r.Dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		text, ok := strings.CutSuffix(name, daySuffix)
		date, valid := parseDate(text)
		if !ok || !valid {
			continue // not ours
		}
		d, skipped, err := r.readDay(date)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if skipped > 0 {
			r.log().Warn("reporting: lines cannot be read; what they counted is lost", "file", name, "lines", skipped)
		}
		if d.closed {
			d.forgetRows()
		}
		r.days[date] = d
	}
	return nil
}
