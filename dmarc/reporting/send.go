package reporting

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/mailbricks/mailbricks/dmarc"
)

// sendReport makes the report about a domain and sends it to each address that has not got it. Full is the domain with its
// rows, nil where they are lost.
func (r *Reporter) sendReport(ctx context.Context, d *day, full *domain, name string) {
	if full == nil || len(full.rows) == 0 {
		r.log().Warn("reporting: no row is left for a report", "domain", name, "day", d.date.String())
		r.note(d, name, nil, true)
		return
	}
	to, err := r.evaluator().AggregateDestinations(ctx, name, &dmarc.Record{AggregateURIs: full.policy.URIs})
	if err != nil && ctx.Err() != nil {
		return
	}
	errs := []error{err}
	sent, err := r.sendTo(ctx, d, full, r.unsent(d, name, to))
	if err = errors.Join(append(errs, err)...); err != nil {
		r.log().Warn("reporting: report is not sent to all; it is tried again later", "domain", name, "error", err)
		r.postpone(d, []string{name}, err)
	} else {
		r.log().Info("reporting: report is done", "domain", name, "day", d.date.String(), "sent", len(sent), "addresses", len(to))
	}
	if len(sent) > 0 || err == nil {
		r.note(d, name, sent, err == nil)
	}
}

// unsent takes away the addresses that have got the report about a domain, and those that are suppressed.
func (r *Reporter) unsent(d *day, name string, to []string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var sent []string
	if dom := d.domains[name]; dom != nil {
		sent = dom.sent
	}
	return slices.DeleteFunc(r.suppressed.without(to, r.time()), func(a string) bool { return slices.Contains(sent, a) })
}

// sendTo gives the addresses for which Send took the report.
func (r *Reporter) sendTo(ctx context.Context, d *day, dom *domain, to []string) (sent []string, err error) {
	if len(to) == 0 {
		return nil, nil
	}
	rep, data, err := r.pack(d, dom)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, address := range to {
		if err := ctx.Err(); err != nil {
			return sent, errors.Join(append(errs, err)...)
		}
		mail := Mail{From: r.Email, To: address, Key: sendKey(rep.Metadata.ReportID, address), Content: r.message(rep, data, address)}
		if err := r.Send(ctx, mail); err != nil {
			errs = append(errs, fmt.Errorf("send to %s: %w", address, err))
			continue
		}
		sent = append(sent, address)
	}
	return sent, errors.Join(errs...)
}

// sendKey is the key under which a report goes to an address.
func sendKey(reportID, address string) string {
	sum := sha256.Sum256([]byte(address))
	return "dmarc-report/" + reportID + "/" + hex.EncodeToString(sum[:12])
}
