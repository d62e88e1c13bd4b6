package maildir

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks/mailbox"
)

// TestEntryList compares the messages of a folder, as they come and go, with a plain list of them.
func TestEntryList(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var st state
		var model []uint32
		next := uint32(1)
		t.Repeat(map[string]func(*rapid.T){
			"come": func(t *rapid.T) {
				next += rapid.Uint32Range(0, 2).Draw(t, "gap")
				for range rapid.IntRange(1, pieceSize/3).Draw(t, "count") {
					st.add(entry{uid: next, base: fmt.Sprint("name", next)})
					model = append(model, next)
					next++
				}
			},
			"go": func(t *rapid.T) {
				if len(model) == 0 {
					return
				}
				from := rapid.IntRange(0, len(model)-1).Draw(t, "from")
				to := rapid.IntRange(from, len(model)).Draw(t, "to")
				step := rapid.IntRange(1, 5).Draw(t, "step")
				var gone []uint32
				for i := from; i < to; i += step {
					gone = append(gone, model[i])
				}
				st.entries.remove(gone)
				model = slices.DeleteFunc(model, func(uid uint32) bool { _, ok := slices.BinarySearch(gone, uid); return ok })
			},
			"": func(t *rapid.T) { checkEntries(t, &st, model, next) },
		})
	})
}

func checkEntries(t *rapid.T, st *state, model []uint32, next uint32) {
	l := &st.entries
	require.Equal(t, len(model), l.len())
	var all, back []uint32
	for e := range l.all() {
		all = append(all, e.uid)
	}
	for e := range l.backward() {
		back = append(back, e.uid)
	}
	slices.Reverse(back)
	require.True(t, slices.Equal(model, all) && slices.Equal(model, back))
	require.True(t, slices.EqualFunc(model, l.uids(), func(a uint32, b mailbox.UID) bool { return a == uint32(b) }))
	for _, p := range l.pieces {
		require.NotEmpty(t, p)
		require.LessOrEqual(t, len(p), pieceSize)
	}
	for range 5 {
		uid := rapid.Uint32Range(0, next).Draw(t, "uid")
		at, there := slices.BinarySearch(model, uid)
		require.Equal(t, len(model)-at, l.from(uid))
		require.Equal(t, there, l.find(uid) != nil)
		n := rapid.IntRange(0, 2*pieceSize).Draw(t, "n")
		some := l.some(uid, n)
		require.True(t, slices.EqualFunc(model[at:min(len(model), at+n)], some, func(uid uint32, e entry) bool { return uid == e.uid }))
		piece, i, ok := st.placeOf(fmt.Sprint("name", uid))
		require.Equal(t, there, ok)
		if ok {
			require.Equal(t, uid, l.pieces[piece][i].uid)
		}
	}
}

// Sets of keywords are shared by the messages that have them, and gone with the last.
func TestKeywordSets(t *testing.T) {
	t.Parallel()
	var st state
	st.add(entry{uid: 1, extra: newKeywordSet([]string{"b", "a", "b"})})
	st.add(entry{uid: 2, extra: newKeywordSet([]string{"a", "b"})})
	st.add(entry{uid: 3, extra: newKeywordSet([]string{"a"})})
	require.Same(t, st.entries.find(1).extra, st.entries.find(2).extra)
	require.Len(t, st.counts.sets.uses, 2)
	st.replace(entry{uid: 3, extra: newKeywordSet([]string{"b", "a"})})
	require.Same(t, st.entries.find(1).extra, st.entries.find(3).extra)
	require.Len(t, st.counts.sets.uses, 1)
	for uid := range uint32(3) {
		e := *st.entries.find(uid + 1)
		st.replace(e) // as it was
		require.Len(t, st.counts.sets.uses, 1)
		e.extra = e.extra.without(newKeywordSet([]string{"a", "b"}))
		st.replace(e)
	}
	require.Empty(t, st.counts.sets.uses)
	require.Empty(t, st.counts.sets.byNames)
	require.Nil(t, newKeywordSet(nil).with(nil))
	require.Equal(t, []string{"a", "b"}, newKeywordSet([]string{"b"}).with(newKeywordSet([]string{"a"})).list())
}
