package maildir

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/maildirpp"
	"github.com/mailbricks/mailbricks/mailbox"
)

const (
	// maxSubscriptions is how many names may be subscribed.
	maxSubscriptions = 10_000
	// maxSubscriptionsFile bounds what is read.
	maxSubscriptionsFile = 16 << 20
)

// subscriptions reads the file.
func (a *account) subscriptions() ([]string, error) {
	data, err := durable.ReadFile(a.fs(), filepath.Join(a.dir, maildirpp.SubscriptionsFile), maxSubscriptionsFile)
	if isNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("maildir: subscriptions: %w", err)
	}
	return parseSubscriptions(data)
}

func parseSubscriptions(data []byte) ([]string, error) {
	names, err := maildirpp.ParseSubscriptions(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNewer, err)
	}
	var out []string
	seen := map[string]bool{}
	for _, name := range names {
		name, err := mailbox.CleanName(name)
		if err == nil && !seen[name] {
			seen[name] = true
			out = append(out, name)
		}
	}
	return out, nil
}

// subscribe puts a name on or off. The structure lock is held.
func (a *account) subscribe(name string, on bool) error {
	names, err := a.subscriptions()
	if err != nil {
		return err
	}
	has := slices.Contains(names, name)
	switch {
	case has == on:
		return a.syncDir(a.dir) // it may be so by a change that is not on disk for certain
	case !on:
		names = slices.DeleteFunc(names, func(n string) bool { return n == name })
	case len(names) >= maxSubscriptions:
		return fmt.Errorf("maildir: more than %d subscriptions", maxSubscriptions)
	default:
		names = append(names, name)
	}
	path := filepath.Join(a.dir, maildirpp.SubscriptionsFile)
	if err := durable.WriteFile(a.fs(), path, maildirpp.FormatSubscriptions(names), messagePerm); err != nil {
		return err
	}
	a.changed(name)
	return nil
}
