package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/resolver"
	"github.com/mailbricks/mailbricks/senderauth/sign"
)

// firstSelector is that of the first key of a domain.
const firstSelector = "mail"

type dkimCommand struct {
	Domain   string `arg:""`
	Selector string `help:"The selector (mail or, after a rotation, the one that signs)."`
	Bits     int    `default:"2048" help:"Size of an RSA key (${default})."`
	Type     string `default:"rsa" help:"rsa or ed25519 (${default})."`
}

func (c *dkimCommand) runOn(_ context.Context, a *app, out io.Writer) error {
	selector := c.Selector
	if selector == "" {
		selector = a.selector(c.Domain, c.Type)
	}
	record, _, err := a.keys.Ensure(c.Domain, selector, c.Type, c.Bits)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, recordText(record))
	return err
}

// rotated is how rotations name selectors.
var rotated = regexp.MustCompile(`^s\d{8}[a-z]+$`)

// selector is the one of a domain that is meant where none is given: the first, unless a rotation has put another in its
// place.
func (a *app) selector(domain, keyType string) string {
	keys, err := a.keys.List(domain)
	if err != nil {
		return firstSelector // to make or show it will fail, and say why
	}
	instead := firstSelector
	for _, k := range keys {
		switch {
		case k.Selector == firstSelector && k.Use != sign.ForOld:
			return firstSelector
		case k.Use == sign.ForSigning && k.Type == keyType && rotated.MatchString(k.Selector):
			instead = k.Selector
		}
	}
	return instead
}

// recordText is a record's name, its value in one piece, and its line for a zone file.
func recordText(r dkim.Record) string { return r.Name + "\n" + r.Value + "\n" + r.Zone() + "\n" }

type dkimRotate struct {
	Domain string `arg:""`
	Again  bool   `help:"Begin another rotation while the old keys of the last one wait for their end."`
	Cancel bool   `help:"Give up new keys that do not sign yet."`
	JSON   bool   `name:"json" help:"As JSON."`
}

func (c *dkimRotate) runOn(ctx context.Context, a *app, out io.Writer) error {
	r := a.rotation(c.Domain)
	if c.Cancel {
		return r.Cancel()
	}
	status, err := r.Status()
	if err != nil {
		return err
	}
	if status.Phase == sign.Idle || (c.Again && len(status.Publish) == 0) {
		status, err = r.Start(ctx)
	} else {
		status, err = r.Step(ctx)
	}
	if err != nil {
		return err
	}
	a.watched.noteRotation(status)
	if c.JSON {
		return printJSON(out, newRotationLine(status))
	}
	_, err = io.WriteString(out, rotationText(status))
	return err
}

// rotation replaces the keys of a domain.
func (a *app) rotation(domain string) *sign.Rotation {
	c := a.config()
	return &sign.Rotation{
		Keys: a.keys, Domain: domain, Settle: c.dkim.settle, Grace: c.dkim.grace, Logger: a.log,
		// Without a cache: it is to see a record when it comes.
		Resolver: &resolver.Resolver{Servers: c.dns.servers, CacheEntries: -1, Logger: a.log},
	}
}

// rotationText tells an administrator what a rotation waits for, and what to publish.
func rotationText(s sign.Status) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", s.Domain, s.Text)
	for _, r := range s.Publish {
		fmt.Fprintf(&b, "\nPublish, and leave the others as they are:\n%s", recordText(r))
	}
	if len(s.Publish) > 0 {
		b.WriteString("\nThe server looks for them from time to time, and at once when you call this again.\n")
	}
	return b.String()
}

// rotationLine is a rotation as `dkim rotate -json` shows it.
type rotationLine struct {
	Domain   string      `json:"domain"`
	Phase    string      `json:"phase"`
	Text     string      `json:"text"`
	Active   []string    `json:"active"`
	Publish  []dnsRecord `json:"publish"`
	Keep     []dnsRecord `json:"keep"`
	Withdraw []string    `json:"withdraw"`
	Until    time.Time   `json:"until,omitzero"`
}

func newRotationLine(s sign.Status) rotationLine {
	line := rotationLine{
		Domain: s.Domain, Phase: string(s.Phase), Text: s.Text, Until: s.Until,
		Active: append([]string{}, s.Active...), Publish: []dnsRecord{}, Keep: []dnsRecord{}, Withdraw: append([]string{}, s.Withdraw...),
	}
	for _, r := range s.Publish {
		line.Publish = append(line.Publish, txtRecord(r.Name, r.Value, keyNotes[sign.ForNext]))
	}
	for _, r := range s.Keep {
		line.Keep = append(line.Keep, txtRecord(r.Name, r.Value, keyNotes[sign.ForOld]))
	}
	return line
}

// keyNotes say what a key record is for.
var keyNotes = map[sign.Use]string{
	sign.ForSigning: "DKIM: the public key for this server's signatures",
	sign.ForNext:    "DKIM: the next key, which signs when the DNS shows it",
	sign.ForOld:     "DKIM: an old key, for mail that it has signed and that is on its way",
	sign.ForNothing: "DKIM: a key that does not sign",
}
