package imapd

import (
	"math"
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

// UIDs may be further apart than an int of 32 bits is wide. On other systems this test proves little.
func TestUIDsFarApart(t *testing.T) {
	t.Parallel()
	const low, high = 1, mailbox.UID(math.MaxUint32) - 1
	s := &selected{uids: []mailbox.UID{low}, last: low}
	require.Equal(t, []mailbox.UID{high}, s.newUIDs([]mailbox.Meta{{UID: low}, {UID: high}}))
	s.tell(mailbox.Meta{UID: low, ModSeq: 1})
	s.tell(mailbox.Meta{UID: high, ModSeq: 2})
	require.True(t, s.knows(mailbox.Meta{UID: low, ModSeq: 1}))
	require.True(t, s.knows(mailbox.Meta{UID: high, ModSeq: 2}))
}

func TestNumbersOfMessagesOneAfterTheOther(t *testing.T) {
	t.Parallel()
	s := &selected{uids: []mailbox.UID{2, 4, 6, 8}}
	prev, got := 0, []int{}
	for _, uid := range []mailbox.UID{2, 6, 7, 8} {
		prev = s.seqAfter(prev, uid)
		got = append(got, prev)
	}
	require.Equal(t, []int{1, 3, 0, 4}, got)
}
