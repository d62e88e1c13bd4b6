package expiring

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestFullTableDropsWhatIsWorthLeast(t *testing.T) {
	t.Parallel()
	var dropped []string
	table := New(3, func(k string, _ int) { dropped = append(dropped, k) })
	table.Put("a", 1, 30)
	table.Put("b", 2, 10)
	table.Put("c", 3, 20)
	table.Put("b", 2, 40) // put off
	table.Put("d", 4, 1)
	require.Equal(t, []string{"c"}, dropped)
	table.Put("e", 5, 50)
	require.Equal(t, []string{"c", "d"}, dropped)
	table.Reschedule(table.Get("e"), 5) // brought forward
	table.Put("f", 6, 6)
	require.Equal(t, []string{"c", "d", "e"}, dropped)
	require.Nil(t, table.Get("e"))
	require.Equal(t, int64(40), table.Get("b").Until())
	require.True(t, table.Delete("b"))
	require.False(t, table.Delete("b"))
	require.Len(t, dropped, 3, "Delete is no drop")
}

func TestExpire(t *testing.T) {
	t.Parallel()
	table := New[int, int](100, nil)
	for i := range 50 {
		table.Put(i, i, int64(i))
	}
	require.Equal(t, 2, table.Expire(9, 2))
	require.Equal(t, 8, table.Expire(9, 100))
	require.Zero(t, table.Expire(9, 100))
	require.Equal(t, 40, table.Len())
	require.Equal(t, 40, table.Expire(1000, 1000))
	require.Zero(t, table.Expire(1000, 1))
	require.Equal(t, 1, New[int, int](0, nil).max)
}

// model is a table that looks at everything each time.
type model struct {
	max   int
	until map[int]int64
}

func (m *model) first() (key int, found bool) {
	for k, at := range m.until {
		if !found || at < m.until[key] {
			key, found = k, true
		}
	}
	return key, found
}

func TestTableIsLikeItsModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &model{max: rapid.IntRange(1, 20).Draw(t, "max"), until: map[int]int64{}}
		next := int64(0)
		table := New(m.max, func(k int, v int64) {
			want, ok := m.first()
			require.True(t, ok)
			require.Equal(t, want, k)
			require.Equal(t, m.until[k], v)
			delete(m.until, k)
		})
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			key := rapid.IntRange(0, 30).Draw(t, "key")
			next++
			at := rapid.Int64Range(0, 50).Draw(t, "until")*1000 + next // all differ
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0, 1:
				_, old := m.until[key]
				table.Put(key, at, at)
				if m.until[key] = at; !old {
					require.LessOrEqual(t, len(m.until), m.max)
				}
			case 2:
				if e := table.Get(key); e != nil {
					e.Value = at
					table.Reschedule(e, at)
					m.until[key] = at
				}
			case 3:
				_, there := m.until[key]
				delete(m.until, key)
				require.Equal(t, there, table.Delete(key))
			case 4:
				n := table.Expire(at, 3)
				if k, ok := m.first(); ok && n < 3 {
					require.Greater(t, m.until[k], at)
				}
			}
			require.Equal(t, len(m.until), table.Len())
			for e := range table.All() {
				require.Equal(t, m.until[e.Key], e.Until())
				require.Same(t, e, table.Get(e.Key))
			}
		}
	})
}

// A flood of new keys in a full table costs a bounded number of steps each, also after all entries were put off.
func TestFloodCostsLittle(t *testing.T) {
	t.Parallel()
	const size = 1 << 12
	table := New[int, struct{}](size, nil)
	for i := range size {
		table.Put(i, struct{}{}, rand.Int64N(1000))
	}
	for i := range size {
		table.Reschedule(table.Get(i), 1000+rand.Int64N(1000))
	}
	before := table.Work()
	const flood = 4 * size
	for i := range flood {
		table.Put(size+i, struct{}{}, 3000+int64(i))
	}
	require.Equal(t, size, table.Len())
	require.Less(t, table.Work()-before, uint64((flood+size)*2*16), "log2 of the size and some")
}

func BenchmarkReschedule(b *testing.B) {
	table := New[int, struct{}](1<<13, nil)
	for i := range 1 << 13 {
		table.Put(i, struct{}{}, int64(i))
	}
	for i := range b.N {
		table.Reschedule(table.Get(i%(1<<13)), int64(1<<13+i))
	}
}

func BenchmarkPutIntoFull(b *testing.B) {
	table := New[int, struct{}](1<<13, nil)
	for i := range b.N {
		table.Put(i, struct{}{}, int64(i))
	}
}
