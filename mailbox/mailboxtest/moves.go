package mailboxtest

import (
	"fmt"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

// testMoveAtWork has others work on a message while it is moved: of those who move or expunge it one does, and no flag that
// somebody was told is set is lost.
func testMoveAtWork(w *world) {
	w.begin()
	w.organizer()
	w.create("t-a", "t-b")
	from, mover, expunger := w.open(mailbox.Inbox), w.openIn(w.session(), mailbox.Inbox), w.openIn(w.session(), mailbox.Inbox)
	flagger := w.openIn(w.session(), mailbox.Inbox)
	for n := range 12 {
		uid := []mailbox.UID{from.append(message(n))}
		var first, second mailbox.Copied
		var gone []mailbox.UID
		var set []mailbox.Flag
		errs := make([]error, 4)
		var wg sync.WaitGroup
		wg.Go(func() { first, errs[0] = from.Move(w.ctx, uid, "t-a") })
		if n%3 == 0 {
			wg.Go(func() { second, errs[1] = mover.Move(w.ctx, uid, "t-b") })
		}
		if n%3 == 1 {
			wg.Go(func() { gone, errs[2] = expunger.Expunge(w.ctx, uid) })
		}
		wg.Go(func() { set, errs[3] = flagUntilGone(w, flagger.Mailbox, uid) })
		wg.Wait()
		for _, err := range errs {
			require.NoError(w, err)
		}
		require.Equal(w, 1, len(first.Source)+len(second.Source)+len(gone),
			"moved as %v and %v, expunged as %v: one of them has it", first, second, gone)
		require.Len(w, first.Dest, len(first.Source))
		require.Len(w, second.Dest, len(second.Source))
		for name, uids := range map[string][]mailbox.UID{"t-a": first.Dest, "t-b": second.Dest} {
			b := w.open(name)
			require.ElementsMatch(w, uids, b.uids(), "%s has what was moved there", name)
			for _, uid := range uids {
				require.Equal(w, message(n), b.text(uid))
				got := b.meta(uid).Flags
				for _, flag := range set {
					require.True(w, mailbox.HasFlag(got, flag), "%s was set and did not go along: %v", flag, got)
				}
			}
			b.expunge(uids...)
		}
		require.Empty(w, from.uids())
	}
}

// flagUntilGone sets one flag after the other until the message is gone, and gives those that were set.
func flagUntilGone(w *world, b mailbox.Mailbox, uid []mailbox.UID) ([]mailbox.Flag, error) {
	var set []mailbox.Flag
	for n := range 25 {
		flag := mailbox.Flag(fmt.Sprintf("kw%d", n))
		metas, err := b.SetFlags(w.ctx, uid, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{flag}})
		if err != nil || len(metas) == 0 {
			return set, err
		}
		set = append(set, flag)
	}
	return set, nil
}
