package imapd

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks/mailbox"
)

func TestWithout(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		set := rapid.SliceOfDistinct(rapid.Map(rapid.IntRange(1, 60), func(n int) mailbox.UID { return mailbox.UID(n) }), func(u mailbox.UID) mailbox.UID { return u })
		uids, gone := slices.Sorted(slices.Values(set.Draw(t, "uids"))), slices.Sorted(slices.Values(set.Draw(t, "gone")))
		var want []mailbox.UID
		for _, uid := range uids {
			if !slices.Contains(gone, uid) {
				want = append(want, uid)
			}
		}
		require.Equal(t, len(want), len(without(slices.Clone(uids), gone)))
		require.ElementsMatch(t, want, without(slices.Clone(uids), gone))
		require.True(t, slices.IsSorted(without(slices.Clone(uids), gone)))
	})
}
