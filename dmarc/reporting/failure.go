package reporting

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/internal/domainname"
)

const (
	// failureWindow is the time in which MaxFailures and MaxDomainFailures count.
	failureWindow = time.Hour
	// maxWaitingFailures is how many failure reports wait until Run makes them, each with at most dmarc.MaxFailureHeader
	// octets. The next are dropped.
	maxWaitingFailures = 50
	// spfTimeout is how long an SPF record is waited for. Of a domain's records at most maxSPFs are told, those with no
	// more than maxSPF octets.
	spfTimeout = 20 * time.Second
	maxSPFs    = 3
	maxSPF     = 4 << 10
)

// Failure is a message about which a domain's owner may want a failure report.
type Failure struct {
	// Evaluation is as Record takes it. Its Verdict.Record says who wants reports and what for.
	Evaluation
	// Header is the header of the message as it came, of which 64 KiB are told. Nothing of the body is.
	Header []byte
	// Details may have what else there is to tell: AuthenticationResults, ArrivalDate, SourcePort, DeliveryResult,
	// OriginalEnvelopeID, DKIMDomain, DKIMIdentity, DKIMSelector, DKIMSelectorDNS and SPFDNS. Its other fields are not used.
	// What RFC 9991 §4 demands is found without them: AuthenticationResults and the signature out of the Evaluation, and
	// the SPF record, where SPF failed for an aligned domain, in the DNS.
	Details dmarc.FailureReport
}

// failureQueue is what Failure leaves to Run, and how much that was. Reporter.mu protects it, except for the channel.
type failureQueue struct {
	waiting chan *failure
	began   time.Time // of the window
	total   int
	domains map[string]int
	// seen counts the messages of a kind in this window, before those of the last, each of which has led to one report.
	seen, before map[string]uint32
}

type failure struct {
	domain string // that published the record
	record *dmarc.Record
	report *dmarc.FailureReport
	spf    string // the domain whose SPF record is to be told; empty: none, or it is in report
}

func newFailureQueue() failureQueue {
	return failureQueue{waiting: make(chan *failure, maxWaitingFailures)}
}

// Failure has a failure report (RFC 9991) made about a message when FailureReports is set, the message failed in a way for
// which the domain's record asks for reports (ruf and fo), its owner's addresses agree to them, and the limits allow it.
// Without that it does nothing, and no error is ErrClosed only. It returns at once: Run makes and sends the report, once,
// and what it has not sent is lost when it ends.
//
// There are none about messages that programs wrote, that have a null reverse-path, or that came to Email alone, as these
// may be reports themselves. Messages that fail in the same way, from the same address, within an hour lead to one report;
// the first of the next hour says how many there were (RFC 9991 §8.1).
func (r *Reporter) Failure(_ context.Context, f Failure) error {
	kind := r.failureKind(&f)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.open {
		return ErrClosed
	}
	if kind == "" {
		return nil
	}
	if len(r.failures.waiting) == cap(r.failures.waiting) { // before it counts, so that one like it may come later
		return nil
	}
	v := &f.Verdict
	key := strings.Join([]string{v.RecordDomain, v.AuthorDomain, kind, f.Source.String()}, "\x00")
	incidents, ok := r.failures.admit(key, v.RecordDomain, r)
	if !ok {
		return nil
	}
	rep := r.failureReport(&f, kind, incidents)
	r.failures.waiting <- &failure{domain: v.RecordDomain, record: shortRecord(v.Record), report: rep, spf: failedSPF(&f, kind)}
	return nil
}

// admit counts a message in its window, and says whether it may lead to a report and how many the report stands for.
func (q *failureQueue) admit(key, domain string, r *Reporter) (incidents uint32, ok bool) {
	now := r.time()
	if since := now.Sub(q.began); since < 0 || since >= failureWindow {
		q.before = q.seen
		if since >= 2*failureWindow {
			q.before = nil
		}
		q.began, q.total, q.domains, q.seen = now, 0, map[string]int{}, map[string]uint32{}
	}
	if n, again := q.seen[key]; again {
		q.seen[key] = max(n, n+1)
		return 0, false
	}
	most, each := orDefault(r.MaxFailures, DefaultMaxFailures), orDefault(r.MaxDomainFailures, DefaultMaxDomainFailures)
	if q.total >= most || q.domains[domain] >= each {
		return 0, false
	}
	q.total++
	q.domains[domain]++
	q.seen[key] = 1
	return max(1, q.before[key]), true // the last window's first had a report of its own, this one takes its place
}

// failureKind is what a report would be about: dmarc, signature or spf, and empty when there is to be none.
func (r *Reporter) failureKind(f *Failure) string {
	v := &f.Verdict
	if !r.FailureReports || !decided(v) || len(v.Record.FailureURIs) == 0 || v.Record.PSD == dmarc.PSDYes ||
		len(f.Header) == 0 || r.mayLoop(f) {
		return ""
	}
	asked := strings.Split(v.Record.FailureOptions, ":") // RFC 9989 §4.7, "fo"
	switch {
	case slices.Contains(asked, "0") && !v.DKIMAligned && !v.SPFAligned,
		slices.Contains(asked, "1") && (!v.DKIMAligned || !v.SPFAligned):
		return dmarc.AuthFailureDMARC
	case slices.Contains(asked, "d") && failedSignature(f, "") != nil:
		return "signature"
	case slices.Contains(asked, "s") && f.SPF.Result == "fail":
		return "spf"
	}
	return ""
}

// mayLoop says that a report could lead to another message like the one that it is about.
func (r *Reporter) mayLoop(f *Failure) bool {
	get := func(name string) string { return headerField(f.Header, name) }
	return f.ReversePath == "" || f.Automated != Personal || Automated(get) != Personal || r.optional(&f.Evaluation)
}

// failedSignature is a signature that failed; for domain, if that is not empty, an aligned one as far as can be told
// without the DNS.
func failedSignature(f *Failure, domain string) *dmarc.ReportDKIM {
	for i := range f.DKIM {
		d := &f.DKIM[i]
		if d.Result == "fail" && (domain == "" || within(d.Domain, domain) || within(domain, d.Domain)) {
			return d
		}
	}
	return nil
}

// failedSPF is the domain whose SPF record is to be told (RFC 9991 §4): that for which SPF failed, if it is aligned, as far
// as can be told without the DNS, or if SPF is what the report is about.
func failedSPF(f *Failure, kind string) string {
	domain, ok := domainname.Identity(f.SPF.Domain)
	aligned := within(domain, f.Verdict.RecordDomain) || within(f.Verdict.AuthorDomain, domain)
	if !ok || f.Verdict.SPFAligned || len(f.Details.SPFDNS) > 0 || kind != "spf" && !aligned {
		return ""
	}
	return domain
}

// spfRecords are the SPF records of a domain, of which there should be one. Without an answer there is less to tell.
func (r *Reporter) spfRecords(ctx context.Context, domain string) (out []dmarc.FailureSPF) {
	if domain == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, spfTimeout)
	defer cancel()
	texts, _ := r.evaluator().Resolver.LookupTXT(ctx, domain+".")
	for _, text := range texts {
		version, _, _ := strings.Cut(text, " ")
		if strings.EqualFold(version, "v=spf1") && len(text) <= maxSPF && len(out) < maxSPFs {
			out = append(out, dmarc.FailureSPF{Domain: domain, Record: text})
		}
	}
	return out
}

// within says that a domain is another one or below it.
func within(name, domain string) bool {
	return strings.HasSuffix("."+strings.ToLower(name), "."+strings.ToLower(domain))
}

// failureReport is the report without what only Run finds out.
func (r *Reporter) failureReport(f *Failure, kind string, incidents uint32) *dmarc.FailureReport {
	v, d := &f.Verdict, &f.Details
	rep := &dmarc.FailureReport{
		UserAgent: generator, AuthFailure: kind, AuthenticationResults: d.AuthenticationResults, DeliveryResult: d.DeliveryResult,
		ReportedDomain: v.AuthorDomain, OriginalMailFrom: f.ReversePath, OriginalEnvelopeID: d.OriginalEnvelopeID,
		ArrivalDate: d.ArrivalDate, SourceIP: f.Source, SourcePort: d.SourcePort, ReportingMTA: r.Hostname, Incidents: incidents,
		DKIMDomain: d.DKIMDomain, DKIMIdentity: d.DKIMIdentity, DKIMSelector: d.DKIMSelector, DKIMSelectorDNS: d.DKIMSelectorDNS,
		SPFDNS: slices.Clone(d.SPFDNS), Header: bytes.Clone(f.Header[:min(len(f.Header), dmarc.MaxFailureHeader+1)]),
	}
	if rep.ArrivalDate.IsZero() {
		rep.ArrivalDate = r.time()
	}
	if !v.DKIMAligned {
		rep.IdentityAlignment = append(rep.IdentityAlignment, "dkim")
	}
	if !v.SPFAligned {
		rep.IdentityAlignment = append(rep.IdentityAlignment, "spf")
	}
	near := v.AuthorDomain
	if kind == "signature" {
		near = ""
	}
	if s := failedSignature(f, near); s != nil && rep.DKIMDomain == "" && kind != "spf" { // RFC 9991 §4
		rep.DKIMDomain, rep.DKIMSelector = cut(s.Domain, maxName), cut(s.Selector, maxName)
		rep.DKIMIdentity = "@" + rep.DKIMDomain // the default (RFC 6376 §3.5, "i=")
	}
	if rep.AuthenticationResults == "" {
		switch kind {
		case "signature":
			rep.AuthenticationResults = fmt.Sprintf("%s; dkim=fail header.d=%s header.s=%s",
				r.Hostname, word(rep.DKIMDomain), word(rep.DKIMSelector))
		case "spf":
			rep.AuthenticationResults = r.Hostname + "; spf=fail smtp.mailfrom=" + word(f.SPF.Domain)
		default: // it may have passed, as fo=1 asks for what failed in one way
			rep.AuthenticationResults = fmt.Sprintf("%s; dmarc=%s header.from=%s", r.Hostname, v.Result, word(v.AuthorDomain))
		}
	}
	return rep
}

// word is a domain or selector as it may stand in an Authentication-Results field without quotes.
func word(s string) string {
	return strings.Map(func(c rune) rune {
		if c > ' ' && c < 0x7f && !strings.ContainsRune(`()<>@,;:\"/[]?=`, c) {
			return c
		}
		return '?'
	}, cut(s, maxName))
}

// shortRecord has what is needed of a record when a report is made.
func shortRecord(rec *dmarc.Record) *dmarc.Record {
	return &dmarc.Record{FailureURIs: slices.Clone(rec.FailureURIs[:min(len(rec.FailureURIs), maxURIs)]), PSD: rec.PSD}
}

// headerField is the value of the first field of a name, unfolded.
func headerField(header []byte, name string) string {
	var value []byte
	found := false
	for line := range bytes.Lines(header) {
		text := bytes.TrimRight(line, "\r\n")
		if found {
			if len(text) == 0 || text[0] != ' ' && text[0] != '\t' {
				break
			}
			value = append(value, text...)
			continue
		}
		key, rest, ok := bytes.Cut(text, []byte(":"))
		if found = ok && strings.EqualFold(string(bytes.TrimRight(key, " \t")), name); found {
			value = bytes.Clone(rest)
		}
	}
	return string(bytes.TrimSpace(value))
}

// sendFailures makes the reports that Failure asked for, until ctx ends.
func (r *Reporter) sendFailures(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-r.failures.waiting:
			if err := r.sendFailure(ctx, f); err != nil {
				r.log().Warn("reporting: failure report is not sent", "domain", f.domain, "error", err)
			}
		}
	}
}

func (r *Reporter) sendFailure(ctx context.Context, f *failure) error {
	to, err := r.evaluator().FailureDestinations(ctx, f.domain, f.record)
	errs := []error{err}
	r.mu.Lock()
	to = r.suppressed.without(to, r.time())
	r.mu.Unlock()
	if len(to) > 0 {
		f.report.SPFDNS = append(f.report.SPFDNS, r.spfRecords(ctx, f.spf)...)
	}
	for _, address := range to {
		id := rand.Text()
		content, err := r.failureMessage(f, address, id)
		if err == nil {
			_, err = r.send(ctx, Mail{From: r.Email, To: address, Key: "dmarc-failure/" + id, Content: content})
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("send to %s: %w", address, err))
		}
	}
	return errors.Join(errs...)
}

// failureMessage is the mail that carries a failure report.
func (r *Reporter) failureMessage(f *failure, to, id string) ([]byte, error) {
	var b bytes.Buffer
	r.header(&b, to, id)
	b.WriteString("Subject: DMARC failure report for\r\n " + word(f.report.ReportedDomain) + "\r\n")
	if err := f.report.Write(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
