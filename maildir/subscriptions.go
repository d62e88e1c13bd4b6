package maildir

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

// The file subscriptions has the names that are subscribed. It is Dovecot's, in its version 2: "V", a tab and "2", an
// empty line, then a name in each line with tabs between the levels, which are in modified UTF-7. In version 1 there is
// no head and a dot between the levels.
const subscriptionsFile = "subscriptions"

const (
	subscriptionsHead = "V\t2\n\n"
	// maxSubscriptions is how many names may be subscribed.
	maxSubscriptions = 10_000
	// maxSubscriptionsFile bounds what is read.
	maxSubscriptionsFile = 16 << 20
)

// subscriptions reads the file.
func (a *account) subscriptions() ([]string, error) {
	data, err := durable.ReadFile(a.fs(), filepath.Join(a.dir, subscriptionsFile), maxSubscriptionsFile)
	if isNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("maildir: subscriptions: %w", err)
	}
	return parseSubscriptions(data)
}

func parseSubscriptions(data []byte) ([]string, error) {
	separator := "."
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")) // somebody has edited the file
	if first, rest, _ := bytes.Cut(data, []byte("\n")); bytes.HasPrefix(first, []byte("V\t")) {
		if string(first) != "V\t2" {
			return nil, fmt.Errorf("%w: subscriptions %.20q", errNewer, first)
		}
		data, separator = rest, "\t"
	}
	var out []string
	seen := map[string]bool{}
	for line := range strings.SplitSeq(string(data), "\n") {
		levels := strings.Split(line, separator)
		for i, level := range levels {
			levels[i] = decodeLevel(level)
		}
		name, err := mailbox.CleanName(strings.Join(levels, mailbox.Delimiter))
		if err == nil && !seen[name] {
			seen[name] = true
			out = append(out, name)
		}
	}
	return out, nil
}

func formatSubscriptions(names []string) []byte {
	var b strings.Builder
	b.WriteString(subscriptionsHead)
	for _, name := range names {
		for i, level := range strings.Split(name, mailbox.Delimiter) {
			if i > 0 {
				b.WriteByte('\t')
			}
			b.WriteString(encodeLevel(level))
		}
		b.WriteByte('\n')
	}
	return []byte(b.String())
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
	path := filepath.Join(a.dir, subscriptionsFile)
	if err := durable.WriteFile(a.fs(), path, formatSubscriptions(names), messagePerm); err != nil {
		return err
	}
	a.changed(name)
	return nil
}
