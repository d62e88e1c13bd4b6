package main

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/internal/fieldtext"
)

const (
	// maxPeek is how much of what is no DMARC report is looked at to say what it is, in octets.
	maxPeek = 64 << 10
	// maxShownLine is the longest line of a failed message's header that is shown whole, in octets.
	maxShownLine = 1000
)

var (
	errTLSReport   = errors.New("this is a report on TLS (RFC 8460), not on DMARC; it is not shown here")
	errFailureHTML = errors.New("this is a failure report; it is shown as text only")
)

// show shows whichever report is in a file.
func (c *dmarcReport) show(in io.Reader, out io.Writer) error {
	var read bytes.Buffer // what a parser has taken, for the next one; they have limits of their own
	report, err := dmarc.ParseReport(io.TeeReader(in, &read))
	switch {
	case err == nil && c.HTML:
		return report.WriteHTML(out)
	case err == nil:
		return report.WriteText(out)
	case !errors.Is(err, dmarc.ErrNoReport):
		return err
	}
	in = io.MultiReader(bytes.NewReader(read.Bytes()), in)
	var again bytes.Buffer
	failure, failureErr := dmarc.ParseFailureReport(io.TeeReader(in, &again))
	switch {
	case failureErr == nil && c.HTML:
		return errFailureHTML
	case failureErr == nil:
		return writeFailure(out, failure)
	case !errors.Is(failureErr, dmarc.ErrNoReport):
		return failureErr
	case isTLSReport(again.Bytes()):
		return errTLSReport
	}
	return fmt.Errorf("%w, and no failure report", err)
}

// isTLSReport says whether a mail or a file looks like a report on TLS (RFC 8460 §4.4, §5.3).
func isTLSReport(data []byte) bool {
	if unpacked, err := gzip.NewReader(bytes.NewReader(data)); err == nil {
		data, _ = io.ReadAll(io.LimitReader(unpacked, maxPeek)) // what there is before it breaks off will do
	}
	text := strings.ToLower(string(data[:min(len(data), maxPeek)]))
	return strings.Contains(text, "application/tlsrpt+") || strings.Contains(text, "report-type=tlsrpt") ||
		strings.HasPrefix(strings.TrimSpace(text), "{") && strings.Contains(text, `"organization-name"`) && strings.Contains(text, `"policies"`)
}

// writeFailure shows a failure report to a person. Its texts are clean but for the header of the failed message.
func writeFailure(out io.Writer, r *dmarc.FailureReport) error {
	w := bufio.NewWriter(out)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%-16s %s\n", name+":", value)
		}
	}
	line("Failure report", fmt.Sprintf("a message from %s failed %s", cmp.Or(r.ReportedDomain, "an unknown domain"), cmp.Or(r.AuthFailure, "authentication")))
	line("Reported by", r.ReportingMTA)
	if !r.ArrivalDate.IsZero() {
		line("Arrived", r.ArrivalDate.UTC().Format(time.DateTime+" MST"))
	}
	if r.SourceIP.IsValid() {
		line("Source", r.SourceIP.String())
	}
	line("Delivered", r.DeliveryResult)
	line("Reverse-path", r.OriginalMailFrom)
	line("Recipients", strings.Join(r.OriginalRecipients, ", "))
	line("Not aligned", strings.Join(r.IdentityAlignment, ", "))
	if r.Incidents > 1 {
		line("Messages", fmt.Sprint(r.Incidents))
	}
	line("Results", r.AuthenticationResults)
	line("DKIM domain", r.DKIMDomain)
	line("DKIM selector", r.DKIMSelector)
	for _, record := range r.SPFDNS {
		line("SPF record", record.Domain+": "+record.Record)
	}
	for _, warning := range r.Warnings {
		line("Warning", warning)
	}
	if len(r.Header) > 0 {
		fmt.Fprint(w, "\nHeader of the message:\n")
		for text := range strings.Lines(string(r.Header)) {
			fmt.Fprintf(w, "    %s\n", fieldtext.Clean(strings.ReplaceAll(strings.TrimRight(text, "\r\n"), "\t", " "), maxShownLine))
		}
	}
	return w.Flush()
}
