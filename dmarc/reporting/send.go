package reporting

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	err = errors.Join(append(errs, err)...)
	if len(sent) > 0 || err == nil {
		r.note(d, name, sent, err == nil)
	}
	if err != nil {
		r.log().Warn("reporting: report is not sent to all; it is tried again later", "domain", name, "error", err)
		r.postpone(d, []string{name}, err)
		return
	}
	r.logDone(d, full, to)
}

// logDone says to how many addresses a report went, and why not to others.
func (r *Reporter) logDone(d *day, full *domain, to []string) {
	sent := r.sentTo(d, full.name)
	attrs := []any{"domain", full.name, "day", d.date.String(), "sent", len(sent), "addresses", len(to)}
	if left := r.leftOut(full, to, sent); len(left) > 0 {
		attrs = append(attrs, "left_out", cut(strings.Join(left, "; "), maxLogged))
	}
	text := "reporting: report is done"
	if len(sent) == 0 {
		text = "reporting: report has nobody to go to"
	}
	r.log().Info(text, attrs...)
}

// leftOut says which addresses do not get a report, and why. To are those that agree, sent those that got it.
func (r *Reporter) leftOut(full *domain, to, sent []string) []string {
	var left []string
	add := func(address, why string) { left = append(left, address+": "+why) }
	for i, address := range full.policy.addresses() {
		switch host := domainOf(address); {
		case slices.ContainsFunc(to, func(other string) bool { return domainOf(other) == host }): // it, or another in its place
		case i >= orDefault(r.DMARC.MaxDestinations, dmarc.DefaultMaxDestinations):
			add(address, "the record has too many")
		default:
			add(address, "its domain does not agree to reports about "+full.name+" (RFC 9990 §4)")
		}
	}
	for _, address := range to {
		if !slices.Contains(sent, address) { // else there had been an error
			add(address, "suppressed")
		}
	}
	return left
}

// sentTo are the addresses that have got the report about a domain.
func (r *Reporter) sentTo(d *day, name string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if dom := d.domains[name]; dom != nil {
		return slices.Clone(dom.sent)
	}
	return nil
}

// unsent takes away the addresses that have got the report about a domain, and those that are suppressed.
func (r *Reporter) unsent(d *day, name string, to []string) []string {
	sent := r.sentTo(d, name)
	r.mu.Lock()
	defer r.mu.Unlock()
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
		taken, err := r.send(ctx, mail)
		if err != nil {
			errs = append(errs, fmt.Errorf("send to %s: %w", address, err))
		}
		if taken {
			sent = append(sent, address)
		}
	}
	return sent, errors.Join(errs...)
}

// send calls Send; taken says that it took the report. An address that is refused for good is suppressed, which is no error.
func (r *Reporter) send(ctx context.Context, m Mail) (taken bool, err error) {
	err = r.Send(ctx, m)
	if !errors.Is(err, ErrUndeliverable) {
		return err == nil, err
	}
	r.log().Warn("reporting: address is refused; it gets no reports for now", "address", m.To, "for", RefusedTime, "error", err)
	if err := r.Suppress(ctx, m.To, r.time().Add(RefusedTime)); !errors.Is(err, ErrSuppressed) {
		return false, err
	}
	return false, nil
}

// sendKey is the key under which a report goes to an address.
func sendKey(reportID, address string) string {
	sum := sha256.Sum256([]byte(address))
	return "dmarc-report/" + reportID + "/" + hex.EncodeToString(sum[:12])
}
