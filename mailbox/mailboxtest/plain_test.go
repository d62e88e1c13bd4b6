package mailboxtest_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/mailboxtest"
	"github.com/mailbricks/mailbricks/mailbox/memory"
)

// plainStore and plainBox have no ability that need not be there.
type plainStore struct{ mailbox.Store }

type plainBox struct{ mailbox.Mailbox }

func (s plainStore) List(ctx context.Context) ([]mailbox.Info, error) {
	infos, err := s.Store.List(ctx)
	for i := range infos {
		infos[i].ID = ""
	}
	return infos, err
}

func (s plainStore) Open(ctx context.Context, name string) (mailbox.Mailbox, error) {
	m, err := s.Store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return plainBox{m}, nil
}

func (b plainBox) Status(ctx context.Context) (mailbox.Status, error) {
	st, err := b.Mailbox.Status(ctx)
	st.ID, st.Recent = "", 0
	return st, err
}

func (b plainBox) Messages(ctx context.Context, uids []mailbox.UID) ([]mailbox.Meta, error) {
	metas, err := b.Mailbox.Messages(ctx, uids)
	return withoutSaveDates(metas), err
}

func (b plainBox) SetFlags(ctx context.Context, uids []mailbox.UID, change mailbox.FlagChange) ([]mailbox.Meta, error) {
	metas, err := b.Mailbox.SetFlags(ctx, uids, change)
	return withoutSaveDates(metas), err
}

func (b plainBox) Changes(ctx context.Context, since mailbox.ModSeq) (mailbox.Changes, error) {
	c, err := b.Mailbox.Changes(ctx, since)
	withoutSaveDates(c.Changed)
	return c, err
}

func withoutSaveDates(metas []mailbox.Meta) []mailbox.Meta {
	for i := range metas {
		metas[i].SaveDate = time.Time{}
	}
	return metas
}

// A store that has only what every store must have passes, and what it has not got is skipped.
func TestWithoutAbilities(t *testing.T) {
	t.Parallel()
	backend := mailboxtest.Backend{
		New: func(testing.TB, mailbox.Limit) mailboxtest.Account {
			a := memory.New(mailbox.Limit{})
			return mailboxtest.Account{Open: func() (mailbox.Store, error) { return plainStore{a.Store()}, nil }}
		},
		NoQuota: true,
	}
	skipped := map[string]bool{}
	for _, part := range mailboxtest.PartNames() {
		r := record(t, func(t testing.TB) { mailboxtest.RunPart(t, part, backend) })
		require.False(t, r.Failed(), "%s: %v", part, r.said)
		skipped[part] = r.Skipped()
	}
	for _, part := range []string{"Inbox", "Append", "Flags", "Changes", "Expunge", "Order", "Follow", "Clients", "Model"} {
		require.False(t, skipped[part], part)
	}
	for _, part := range []string{"Quota", "QuotaUsed", "Create", "Annotations", "Watch", "WatchAccount", "IDs", "SaveDates", "Summaries",
		"Recent", "Crash", "CrashAtWork"} {
		require.True(t, skipped[part], part)
	}
}

// A store that says that it may lose flags in a power cut may do so, and nothing else.
func TestLazyFlags(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cut    func(*account)
		passes bool
	}{{loseFlag, true}, {loseLast, false}} {
		backend := faulty(bug{cut: c.cut})
		backend.LazyFlags = true
		for _, part := range []string{"Crash", "CrashAtWork"} {
			r := record(t, func(t testing.TB) { mailboxtest.RunPart(t, part, backend) })
			require.Equal(t, c.passes, !r.Failed(), "%s: %v", part, r.said)
		}
	}
}
