package main

import (
	"context"
	"errors"

	"github.com/mailbricks/mailbricks/dkim"
)

type dkimCommand struct {
	output
	questions
	clock
	Sign   bool `help:"Sign the message instead of verifying it."`
	signer `embed:""`
	C      string `name:"c" placeholder:"HEADER/BODY" help:"The canonicalizations to sign with (default: relaxed/relaxed)."`
	File   string `arg:"" help:"The message."`
}

// Validate is called by the parser.
func (c *dkimCommand) Validate() error {
	if !c.Sign && c.C != "" {
		return errors.New("-c is for -sign")
	}
	return c.check(c.Sign, "-sign")
}

func (c *dkimCommand) run(ctx context.Context, p *process) error {
	file, err := p.open(c.File)
	if err != nil {
		return err
	}
	defer file.Close()
	if c.Sign {
		return c.sign(p, file)
	}
	results, err := dkim.Verify(ctx, file, c.dns(), dkim.Options{Now: c.now()})
	switch {
	case err != nil:
		return err
	case c.JSON:
		return p.json(results)
	}
	var lines []string
	for _, r := range results {
		lines = append(lines, dkimLine(r))
	}
	return p.say(lines...)
}
