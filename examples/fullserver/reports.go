package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/auth/directory"
	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/dmarc/reporting"
	"github.com/mailbricks/mailbricks/relay"
	"github.com/mailbricks/mailbricks/senderauth"
	"github.com/mailbricks/mailbricks/smtpd"
)

const (
	// reportKey is what the queue's keys of reports begin with, as package reporting makes them.
	reportKey = "dmarc-"
	// suppressTime is how long no report goes to an address to which one could not be delivered.
	suppressTime = 7 * 24 * time.Hour
	// reportsMailbox is the local part of an address for reports alone.
	reportsMailbox = "dmarc-reports"
)

// reports is the Reporter of the configuration in force, if reports are on.
type reports struct {
	mu  sync.RWMutex
	now *reporting.Reporter
	of  reportConfig // of now, to see what a reload changes
}

// reportConfig are the keys of the section reports.
type reportConfig struct {
	dmarc, failure               bool
	organization, email, contact string
	mode                         string // policy.dmarc_mode
}

// setReports opens the Reporter that a configuration asks for, or closes the one there is. Who calls it with run sends
// reports; others only look at them.
func (a *app) setReports(c *config, run bool) error {
	r := &a.reports
	r.mu.Lock()
	defer r.mu.Unlock()
	of := c.reports
	of.mode = c.policy.dmarcMode
	if of == r.of || !of.dmarc && r.now == nil {
		return nil
	}
	var err error
	if r.now != nil {
		err = r.now.Close()
	}
	r.now, r.of = nil, reportConfig{}
	if err != nil || !c.reports.dmarc {
		return err
	}
	next := a.reporter(c)
	if err := next.Open(); err != nil {
		return err
	}
	r.now, r.of = next, of
	if run {
		if text := a.unsignedReports(context.Background()); text != "" {
			a.log.Warn(text)
		}
		a.background.Go(func() {
			if err := next.Run(context.Background()); err != nil && !errors.Is(err, reporting.ErrClosed) { // it ends with Close
				a.log.Error("DMARC reports are not sent", "error", err)
			}
		})
	}
	return nil
}

func (a *app) reporter(c *config) *reporting.Reporter {
	return &reporting.Reporter{
		Dir: c.path("state", "dmarc"), Hostname: reportHost(c),
		Organization: c.reports.organization, Email: a.reportAddress(c), Contact: c.reports.contact,
		FailureReports: c.reports.failure,
		Send:           a.sendReport, Resolver: lookups{&a.dns}, DMARC: evaluator(c), Logger: a.log,
	}
}

// reportHost is the name of this server as it can stand in file names.
func reportHost(c *config) string {
	if host, err := directory.CanonicalDomain(c.hostname); err == nil {
		return host
	}
	return c.hostname
}

// reportAddress is from whom reports are: reports.email, or reportsTo the hosted domain in which this server is, as that has
// keys and somebody reads what comes back.
func (a *app) reportAddress(c *config) string {
	if c.reports.email != "" {
		return c.reports.email
	}
	domain := reportHost(c)
	for parent := domain; strings.Contains(parent, "."); _, parent, _ = strings.Cut(parent, ".") {
		if a.dir.Hosts(parent) {
			domain = parent
			break
		}
	}
	return a.reportsTo(domain)
}

// reportsTo is the address at a domain for reports: one of their own where there is such a mailbox or alias, so that reports
// can be told from other mail, else postmaster, which every domain has.
func (a *app) reportsTo(domain string) string {
	if own := reportsMailbox + "@" + domain; a.dir.Hosts(domain) {
		if _, err := a.dir.Resolve(own); err == nil {
			return own
		}
	}
	return "postmaster@" + domain
}

// unsignedReports says that reports leave unsigned; empty: they do not.
func (a *app) unsignedReports(ctx context.Context) string {
	c := a.config()
	if !c.reports.dmarc {
		return ""
	}
	_, domain := mailbricks.SplitAddress(a.reportAddress(c))
	signers, err := a.keys.Signers(ctx, domain)
	switch {
	case err != nil || len(signers) > 0: // an error keeps reports back, and is told of itself
		return ""
	case a.dir.Hosts(domain):
		return fmt.Sprintf("DMARC reports leave unsigned, as %[1]s has no DKIM key; fullserver dkim %[1]s makes one", domain)
	}
	return fmt.Sprintf("DMARC reports leave unsigned, from %s: set reports.email to an address at a domain of this server that has a DKIM key",
		a.reportAddress(c))
}

// close ends reporting.
func (r *reports) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil {
		return nil
	}
	err := r.now.Close()
	r.now, r.of = nil, reportConfig{}
	return err
}

// use calls f with the Reporter, if there is one.
func (r *reports) use(f func(*reporting.Reporter) error) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.now == nil {
		return errReportsOff
	}
	return f(r.now)
}

var errReportsOff = errors.New("DMARC reports are off: set reports.dmarc = true")

// sendReport hands a report to the queue, for whom its address stands here or for another server. The queue knows by the key
// what it has got already, also where it delivers into a mailbox of this server.
func (a *app) sendReport(ctx context.Context, m reporting.Mail) error {
	env := &mailbricks.Envelope{
		ID: rand.Text(), From: m.From, Received: time.Now(),
		// What comes of it is told by the queue's events; nobody needs a notification besides.
		Recipients: []mailbricks.Recipient{{Address: m.To, Notify: mailbricks.NotifyNever}},
	}
	send := func(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
		_, err := a.queue.Send(ctx, env, msg, relay.Key(m.Key))
		return err
	}
	err := a.dir.Expand(mailbricks.HandlerFunc(send)).Handle(ctx, env, mailbricks.NewMessage(m.Content))
	if err != nil && !mailbricks.IsTemporary(err) {
		return fmt.Errorf("%w: %w", reporting.ErrUndeliverable, err)
	}
	return err
}

// onEvent keeps further reports from an address to which one could not be delivered.
func (a *app) onEvent(ev relay.Event) {
	if ev.Kind != relay.Bounced && ev.Kind != relay.Expired {
		return
	}
	entry, err := a.queue.Show(context.Background(), ev.ID)
	if err != nil || !strings.HasPrefix(entry.Key, reportKey) {
		return
	}
	err = a.reports.use(func(r *reporting.Reporter) error {
		return r.Suppress(context.Background(), ev.Recipient, time.Now().Add(suppressTime))
	})
	a.log.Warn("DMARC report was not delivered; its address gets none for now", "address", ev.Recipient, "reply", ev.Text, "for", suppressTime, "error", err)
}

// record counts a message for the reports. What is refused for now will come again.
func (a *app) record(ctx context.Context, tx *smtpd.Transaction, msg *mailbricks.Message, r *senderauth.Result) {
	if r.Decision.Action == senderauth.Defer {
		return
	}
	e := evaluation(tx, r)
	e.Automated = reporting.Automated(msg.Get)
	failure := reporting.Failure{Evaluation: e, Header: msg.Header()}
	wanted := a.config().reports.failure && r.DMARC.Record != nil && len(r.DMARC.Record.FailureURIs) > 0
	if wanted {
		failure.Details = failureDetails(tx, r)
	}
	err := a.reports.use(func(reporter *reporting.Reporter) error {
		err := reporter.Record(ctx, e)
		if wanted && err == nil {
			err = reporter.Failure(ctx, failure)
		}
		return err
	})
	if err != nil && !errors.Is(err, errReportsOff) {
		a.log.Error("message is missing in the DMARC reports", "envelope", tx.Envelope.ID, "error", err)
	}
}

// evaluation is what reports tell of a message.
func evaluation(tx *smtpd.Transaction, r *senderauth.Result) reporting.Evaluation {
	e := reporting.Evaluation{
		Verdict: r.DMARC, Source: tx.Session.Peer.Addr.Addr().Unmap(), ReversePath: tx.Envelope.From,
		SPF:         dmarc.ReportSPF{Domain: r.SPF.Domain, Result: r.SPF.Result.String()},
		Disposition: r.Disposition, Overrides: r.Overrides,
	}
	for _, rcpt := range tx.Envelope.Recipients {
		e.Recipients = append(e.Recipients, rcpt.Address)
	}
	for _, d := range r.DKIM {
		if d.Domain != "" {
			e.DKIM = append(e.DKIM, dmarc.ReportDKIM{Domain: d.Domain, Selector: d.Selector, Result: string(d.Status)})
		}
	}
	return e
}

// failureDetails is what failure reports tell of a message besides.
func failureDetails(tx *smtpd.Transaction, r *senderauth.Result) dmarc.FailureReport {
	f := dmarc.FailureReport{
		ArrivalDate: tx.Envelope.Received, SourcePort: tx.Session.Peer.Addr.Port(), OriginalEnvelopeID: tx.Envelope.EnvelopeID,
		DeliveryResult: dmarc.DeliveryDelivered,
	}
	switch r.Decision.Action {
	case senderauth.Junk:
		f.DeliveryResult = dmarc.DeliverySpam
	case senderauth.Reject:
		f.DeliveryResult = dmarc.DeliveryReject
	}
	return f
}
