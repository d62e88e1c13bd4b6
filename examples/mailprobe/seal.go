package main

import (
	"io"
	"strings"

	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/mailbricks/mailbricks/senderauth/authres"
)

// seal prints the message with a set for a chain whose status is known.
func (c *arcCommand) seal(p *process, file *message, status arc.Status) error {
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
	fields, err := sealer.Seal(file, status, results)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return p.json(struct{ Fields string }{fields})
	}
	return p.put(fields, file)
}

// results is what a server found, by its Authentication-Results fields in the message (RFC 8617 §4.1.1).
func (m *message) results(servID string) (string, error) {
	msg, err := m.parse()
	if err != nil {
		return "", err
	}
	all := authres.Field{ServID: servID}
	for _, value := range msg.Values(authres.Name) {
		if f, err := authres.Parse(value); err == nil && authres.SameID(f.ServID, servID) {
			all.Results = append(all.Results, f.Results...)
		}
	}
	_, text, _ := strings.Cut(strings.TrimPrefix(all.String(), servID), ";")
	return strings.TrimSpace(text), nil
}
