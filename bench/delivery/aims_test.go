package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAims(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		aim  verdict
		good float64
		bad  float64
	}{
		{rateAim(virtual, 1), 0.8, 0.79},
		{rateAim(virtual, 10), 1.5, 1.49},
		{rateAim(virtual, 50), 1.5, 1.49},
		{rateAim(lmtp, 10), 3, 2.99},
		{rateAim(lmtp, 50), 3, 2.99},
		{cpuAim(virtual), 0.7, 0.71},
	} {
		ok, text := c.aim.of(c.good)
		require.True(t, ok, text)
		ok, text = c.aim.of(c.bad)
		require.False(t, ok)
		require.Contains(t, text, "MISSED")
	}
	for _, none := range []verdict{rateAim(lmtp, 1), cpuAim(lmtp)} {
		ok, text := none.of(0)
		require.True(t, ok)
		require.Equal(t, "no aim", text)
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	own, peer := &server{name: ours}, &server{name: virtual}
	w := workload{10, 100}
	fast, slow := result{delivered: 200, cpu: 0.3}, result{delivered: 100, cpu: 1}
	mine := &results{server: own, load: w, rounds: []result{fast, fast, slow}}
	theirs := &results{server: peer, load: w, rounds: []result{slow, slow, slow}}
	require.True(t, judge([]*results{mine, theirs}, own), "two of three rounds are good")
	mine.rounds[0].cpu = 0.9
	require.False(t, judge([]*results{mine, theirs}, own), "two of three cost too much")
	require.Equal(t, []float64{2, 2, 1}, ratios(mine.series(delivered), theirs.series(delivered)))
	require.Equal(t, 200.0, mine.median(delivered))
}
