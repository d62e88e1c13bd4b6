package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/auth/directory"
	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/resolver"
	"github.com/mailbricks/mailbricks/senderauth/sign"
)

// firstSelector is that of the first key of a domain.
const firstSelector = "mail"

type dkimCommand struct {
	Domain   string `arg:""`
	Selector string `help:"The selector (mail or, after a rotation, the one that signs)."`
	Bits     int    `help:"Size of a new RSA key (2048)."`
	Type     string `help:"rsa or ed25519 (rsa)."`
}

func (c *dkimCommand) runOn(_ context.Context, a *app, out io.Writer) error {
	if c.Bits != 0 && c.Type == "ed25519" {
		return errors.New("-bits is for RSA keys")
	}
	record, created, err := c.ensure(a)
	if err != nil {
		return a.wayOut(c.Domain, err)
	}
	if domain, err := directory.CanonicalDomain(c.Domain); created && err == nil && !a.dir.Hosts(domain) {
		note(out, "%[1]s is no domain of this server; if it is not to become one: fullserver dkim del %[1]s -selector %[2]s -force",
			domain, strings.Split(record.Name, ".")[0])
	}
	_, err = io.WriteString(out, recordText(record))
	return err
}

// ensure finds the key that is meant, and makes one where the domain has none or none of the name that was given.
func (c *dkimCommand) ensure(a *app) (dkim.Record, bool, error) {
	if c.Selector != "" {
		return a.keys.Ensure(c.Domain, c.Selector, c.Type, c.Bits)
	}
	selector, err := a.selector(c.Domain, c.Type)
	if err != nil {
		return dkim.Record{}, false, err
	}
	record, created, err := a.keys.Ensure(c.Domain, selector, c.Type, c.Bits)
	if !errors.Is(err, sign.ErrReplaced) {
		return record, created, err
	}
	if selector, err = a.keys.FreshSelector(c.Domain); err != nil {
		return dkim.Record{}, false, err
	}
	return a.keys.Ensure(c.Domain, selector, c.Type, c.Bits)
}

// wayOut adds to an error about a domain's keys what can be done.
func (a *app) wayOut(domain string, err error) error {
	switch {
	case errors.Is(err, sign.ErrOtherKey), errors.Is(err, sign.ErrReplaced), errors.Is(err, sign.ErrName),
		errors.Is(err, sign.ErrUnknownKey):
		return err
	case errors.Is(err, sign.ErrNextKey):
		return fmt.Errorf("%w: fullserver dkim rotate %s -cancel", err, domain)
	}
	_, broken := a.keys.Signers(context.Background(), domain)
	if broken == nil && !errors.Is(err, dkim.ErrPrivateKey) {
		return err
	}
	return fmt.Errorf("%w; restore the file, or take the key away: fullserver dkim del %s -selector NAME", err, domain)
}

// rotated is how rotations name selectors.
var rotated = regexp.MustCompile(`^s\d{8}[a-z]+$`)

// selector is the one of a domain that is meant where none is given: of the keys that sign the first that was made, or what a
// rotation has put in its place. Only a domain without any key gets a new one.
func (a *app) selector(domain, keyType string) (string, error) {
	keys, err := a.keys.List(domain)
	if err != nil {
		return "", err
	}
	active, err := a.keys.Active(domain)
	if err != nil {
		return "", err
	}
	if len(keys)+len(active) == 0 {
		return firstSelector, nil
	}
	for _, name := range active {
		if !slices.ContainsFunc(keys, func(k sign.Key) bool { return k.Selector == name }) {
			return "", fmt.Errorf("key %s of %s: %w", name, domain, sign.ErrMissing)
		}
	}
	for _, meant := range []func(sign.Key) bool{
		func(k sign.Key) bool { return k.Selector == firstSelector },
		func(k sign.Key) bool { return k.Type == "rsa" && rotated.MatchString(k.Selector) },
		func(k sign.Key) bool { return k.Type == "rsa" },
		func(sign.Key) bool { return true },
	} {
		for _, k := range keys {
			if k.Use == sign.ForSigning && (keyType == "" || k.Type == keyType) && meant(k) {
				return k.Selector, nil
			}
		}
	}
	if keyType != "" {
		return "", fmt.Errorf("no %s key of %s signs; name one with -selector", keyType, domain)
	}
	return "", fmt.Errorf("no key of %s signs; name one with -selector", domain)
}

// recordText is a record's name, its value in one piece, and its line for a zone file.
func recordText(r dkim.Record) string { return r.Name + "\n" + r.Value + "\n" + r.Zone() + "\n" }

type dkimDel struct {
	Domain   string `arg:""`
	Selector string `required:"" help:"The selector."`
	Force    bool   `help:"Also the last key that signs: the domain's mail leaves unsigned then."`
}

func (c *dkimDel) runOn(ctx context.Context, a *app, out io.Writer) error {
	a.watched.rotating.Lock()
	defer a.watched.rotating.Unlock()
	active, err := a.keys.Active(c.Domain)
	if err != nil {
		return err
	}
	last := len(active) == 1 && strings.EqualFold(active[0], c.Selector)
	if last && !c.Force {
		return fmt.Errorf("no other key of %[1]s signs: make one (fullserver dkim %[1]s -selector NAME), or say -force and its mail "+
			"leaves unsigned", c.Domain)
	}
	if err := a.keys.Delete(c.Domain, c.Selector); err != nil {
		return a.wayOut(c.Domain, err)
	}
	fmt.Fprintf(out, "%s: the key %s is deleted\n", c.Domain, c.Selector)
	if last {
		note(out, "mail of %s leaves unsigned from now on", c.Domain)
	}
	a.checkKeys(ctx)
	status, err := a.rotation(c.Domain).Status()
	if err != nil {
		return nil // the key is gone; what is wrong with another one is told elsewhere
	}
	a.watched.noteRotation(status)
	fmt.Fprintf(out, "%s: %s\n", status.Domain, status.Text)
	return nil
}

type dkimRotate struct {
	Domain string `arg:""`
	Status bool   `xor:"what" help:"Only show how far the rotation is."`
	Again  bool   `xor:"what" help:"Begin another rotation while the old keys of the last one wait for their end."`
	Cancel bool   `xor:"what" help:"Give up new keys that do not sign yet."`
	JSON   bool   `name:"json" help:"As JSON."`
}

func (c *dkimRotate) runOn(ctx context.Context, a *app, out io.Writer) error {
	status, started, err := c.do(ctx, a)
	switch {
	case errors.Is(err, sign.ErrNothingNew):
		return fmt.Errorf("there is nothing to cancel: no new key of %s waits to be published", c.Domain)
	case err != nil:
		return a.wayOut(c.Domain, err)
	case c.JSON:
		line := newRotationLine(status)
		line.Started = started
		return printJSON(out, line)
	}
	if started {
		fmt.Fprintf(out, "%s: a new rotation was started\n", status.Domain)
	}
	_, err = io.WriteString(out, rotationText(status))
	return err
}

// do does what was asked for, and says whether a rotation began.
func (c *dkimRotate) do(ctx context.Context, a *app) (status sign.Status, started bool, err error) {
	r := a.rotation(c.Domain)
	if c.Status {
		if status, err = r.Status(); err == nil {
			status = a.watched.better(status)
		}
		return status, false, err
	}
	a.watched.rotating.Lock()
	defer a.watched.rotating.Unlock()
	if c.Cancel { // which needs no key that can be read
		err = r.Cancel()
	}
	if err == nil {
		status, err = r.Status()
	}
	if err != nil {
		return status, false, err
	}
	switch {
	case c.Cancel:
	case status.Phase == sign.Idle || (c.Again && len(status.Publish) == 0):
		started = true
		status, err = r.Start(ctx)
	default:
		status, err = r.Step(ctx)
	}
	if err == nil {
		a.watched.noteRotation(status)
	}
	return status, started, err
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
	Started  bool        `json:"started,omitempty"` // by this command
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
