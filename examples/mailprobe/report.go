package main

import (
	"context"

	"github.com/mailbricks/mailbricks/dmarc"
)

type reportCommand struct {
	output
	File string `arg:"" help:"The report: XML, gzip, ZIP, or the mail that brought it."`
}

func (c *reportCommand) run(_ context.Context, p *process) error {
	file, err := p.open(c.File)
	if err != nil {
		return err
	}
	defer file.Close()
	report, err := dmarc.ParseReport(file)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return p.json(report)
	}
	return report.WriteText(p.stdout)
}
