package main

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	const behind = " S 12 4711 4711 0 -1 4194560 1203 998 0 0 7 5 30 8 20 0 1 0 123 1 1"
	for _, name := range []string{"(master)", "(a) R 1 2 (b)", "()", "(new\nline)"} {
		p, err := parseStat("4711 " + name + behind)
		require.NoError(t, err)
		require.Equal(t, process{parent: 12, cpu: 500 * time.Millisecond}, p, name)
	}
	for _, bad := range []string{
		"", "1 (x", "1 (x) S 12", "1 (x) S p 1 1 0 -1 4 1 9 0 0 7 5 30 8", "1 (x) S 1 1 1 0 -1 4 1 9 0 0 7 5 30 x",
	} {
		_, err := parseStat(bad)
		require.Error(t, err, bad)
	}
}

func TestTree(t *testing.T) {
	t.Parallel()
	all := map[int]process{
		1: {parent: 0}, 10: {parent: 1}, 11: {parent: 10}, 12: {parent: 11}, 20: {parent: 1}, 21: {parent: 20}, 30: {parent: 1},
	}
	require.ElementsMatch(t, []int{10, 11, 12, 30}, tree(all, []int{10, 30}))
}

func TestCPUTimeGrows(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("there is no /proc")
	}
	roots := []int{os.Getpid()}
	first, err := cpuTime(roots)
	require.NoError(t, err)
	for began := time.Now(); time.Since(began) < 100*time.Millisecond; {
	}
	second, err := cpuTime(roots)
	require.NoError(t, err)
	require.Greater(t, second, first)
	_, err = cpuTime([]int{1 << 30})
	require.Error(t, err)
}
