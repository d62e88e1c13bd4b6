package reporting

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mailbricks/mailbricks/dmarc"
)

// generator is what reports name as the program that made them.
const generator = "mailbricks"

// errTooLarge says that an attachment would be larger than allowed.
var errTooLarge = errors.New("report is too large")

// build makes the report about a domain, with at most so many rows, those that count most first. It is the same whenever
// it is made of the same day.
func (r *Reporter) build(d *day, dom *domain, most int) (*dmarc.Report, error) {
	rows := make([]*countedRow, 0, len(dom.rows))
	for _, row := range dom.rows {
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b *countedRow) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.key, b.key))
	})
	rep := &dmarc.Report{
		Metadata: dmarc.ReportMetadata{
			OrgName: r.organization(), Email: r.Email, ExtraContactInfo: r.Contact, ReportID: d.reportID(dom.name),
			Begin: d.date.begin(), End: d.date.end().Add(-time.Second), // periods should not overlap (RFC 9990 §3.1.1.4)
			Errors: slices.Clone(dom.policy.Errors), Generator: generator,
		},
		Policy: dom.policy.report(dom.name),
	}
	left := dom.dropped
	for i, c := range rows {
		if i >= most {
			left += c.count
			continue
		}
		var row row
		if err := json.Unmarshal([]byte(c.key), &row); err != nil {
			return nil, fmt.Errorf("reporting: report about %s: %w", dom.name, err)
		}
		rep.Records = append(rep.Records, row.record(c.count))
	}
	if left > 0 {
		text := fmt.Sprintf("%d more messages are not in the records, which would be too many", left)
		rep.Metadata.Errors = append(rep.Metadata.Errors, text)
	}
	return rep, nil
}

// pack makes a report with as many rows as fit and compresses it.
func (r *Reporter) pack(d *day, dom *domain) (*dmarc.Report, []byte, error) {
	limit := attachmentLimit(orDefault(r.MaxReport, DefaultMaxReport))
	for most := len(dom.rows); ; most /= 2 {
		rep, err := r.build(d, dom, most)
		if err != nil {
			return nil, nil, err
		}
		data, err := compress(rep, limit)
		if errors.Is(err, errTooLarge) && most > 1 {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("reporting: report about %s: %w", dom.name, err)
		}
		return rep, data, nil
	}
}

// attachmentLimit is how many octets an attachment may have so that the message in base64 has no more than limit. What
// stands around it takes less than 8 KiB.
func attachmentLimit(limit int) int {
	return max(1, (limit-8<<10)/(lineLength+2)*(lineLength/4*3))
}

// compress gives the report as a .xml.gz file of at most limit octets.
func compress(rep *dmarc.Report, limit int) ([]byte, error) {
	buf := &limitedBuffer{limit: limit}
	z := gzip.NewWriter(buf)
	if err := rep.WriteXML(z); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

type limitedBuffer struct {
	bytes.Buffer
	limit int
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.limit {
		return 0, errTooLarge
	}
	return b.Buffer.Write(p)
}
