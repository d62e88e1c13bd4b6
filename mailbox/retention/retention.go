package retention

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/mailbox"
)

// ErrRule is the error of a rule that names neither a use nor a mailbox, or both; whose use is not a backslash and an atom, or
// whose mailbox has a name that none can have; and whose age is not positive.
var ErrRule = errors.New("retention: invalid rule")

// Rule says how long messages stay in some mailboxes.
type Rule struct {
	// Use is the special use of the mailboxes (RFC 6154), such as mailbox.UseTrash, or empty. Its case does not matter. A rule
	// with a use never touches INBOX, whatever uses that has.
	Use mailbox.Use
	// Mailbox is the name of one mailbox, or empty. A rule with a name goes before one with a use.
	Mailbox string
	// Age is how long a message stays; it must be more than 0. Where several rules hold for a mailbox, the longest one of
	// those with its name counts or, if there are none, the longest one of those with one of its uses.
	Age time.Duration
}

// DefaultBatch is how many messages are deleted at once where Policy says nothing.
const DefaultBatch = 500

// Policy is what is deleted. The zero value deletes nothing.
type Policy struct {
	Rules []Rule
	// Batch is how many messages are looked at and deleted in one call of the store; 0: DefaultBatch.
	Batch int
	// DryRun has Apply tell what it would delete, and delete nothing.
	DryRun bool
	// Now is the time from which ages are counted back; zero: the clock's.
	Now time.Time
}

// Deleted is what was deleted from a mailbox, or would have been.
type Deleted struct {
	Mailbox string
	// UIDs of the messages, ascending.
	UIDs []mailbox.UID
	// Octets is the sum of their sizes.
	Octets int64
}

// Apply deletes what is too old from an account's mailboxes, and tells what it deleted, sorted by mailbox; mailboxes that
// lose nothing are left out. It can be called again at any time. When it fails, or ctx ends, the result tells what was deleted
// until then; a mailbox that fails does not keep the others from being looked at. It fails with ErrRule, then without having
// done anything. It needs 4 octets for each message of the largest mailbox that a rule is for.
func (p Policy) Apply(ctx context.Context, store mailbox.Store) ([]Deleted, error) {
	if err := p.check(); err != nil || len(p.Rules) == 0 {
		return nil, err
	}
	infos, err := store.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("retention: list: %w", err)
	}
	slices.SortFunc(infos, func(a, b mailbox.Info) int { return strings.Compare(a.Name, b.Name) })
	now := p.Now
	if now.IsZero() {
		now = time.Now()
	}
	var out []Deleted
	var errs []error
	for _, info := range infos {
		age := p.age(info)
		if age <= 0 || info.NoSelect || info.NonExistent {
			continue
		}
		if err := ctx.Err(); err != nil {
			if !slices.ContainsFunc(errs, func(e error) bool { return errors.Is(e, err) }) {
				errs = append(errs, fmt.Errorf("retention: %w", err))
			}
			break
		}
		d, err := p.clean(ctx, store, info.Name, now.Add(-age))
		if len(d.UIDs) > 0 {
			out = append(out, d)
		}
		if err != nil && !errors.Is(err, mailbox.ErrNoMailbox) { // it was deleted or renamed meanwhile
			errs = append(errs, fmt.Errorf("retention: %.100q: %w", info.Name, err))
		}
	}
	return out, errors.Join(errs...)
}

// is says whether the rule is for a use.
func (r Rule) is(use mailbox.Use) bool { return strings.EqualFold(string(use), string(r.Use)) }

func (p Policy) check() error {
	for _, r := range p.Rules {
		if r.Use == "" && r.Mailbox == "" || r.Use != "" && r.Mailbox != "" {
			return fmt.Errorf("%w: it must name either a use or a mailbox", ErrRule)
		}
		if r.Age <= 0 {
			return fmt.Errorf("%w: age %s of %.100q", ErrRule, r.Age, string(r.Use)+r.Mailbox)
		}
		if r.Use != "" && !validUse(r.Use) {
			return fmt.Errorf("%w: use %.100q", ErrRule, string(r.Use))
		}
		if r.Mailbox != "" {
			if _, err := mailbox.CleanName(r.Mailbox); err != nil {
				return fmt.Errorf("%w: %w", ErrRule, err)
			}
		}
	}
	return nil
}

// validUse says whether a use is a backslash and an atom, as RFC 6154 §6 has it.
func validUse(use mailbox.Use) bool {
	atom, found := strings.CutPrefix(string(use), `\`)
	_, err := mailbox.CleanFlags([]mailbox.Flag{mailbox.Flag(atom)})
	return found && err == nil && !mailbox.Flag(atom).System()
}

// age is how long messages stay in a mailbox; 0: for ever.
func (p Policy) age(info mailbox.Info) time.Duration {
	var named, used time.Duration
	for _, r := range p.Rules {
		if name, err := mailbox.CleanName(r.Mailbox); err == nil && name == info.Name {
			named = max(named, r.Age)
		}
		// A use that INBOX has got by accident must not empty it.
		if slices.ContainsFunc(info.Uses, r.is) && info.Name != mailbox.Inbox {
			used = max(used, r.Age)
		}
	}
	if named > 0 {
		return named
	}
	return used
}

// clean deletes what is older than limit from one mailbox.
func (p Policy) clean(ctx context.Context, store mailbox.Store, name string, limit time.Time) (d Deleted, err error) {
	d.Mailbox = name
	box, err := store.Open(ctx, name)
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, box.Close()) }()
	uids, _, err := box.UIDs(ctx)
	if err != nil {
		return d, err
	}
	for batch := range slices.Chunk(uids, p.batch()) {
		if err := ctx.Err(); err != nil {
			return d, err
		}
		metas, err := box.Messages(ctx, batch)
		if err != nil {
			return d, err
		}
		if err := p.cleanBatch(ctx, box, old(metas, limit), &d); err != nil {
			return d, err
		}
	}
	return d, nil
}

// old are the messages that were there before limit.
func old(metas []mailbox.Meta, limit time.Time) []mailbox.Meta {
	return slices.DeleteFunc(slices.Clone(metas), func(m mailbox.Meta) bool { return !Since(m).Before(limit) })
}

// Since is the time from which a message's age counts: its save date or, if that is not known, its internal date.
func Since(m mailbox.Meta) time.Time {
	if !m.SaveDate.IsZero() {
		return m.SaveDate
	}
	return m.InternalDate
}

// cleanBatch deletes messages and adds those that went to d.
func (p Policy) cleanBatch(ctx context.Context, box mailbox.Mailbox, metas []mailbox.Meta, d *Deleted) error {
	if len(metas) == 0 {
		return nil
	}
	sizes := make(map[mailbox.UID]int64, len(metas))
	gone := make([]mailbox.UID, len(metas))
	for i, m := range metas {
		gone[i], sizes[m.UID] = m.UID, m.Size
	}
	if !p.DryRun {
		var err error
		if gone, err = box.Expunge(ctx, gone); err != nil {
			return err
		}
	}
	for _, uid := range gone {
		d.Octets += sizes[uid]
	}
	d.UIDs = append(d.UIDs, gone...)
	return nil
}

func (p Policy) batch() int {
	if p.Batch <= 0 {
		return DefaultBatch
	}
	return p.Batch
}
