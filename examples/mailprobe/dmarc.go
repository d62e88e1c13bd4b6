package main

import (
	"context"
	"fmt"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/spf"
)

type dmarcCommand struct {
	output
	questions
	clock
	sender
	RFC7489 bool   `name:"rfc7489" help:"Follow RFC 7489, with the public suffix list."`
	File    string `arg:"" help:"The message."`
}

// findings is what the three checks found.
type findings struct {
	SPF       spf.Verdict
	DKIM      []dkim.Result
	DMARC     dmarc.Verdict
	OrgDomain string
}

func (c *dmarcCommand) run(ctx context.Context, p *process) error {
	file, err := p.open(c.File)
	if err != nil {
		return err
	}
	defer file.Close()
	f, err := c.evaluate(ctx, c.dns(), file)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return p.json(f)
	}
	v := f.DMARC
	err = p.say(fmt.Sprintf("%s policy=%s disposition=%s domain=%s org=%s",
		v.Result, published(v), v.Disposition, word(v.AuthorDomain), word(f.OrgDomain)))
	if err == nil && v.Err != nil {
		p.note(v.Err.Error())
	}
	return err
}
