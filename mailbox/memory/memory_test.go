package memory_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/mailboxtest"
	"github.com/mailbricks/mailbricks/mailbox/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend is the store for the contract test. Its accounts have no disk to begin again from, but outlive their sessions.
func backend() mailboxtest.Backend {
	return mailboxtest.Backend{
		New: func(_ testing.TB, limit mailbox.Limit) mailboxtest.Account {
			a := memory.New(limit)
			return mailboxtest.Account{
				Open:    func() (mailbox.Store, error) { return a.Store(), nil },
				Restart: func() error { return nil },
			}
		},
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	b := backend()
	if os.Getenv("MAILBRICKS_LONG") != "" {
		b = b.Long()
	}
	mailboxtest.Run(t, b)
}

func BenchmarkContract(b *testing.B) { mailboxtest.Benchmark(b, backend()) }

func inbox(t *testing.T, a *memory.Account) mailbox.Mailbox {
	t.Helper()
	b, err := a.Store().Open(t.Context(), mailbox.Inbox)
	require.NoError(t, err)
	return b
}

func appendTo(t *testing.T, b mailbox.Mailbox, text string, flags ...mailbox.Flag) mailbox.UID {
	t.Helper()
	uid, err := b.Append(t.Context(), strings.NewReader(text), mailbox.AppendOptions{Size: -1, Flags: flags})
	require.NoError(t, err)
	return uid
}

func TestChangeLogIsBounded(t *testing.T) {
	t.Parallel()
	b := inbox(t, memory.New(mailbox.Limit{}))
	_, start, err := b.UIDs(t.Context())
	require.NoError(t, err)
	for range memory.MaxExpunged + 1 {
		uid := appendTo(t, b, "x")
		_, err := b.Expunge(t.Context(), []mailbox.UID{uid})
		require.NoError(t, err)
	}
	_, err = b.Changes(t.Context(), start)
	require.ErrorIs(t, err, mailbox.ErrTooOld)
	c, err := b.Changes(t.Context(), start+2)
	require.NoError(t, err)
	require.Len(t, c.Expunged, memory.MaxExpunged)
}

func TestLimits(t *testing.T) {
	t.Parallel()
	a := memory.New(mailbox.Limit{})
	b := inbox(t, a)
	uid := appendTo(t, b, "x")
	var flags []mailbox.Flag
	for n := range memory.MaxKeywords + 1 {
		flags = append(flags, mailbox.Flag("k"+strings.Repeat("x", n%200)+string(rune('a'+n/200))))
	}
	_, err := b.SetFlags(t.Context(), []mailbox.UID{uid}, mailbox.FlagChange{Flags: flags})
	require.ErrorIs(t, err, mailbox.ErrFlags)
	_, err = b.SetFlags(t.Context(), []mailbox.UID{uid}, mailbox.FlagChange{Flags: flags[1:]})
	require.NoError(t, err)
}

// Keywords that no message has any more take no room for ever, nor do those of what came to nothing.
func TestKeywordsAreForgotten(t *testing.T) {
	t.Parallel()
	a := memory.New(mailbox.Limit{})
	b := inbox(t, a)
	first := appendTo(t, b, "x", "Kept")
	uid := appendTo(t, b, "x")
	set := func(op mailbox.FlagOp, flags ...mailbox.Flag) []mailbox.Meta {
		metas, err := b.SetFlags(t.Context(), []mailbox.UID{uid}, mailbox.FlagChange{Op: op, Flags: flags})
		require.NoError(t, err)
		return metas
	}
	for n := range memory.MaxKeywords + 10 {
		set(mailbox.ReplaceFlags, mailbox.Flag(fmt.Sprint("k", n)))
	}
	require.Equal(t, []mailbox.Flag{"Kept"}, set(mailbox.ReplaceFlags, "KEPT")[0].Flags, "the first form of those that are in use stays")

	var many []mailbox.Flag
	for n := range memory.MaxKeywords - 1 {
		many = append(many, mailbox.Flag(fmt.Sprint("m", n)))
	}
	set(mailbox.AddFlags, many...) // no room for another
	_, err := b.SetFlags(t.Context(), []mailbox.UID{uid}, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{"more"}})
	require.ErrorIs(t, err, mailbox.ErrFlags)
	metas, err := b.SetFlags(t.Context(), []mailbox.UID{99}, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{"more"}})
	require.NoError(t, err, "nobody gets it")
	require.Empty(t, metas)

	// All of a copy or nothing, also where each message alone would do.
	require.NoError(t, a.Store().(mailbox.Organizer).Create(t.Context(), "Other", ""))
	other, err := a.Store().Open(t.Context(), "Other")
	require.NoError(t, err)
	appendTo(t, other, "x", "own")
	_, err = b.Copy(t.Context(), []mailbox.UID{first, uid}, "Other")
	require.ErrorIs(t, err, mailbox.ErrFlags)
	copied, err := b.Copy(t.Context(), []mailbox.UID{first}, "Other")
	require.NoError(t, err)
	require.Len(t, copied.Dest, 1)
	appendTo(t, other, "x", many[:memory.MaxKeywords-2]...)
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	var accounts memory.Accounts
	ann := accounts.Add("Ann@Example.com", mailbox.Limit{})
	require.Same(t, ann, accounts.Add("ann@example.com", mailbox.Limit{Octets: 5}))
	full := accounts.Add("full@example.com", mailbox.Limit{Octets: 10})
	_, err := accounts.Store(ctx, mailbricks.Identity{User: "none@example.com"})
	require.ErrorIs(t, err, mailbricks.ErrAuth)

	msg := mailbricks.NewMessage([]byte("Return-Path: <forged@example.net>\r\nSubject: x\r\n\r\nbody\r\n"))
	env := &mailbricks.Envelope{From: "a@b.example", Quarantine: "forged", Recipients: []mailbricks.Recipient{
		{Address: "none@example.com"}, {Address: "ANN@example.com"}, {Address: "full@example.com"},
	}}
	results := mailbricks.ResultsOf(accounts.Handle(ctx, env, msg), 3)
	require.Equal(t, "5.1.1", mailbricks.ReplyTo(results[0]).Enhanced)
	require.NoError(t, results[1])
	require.Equal(t, "5.2.2", mailbricks.ReplyTo(results[2]).Enhanced)
	require.Zero(t, full.Used())
	require.NotZero(t, ann.Used())

	store, err := accounts.Store(ctx, mailbricks.Identity{User: "ann@EXAMPLE.com"})
	require.NoError(t, err)
	junk, err := store.Open(ctx, "Junk")
	require.NoError(t, err)
	uids, _, err := junk.UIDs(ctx)
	require.NoError(t, err)
	require.Len(t, uids, 1)
	infos, err := store.List(ctx)
	require.NoError(t, err)
	at := slices.IndexFunc(infos, func(i mailbox.Info) bool { return i.Name == "Junk" })
	require.GreaterOrEqual(t, at, 0)
	require.Equal(t, []mailbox.Use{mailbox.UseJunk}, infos[at].Uses)
	require.NoError(t, accounts.Handle(ctx, env.WithRecipients(env.Recipients[1:2]), msg))
	uids, _, err = junk.UIDs(ctx)
	require.NoError(t, err)
	require.Len(t, uids, 2, "the same mailbox for junk again")
}
