package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/retention"
)

// Times of retention.
const (
	retentionInterval = 24 * time.Hour
	// retentionJitter is the most by which a run is later than it might be, so that not all servers of a host work at once.
	retentionJitter = 10 * time.Minute
	// longestRetention is more than anybody means.
	longestRetention = 36500 * 24 * time.Hour
)

// retentionConfig are the keys of the section retention.
type retentionConfig struct {
	junk, trash time.Duration // 0: for ever
	mailboxes   []retention.Rule
}

func (r *retentionConfig) keys() map[string]setter {
	return map[string]setter{
		"retention.junk":      durationOrNone(&r.junk, longestRetention),
		"retention.trash":     durationOrNone(&r.trash, longestRetention),
		"retention.mailboxes": parsed(&r.mailboxes, parseRetention),
	}
}

// parseRetention reads "Lists/Noise=90d".
func parseRetention(s string) (retention.Rule, error) {
	at := strings.LastIndexByte(s, '=')
	if at < 0 {
		return retention.Rule{}, fmt.Errorf(`%q is not a mailbox and a time such as "Lists/Noise=90d"`, s)
	}
	name, err := mailbox.CleanName(strings.TrimSpace(s[:at]))
	if err != nil {
		return retention.Rule{}, err
	}
	rule := retention.Rule{Mailbox: name}
	if err := duration(&rule.Age)(strings.TrimSpace(s[at+1:])); err != nil {
		return rule, err
	}
	if rule.Age > longestRetention {
		return rule, fmt.Errorf("must not be longer than %s", inDays(longestRetention))
	}
	return rule, nil
}

// policy is what the keys say.
func (r *retentionConfig) policy() retention.Policy {
	p := retention.Policy{Rules: r.mailboxes}
	for use, age := range map[mailbox.Use]time.Duration{mailbox.UseJunk: r.junk, mailbox.UseTrash: r.trash} {
		if age > 0 {
			p.Rules = append(p.Rules[:len(p.Rules):len(p.Rules)], retention.Rule{Use: use, Age: age})
		}
	}
	return p
}

// keepMail deletes what is too old, soon after the start and then every day, until ctx ends.
func (a *app) keepMail(ctx context.Context) {
	wait := rand.N(retentionJitter)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		a.retainAll(ctx)
		wait = retentionInterval + rand.N(retentionJitter)
	}
}

// retainAll deletes what is too old in all accounts.
func (a *app) retainAll(ctx context.Context) {
	policy := a.config().retention.policy()
	if len(policy.Rules) == 0 {
		return
	}
	for _, account := range a.dir.Accounts() {
		deleted, err := a.retain(ctx, account.Address, policy)
		for _, d := range deleted {
			a.log.Info("old messages deleted", "account", account.Address, "mailbox", d.Mailbox, "messages", len(d.UIDs), "octets", d.Octets)
		}
		if ctx.Err() != nil {
			return
		}
		switch {
		case errors.Is(err, mailbox.ErrLocked):
			a.log.Info("old messages of an encrypted account stay until it is open", "account", account.Address)
		case err != nil:
			a.log.Warn("old messages are not all deleted", "account", account.Address, "error", err)
		}
	}
}

func (a *app) retain(ctx context.Context, address string, policy retention.Policy) (deleted []retention.Deleted, err error) {
	store, err := a.mailOf(ctx, address)
	if err != nil {
		return nil, err
	}
	deleted, err = policy.Apply(ctx, store)
	return deleted, errors.Join(err, store.Close())
}

// retentionRun deletes what is too old now.
type retentionRun struct {
	Addresses []string `arg:"" name:"addr" optional:""`
	DryRun    bool     `name:"dry-run" help:"Show what would be deleted."`
	JSON      bool     `name:"json" help:"As JSON."`
}

// retentionLine is a mailbox as `retention run -json` shows it.
type retentionLine struct {
	Address  string `json:"address"`
	Mailbox  string `json:"mailbox"`
	Messages int    `json:"messages"`
	Octets   int64  `json:"octets"`
}

func (c *retentionRun) streamOn(ctx context.Context, a *app, s *serverStream) error {
	policy := a.config().retention.policy()
	if len(policy.Rules) == 0 {
		return errors.New("nothing is ever deleted: the configuration has no key of the section retention")
	}
	policy.DryRun = c.DryRun
	addresses, err := a.addresses(c.Addresses)
	if err != nil {
		return err
	}
	lines := []retentionLine{}
	var errs []error
	for i, address := range addresses {
		s.progress(progressReport{Done: i, Total: len(addresses), What: address})
		deleted, err := a.retain(ctx, address, policy)
		for _, d := range deleted {
			lines = append(lines, retentionLine{address, d.Mailbox, len(d.UIDs), d.Octets})
		}
		if err != nil { // the others are looked at all the same
			errs = append(errs, fmt.Errorf("%s: %w", address, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	if c.JSON {
		return errors.Join(append(errs, printJSON(s.out(), lines))...)
	}
	if len(lines) == 0 && len(errs) == 0 {
		fmt.Fprintln(s.out(), "There is nothing to delete.")
	}
	what := "deleted"
	if c.DryRun {
		what = "would be deleted"
	}
	for _, l := range lines {
		fmt.Fprintf(s.out(), "%s %s: %s, %s, %s\n", l.Address, l.Mailbox, plural(l.Messages, "message", "messages"), shortSize(l.Octets), what)
	}
	return errors.Join(errs...)
}
