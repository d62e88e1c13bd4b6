package retention_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/memory"
	"github.com/mailbricks/mailbricks/mailbox/retention"
)

const day = 24 * time.Hour

// start is when the tests' messages come.
func start() time.Time { return time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC) }

// fill puts messages of these ages in days, seen from start, into a mailbox, which is made if need be.
func fill(t *testing.T, store mailbox.Store, name string, use mailbox.Use, days ...int) {
	t.Helper()
	if name != mailbox.Inbox {
		if err := store.(mailbox.Organizer).Create(t.Context(), name, use); !errors.Is(err, mailbox.ErrExists) {
			require.NoError(t, err)
		}
	}
	box, err := store.Open(t.Context(), name)
	require.NoError(t, err)
	defer box.Close()
	for _, d := range days {
		_, err := box.Append(t.Context(), strings.NewReader("Subject: x\r\n\r\n"), mailbox.AppendOptions{
			InternalDate: start().Add(-time.Duration(d) * day), Size: -1})
		require.NoError(t, err)
	}
}

// dated is a store that says, or does not say, when messages were put into its mailboxes, as the test wants.
type dated struct {
	organized
	saved func(mailbox.Meta) time.Time
	fail  func(name string) error
	calls *[]int // how many messages each Expunge was told
}

func (s dated) Open(ctx context.Context, name string) (mailbox.Mailbox, error) {
	if s.fail != nil {
		if err := s.fail(name); err != nil {
			return nil, err
		}
	}
	box, err := s.organized.Open(ctx, name)
	return datedBox{box, s}, err
}

type datedBox struct {
	mailbox.Mailbox
	store dated
}

func (b datedBox) Messages(ctx context.Context, uids []mailbox.UID) ([]mailbox.Meta, error) {
	metas, err := b.Mailbox.Messages(ctx, uids)
	for i := range metas {
		metas[i].SaveDate = b.store.saved(metas[i])
	}
	return metas, err
}

func (b datedBox) Expunge(ctx context.Context, uids []mailbox.UID) ([]mailbox.UID, error) {
	if b.store.calls != nil {
		*b.store.calls = append(*b.store.calls, len(uids))
	}
	return b.Mailbox.Expunge(ctx, uids)
}

// organized is a store that can be organized.
type organized interface {
	mailbox.Store
	mailbox.Organizer
}

func unknown(mailbox.Meta) time.Time { return time.Time{} }

func accountStore(saved func(mailbox.Meta) time.Time) dated {
	return dated{organized: memory.New(mailbox.Limit{}).Store().(organized), saved: saved}
}

func left(t *testing.T, store mailbox.Store, name string) []mailbox.UID {
	t.Helper()
	box, err := store.Open(t.Context(), name)
	require.NoError(t, err)
	defer box.Close()
	uids, _, err := box.UIDs(t.Context())
	require.NoError(t, err)
	return uids
}

func TestOldMessagesOfAUseAreDeleted(t *testing.T) {
	t.Parallel()
	s := accountStore(unknown)
	fill(t, s, "INBOX", "", 400)
	fill(t, s, "Trash", mailbox.UseTrash, 31, 1, 30, 90)
	fill(t, s, "Bin", mailbox.UseTrash, 45)
	fill(t, s, "Junk", mailbox.UseJunk, 400)
	p := retention.Policy{Now: start().Add(time.Second), Rules: []retention.Rule{{Use: mailbox.UseTrash, Age: 30 * day}}}

	p.DryRun = true
	would, err := p.Apply(t.Context(), s)
	require.NoError(t, err)
	require.Len(t, left(t, s, "Trash"), 4, "a dry run deletes nothing")

	p.DryRun = false
	deleted, err := p.Apply(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, []retention.Deleted{
		{Mailbox: "Bin", UIDs: []mailbox.UID{1}, Octets: 14},
		{Mailbox: "Trash", UIDs: []mailbox.UID{1, 3, 4}, Octets: 3 * 14},
	}, deleted)
	require.Equal(t, deleted, would)
	require.Equal(t, []mailbox.UID{2}, left(t, s, "Trash"))
	require.Len(t, left(t, s, "INBOX"), 1)
	require.Len(t, left(t, s, "Junk"), 1)

	again, err := p.Apply(t.Context(), s)
	require.NoError(t, err)
	require.Empty(t, again)
}

func TestSaveDateCountsBeforeInternalDate(t *testing.T) {
	t.Parallel()
	s := accountStore(func(m mailbox.Meta) time.Time {
		if m.UID == 1 { // an old message that was moved here today
			return start()
		}
		return start().Add(-40 * day)
	})
	fill(t, s, "Trash", mailbox.UseTrash, 400, 0)
	deleted, err := retention.Policy{Now: start().Add(time.Hour), Rules: []retention.Rule{{Use: mailbox.UseTrash, Age: 30 * day}}}.Apply(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, []retention.Deleted{{Mailbox: "Trash", UIDs: []mailbox.UID{2}, Octets: 14}}, deleted)
}

func TestNamesGoBeforeUsesAndTheLongestAgeCounts(t *testing.T) {
	t.Parallel()
	s := accountStore(unknown)
	fill(t, s, "Trash", mailbox.UseTrash, 10, 20)
	fill(t, s, "Junk", mailbox.UseJunk, 10, 20)
	fill(t, s, "INBOX", "", 10, 20)
	p := retention.Policy{Now: start(), Rules: []retention.Rule{
		{Mailbox: "Trash", Age: 15 * day}, {Use: mailbox.UseTrash, Age: day},
		{Use: mailbox.UseJunk, Age: day}, {Use: mailbox.UseJunk, Age: 12 * day},
		{Mailbox: "inbox", Age: 19 * day},
	}}
	deleted, err := p.Apply(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, []retention.Deleted{
		{Mailbox: "INBOX", UIDs: []mailbox.UID{2}, Octets: 14},
		{Mailbox: "Junk", UIDs: []mailbox.UID{2}, Octets: 14},
		{Mailbox: "Trash", UIDs: []mailbox.UID{2}, Octets: 14},
	}, deleted)
}

func TestNothingIsDeletedWithoutARule(t *testing.T) {
	t.Parallel()
	s := accountStore(unknown)
	fill(t, s, "Trash", mailbox.UseTrash, 10_000)
	deleted, err := retention.Policy{}.Apply(t.Context(), s)
	require.NoError(t, err)
	require.Empty(t, deleted)
	require.Len(t, left(t, s, "Trash"), 1)
	for _, bad := range []retention.Rule{
		{}, {Age: day}, {Use: mailbox.UseTrash}, {Use: mailbox.UseTrash, Age: -day}, {Mailbox: "a//b", Age: day},
		{Mailbox: "Trash", Use: mailbox.UseTrash, Age: day},
		{Use: "Trash", Age: day}, {Use: `\`, Age: day}, {Use: `\\Trash`, Age: day}, {Use: `\Tr ash`, Age: day},
	} {
		_, err := retention.Policy{Rules: []retention.Rule{{Use: mailbox.UseTrash, Age: day}, bad}}.Apply(t.Context(), s)
		require.ErrorIs(t, err, retention.ErrRule, "%v", bad)
	}
	require.Len(t, left(t, s, "Trash"), 1)
}

func TestBatchesEndWithTheContext(t *testing.T) {
	t.Parallel()
	s := accountStore(unknown)
	var calls []int
	s.calls = &calls
	fill(t, s, "Trash", mailbox.UseTrash, make([]int, 25)...)
	ctx, cancel := context.WithCancel(t.Context())
	s.saved = func(m mailbox.Meta) time.Time {
		if m.UID == 20 {
			cancel()
		}
		return start()
	}
	p := retention.Policy{Now: start().Add(2 * day), Batch: 10, Rules: []retention.Rule{{Use: mailbox.UseTrash, Age: day}}}
	deleted, err := p.Apply(ctx, s)
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, deleted, 1)
	require.Len(t, left(t, s, "Trash"), 25-len(deleted[0].UIDs))
	require.Less(t, len(deleted[0].UIDs), 25)

	_, err = p.Apply(t.Context(), s)
	require.NoError(t, err)
	require.Empty(t, left(t, s, "Trash"))
	for _, n := range calls {
		require.LessOrEqual(t, n, 10)
	}
}

func TestAMailboxThatFailsDoesNotKeepOthers(t *testing.T) {
	t.Parallel()
	s := accountStore(unknown)
	broken := errors.New("disk is on fire")
	s.fail = func(name string) error {
		switch name {
		case "A":
			return broken
		case "B":
			return mailbox.ErrNoMailbox // deleted meanwhile
		}
		return nil
	}
	for _, name := range []string{"A", "B", "C"} {
		fill(t, s.organized, name, mailbox.UseTrash, 10)
	}
	deleted, err := retention.Policy{Now: start(), Rules: []retention.Rule{{Use: mailbox.UseTrash, Age: day}}}.Apply(t.Context(), s)
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, `"A"`)
	require.Equal(t, []retention.Deleted{{Mailbox: "C", UIDs: []mailbox.UID{1}, Octets: 14}}, deleted)
}

// A run that ends between two mailboxes is not one that is done.
func TestTheContextEndsBetweenMailboxes(t *testing.T) {
	t.Parallel()
	s := accountStore(unknown)
	fill(t, s, "Bin", mailbox.UseTrash, 2)
	fill(t, s, "Trash", mailbox.UseTrash, 2)
	p := retention.Policy{Now: start(), Rules: []retention.Rule{{Use: mailbox.UseTrash, Age: day}}}
	ctx, cancel := context.WithCancel(t.Context())
	s.saved = func(m mailbox.Meta) time.Time {
		cancel()
		return m.InternalDate
	}
	deleted, err := p.Apply(ctx, s)
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, deleted, 1)
	require.Len(t, left(t, s, "Trash"), 1)

	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	deleted, err = p.Apply(ctx, s)
	require.NoError(t, err, "it was the last one")
	require.Error(t, ctx.Err())
	require.Len(t, deleted, 1)
}

func TestTheCaseOfAUseDoesNotMatter(t *testing.T) {
	t.Parallel()
	s := accountStore(unknown)
	fill(t, s, "Trash", mailbox.UseTrash, 2)
	p := retention.Policy{Now: start(), Rules: []retention.Rule{{Use: `\tRASH`, Age: day}}}
	deleted, err := p.Apply(t.Context(), s)
	require.NoError(t, err)
	require.Len(t, deleted, 1)
}
