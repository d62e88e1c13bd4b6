package senderauth

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWhatIsQuickRunsInTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var order []int // unsynchronized: the race detector sees goroutines
		note := func(i int) func() { return func() { order = append(order, i) } }
		sideBySide(note(1), note(2), note(3))
		time.Sleep(2 * patience)
		require.Equal(t, []int{1, 2, 3}, order)
	})
}

func TestWhatIsSlowRunsSideBySide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		slow := func() { calls.Add(1); time.Sleep(time.Second) }
		start := time.Now()
		sideBySide(slow, slow, slow)
		require.Equal(t, time.Second+patience, time.Since(start))
		require.EqualValues(t, 3, calls.Load())
		start = time.Now()
		sideBySide(func() {}, slow, slow)
		require.Equal(t, time.Second+patience, time.Since(start))
		require.EqualValues(t, 5, calls.Load())
	})
}

func TestWhatIsJoinedInTimeNeverRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ran := false
		require.False(t, soon(func() { ran = true }).join())
		time.Sleep(time.Second)
		require.False(t, ran)
		l := soon(func() { time.Sleep(time.Second); ran = true })
		time.Sleep(2 * patience)
		require.True(t, l.join())
		require.True(t, ran)
	})
}
