package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/dmarc/reporting"
)

// withReports calls f with the Reporter: that of the server that runs or, offline, one that only looks.
func (a *app) withReports(f func(*reporting.Reporter) error) error {
	err := a.reports.use(f)
	if !errors.Is(err, errReportsOff) || !a.config().reports.dmarc {
		return err
	}
	if err := a.setReports(a.config(), false); err != nil {
		return err
	}
	return a.reports.use(f)
}

type dmarcPending struct {
	JSON bool `name:"json" help:"As JSON."`
}

// pendingLine is a report that will be sent as `dmarc pending -json` shows it.
type pendingLine struct {
	Day          string    `json:"day"`
	Domain       string    `json:"domain"`
	Due          time.Time `json:"due,omitzero"` // absent: it is not sent, as only other reporters wrote
	Messages     int64     `json:"messages"`
	Destinations []string  `json:"destinations"`
	Sent         []string  `json:"sent"`
	Unchecked    []string  `json:"unchecked,omitempty"`  // of destinations: those that may not agree to it
	Suppressed   []string  `json:"suppressed,omitempty"` // of destinations: those that get nothing for now
	Error        string    `json:"error,omitempty"`
}

func (c *dmarcPending) runOn(ctx context.Context, a *app, out io.Writer) error {
	return a.withReports(func(r *reporting.Reporter) error {
		all, err := r.Pending(ctx)
		if err != nil {
			return err
		}
		lines := make([]pendingLine, len(all))
		for i, p := range all {
			lines[i] = pendingLine{
				Day: p.Day.Format(time.DateOnly), Domain: p.Domain, Due: p.Due, Messages: p.Messages,
				Destinations: append([]string{}, p.Destinations...), Sent: append([]string{}, p.Sent...), Error: p.Err,
				Unchecked: p.Unchecked, Suppressed: p.Suppressed,
			}
		}
		if text := a.unsignedReports(ctx); text != "" {
			note(out, "%s", text)
		}
		if c.JSON {
			return printJSON(out, lines)
		}
		if len(lines) == 0 {
			fmt.Fprintln(out, "No reports are pending.")
		}
		for _, l := range lines {
			due := "not sent, as only reports and the like came"
			if !l.Due.IsZero() {
				due = "due " + inUTC(l.Due)
			}
			fmt.Fprintf(out, "%s  %s  messages %d  to %s  %s\n", l.Day, l.Domain, l.Messages, strings.Join(l.Destinations, ", "), due)
			if len(l.Unchecked) > 0 {
				fmt.Fprintf(out, "    not asked yet whether they agree: %s\n", strings.Join(l.Unchecked, ", "))
			}
			if len(l.Suppressed) > 0 {
				fmt.Fprintf(out, "    suppressed: %s\n", strings.Join(l.Suppressed, ", "))
			}
			if l.Error != "" {
				fmt.Fprintf(out, "    %s\n", l.Error)
			}
		}
		printSuppressed(out, suppressed(r))
		return nil
	})
}

// inUTC is a time for people.
func inUTC(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// suppressedLine is an address that gets no reports, as `dmarc suppressed -json` shows it.
type suppressedLine struct {
	Address string    `json:"address"`
	Until   time.Time `json:"until"`
}

// suppressed are the addresses that get no reports, in alphabetical order.
func suppressed(r *reporting.Reporter) []suppressedLine {
	all := r.Suppressed()
	lines := []suppressedLine{}
	for _, address := range slices.Sorted(maps.Keys(all)) {
		lines = append(lines, suppressedLine{Address: address, Until: all[address].UTC()})
	}
	return lines
}

func printSuppressed(out io.Writer, lines []suppressedLine) {
	for _, l := range lines {
		fmt.Fprintf(out, "none to %s until %s\n", l.Address, inUTC(l.Until))
	}
}

type dmarcSuppressed struct {
	JSON bool `name:"json" help:"As JSON."`
}

func (c *dmarcSuppressed) runOn(_ context.Context, a *app, out io.Writer) error {
	return a.withReports(func(r *reporting.Reporter) error {
		lines := suppressed(r)
		if c.JSON {
			return printJSON(out, lines)
		}
		if len(lines) == 0 {
			fmt.Fprintln(out, "No address is suppressed.")
		}
		printSuppressed(out, lines)
		return nil
	})
}

type dmarcSuppress struct {
	Address string `arg:""`
	For     string `default:"30d" help:"For how long (${default}); 0 ends it."`
}

func (c *dmarcSuppress) runOn(ctx context.Context, a *app, _ io.Writer) error {
	d, err := parseDuration(c.For)
	if err != nil {
		return fmt.Errorf(`%q is not a time such as "90m" or "5d"`, c.For)
	}
	return a.withReports(func(r *reporting.Reporter) error {
		return r.Suppress(ctx, c.Address, time.Now().Add(d))
	})
}

type dmarcPreview struct {
	Domain string `arg:""`
	Day    string `help:"The day, such as 2026-11-24 (today)."`
	XML    bool   `name:"xml" help:"As it is sent."`
}

func (c *dmarcPreview) runOn(ctx context.Context, a *app, out io.Writer) error {
	day := time.Now().UTC()
	if c.Day != "" {
		var err error
		if day, err = time.Parse(time.DateOnly, c.Day); err != nil {
			return fmt.Errorf("%q is not a day such as 2026-11-24", c.Day)
		}
	}
	return a.withReports(func(r *reporting.Reporter) error {
		report, err := r.Preview(ctx, day, c.Domain)
		if err != nil {
			return err
		}
		if c.XML {
			return report.WriteXML(out)
		}
		return report.WriteText(out)
	})
}

type dmarcReport struct {
	File string `arg:"" help:"The mail that brought it, or the XML, gzip or zip file in it; - reads standard input. A failure report is shown, too."`
	HTML bool   `name:"html" help:"As an HTML page."`
}

func (c *dmarcReport) run(_ context.Context, p *process, _ *config) error {
	in := p.stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	if err := c.show(in, p.stdout); err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	return nil
}
