package main

import (
	"context"
	"errors"
	"strings"

	"github.com/mailbricks/mailbricks/dkim/arc"
)

type arcCommand struct {
	output
	questions
	clock
	Seal       bool `help:"Add a set to the chain instead of verifying it."`
	signer     `embed:""`
	AuthservID string `name:"authserv-id" placeholder:"ID" help:"The server whose results are sealed."`
	File       string `arg:"" help:"The message."`
}

// Validate is called by the parser.
func (c *arcCommand) Validate() error {
	if c.Seal != (c.AuthservID != "") {
		return errors.New("-seal and -authserv-id need each other")
	}
	return c.check(c.Seal, "-seal")
}

func (c *arcCommand) run(ctx context.Context, p *process) error {
	file, err := p.open(c.File)
	if err != nil {
		return err
	}
	defer file.Close()
	result, err := arc.Verify(ctx, file, c.dns(), arc.Options{Now: c.now()})
	switch {
	case err != nil:
		return err
	case c.Seal:
		return c.seal(p, file, result)
	case c.JSON:
		return p.json(result)
	}
	text := string(result.Status)
	if result.Err != nil {
		text += " " + line(strings.TrimPrefix(result.Err.Error(), "arc: "))
	}
	return p.say(text)
}
