package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/mailbricks/mailbricks/maildir"
)

// maildirCheck looks at the mail of accounts on disk.
type maildirCheck struct {
	Addresses []string `arg:"" name:"addr" optional:""`
	Repair    bool     `help:"Mend what can be mended without loss; what is not understood is put aside."`
	Rebuild   bool     `help:"Throw away what can be made anew from the messages, and make it."`
	JSON      bool     `name:"json" help:"A line of JSON for each finding."`
}

// findingLine is a finding as `maildir check -json` shows it.
type findingLine struct {
	Address  string `json:"address"`
	Severity string `json:"severity"`
	Path     string `json:"path"`
	What     string `json:"what"`
	Mended   bool   `json:"mended"`
}

func (c *maildirCheck) streamOn(ctx context.Context, a *app, s *serverStream) error {
	addresses, err := a.addresses(c.Addresses)
	if err != nil {
		return err
	}
	var sum maildir.CheckStats
	for _, address := range addresses {
		stats, err := a.store.Check(ctx, address, maildir.CheckOptions{
			Repair: c.Repair, Rebuild: c.Rebuild,
			Found:    func(f maildir.Finding) { c.print(s.out(), address, f) },
			Progress: func(done, total int) { s.progress(progressReport{Done: done, Total: total, What: address}) },
		})
		if err != nil {
			return err
		}
		if stats.Locked {
			s.note("%s is encrypted and nobody has it open: what is in its files was not looked at", address)
		}
		sum.Messages += stats.Messages
		sum.Findings += stats.Findings
		sum.Notes += stats.Notes
	}
	in := plural(sum.Messages, "message", "messages") + " of " + plural(len(addresses), "account", "accounts")
	if left := sum.Findings - sum.Notes; left > 0 {
		return fmt.Errorf("%s left, in %s", plural(left, "finding is", "findings are"), in)
	}
	if !c.JSON {
		fmt.Fprintf(s.out(), "%s: all is well\n", in)
	}
	return nil
}

func (c *maildirCheck) print(out io.Writer, address string, f maildir.Finding) {
	if c.JSON {
		data, err := json.Marshal(findingLine{address, f.Severity.String(), f.Path, f.What, f.Mended})
		if err == nil {
			_, _ = out.Write(append(data, '\n'))
		}
		return
	}
	mended := ""
	if f.Mended {
		mended = " (mended)"
	}
	fmt.Fprintf(out, "%s: %s: %q %s%s\n", address, f.Severity, f.Path, f.What, mended)
}

// plural is a number with the right word.
func plural(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// addresses are those of accounts: the named ones or, if none is, all.
func (a *app) addresses(named []string) ([]string, error) {
	if len(named) == 0 {
		var all []string
		for _, account := range a.dir.Accounts() {
			all = append(all, account.Address)
		}
		return all, nil
	}
	for _, address := range named {
		if !a.dir.IsAccount(address) {
			return nil, fmt.Errorf("%s is no account", address)
		}
	}
	return named, nil
}
