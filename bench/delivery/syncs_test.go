package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseSummary(t *testing.T) {
	t.Parallel()
	calls, err := parseSummary(`strace: Process 7 detached
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 88.12    0.383987         192      1991           fsync
 11.88    0.051780          60       863        13 fdatasync
------ ----------- ----------- --------- --------- ----------------
100.00    0.435767         152      2854        13 total
`)
	require.NoError(t, err)
	require.Equal(t, []call{{"fsync", 1991}, {"fdatasync", 863}}, calls)
	require.Equal(t, "2.85 (fsync 1.99, fdatasync 0.86)", perMessage(calls, 1000))

	calls, err = parseSummary("")
	require.NoError(t, err)
	require.Empty(t, calls)
	require.Equal(t, "0: NOT DURABLE", perMessage(calls, 1000))

	for _, bad := range []string{"------\n1.0 0.1\n", "------\n1.0 0.1 2 many fsync\n"} {
		_, err := parseSummary(bad)
		require.Error(t, err)
	}
}
