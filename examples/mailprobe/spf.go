package main

import (
	"context"

	"github.com/mailbricks/mailbricks/spf"
)

type spfCommand struct {
	output
	questions
	sender
}

func (c *spfCommand) run(ctx context.Context, p *process) error {
	verdict := spf.Check(ctx, c.dns(), c.client())
	if c.JSON {
		return p.json(verdict)
	}
	lines := []string{verdict.Result.String()}
	if verdict.Explanation != "" {
		lines = append(lines, verdict.Explanation)
	}
	err := p.say(lines...)
	if err == nil && (verdict.Result == spf.TempError || verdict.Result == spf.PermError) {
		p.note(verdict.Err.Error())
	}
	return err
}
