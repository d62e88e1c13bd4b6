package main

import (
	"fmt"
	"io"

	"github.com/mailbricks/mailbricks/dkim/arc"
)

// seal prints the message with a set for its chain, of which is known what a verifier says.
func (c *arcCommand) seal(p *process, file *message, chain arc.Result) error {
	if chain.Temporary { // cv=fail would be for good
		return fmt.Errorf("the chain cannot be verified for now: %w", chain.Err)
	}
	key, err := c.privateKey()
	if err != nil {
		return err
	}
	results, err := file.results(c.AuthservID)
	if err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	sealer := arc.Sealer{Domain: c.Domain, Selector: c.Selector, Key: key, AuthServID: c.AuthservID, Now: c.now()}
	fields, err := sealer.Seal(file, chain.Status, results)
	if err != nil {
		return err
	}
	if c.JSON {
		err = p.json(struct{ Fields string }{fields})
	} else {
		err = p.put(fields, file)
	}
	if remark := sealRemark(chain, fields); err == nil && remark != "" {
		p.note(remark)
	}
	return err
}
